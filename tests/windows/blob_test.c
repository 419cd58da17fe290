/* SPDX-License-Identifier: MIT */
/* timeout: 120 */
/*
 * Large payloads, beside the call and in it.
 */
#include "rig.h"

#include <stdlib.h>

#define MIB (1 << 20)

static unsigned char *make_bytes(size_t size)
{
    unsigned char *bytes = malloc(size);

    CHECK(bytes != NULL);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 31 + i / 4096);
    return bytes;
}

/* Milliseconds for one echo, the best of a few. */
static double echo(bh_pool *pool, const bh_value *value, int times)
{
    LARGE_INTEGER frequency, begin, end;
    double best = 1e9;

    QueryPerformanceFrequency(&frequency);
    for (int i = 0; i < times; i++) {
        struct bh_result result;
        QueryPerformanceCounter(&begin);
        bh_pool_invoke(pool, "echo", value, 1, &result);
        QueryPerformanceCounter(&end);
        rig_expect(&result, BH_OUTCOME_REPLIED);
        CHECK(bh_value_equal(&result.reply, value));
        bh_result_deinit(&result);
        double ms = (double)(end.QuadPart - begin.QuadPart) * 1000 / (double)frequency.QuadPart;
        best = ms < best ? ms : best;
    }
    return best;
}

static bh_pool *open_with(uint32_t lane_bytes)
{
    struct bh_pool_options options = rig_options(1);

    options.lane_bytes = lane_bytes;
    return rig_open_ready(&options);
}

TEST(sizes_around_the_threshold_come_back_as_they_went)
{
    static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 65536, 65537, MIB + 1};
    unsigned char *bytes = make_bytes(MIB + 1);
    bh_pool *pool = open_with(16384);

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        bh_value value = bh_value_view_bytes(bytes, sizes[i]);
        echo(pool, &value, 2);
    }
    bh_pool_close(pool);
    free(bytes);
}

TEST(several_blobs_of_several_types_travel_in_one_call)
{
    unsigned char *bytes = make_bytes(MIB);
    bh_pool *pool = open_with(16384);
    const bh_value parts[] = {
        bh_value_view_bytes(bytes, MIB),
        bh_value_view_i32((const int32_t *)(const void *)bytes, MIB / 4),
        bh_value_view("between"),
        bh_value_view_f64((const double *)(const void *)bytes, MIB / 8),
        bh_value_view_i64((const int64_t *)(const void *)bytes, MIB / 8),
        bh_value_view_f32((const float *)(const void *)bytes, MIB / 4),
    };
    bh_value value = bh_value_view_array(parts, sizeof(parts) / sizeof(parts[0]));

    echo(pool, &value, 3);
    bh_pool_close(pool);
    free(bytes);
}

TEST(a_mebibyte_is_faster_beside_the_call)
{
    unsigned char *bytes = make_bytes(16 * MIB);
    bh_pool *beside = open_with(65536);
    bh_pool *inside = open_with(16 * MIB);
    bh_value value = bh_value_view_bytes(bytes, MIB);
    bh_value large = bh_value_view_bytes(bytes, 16 * MIB - 1);
    bh_value small = bh_value_view_bytes(bytes, 16);

    printf("# echo of 16 bytes: %.3f ms\n", echo(beside, &small, 200));
    double with = echo(beside, &value, 20);
    double without = echo(inside, &value, 10);
    printf("# echo of 1 MiB: %.2f ms in sections, %.2f ms in the call\n", with, without);
    printf("# echo of 16 MiB: %.1f ms in sections\n", echo(beside, &large, 5));
    CHECK(with < without);
    bh_pool_close(beside);
    bh_pool_close(inside);
    free(bytes);
}

static uint64_t handles_of(bh_pool *pool)
{
    struct bh_result result;
    int64_t count = 0;

    bh_pool_invoke(pool, "facts", NULL, 0, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    bh_value_get_int64(bh_map_get(&result.reply, "handles"), &count);
    bh_result_deinit(&result);
    CHECK(count > 0);
    return (uint64_t)count;
}

TEST(blobs_leave_no_handles_in_the_worker)
{
    unsigned char *bytes = make_bytes(MIB);
    bh_pool *pool = open_with(16384);
    bh_value value = bh_value_view_bytes(bytes, MIB);

    echo(pool, &value, 5);
    uint64_t before = handles_of(pool);
    echo(pool, &value, 50);
    CHECK_INT(handles_of(pool), before);
    bh_pool_close(pool);
    free(bytes);
}

/* The request is refused after one of its blobs was put: it is taken back. */
TEST(a_call_that_cannot_go_takes_its_blobs_back)
{
    unsigned char *bytes = make_bytes(MIB);
    bh_pool *pool = open_with(16384);
    bh_value good = bh_value_view_bytes(bytes, MIB);

    echo(pool, &good, 2);
    uint64_t before = handles_of(pool);
    for (int i = 0; i < 20; i++) {
        const bh_value both[] = {good, bh_value_view_string("\xff", 1)};
        const bh_value other[] = {both[1], both[0]};
        struct bh_result result;
        bh_pool_invoke(pool, "echo", i % 2 ? both : other, 2, &result);
        rig_expect(&result, BH_OUTCOME_REFUSED);
        bh_result_deinit(&result);
    }
    CHECK_INT(handles_of(pool), before);
    bh_pool_close(pool);
    free(bytes);
}
