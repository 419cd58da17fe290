/* SPDX-License-Identifier: MIT */
/**
 * @file probe.h
 * Pools of probe_workers and of mishaps, and calls that must end as they should.
 */
#ifndef BH_TESTS_PROBE_H
#define BH_TESTS_PROBE_H

#include "check.h"

#include <bulkhead/bulkhead.h>

#include <string.h>

#define PROBE_WORKER BH_TEST_DIR "/probe_worker"
#define MISHAPS BH_TEST_BIN_DIR "/mishaps"

static inline struct bh_pool_options probe_options(uint32_t workers)
{
    struct bh_pool_options options;

    bh_pool_options_init(&options);
    options.worker = PROBE_WORKER;
    options.min_workers = options.max_workers = workers;
    options.start_timeout_ms = 10000u * (unsigned)kit_slowdown();
    options.templates = kit_templates();
    return options;
}

static inline struct bh_pool_options mishaps_options(uint32_t workers)
{
    struct bh_pool_options options = probe_options(workers);

    options.worker = MISHAPS;
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

/** Calls with one text, or with nothing, and demands this outcome. The caller frees the result. */
static inline void probe_expect(bh_pool *pool, const char *method, const char *argument,
                                enum bh_outcome expected, struct bh_result *result)
{
    bh_value value = bh_value_view(argument ? argument : "");
    char death[300] = "";

    if (bh_pool_invoke(pool, method, &value, argument ? 1 : 0, result) == expected)
        return;
    if (result->has_death)
        bh_death_describe(&result->death, death, sizeof(death));
    FAIL("%s(%s): %s instead of %s; %s %s", method, argument ? argument : "",
         bh_outcome_name(result->outcome), bh_outcome_name(expected),
         result->text ? result->text : "", death);
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
