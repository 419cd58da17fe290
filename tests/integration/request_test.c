/* SPDX-License-Identifier: MIT */
/*
 * What becomes of single requests: values on their way and back, failures, deadlines.
 */
#include "probe.h"

TEST(values_of_every_type_come_back_as_they_went)
{
    static const int32_t i32[] = {INT32_MIN, 0, INT32_MAX};
    static const int64_t i64[] = {INT64_MIN, 0, INT64_MAX};
    static const float f32[] = {-0.0f, 1.5f};
    static const double f64[] = {-0.0, 1e300};
    struct bh_pool_options options = mishaps_options(1);
    bh_value map = bh_value_map();
    bh_value item = bh_value_uint64(UINT64_MAX);
    struct bh_result result;

    CHECK_INT(bh_map_set(&map, "a", &item), BH_OK);
    item = bh_value_view("t\xc3\xbcr");
    CHECK_INT(bh_map_set(&map, "b", &item), BH_OK);
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
    bh_pool *pool = probe_open(&options);
    probe_call(pool, "echo", all, count, &result);
    CHECK(bh_value_equal(&result.reply, &sent));
    bh_result_deinit(&result);
    bh_value_deinit(&map);
    bh_pool_close(pool);
}

/* From what fits into the lane to what needs a segment of its own. */
TEST(payloads_of_every_size_arrive_whole)
{
    static const int64_t sizes[] = {0, 1, 4095, 16384, 65536, 1000003, 8 << 20};
    struct bh_pool_options options = mishaps_options(1);
    bh_pool *pool = probe_open(&options);

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        bh_value size = bh_value_int64(sizes[i]);
        struct bh_result blob, echo;
        probe_call(pool, "blob", &size, 1, &blob);
        CHECK_INT(blob.reply.type, BH_BYTES);
        CHECK_INT(blob.reply.length, sizes[i]);
        for (uint64_t at = 0; at < blob.reply.length; at += 4093)
            CHECK_INT(blob.reply.as.bytes[at], (at ^ at >> 8 ^ at >> 16) & 255);
        probe_call(pool, "echo", &blob.reply, 1, &echo);
        CHECK(bh_value_equal(&echo.reply, &blob.reply));
        bh_result_deinit(&echo);
        bh_result_deinit(&blob);
    }
    bh_pool_close(pool);
}

TEST(the_methods_are_announced)
{
    struct bh_pool_options options = mishaps_options(1);
    bh_pool *pool = probe_open(&options);
    bh_value methods;

    CHECK_INT(bh_pool_methods(pool, options.start_timeout_ms, &methods, NULL), BH_OK);
    CHECK_INT(methods.type, BH_ARRAY);
    CHECK_INT(methods.length, 9);
    CHECK_STR(bh_map_get(&methods.as.items[0], "name")->as.string, "echo");
    CHECK_CONTAINS(bh_map_get(&methods.as.items[0], "help")->as.string, "echo(value...)");
    bh_value_deinit(&methods);
    bh_pool_close(pool);
}

/* Numbers that systems and COM themselves use for broken connections among them. */
TEST(a_handler_may_fail_with_any_number_and_lives_on)
{
    static const int64_t codes[] = {0,
                                    1,
                                    -1,
                                    INT32_MAX,
                                    INT32_MIN,
                                    32,
                                    104,
                                    1722,
                                    1726,
                                    (int32_t)0x800706BE,
                                    (int32_t)0x800703E6,
                                    (int32_t)0x80010105,
                                    (int32_t)0x80010108,
                                    (int32_t)0x80020003,
                                    (int32_t)0x80020009};
    struct bh_pool_options options = mishaps_options(1);
    struct bh_snapshot snapshot;

    bh_pool *pool = probe_open(&options);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        bh_value arguments[] = {bh_value_int64(codes[i]), bh_value_view("t\xc3\xbc"
                                                                        "chtig")};
        struct bh_result result;
        CHECK_INT(bh_pool_invoke(pool, "fail", arguments, 2, &result), BH_OUTCOME_FAILED);
        CHECK_INT(result.code, codes[i]);
        CHECK_STR(result.text, "t\xc3\xbc"
                               "chtig");
        bh_result_deinit(&result);
    }
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.starts, 1);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(pool);
}

/* ---- deadlines ---- */

static void call_with_deadline(bh_pool *pool, const char *method, bh_value argument,
                               uint32_t deadline_ms, struct bh_result *result)
{
    struct bh_request request = BH_REQUEST_INIT;

    request.method = method;
    request.arguments = &argument;
    request.argument_count = 1;
    request.deadline_ms = deadline_ms;
    CHECK_INT(bh_pool_call(pool, &request, result), BH_OUTCOME_DEADLINE);
}

static void check_hang(const char *kind)
{
    struct bh_pool_options options = mishaps_options(1);
    struct bh_result result;

    options.grace_ms = 50;
    bh_pool *pool = probe_open(&options);
    probe_number(pool, "pid");
    int64_t begin = kit_now_ms();
    call_with_deadline(pool, "die", bh_value_view(kind), 200, &result);
    int64_t took = kit_now_ms() - begin;
    CHECK(took >= 200 && took < 3000 * kit_slowdown());
    CHECK(result.has_death);
    CHECK_INT(result.death.cause, BH_CAUSE_DEADLINE);
    CHECK_INT(result.death.phase, BH_PHASE_REQUEST);
    CHECK_INT(result.death.serial, result.serial);
    CHECK_INT(result.delivery, BH_DELIVERY_STARTED);
    CHECK_INT(result.death.exit_code, -1);
    bh_result_deinit(&result);
    probe_number(pool, "pid");
    bh_pool_close(pool);
}

TEST(a_worker_that_sleeps_through_its_deadline_is_killed)
{
    check_hang("hang");
}

TEST(a_worker_that_works_through_its_deadline_is_killed)
{
    check_hang("spin");
}

TEST(a_worker_that_gives_up_in_time_lives)
{
    struct bh_pool_options options = mishaps_options(1);
    struct bh_result result;

    options.grace_ms = 10000;
    bh_pool *pool = probe_open(&options);
    int64_t pid = probe_number(pool, "pid");
    call_with_deadline(pool, "sleep", bh_value_int64(60000), 100, &result);
    CHECK(!result.has_death);
    CHECK_INT(result.delivery, BH_DELIVERY_COMMITTED);
    bh_result_deinit(&result);
    CHECK_INT(probe_number(pool, "pid"), pid);
    bh_pool_close(pool);
}

/* ---- two pools ---- */

struct echoing {
    bh_pool *pool;
    int64_t first;
};

static void echo_numbers(void *context)
{
    struct echoing *echoing = context;

    for (int64_t i = 0; i < 50; i++) {
        bh_value argument = bh_value_int64(echoing->first + i);
        struct bh_result result;
        probe_call(echoing->pool, "echo", &argument, 1, &result);
        CHECK(bh_value_equal(&result.reply, &argument));
        bh_result_deinit(&result);
    }
}

TEST(two_pools_at_once_do_not_mix_their_workers_up)
{
    struct bh_pool_options options = mishaps_options(2);
    struct echoing echoing[8];
    kit_thread *callers[8];
    bh_pool *pools[2];

    for (int i = 0; i < 2; i++)
        pools[i] = probe_open(&options);
    for (int i = 0; i < 8; i++) {
        echoing[i] = (struct echoing){pools[i % 2], i * 1000};
        callers[i] = kit_thread_start(echo_numbers, &echoing[i]);
    }
    for (int i = 0; i < 8; i++)
        kit_thread_join(callers[i]);
    for (int i = 0; i < 2; i++) {
        struct bh_snapshot snapshot;
        CHECK_INT(bh_pool_snapshot(pools[i], &snapshot), BH_OK);
        CHECK_INT(snapshot.outcome[BH_OUTCOME_REPLIED], 200);
        CHECK_INT(snapshot.starts, 2);
        bh_snapshot_deinit(&snapshot);
        bh_pool_close(pools[i]);
    }
}
