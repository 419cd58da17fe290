/* SPDX-License-Identifier: MIT */
/*
 * Large arguments and replies: in place, copied and borrowed.
 *
 * timeout: 120
 */
#include "large.h"

#include <bulkhead/async.h>
#include <bulkhead/session.h>

#include <stdlib.h>

/* Processes and many values cost more there. */
#define CLOSINGS (KIT_WINDOWS ? 3 : 20)
#define ITEMS (KIT_WINDOWS ? 300 : 6000)
#define SMALL_ITEMS (KIT_WINDOWS ? 1000 : 20000)

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

static bh_pool *open_pool(uint32_t workers)
{
    struct bh_pool_options options;
    struct bh_problem problem = {0};
    bh_pool *pool;

    bh_pool_options_init(&options);
    options.worker = BH_TEST_DIR "/large_worker";
    options.min_workers = options.max_workers = workers;
    options.start_timeout_ms = 10000u * (unsigned)kit_slowdown();
    if (bh_pool_open(&pool, &options, &problem))
        FAIL("bh_pool_open: %s", problem.text);
    return pool;
}

/* A call on a pool, or on a session's worker. */
struct path {
    bh_pool *pool;
    bh_session *session;
};

static enum bh_outcome call(const struct path *path, const char *method, const bh_value *arguments,
                            size_t count, bool borrow, struct bh_result *result)
{
    struct bh_request request = BH_REQUEST_INIT;

    request.method = method;
    request.arguments = arguments;
    request.argument_count = count;
    request.borrow = borrow;
    return path->session ? bh_session_call(path->session, &request, result)
                         : bh_pool_call(path->pool, &request, result);
}

static void expect(const struct path *path, const char *method, const bh_value *arguments,
                   size_t count, bool borrow, struct bh_result *result)
{
    if (call(path, method, arguments, count, borrow, result) != BH_OUTCOME_REPLIED)
        FAIL("%s: %s %s", method, bh_outcome_name(result->outcome),
             result->text ? result->text : "");
}

static int64_t number(const struct path *path, const char *method, const bh_value *arguments,
                      size_t count)
{
    struct bh_result result;
    int64_t n = -1;

    expect(path, method, arguments, count, false, &result);
    CHECK_INT(bh_value_get_int64(&result.reply, &n), BH_OK);
    bh_result_deinit(&result);
    return n;
}

static void open_session(struct path *path, const struct bh_session_options *options)
{
    struct bh_session_options plain = BH_SESSION_INIT;
    struct bh_problem problem = {0};

    plain.take_last = true;
    if (bh_session_open(&path->session, path->pool, options ? options : &plain, &problem))
        FAIL("bh_session_open: %s", problem.text);
}

static unsigned char *buffer(const struct path *path, size_t bytes)
{
    void *at;

    CHECK_INT(bh_session_buffer(path->session, bytes, &at), BH_OK);
    CHECK(at != NULL && (uintptr_t)at % 64 == 0);
    return at;
}

static void close_all(struct path *path)
{
    bh_session_close(path->session);
    bh_pool_close(path->pool);
}

/* ---- requests -------------------------------------------------------------------------------- */

struct writer {
    bh_pool *pool;
    volatile unsigned char *at;
};

static bool has_begun(void *pool)
{
    struct bh_snapshot snapshot;

    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    bool begun = snapshot.worker_count == 1 && snapshot.workers[0].progress_done == 1;
    bh_snapshot_deinit(&snapshot);
    return begun;
}

static void write_during_the_call(void *context)
{
    const struct writer *writer = context;

    CHECK(kit_wait_until(has_begun, writer->pool, LARGE_DEADLINE_MS));
    *writer->at = 1;
}

TEST(what_lies_in_a_sessions_buffer_is_not_copied)
{
    struct path path = {open_pool(1), NULL};

    open_session(&path, NULL);
    unsigned char *at = buffer(&path, MIB);
    memset(at, 0, MIB);
    bh_value value = bh_value_view_bytes(at, MIB);
    struct writer writer = {path.pool, at + MIB - 1};
    kit_thread *thread = kit_thread_start(write_during_the_call, &writer);
    CHECK_INT(number(&path, "watch", &value, 1), 1);
    kit_thread_join(thread);
    close_all(&path);
}

static void check_values(const struct path *path, unsigned char *at, size_t bytes)
{
    static unsigned char elsewhere[100000];
    double *reals = (double *)(void *)(at + bytes / 2);
    size_t half = bytes / 2;
    int64_t expected;

    memset(elsewhere, 2, sizeof(elsewhere));
    memset(at, 'q', bytes);
    const bh_value values[] = {
        bh_value_view_bytes(at, half),
        bh_value_view_string((char *)at + 7, half - 7),
        bh_value_view_f64(reals, half / 8),
        bh_value_view_i32((int32_t *)(void *)(at + 4), 1000),
        bh_value_view_bytes(at + bytes, 0),
        bh_value_view_bytes(at + 3, 2),
        bh_value_view_bytes(elsewhere, sizeof(elsewhere)),
    };
    expected = 0;
    for (size_t i = 0; i < 7; i++)
        expected += large_sum(values[i].as.bytes, large_payload(&values[i]));
    for (int round = 0; round < 3; round++)
        CHECK_INT(number(path, "sum", values, 7), expected);
}

TEST(values_in_the_buffer_and_elsewhere_travel_together)
{
    struct path path = {open_pool(1), NULL};

    open_session(&path, NULL);
    check_values(&path, buffer(&path, 100 * KIB), 100 * KIB);
    check_values(&path, buffer(&path, 3 * MIB), 3 * MIB);
    CHECK(buffer(&path, 2 * MIB) == buffer(&path, 3 * MIB));
    check_values(&path, buffer(&path, 8 * KIB), 8 * KIB);
    void *at;
    CHECK_INT(bh_session_buffer(path.session, 0, &at), BH_OK);
    CHECK(at == NULL);
    check_values(&path, buffer(&path, 200 * KIB), 200 * KIB);
    close_all(&path);
}

TEST(a_misaligned_array_in_the_buffer_is_copied)
{
    struct path path = {open_pool(1), NULL};

    open_session(&path, NULL);
    unsigned char *at = buffer(&path, MIB);
    large_fill(at, MIB, 1);
    bh_value value = bh_value_view_i64(NULL, 100000);
    value.as.bytes = at + 4;
    CHECK_INT(number(&path, "sum", &value, 1), large_sum(at + 4, 800000));
    close_all(&path);
}

TEST(a_buffer_cannot_be_larger_than_a_request)
{
    struct bh_pool_options options;
    struct path path = {NULL, NULL};
    void *at;

    bh_pool_options_init(&options);
    options.worker = BH_TEST_DIR "/large_worker";
    options.min_workers = options.max_workers = 1;
    options.max_request_bytes = options.max_reply_bytes = MIB;
    CHECK_INT(bh_pool_open(&path.pool, &options, NULL), BH_OK);
    open_session(&path, NULL);
    CHECK_INT(bh_session_buffer(path.session, MIB + 1, &at), BH_E_TOO_LARGE);
    CHECK(at == NULL);
    unsigned char *bytes = buffer(&path, MIB);
    memset(bytes, 1, MIB);
    const bh_value values[] = {bh_value_view_bytes(bytes, 600 * KIB),
                               bh_value_view_bytes(bytes, 600 * KIB)};
    struct bh_result result;
    CHECK_INT(call(&path, "sum", values, 2, false, &result), BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_TOO_LARGE);
    bh_result_deinit(&result);
    CHECK_INT(number(&path, "sum", values, 1), 600 * KIB);
    bh_value size = bh_value_int64(MIB + 1);
    CHECK_INT(call(&path, "make", &size, 1, false, &result), BH_OUTCOME_FAILED);
    CHECK_INT(result.code, BH_E_TOO_LARGE);
    bh_result_deinit(&result);
    close_all(&path);
}

static bool is_lost(void *session)
{
    return bh_session_lost(session);
}

TEST(a_buffer_outlives_its_worker_and_its_pool)
{
    struct path path = {open_pool(1), NULL};

    open_session(&path, NULL);
    unsigned char *at = buffer(&path, MIB);
    memset(at, 4, MIB);
    bh_value value = bh_value_view_bytes(at, MIB);
    CHECK_INT(number(&path, "sum", &value, 1), 4 * (int64_t)MIB);
    kit_pid_kill((int)number(&path, "pid", NULL, 0));
    CHECK(kit_wait_until(is_lost, path.session, LARGE_DEADLINE_MS));
    CHECK_INT(large_sum(at, MIB), 4 * (int64_t)MIB);
    memset(at, 5, MIB);
    void *none;
    CHECK_INT(bh_session_buffer(path.session, 100, &none), BH_E_STATE);
    bh_pool_close(path.pool);
    CHECK_INT(large_sum(at, MIB), 5 * (int64_t)MIB);
    CHECK_INT(bh_session_buffer(path.session, 100, &none), BH_E_STATE);
    bh_session_close(path.session);
}

/* ---- replies --------------------------------------------------------------------------------- */

static void check_made(const bh_value *reply, size_t size, unsigned seed)
{
    CHECK_INT(reply->type, BH_BYTES);
    CHECK_INT(reply->length, size);
    for (size_t i = 0; i < size; i++)
        if (reply->as.bytes[i] != large_byte(seed, i))
            FAIL("byte %zu of %zu is wrong", i, size);
}

static void make(const struct path *path, const char *method, size_t size, unsigned seed)
{
    const bh_value arguments[] = {bh_value_int64((int64_t)size), bh_value_int64(seed)};
    struct bh_result result;

    for (int borrow = 0; borrow < 2; borrow++) {
        expect(path, method, arguments, 2, borrow == 1, &result);
        CHECK(!result.borrowed || (borrow == 1 && size >= 512));
        CHECK(result.borrowed || borrow == 0 || size < 128 * KIB);
        check_made(&result.reply, size, seed);
        bh_result_deinit(&result);
    }
}

TEST(replies_of_every_size_arrive_in_place_and_copied)
{
    static const size_t sizes[] = {0,       1,      511, 512,    60000,   61424,  61441,  65536,
                                   3000000, 200000, 20,  300000, 1048577, 131072, 500000, 1500000};
    struct path path = {open_pool(1), NULL};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        make(&path, "make", sizes[i], i);
        make(&path, "copied", sizes[i], i + 100);
    }
    close_all(&path);
}

static void check_mix(const bh_value *reply, size_t size)
{
    int64_t seven;

    check_made(bh_map_get(reply, "one"), size, 1);
    check_made(bh_map_get(reply, "other"), size, 3);
    const bh_value *text = bh_map_get(reply, "text");
    CHECK_INT(text->type, BH_STRING);
    CHECK_INT(large_sum(text->as.string, (size_t)text->length), 'z' * (int64_t)size);
    CHECK_INT(text->as.string[text->length], 0); /* a copy, also in a borrowed reply */
    const bh_value *part = bh_map_get(reply, "part");
    CHECK_INT(part->type, BH_I32_ARRAY);
    CHECK_INT(part->length, (size - 64) / 4);
    CHECK_BYTES(part->as.bytes, bh_map_get(reply, "one")->as.bytes + 64, (size - 64) / 4 * 4);
    CHECK_BYTES(bh_map_get(reply, "odd")->as.bytes, bh_map_get(reply, "one")->as.bytes + 1,
                size - 1);
    CHECK_INT(bh_map_get(reply, "beyond")->length, 16);
    CHECK_INT(bh_value_get_int64(bh_map_get(reply, "number"), &seven), BH_OK);
    CHECK_INT(seven, 7);
}

TEST(payloads_in_buffers_and_elsewhere_make_one_reply)
{
    static const size_t sizes[] = {1000, 200000, 2000000, 2000000, 300000};
    struct path path = {open_pool(1), NULL};

    for (unsigned i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        bh_value size = bh_value_int64((int64_t)sizes[i / 2]);
        struct bh_result result;
        expect(&path, "mix", &size, 1, i % 2 == 1, &result);
        check_mix(&result.reply, sizes[i / 2]);
        bh_result_deinit(&result);
    }
    close_all(&path);
}

TEST(a_message_too_long_for_the_lane_has_payloads_beside_it)
{
    const bh_value arguments[] = {bh_value_int64(ITEMS), bh_value_int64(520)};
    const bh_value small[] = {bh_value_int64(SMALL_ITEMS), bh_value_int64(30)};
    struct path path = {open_pool(1), NULL};
    struct bh_result result;

    for (int round = 0; round < 4; round++) {
        expect(&path, "many", round < 2 ? arguments : small, 2, round % 2 == 1, &result);
        CHECK_INT(result.reply.length, round < 2 ? ITEMS : SMALL_ITEMS);
        for (unsigned i = 0; i < result.reply.length; i += 99)
            check_made(&result.reply.as.items[i], round < 2 ? 520 : 30, i);
        bh_result_deinit(&result);
    }
    close_all(&path);
}

TEST(a_buffer_that_no_reply_uses_does_no_harm)
{
    struct path path = {open_pool(1), NULL};

    for (int i = 0; i < 50; i++) {
        bh_value size = bh_value_int64(200000 + 100000 * (i % 7));
        struct bh_result result;
        CHECK_INT(call(&path, "abandon", &size, 1, false, &result), BH_OUTCOME_FAILED);
        CHECK_INT(result.code, 9);
        bh_result_deinit(&result);
        CHECK_INT(number(&path, "unused", &size, 1), 5);
        if (i % 10 == 9)
            make(&path, "make", 400000, (unsigned)i);
    }
    close_all(&path);
}

/* Nothing says when it happens, so this only lets the time pass; what is checked is that both sides
 * agree afterwards on what is gone. */
TEST(what_was_given_back_is_made_anew)
{
    static unsigned char elsewhere[MIB];
    struct path path = {open_pool(1), NULL};

    open_session(&path, NULL);
    unsigned char *at = buffer(&path, MIB);
    memset(at, 3, MIB);
    bh_value value = bh_value_view_bytes(at, MIB);
    bh_value other = bh_value_view_bytes(elsewhere, MIB);
    for (int round = 0; round < 3; round++) {
        CHECK_INT(number(&path, "sum", &value, 1), 3 * (int64_t)MIB);
        CHECK_INT(number(&path, "sum", &other, 1), 0);
        make(&path, "make", MIB, 3);
        if (round == 1) { /* another buffer than the one that the worker knows */
            at = buffer(&path, 3 * MIB);
            memset(at, 3, MIB);
            value = bh_value_view_bytes(at, MIB);
        }
        if (round < 2)
            kit_pause_ms(1200);
    }
    close_all(&path);
}

/* ---- borrowed -------------------------------------------------------------------------------- */

static void borrow(const struct path *path, size_t size, unsigned seed, struct bh_result *result)
{
    const bh_value arguments[] = {bh_value_int64((int64_t)size), bh_value_int64(seed)};

    expect(path, "make", arguments, 2, true, result);
    CHECK(result->borrowed);
    check_made(&result->reply, size, seed);
}

static unsigned leased(bh_pool *pool)
{
    struct bh_snapshot snapshot;

    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    unsigned count = snapshot.worker_state[BH_WORKER_LEASED];
    CHECK_INT(snapshot.running, 0);
    bh_snapshot_deinit(&snapshot);
    return count;
}

TEST(a_borrowed_reply_keeps_its_worker_from_further_requests)
{
    struct path path = {open_pool(1), NULL};
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_result held, result;

    borrow(&path, MIB, 1, &held);
    CHECK_INT(leased(path.pool), 1);
    request.method = "pid";
    request.deadline_ms = 30;
    CHECK_INT(bh_pool_call(path.pool, &request, &result), BH_OUTCOME_DEADLINE);
    CHECK_INT(result.delivery, BH_DELIVERY_NEVER_STARTED);
    bh_result_deinit(&result);
    check_made(&held.reply, MIB, 1);
    bh_result_deinit(&held);
    CHECK(!held.borrowed);
    CHECK_INT(leased(path.pool), 0);
    CHECK(number(&path, "pid", NULL, 0) > 0);
    close_all(&path);
}

static void give_back_later(void *held)
{
    kit_pause_ms(20);
    bh_result_deinit(held);
}

TEST(who_waits_for_the_worker_gets_it_when_the_reply_is_given_back)
{
    struct path path = {open_pool(1), NULL};
    struct bh_result held;

    for (int i = 0; i < 5; i++) {
        borrow(&path, MIB, 1, &held);
        kit_thread *thread = kit_thread_start(give_back_later, &held);
        CHECK(number(&path, "pid", NULL, 0) > 0);
        kit_thread_join(thread);
    }
    close_all(&path);
}

TEST(a_borrowed_reply_shows_what_its_worker_does_to_it)
{
    struct path path = {open_pool(1), NULL};
    bh_value size = bh_value_int64(MIB), copy;
    struct bh_result result;
    unsigned char first;

    expect(&path, "scribble", &size, 1, true, &result);
    CHECK(result.borrowed);
    CHECK_INT(bh_value_copy(&copy, &result.reply), BH_OK);
    const volatile uint8_t *bytes = result.reply.as.bytes;
    int64_t until = kit_now_ms() + (int64_t)LARGE_DEADLINE_MS * kit_slowdown();
    for (first = bytes[0]; bytes[0] == first;)
        CHECK(kit_now_ms() < until);
    first = copy.as.bytes[0];
    kit_pause_ms(5);
    CHECK_INT(copy.as.bytes[0], first);
    CHECK_INT(bytes[MIB - 1], 'a');
    bh_result_deinit(&result);
    CHECK_INT(copy.as.bytes[MIB - 1], 'a');
    bh_value_deinit(&copy);
    close_all(&path);
}

static bool none_is_left(void *pool)
{
    struct bh_snapshot snapshot;

    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    bool none = snapshot.worker_state[BH_WORKER_LEASED] == 0;
    bh_snapshot_deinit(&snapshot);
    return none;
}

TEST(a_borrowed_reply_outlives_its_worker)
{
    struct path path = {open_pool(1), NULL};
    struct bh_result held;
    int pid = (int)number(&path, "pid", NULL, 0);

    borrow(&path, 2 * MIB, 8, &held);
    kit_pid_kill(pid);
    CHECK(kit_wait_until(none_is_left, path.pool, LARGE_DEADLINE_MS));
    CHECK(number(&path, "pid", NULL, 0) != pid); /* by its successor */
    check_made(&held.reply, 2 * MIB, 8);
    bh_result_deinit(&held);
    close_all(&path);
}

TEST(a_borrowed_reply_outlives_its_pool)
{
    struct path path = {open_pool(2), NULL};
    struct bh_result held[2];

    borrow(&path, 2 * MIB, 8, &held[0]);
    open_session(&path, NULL);
    borrow(&path, MIB, 9, &held[1]);
    bh_pool_close(path.pool);
    check_made(&held[0].reply, 2 * MIB, 8);
    check_made(&held[1].reply, MIB, 9);
    bh_result_deinit(&held[0]);
    bh_session_close(path.session);
    bh_result_deinit(&held[1]);
}

TEST(a_session_does_not_call_while_a_reply_of_it_is_borrowed)
{
    struct path path = {open_pool(1), NULL};
    struct bh_result held, result;

    open_session(&path, NULL);
    borrow(&path, MIB, 1, &held);
    CHECK_INT(call(&path, "pid", NULL, 0, false, &result), BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_INVALID);
    CHECK_CONTAINS(result.text, "borrowed");
    bh_result_deinit(&result);
    CHECK(!bh_session_lost(path.session));
    check_made(&held.reply, MIB, 1);
    bh_result_deinit(&held);
    CHECK(number(&path, "pid", NULL, 0) > 0);
    close_all(&path);
}

TEST(a_session_that_ends_leaves_its_borrowed_reply)
{
    struct path path = {open_pool(1), NULL};
    struct bh_session_options options = BH_SESSION_INIT;
    struct bh_result held;
    int pids[4];

    options.take_last = true;
    for (int i = 0; i < 3; i++) {
        options.keep_worker = i == 1;
        options.lease_ms = i == 2 ? 200 : 0;
        open_session(&path, &options);
        pids[i] = (int)number(&path, "pid", NULL, 0);
        borrow(&path, MIB, 2, &held);
        if (i == 2)
            CHECK(kit_wait_until(is_lost, path.session, LARGE_DEADLINE_MS));
        bh_session_close(path.session);
        path.session = NULL;
        CHECK_INT(leased(path.pool), 1);
        check_made(&held.reply, MIB, 2);
        bh_result_deinit(&held);
        pids[i + 1] = (int)number(&path, "pid", NULL, 0);
        CHECK_INT(pids[i] == pids[i + 1], i == 1);
    }
    close_all(&path);
}

TEST(completions_carry_borrowed_replies)
{
    struct path path = {open_pool(2), NULL};
    const bh_value arguments[] = {bh_value_int64(MIB), bh_value_int64(6)};
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_completion completions[3];

    request.method = "make";
    request.arguments = arguments;
    request.argument_count = 2;
    request.borrow = true;
    for (int i = 0; i < 3; i++)
        CHECK_INT(bh_pool_submit(path.pool, &request, NULL, NULL), BH_REFUSAL_NONE);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(bh_pool_take(path.pool, &completions[i], 1, BH_WAIT_FOREVER), 1);
        CHECK(completions[i].result.borrowed);
        check_made(&completions[i].result.reply, MIB, 6);
        if (i == 1) /* both workers are held; the third request waits for one */
            bh_result_deinit(&completions[0].result);
    }
    bh_result_deinit(&completions[1].result);
    bh_pool_close(path.pool);
    bh_result_deinit(&completions[2].result);
}

TEST(completions_that_nobody_takes_give_back_what_they_borrowed)
{
    struct path path = {open_pool(1), NULL};
    const bh_value arguments[] = {bh_value_int64(MIB), bh_value_int64(6)};
    struct bh_request request = BH_REQUEST_INIT;

    request.method = "make";
    request.arguments = arguments;
    request.argument_count = 2;
    request.borrow = true;
    CHECK_INT(bh_pool_submit(path.pool, &request, NULL, NULL), BH_REFUSAL_NONE);
    CHECK(kit_is_ready(bh_pool_waitable(path.pool), LARGE_DEADLINE_MS));
    bh_pool_close(path.pool);
}

static void give_back(void *held)
{
    bh_result_deinit(held);
}

TEST(giving_back_and_closing_may_meet)
{
    for (int i = 0; i < CLOSINGS; i++) {
        struct path path = {open_pool(1), NULL};
        struct bh_result held;
        borrow(&path, 200 * KIB, 1, &held);
        kit_thread *thread = kit_thread_start(give_back, &held);
        bh_pool_close(path.pool);
        kit_thread_join(thread);
    }
}
