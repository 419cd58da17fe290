#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Breaks each guarantee on purpose, in a copy of the sources, and demands that the test that guards it
# fails. A mutant is: name, test (a CTest name), and pairs of file and Perl substitution.
#
# usage: run.sh [PART-OF-A-NAME …]
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
work=$PWD/build/mutants
copy=$work/source
log=$work/log
passed=0 failed=0
wanted=("$@")

# A copy of what is in the checkout, committed or not; unchanged files keep their times.
make_copy() {
    mkdir -p "$copy"
    git ls-files -co --exclude-standard -z | tar -c --null -T - | tar -x -C "$copy"
}

# build TEST: what it needs. What is broken need not please the compiler.
build() {
    local targets=(all) programs=(mishaps bulkhead bulkhead-host bulkhead-launcher)
    case $1 in
    unit.*) targets=("unit-${1#*.}_test") ;;
    *_test) ;; # a script
    *.*) targets=("${1%%.*}-${1#*.}_test" test-workers "${programs[@]}") ;;
    esac
    (cd "$copy" && cmake --preset release -DBH_WERROR=OFF &&
        cmake --build --preset release --target "${targets[@]}") >"$log" 2>&1
}

run_test() {
    ctest --test-dir "$copy/build/release" -R "^$1\$" --no-tests=error >"$log" 2>&1
}

verdict() { # name, word, whether it is good
    if (($3)); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
    printf '%-36s %s\n' "$1" "$2"
}

is_wanted() {
    local part
    ((${#wanted[@]})) || return 0
    for part in "${wanted[@]}"; do
        [[ $1 != *"$part"* ]] || return 0
    done
    return 1
}

# Applies the substitutions; fails when one of them changes nothing.
break_it() {
    while (($#)); do
        cp -p "$copy/$1" "$copy/$1.sound"
        perl -0pi -e "$2" "$copy/$1"
        touch "$copy/$1"
        if cmp -s "$copy/$1" "$copy/$1.sound"; then
            return 1
        fi
        shift 2
    done
}

mend_it() {
    while (($#)); do
        if [[ -e $copy/$1.sound ]]; then
            mv "$copy/$1.sound" "$copy/$1"
            touch "$copy/$1"
        fi
        shift 2
    done
}

mutant() {
    local name=$1 test=$2
    shift 2
    is_wanted "$name" || return 0
    if ! break_it "$@"; then
        verdict "$name" 'DOES NOT APPLY: the code has changed, change the mutant' 0
    elif ! build "$test"; then
        verdict "$name" "DOES NOT BUILD: see $log" 0
        cp "$log" "$work/$name.log"
    elif run_test "$test"; then
        verdict "$name" "SURVIVES $test" 0
    else
        verdict "$name" "caught by $test" 1
    fi
    mend_it "$@"
}

make_copy
build all || {
    cat "$log"
    exit 1
}

# ---- Linux: nothing outlives the dispatcher, nothing of ours is seen by the host ------------------
mutant strays-live faults.orphans \
    src/launcher/strays.c 's/\n    kill\(pid, SIGKILL\);\n/\n/'
mutant dispatcher-not-watched faults.forked \
    src/launcher/main.c 's/if \(what == &on_dispatcher\)\n        leave\(launcher\);/if (what == &on_dispatcher)\n        epoll_ctl(launcher->epoll, EPOLL_CTL_DEL, BHL_FD_DISPATCHER, NULL);/'
mutant launcher-loss-kills-nobody faults.launcher \
    src/launcher/start.c 's/PR_SET_PDEATHSIG, SIGKILL/PR_SET_PDEATHSIG, 0/' \
    src/platform/linux/life.c 's/        bhl_pidfd_kill\(pidfd\);\n        bhl_pidfd_kill_group\(pidfd\);//' \
    src/platform/linux/worker_attach.c 's/PR_SET_PDEATHSIG, SIGKILL/PR_SET_PDEATHSIG, 0/'
mutant intermediate-signals-its-end integration.host \
    src/platform/linux/birth.c 's/CLONE_PIDFD \| CLONE_FILES, b/CLONE_PIDFD | CLONE_FILES | SIGCHLD, b/'
mutant fork-not-noticed integration.host \
    src/platform/linux/nursery.c 's/MADV_WIPEONFORK\) != 0/MADV_NORMAL) != 0/'

# ---- delivery -------------------------------------------------------------------------------------
mutant never-started-is-charged faults.idle_kill \
    src/core/death.c 's/box->started == begun \?/box->started == begun + 1 ?/'
mutant started-is-sent-again unit.call \
    src/core/death.c 's/BH_DELIVERY_NEVER_STARTED : BH_DELIVERY_STARTED;/BH_DELIVERY_NEVER_STARTED : BH_DELIVERY_NEVER_STARTED;/'
mutant any-started-word-is-a-proof unit.death \
    src/core/death.c 's/box->started == begun \?/box->started != serial + 0 * begun ?/'
mutant requeued-at-the-tail unit.call \
    src/core/attempt.c 's/bhi_queue_submit\(pool, ticket, true\)/bhi_queue_submit(pool, ticket, false)/'
mutant claim-always-hits unit.call \
    src/core/queue.c 's/hit = atomic_compare_exchange_strong\(&ticket->life->claim, &running, running \| 1\);/hit = (running |= 1) != 0;/'

mutant session-served-by-another unit.session \
    src/core/attempt.c 's/if \(unserved && ticket->session\)/if (unserved && ticket->session && !life)/'
mutant queued-deadline-forgotten unit.async \
    src/core/due.c 's/while \(bhi_due_next\(pool\) <= now\)/while (false && now)/'

mutant kill-hits-those-behind unit.slots \
    src/core/queue.c 's/\n            bhi_slots_take_back\(ticket->life\);[^\n]*//'
mutant those-behind-the-dead-are-charged unit.slots \
    src/core/slots.c 's/        life->begun = serial;/        life->begun = life->begun;/'
mutant lagging-death-blames-the-first unit.slots \
    src/core/slots.c 's/box->committed >= ticket->serial && box->committed <= life->serial;/box->committed > life->serial \&\& box->committed < life->serial;/'
mutant waits-behind-a-hang unit.slots \
    src/core/queue.c 's/        bhi_slots_share\(life->pool\);/        (void)0;/'
mutant revoked-is-run platform.worker_slots \
    src/platform/linux/worker_slots.c 's/bool revoked = atomic_load\(&slot->revoked\) == serial;/bool revoked = false;/'
mutant revoke-always-wins platform.slots \
    src/platform/linux/lane_slots.c 's/if \(started < serial\) \{/if (started < UINT64_MAX) {/'

# ---- evidence ----------------------------------------------------------------------------------------
mutant hearsay-is-believed unit.death \
    src/core/death.c 's/return \(uint32_t\)fault->signal == obituary->code;/return true;/'
mutant memory-limit-not-held integration.cli_test \
    src/core/supervise.c 's/if \(limit && rss > limit\)/if (limit && rss > limit * 1000)/'

# ---- templates --------------------------------------------------------------------------------------
mutant template-keeps-what-it-owes integration.template \
    src/launcher/template.c 's/while \(\(owed = first_ordered/while (0 \&\& (owed = first_ordered/'
mutant template-names-any-worker platform.template \
    src/launcher/template.c 's/worker_by_pid\(launcher, \(pid_t\)pid\) == NULL/true/'
mutant template-names-any-process platform.template \
    src/launcher/template.c 's/getsid\(\(pid_t\)pid\) == \(pid_t\)pid/true/'
mutant forked-worker-hidden integration.template \
    src/platform/linux/worker_template.c 's/i < 2(?=; i\+\+\)\n +memcpy)/i < 1/'
mutant forked-worker-repeats-output integration.template \
    src/platform/linux/worker_template.c 's/fflush\(NULL\);/;/'
mutant old-template-for-new-generation unit.template \
    src/core/lives.c 's/bhp_nursery_renew\(pool->nursery\);/;/'

printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
