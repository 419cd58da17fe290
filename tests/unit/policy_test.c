/* SPDX-License-Identifier: MIT */
/*
 * Policy as arithmetic: pools made by hand, no platform but its clock.
 */
#include "check.h"

#include "core/pool_internal.h"
#include "platform/fake/fake.h"

#include <string.h>

static struct bhi_life lives[16];
static bh_pool pool;

static void make_pool(void)
{
    memset(&pool, 0, sizeof(pool));
    memset(lives, 0, sizeof(lives));
    bh_pool_options_init(&pool.options);
    pool.options.min_workers = 0;
    pool.options.max_workers = 8;
    pool.random = 1;
}

static struct bhi_life *add(enum bh_worker_state state)
{
    struct bhi_life *life = &lives[0];

    while (life->pool)
        life++;
    life->pool = &pool;
    life->state = state;
    life->recycle_at = BHP_FOREVER;
    life->next = pool.lives;
    pool.lives = life;
    pool.count[state]++;
    return life;
}

static unsigned starts(void)
{
    return bhi_policy_starts(&pool, bhp_now());
}

TEST(wanted_is_what_works_waits_and_stands_by_within_the_limits)
{
    make_pool();
    CHECK_INT(starts(), 0);
    pool.options.min_workers = 2;
    CHECK_INT(starts(), 2);
    add(BH_WORKER_STARTING);
    add(BH_WORKER_IDLE);
    CHECK_INT(starts(), 0);
    pool.queued = 3; /* one each for the starting and the idle one, and one more */
    CHECK_INT(starts(), 1);
    add(BH_WORKER_BUSY);
    add(BH_WORKER_STOPPING);
    CHECK_INT(starts(), 1);
    pool.options.standby_workers = 2;
    CHECK_INT(starts(), 3);
    pool.queued = 1000;
    CHECK_INT(starts(), 4); /* up to max-workers */
    pool.closing = true;
    CHECK_INT(starts(), 0);
}

TEST(who_leaves_is_of_no_use_but_takes_its_place)
{
    make_pool();
    pool.options.min_workers = pool.options.max_workers = 3;
    add(BH_WORKER_QUITTING);
    add(BH_WORKER_KILLED);
    CHECK_INT(starts(), 1);
    CHECK(bhi_policy_room(&pool));
    add(BH_WORKER_BUSY)->leave = true;
    CHECK_INT(starts(), 0);
    CHECK(!bhi_policy_room(&pool));
    add(BH_WORKER_DEAD);
    CHECK_INT(starts(), 0);
}

TEST(wishes_are_met)
{
    make_pool();
    pool.wished = 2;
    CHECK_INT(starts(), 2);
    add(BH_WORKER_IDLE);
    CHECK_INT(starts(), 1);
}

TEST(a_replacement_has_a_quarter_more_room)
{
    static const unsigned most[] = {1, 2, 4, 5, 8};
    static const unsigned room[] = {1, 1, 1, 2, 2};

    for (unsigned i = 0; i < 5; i++) {
        make_pool();
        pool.options.max_workers = most[i];
        pool.replacing = true;
        pool.generation = 1;
        pool.replace_total = most[i];
        for (unsigned n = 0; n < most[i]; n++)
            add(BH_WORKER_IDLE);
        CHECK_INT(starts(), room[i]);
        CHECK(bhi_policy_room(&pool));
    }
}

TEST(after_a_failure_there_is_one_try_at_a_time)
{
    make_pool();
    pool.options.min_workers = 4;
    bhi_policy_start_failed(&pool, false, bhp_now());
    CHECK_INT(starts(), 0);
    CHECK_INT(bhi_policy_starts(&pool, pool.start_not_before), 1);
    CHECK_INT(bhi_policy_starts(&pool, pool.start_not_before - 1), 0);
    add(BH_WORKER_STARTING);
    CHECK_INT(bhi_policy_starts(&pool, BHP_FOREVER), 0);
    CHECK(!bhi_policy_start_worked(&pool));
    CHECK_INT(starts(), 3);
}

TEST(pauses_double_up_to_the_longest_however_often)
{
    int64_t expected = 50;

    make_pool();
    pool.options.crash_loop_limit = 1000000;
    for (unsigned i = 0; i < 200; i++) {
        bhi_policy_start_failed(&pool, false, 0);
        CHECK_INT(pool.start_not_before, expected * BHI_MS);
        expected = expected * 2 < 5000 ? expected * 2 : 5000;
    }
    pool.options.backoff_initial_ms = pool.options.backoff_max_ms = 86400000;
    bhi_policy_start_failed(&pool, false, 0);
    CHECK_INT(pool.start_not_before, INT64_C(86400000) * BHI_MS);
}

TEST(the_breaker_opens_at_its_limit_or_when_nothing_can_help)
{
    make_pool();
    pool.options.crash_loop_limit = 2;
    bhi_policy_start_failed(&pool, false, 0);
    CHECK(!pool.breaker_open);
    bhi_policy_start_failed(&pool, false, 0);
    CHECK(pool.breaker_open);
    CHECK_INT(pool.breaker_refusal, BH_REFUSAL_CRASH_LOOP);
    CHECK_INT(bhi_policy_starts(&pool, BHP_FOREVER), 1); /* even though nobody wants one */
    CHECK(bhi_policy_start_worked(&pool));
    CHECK(!pool.breaker_open && pool.failed_starts == 0);
    pool.last_failure.cause = BH_CAUSE_NOT_STARTED;
    bhi_policy_start_failed(&pool, true, 0);
    CHECK(pool.breaker_open);
    CHECK_INT(pool.breaker_refusal, BH_REFUSAL_CANNOT_START);
    CHECK_INT(pool.failed_starts, 1);
}

TEST(serving_is_ready_and_not_leaving)
{
    static const bool serves[BH_WORKER_STATE_COUNT] = {
        [BH_WORKER_IDLE] = true, [BH_WORKER_BUSY] = true, [BH_WORKER_STOPPING] = true};

    for (unsigned state = 0; state < BH_WORKER_STATE_COUNT; state++) {
        make_pool();
        CHECK(!bhi_policy_serving(&pool));
        add((enum bh_worker_state)state);
        CHECK_INT(bhi_policy_serving(&pool), serves[state]);
    }
}

TEST(jitter_only_shortens_and_never_below_its_share)
{
    uint64_t least = UINT64_MAX, most = 0;

    make_pool();
    pool.options.recycle_requests = 1000;
    pool.options.recycle_jitter_percent = 30;
    for (unsigned i = 0; i < 2000; i++) {
        bhi_policy_limits(&pool, &lives[0]);
        least = lives[0].recycle_requests < least ? lives[0].recycle_requests : least;
        most = lives[0].recycle_requests > most ? lives[0].recycle_requests : most;
    }
    CHECK(least >= 700 && least < 710);
    CHECK(most > 990 && most <= 1000);
    pool.options.recycle_jitter_percent = 100;
    pool.options.recycle_requests = 1;
    for (unsigned i = 0; i < 100; i++) {
        bhi_policy_limits(&pool, &lives[0]);
        CHECK_INT(lives[0].recycle_requests, 1); /* 0 would mean never */
    }
}

TEST(no_limit_stays_no_limit)
{
    make_pool();
    bhi_policy_limits(&pool, &lives[0]);
    CHECK_INT(lives[0].recycle_requests, 0);
    CHECK_INT(lives[0].recycle_rss, 0);
    CHECK(lives[0].recycle_at == BHP_FOREVER);
}

TEST(each_rule_to_leave_has_its_name)
{
    struct bhi_life *life;

    make_pool();
    pool.options.idle_timeout_ms = 100;
    life = add(BH_WORKER_IDLE);
    life->recycle_requests = 5;
    life->recycle_rss = 1000;
    CHECK_STR(bhi_policy_leave(&pool, life, 99 * BHI_MS), NULL);
    CHECK_STR(bhi_policy_leave(&pool, life, 100 * BHI_MS), "idle-timeout-ms");
    life->rss = 1001;
    CHECK_STR(bhi_policy_leave(&pool, life, 0), "recycle-rss-mib");
    life->recycle_at = 7;
    CHECK_STR(bhi_policy_leave(&pool, life, 7), "recycle-seconds");
    life->served = 5;
    CHECK_STR(bhi_policy_leave(&pool, life, 0), "recycle-requests");
    pool.closing = true;
    CHECK_STR(bhi_policy_leave(&pool, life, 0), "closing");
}

TEST(only_who_is_one_too_many_leaves_for_being_idle)
{
    struct bhi_life *life;

    make_pool();
    pool.options.idle_timeout_ms = 100;
    life = add(BH_WORKER_IDLE);
    pool.options.min_workers = 1;
    CHECK_STR(bhi_policy_leave(&pool, life, BHP_FOREVER - 1), NULL);
    add(BH_WORKER_BUSY);
    CHECK(bhi_policy_leave(&pool, life, BHP_FOREVER - 1) != NULL);
    pool.options.standby_workers = 1;
    CHECK_STR(bhi_policy_leave(&pool, life, BHP_FOREVER - 1), NULL);
    pool.options.standby_workers = 0;
    pool.wished = 2;
    CHECK_STR(bhi_policy_leave(&pool, life, BHP_FOREVER - 1), NULL);
    pool.wished = 0;
    pool.replacing = true;
    CHECK_STR(bhi_policy_leave(&pool, life, BHP_FOREVER - 1), NULL);
}

/* The next look must not skip the time of another rule. */
TEST(the_next_look_is_at_the_earliest_rule_that_time_can_change)
{
    struct bhi_life *life;

    make_pool();
    pool.options.idle_timeout_ms = 100;
    life = add(BH_WORKER_IDLE);
    CHECK_INT(bhi_policy_leave_at(&pool, life, 0), 100 * BHI_MS);
    CHECK_INT(bhi_policy_leave_at(&pool, life, 150 * BHI_MS), 250 * BHI_MS);
    life->recycle_at = 200 * BHI_MS;
    CHECK_INT(bhi_policy_leave_at(&pool, life, 150 * BHI_MS), 200 * BHI_MS);
    pool.options.idle_timeout_ms = 0;
    CHECK_INT(bhi_policy_leave_at(&pool, life, 0), 200 * BHI_MS);
    life->recycle_at = BHP_FOREVER;
    CHECK(bhi_policy_leave_at(&pool, life, 0) == BHP_FOREVER);
}

TEST(memory_is_looked_at_as_often_as_the_limits_need)
{
    make_pool();
    add(BH_WORKER_IDLE);
    CHECK_INT(bhi_policy_sample_pause(&pool), 1000 * BHI_MS);
    pool.options.memory_limit_bytes = 1;
    CHECK_INT(bhi_policy_sample_pause(&pool), 1000 * BHI_MS);
    add(BH_WORKER_BUSY);
    CHECK_INT(bhi_policy_sample_pause(&pool), 5 * BHI_MS);
    pool.options.memory_limit_bytes = 0;
    CHECK_INT(bhi_policy_sample_pause(&pool), 1000 * BHI_MS);
    pool.options.recycle_rss_bytes = 1;
    CHECK_INT(bhi_policy_sample_pause(&pool), 100 * BHI_MS);
}
