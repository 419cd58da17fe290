/* SPDX-License-Identifier: MIT */
/*
 * Workers killed between requests, under load: no request is lost to it, charged for it or answered
 * wrongly. Most kill themselves the moment their reply is out, which is where the race is; some are
 * killed from outside.
 *
 * timeout: 200
 */
#include "crowd.h"

#include <stdatomic.h>
#include <stdio.h>

#define WORKERS 4
#define CALLERS 16

struct load {
    bh_pool *pool;
    int64_t kills;
    _Atomic int64_t next;
    _Atomic bool done;
};

static void call_checked(struct load *load, int64_t n, const char *mode)
{
    struct bh_result result;
    enum bh_outcome outcome = crowd_call(load->pool, n, mode, &result);

    if (outcome != BH_OUTCOME_REPLIED) {
        char line[300] = "";
        if (result.has_death)
            bh_death_describe(&result.death, line, sizeof(line));
        FAIL("request %lld (%s) ended as %s: %s %s", (long long)n, mode, bh_outcome_name(outcome),
             result.text ? result.text : "", line);
    }
    CHECK_INT(result.attempts, 1);
    bh_result_deinit(&result);
}

static void kill_on(void *context)
{
    struct load *load = context;
    int64_t n;

    while ((n = atomic_fetch_add(&load->next, 1)) < load->kills) {
        call_checked(load, n, "kill idle");
        call_checked(load, n, "reply");
    }
}

TEST_TIMEOUT(workers_that_die_between_requests_cost_nothing, 180)
{
    struct bh_pool_options options = crowd_options(WORKERS);
    struct bh_snapshot snapshot;
    struct load load = {0};
    kit_thread *callers[CALLERS];

    load.kills = KIT_WINDOWS ? 200 : kit_slowdown() > 1 ? 1000 : 10000;
    load.pool = crowd_open(&options);
    for (int i = 0; i < CALLERS; i++)
        callers[i] = kit_thread_start(kill_on, &load);
    for (int i = 0; i < CALLERS; i++)
        kit_thread_join(callers[i]);
    bh_pool_drain(load.pool);
    CHECK_INT(bh_pool_snapshot(load.pool, &snapshot), BH_OK);
    crowd_check_sums(&snapshot);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_REPLIED], 2 * load.kills);
    CHECK_INT(crowd_deaths(&snapshot, BH_PHASE_REQUEST), 0);
    CHECK(crowd_deaths(&snapshot, BH_PHASE_IDLE) + WORKERS >= (uint64_t)load.kills);
    CHECK(snapshot.requeued > 0);
    printf("%lld kills, %llu requests went back to the queue\n", (long long)load.kills,
           (unsigned long long)snapshot.requeued);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(load.pool);
}

/* ---- from outside ---- */

static void call_until_done(void *context)
{
    struct load *load = context;

    while (!atomic_load(&load->done))
        call_checked(load, atomic_fetch_add(&load->next, 1), "reply");
}

/* Stops a worker; if it is idle once it cannot move any more, no request can begin in it: kill it.
 */
static bool kill_one_idle(struct load *load)
{
    struct bh_snapshot before, after;
    bool killed = false;
    int pid = 0;

    CHECK_INT(bh_pool_snapshot(load->pool, &before), BH_OK);
    for (size_t i = 0; i < before.worker_count && !pid; i++)
        if (before.workers[i].state == BH_WORKER_IDLE)
            pid = (int)before.workers[i].pid;
    bh_snapshot_deinit(&before);
    if (!pid || !kit_pid_stop(pid))
        return false;
    CHECK_INT(bh_pool_snapshot(load->pool, &after), BH_OK);
    for (size_t i = 0; i < after.worker_count; i++)
        if (after.workers[i].pid == pid && after.workers[i].state == BH_WORKER_IDLE)
            killed = kit_pid_kill(pid);
    if (!killed)
        kit_pid_continue(pid);
    bh_snapshot_deinit(&after);
    return killed;
}

TEST_TIMEOUT(idle_workers_killed_from_outside_cost_nothing, 120)
{
    struct bh_pool_options options = crowd_options(WORKERS);
    struct bh_snapshot snapshot;
    struct load load = {0};
    kit_thread *callers[2];
    int kills = 0;
    int wanted = KIT_WINDOWS ? 20 : kit_slowdown() > 1 ? 50 : 300;
    int64_t until = kit_now_ms() + 60000;

    load.pool = crowd_open(&options);
    for (int i = 0; i < 2; i++)
        callers[i] = kit_thread_start(call_until_done, &load);
    while (kills < wanted && kit_now_ms() < until)
        kills += kill_one_idle(&load);
    atomic_store(&load.done, true);
    for (int i = 0; i < 2; i++)
        kit_thread_join(callers[i]);
    CHECK_INT(kills, wanted);
    CHECK_INT(bh_pool_snapshot(load.pool, &snapshot), BH_OK);
    crowd_check_sums(&snapshot);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_DIED], 0);
    CHECK_INT(crowd_deaths(&snapshot, BH_PHASE_REQUEST), 0);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(load.pool);
}
