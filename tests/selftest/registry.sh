#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Nothing is registered: the registry's COM keys and values are the same before and after programs
# that use the library a lot. What an empty COM program changes, on a cold system, comes before; a
# planted key shows that this test would see one. (Alone: the selftest looks at the same keys.)
# timeout: 60
# serial: yes
# usage: registry.sh REGISTRY-KEYS BIN
set -euo pipefail
readonly keys=$1 bin=$2
wine=$(realpath -- "${0%/*}/../wine.sh")
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

fail() {
    printf 'registry.sh: %s\n' "$*"
    exit 1
}

look() {
    "$wine" "$keys" | tr -d '\r' >"$work/$1"
    [[ -s $work/$1 ]] || fail "cannot read the registry"
}

# What did not run, or not well, has shown nothing.
run() {
    "$wine" "$bin/$1.exe" "${@:2}" >"$work/output" 2>&1 || {
        cat "$work/output"
        fail "$1 ended with an error"
    }
}

"$wine" "$keys" --com || fail "an empty COM program does not run"
cd -- "$bin" # where the examples look for their workers
look before
run flaky --requests 2000
run bulkhead call --worker "$bin/mishaps.exe" echo '[1, "text"]'
run hello-dispatcher
look after
diff "$work/before" "$work/after" || fail "the registry is not what it was"

"$wine" "$keys" --plant || fail "cannot plant a key"
look planted
"$wine" "$keys" --unplant || fail "cannot take the planted key away"
! cmp -s "$work/after" "$work/planted" || fail "does not see a planted key"
printf '%d keys and values, unchanged\n' "$(wc -l <"$work/before")"
