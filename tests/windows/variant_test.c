/* SPDX-License-Identifier: MIT */
/*
 * Values as VARIANTs and back: the identity for every value, limits, references, and nothing left
 * behind.
 */
#include "unit/failing_alloc.h"
#include "unit/random_value.h"

#include "com_heap.h"

#include "core/value_internal.h"
#include "platform/windows/arena.h"
#include "platform/windows/variant.h"

static struct bh_problem problem;

/* ---- there and back -------------------------------------------------------------------------- */

static void check_identity(const bh_value *value)
{
    const struct bh_value_limits limits = {256, 0, 0};
    VARIANT variant;
    bh_value back;

    CHECK_INT(bhw_variant_from_value(&variant, value, NULL, NULL), BH_OK);
    CHECK_INT(bhw_value_from_variant(&back, &variant, &limits, NULL, &problem), BH_OK);
    CHECK(bh_value_equal(value, &back));
    bh_value_deinit(&back);
    CHECK_INT(VariantClear(&variant), S_OK);
}

TEST(every_random_value_comes_back_as_it_was)
{
    uint64_t seed = 1;

    com_heap_watch();
    bhi_alloc_hook = failing_heap_hook;
    heap = (struct failing_heap){0, -1, false};
    for (int i = 0; i < 5000; i++) {
        bh_value value;
        random_value(&seed, &value, 5);
        check_identity(&value);
        bh_value_deinit(&value);
    }
    CHECK_INT(heap.alive, 0);
    bhi_alloc_hook = NULL;
    CHECK_INT(com_heap_alive(), 0);
    com_heap_unwatch();
}

TEST(timestamps_come_back_to_the_millisecond)
{
    static const int64_t edges[] = {
        0,
        1,
        -1,
        999,
        -999,
        86399999,
        86400000,
        -86400000,
        -86400001,
        253402300799999,
        253402300800000,
        -59011459200000,
        -59011459200001,
        -2209161600000,
        -2209161600001,
        -2209075200000,
        -2209248000000,
        -2209247999999,
        INT64_MAX,
        INT64_MIN,
    };
    uint64_t seed = 2;

    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        bh_value value = bh_value_timestamp(edges[i]);
        check_identity(&value);
    }
    for (int i = 0; i < 20000; i++) {
        bh_value value =
            bh_value_timestamp((int64_t)(random_bits(&seed) % 313000000000000) - 59600000000000);
        check_identity(&value);
    }
}

TEST(values_nest_as_deep_as_allowed)
{
    const struct bh_value_limits limits = {255, 0, 0};
    VARIANT variant;
    bh_value value;
    bh_value back;

    nested_value(&value, 256);
    check_identity(&value);
    CHECK_INT(bhw_variant_from_value(&variant, &value, NULL, NULL), BH_OK);
    CHECK_INT(bhw_value_from_variant(&back, &variant, &limits, NULL, &problem), BH_E_DEPTH);
    CHECK_STR(problem.text, "element 0, member \"$map\", element 0, member \"$map\", ...: it is "
                            "nested too deep");
    VariantClear(&variant);
    bh_value_deinit(&value);
    nested_value(&value, 257);
    CHECK_INT(bhw_variant_from_value(&variant, &value, NULL, &problem), BH_E_DEPTH);
    CHECK_INT(V_VT(&variant), VT_EMPTY);
    bh_value_deinit(&value);
}

/* The shape that the documentation promises to scripts. */
TEST(a_map_is_a_table_of_two_columns)
{
    bh_value map = bh_value_map();
    bh_value one = bh_value_int64(1);
    bh_value two = bh_value_bool(true);
    LONG at[2] = {1, 0};
    VARIANT variant;
    VARIANT cell;
    LONG last;

    CHECK_INT(bh_map_set(&map, "a", &one), BH_OK);
    CHECK_INT(bh_map_set(&map, "b", &two), BH_OK);
    CHECK_INT(bhw_variant_from_value(&variant, &map, NULL, NULL), BH_OK);
    CHECK_INT(V_VT(&variant), VT_ARRAY | VT_VARIANT);
    CHECK_INT(SafeArrayGetDim(V_ARRAY(&variant)), 2);
    SafeArrayGetUBound(V_ARRAY(&variant), 1, &last);
    CHECK_INT(last, 1);
    CHECK_INT(SafeArrayGetElement(V_ARRAY(&variant), at, &cell), S_OK);
    CHECK_INT(V_VT(&cell), VT_BSTR);
    CHECK_INT(V_BSTR(&cell)[0], 'b');
    VariantClear(&cell);
    at[1] = 1;
    CHECK_INT(SafeArrayGetElement(V_ARRAY(&variant), at, &cell), S_OK);
    CHECK_INT(V_VT(&cell), VT_BOOL);
    CHECK_INT(V_BOOL(&cell), VARIANT_TRUE);
    VariantClear(&variant);
    bh_value_deinit(&map);
}

TEST(arguments_lie_in_reverse)
{
    bh_value values[3] = {bh_value_int64(1), bh_value_view("two"), bh_value_null()};
    bh_value given = bh_value_view_array(values, 3);
    VARIANT *arguments;
    bh_value back;

    CHECK_INT(bhw_arguments_from_values(&arguments, values, 3, NULL, NULL, NULL), BH_OK);
    CHECK_INT(V_VT(&arguments[0]), VT_NULL);
    CHECK_INT(V_VT(&arguments[2]), VT_I8);
    CHECK_INT(bhw_values_from_arguments(&back, arguments, 3, NULL, NULL, &problem), BH_OK);
    CHECK(bh_value_equal(&back, &given));
    bh_value_deinit(&back);
    bhw_arguments_free(arguments, 3);

    CHECK_INT(bhw_arguments_from_values(&arguments, NULL, 0, NULL, NULL, NULL), BH_OK);
    CHECK(arguments == NULL);
    CHECK_INT(bhw_values_from_arguments(&back, NULL, 0, NULL, NULL, &problem), BH_OK);
    CHECK_INT(back.type, BH_ARRAY);
    CHECK_INT(back.length, 0);
}

TEST(bad_values_are_not_sent)
{
    bh_value handle = {.type = BH_HANDLE};
    bh_value text = bh_value_view("\xed\xa0\x80");
    VARIANT *arguments;
    VARIANT variant;

    CHECK_INT(bhw_variant_from_value(&variant, &handle, NULL, &problem), BH_E_TYPE);
    CHECK_INT(bhw_variant_from_value(&variant, &text, NULL, &problem), BH_E_UTF8);
    CHECK_INT(bhw_arguments_from_values(&arguments, &text, 1, NULL, NULL, &problem), BH_E_UTF8);
    CHECK(arguments == NULL);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static int read_within(const VARIANT *arguments, const bh_value *values, uint64_t count,
                       uint64_t bytes)
{
    const struct bh_value_limits limits = {0, count, bytes};
    VARIANT *again;
    bh_value array;

    int rc = bhw_values_from_arguments(&array, arguments, 2, &limits, NULL, NULL);
    bh_value_deinit(&array);
    CHECK_INT(bhw_arguments_from_values(&again, values, 2, &limits, NULL, NULL), rc);
    bhw_arguments_free(again, 2);
    return rc;
}

static uint64_t count_values(const bh_value *value)
{
    uint64_t count = 1;

    if (value->type == BH_ARRAY || value->type == BH_MAP) {
        for (uint64_t i = 0; i < bhi_container_count(value); i++)
            count += count_values(bhi_container_values(value) + i);
    }
    return count;
}

/* The limits mean the same as for the wire form, to the byte. */
TEST(limits_count_the_wire_form)
{
    uint64_t seed = 3;

    for (int i = 0; i < 500; i++) {
        bh_value values[2];
        VARIANT *arguments;
        size_t bytes;
        random_value(&seed, &values[0], 4);
        random_value(&seed, &values[1], 4);
        uint64_t count = count_values(&values[0]) + count_values(&values[1]);
        CHECK_INT(bh_wire_size(values, 2, NULL, &bytes), BH_OK);
        CHECK_INT(bhw_arguments_from_values(&arguments, values, 2, NULL, NULL, NULL), BH_OK);
        CHECK_INT(read_within(arguments, values, count, bytes), BH_OK);
        CHECK_INT(read_within(arguments, values, count, bytes - 1), BH_E_TOO_LARGE);
        CHECK_INT(read_within(arguments, values, count - 1, bytes), BH_E_TOO_LARGE);
        bhw_arguments_free(arguments, 2);
        bh_value_deinit(&values[0]);
        bh_value_deinit(&values[1]);
    }
}

/* ---- large payloads -------------------------------------------------------------------------- */

/* Memory that the callbacks share. Names count from 1. */
struct store {
    const void *data[8];
    size_t sizes[8];
    unsigned count;
    uint64_t reserved; /* by the last message */
    unsigned messages;
    int reserve_rc;
};

static int store_reserve(void *context, uint64_t bytes)
{
    struct store *store = context;

    store->reserved = bytes;
    store->messages++;
    return store->reserve_rc;
}

static int store_put(void *context, const void *data, size_t bytes, uint64_t *name)
{
    struct store *store = context;
    void *copy = malloc(bytes);

    CHECK(store->count < 8);
    memcpy(copy, data, bytes);
    store->data[store->count] = copy;
    store->sizes[store->count] = bytes;
    *name = ++store->count;
    return BH_OK;
}

static int store_find(void *context, uint64_t name, size_t bytes, const void **data)
{
    struct store *store = context;

    if (name == 0 || name > store->count || store->sizes[name - 1] < bytes)
        return BH_E_SYNTAX;
    *data = store->data[name - 1];
    return BH_OK;
}

static struct bhw_blobs store_blobs(struct store *store)
{
    return (struct bhw_blobs){.threshold = 16,
                              .context = store,
                              .reserve = store_reserve,
                              .put = store_put,
                              .find = store_find};
}

static void store_free(struct store *store)
{
    for (unsigned i = 0; i < store->count; i++)
        free((void *)store->data[i]);
}

TEST(large_payloads_travel_beside)
{
    struct store store = {0};
    struct bhw_blobs blobs = store_blobs(&store);
    int64_t words[] = {1, -1, 3};
    bh_value items[] = {
        bh_value_view_bytes(words, 16),         bh_value_view_bytes(words, 15),
        bh_value_view_i32((int32_t *)words, 6), bh_value_view_i64(words, 3),
        bh_value_view_f32((float *)words, 5),   bh_value_view_f64((double *)words, 2),
        bh_value_view_string((char *)words, 0), bh_value_view_i64(words, 1)};
    bh_value array = bh_value_view_array(items, 8);
    VARIANT variant;
    bh_value back;

    CHECK_INT(bhw_variant_from_value(&variant, &array, &blobs, NULL), BH_OK);
    CHECK_INT(store.count, 5);
    CHECK_INT(store.messages, 1);
    CHECK_INT(store.reserved, 5 * BHW_ARENA_ALIGNMENT);
    CHECK_INT(bhw_value_from_variant(&back, &variant, NULL, &blobs, &problem), BH_OK);
    CHECK(bh_value_equal(&back, &array));
    CHECK(back.as.items[0].as.bytes != store.data[0]);
    bh_value_deinit(&back);
    blobs.in_place = true;
    CHECK_INT(bhw_value_from_variant(&back, &variant, NULL, &blobs, &problem), BH_OK);
    CHECK(bh_value_equal(&back, &array));
    CHECK(back.as.items[0].as.bytes == store.data[0]);
    CHECK(back.as.items[1].as.bytes != (const void *)words); /* a small one is a copy */
    bh_value_deinit(&back);
    CHECK_INT(bhw_value_from_variant(&back, &variant, NULL, NULL, &problem), BH_E_TYPE);
    CHECK_STR(problem.text, "element 0: a reference to shared memory is not accepted here");
    blobs.find = NULL;
    CHECK_INT(bhw_value_from_variant(&back, &variant, NULL, &blobs, &problem), BH_E_TYPE);
    VariantClear(&variant);
    blobs.threshold = 0;
    CHECK_INT(bhw_variant_from_value(&variant, &array, &blobs, NULL), BH_OK);
    CHECK_INT(store.messages, 1);
    VariantClear(&variant);
    blobs.threshold = 1;
    store.reserve_rc = BH_E_SYSTEM;
    CHECK_INT(bhw_variant_from_value(&variant, &array, &blobs, &problem), BH_E_SYSTEM);
    CHECK_INT(V_VT(&variant), VT_EMPTY);
    store_free(&store);
}

static void check_reference_refused(const VARIANT *variant, struct bhw_blobs *blobs, uint64_t bytes,
                                    int code)
{
    const struct bh_value_limits limits = {0, 0, 1000};
    VARIANT *parts = V_ARRAY(variant)->pvData;
    uint64_t before = V_UI8(&parts[1]);
    bh_value value;

    V_UI8(&parts[1]) = bytes;
    CHECK_INT(bhw_value_from_variant(&value, variant, &limits, blobs, &problem), code);
    V_UI8(&parts[1]) = before;
}

TEST(references_are_checked)
{
    struct store store = {0};
    struct bhw_blobs blobs = store_blobs(&store);
    const int64_t words[] = {1, 2, 3};
    bh_value value = bh_value_view_i64(words, 3);
    VARIANT variant;
    bh_value back;

    CHECK_INT(bhw_variant_from_value(&variant, &value, &blobs, NULL), BH_OK);
    VARIANT *parts = V_ARRAY(&variant)->pvData;
    check_reference_refused(&variant, &blobs, 24, BH_OK);
    check_reference_refused(&variant, &blobs, 0, BH_E_SYNTAX);
    check_reference_refused(&variant, &blobs, 23, BH_E_SYNTAX);
    check_reference_refused(&variant, &blobs, 32, BH_E_SYNTAX);
    check_reference_refused(&variant, &blobs, 1000, BH_E_TOO_LARGE);
    check_reference_refused(&variant, &blobs, UINT64_MAX - 7, BH_E_TOO_LARGE);
    V_UI8(&parts[2]) = 2;
    check_reference_refused(&variant, &blobs, 24, BH_E_SYNTAX);
    CHECK_STR(problem.text, "a reference leads to no such memory");
    V_UI8(&parts[2]) = 1;
    for (unsigned type = 0; type < 256; type++) {
        V_UI1(&parts[0]) = (BYTE)type;
        bool block = type == BH_BYTES || (type >= BH_I32_ARRAY && type <= BH_F64_ARRAY);
        int rc = bhw_value_from_variant(&back, &variant, NULL, &blobs, &problem);
        CHECK_INT(rc, block ? BH_OK : BH_E_SYNTAX);
        bh_value_deinit(&back);
    }
    VariantClear(&variant);
    store_free(&store);
}

/* ---- nothing is left behind ------------------------------------------------------------------ */

/* Every type, and maps large enough to need scratch. */
static void rich_value(bh_value *out)
{
    uint64_t seed = 5;

    *out = bh_value_array();
    for (int i = 0; i < 40; i++) {
        bh_value item;
        random_value(&seed, &item, 4);
        CHECK_INT(bh_array_push(out, &item), BH_OK);
    }
}

static VARIANT rich_variant;

static bool read_rich(void)
{
    bh_value value;
    int rc = bhw_value_from_variant(&value, &rich_variant, NULL, NULL, &problem);

    if (rc != BH_OK)
        CHECK_INT(rc, BH_E_MEMORY);
    bh_value_deinit(&value);
    return rc == BH_OK;
}

TEST(reading_survives_each_failed_allocation)
{
    bh_value value;

    rich_value(&value);
    CHECK_INT(bhw_variant_from_value(&rich_variant, &value, NULL, NULL), BH_OK);
    bh_value_deinit(&value);
    CHECK(fail_each_allocation(read_rich) > 100);
    VariantClear(&rich_variant);
}

TEST(writing_survives_each_failed_allocation)
{
    bh_value value;
    VARIANT *arguments;
    long n = 0;
    int rc;

    rich_value(&value);
    com_heap_watch();
    do {
        com_heap_fail_at(n++);
        rc = bhw_arguments_from_values(&arguments, &value, 1, NULL, NULL, &problem);
        if (rc != BH_OK) {
            CHECK_INT(rc, BH_E_MEMORY);
            CHECK(arguments == NULL);
        }
        com_heap_fail_at(-1);
        bhw_arguments_free(arguments, 1);
        CHECK_INT(com_heap_alive(), 0);
    } while (rc != BH_OK);
    com_heap_unwatch();
    CHECK(n > 50);
    bh_value_deinit(&value);
}
