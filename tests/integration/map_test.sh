#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 120
#
# bulkhead map from outside: one result per input whatever happens to workers or to map itself.
# BH_BIN is where the programs are. Needs jq.
#
# With BH_EXE=.exe they are Windows programs, and BH_RUN runs them (tests/wine_script.sh).
set -uo pipefail

bin=${BH_BIN:?is not set: the directory of the programs}
exe=${BH_EXE:-}
slow=${KIT_SLOWDOWN:-1}
read -ra divide <<<"${BH_RUN:-}" # the words that begin a command line
bulkhead=("${divide[@]}" "$bin/bulkhead$exe")
divide=("${bulkhead[@]}" map --worker "$bin/hello-worker$exe")
command -v jq >/dev/null || {
    echo "skipped: jq is not installed"
    exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

passed=0
failed=0
check() {
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s: status %s, stdout "%s", stderr "%s"\n' "$name" "${status:-}" \
            "$(head -c 600 out)" "$(head -c 300 err)"
    fi
}

# map ARGUMENTS...: divides 100 by each input; status in $status, output in the files out and err.
map() {
    status=0
    "${divide[@]}" "$@" divide 100 >out 2>err || status=$?
}
# await TEXT: until there is a process with that in its command line.
await() {
    local tries=0
    until pgrep -f -- "$1" >/dev/null; do
        ((++tries < 2000)) || return
    done
}
is() { [[ $1 == "$2" ]]; }
says() { grep -qF -- "$1" err; }
outcomes() { jq -c '[.input, .outcome]' out | tr -d '\n'; }

# What the systems do differently: how a division by zero ends, what they say of a program that is
# not there, and how many inputs take seconds.
fault=SIGFPE
not_there="No such file or directory"
many=$((20000 / slow))
if [[ -n $exe ]]; then
    fault=0xc0000094
    not_there="File not found"
    many=3000
fi

# ---- results ----

map < <(printf '4\n0\nx\n"no number"\n\n5')
check "a line is an input" is "$(outcomes)" \
    '[1,"replied"][2,"died"][3,"refused"][4,"failed"][5,"refused"][6,"replied"]'
check "the status tells the worst" is "$status" 3
check "the sum" says "map: 2 replied, 1 failed, 1 died, 2 invalid"
check "what was wrong with a line" is "$(jq -r 'select(.input == 3).text' out)" \
    "not valid JSON: column 1: expected a value"
check "a death has its record" is \
    "$(jq -r 'select(.input == 2).death | .signal // .exception' out)" "$fault"
check "CRLF" is "$(map < <(printf '4\r\n5\r\n') && jq -c .reply out | tr -d '\n')" 2520
map </dev/null
check "nothing is nothing" is "$status$(wc -c <out)" 00
map --max-workers 3 --unordered < <(printf '4\n')
check "unordered" is "$(outcomes)" '[1,"replied"]'

awk -v count="$many" 'BEGIN {
    for (i = 1; i <= count; i++)
        print i % 500 == 250 ? 0 : 1 + i % 50
}' >inputs
inputs=$(wc -l <inputs)
map <inputs
check "in input order" is "$(jq .input out | cmp - <(seq 1 "$inputs") && echo same)" same
check "each has its own answer" is "$(jq -r '.reply // .outcome' out | cmp - <(
    awk '{ print $1 ? int(100 / $1) : "died" }' inputs
) && echo same)" same
map --unordered <inputs
check "unordered, each once" is "$(jq .input out | sort -n | cmp - <(seq 1 "$inputs") &&
    echo same)" same

# A result is there before the next input is written.
mkfifo in result
"${divide[@]}" divide 100 <in >result 2>err &
exec 3>in 4<result
echo 4 >&3
read -r -t $((20 * slow)) line <&4
check "a result does not wait for the next input" is "$(jq .reply <<<"$line")" 25
exec 3>&-
wait $!
exec 4<&-

# ---- files ----

mkdir files
printf 'a' >files/1.txt
printf '\xff\x00' >files/2.bin
map --files 'files/*' --paths
check "files" is "$(jq -r '[.input, .file] | join(" ")' out | tr '\n' ';')" \
    '1 files/1.txt;2 files/2.bin;'
map --files0-from - < <(printf 'files/2.bin\0files/none\0')
check "names" is "$(outcomes)" '[1,"failed"][2,"refused"]'
check "a file that is not there" is "$(jq -r 'select(.input == 2).text' out)" \
    "cannot be read: No such file or directory"
map --files 'files/*.pdf'
check "a pattern without a match" says '--files "files/*.pdf" matches nothing'

# ---- going on ----

# Killed when the file has grown to a third and to two thirds.
for part in 1 2; do
    "${divide[@]}" --resume results divide 100 <inputs 2>err &
    pid=$!
    while kill -0 $pid 2>/dev/null &&
        [[ $(stat -c %s results 2>/dev/null || echo 0) -lt $((inputs * 120 * part / 3)) ]]; do
        :
    done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
before=$(wc -l <results)
map --resume results <inputs
check "it goes on after being killed" is "$(jq .input results | cmp - <(seq 1 "$inputs") &&
    echo same)" same
check "and does nothing twice" says "$before done before"
check "there was something to go on with" test "$before" -gt 0 -a "$before" -lt "$inputs"
map --resume results <inputs
check "a finished run has nothing to do" is "$status$(wc -l <results)" "0$inputs"
head -c -20 results >torn
map --resume torn <inputs
check "a torn line is made anew" cmp -s <(jq -c '[.input, .reply]' torn) \
    <(jq -c '[.input, .reply]' results)
"${divide[@]}" --resume busy divide 100 <in 2>err &
exec 3>in
echo 4 >&3
until [[ -s busy ]]; do :; done
map --resume busy <inputs
check "one run at a time" is "$status$(jq -c .input busy)" 21
check "and why" says "another bulkhead map is writing it"
exec 3>&-
wait $!
echo '{"some":"file"}' >mine
map --resume mine <inputs
check "a foreign file is left alone" is "$status$(cat mine)" '2{"some":"file"}'
check "and why" says 'line 1 of "mine" is no result of bulkhead map'

# ---- ending early ----

map --unordered --max-deaths 3 <inputs
check "max-deaths" is "$status$(jq -r 'select(.outcome == "died").outcome' out | head -n 3 |
    tr '\n' ' ')" '3died died died '
check "says so" grep -qE "stopped after [3-9] deaths, which is --max-deaths" err
status=0
"${bulkhead[@]}" map --worker "$work/nothing" divide <inputs >out 2>err || status=$?
check "without a worker there is no result" is "$status$(wc -c <out)" 50
check "and it says why" says "$not_there"
tag=map-test-$$
env --default-signal=INT "${bulkhead[@]}" map --name "$tag" --worker "$bin/mishaps$exe" die \
    <in >out 2>err &
pid=$!
exec 3>in
echo '"hang"' >&3
await "$tag,"
kill -INT $pid
wait $pid
status=$?
exec 3>&-
check "interrupted" is "$status$(wc -c <out)" 1300

for usage in "--files x --files0-from -" "--paths" "--max-deaths x" "--resume /nonexistent/x"; do
    # shellcheck disable=SC2086 # words
    map $usage </dev/null
    check "usage: $usage" is "$status" 2
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
