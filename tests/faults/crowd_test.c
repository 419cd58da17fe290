/* SPDX-License-Identifier: MIT */
/*
 * A crowd of callers while workers crash in every phase: each request ends exactly once, with its
 * own reply or its own death, and everything adds up.
 *
 * timeout: 200
 */
#include "crowd.h"

#include <stdatomic.h>
#include <stdio.h>

struct scale {
    unsigned workers, callers;
    int64_t requests;
    int64_t permille;        /* of requests that crash; as many crash their worker afterwards */
    const char *start_crash; /* one start in so many */
};

static const struct scale in_full = {8, 200, 200000, 10, "50"};
static const struct scale slowly = {8, 200, 20000, 10, "50"};
static const struct scale on_windows = {4, 8, 5000, 25, "20"};

struct crowd {
    const struct scale *scale;
    bh_pool *pool;
    _Atomic int64_t next;
    _Atomic int64_t replied;
    _Atomic int64_t died;
};

static const char *mode_of(const struct scale *scale, int64_t n)
{
    int64_t lot = n * 7919 % 1000;

    if (lot < scale->permille)
        return "crash";
    return lot < 2 * scale->permille ? "crash idle" : "reply";
}

static void check_death(const struct bh_result *result)
{
    CHECK(result->has_death);
    CHECK_INT(result->death.phase, BH_PHASE_REQUEST);
    CHECK_INT(result->death.cause, BH_CAUSE_FAULT);
    CHECK_INT(result->death.serial, result->serial);
    CHECK_INT(result->death.address, 0);
    CHECK_INT(result->delivery, BH_DELIVERY_STARTED);
    CHECK_INT(result->attempts, 1);
}

static void call_on(void *context)
{
    struct crowd *crowd = context;
    int64_t n;

    while ((n = atomic_fetch_add(&crowd->next, 1)) < crowd->scale->requests) {
        struct bh_result result;
        bool crashes = strcmp(mode_of(crowd->scale, n), "crash") == 0;
        enum bh_outcome outcome = crowd_call(crowd->pool, n, mode_of(crowd->scale, n), &result);
        if (outcome != (crashes ? BH_OUTCOME_DIED : BH_OUTCOME_REPLIED))
            FAIL("request %lld (%s) ended as %s: %s", (long long)n, mode_of(crowd->scale, n),
                 bh_outcome_name(outcome), result.text ? result.text : "");
        if (crashes)
            check_death(&result);
        atomic_fetch_add(crashes ? &crowd->died : &crowd->replied, 1);
        bh_result_deinit(&result);
    }
}

static void run_callers(struct crowd *crowd)
{
    unsigned count = crowd->scale->callers;
    kit_thread **callers = calloc(count, sizeof(*callers));

    for (unsigned i = 0; i < count; i++)
        callers[i] = kit_thread_start(call_on, crowd);
    for (unsigned i = 0; i < count; i++)
        kit_thread_join(callers[i]);
    free(callers);
}

static void check_account(struct crowd *crowd)
{
    struct bh_snapshot snapshot;
    int64_t crashes = 0, idle_crashes = 0;

    for (int64_t n = 0; n < crowd->scale->requests; n++) {
        crashes += strcmp(mode_of(crowd->scale, n), "crash") == 0;
        idle_crashes += strcmp(mode_of(crowd->scale, n), "crash idle") == 0;
    }
    CHECK_INT(bh_pool_snapshot(crowd->pool, &snapshot), BH_OK);
    crowd_check_sums(&snapshot);
    CHECK_INT(snapshot.submitted, crowd->scale->requests);
    CHECK_INT(crowd->died, crashes);
    CHECK_INT(crowd->replied + crowd->died, crowd->scale->requests);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_REPLIED], crowd->replied);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_DIED], crowd->died);
    CHECK_INT(snapshot.death[BH_PHASE_REQUEST][BH_CAUSE_FAULT], crashes);
    CHECK_INT(crowd_deaths(&snapshot, BH_PHASE_REQUEST), crashes);
    /* the last few may still be dying */
    CHECK(snapshot.death[BH_PHASE_IDLE][BH_CAUSE_FAULT] + crowd->scale->workers >=
          (uint64_t)idle_crashes);
    CHECK(crowd_deaths(&snapshot, BH_PHASE_START_UP) > 0);
    printf("%lld requests: %lld replied, %lld died; deaths: %llu start-up, %llu request, %llu "
           "between; %llu requeued\n",
           (long long)crowd->scale->requests, (long long)crowd->replied, (long long)crowd->died,
           (unsigned long long)crowd_deaths(&snapshot, BH_PHASE_START_UP),
           (unsigned long long)crowd_deaths(&snapshot, BH_PHASE_REQUEST),
           (unsigned long long)crowd_deaths(&snapshot, BH_PHASE_IDLE),
           (unsigned long long)snapshot.requeued);
    bh_snapshot_deinit(&snapshot);
}

TEST_TIMEOUT(every_request_of_a_crowd_is_accounted_for_while_workers_crash, 180)
{
    struct crowd crowd = {.scale = KIT_WINDOWS          ? &on_windows
                                   : kit_slowdown() > 1 ? &slowly
                                                        : &in_full};
    const char *const arguments[] = {"--start-crash", crowd.scale->start_crash, NULL};
    struct bh_pool_options options = crowd_options(crowd.scale->workers);

    options.arguments = arguments;
    options.crash_loop_limit = 1000;
    options.backoff_initial_ms = 1;
    options.backoff_max_ms = 4;
    crowd.pool = crowd_open(&options);
    run_callers(&crowd);
    check_account(&crowd);
    bh_pool_close(crowd.pool);
}
