#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# not-under: asan tsan wine
# The README's programs are the ones in examples/hello, and they do what it says. (Its compiler lines
# are those of Linux. On Windows examples_test.sh runs the same programs.)
set -euo pipefail

failures=0
check() { # what, command…
    local what=$1
    shift
    if "$@"; then
        printf 'ok %s\n' "$what"
    else
        printf 'not ok %s\n' "$what"
        failures=$((failures + 1))
    fi
}

# The code block after the comment that names the file.
block() {
    awk -v mark="<!-- $1 -->" '
        $0 == mark { found = 1; next }
        found && /^```c$/ { inside = 1; next }
        inside && /^```$/ { exit }
        inside { print }' "$BH_SOURCE/README.md"
}

same_as_file() {
    diff <(block "$1") <(tail -n +2 "$BH_SOURCE/$1")
}

is_short() { # 20 lines, not counting blank ones and braces
    (($(block "$1" | grep -c '[[:alnum:]]') <= 21))
}

for file in examples/hello/worker.c examples/hello/dispatcher.c; do
    check "README shows $file" same_as_file "$file"
    check "$file is short" is_short "$file"
done

# The README's way to compile.
compiles() {
    local work
    work=$(mktemp -d)
    (cd "$BH_SOURCE" && sed -n "s|^\(cc .*\)\$|\1|p" README.md |
        sed "s|build/release/lib|$BH_LIB|; s|-o hello|-o $work/hello|" | sh -e)
    local status=$?
    [[ -x $work/hello-worker && -x $work/hello-dispatcher ]] || status=1
    rm -r "$work"
    return "$status"
}
check "the README's compiler lines work" compiles

cd "$BH_BIN"
said=$(./hello-dispatcher)
printf '%s\n' "$said"
says() {
    grep -qE -- "$1" <<<"$said"
}
check "42 / 2 is 21" says '^42 / 2 = 21$'
check "42 / 0 dies of SIGFPE" says '^42 / 0: worker [0-9]+ .*SIGFPE'
check "and life goes on" says '^42 / -1 = -42$'
((failures == 0))
