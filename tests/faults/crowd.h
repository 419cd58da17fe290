/* SPDX-License-Identifier: MIT */
/**
 * @file crowd.h
 * What the fault tests share: options for a pool of crowd_workers, one checked call, and sums that
 * must agree.
 */
#ifndef BH_TESTS_CROWD_H
#define BH_TESTS_CROWD_H

#include "check.h"

#include <bulkhead/bulkhead.h>

#include <stdlib.h>
#include <string.h>

#define CROWD_WORKER BH_TEST_DIR "/crowd_worker"

static inline struct bh_pool_options crowd_options(uint32_t workers)
{
    struct bh_pool_options options;

    bh_pool_options_init(&options);
    options.worker = CROWD_WORKER;
    options.min_workers = workers;
    options.max_workers = workers;
    options.start_timeout_ms = 10000u * (unsigned)kit_slowdown();
    options.templates = kit_templates();
    return options;
}

static inline bh_pool *crowd_open(const struct bh_pool_options *options)
{
    struct bh_problem problem = {0};
    bh_pool *pool;

    if (bh_pool_open(&pool, options, &problem))
        FAIL("bh_pool_open: %s", problem.text);
    return pool;
}

/** One call of answer(n, mode). A reply must be right. */
static inline enum bh_outcome crowd_call(bh_pool *pool, int64_t n, const char *mode,
                                         struct bh_result *result)
{
    bh_value arguments[] = {bh_value_int64(n), bh_value_view(mode)};
    enum bh_outcome outcome = bh_pool_invoke(pool, "answer", arguments, 2, result);
    int64_t reply;

    if (outcome == BH_OUTCOME_REPLIED) {
        CHECK_INT(bh_value_get_int64(&result->reply, &reply), BH_OK);
        CHECK_INT(reply, 3 * n + 1);
    }
    return outcome;
}

/** Whether every counter of a pool at rest agrees with every other. */
static inline void crowd_check_sums(const struct bh_snapshot *snapshot)
{
    uint64_t outcomes = 0, refusals = 0;

    for (int i = 0; i < BH_OUTCOME_COUNT; i++)
        outcomes += snapshot->outcome[i];
    for (int i = 0; i < BH_REFUSAL_COUNT; i++)
        refusals += snapshot->refusal[i];
    CHECK_INT(snapshot->queued, 0);
    CHECK_INT(snapshot->running, 0);
    CHECK_INT(outcomes, snapshot->submitted);
    CHECK_INT(refusals, snapshot->outcome[BH_OUTCOME_REFUSED]);
}

static inline uint64_t crowd_deaths(const struct bh_snapshot *snapshot, enum bh_phase phase)
{
    uint64_t deaths = 0;

    for (int i = 0; i < BH_CAUSE_COUNT; i++)
        deaths += snapshot->death[phase][i];
    return deaths;
}

#endif
