/* SPDX-License-Identifier: MIT */
/* timeout: 120 */
/*
 * Many callers, and workers that crash at random: at start-up, in a request and between requests.
 * Every request gets its own answer or an exact account of why not, and the sums add up.
 */
#include "rig.h"

#include <stdlib.h>

#define CALLERS 8
#define ROUNDS 60

struct crowd {
    bh_pool *pool;
    _Atomic uint64_t outcome[BH_OUTCOME_COUNT];
    _Atomic int wrong;
    _Atomic uint64_t died[BH_PHASE_COUNT];
};

static void on_event(void *context, const struct bh_event *event)
{
    struct crowd *crowd = context;

    if (event->type == BH_EVENT_DIED)
        crowd->died[event->death->phase]++;
}

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

/* A worker may also end between its handler's last word and the reply's way through COM: then it
 * died between requests, and the request's answer is lost all the same. */
static bool died_of_it(const struct bh_result *result)
{
    const struct bh_death *death = &result->death;

    if (result->outcome != BH_OUTCOME_DIED || !result->has_death ||
        result->delivery == BH_DELIVERY_NEVER_STARTED)
        return false;
    return death->phase == BH_PHASE_REQUEST ? death->serial == result->serial
                                            : death->phase == BH_PHASE_IDLE && death->serial == 0;
}

/* A request is an echo, or one that crashes, or one whose worker crashes a little later. */
static void one_request(struct crowd *crowd, uint32_t *state, int64_t tag)
{
    static const char *const kinds[] = {"violation", "abort", "exit", "thread", "exit-now"};
    bh_value argument = bh_value_int64(tag);
    const char *method = "echo";
    struct bh_result result;
    uint32_t dice = next(state) % 10;

    if (dice < 2) {
        method = dice == 0 ? "mishap" : "later";
        argument = bh_value_view(kinds[next(state) % 5]);
    }
    bh_pool_invoke(crowd->pool, method, &argument, 1, &result);
    crowd->outcome[result.outcome]++;
    bool good = result.outcome == BH_OUTCOME_REPLIED
                    ? dice == 1 || (dice > 1 && bh_value_equal(&result.reply, &argument))
                    : died_of_it(&result);
    if (!good) {
        crowd->wrong++;
        printf("# %s: %s\n", method, rig_describe(&result));
    }
    bh_result_deinit(&result);
}

struct caller {
    struct crowd *crowd;
    uint32_t seed;
};

static DWORD WINAPI call_many(void *context)
{
    struct caller *caller = context;

    for (int i = 0; i < ROUNDS; i++)
        one_request(caller->crowd, &caller->seed, (int64_t)caller->seed << 16 | i);
    return 0;
}

static void run_callers(struct crowd *crowd)
{
    struct caller callers[CALLERS];
    HANDLE threads[CALLERS];

    for (uint32_t i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){crowd, i * 7919 + 17};
        threads[i] = CreateThread(NULL, 0, call_many, &callers[i], 0, NULL);
    }
    WaitForMultipleObjects(CALLERS, threads, TRUE, INFINITE);
    for (int i = 0; i < CALLERS; i++)
        CloseHandle(threads[i]);
}

static void check_sums(struct crowd *crowd, const struct bh_snapshot *snapshot)
{
    CHECK_INT(crowd->wrong, 0);
    CHECK_INT(snapshot->submitted, CALLERS * ROUNDS);
    CHECK_INT(crowd->outcome[BH_OUTCOME_REPLIED] + crowd->outcome[BH_OUTCOME_DIED],
              CALLERS * ROUNDS);
    for (unsigned i = 0; i < BH_OUTCOME_COUNT; i++)
        CHECK_INT(crowd->outcome[i], snapshot->outcome[i]);
    for (unsigned cause = 0; cause < BH_CAUSE_COUNT; cause++) {
        if (snapshot->death[BH_PHASE_REQUEST][cause] + snapshot->death[BH_PHASE_IDLE][cause] > 0)
            CHECK(cause == BH_CAUSE_FAULT || cause == BH_CAUSE_ABORT || cause == BH_CAUSE_EXIT);
    }
}

TEST_TIMEOUT(every_request_gets_its_answer_or_an_account_of_why_not, 100)
{
    static const char *const arguments[] = {"--sometimes=violation", NULL};
    struct bh_pool_options options = rig_options(4);
    struct crowd crowd = {.wrong = 0};
    struct bh_snapshot snapshot;

    options.arguments = arguments;
    options.backoff_initial_ms = 1;
    options.backoff_max_ms = 5;
    options.crash_loop_limit = 100;
    options.on_event = on_event;
    options.event_context = &crowd;
    crowd.pool = rig_open(&options);
    run_callers(&crowd);
    CHECK_INT(bh_pool_snapshot(crowd.pool, &snapshot), BH_OK);
    printf("# %llu replied, %llu died, %llu went back; %llu starts; deaths: %llu at start-up, %llu "
           "in requests, %llu between\n",
           (unsigned long long)crowd.outcome[BH_OUTCOME_REPLIED],
           (unsigned long long)crowd.outcome[BH_OUTCOME_DIED],
           (unsigned long long)snapshot.requeued, (unsigned long long)snapshot.starts,
           (unsigned long long)crowd.died[BH_PHASE_START_UP],
           (unsigned long long)crowd.died[BH_PHASE_REQUEST],
           (unsigned long long)crowd.died[BH_PHASE_IDLE]);
    check_sums(&crowd, &snapshot);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(crowd.pool);
}
