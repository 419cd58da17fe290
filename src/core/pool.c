/* SPDX-License-Identifier: MIT */
/*
 * Opening, closing and steering a pool.
 *
 * Model: the pool owns a nursery (what workers are born in) and one supervisor thread. Opening
 * starts both and returns; closing drains, lets the supervisor empty the nursery, joins it, waits
 * for the last caller to be out, and frees everything. Constructor and destructor share one undo
 * path.
 */
#include "alloc.h"
#include "options.h"
#include "pool_internal.h"
#include "problem.h"

#include <string.h>

static void destroy(bh_pool *pool)
{
    bhp_thread_join(pool->supervisor);
    bhi_session_orphan_all(pool);
    bhi_carrier_dismiss(pool);
    bhi_async_deinit(pool);
    bhp_nursery_close(pool->nursery);
    bhp_mutex_deinit(&pool->lock);
    bh_value_deinit(&pool->methods);
    bh_death_deinit(&pool->last_failure);
    bhi_free(pool);
}

static bh_pool *create(void)
{
    bh_pool *pool = bhi_alloc(sizeof(*pool));

    if (!pool)
        return NULL;
    memset(pool, 0, sizeof(*pool));
    bhp_mutex_init(&pool->lock);
    pool->methods = bh_value_null();
    pool->wake_at = BHP_FOREVER;
    pool->random = ((uint64_t)bhp_now() ^ (uint64_t)bhp_process_id() << 32) | 1;
    return pool;
}

int bh_pool_open(bh_pool **out, const struct bh_pool_options *options, struct bh_problem *problem)
{
    bh_pool *pool = create();
    int result;

    *out = NULL;
    if (!pool)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a pool");
    result = bhi_options_take(&pool->options, options, problem);
    if (result)
        goto undo;
    result = bhp_nursery_open(&pool->nursery, &pool->options, problem);
    if (result)
        goto undo;
    result = bhp_beacon_new(&pool->async.beacon);
    if (result) {
        bhi_problem_set(problem, result, 0, "the event for completions cannot be made: %s",
                        bh_error_text(result));
        goto undo;
    }
    result = bhp_thread_start(&pool->supervisor, bhi_supervise, pool, "bulkhead");
    if (result) {
        bhi_problem_set(problem, result, 0, "the supervisor thread cannot be started: %s",
                        bh_error_text(result));
        goto undo;
    }
    *out = pool;
    return BH_OK;
undo:
    destroy(pool);
    return result;
}

void bhi_pool_news(bh_pool *pool)
{
    atomic_fetch_add(&pool->news, 1); /* pairs with await_news() */
    bhp_word_wake(&pool->news);
}

void bhi_pool_leave(bh_pool *pool)
{
    pool->inside--;
    if (pool->closing && pool->inside == 0)
        bhi_pool_news(pool);
}

void bh_pool_drain(bh_pool *pool)
{
    if (bhp_nursery_forked(pool->nursery))
        return;
    bhp_mutex_lock(&pool->lock);
    if (!pool->closing) {
        pool->closing = true;
        pool->drain_at = bhp_now() + (int64_t)pool->options.drain_timeout_ms * BHI_MS;
        bhi_queue_refuse_all(pool, BH_REFUSAL_CLOSING);
        bhi_pool_news(pool);
        bhi_supervise_by(pool, 0);
    }
    bhp_mutex_unlock(&pool->lock);
}

/* Waits for the next piece of news. With the lock held at begin and end. */
static void await_news(bh_pool *pool, int64_t until)
{
    uint32_t seen = atomic_load(&pool->news);

    bhp_mutex_unlock(&pool->lock);
    bhp_word_wait(&pool->news, seen, until);
    bhp_mutex_lock(&pool->lock);
}

void bh_pool_close(bh_pool *pool)
{
    if (!pool || bhp_nursery_forked(pool->nursery))
        return;
    bh_pool_drain(pool);
    bhp_mutex_lock(&pool->lock);
    while (pool->inside > 0)
        await_news(pool, BHP_FOREVER);
    bhp_mutex_unlock(&pool->lock);
    destroy(pool);
}

static int not_started(const bh_pool *pool, struct bh_problem *problem)
{
    char line[200];

    bh_death_describe(&pool->last_failure, line, sizeof(line));
    return bhi_problem_set(problem, BH_E_START, pool->last_failure.os_error, "%s", line);
}

/* Waits until done() says so. With the lock held. */
static int await_done(bh_pool *pool, bool (*done)(const bh_pool *, uint32_t), uint32_t count,
                      uint32_t timeout_ms, struct bh_problem *problem)
{
    int64_t until = bhp_now() + (int64_t)timeout_ms * BHI_MS;

    for (;;) {
        if (pool->closing)
            return bhi_problem_set(problem, BH_E_CLOSED, 0, "the pool is closing");
        if (done(pool, count))
            return BH_OK;
        if (pool->breaker_open)
            return not_started(pool, problem);
        if (bhp_now() >= until)
            return bhi_problem_set(problem, BH_E_STATE, 0, "not ready within %u ms", timeout_ms);
        await_news(pool, until);
    }
}

/* The same, and as long as it waits there is a wish for `count` workers. With the lock held. */
static int await_ready(bh_pool *pool, bool (*done)(const bh_pool *, uint32_t), uint32_t count,
                       uint32_t timeout_ms, struct bh_problem *problem)
{
    pool->inside++;
    pool->wishes++;
    if (count > pool->wished)
        pool->wished = count;
    bhi_supervise_by(pool, 0);
    int result = await_done(pool, done, count, timeout_ms, problem);
    if (--pool->wishes == 0)
        pool->wished = 0;
    bhi_pool_leave(pool);
    return result;
}

static bool enough_ready(const bh_pool *pool, uint32_t count)
{
    return pool->count[BH_WORKER_IDLE] + pool->count[BH_WORKER_LEASED] +
               pool->count[BH_WORKER_BUSY] + pool->count[BH_WORKER_STOPPING] >=
           count;
}

static bool has_methods(const bh_pool *pool, uint32_t count)
{
    (void)count;
    return pool->methods.type == BH_ARRAY;
}

static int refuse_forked(struct bh_problem *problem)
{
    return bhi_problem_set(problem, BH_E_FORKED, 0, "%s", bh_error_text(BH_E_FORKED));
}

/* Why the calling thread must not wait for the pool, or BH_OK. */
static int refuse_wait(const bh_pool *pool, struct bh_problem *problem)
{
    if (bhp_nursery_forked(pool->nursery))
        return refuse_forked(problem);
    if (bhi_callback_holds(pool))
        return bhi_problem_set(problem, BH_E_STATE, 0,
                               "a callback that runs for this pool must not wait for it");
    return BH_OK;
}

int bh_pool_wait_ready(bh_pool *pool, uint32_t count, uint32_t timeout_ms,
                       struct bh_problem *problem)
{
    int refused = refuse_wait(pool, problem);

    if (refused)
        return refused;
    if (count == 0)
        count = pool->options.min_workers;
    if (count > pool->options.max_workers)
        return bhi_problem_set(problem, BH_E_INVALID, 0, "%u workers are wanted, max-workers is %u",
                               count, pool->options.max_workers);
    bhp_mutex_lock(&pool->lock);
    int result = await_ready(pool, enough_ready, count, timeout_ms, problem);
    bhp_mutex_unlock(&pool->lock);
    return result;
}

int bh_pool_methods(bh_pool *pool, uint32_t timeout_ms, bh_value *methods,
                    struct bh_problem *problem)
{
    int refused = refuse_wait(pool, problem);

    *methods = bh_value_null();
    if (refused)
        return refused;
    bhp_mutex_lock(&pool->lock);
    pool->inside++; /* until the copy is made */
    int result = await_ready(pool, has_methods, 1, timeout_ms, problem);
    if (!result && (result = bh_value_copy(methods, &pool->methods)))
        bhi_problem_set(problem, result, 0, "no memory for the list of methods");
    bhi_pool_leave(pool);
    bhp_mutex_unlock(&pool->lock);
    return result;
}

int bh_pool_replace(bh_pool *pool)
{
    int result = BH_OK;

    if (bhp_nursery_forked(pool->nursery))
        return BH_E_FORKED;
    bhp_mutex_lock(&pool->lock);
    if (pool->closing) {
        result = BH_E_CLOSED;
    } else {
        pool->generation++;
        pool->replacing = true;
        pool->replace_total = 0;
        for (struct bhi_life *life = pool->lives; life; life = life->next)
            pool->replace_total += life->state <= BH_WORKER_STOPPING;
        if (pool->replace_total > pool->options.max_workers)
            pool->replace_total = pool->options.max_workers;
        bhi_supervise_by(pool, 0);
    }
    bhp_mutex_unlock(&pool->lock);
    return result;
}
