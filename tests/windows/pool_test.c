/* SPDX-License-Identifier: MIT */
/* timeout: 120 */
/*
 * A pool and its workers, over COM: what becomes of requests.
 */
#include "rig.h"

#include <stdlib.h>

TEST(a_request_is_answered)
{
    struct bh_pool_options options = rig_options(1);
    bh_pool *pool = rig_open_ready(&options);

    rig_check_echo(pool);
    rig_check_echo(pool);
    bh_pool_close(pool);
}

TEST(values_of_every_type_come_back_as_they_went)
{
    static const int32_t i32[] = {INT32_MIN, 0, INT32_MAX};
    static const int64_t i64[] = {INT64_MIN, 0, INT64_MAX};
    static const float f32[] = {-0.0f, 1.5f};
    static const double f64[] = {-0.0, 1e300};
    struct bh_pool_options options = rig_options(1);
    bh_pool *pool = rig_open_ready(&options);
    bh_value map = bh_value_map();
    bh_value item = bh_value_uint64(UINT64_MAX);
    struct bh_result result;

    bh_map_set(&map, "a", &item);
    item = bh_value_view("t\xc3\xbcr");
    bh_map_set(&map, "b", &item);
    const bh_value all[] = {
        bh_value_null(),
        bh_value_bool(true),
        bh_value_int64(-1),
        bh_value_uint64(1),
        bh_value_double(0.1),
        bh_value_timestamp(-1),
        bh_value_view(""),
        bh_value_view_string("a\0b", 3),
        bh_value_view_bytes("\0\xff", 2),
        bh_value_view_error(-5, "text"),
        bh_value_view_i32(i32, 3),
        bh_value_view_i64(i64, 3),
        bh_value_view_f32(f32, 2),
        bh_value_view_f64(f64, 2),
        bh_value_view_array(&map, 1),
        map,
    };
    const size_t count = sizeof(all) / sizeof(all[0]);
    bh_value sent = bh_value_view_array(all, count);
    bh_pool_invoke(pool, "echo", all, count, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    CHECK(bh_value_equal(&result.reply, &sent));
    bh_result_deinit(&result);
    bh_value_deinit(&map);
    bh_pool_close(pool);
}

TEST(the_methods_are_announced)
{
    struct bh_pool_options options = rig_options(1);
    bh_pool *pool = rig_open_ready(&options);
    struct bh_problem problem;
    bh_value methods;

    CHECK_INT(bh_pool_methods(pool, RIG_READY_MS, &methods, &problem), BH_OK);
    CHECK(methods.length > 3);
    CHECK_STR(bh_map_get(&methods.as.items[0], "name")->as.string, "echo");
    CHECK_STR(bh_map_get(&methods.as.items[0], "help")->as.string, "echo(value) -> value");
    bh_value_deinit(&methods);
    bh_pool_close(pool);
}

TEST(an_unknown_method_is_refused)
{
    struct bh_pool_options options = rig_options(1);
    bh_pool *pool = rig_open_ready(&options);
    struct bh_result result;

    bh_pool_invoke(pool, "ech", NULL, 0, &result);
    rig_expect(&result, BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_NO_METHOD);
    bh_result_deinit(&result);
    rig_check_echo(pool);
    bh_pool_close(pool);
}

/* A failure with a number that COM itself uses is a failure, and the worker lives. */
TEST(a_handler_may_fail_with_any_number)
{
    static const int64_t codes[] = {0,
                                    1,
                                    -1,
                                    (int32_t)0x80010105,
                                    1726,
                                    1722,
                                    0,
                                    (int32_t)0x800706BE,
                                    0x7fffffff,
                                    (int32_t)0x80010108,
                                    (int32_t)0x800703E6,
                                    (int32_t)0x80020009,
                                    (int32_t)0x80020003};
    struct bh_pool_options options = rig_options(1);
    bh_pool *pool = rig_open_ready(&options);
    struct bh_snapshot snapshot;

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        bh_value code = bh_value_int64(codes[i]);
        struct bh_result result;
        bh_pool_invoke(pool, "fail", &code, 1, &result);
        rig_expect(&result, BH_OUTCOME_FAILED);
        CHECK_INT(result.code, codes[i]);
        CHECK_STR(result.text, "failed on purpose, t\xc3\xbc"
                               "chtig");
        bh_result_deinit(&result);
    }
    rig_check_echo(pool);
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.starts, 1);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(pool);
}

TEST(arguments_that_cannot_travel_are_refused)
{
    struct bh_pool_options options = rig_options(1);
    struct bh_result result;

    options.max_request_bytes = 4096;
    bh_pool *pool = rig_open_ready(&options);
    char *bytes = calloc(1, 8192);
    bh_value argument = bh_value_view_bytes(bytes, 8192);
    bh_pool_invoke(pool, "echo", &argument, 1, &result);
    rig_expect(&result, BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_TOO_LARGE);
    bh_result_deinit(&result);
    argument = bh_value_view_string("\xff", 1);
    bh_pool_invoke(pool, "echo", &argument, 1, &result);
    rig_expect(&result, BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_INVALID);
    CHECK(result.text != NULL && *result.text != '\0');
    bh_result_deinit(&result);
    rig_check_echo(pool);
    free(bytes);
    bh_pool_close(pool);
}

/* ---- deadlines ---- */

static int64_t call_hang(bh_pool *pool, uint32_t deadline_ms, struct bh_result *result)
{
    bh_value kind = bh_value_view("hang");
    struct bh_request request = BH_REQUEST_INIT;

    request.method = "mishap";
    request.arguments = &kind;
    request.argument_count = 1;
    request.deadline_ms = deadline_ms;
    int64_t begin = kit_now_ms();
    bh_pool_call(pool, &request, result);
    return kit_now_ms() - begin;
}

TEST(a_worker_that_hangs_is_killed_and_the_cause_is_the_deadline)
{
    struct bh_pool_options options = rig_options(1);
    struct bh_result result;

    options.grace_ms = 50;
    bh_pool *pool = rig_open_ready(&options);
    int64_t took = call_hang(pool, 200, &result);
    rig_expect(&result, BH_OUTCOME_DEADLINE);
    CHECK(result.has_death);
    CHECK_INT(result.death.cause, BH_CAUSE_DEADLINE);
    CHECK_INT(result.death.phase, BH_PHASE_REQUEST);
    CHECK_INT(result.delivery, BH_DELIVERY_STARTED);
    CHECK_INT(result.death.exit_code, -1);
    CHECK(took >= 240 && took < 2000 * kit_slowdown());
    printf("# hung call: deadline 200 + grace 50, returned after %lld ms\n", (long long)took);
    bh_result_deinit(&result);
    rig_check_echo(pool);
    bh_pool_close(pool);
}

TEST(a_worker_that_gives_up_in_time_lives)
{
    struct bh_pool_options options = rig_options(1);
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_snapshot snapshot;
    struct bh_result result;

    options.grace_ms = 5000;
    bh_pool *pool = rig_open_ready(&options);
    request.method = "patience";
    request.deadline_ms = 100;
    bh_pool_call(pool, &request, &result);
    rig_expect(&result, BH_OUTCOME_DEADLINE);
    CHECK(!result.has_death);
    CHECK_INT(result.delivery, BH_DELIVERY_COMMITTED);
    bh_result_deinit(&result);
    rig_check_echo(pool);
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.starts, 1);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(pool);
}

static DWORD WINAPI raise_later(void *token)
{
    Sleep(100);
    bh_cancel_raise(token);
    return 0;
}

TEST(a_cancelled_call_ends)
{
    struct bh_pool_options options = rig_options(1);
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_result result;

    options.grace_ms = 50;
    bh_pool *pool = rig_open_ready(&options);
    bh_cancel *token = bh_cancel_new();
    bh_value kind = bh_value_view("hang");
    HANDLE thread = CreateThread(NULL, 0, raise_later, token, 0, NULL);
    request.method = "mishap";
    request.arguments = &kind;
    request.argument_count = 1;
    request.cancel = token;
    bh_pool_call(pool, &request, &result);
    rig_expect(&result, BH_OUTCOME_CANCELLED);
    CHECK(result.has_death);
    CHECK_INT(result.death.cause, BH_CAUSE_CANCELLED);
    bh_result_deinit(&result);
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
    bh_cancel_free(token);
    bh_pool_close(pool);
}

/* ---- many at once ---- */

struct crowd {
    bh_pool *pool;
    int rounds;
    int64_t first;
    _Atomic int wrong;
};

static DWORD WINAPI crowd_member(void *context)
{
    struct crowd *crowd = context;

    for (int i = 0; i < crowd->rounds; i++) {
        bh_value argument = bh_value_int64((int64_t)GetCurrentThreadId() << 32 | i);
        struct bh_result result;
        bh_pool_invoke(crowd->pool, "echo", &argument, 1, &result);
        if (result.outcome != BH_OUTCOME_REPLIED || !bh_value_equal(&result.reply, &argument))
            crowd->wrong++;
        bh_result_deinit(&result);
    }
    return 0;
}

static void run_crowd(struct crowd *crowd, HANDLE *threads, int count)
{
    for (int i = 0; i < count; i++)
        threads[i] = CreateThread(NULL, 0, crowd_member, crowd, 0, NULL);
}

static void join_crowd(HANDLE *threads, int count)
{
    WaitForMultipleObjects((DWORD)count, threads, TRUE, INFINITE);
    for (int i = 0; i < count; i++)
        CloseHandle(threads[i]);
}

TEST(two_pools_at_once_do_not_mix_their_workers_up)
{
    struct bh_pool_options options = rig_options(2);
    struct crowd crowds[2] = {{.rounds = 50}, {.rounds = 50}};
    HANDLE threads[2][4];

    for (int i = 0; i < 2; i++)
        crowds[i].pool = rig_open(&options);
    for (int i = 0; i < 2; i++)
        run_crowd(&crowds[i], threads[i], 4);
    for (int i = 0; i < 2; i++) {
        struct bh_snapshot snapshot;
        join_crowd(threads[i], 4);
        CHECK_INT(crowds[i].wrong, 0);
        CHECK_INT(bh_pool_snapshot(crowds[i].pool, &snapshot), BH_OK);
        CHECK_INT(snapshot.outcome[BH_OUTCOME_REPLIED], 200);
        CHECK_INT(snapshot.starts, 2);
        bh_snapshot_deinit(&snapshot);
        bh_pool_close(crowds[i].pool);
    }
}

TEST(workers_are_replaced_while_they_serve)
{
    struct bh_pool_options options = rig_options(2);
    struct crowd crowd = {.rounds = 100};
    struct bh_snapshot snapshot;
    HANDLE threads[2];

    options.max_workers = 3;
    crowd.pool = rig_open_ready(&options);
    run_crowd(&crowd, threads, 2);
    CHECK_INT(bh_pool_replace(crowd.pool), BH_OK);
    join_crowd(threads, 2);
    CHECK_INT(crowd.wrong, 0);
    CHECK_INT(bh_pool_snapshot(crowd.pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_REPLIED], 200);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(crowd.pool);
}

TEST(workers_quit_when_the_pool_closes)
{
    struct bh_pool_options options = rig_options(3);

    bh_pool *pool = rig_open_ready(&options);
    struct bh_snapshot snapshot;
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.ready, 3);
    bh_snapshot_deinit(&snapshot);
    int64_t begin = kit_now_ms();
    bh_pool_close(pool);
    printf("# closing 3 idle workers took %lld ms\n", (long long)(kit_now_ms() - begin));
    CHECK(kit_now_ms() - begin < 4000);
}
