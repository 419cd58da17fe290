/* SPDX-License-Identifier: MIT */
/*
 * Policy: how many workers there should be, and which should leave.
 *
 * Model: pure arithmetic over the pool's counts and options; nothing here acts. The supervisor asks
 * after every turn. Back-off and breaker count only start-ups in a row that never became ready: a
 * worker that dies of a request says nothing about the next start-up.
 */
#include "pool_internal.h"

#define SAMPLE_FAST (5 * BHI_MS)      /* with a memory limit, while a worker works */
#define SAMPLE_RECYCLE (100 * BHI_MS) /* with a recycle limit, while a worker works */
#define SAMPLE_SLOW (1000 * BHI_MS)

/* Lives that are, or will soon be, of use. */
struct census {
    uint32_t usable; /* of the current generation, not leaving */
    uint32_t starting;
    uint32_t busy;  /* or leased */
    uint32_t alive; /* of any generation and in any state: a process takes its place to its end */
};

static struct census take_census(const bh_pool *pool)
{
    struct census census = {0, 0, 0, 0};

    for (const struct bhi_life *life = pool->lives; life; life = life->next) {
        census.alive += life->state != BH_WORKER_DEAD;
        if (life->state > BH_WORKER_STOPPING || life->generation != pool->generation || life->leave)
            continue;
        census.usable++;
        census.starting += life->state == BH_WORKER_STARTING;
        census.busy += life->state >= BH_WORKER_LEASED;
    }
    return census;
}

static uint64_t target_of(const bh_pool *pool, const struct census *census)
{
    const struct bh_pool_options *options = &pool->options;
    uint64_t target = (uint64_t)census->busy + pool->queued + options->standby_workers;

    if (target < options->min_workers)
        target = options->min_workers;
    if (target < pool->wished)
        target = pool->wished;
    if (target == 0 && pool->breaker_open)
        target = 1; /* to see whether it can start by now */
    if (pool->replacing && target < pool->replace_total)
        target = pool->replace_total;
    return target < options->max_workers ? target : options->max_workers;
}

uint64_t bhi_policy_most(const bh_pool *pool)
{
    uint64_t most = pool->options.max_workers;

    return most + (most + 3) / 4;
}

static uint64_t ceiling_of(const bh_pool *pool)
{
    return pool->replacing ? bhi_policy_most(pool) : pool->options.max_workers;
}

uint32_t bhi_policy_starts(const bh_pool *pool, int64_t now)
{
    struct census census = take_census(pool);
    uint64_t target = target_of(pool, &census);
    uint64_t ceiling = ceiling_of(pool);

    if (pool->closing || census.usable >= target || census.alive >= ceiling)
        return 0;
    if (now < pool->start_not_before)
        return 0;
    if (pool->failed_starts > 0)
        return census.starting == 0;
    uint64_t wanted = target - census.usable;
    uint64_t room = ceiling - census.alive;
    return (uint32_t)(wanted < room ? wanted : room);
}

bool bhi_policy_room(const bh_pool *pool)
{
    uint64_t alive = 0;

    for (unsigned state = 0; state < BH_WORKER_DEAD; state++)
        alive += pool->count[state];
    return alive < ceiling_of(pool);
}

bool bhi_policy_serving(const bh_pool *pool)
{
    return pool->count[BH_WORKER_IDLE] + pool->count[BH_WORKER_BUSY] +
               pool->count[BH_WORKER_STOPPING] >
           0;
}

void bhi_policy_start_failed(bh_pool *pool, bool permanent, int64_t now)
{
    const struct bh_pool_options *options = &pool->options;
    uint64_t pause = options->backoff_initial_ms;

    pool->failed_starts++;
    for (uint32_t i = 1; i < pool->failed_starts && pause < options->backoff_max_ms; i++)
        pause *= 2;
    if (pause > options->backoff_max_ms)
        pause = options->backoff_max_ms;
    pool->start_not_before = now + (int64_t)pause * BHI_MS;
    if (!permanent && pool->failed_starts < options->crash_loop_limit)
        return;
    pool->breaker_refusal = pool->last_failure.cause == BH_CAUSE_NOT_STARTED
                                ? BH_REFUSAL_CANNOT_START
                                : BH_REFUSAL_CRASH_LOOP;
    if (!pool->breaker_open)
        pool->tell |= UINT32_C(1) << BH_EVENT_BREAKER;
    pool->breaker_open = true;
}

bool bhi_policy_start_worked(bh_pool *pool)
{
    bool was_open = pool->breaker_open;

    pool->failed_starts = 0;
    pool->start_not_before = 0;
    pool->breaker_open = false;
    return was_open;
}

/* xorshift64*: spread, not secrecy. */
static uint64_t next_random(bh_pool *pool)
{
    uint64_t x = pool->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    pool->random = x;
    return x * UINT64_C(2685821657736338717);
}

/* The limit less up to jitter percent of it, at least 1; 0 stays 0. */
static uint64_t spread(bh_pool *pool, uint64_t limit)
{
    uint64_t range = limit / 100 * pool->options.recycle_jitter_percent +
                     limit % 100 * pool->options.recycle_jitter_percent / 100;

    uint64_t less = range ? next_random(pool) % (range + 1) : 0;

    return less < limit ? limit - less : limit; /* 0 would mean that there is no limit */
}

void bhi_policy_limits(bh_pool *pool, struct bhi_life *life)
{
    const struct bh_pool_options *options = &pool->options;
    int64_t ms = (int64_t)spread(pool, options->recycle_seconds * 1000);

    life->recycle_requests = spread(pool, options->recycle_requests);
    life->recycle_rss = spread(pool, options->recycle_rss_bytes);
    life->recycle_at = ms ? life->started_at + ms * BHI_MS : BHP_FOREVER;
}

/* An idle worker is one too many when those that stay are enough. */
static bool is_surplus(const bh_pool *pool)
{
    struct census census = take_census(pool);

    return !pool->replacing && census.usable > pool->options.min_workers &&
           census.usable > pool->wished &&
           pool->count[BH_WORKER_IDLE] > pool->options.standby_workers;
}

const char *bhi_policy_leave(const bh_pool *pool, const struct bhi_life *life, int64_t now)
{
    int64_t idle_timeout = (int64_t)pool->options.idle_timeout_ms * BHI_MS;

    if (pool->closing)
        return "closing";
    if (life->recycle_requests && life->served >= life->recycle_requests)
        return "recycle-requests";
    if (now >= life->recycle_at)
        return "recycle-seconds";
    if (life->recycle_rss && life->rss > life->recycle_rss)
        return "recycle-rss-mib";
    if (idle_timeout && now - life->idle_since >= idle_timeout && is_surplus(pool))
        return "idle-timeout-ms";
    return NULL;
}

int64_t bhi_policy_leave_at(const bh_pool *pool, const struct bhi_life *life, int64_t now)
{
    int64_t idle_timeout = (int64_t)pool->options.idle_timeout_ms * BHI_MS;
    int64_t idle_until = life->idle_since + idle_timeout;

    if (idle_timeout == 0)
        return life->recycle_at;
    if (idle_until <= now) /* it is not one too many now: look again later */
        idle_until = now + idle_timeout;
    return idle_until < life->recycle_at ? idle_until : life->recycle_at;
}

int64_t bhi_policy_sample_pause(const bh_pool *pool)
{
    bool busy = pool->count[BH_WORKER_STARTING] + pool->count[BH_WORKER_BUSY] +
                    pool->count[BH_WORKER_STOPPING] >
                0;

    if (pool->options.memory_limit_bytes && busy)
        return SAMPLE_FAST;
    if (pool->options.recycle_rss_bytes && busy)
        return SAMPLE_RECYCLE;
    return SAMPLE_SLOW;
}
