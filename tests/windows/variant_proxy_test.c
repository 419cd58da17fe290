/* SPDX-License-Identifier: MIT */
/*
 * timeout: 120
 * Values through the proxy of IDispatch, from one apartment to another and back: whatever shape a
 * value has, the system's own marshalling must carry it.
 */
#include "unit/random_value.h"

#include "apartment.h"

static struct apartment apartment;

/* The values go as arguments, are read there, and come back as one array. */
static void check_echo(const bh_value *values, size_t count)
{
    const struct bh_value_limits limits = {256, 0, 0};
    const bh_value expected = bh_value_view_array(values, count);
    VARIANT *arguments;
    VARIANT result;
    bh_value back;

    CHECK_INT(bhw_arguments_from_values(&arguments, values, count, &limits, NULL, NULL), BH_OK);
    CHECK_INT(apartment_call(&apartment, APARTMENT_VALUES, arguments, (UINT)count, &result), S_OK);
    CHECK_INT(bhw_value_from_variant(&back, &result, &limits, NULL, NULL), BH_OK);
    CHECK(bh_value_equal(&back, &expected));
    bh_value_deinit(&back);
    VariantClear(&result);
    bhw_arguments_free(arguments, count);
}

TEST_TIMEOUT(random_values_pass_the_proxy, 60)
{
    enum { ROUNDS = 1500 };
    uint64_t seed = 7;

    apartment_open(&apartment);
    for (int i = 0; i < ROUNDS; i++) {
        bh_value values[4];
        size_t count = random_below(&seed, 5);
        for (size_t j = 0; j < count; j++)
            random_value(&seed, &values[j], 4);
        check_echo(values, count);
        for (size_t j = 0; j < count; j++)
            bh_value_deinit(&values[j]);
    }
    CHECK_INT(apartment.calls, ROUNDS);
    apartment_close(&apartment);
}

TEST(the_empty_and_the_deep_pass_the_proxy)
{
    bh_value values[] = {
        bh_value_map(),
        bh_value_array(),
        bh_value_view_bytes(NULL, 0),
        bh_value_view_string("", 0),
        bh_value_view_f64(NULL, 0),
        bh_value_view_error(0, ""),
        bh_value_timestamp(0),
        bh_value_timestamp(INT64_MIN),
        bh_value_null(),
    };
    bh_value deep;

    apartment_open(&apartment);
    check_echo(values, sizeof(values) / sizeof(values[0]));
    nested_value(&deep, 255); /* the answer has an array around it */
    check_echo(&deep, 1);
    bh_value_deinit(&deep);
    apartment_close(&apartment);
}

/* What a script passes, as it arrives. */
TEST(foreign_types_pass_the_proxy)
{
    static const struct {
        VARTYPE vt;
        uint64_t bits;
        bh_value expected;
    } rows[] = {
        {VT_EMPTY, 0, {.type = BH_NULL}},
        {VT_I1, 0x80, {.type = BH_INT64, .as.int64 = -128}},
        {VT_UI2, 0xffff, {.type = BH_UINT64, .as.uint64 = 65535}},
        {VT_INT, 0xffffffff, {.type = BH_INT64, .as.int64 = -1}},
        {VT_R4, 0x3fc00000, {.type = BH_DOUBLE, .as.real = 1.5}},
        {VT_CY, 15000, {.type = BH_DOUBLE, .as.real = 1.5}},
        {VT_ERROR, (uint32_t)DISP_E_PARAMNOTFOUND, {.type = BH_NULL}},
    };
    VARIANT variant;
    VARIANT outer;
    VARIANT result;
    bh_value value;

    apartment_open(&apartment);
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        VariantInit(&variant);
        VariantInit(&outer);
        V_VT(&variant) = rows[i / 2].vt;
        V_UI8(&variant) = rows[i / 2].bits;
        V_VT(&outer) = VT_BYREF | VT_VARIANT;
        V_VARIANTREF(&outer) = &variant;
        CHECK_INT(
            apartment_call(&apartment, APARTMENT_VALUES, i % 2 ? &outer : &variant, 1, &result),
            S_OK);
        CHECK_INT(bhw_value_from_variant(&value, &result, NULL, NULL, NULL), BH_OK);
        CHECK(bh_value_equal(&value.as.items[0], &rows[i / 2].expected));
        bh_value_deinit(&value);
        VariantClear(&result);
    }
    apartment_close(&apartment);
}

/* A reference is nothing but a shape: it arrives, and only who can follow it reads it. */
static int put_nothing(void *context, const void *data, size_t bytes, uint64_t *name)
{
    (void)context;
    (void)data;
    *name = bytes + 1;
    return BH_OK;
}

static int find_sevens(void *context, uint64_t name, size_t bytes, const void **data)
{
    static const unsigned char sevens[] = {7, 7, 7, 7, 7};

    (void)context;
    *data = sevens;
    return name == bytes + 1 && bytes == sizeof(sevens) ? BH_OK : BH_E_SYNTAX;
}

TEST(references_pass_the_proxy)
{
    struct bhw_blobs blobs = {.threshold = 1, .put = put_nothing, .find = find_sevens};
    bh_value bytes = bh_value_view_bytes("\7\7\7\7\7", 5);
    bh_value back;
    VARIANT variant;
    VARIANT result;

    apartment_open(&apartment);
    CHECK_INT(bhw_variant_from_value(&variant, &bytes, &blobs, NULL), BH_OK);
    CHECK_INT(apartment_call(&apartment, APARTMENT_VALUES, &variant, 1, &result), E_FAIL);
    CHECK_INT(apartment_call(&apartment, APARTMENT_COPY, &variant, 1, &result), S_OK);
    CHECK_INT(bhw_value_from_variant(&back, &result, NULL, &blobs, NULL), BH_OK);
    CHECK(bh_value_equal(&back, &bytes));
    bh_value_deinit(&back);
    VariantClear(&result);
    VariantClear(&variant);
    apartment_close(&apartment);
}
