/* SPDX-License-Identifier: MIT */
/* timeout: 120 */
/*
 * Partial replies: what a handler had when its request ended without an answer.
 */
#include "talk.h"

#include <bulkhead/async.h>
#include <bulkhead/session.h>

#include <stdlib.h>

/* Publishes `count` partial replies, the numbers from 1, then does what `then` says. */
static struct bh_request counting(bh_value arguments[2], int64_t count, const char *then)
{
    struct bh_request request = BH_REQUEST_INIT;

    arguments[0] = bh_value_int64(count);
    arguments[1] = bh_value_view(then);
    request.method = "count";
    request.arguments = arguments;
    request.argument_count = 2;
    return request;
}

static void count(bh_pool *pool, int64_t number, const char *then, uint32_t deadline_ms,
                  struct bh_result *result)
{
    bh_value arguments[2];
    struct bh_request request = counting(arguments, number, then);

    request.deadline_ms = deadline_ms;
    bh_pool_call(pool, &request, result);
}

static void check_partial(const struct bh_result *result, int64_t expected)
{
    int64_t number = 0;

    CHECK(result->partial);
    CHECK_INT(bh_value_get_int64(&result->reply, &number), BH_OK);
    CHECK_INT(number, expected);
}

/* One worker, and what it says arrives before a deadline of this many milliseconds. */
static uint32_t soon(void)
{
    return 300u * (unsigned)kit_slowdown();
}

TEST(a_request_that_ends_by_deadline_has_the_last_partial_reply)
{
    struct bh_pool_options options = talk_options(1);
    bh_pool *pool = probe_open(&options);
    struct bh_result result;

    CHECK_INT(bh_pool_wait_ready(pool, 1, options.start_timeout_ms, NULL), BH_OK);
    count(pool, 7, "hang", soon(), &result);
    talk_expect(&result, BH_OUTCOME_DEADLINE);
    CHECK(result.has_death);
    check_partial(&result, 7);
    bh_result_deinit(&result);
    CHECK(!result.partial);
    bh_pool_close(pool);
}

TEST(a_handler_that_gives_up_when_told_keeps_its_worker_and_its_partial_reply)
{
    struct bh_pool_options options = talk_options(1);
    options.grace_ms = options.start_timeout_ms;
    bh_pool *pool = probe_open(&options);
    struct bh_result result;

    CHECK_INT(bh_pool_wait_ready(pool, 1, options.start_timeout_ms, NULL), BH_OK);
    int64_t pid = probe_number(pool, "pid");
    count(pool, 4, "obey", soon(), &result);
    talk_expect(&result, BH_OUTCOME_DEADLINE);
    CHECK(!result.has_death);
    CHECK_INT(result.delivery, BH_DELIVERY_COMMITTED);
    check_partial(&result, 4);
    bh_result_deinit(&result);
    CHECK_INT(probe_number(pool, "pid"), pid);
    bh_pool_close(pool);
}

TEST(a_death_leaves_it_too)
{
    struct bh_pool_options options = talk_options(1);
    bh_pool *pool = probe_open(&options);
    struct bh_result result;

    count(pool, 2, "die", 0, &result);
    talk_expect(&result, BH_OUTCOME_DIED);
    check_partial(&result, 2);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

/* Whether the one worker has counted. */
static bool has_counted(void *context)
{
    struct bh_snapshot snapshot;

    CHECK_INT(bh_pool_snapshot(context, &snapshot), BH_OK);
    bool counted = snapshot.worker_count == 1 && snapshot.workers[0].progress_done == 1;
    bh_snapshot_deinit(&snapshot);
    return counted;
}

struct canceller {
    bh_pool *pool;
    bh_cancel *cancel;
};

static void cancel_later(void *context)
{
    const struct canceller *canceller = context;

    CHECK(kit_wait_until(has_counted, canceller->pool, 10000));
    bh_cancel_raise(canceller->cancel);
}

TEST(a_cancel_leaves_it_too)
{
    struct bh_pool_options options = talk_options(1);
    bh_pool *pool = probe_open(&options);
    struct canceller canceller = {pool, bh_cancel_new()};
    bh_value arguments[2];
    struct bh_request request = counting(arguments, 3, "hang");
    struct bh_result result;

    kit_thread *thread = kit_thread_start(cancel_later, &canceller);
    request.cancel = canceller.cancel;
    bh_pool_call(pool, &request, &result);
    kit_thread_join(thread);
    talk_expect(&result, BH_OUTCOME_CANCELLED);
    check_partial(&result, 3);
    bh_result_deinit(&result);
    bh_cancel_free(canceller.cancel);
    bh_pool_close(pool);
}

TEST(an_answer_takes_its_place)
{
    struct bh_pool_options options = talk_options(1);
    bh_pool *pool = probe_open(&options);
    struct bh_result result;

    count(pool, 3, "reply", 0, &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    CHECK(!result.partial);
    bh_result_deinit(&result);
    count(pool, 3, "fail", 0, &result);
    talk_expect(&result, BH_OUTCOME_FAILED);
    CHECK(!result.partial);
    CHECK_INT(result.reply.type, BH_NULL);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(it_is_never_that_of_an_earlier_request)
{
    struct bh_pool_options options = talk_options(1);
    bh_pool *pool = probe_open(&options);
    struct bh_result result;

    count(pool, 5, "reply", 0, &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    bh_result_deinit(&result);
    count(pool, 0, "die", 0, &result);
    talk_expect(&result, BH_OUTCOME_DIED);
    CHECK(!result.partial);
    CHECK_INT(result.reply.type, BH_NULL);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(only_that_of_the_last_attempt_is_handed_over)
{
    struct bh_pool_options options = talk_options(1);
    bh_pool *pool = probe_open(&options);
    bh_value arguments[2];
    struct bh_request request = counting(arguments, 1, "die later");
    struct bh_result result;

    request.retries = 2; /* each publishes its serial */
    bh_pool_call(pool, &request, &result);
    talk_expect(&result, BH_OUTCOME_DIED);
    CHECK_INT(result.attempts, 3);
    check_partial(&result, (int64_t)result.serial);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(one_that_is_too_large_is_refused_and_the_one_before_counts)
{
    struct bh_pool_options options = talk_options(1);
    options.max_partial_bytes = 4096;
    bh_pool *pool = probe_open(&options);
    struct bh_result result;

    count(pool, 2, "too large", 0, &result);
    talk_expect(&result, BH_OUTCOME_DIED);
    check_partial(&result, BH_E_TOO_LARGE);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(a_pool_can_do_without)
{
    struct bh_pool_options options = talk_options(1);
    options.max_partial_bytes = 0;
    bh_pool *pool = probe_open(&options);
    struct bh_result result;

    count(pool, 2, "die", 0, &result);
    talk_expect(&result, BH_OUTCOME_DIED);
    CHECK(!result.partial);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(it_counts_as_a_sign_of_life)
{
    struct bh_pool_options options = talk_options(1);
    options.no_progress_ms = soon();
    bh_pool *pool = probe_open(&options);
    bh_value ms = bh_value_int64(3 * soon());
    struct bh_result result;

    probe_call(pool, "murmur", &ms, 1, &result);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(sessions_and_requests_that_nobody_waits_for_have_it_too)
{
    struct bh_pool_options options = talk_options(2);
    bh_pool *pool = probe_open(&options);
    bh_value arguments[2];
    struct bh_request request = counting(arguments, 6, "die");
    struct bh_completion completion;
    struct bh_result result;
    bh_session *session;

    CHECK_INT(bh_pool_submit(pool, &request, NULL, NULL), BH_REFUSAL_NONE);
    CHECK_INT(bh_pool_take(pool, &completion, 1, options.start_timeout_ms), 1);
    talk_expect(&completion.result, BH_OUTCOME_DIED);
    check_partial(&completion.result, 6);
    bh_result_deinit(&completion.result);
    CHECK_INT(bh_session_open(&session, pool, NULL, NULL), BH_OK);
    bh_session_call(session, &request, &result);
    talk_expect(&result, BH_OUTCOME_DIED);
    check_partial(&result, 6);
    bh_result_deinit(&result);
    bh_session_close(session);
    bh_pool_close(pool);
}

TEST(the_result_as_a_map_says_so)
{
    struct bh_pool_options options = talk_options(1);
    bh_pool *pool = probe_open(&options);
    struct bh_result result;
    bh_value map;
    bool partial = false;
    int64_t number = 0;

    count(pool, 9, "die", 0, &result);
    talk_expect(&result, BH_OUTCOME_DIED);
    CHECK_INT(bh_result_to_value(&result, &map), BH_OK);
    CHECK_INT(bh_value_get_bool(bh_map_get(&map, "partial"), &partial), BH_OK);
    CHECK(partial);
    CHECK_INT(bh_value_get_int64(bh_map_get(&map, "reply"), &number), BH_OK);
    CHECK_INT(number, 9);
    bh_value_deinit(&map);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

/* A worker that publishes without end texts of one letter each, of any length, and is killed: the
 * one that arrives is whole. */
TEST(a_kill_at_any_moment_leaves_a_whole_one)
{
    enum { ROUNDS = KIT_WINDOWS ? 15 : 120 };
    struct bh_pool_options options = talk_options(1);
    options.grace_ms = 0;
    bh_pool *pool = probe_open(&options);
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_result result;
    int with = 0;

    request.method = "babble";
    for (uint32_t i = 0; i < ROUNDS; i++) {
        CHECK_INT(bh_pool_wait_ready(pool, 1, options.start_timeout_ms, NULL), BH_OK);
        request.deadline_ms = (KIT_WINDOWS ? 30 : 1) + i % 7;
        bh_pool_call(pool, &request, &result);
        talk_expect(&result, BH_OUTCOME_DEADLINE);
        with += result.partial;
        if (result.partial) {
            CHECK_INT(result.reply.type, BH_STRING);
            for (size_t k = 0; k < result.reply.length; k++)
                CHECK_INT(result.reply.as.string[k], result.reply.as.string[0]);
        }
        bh_result_deinit(&result);
    }
    CHECK(with > ROUNDS / 4);
    bh_pool_close(pool);
}
