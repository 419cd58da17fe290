/* SPDX-License-Identifier: MIT */
/*
 * What scripts and other clients pass and this library never makes: every type of VARIANT, what it
 * means, or why and where it is refused.
 */
#include "check.h"

#include "platform/windows/variant.h"

#include <math.h>
#include <string.h>

static struct bh_problem problem;

/* ---- what scripts pass ----------------------------------------------------------------------- */

static VARIANT variant_of(VARTYPE vt, uint64_t bits)
{
    VARIANT variant;

    VariantInit(&variant);
    V_VT(&variant) = vt;
    V_UI8(&variant) = bits;
    return variant;
}

/* Reads a VARIANT, and a reference to its content, and a reference to itself; all are the same. */
static void check_reads(VARIANT variant, bh_value expected)
{
    VARIANT content = variant_of(V_VT(&variant) | VT_BYREF, 0);
    VARIANT outer = variant_of(VT_BYREF | VT_VARIANT, 0);
    VARIANT *forms[] = {&variant, &content, &outer, &outer};
    bh_value value;

    V_BYREF(&content) = V_VT(&variant) == VT_DECIMAL ? (void *)&variant : &V_UI8(&variant);
    for (int i = 0; i < 4; i++) {
        V_VARIANTREF(&outer) = i == 2 ? &variant : &content;
        CHECK_INT(bhw_value_from_variant(&value, forms[i], NULL, NULL, &problem), BH_OK);
        CHECK(bh_value_equal(&value, &expected));
        bh_value_deinit(&value);
    }
}

static void check_refused(VARIANT variant, int code, const char *text)
{
    bh_value value;

    CHECK_INT(bhw_value_from_variant(&value, &variant, NULL, NULL, &problem), code);
    CHECK_INT(value.type, BH_NULL);
    CHECK_STR(problem.text, text);
    CHECK_INT(problem.code, code);
}

TEST(integers_of_all_widths)
{
    check_reads(variant_of(VT_I1, 0x80), bh_value_int64(-128));
    check_reads(variant_of(VT_I2, 0x8000), bh_value_int64(-32768));
    check_reads(variant_of(VT_I4, 0x80000000), bh_value_int64(INT32_MIN));
    check_reads(variant_of(VT_INT, 0xffffffff), bh_value_int64(-1));
    check_reads(variant_of(VT_I8, UINT64_MAX), bh_value_int64(-1));
    check_reads(variant_of(VT_UI1, 0x1ff), bh_value_uint64(255));
    check_reads(variant_of(VT_UI2, 0xffff), bh_value_uint64(65535));
    check_reads(variant_of(VT_UI4, 0xffffffff), bh_value_uint64(UINT32_MAX));
    check_reads(variant_of(VT_UINT, 0xffffffff), bh_value_uint64(UINT32_MAX));
    check_reads(variant_of(VT_UI8, UINT64_MAX), bh_value_uint64(UINT64_MAX));
    check_reads(variant_of(VT_BOOL, 0xffff), bh_value_bool(true));
    check_reads(variant_of(VT_BOOL, 1), bh_value_bool(true));
    check_reads(variant_of(VT_BOOL, 0x10000), bh_value_bool(false));
}

static bh_value double_of(uint64_t bits)
{
    bh_value value = bh_value_double(0);

    value.as.uint64 = bits;
    return value;
}

TEST(floats_are_widened_exactly)
{
    check_reads(variant_of(VT_R4, 0x3f800000), bh_value_double(1));
    check_reads(variant_of(VT_R4, 0x80000000), double_of(UINT64_C(1) << 63));
    check_reads(variant_of(VT_R4, 0x00000001), bh_value_double(ldexp(1, -149)));
    check_reads(variant_of(VT_R4, 0x7f7fffff), bh_value_double(ldexp(0xffffff, 104)));
    check_reads(variant_of(VT_R4, 0xff800000), double_of(0xfff0000000000000));
    check_reads(variant_of(VT_R4, 0x7fc00001), double_of(0x7ff8000020000000));
    check_reads(variant_of(VT_R4, 0xff800001), double_of(0xfff0000020000000));
    check_reads(variant_of(VT_R8, 0x7ff0000000000001), double_of(0x7ff0000000000001));
}

static VARIANT date_of(double date)
{
    VARIANT variant = variant_of(VT_DATE, 0);

    V_DATE(&variant) = date;
    return variant;
}

TEST(dates_are_timestamps)
{
    const char *refused = "VT_DATE is no date between the years 100 and 9999";

    check_reads(date_of(25569), bh_value_timestamp(0));
    check_reads(date_of(25569.25), bh_value_timestamp(21600000));
    check_reads(date_of(0), bh_value_timestamp(-2209161600000));
    check_reads(date_of(-1.25), bh_value_timestamp(-2209161600000 - 86400000 + 21600000));
    check_reads(date_of(-0.25), bh_value_timestamp(-2209161600000 + 21600000));
    check_reads(date_of(-657434), bh_value_timestamp(-59011459200000));
    check_reads(date_of(2958465.5), bh_value_timestamp(253402300800000 - 43200000));
    check_refused(date_of(-657435), BH_E_RANGE, refused);
    check_refused(date_of(2958466), BH_E_RANGE, refused);
    check_refused(date_of(1e300), BH_E_RANGE, refused);
    check_refused(variant_of(VT_DATE, 0x7ff8000000000000), BH_E_RANGE, refused);
    check_refused(variant_of(VT_DATE, 0xfff0000000000000), BH_E_RANGE, refused);
}

TEST(currency_is_a_number_where_it_is_exact)
{
    const char *refused = "VT_CY is no integer of 64 bits and no double is exactly this number";

    check_reads(variant_of(VT_CY, 50000), bh_value_int64(5));
    check_reads(variant_of(VT_CY, (uint64_t)-50000), bh_value_int64(-5));
    check_reads(variant_of(VT_CY, 0), bh_value_int64(0));
    check_reads(variant_of(VT_CY, 5000), bh_value_double(0.5));
    check_reads(variant_of(VT_CY, (uint64_t)-12500), bh_value_double(-1.25));
    check_reads(variant_of(VT_CY, 625), bh_value_double(0.0625));
    check_refused(variant_of(VT_CY, (uint64_t)INT64_MIN), BH_E_RANGE, refused);
    check_refused(variant_of(VT_CY, 1000), BH_E_RANGE, refused);
    check_refused(variant_of(VT_CY, 1), BH_E_RANGE, refused);
    check_refused(variant_of(VT_CY, INT64_MAX), BH_E_RANGE, refused);
}

static VARIANT decimal_of(unsigned scale, unsigned sign, uint32_t high, uint64_t low)
{
    VARIANT variant = variant_of(VT_DECIMAL, 0);
    unsigned char *bytes = (unsigned char *)&variant;

    bytes[2] = (unsigned char)scale;
    bytes[3] = (unsigned char)sign;
    memcpy(bytes + 4, &high, sizeof(high));
    memcpy(bytes + 8, &low, sizeof(low));
    return variant;
}

TEST(decimals_are_numbers_where_they_are_exact)
{
    const char *refused =
        "VT_DECIMAL is no integer of 64 bits and no double is exactly this number";
    double high = 18446744073709551616.0;

    check_reads(decimal_of(0, 0, 0, 0), bh_value_int64(0));
    check_reads(decimal_of(28, 0x80, 0, 0), bh_value_int64(0));
    check_reads(decimal_of(0, 0, 0, 7), bh_value_int64(7));
    check_reads(decimal_of(2, 0x80, 0, 700), bh_value_int64(-7));
    check_reads(decimal_of(0, 0, 0, UINT64_MAX), bh_value_uint64(UINT64_MAX));
    check_reads(decimal_of(0, 0x80, 0, UINT64_C(1) << 63), bh_value_int64(INT64_MIN));
    check_reads(decimal_of(0, 0, 1, 0), bh_value_double(high));
    check_reads(decimal_of(0, 0x80, 0x80000000, 0), bh_value_double(-high * 2147483648.0));
    check_reads(decimal_of(3, 0, 0, 125), bh_value_double(0.125));
    check_reads(decimal_of(1, 0, 0, 5 * ((UINT64_C(1) << 53) - 1)),
                bh_value_double(4503599627370495.5));
    check_refused(decimal_of(1, 0, 0, 5 * ((UINT64_C(1) << 53) + 1)), BH_E_RANGE, refused);
    check_refused(decimal_of(1, 0, 0, 1), BH_E_RANGE, refused);
    check_refused(decimal_of(0, 0, 1, 1), BH_E_RANGE, refused);
    check_refused(decimal_of(0, 0x80, 0, (UINT64_C(1) << 63) + 1), BH_E_RANGE, refused);
    check_refused(decimal_of(28, 0, 0xffffffff, UINT64_MAX), BH_E_RANGE, refused);
    check_refused(decimal_of(29, 0, 0, 1), BH_E_SYNTAX, "VT_DECIMAL is malformed");
    check_refused(decimal_of(0, 1, 0, 1), BH_E_SYNTAX, "VT_DECIMAL is malformed");
}

TEST(nothing_and_errors)
{
    bh_value value;
    VARIANT empty = variant_of(VT_EMPTY, 0);
    VARIANT outer = variant_of(VT_BYREF | VT_VARIANT, 0);

    V_VARIANTREF(&outer) = &empty;
    CHECK_INT(bhw_value_from_variant(&value, &empty, NULL, NULL, NULL), BH_OK);
    CHECK_INT(value.type, BH_NULL);
    CHECK_INT(bhw_value_from_variant(&value, &outer, NULL, NULL, NULL), BH_OK);
    CHECK_INT(value.type, BH_NULL);
    check_reads(variant_of(VT_ERROR, (uint32_t)DISP_E_PARAMNOTFOUND), bh_value_null());
    check_reads(variant_of(VT_ERROR, 0x80004005), bh_value_view_error((int32_t)0x80004005, ""));
}

TEST(text_is_strict_and_may_hold_nuls)
{
    static const uint16_t units[] = {'a', 0, 0x20ac, 0xd83d, 0xde00};
    VARIANT variant = variant_of(VT_BSTR, 0);

    check_reads(variant, bh_value_view(""));
    V_BSTR(&variant) = SysAllocStringLen((const OLECHAR *)units, 5);
    check_reads(variant, bh_value_view_string("a\0\xe2\x82\xac\xf0\x9f\x98\x80", 9));
    V_BSTR(&variant)[4] = 'x';
    check_refused(variant, BH_E_UTF8, "VT_BSTR has an unpaired surrogate");
    V_BSTR(&variant)[3] = 0xde00;
    check_refused(variant, BH_E_UTF8, "VT_BSTR has an unpaired surrogate");
    V_BSTR(&variant)[3] = 'x';
    V_BSTR(&variant)[4] = 0xd83d;
    check_refused(variant, BH_E_UTF8, "VT_BSTR has an unpaired surrogate");
    VariantClear(&variant);
    variant = variant_of(VT_BSTR, 0);
    V_BSTR(&variant) = SysAllocStringByteLen("abc", 3);
    check_refused(variant, BH_E_SYNTAX, "VT_BSTR has half a character at its end");
    VariantClear(&variant);
}

/* So many VT_EMPTY. */
static const VARIANT nothing[6];

/* A one-dimensional array of `count` elements with the lowest index -3. */
static VARIANT array_of(VARTYPE vt, const void *elements, size_t count)
{
    SAFEARRAYBOUND bound = {(ULONG)count, -3};
    VARIANT variant = variant_of(VT_ARRAY | vt, 0);

    V_ARRAY(&variant) = SafeArrayCreate(vt, 1, &bound);
    CHECK(V_ARRAY(&variant) != NULL);
    if (count > 0)
        memcpy(V_ARRAY(&variant)->pvData, elements, count * V_ARRAY(&variant)->cbElements);
    return variant;
}

static void check_array_reads(VARTYPE vt, const void *elements, size_t count, bh_value expected)
{
    VARIANT variant = array_of(vt, elements, count);

    check_reads(variant, expected);
    SafeArrayDestroy(V_ARRAY(&variant));
}

TEST(arrays_of_integers_and_floats_are_typed_arrays)
{
    static const uint32_t words[] = {0x80000001, 0x7f800001};
    static const int32_t i1[] = {1, 0, 0, -128, 1, 0, -128, 127};
    static const int32_t i2[] = {1, -32768, 1, 32640};
    static const int32_t ui2[] = {1, 32768, 1, 32640};
    static const int64_t ui4[] = {0x80000001, 0x7f800001};

    check_array_reads(VT_UI1, words, 8, bh_value_view_bytes(words, 8));
    check_array_reads(VT_I1, words, 8, bh_value_view_i32(i1, 8));
    check_array_reads(VT_I2, words, 4, bh_value_view_i32(i2, 4));
    check_array_reads(VT_UI2, words, 4, bh_value_view_i32(ui2, 4));
    check_array_reads(VT_I4, words, 2, bh_value_view_i32((const int32_t *)words, 2));
    check_array_reads(VT_INT, words, 2, bh_value_view_i32((const int32_t *)words, 2));
    check_array_reads(VT_UI4, words, 2, bh_value_view_i64(ui4, 2));
    check_array_reads(VT_UINT, words, 2, bh_value_view_i64(ui4, 2));
    check_array_reads(VT_R4, words, 2, bh_value_view_f32((const float *)words, 2));
    check_array_reads(VT_I8, ui4, 2, bh_value_view_i64(ui4, 2));
    check_array_reads(VT_R8, ui4, 2, bh_value_view_f64((const double *)ui4, 2));
    check_array_reads(VT_I2, NULL, 0, bh_value_view_i32(NULL, 0));
}

TEST(other_arrays_are_arrays_of_values)
{
    static const uint64_t ui8[] = {1, UINT64_MAX};
    static const VARIANT_BOOL bools[] = {VARIANT_FALSE, VARIANT_TRUE};
    static const SCODE errors[] = {5, DISP_E_PARAMNOTFOUND};
    static const double dates[] = {25569, 25570};
    static const int64_t currency[] = {50000, 5000};
    bh_value v[2] = {bh_value_uint64(1), bh_value_uint64(UINT64_MAX)};
    const bh_value expected = bh_value_view_array(v, 2);
    BSTR texts[2] = {SysAllocString(L"x"), NULL};

    check_array_reads(VT_UI8, ui8, 2, expected);
    v[0] = bh_value_bool(false);
    v[1] = bh_value_bool(true);
    check_array_reads(VT_BOOL, bools, 2, expected);
    v[0] = bh_value_view_error(5, "");
    v[1] = bh_value_null();
    check_array_reads(VT_ERROR, errors, 2, expected);
    v[0] = bh_value_timestamp(0);
    v[1] = bh_value_timestamp(86400000);
    check_array_reads(VT_DATE, dates, 2, expected);
    v[0] = bh_value_int64(5);
    v[1] = bh_value_double(0.5);
    check_array_reads(VT_CY, currency, 2, expected);
    v[0] = bh_value_view("x");
    v[1] = bh_value_view("");
    check_array_reads(VT_BSTR, texts, 2, expected); /* which destroys the texts too */
    check_array_reads(VT_BSTR, NULL, 0, bh_value_view_array(NULL, 0));
}

TEST(an_array_without_bounds_is_empty)
{
    check_reads(variant_of(VT_ARRAY | VT_I4, 0), bh_value_view_i32(NULL, 0));
    check_reads(variant_of(VT_ARRAY | VT_VARIANT, 0), bh_value_view_array(NULL, 0));
}

/* ---- what is refused, and where -------------------------------------------------------------- */

TEST(objects_are_refused_by_name)
{
    SAFEARRAYBOUND bound = {1, 0};
    VARIANT variant = variant_of(VT_ARRAY | VT_DISPATCH, 0);

    check_refused(variant_of(VT_DISPATCH, 0), BH_E_TYPE, "VT_DISPATCH is not supported");
    check_refused(variant_of(VT_UNKNOWN, 0), BH_E_TYPE, "VT_UNKNOWN is not supported");
    check_refused(variant_of(VT_RECORD, 0), BH_E_TYPE, "VT_RECORD is not supported");
    check_refused(variant_of(VT_LPWSTR, 0), BH_E_TYPE, "VT_LPWSTR is not supported");
    check_refused(variant_of(VT_VECTOR | VT_I4, 0), BH_E_TYPE, "VT_VECTOR|VT_I4 is not supported");
    check_refused(variant_of(1234, 0), BH_E_TYPE, "VARTYPE 1234 is not supported");
    check_refused(variant_of(VT_VARIANT, 0), BH_E_SYNTAX, "VT_VARIANT stands without VT_BYREF");
    V_ARRAY(&variant) = SafeArrayCreate(VT_DISPATCH, 1, &bound);
    check_refused(variant, BH_E_TYPE, "VT_ARRAY|VT_DISPATCH is not supported");
    VariantClear(&variant);
}

TEST(references_lead_somewhere_and_not_in_circles)
{
    VARIANT inner = variant_of(VT_BYREF | VT_VARIANT, 0);
    VARIANT outer = variant_of(VT_BYREF | VT_VARIANT, 0);

    check_refused(outer, BH_E_SYNTAX, "VT_BYREF|VT_VARIANT is NULL");
    check_refused(variant_of(VT_BYREF | VT_I4, 0), BH_E_SYNTAX, "VT_BYREF|VT_I4 is NULL");
    check_refused(variant_of(VT_BYREF | VT_ARRAY | VT_I4, 0), BH_E_SYNTAX,
                  "VT_BYREF|VT_ARRAY|VT_I4 is NULL");
    check_refused(variant_of(VT_BYREF, 0), BH_E_SYNTAX, "VT_BYREF|VT_EMPTY is not supported here");
    V_VARIANTREF(&outer) = &inner;
    V_VARIANTREF(&inner) = &outer;
    check_refused(outer, BH_E_SYNTAX, "VT_BYREF|VT_VARIANT is not supported here");
    V_VARIANTREF(&outer) = &outer;
    check_refused(outer, BH_E_SYNTAX, "VT_BYREF|VT_VARIANT is not supported here");
}

TEST(an_array_that_contains_itself_ends)
{
    VARIANT array = array_of(VT_VARIANT, nothing, 2);
    VARIANT *items = V_ARRAY(&array)->pvData;
    bh_value value;

    for (int i = 0; i < 2; i++) {
        V_VT(&items[i]) = VT_BYREF | VT_ARRAY | VT_VARIANT;
        V_ARRAYREF(&items[i]) = &V_ARRAY(&array);
    }
    CHECK_INT(bhw_value_from_variant(&value, &array, NULL, NULL, &problem), BH_E_DEPTH);
    VariantClear(&array);
}

TEST(a_problem_says_where_it_is)
{
    VARIANT arguments[2] = {array_of(VT_VARIANT, nothing, 6), variant_of(VT_NULL, 0)};
    bh_value array;

    /* the second argument, whose lowest index is -3 */
    V_VT((VARIANT *)V_ARRAY(&arguments[0])->pvData + 5) = VT_DISPATCH;
    CHECK_INT(bhw_values_from_arguments(&array, arguments, 2, NULL, NULL, &problem), BH_E_TYPE);
    CHECK_STR(problem.text, "argument 2, element 2: VT_DISPATCH is not supported");
    CHECK_INT(array.type, BH_NULL);
    VariantClear(&arguments[0]);
}

/* A table with texts in its first column. */
static VARIANT table_of(ULONG rows, ULONG columns, const OLECHAR *const *keys)
{
    SAFEARRAYBOUND bounds[2] = {{rows, 0}, {columns, 0}};
    VARIANT variant = variant_of(VT_ARRAY | VT_VARIANT, 0);

    V_ARRAY(&variant) = SafeArrayCreate(VT_VARIANT, 2, bounds);
    for (ULONG i = 0; i < rows && keys; i++) {
        VARIANT *key = (VARIANT *)V_ARRAY(&variant)->pvData + i;
        V_VT(key) = VT_BSTR;
        V_BSTR(key) = SysAllocString(keys[i]);
    }
    return variant;
}

TEST(tables_that_are_no_maps_are_refused)
{
    static const OLECHAR *const keys[] = {L"a", L"b", L"a"};
    VARIANT table = table_of(3, 2, keys);
    VARIANT *cells = V_ARRAY(&table)->pvData;

    check_refused(table, BH_E_DUPLICATE, "member \"a\": the map has this key twice");
    V_BSTR(&cells[2])[0] = 'c';
    V_VT(&cells[5]) = VT_UNKNOWN;
    check_refused(table, BH_E_TYPE, "member \"c\": VT_UNKNOWN is not supported");
    V_VT(&cells[5]) = VT_EMPTY;
    SysFreeString(V_BSTR(&cells[1]));
    V_VT(&cells[1]) = VT_I4;
    check_refused(table, BH_E_TYPE, "key 1: a map's key is no VT_BSTR; a table of n x 2 is a map");
    VariantClear(&table);
    table = table_of(2, 3, NULL);
    check_refused(table, BH_E_TYPE,
                  "VT_ARRAY|VT_VARIANT of two dimensions is not supported, but for maps "
                  "(VT_VARIANT, n x 2)");
    VariantClear(&table);
}

/* Ten thousand keys that differ, and then two that do not. */
TEST(large_maps_are_searched_quickly)
{
    enum { ROWS = 10000 };
    VARIANT table = table_of(ROWS, 2, NULL);
    VARIANT *cells = V_ARRAY(&table)->pvData;
    bh_value value;

    for (ULONG i = 0; i < ROWS; i++) {
        OLECHAR key[3] = {(OLECHAR)(0x100 + i / 100), (OLECHAR)(0x100 + i % 100), 0};
        V_VT(&cells[i]) = VT_BSTR;
        V_BSTR(&cells[i]) = SysAllocString(key);
    }
    CHECK_INT(bhw_value_from_variant(&value, &table, NULL, NULL, &problem), BH_OK);
    CHECK_INT(value.length, ROWS);
    bh_value_deinit(&value);
    V_BSTR(&cells[ROWS - 1])[1] = 0x100;
    CHECK_INT(bhw_value_from_variant(&value, &table, NULL, NULL, &problem), BH_E_DUPLICATE);
    VariantClear(&table);
}
