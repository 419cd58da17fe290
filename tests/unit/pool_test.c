/* SPDX-License-Identifier: MIT */
/*
 * Workers on the fake platform, with a virtual clock: how many there are and when, start-ups that
 * fail, the breaker, idling and recycling, replacement, memory, quitting, lost launchers, closing,
 * opening without memory; and the events in their order.
 */
#include "world.h"

#include "core/pool_internal.h"
#include "failing_alloc.h"

#include <stdio.h>
#include <string.h>

static void expect_log(const char *log)
{
    CHECK_STR(world.log, log);
    world.log[0] = '\0';
}

static uint32_t count(const bh_pool *pool, enum bh_worker_state state)
{
    return pool->count[state];
}

/* ---- opening ---- */

TEST(opening_returns_at_once_and_the_least_number_of_workers_starts)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    options.min_workers = 2;
    options.max_workers = 4;
    pool = world_open(&options);
    CHECK_INT(world_ms(), 0);
    world_sleep(100);
    CHECK_INT(count(pool, BH_WORKER_IDLE), 2);
    CHECK_INT(pool->starts, 2);
    expect_log("started1 started2 ready1 ready2 ");
    world_close(pool);
    CHECK_INT(world_ms(), 101);
    expect_log("recycle1(closing) recycle2(closing) quit1 quit2 ");
    world_end();
}

TEST(what_cannot_be_opened_says_why_and_leaves_nothing)
{
    struct bh_pool_options options = world_options();
    struct bh_problem problem = {0};
    bh_pool *pool;

    world_begin(0);
    bhf_refuse_nursery(BH_E_UNSUPPORTED);
    CHECK_INT(bh_pool_open(&pool, &options, &problem), BH_E_UNSUPPORTED);
    CHECK_CONTAINS(problem.text, "launcher");
    CHECK(!pool);
    bhf_refuse_thread(BH_E_SYSTEM);
    CHECK_INT(bh_pool_open(&pool, &options, &problem), BH_E_SYSTEM);
    CHECK_CONTAINS(problem.text, "thread");
    options.max_workers = 0;
    CHECK_INT(bh_pool_open(&pool, &options, &problem), BH_E_RANGE);
    CHECK_CONTAINS(problem.text, "max-workers is 0; allowed are 1 to 1024");
    bh_pool_close(NULL);
    world_end();
}

TEST(an_unused_pool_can_be_closed_at_once)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    world_close(world_open(&options));
    world_end();
}

/* ---- how many ---- */

TEST(workers_start_with_the_load_and_never_too_many)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    options.min_workers = 0;
    options.max_workers = 3;
    pool = world_open(&options);
    world_sleep(50);
    CHECK_INT(pool->starts, 0);
    for (unsigned i = 0; i < 8; i++)
        world_call(pool, "reply 20");
    for (unsigned i = 0; i < 8; i++)
        CHECK_INT(world_result(&world.calls[i])->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(pool->starts, 3);
    CHECK_INT(world.most_processes, 3);
    CHECK_INT(world_ms(), 50 + 5 + 3 * 20);
    world_close(pool);
    world_end();
}

TEST(workers_that_wait_stand_by)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    options.min_workers = 0;
    options.max_workers = 4;
    options.standby_workers = 2;
    pool = world_open(&options);
    world_sleep(20);
    CHECK_INT(count(pool, BH_WORKER_IDLE), 2);
    world_call(pool, "reply 100");
    world_call(pool, "reply 100");
    world_sleep(20);
    CHECK_INT(count(pool, BH_WORKER_BUSY), 2);
    CHECK_INT(count(pool, BH_WORKER_IDLE), 2);
    world_call(pool, "reply 100");
    world_sleep(20);
    CHECK_INT(count(pool, BH_WORKER_IDLE), 1); /* inside max-workers */
    CHECK_INT(pool->starts, 4);
    world_sleep(100);
    world_close(pool);
    world_end();
}

static void never_quit(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    plan->quit_ms = BHF_NEVER;
    plan->kill_ms = 20;
}

/* One that does not leave keeps its place until it is gone: a limit is a limit. */
TEST(a_process_takes_its_place_to_its_end)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    world.on_start = never_quit;
    options.recycle_requests = 1;
    options.recycle_jitter_percent = 0;
    options.drain_timeout_ms = 30;
    pool = world_open(&options);
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(world.most_processes, 1);
    CHECK_INT(world_ms(), 6 + 30 + 20 + 5 + 1);
    world_close(pool);
    world_end();
}

TEST(idle_workers_above_the_least_number_leave_in_time)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    options.max_workers = 3;
    options.idle_timeout_ms = 100;
    pool = world_open(&options);
    for (unsigned i = 0; i < 3; i++)
        world_call(pool, "reply 20");
    world_sleep(30);
    CHECK_INT(count(pool, BH_WORKER_IDLE), 3);
    world.log[0] = '\0';
    world_sleep(94);
    CHECK_INT(count(pool, BH_WORKER_IDLE), 3);
    world_sleep(5);
    CHECK_INT(count(pool, BH_WORKER_IDLE), 1);
    expect_log("recycle1(idle-timeout-ms) recycle2(idle-timeout-ms) quit1 quit2 ");
    world_sleep(1000);
    CHECK_INT(count(pool, BH_WORKER_IDLE), 1);
    world_close(pool);
    world_end();
}

TEST(without_an_idle_timeout_nobody_leaves)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    options.min_workers = 0;
    options.idle_timeout_ms = 0;
    pool = world_open(&options);
    world_ask(pool, "reply");
    world_sleep(1000000);
    CHECK_INT(count(pool, BH_WORKER_IDLE), 1);
    world_close(pool);
    world_end();
}

/* ---- start-ups that fail ---- */

static int64_t starts_at[64];
static unsigned good_from; /* the first start that works; 0: none */

static void die_at_start(uint64_t nth, struct bhf_start *plan)
{
    if (nth < 64)
        starts_at[nth] = world_ms();
    if (good_from && nth >= good_from)
        return;
    plan->exit_ms = 2;
    plan->end = bhf_end_exit(3, true);
}

TEST(failed_starts_pause_twice_as_long_each_time_up_to_the_longest)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    world.on_start = die_at_start;
    good_from = 0;
    options.backoff_initial_ms = 10;
    options.backoff_max_ms = 50;
    options.crash_loop_limit = 100;
    pool = world_open(&options);
    world_sleep(300);
    CHECK_INT(starts_at[1], 0);
    CHECK_INT(starts_at[2], 2 + 10);
    CHECK_INT(starts_at[3], 12 + 2 + 20);
    CHECK_INT(starts_at[4], 34 + 2 + 40);
    CHECK_INT(starts_at[5], 76 + 2 + 50);
    CHECK_INT(starts_at[6], 128 + 2 + 50);
    CHECK_INT(pool->deaths[BH_PHASE_START_UP][BH_CAUSE_EXIT], pool->failed_starts);
    world_close(pool);
    world_end();
}

TEST(one_good_start_ends_the_pauses)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    world.on_start = die_at_start;
    good_from = 4;
    options.backoff_initial_ms = 10;
    pool = world_open(&options);
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(pool->failed_starts, 0);
    CHECK_INT(world_ask(pool, "die")->outcome, BH_OUTCOME_DIED);
    int64_t died = world_ms();
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(world_ms(), died + 5 + 1); /* a death of a request makes no pause */
    world_close(pool);
    world_end();
}

static void breaker(uint32_t min_workers)
{
    struct bh_pool_options options = world_options();
    const struct bh_result *result;
    struct bh_problem problem;
    bh_value methods;
    bh_pool *pool;

    world_begin(0);
    world.on_start = die_at_start;
    good_from = 6;
    options.min_workers = min_workers;
    options.crash_loop_limit = 3;
    options.backoff_initial_ms = 10;
    pool = world_open(&options);
    result = world_ask(pool, "reply");
    CHECK_INT(result->refusal, BH_REFUSAL_CRASH_LOOP);
    CHECK_CONTAINS(result->text, "3 start-ups in a row failed; the last: worker");
    CHECK_CONTAINS(result->text, "died during start-up: exit, code 3 through exit()");
    CHECK_INT(result->death.cause, BH_CAUSE_EXIT);
    CHECK_INT(result->delivery, BH_DELIVERY_NEVER_STARTED);
    CHECK_INT(world_ms(), starts_at[3] + 2);
    CHECK_INT(world_ask(pool, "reply")->refusal, BH_REFUSAL_CRASH_LOOP); /* at once */
    CHECK_INT(world_ms(), starts_at[3] + 2);
    CHECK_INT(bh_pool_methods(pool, 1000, &methods, &problem), BH_E_START);
    CHECK_INT(bh_pool_wait_ready(pool, 1, 1000, &problem), BH_E_START);
    CHECK_CONTAINS(problem.text, "exit, code 3");
    CHECK_INT(world_ms(), starts_at[3] + 2);
    /* it goes on trying, one at a time, and closes when one works */
    world_until(starts_at[3] + 10000);
    CHECK(!pool->breaker_open);
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(pool->starts, 6);
    CHECK_CONTAINS(world.log, "died3(exit) breaker(open) refused(crash loop) refused(crash loop) ");
    CHECK_CONTAINS(world.log, "ready6 breaker(closed) ");
    world_close(pool);
    world_end();
}

TEST(the_breaker_opens_says_why_and_closes_again)
{
    breaker(1);
}

TEST(the_breaker_closes_again_also_when_no_worker_is_kept)
{
    breaker(0);
}

static void no_such_file(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    plan->exit_ms = 1;
    plan->end = bhf_end_not_started(2, "execve /no/such: No such file or directory", true);
}

TEST(what_cannot_be_helped_opens_the_breaker_at_once_and_names_it)
{
    struct bh_pool_options options = world_options();
    const struct bh_result *result;
    struct bh_problem problem = {0};
    bh_pool *pool;

    world_begin(0);
    world.on_start = no_such_file;
    pool = world_open(&options);
    CHECK_INT(bh_pool_wait_ready(pool, 0, 1000, &problem), BH_E_START);
    CHECK_INT(problem.os_error, 2);
    CHECK_CONTAINS(problem.text, "/no/such");
    CHECK_INT(pool->starts, 1);
    result = world_ask(pool, "reply");
    CHECK_INT(result->refusal, BH_REFUSAL_CANNOT_START);
    CHECK_STR(result->text,
              "the worker was not started: execve /no/such: No such file or directory");
    CHECK_INT(result->death.os_error, 2);
    world_close(pool);
    world_end();
}

static void refuse_to_start(uint64_t nth, struct bhf_start *plan)
{
    if (!good_from || nth < good_from)
        plan->refused = BH_E_SYSTEM;
}

TEST(a_start_that_the_platform_refuses_counts_like_one_that_failed)
{
    struct bh_pool_options options = world_options();
    const struct bh_result *result;
    bh_pool *pool;

    world_begin(0);
    world.on_start = refuse_to_start;
    good_from = 3;
    options.crash_loop_limit = 2;
    pool = world_open(&options);
    result = world_ask(pool, "reply");
    CHECK_INT(result->refusal, BH_REFUSAL_CANNOT_START);
    CHECK_CONTAINS(result->text, "the launcher does not answer");
    world_sleep(1000);
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    world_close(pool);
    world_end();
}

static void never_ready(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    plan->ready_ms = BHF_NEVER;
}

TEST(who_is_not_ready_in_time_is_killed)
{
    struct bh_pool_options options = world_options();
    const struct bh_result *result;
    bh_pool *pool;

    world_begin(0);
    world.on_start = never_ready;
    options.start_timeout_ms = 40;
    options.crash_loop_limit = 1;
    pool = world_open(&options);
    result = world_ask(pool, "reply");
    CHECK_INT(result->refusal, BH_REFUSAL_CRASH_LOOP);
    CHECK_INT(result->death.cause, BH_CAUSE_DEADLINE);
    CHECK_INT(result->death.phase, BH_PHASE_START_UP);
    CHECK_STR(result->death.detail, "not ready within 40 ms");
    CHECK_INT(world_ms(), 41);
    world_close(pool);
    world_end();
}

static void ready_too_late(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    plan->ready_ms = 41;
    plan->kill_ms = 10;
}

/* The kill is under way when it becomes ready: that is still a start-up that failed. */
TEST(ready_too_late_is_not_ready)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    world.on_start = ready_too_late;
    options.start_timeout_ms = 40;
    options.crash_loop_limit = 2;
    pool = world_open(&options);
    CHECK_INT(world_ask(pool, "reply")->refusal, BH_REFUSAL_CRASH_LOOP);
    CHECK_INT(pool->deaths[BH_PHASE_START_UP][BH_CAUSE_DEADLINE], 2);
    CHECK_INT(pool->ready, 0);
    world_close(pool);
    world_end();
}

static void only_the_first_works(uint64_t nth, struct bhf_start *plan)
{
    if (nth > 1)
        die_at_start(nth, plan);
}

TEST(as_long_as_somebody_serves_nobody_is_refused)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    world.on_start = only_the_first_works;
    good_from = 0;
    options.min_workers = options.max_workers = 2;
    options.crash_loop_limit = 2;
    pool = world_open(&options);
    world_sleep(1000);
    CHECK(pool->breaker_open);
    world_call(pool, "reply 20");
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(world_ask(pool, "die")->outcome, BH_OUTCOME_DIED);
    CHECK_INT(world_ask(pool, "reply")->refusal, BH_REFUSAL_CRASH_LOOP);
    world_close(pool);
    world_end();
}

/* ---- waiting for workers ---- */

TEST(waiting_for_workers_starts_them)
{
    struct bh_pool_options options = world_options();
    struct bh_problem problem = {0};
    bh_pool *pool;

    world_begin(0);
    options.min_workers = 0;
    options.max_workers = 3;
    options.idle_timeout_ms = 3;
    pool = world_open(&options);
    CHECK_INT(bh_pool_wait_ready(pool, 0, 1000, NULL), BH_OK);
    CHECK_INT(world_ms(), 0);
    CHECK_INT(bh_pool_wait_ready(pool, 2, 1000, NULL), BH_OK);
    CHECK_INT(world_ms(), 5);
    CHECK_INT(pool->starts, 2);
    CHECK_INT(bh_pool_wait_ready(pool, 4, 1000, &problem), BH_E_INVALID);
    CHECK_STR(problem.text, "4 workers are wanted, max-workers is 3");
    world_sleep(100);
    CHECK_INT(count(pool, BH_WORKER_IDLE), 0); /* the wish is over */
    world_close(pool);
    world_end();
}

TEST(waiting_ends_in_time)
{
    struct bh_pool_options options = world_options();
    struct bh_problem problem = {0};
    bh_value methods;
    bh_pool *pool;

    world_begin(0);
    world.on_start = never_ready;
    pool = world_open(&options);
    CHECK_INT(bh_pool_wait_ready(pool, 0, 30, &problem), BH_E_STATE);
    CHECK_STR(problem.text, "not ready within 30 ms");
    CHECK_INT(bh_pool_methods(pool, 20, &methods, &problem), BH_E_STATE);
    CHECK_INT(methods.type, BH_NULL);
    CHECK_INT(world_ms(), 50);
    world_close(pool);
    world_end();
}

static void drain_it(void *pool)
{
    world_sleep(10);
    CHECK_INT(((bh_pool *)pool)->inside, 1); /* closing would wait for it */
    bh_pool_drain(pool);
}

TEST(waiting_ends_when_the_pool_closes)
{
    struct bh_pool_options options = world_options();
    struct bh_problem problem = {0};
    bh_pool *pool;

    world_begin(0);
    world.on_start = never_ready;
    pool = world_open(&options);
    world_spawn(drain_it, pool);
    CHECK_INT(bh_pool_wait_ready(pool, 1, 1000, &problem), BH_E_CLOSED);
    CHECK_INT(world_ms(), 10);
    CHECK_INT(pool->inside, 0);
    CHECK_INT(bh_pool_replace(pool), BH_E_CLOSED);
    world_close(pool);
    world_end();
}

TEST(methods_are_those_that_a_worker_announced)
{
    struct bh_pool_options options = world_options();
    bh_value methods;
    bh_pool *pool;

    world_begin(0);
    options.min_workers = 0;
    pool = world_open(&options);
    CHECK_INT(bh_pool_methods(pool, 1000, &methods, NULL), BH_OK);
    CHECK_INT(methods.length, 2);
    CHECK_STR(bh_map_get(&methods.as.items[1], "name")->as.string, "crash");
    bh_value_deinit(&methods);
    CHECK_INT(pool->wishes, 0);
    world_close(pool);
    world_end();
}

/* ---- recycling ---- */

TEST(a_worker_leaves_after_so_many_requests)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    options.recycle_requests = 3;
    options.recycle_jitter_percent = 0;
    pool = world_open(&options);
    for (unsigned i = 0; i < 7; i++)
        CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    expect_log("started1 ready1 recycle1(recycle-requests) quit1 started2 ready2 "
               "recycle2(recycle-requests) quit2 started3 ready3 ");
    CHECK_INT(pool->quits, 2);
    world_close(pool);
    world_end();
}

TEST(a_worker_leaves_after_so_many_seconds_and_the_limits_spread)
{
    struct bh_pool_options options = world_options();
    int64_t least = BHP_FOREVER, most = 0;
    bh_pool *pool;

    world_begin(0);
    options.min_workers = options.max_workers = 20;
    options.recycle_seconds = 100;
    options.recycle_jitter_percent = 20;
    pool = world_open(&options);
    world_sleep(10);
    for (const struct bhi_life *life = pool->lives; life; life = life->next) {
        least = life->recycle_at < least ? life->recycle_at : least;
        most = life->recycle_at > most ? life->recycle_at : most;
    }
    CHECK(least >= BHF_EPOCH + 80000 * BHF_MS && most <= BHF_EPOCH + 100000 * BHF_MS);
    CHECK(most - least > 2000 * BHF_MS);
    world_until((least - BHF_EPOCH) / BHF_MS);
    CHECK_INT(pool->quits, 0);
    world_until(100005);
    CHECK_INT(pool->quits, 20);
    world_close(pool);
    world_end();
}

static void leak(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    plan->rss_bytes = 1 << 20;
    plan->rss_per_request = 1 << 20;
}

TEST(a_worker_leaves_when_it_has_grown)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    world.on_start = leak;
    options.recycle_rss_bytes = 3 << 20;
    options.recycle_jitter_percent = 0;
    pool = world_open(&options);
    for (unsigned i = 0; i < 6; i++)
        CHECK_INT(world_ask(pool, "reply 150")->outcome, BH_OUTCOME_REPLIED);
    CHECK_CONTAINS(world.log, "recycle1(recycle-rss-mib) quit1 ");
    CHECK(pool->quits == 1 || pool->quits == 2);
    world_close(pool);
    world_end();
}

/* ---- memory ---- */

static void grow(const struct bhp_call *call, struct bhf_request *plan)
{
    if (strcmp(call->method, "hang") == 0)
        plan->rss_bytes = 64 << 20;
}

TEST(who_takes_too_much_memory_is_killed_soon)
{
    struct bh_pool_options options = world_options();
    const struct bh_result *result;
    bh_pool *pool;

    world_begin(0);
    world.on_request = grow;
    options.memory_limit_bytes = 32 << 20;
    pool = world_open(&options);
    world_sleep(1000);
    result = world_ask(pool, "hang");
    CHECK_INT(result->outcome, BH_OUTCOME_DIED);
    CHECK_INT(result->death.cause, BH_CAUSE_MEMORY_LIMIT);
    CHECK_INT(result->death.limit_bytes, 32 << 20);
    CHECK_INT(result->death.peak_rss_bytes, 65 << 20);
    CHECK(result->elapsed_us <= 6000);
    world_close(pool);
    world_end();
}

/* ---- replacement ---- */

static uint32_t least_serving;

static void watch_serving(const struct bh_event *event)
{
    uint32_t serving = world.pool->count[BH_WORKER_IDLE] + world.pool->count[BH_WORKER_BUSY];

    (void)event;
    if (serving < least_serving)
        least_serving = serving;
}

TEST(a_replacement_never_serves_with_fewer)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    options.min_workers = 2;
    options.max_workers = 4;
    options.idle_timeout_ms = 20;
    pool = world_open(&options);
    for (unsigned i = 0; i < 3; i++)
        world_call(pool, i == 0 ? "reply 60" : "reply 5");
    world_sleep(12);
    CHECK_INT(count(pool, BH_WORKER_IDLE) + count(pool, BH_WORKER_BUSY), 3);
    world.on_event = watch_serving;
    least_serving = 100;
    CHECK_INT(bh_pool_replace(pool), BH_OK);
    world_sleep(30);
    CHECK(pool->replacing); /* one of the old still serves its request */
    CHECK_INT(world_result(&world.calls[0])->outcome, BH_OUTCOME_REPLIED);
    world_sleep(5);
    world.on_event = NULL;
    CHECK(!pool->replacing);
    CHECK_INT(least_serving, 3);
    CHECK(world.most_processes <= 5);
    CHECK_CONTAINS(world.log, "replaced() ");
    for (const struct bhi_life *life = pool->lives; life; life = life->next)
        CHECK_INT(life->generation, 1);
    world_sleep(100);
    CHECK_INT(count(pool, BH_WORKER_IDLE), 2); /* those that are too many leave afterwards */
    world_close(pool);
    world_end();
}

TEST(one_worker_is_replaced_by_one_more)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    pool = world_open(&options);
    world_sleep(10);
    world.log[0] = '\0';
    CHECK_INT(bh_pool_replace(pool), BH_OK);
    world_sleep(10);
    expect_log("started2 ready2 recycle1(replaced) quit1 replaced() ");
    CHECK_INT(world.most_processes, 2);
    world_close(pool);
    world_end();
}

TEST(nothing_to_replace_is_replaced_at_once)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    options.min_workers = 0;
    pool = world_open(&options);
    CHECK_INT(bh_pool_replace(pool), BH_OK);
    world_sleep(1);
    expect_log("replaced() ");
    world_close(pool);
    world_end();
}

TEST(the_old_ones_go_on_when_the_new_ones_do_not_start)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    world.on_start = only_the_first_works;
    good_from = 0;
    options.crash_loop_limit = 2;
    pool = world_open(&options);
    world_sleep(10);
    CHECK_INT(bh_pool_replace(pool), BH_OK);
    world_sleep(1000);
    CHECK(pool->replacing && pool->breaker_open);
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    good_from = 1;
    world_sleep(20000);
    CHECK(!pool->replacing);
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    world_close(pool);
    world_end();
}

/* ---- quitting ---- */

static void slow_to_quit(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    plan->quit_ms = BHF_NEVER;
}

TEST(who_does_not_quit_in_time_is_killed)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    world.on_start = slow_to_quit;
    options.drain_timeout_ms = 50;
    pool = world_open(&options);
    world_sleep(10);
    world_close(pool);
    CHECK_INT(world_ms(), 10 + 50 + 1);
    expect_log("started1 ready1 recycle1(closing) died1(deadline) ");
    world_end();
}

static bh_pool *drained_by_start;

static void drain_during_start(uint64_t nth, struct bhf_start *plan)
{
    plan->ready_ms = BHF_NEVER;
    if (nth == 1)
        bh_pool_drain(drained_by_start);
}

/* Another thread begins to close while the supervisor is in bhp_worker_start(). */
TEST(a_worker_that_was_on_its_way_when_the_pool_began_to_close_leaves_too)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    world.on_start = drain_during_start;
    options.drain_timeout_ms = 50;
    drained_by_start = world_open(&options);
    world_sleep(1);
    world_close(drained_by_start);
    CHECK_INT(world_ms(), 50 + 1);
    world_end();
}

/* The event for the rule comes before its consequence, even when both are noticed in one turn. */
static void quit_at_once(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    plan->quit_ms = 0;
}

TEST(events_come_in_the_order_of_a_life)
{
    struct bh_pool_options options = world_options();
    struct bh_result result;
    bh_pool *pool;

    world_begin(0);
    world.on_start = quit_at_once;
    options.recycle_requests = 1;
    options.recycle_jitter_percent = 0;
    pool = world_open(&options);
    CHECK_INT(bh_pool_invoke(pool, "reply", NULL, 0, &result), BH_OUTCOME_REPLIED);
    bhf_advance(bhp_now()); /* it quits before the supervisor gets to run */
    CHECK_INT(bhf_processes(), 0);
    world_close(pool);
    CHECK_CONTAINS(world.log, "started1 ready1 recycle1(recycle-requests) quit1 ");
    world_end();
}

TEST(a_sink_gets_what_its_mask_says)
{
    static const struct bhf_request dies = {.deed = BHF_DIE};
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    (void)dies;
    world_begin(0);
    options.event_mask = 1u << BH_EVENT_DIED;
    pool = world_open(&options);
    world_ask(pool, "die");
    world_ask(pool, "no-method");
    world_close(pool);
    expect_log("died1(fault) ");
    options = world_options();
    options.on_event = NULL;
    pool = world_open(&options);
    world_ask(pool, "die");
    world_close(pool);
    expect_log("");
    world_end();
}

/* ---- the launcher ---- */

TEST(a_lost_launcher_costs_what_ran_and_another_takes_its_place)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    options.min_workers = options.max_workers = 2;
    pool = world_open(&options);
    world_sleep(10);
    call = world_call(pool, "hang");
    world_sleep(10);
    world.log[0] = '\0';
    bhf_lose_nurseries();
    CHECK_INT(world_result(call)->outcome, BH_OUTCOME_DIED);
    CHECK_INT(call->result.death.cause, BH_CAUSE_LAUNCHER_LOST);
    CHECK_INT(call->result.delivery, BH_DELIVERY_STARTED);
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(pool->failed_starts, 0);
    CHECK_CONTAINS(world.log, "launcher(lost) died1(launcher lost) died2(launcher lost) ");
    CHECK_CONTAINS(world.log, "started3 started4 ready3 ready4 launcher(back) ");
    world_close(pool);
    world_end();
}

TEST(a_launcher_lost_at_start_up_is_no_failed_start_up)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    options.crash_loop_limit = 1;
    pool = world_open(&options);
    world_sleep(2);
    bhf_lose_nurseries();
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(pool->deaths[BH_PHASE_START_UP][BH_CAUSE_LAUNCHER_LOST], 1);
    world_close(pool);
    world_end();
}

/* ---- the supervisor sleeps ---- */

TEST(a_quiet_pool_wakes_nobody)
{
    struct bh_pool_options options = world_options();
    uint64_t switches;
    bh_pool *pool;

    world_begin(0);
    pool = world_open(&options);
    world_sleep(100);
    switches = world.switches;
    world_sleep(INT64_C(50) * 1000);
    CHECK(world.switches - switches <= 4);
    world_ask(pool, "reply");
    world_close(pool);
    world_end();
}

/* Requests that can only wait do not wake the supervisor, who could do nothing for them. */
TEST(a_queue_in_front_of_all_workers_wakes_nobody)
{
    struct bh_pool_options options = world_options();
    uint64_t switches;
    bh_pool *pool;

    world_begin(0);
    pool = world_open(&options);
    world_sleep(10);
    world_call(pool, "reply 500");
    world_sleep(10);
    CHECK(pool->wake_at > bhp_now());
    switches = world.switches;
    for (unsigned i = 0; i < 20; i++) {
        world_call(pool, "reply");
        world_sleep(1);
    }
    CHECK_INT(world.switches - switches, 2 * 20); /* there and back */
    for (unsigned i = 0; i < 21; i++)
        CHECK_INT(world_result(&world.calls[i])->outcome, BH_OUTCOME_REPLIED);
    world_close(pool);
    world_end();
}

/* ---- two pools ---- */

TEST(pools_do_not_touch_each_other)
{
    struct bh_pool_options options = world_options();
    bh_pool *first, *second;

    world_begin(0);
    first = world_open(&options);
    second = world_open(&options);
    CHECK_INT(world_ask(first, "die")->outcome, BH_OUTCOME_DIED);
    CHECK_INT(world_ask(second, "reply")->outcome, BH_OUTCOME_REPLIED);
    world_close(first);
    CHECK_INT(world_ask(second, "reply")->outcome, BH_OUTCOME_REPLIED);
    world_close(second);
    world_end();
}

/* ---- without memory ---- */

/* Opens, asks, closes. @return whether nothing of it failed */
static bool use_a_pool(void)
{
    struct bh_pool_options options = world_options();
    struct bh_problem problem = {0};
    bool good = true;
    bh_value methods;
    bh_pool *pool;

    world_begin(0);
    options.backoff_initial_ms = 1;
    int result = bh_pool_open(&pool, &options, &problem);
    if (result) {
        CHECK_INT(result, BH_E_MEMORY);
        CHECK_INT(problem.code, BH_E_MEMORY);
        CHECK_CONTAINS(problem.text, "memory");
        world_end();
        return false;
    }
    world.pool = pool;
    result = bh_pool_methods(pool, 1000, &methods, &problem);
    good &= result == BH_OK;
    CHECK(result == BH_OK || result == BH_E_MEMORY);
    bh_value_deinit(&methods);
    for (unsigned i = 0; i < 2; i++) {
        const struct bh_result *answer = world_ask(pool, i ? "die" : "reply");
        good &= answer->outcome == (i ? BH_OUTCOME_DIED : BH_OUTCOME_REPLIED);
        if (answer->outcome == BH_OUTCOME_REFUSED)
            CHECK_INT(answer->refusal, BH_REFUSAL_MEMORY);
    }
    bool refused = heap.refused;
    if (refused) { /* it was one bad moment: everything works again */
        CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
        CHECK_INT(bh_pool_methods(pool, 1000, &methods, NULL), BH_OK);
        bh_value_deinit(&methods);
    }
    world_close(pool);
    world_end();
    return good && !heap.refused;
}

TEST(each_allocation_may_fail_and_the_pool_lives_on)
{
    CHECK(fail_each_allocation(use_a_pool) > 10);
}
