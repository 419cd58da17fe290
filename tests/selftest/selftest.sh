#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs bulkhead-selftest and looks whether its report says what it must: the text adds up, the JSON
# says the same, and what runs under Wine says so.
# timeout: 100
# usage: selftest.sh PROGRAM
set -euo pipefail
readonly program=$1
readonly wine=${0%/*}/../wine.sh
report=$(mktemp -d)/report.txt
trap 'rm -rf -- "${report%/*}"' EXIT

fail() {
    printf 'selftest.sh: %s\n' "$*"
    [[ ! -e $report ]] || cat -- "$report"
    exit 1
}

status=0
"$wine" "$program" "Z:$report" >/dev/null || status=$?
[[ -e $report ]] || fail "no report; exit status $status"
sed -i 's/\r$//' "$report"

count() {
    grep -c "^  $1 " "$report" || true
}

# The last line is what a person reads first.
read -r passed word1 failed word2 <<<"$(tail -n 1 "$report")"
[[ "$word1 $word2" == 'passed, failed' ]] || fail "the last line is: $(tail -n 1 "$report")"
[[ $passed == "$(count passed)" ]] || fail "$passed passed, but $(count passed) lines say so"
[[ $failed == "$(count FAILED)" ]] || fail "$failed failed, but $(count FAILED) lines say so"
((passed >= 80)) || fail "only $passed checks"
((status == 0 && failed == 0)) || fail "exit status $status, $failed failed"

# It knows what it ran on, and went all the way.
grep -qE '^    Windows +[0-9]+\.[0-9]+\.[0-9]+' "$report" || fail "no version of Windows"
grep -q 'THIS IS NOT WINDOWS BUT WINE [0-9]' "$report" || fail "does not say that it ran on Wine"
for part in Requests Callers 'Deaths at start-up' 'Deaths in a request' 'Deaths between requests' \
    'A crowd' Orphans Times 'The registry, after'; do
    grep -q "^$part" "$report" || fail "no part \"$part\""
done
grep -qE 'died during a request: fault, exception 0xc0000005' "$report" || fail "no death lines"

if command -v jq >/dev/null; then
    grep '^{' "$report" | jq -e --argjson passed "$passed" '
        .program == "bulkhead-selftest" and .passed == $passed and .failed == 0 and
        (.system.wine | length) > 0 and (.system.processors > 0) and (.timings | length) > 5 and
        ([.checks[] | select(.result == "passed")] | length) == $passed and
        ([.checks[] | select(.result == "not testable here")] | length) == .not_testable and
        .crowd.requests == .crowd.replied + .crowd.died' >/dev/null ||
        fail "the JSON line does not say the same"
fi
printf '%s passed, %s not testable here\n' "$passed" "$(count 'not testable')"
