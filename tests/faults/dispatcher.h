/* SPDX-License-Identifier: MIT */
/**
 * @file dispatcher.h
 * Dispatchers to be killed.
 */
#ifndef BH_TESTS_DISPATCHER_H
#define BH_TESTS_DISPATCHER_H

#include "check.h"

#include <bulkhead/bulkhead.h>

#include <stdio.h>

#define DISPATCHER_WORKERS 4

/** A pool of crowd_workers; NULL when it cannot be opened, which stderr then says. */
static inline bh_pool *dispatcher_open(const char *worker)
{
    struct bh_pool_options options;
    struct bh_problem problem;
    bh_pool *pool;

    bh_pool_options_init(&options);
    options.worker = worker;
    options.min_workers = options.max_workers = DISPATCHER_WORKERS;
    options.start_timeout_ms = 30000;
    options.templates = kit_templates();
    if (bh_pool_open(&pool, &options, &problem)) {
        fprintf(stderr, "%s\n", problem.text);
        return NULL;
    }
    return pool;
}

static inline void dispatcher_call_hang(void *pool)
{
    struct bh_result result;

    bh_pool_invoke(pool, "hang", NULL, 0, &result);
    bh_result_deinit(&result);
}

/** Keeps every worker in hang(), for ever. */
_Noreturn static inline void dispatcher_hang(bh_pool *pool)
{
    for (int i = 0; i < DISPATCHER_WORKERS; i++)
        kit_thread_start(dispatcher_call_hang, pool);
    kit_hang();
}

#endif
