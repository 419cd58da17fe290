#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 120
#
# The examples do what they say: flaky's accounts agree, regex-search gives PCRE 2's answers and
# survives the killers, the first dispatcher survives a division by zero. They also notice when
# something is wrong.
#
# With BH_EXE=.exe they are Windows programs, and BH_RUN runs them (tests/wine_script.sh).
set -uo pipefail

bin=${BH_BIN:?is not set: the directory of the programs}
exe=${BH_EXE:-}
read -ra runner <<<"${BH_RUN:-}" # the words that begin a command line
flaky=("${runner[@]}" "$bin/flaky$exe")
hello=("${runner[@]}" "./hello-dispatcher$exe")
examples=$(cd "$(dirname "$0")/../../examples" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

passed=0
failed=0
# holds NAME COMMAND...: the command succeeds.
holds() {
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s: %s\n' "$name" "$(tail -n 20 "$work/out" | cut -c 1-300)"
    fi
}

# ends STATUS COMMAND...: the command ends with that exit status.
ends() {
    local wanted=$1 status=0
    shift
    "$@" || status=$?
    ((status == wanted))
}

# says TEXT COMMAND...: the command succeeds and says that.
says() {
    local text=$1
    shift
    "$@" >"$work/said" || return 1
    cat "$work/said"
    grep -qF -- "$text" "$work/said"
}

# A worker's start takes some milliseconds on Linux, and some hundred under Wine.
requests=3000
[[ -z $exe ]] || requests=300
holds "flaky" says "the accounts agree" "${flaky[@]}" --requests $requests --crash-rate 5% --seed 7
holds "flaky without crashes" says '"died":0' "${flaky[@]}" --requests 2000 --crash-rate 0 --json
holds "flaky, by time" says '"ok":true' \
    "${flaky[@]}" --seconds 0.5 --crash-rate 0.1 --threads 9 --workers 3 --json
holds "flaky notices" ends 1 "${flaky[@]}" --requests 20 --worker "$work/nothing"
holds "flaky, usage" ends 2 "${flaky[@]}" --crash-rate much
holds "flaky, unknown option" ends 2 "${flaky[@]}" --crashrate 1%
holds "flaky, no value" ends 2 "${flaky[@]}" --seed
holds "flaky, other ways to say it" says '"requests":10' "${flaky[@]}" --json --requests=10 --seed=3

holds "hello" says "42 / 0: worker 1" env -C "$bin" "${hello[@]}"
holds "hello goes on" says "42 / -1 = -42" env -C "$bin" "${hello[@]}"

if [[ -x $bin/regex-search ]]; then
    files=(--patterns "$work/patterns" --subjects "$work/subjects")
    check=()
    [[ $("$bin/regex-search" --version) == *"without PCRE 2"* ]] || check=(--check)
    holds "input" "$examples/regex/input.sh" "$work" 300
    holds "regex-search" says "8 requests killed a worker" \
        "$bin/regex-search" "${files[@]}" "${check[@]}"
    holds "--killers" "$bin/regex-search" "${files[@]}" --killers "$work/killers"
    holds "its file" ends 0 test "$(grep -c '"stack_overflow":true' "$work/killers")" = 8
    printf '(\n' >"$work/patterns"
    holds "an invalid pattern fails" says '"failed":304' "$bin/regex-search" "${files[@]}" --json
    holds "regex-search, usage" ends 2 "$bin/regex-search" --patterns "$work/nothing" --subjects x
fi

# answers COMMAND...: the program, given lines, answers each, and goes on after a death.
answers() {
    local lines='["divide",42,0]\n["divide",42,2]\n["nothing"]\nno json\n'
    printf '%b' "$lines" | "$@" >"$work/lines" || return
    cat "$work/lines"
    grep -qF '"outcome":"died"' "$work/lines" && grep -qF '"reply":21' "$work/lines" &&
        grep -qF '"reason":"no such method"' "$work/lines" &&
        grep -qF 'expected a value' "$work/lines" && (($(wc -l <"$work/lines") == 4))
}
# over_tcp PORT: what the server there answers to the lines on stdin.
over_tcp() {
    local connection answered=0 line
    until { exec {connection}<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null; do
        kill -0 "$server" || return
    done
    cat >&"$connection"
    while ((answered++ < 4)) && IFS= read -r -t 60 line <&"$connection"; do
        printf '%s\n' "$line"
    done
}
for program in uv-lines glib-lines; do
    [[ ! -x $bin/$program ]] || holds "$program" answers "$bin/$program" "$bin/hello-worker"
done
if [[ -x $bin/epoll-server ]]; then
    port=$((20000 + $$ % 10000)) # below those that the system gives out
    "$bin/epoll-server" $port "$bin/hello-worker" &
    server=$!
    holds "epoll-server" answers over_tcp $port
    kill $server
    wait $server
fi

if [[ -x $bin/sql-session ]]; then
    holds "sessions" says "The second one goes on:" "$bin/sql-session" "$bin/sql-worker"
fi

if [[ -x $bin/dictionary ]]; then
    holds "a dictionary from a template" says "the answers agree" \
        "$bin/dictionary" --mib 8 "$bin/dictionary-worker"
    holds "dictionary, usage" ends 2 "$bin/dictionary" --mib much x
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
