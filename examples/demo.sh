#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A minute with Bulkhead: what `./dev demo` runs after the build. BH_BIN is where the programs are.
# With BH_EXE=.exe they are Windows programs, and BH_RUN runs them (tests/wine_script.sh).
# Exit status: 0 when everything went as it says, else 1.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
bin=${BH_BIN:-$here/../build/release/bin}
exe=${BH_EXE:-}
read -ra runner <<<"${BH_RUN:-}" # the words that begin a command line
if (($# > 0)); then
    echo "demo.sh takes no arguments" >&2
    exit 2
fi
if [[ ! -x $bin/bulkhead$exe ]]; then
    echo "demo.sh: there is no $bin/bulkhead$exe; build first, with ./dev build" >&2
    exit 1
fi
bulkhead=("${runner[@]}" "$bin/bulkhead$exe")
if [[ -z $exe ]]; then
    plugin=$bin/../lib/plugin.so seconds=4 kind=double-free shown=bulkhead
else # Wine takes its time to start a process
    plugin=$bin/../lib/plugin.dll seconds=15 kind=stack shown=bulkhead.exe
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

bold='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    bold=$'\e[1m' plain=$'\e[0m'
fi

wrong=0
title() {
    printf '\n%s%s%s\n%s\n\n' "$bold" "$1" "$plain" "$2"
}
went_wrong() {
    printf 'demo.sh: WRONG: %s\n' "$*" >&2
    wrong=1
}

# The row in flaky's table of deaths that counts all of them: start-up, request, between, all.
read_deaths() {
    read -r at_start in_request between all_deaths < <(
        tr -d ',\r' <"$work/flaky" | awk '/^  deaths/ { seen = 1 }
            seen && $1 == "all" { print $2, $3, $4, $5; exit }'
    ) || went_wrong "flaky has no table of deaths"
}

printf '%sBulkhead%s calls native code that crashes, in worker processes that do the dying.\n' \
    "$bold" "$plain"
printf 'A crash costs one request, and you know exactly which one and why. Here are some examples.\n'

title '1. Four workers, and 5 % of everything they do crashes them' \
    'At start-up, in the middle of a request, between requests; every answer is checked.'
"${runner[@]}" "$bin/flaky$exe" --seconds $seconds --crash-rate 5% | tee "$work/flaky" ||
    went_wrong "flaky's accounts do not agree"
at_start=0 in_request=0 between=0 all_deaths=0
read_deaths
((at_start > 0 && in_request > 0 && between > 0)) ||
    went_wrong "there is a phase in which no worker died"

title '2. One call that dies, and the one line that it leaves' \
    "$ $shown call --worker ./mishaps die $kind"
status=0
"${bulkhead[@]}" call --worker "$bin/mishaps" die "$kind" 2>"$work/line" || status=$?
cat "$work/line"
printf '(exit status %s)\n' "$status"
((status == 3)) || went_wrong "the exit status should have been 3"
[[ $(wc -l <"$work/line") == 1 ]] || went_wrong "that should have been one line"

title '3. A plug-in: a shared library with a table of methods, served by bulkhead-host' \
    "$ $shown call --plugin ./${plugin##*/} words 'to be or not to be'"
"${bulkhead[@]}" call --plugin "$plugin" words 'to be or not to be' >"$work/words" || true
cat "$work/words"
[[ $(<"$work/words") == 6 ]] || went_wrong "there are 6 words"

killers=0
if [[ -x $bin/regex-search ]]; then
    title '4. A real library: PCRE 1 overflows the stack on some patterns' \
        'Real text, real patterns, some of them deadly; PCRE 2 checks every other answer.'
    "$here/regex/input.sh" "$work" 5000 >/dev/null
    check=()
    [[ $("$bin/regex-search" --version) == *"without PCRE 2"* ]] || check=(--check)
    "$bin/regex-search" --patterns "$work/patterns" --subjects "$work/subjects" \
        --killers "$work/killers" "${check[@]}" ||
        went_wrong "regex-search lost a request or an answer"
    killers=$(wc -l <"$work/killers")
    ((killers > 0)) || went_wrong "no pattern killed a worker, so this proved nothing"
else
    title '4. A real library: left out' 'regex-search was not built: it needs PCRE 1 for this system.'
fi

title 'What you have seen' \
    "$((all_deaths + 1 + killers)) worker processes crashed; the programs that had started them lived on.
A crash in a request cost that one request, which was told how its worker died: what, where, and
with which last output. A crash at start-up or between requests cost no request at all. Every
answer was right."
if ((wrong)); then
    printf 'But something went wrong: see the lines with WRONG above.\n'
else
    printf 'Next: %s help, examples/hello for the smallest worker and dispatcher.\n' "$bin/bulkhead$exe"
fi
exit "$wrong"
