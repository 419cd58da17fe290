/* SPDX-License-Identifier: MIT */
/* timeout: 120 */
/*
 * Large payloads, beside the call and in it.
 */
#include "hand.h"
#include "handles.h"
#include "rig.h"
#include "variant_tools.h"

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

/* @param lane_bytes of the smallest arena */
static bh_pool *open_with(uint32_t lane_bytes)
{
    struct bh_pool_options options = rig_options(1);

    options.lane_bytes = lane_bytes;
    return rig_open_ready(&options);
}

TEST(sizes_around_the_threshold_come_back_as_they_went)
{
    static const size_t sizes[] = {
        0, 1, BHW_BLOB_BYTES - 1, BHW_BLOB_BYTES, BHW_BLOB_BYTES + 1, 65536, 65537, MIB + 1};
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

/* ---- against the bare design: a SAFEARRAY of VT_UI1 in the call ---- */

static double milliseconds(void)
{
    LARGE_INTEGER frequency, now;

    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    return (double)now.QuadPart * 1000 / (double)frequency.QuadPart;
}

static void open_bare(struct hand *hand)
{
    struct hand_options options = {.program = BH_TEST_DIR "/probe_worker.exe"};

    CHECK(SUCCEEDED(CoInitializeEx(NULL, COINIT_MULTITHREADED)));
    hand_open(hand, &options);
}

/* Milliseconds for one echo in the call, from bytes to bytes, the best of a few. */
static double echo_bare(struct hand *hand, const void *bytes, size_t size, int times)
{
    bh_value value = bh_value_view_bytes(bytes, size);
    DISPID id = hand_id(hand->object, L"echo");
    double best = 1e9;

    for (int i = 0; i < times; i++) {
        struct hand_reply reply;
        bh_value back;
        double begin = milliseconds();
        VARIANT argument = variant_of(&value, NULL);
        atomic_store(&hand->call->serial, ++hand->serial);
        hand_invoke(hand->object, id, BHW_LCID, &argument, 1, &reply);
        atomic_store(&hand->call->received, hand->serial);
        CHECK_INT(reply.result, S_OK);
        CHECK_INT(bhw_value_from_variant(&back, &reply.value, NULL, NULL, NULL), BH_OK);
        hand_reply_free(&reply);
        VariantClear(&argument);
        double took = milliseconds() - begin;
        CHECK(bh_value_equal(&value, &back));
        bh_value_deinit(&back);
        best = took < best ? took : best;
    }
    return best;
}

/* @param times how often each */
static void compare(bh_pool *pool, struct hand *hand, const void *bytes, size_t size, int times,
                    double least_gain)
{
    bh_value value = bh_value_view_bytes(bytes, size);
    double ours = echo(pool, &value, times);
    double bare = echo_bare(hand, bytes, size, times);

    printf("# echo of %7zu bytes: %8.3f ms, in the call %8.3f ms: %.1f times\n", size, ours, bare,
           bare / ours);
    CHECK(bare > ours * least_gain);
}

TEST_TIMEOUT(large_payloads_are_far_faster_than_in_the_call, 60)
{
    unsigned char *bytes = make_bytes(16 * MIB);
    bh_pool *pool = open_with(65536);
    struct hand hand;

    open_bare(&hand);
    compare(pool, &hand, bytes, 16, 200, 0);
    compare(pool, &hand, bytes, BHW_BLOB_BYTES, 100, 0);
    compare(pool, &hand, bytes, 65536, 100, 1);
    compare(pool, &hand, bytes, MIB, 20, 10);
    compare(pool, &hand, bytes, 16 * MIB, 5, 10);
    bh_pool_close(pool);
    hand_close(&hand);
    CoUninitialize();
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

/* Arenas that grow, that are dropped for being huge, and that fade: on both sides. */
TEST_TIMEOUT(arenas_that_come_and_go_leave_no_handles, 60)
{
    static const size_t sizes[] = {MIB, 3 * MIB, 70 * MIB, BHW_BLOB_BYTES, 9 * MIB};
    unsigned char *bytes = make_bytes(70 * MIB);
    bh_pool *pool = open_with(16384);
    uint64_t theirs = 0;
    unsigned ours = 0;

    for (int turn = 0; turn < 6; turn++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            bh_value value = bh_value_view_bytes(bytes, sizes[i]);
            echo(pool, &value, 1);
        }
        if (turn == 1) {
            theirs = handles_of(pool);
            ours = rig_own_handles();
        }
    }
    CHECK_INT(handles_of(pool), theirs);
    CHECK_INT(rig_own_handles(), ours);
    bh_pool_close(pool);
    free(bytes);
}

/* Sections that are mapped in this process. */
static size_t mapped_bytes(void)
{
    MEMORY_BASIC_INFORMATION region;
    size_t total = 0;

    for (char *at = NULL; VirtualQuery(at, &region, sizeof(region)) != 0;
         at = (char *)region.BaseAddress + region.RegionSize) {
        if (region.State == MEM_COMMIT && region.Type == MEM_MAPPED)
            total += region.RegionSize;
    }
    return total;
}

TEST_TIMEOUT(a_huge_payload_is_not_kept, 60)
{
    unsigned char *bytes = make_bytes(100 * MIB);
    bh_pool *pool = open_with(16384);
    bh_value value = bh_value_view_bytes(bytes, 100 * MIB);

    size_t before = mapped_bytes();
    echo(pool, &value, 2);
    CHECK(mapped_bytes() < before + 4 * MIB);
    value = bh_value_view_bytes(bytes, 10 * MIB);
    echo(pool, &value, 1);
    CHECK(mapped_bytes() > before + 20 * MIB); /* kept, both ways, for the next call */
    bh_pool_close(pool);
    CHECK(mapped_bytes() < before + 4 * MIB);
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
