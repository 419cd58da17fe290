#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The README's programs are the ones in examples/hello, and they do what it says.
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

is_short() { # 20 lines, give or take the blank ones
    (($(block "$1" | grep -c '[^[:space:]]') <= 24))
}

for file in examples/hello/worker.c examples/hello/dispatcher.c; do
    check "README shows $file" same_as_file "$file"
    check "$file is short" is_short "$file"
done

cd "$BH_BIN"
replied=$(./hello-dispatcher ./hello-worker 12 4)
check "12 / 4 is 3, not: $replied" test "$replied" = 3
died=$(./hello-dispatcher ./hello-worker 1 0 2>&1) || true
check "1 / 0 dies of SIGFPE: $died" grep -q SIGFPE <<<"$died"
((failures == 0))
