/* SPDX-License-Identifier: MIT */
/**
 * @file probe.h
 * Pools of probe_workers, and calls that must go right.
 */
#ifndef BH_TESTS_PROBE_H
#define BH_TESTS_PROBE_H

#include "check.h"

#include <bulkhead/bulkhead.h>

#include <string.h>

#define PROBE_WORKER BH_TEST_DIR "/probe_worker"

static inline struct bh_pool_options probe_options(uint32_t workers)
{
    struct bh_pool_options options;

    bh_pool_options_init(&options);
    options.worker = PROBE_WORKER;
    options.min_workers = options.max_workers = workers;
    return options;
}

static inline bh_pool *probe_open(const struct bh_pool_options *options)
{
    struct bh_problem problem = {0};
    bh_pool *pool;

    if (bh_pool_open(&pool, options, &problem))
        FAIL("bh_pool_open: %s", problem.text);
    return pool;
}

/** Calls and demands a reply, which the caller frees with the result. */
static inline void probe_call(bh_pool *pool, const char *method, const bh_value *arguments,
                              size_t count, struct bh_result *result)
{
    if (bh_pool_invoke(pool, method, arguments, count, result) != BH_OUTCOME_REPLIED)
        FAIL("%s: %s %s", method, bh_outcome_name(result->outcome),
             result->text ? result->text : "");
}

static inline int64_t probe_number(bh_pool *pool, const char *method)
{
    struct bh_result result;
    int64_t number = 0;

    probe_call(pool, method, NULL, 0, &result);
    CHECK_INT(bh_value_get_int64(&result.reply, &number), BH_OK);
    bh_result_deinit(&result);
    return number;
}

/** Calls and checks that the reply is this string; NULL: null. */
static inline void probe_check_text(bh_pool *pool, const char *method, const char *argument,
                                    const char *expected)
{
    bh_value value = bh_value_view(argument ? argument : "");
    struct bh_result result;

    probe_call(pool, method, &value, argument ? 1 : 0, &result);
    if (expected)
        CHECK_STR(result.reply.type == BH_STRING ? result.reply.as.string : NULL, expected);
    else
        CHECK_INT(result.reply.type, BH_NULL);
    bh_result_deinit(&result);
}

#endif
