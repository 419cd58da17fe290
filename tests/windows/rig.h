/* SPDX-License-Identifier: MIT */
/**
 * @file rig.h
 * What the tests of dispatcher and worker together share: a pool of mishap workers.
 */
#ifndef BH_TESTS_RIG_H
#define BH_TESTS_RIG_H

#include "check.h"

#include <bulkhead/bulkhead.h>

#include <windows.h>

#include <stdio.h>
#include <string.h>

/* Wine's first COM process in a session starts several services. */
#define RIG_READY_MS 30000

static inline const char *rig_path(char *out, size_t size, const char *name)
{
    const char *own = BH_TEST_DIR;

    snprintf(out, size, "%s/%s.exe", own, name);
    return out;
}

static inline struct bh_pool_options rig_options(uint32_t workers)
{
    static char path[1024];
    struct bh_pool_options options;

    bh_pool_options_init(&options);
    options.name = "rig";
    options.worker = rig_path(path, sizeof(path), "mishap_worker");
    options.min_workers = workers;
    options.max_workers = workers;
    options.start_timeout_ms = RIG_READY_MS;
    return options;
}

static inline bh_pool *rig_open(const struct bh_pool_options *options)
{
    struct bh_problem problem = {0};
    bh_pool *pool = NULL;

    if (bh_pool_open(&pool, options, &problem) != BH_OK)
        FAIL("bh_pool_open: %s", problem.text);
    return pool;
}

static inline bh_pool *rig_open_ready(const struct bh_pool_options *options)
{
    struct bh_problem problem = {0};
    bh_pool *pool = rig_open(options);

    if (bh_pool_wait_ready(pool, 0, RIG_READY_MS, &problem) != BH_OK)
        FAIL("bh_pool_wait_ready: %s", problem.text);
    return pool;
}

/* What a result is, for messages. */
static inline const char *rig_describe(const struct bh_result *result)
{
    static char text[1024];
    char death[600] = "";

    if (result->has_death)
        bh_death_describe(&result->death, death, sizeof(death));
    snprintf(text, sizeof(text), "%s, %s, code %d, text \"%s\" %s",
             bh_outcome_name(result->outcome), bh_delivery_name(result->delivery), result->code,
             result->text ? result->text : "", death);
    return text;
}

static inline void rig_expect(const struct bh_result *result, enum bh_outcome outcome)
{
    if (result->outcome != outcome)
        FAIL("expected %s, got %s", bh_outcome_name(outcome), rig_describe(result));
}

/* One call with a text. */
static inline void rig_call_text(bh_pool *pool, const char *method, const char *text,
                                 struct bh_result *result)
{
    bh_value argument = bh_value_view(text);

    bh_pool_invoke(pool, method, &argument, 1, result);
}

/* The pool serves. */
static inline void rig_check_echo(bh_pool *pool)
{
    bh_value argument = bh_value_int64(42);
    struct bh_result result;

    bh_pool_invoke(pool, "echo", &argument, 1, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    CHECK(bh_value_equal(&result.reply, &argument));
    bh_result_deinit(&result);
}

#endif
