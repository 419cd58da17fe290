#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# wine_test.sh HEALTH COMMAND...: runs a test under Wine, in the prefix that WINEPREFIX names. All
# tests of a build share one Wine session, and rarely, on a busy machine, that session's own service
# for COM (rpcss) stops answering, to every program. Then no test can pass until the session is made
# anew: this notices, says so, makes a new one, and runs the test once more. A test that fails while
# the service is well has failed. HEALTH is the program that asks the service.
set -uo pipefail

: "${WINEPREFIX:?is not set: where Wine keeps its Windows}"
here=${0%/*}
health=$1
shift
sessions=$WINEPREFIX/sessions # how many there were before, and the lock of who makes one

is_well() {
    timeout -k 1 20 "$here/wine.sh" "$health" >/dev/null 2>&1
}
count() {
    cat "$sessions" 2>/dev/null || echo 0
}

# renew COUNT: ends the session and begins another, unless somebody has since COUNT was read.
renew() {
    exec {lock}>>"$sessions.lock"
    flock "$lock"
    if [[ $(count) == "$1" ]]; then
        wineserver -k {lock}>&-
        wineserver -w {lock}>&-
        "$here/wine_session.sh" >/dev/null 2>&1 {lock}>&-
        echo $(($1 + 1)) >"$sessions"
    fi
    exec {lock}>&-
}

# Looks after the service while a long test runs: a test that hangs with it ends with it. Once begun,
# a new session is finished.
watch() {
    trap 'kill "$nap" 2>/dev/null; exit' TERM
    while :; do
        sleep 20 &
        nap=$!
        wait "$nap"
        is_well || is_well || break
    done
    trap '' TERM
    renew "$1"
}

for attempt in 1 2; do
    before=$(count)
    watch "$before" &
    watcher=$!
    status=0
    "$@" || status=$?
    kill "$watcher"
    wait "$watcher" 2>/dev/null
    if ((status == 0 || status == 77 || attempt == 2)); then
        break
    fi
    is_well || is_well || renew "$before"
    if [[ $(count) == "$before" ]]; then
        break
    fi
    echo "wine_test.sh: Wine's service for COM did not answer; on a new session, once more:"
done
exit "$status"
