/* SPDX-License-Identifier: MIT */
/*
 * A crowd of callers while workers crash in every phase: each request ends exactly once, with its
 * own reply or its own death, and everything adds up.
 *
 * timeout: 200
 */
#include "crowd.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define WORKERS 8
#define START_CRASH "50" /* one start in fifty */

struct crowd {
    bh_pool *pool;
    int64_t requests;
    _Atomic int64_t next;
    _Atomic int64_t replied;
    _Atomic int64_t died;
};

/* One request in a hundred crashes, another one in a hundred crashes its worker afterwards. */
static const char *mode_of(int64_t n)
{
    int64_t lot = n * 7919 % 100;

    return lot == 13 ? "crash" : lot == 57 ? "crash idle" : "reply";
}

static void check_death(const struct bh_result *result)
{
    CHECK(result->has_death);
    CHECK_INT(result->death.phase, BH_PHASE_REQUEST);
    CHECK_INT(result->death.cause, BH_CAUSE_FAULT);
    CHECK_INT(result->death.serial, result->serial);
    CHECK_STR(result->death.signal_name, "SIGSEGV");
    CHECK_INT(result->death.address, 0);
    CHECK_INT(result->delivery, BH_DELIVERY_STARTED);
    CHECK_INT(result->attempts, 1);
}

static void *call_on(void *context)
{
    struct crowd *crowd = context;
    int64_t n;

    while ((n = atomic_fetch_add(&crowd->next, 1)) < crowd->requests) {
        struct bh_result result;
        bool crashes = strcmp(mode_of(n), "crash") == 0;
        enum bh_outcome outcome = crowd_call(crowd->pool, n, mode_of(n), &result);
        if (outcome != (crashes ? BH_OUTCOME_DIED : BH_OUTCOME_REPLIED))
            FAIL("request %lld (%s) ended as %s: %s", (long long)n, mode_of(n),
                 bh_outcome_name(outcome), result.text ? result.text : "");
        if (crashes)
            check_death(&result);
        atomic_fetch_add(crashes ? &crowd->died : &crowd->replied, 1);
        bh_result_deinit(&result);
    }
    return NULL;
}

static void run_threads(struct crowd *crowd, unsigned threads)
{
    pthread_t *handles = calloc(threads, sizeof(*handles));
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    for (unsigned i = 0; i < threads; i++)
        CHECK_INT(pthread_create(&handles[i], &attributes, call_on, crowd), 0);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(handles[i], NULL);
    pthread_attr_destroy(&attributes);
    free(handles);
}

static void check_account(struct crowd *crowd)
{
    struct bh_snapshot snapshot;
    int64_t crashes = 0, idle_crashes = 0;

    for (int64_t n = 0; n < crowd->requests; n++) {
        crashes += strcmp(mode_of(n), "crash") == 0;
        idle_crashes += strcmp(mode_of(n), "crash idle") == 0;
    }
    CHECK_INT(bh_pool_snapshot(crowd->pool, &snapshot), BH_OK);
    crowd_check_sums(&snapshot);
    CHECK_INT(snapshot.submitted, crowd->requests);
    CHECK_INT(crowd->died, crashes);
    CHECK_INT(crowd->replied + crowd->died, crowd->requests);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_REPLIED], crowd->replied);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_DIED], crowd->died);
    CHECK_INT(snapshot.death[BH_PHASE_REQUEST][BH_CAUSE_FAULT], crashes);
    CHECK_INT(crowd_deaths(&snapshot, BH_PHASE_REQUEST), crashes);
    /* the last few may still be dying */
    CHECK(snapshot.death[BH_PHASE_IDLE][BH_CAUSE_FAULT] + WORKERS >= (uint64_t)idle_crashes);
    CHECK(crowd_deaths(&snapshot, BH_PHASE_START_UP) > 0);
    printf("%lld requests: %lld replied, %lld died; deaths: %llu start-up, %llu request, %llu "
           "between; %llu requeued\n",
           (long long)crowd->requests, (long long)crowd->replied, (long long)crowd->died,
           (unsigned long long)crowd_deaths(&snapshot, BH_PHASE_START_UP),
           (unsigned long long)crowd_deaths(&snapshot, BH_PHASE_REQUEST),
           (unsigned long long)crowd_deaths(&snapshot, BH_PHASE_IDLE),
           (unsigned long long)snapshot.requeued);
    bh_snapshot_deinit(&snapshot);
}

TEST_TIMEOUT(two_hundred_callers_and_two_percent_of_crashes, 180)
{
    static const char *const arguments[] = {"--start-crash", START_CRASH, NULL};
    struct bh_pool_options options = crowd_options(WORKERS);
    struct crowd crowd = {0};

    options.arguments = arguments;
    options.crash_loop_limit = 1000;
    options.backoff_initial_ms = 1;
    options.backoff_max_ms = 4;
    crowd.requests = kit_slowdown() > 1 ? 20000 : 200000;
    crowd.pool = crowd_open(&options);
    run_threads(&crowd, 200);
    check_account(&crowd);
    bh_pool_close(crowd.pool);
}
