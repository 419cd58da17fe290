#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 300
#
# Checks the models of the wake-up and claim protocols and of the slots with spin, then breaks them on
# purpose: every MUTANT_… in a source must be caught, or the models would prove nothing. README.md
# says more.
set -euo pipefail

models=$(cd "$(dirname "$0")" && pwd)
model=
for tool in spin "${CC:=gcc}"; do
    if ! command -v "$tool" >/dev/null; then
        echo "skipped: $tool is not installed"
        exit 77
    fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

passed=0
failed=0
readonly incomplete='Search not completed|max search depth'

# say ok|FAILED NAME TEXT
say() {
    case $1 in
    ok) passed=$((passed + 1)) ;;
    *) failed=$((failed + 1)) ;;
    esac
    printf '%-6s %-34s %s\n' "$1" "$2" "$3"
}

# check safety|progress -O… [-DNAME …]: leaves pan's report in the file `report`.
check() {
    local kind=$1 optimise=$2
    shift 2
    rm -f pan* ./*.trail
    spin -a "$@" "$model" >spin.log || return 1
    case $kind in
    safety)
        "$CC" -w "$optimise" -DSAFETY -DCOLLAPSE -DMEMLIM=2048 -o pan pan.c &&
            ./pan -m100000 >report
        ;;
    progress)
        "$CC" -w "$optimise" -DNP -DCOLLAPSE -DMEMLIM=2048 -o pan pan.c &&
            ./pan -l -m100000 >report
        ;;
    esac
}

# must_hold NAME KIND [-DNAME …]: the whole state space was searched without an error, and no
# statement of the model is dead.
must_hold() {
    local name=$1 kind=$2 states seconds
    shift 2
    if ! check "$kind" -O2 "$@"; then
        say FAILED "$name" "spin, the compiler or pan failed"
        return
    fi
    states=$(sed -nE 's/^ *([0-9.e+]+) states, stored.*/\1/p' report)
    seconds=$(sed -nE 's/^pan: elapsed time ([0-9.]+) seconds.*/\1/p' report)
    if ! grep -q 'errors: 0$' report || grep -qE "$incomplete" report; then
        say FAILED "$name" "$(grep -E "^pan:1:|errors:|$incomplete" report | tr '\n' ' ')"
    elif [ "$kind" = safety ] &&
        grep -A2 '^unreached in' report | grep -E '^\s+\S*[a-z]+\.pml:' >/dev/null; then
        say FAILED "$name" "a statement is never reached"
    else
        say ok "$name" "errors: 0, $states states, ${seconds:-0} s"
    fi
}

# must_fail MUTANT: pan finds an error in it, whatever it is. What spins is no error of safety.
must_fail() {
    local kind=safety found
    case $1 in
    MUTANT_spin_*) kind=progress ;;
    esac
    check "$kind" -O0 "-D$1" || true
    found=$(sed -nE 's/^pan:1: (.*) \(at depth.*/\1/p' report)
    if grep -qE 'errors: [1-9]' report; then
        say ok "${1#MUTANT_}" "caught: $found"
    else
        say FAILED "${1#MUTANT_}" "not caught"
    fi
}

must_fail_all() {
    local mutant mutants
    mapfile -t mutants < <(grep -oE 'MUTANT_[a-z_0-9]+' "$model" | sort -u)
    for mutant in "${mutants[@]}"; do
        : >report
        must_fail "$mutant"
    done
}

model=$models/wakeup.pml
must_hold "safety" safety
must_hold "no spinning" progress -DRINGS=0
must_fail_all

model=$models/slots.pml
must_hold "slots: claims" safety -DNO_CANCELLER
must_hold "slots: taking back" safety -DNO_CLAIMANT -DNO_HANGS
must_fail_all

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
