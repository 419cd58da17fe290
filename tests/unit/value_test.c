/* SPDX-License-Identifier: MIT */
/*
 * Values in memory: making, owning, changing, reading, copying, comparing, freeing; and the names
 * of codes and types.
 */
#include "check.h"
#include "failing_alloc.h"
#include "random_value.h"

#include "core/problem.h"

#include <bulkhead/value.h>

#include <stdio.h>

/* ---- names ---- */

TEST(every_code_has_a_name_and_a_text)
{
    CHECK_STR(bh_error_name(BH_OK), "BH_OK");
    CHECK_STR(bh_error_name(BH_E_STATE), "BH_E_STATE");
    CHECK_STR(bh_error_name(-1), "BH_E_?");
    CHECK_STR(bh_error_text(BH_E_DUPLICATE), "duplicate key");
    CHECK_STR(bh_error_text(999), "unknown error");
    CHECK_STR(bh_type_name(BH_MAP), "map");
    CHECK_STR(bh_type_name(16), "?");
    CHECK_STR(bh_version(), BH_VERSION);
}

TEST(a_problem_is_one_line_of_utf8)
{
    struct bh_problem problem;
    char longer[400];

    CHECK_INT(bhi_problem_set(NULL, BH_E_RANGE, 0, "x"), BH_E_RANGE);
    CHECK_INT(bhi_problem_set(&problem, BH_E_SYSTEM, 5, "a\nb\x7f%s\xff!", "\xc3\xa4"),
              BH_E_SYSTEM);
    CHECK_STR(problem.text, "a?b?\xc3\xa4?!");
    CHECK_INT(problem.code, BH_E_SYSTEM);
    CHECK_INT(problem.os_error, 5);
    CHECK_INT(problem.line, 0);
    for (size_t i = 0; i + 1 < sizeof(longer); i++)
        longer[i] = i % 2 ? '\xa4' : '\xc3';
    longer[sizeof(longer) - 1] = '\0';
    bhi_problem_set(&problem, BH_E_SYNTAX, 0, "x%s", longer);
    CHECK_INT(strlen(problem.text), 231); /* x and 115 characters fit exactly */
    bhi_problem_set(&problem, BH_E_SYNTAX, 0, "%s", longer);
    CHECK_INT(strlen(problem.text), 230); /* half a character does not */
    CHECK_INT((unsigned char)problem.text[229], 0xa4);
}

/* ---- reading ---- */

TEST(accessors_read_their_own_type_and_leave_the_rest_alone)
{
    bh_value values[] = {bh_value_null(), bh_value_bool(true), bh_value_view("text"),
                         bh_value_timestamp(-7), bh_value_view_error(-5, "why")};
    const char *text = NULL;
    size_t length = 0;
    int64_t number = 42;
    int32_t code;
    bool flag = false;

    CHECK_INT(bh_value_get_bool(&values[1], &flag), BH_OK);
    CHECK(flag);
    CHECK_INT(bh_value_get_string(&values[2], &text, &length), BH_OK);
    CHECK_INT(length, 4);
    for (size_t i = 0; i < 5; i++) {
        if (i != 2)
            CHECK_INT(bh_value_get_string(&values[i], &text, &length), BH_E_TYPE);
        CHECK_INT(bh_value_get_int64(&values[i], &number), BH_E_TYPE);
    }
    CHECK_INT(bh_value_get_int64(NULL, &number), BH_E_TYPE);
    CHECK_INT(number, 42);
    CHECK_INT(bh_value_get_timestamp(&values[3], &number), BH_OK);
    CHECK_INT(number, -7);
    CHECK_INT(bh_value_get_error(&values[4], &code, &text, &length), BH_OK);
    CHECK_INT(code, -5);
    CHECK_STR(text, "why");
}

TEST(integers_convert_only_where_nothing_is_lost)
{
    bh_value large = bh_value_uint64((uint64_t)INT64_MAX + 1);
    bh_value negative = bh_value_int64(-1);
    bh_value small = bh_value_int64(7);
    int64_t i64 = 1;
    uint64_t u64 = 1;

    CHECK_INT(bh_value_get_int64(&large, &i64), BH_E_RANGE);
    CHECK_INT(bh_value_get_uint64(&negative, &u64), BH_E_RANGE);
    CHECK_INT(i64, 1);
    CHECK_INT(u64, 1);
    CHECK_INT(bh_value_get_uint64(&small, &u64), BH_OK);
    CHECK_INT(u64, 7);
    small = bh_value_uint64(INT64_MAX);
    CHECK_INT(bh_value_get_int64(&small, &i64), BH_OK);
    CHECK(i64 == INT64_MAX);
}

TEST(integers_read_as_doubles_only_where_they_are_exact)
{
    static const struct {
        bh_value value;
        int rc;
    } cases[] = {
        {{.type = BH_INT64, .as.int64 = INT64_C(1) << 53}, BH_OK},
        {{.type = BH_INT64, .as.int64 = (INT64_C(1) << 53) + 1}, BH_E_RANGE},
        {{.type = BH_INT64, .as.int64 = INT64_MIN}, BH_OK},
        {{.type = BH_INT64, .as.int64 = INT64_MAX}, BH_E_RANGE},
        {{.type = BH_UINT64, .as.uint64 = UINT64_MAX}, BH_E_RANGE},
        {{.type = BH_UINT64, .as.uint64 = UINT64_C(1) << 63}, BH_OK},
        {{.type = BH_UINT64, .as.uint64 = UINT64_MAX - 2047}, BH_OK},
        {{.type = BH_UINT64, .as.uint64 = UINT64_MAX - 1024}, BH_E_RANGE},
        {{.type = BH_DOUBLE, .as.real = 0.5}, BH_OK},
        {{.type = BH_TIMESTAMP, .as.int64 = 1}, BH_E_TYPE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double real = 0;
        CHECK_INT(bh_value_get_double(&cases[i].value, &real), cases[i].rc);
        CHECK((real != 0) == (cases[i].rc == BH_OK));
    }
}

TEST(typed_arrays_are_viewed_and_copied)
{
    static const int32_t i32[] = {1, -2};
    static const int64_t i64[] = {3};
    static const float f32[] = {0.5f};
    static const double f64[] = {0.25, 8};
    const double *elements;
    size_t count;
    bh_value owned;

    bh_value view = bh_value_view_f64(f64, 2);
    CHECK_INT(bh_value_get_f64(&view, &elements, &count), BH_OK);
    CHECK(elements == f64 && count == 2);
    CHECK_INT(bh_value_new_f64(&owned, f64, 2), BH_OK);
    CHECK(bh_value_equal(&view, &owned));
    CHECK_INT(bh_value_get_f64(&owned, &elements, &count), BH_OK);
    CHECK(elements != f64);
    bh_value_deinit(&owned);
    CHECK_INT(bh_value_new_i32(&owned, i32, 2), BH_OK);
    view = bh_value_view_i32(i32, 2);
    CHECK(bh_value_equal(&view, &owned));
    bh_value_deinit(&owned);
    CHECK_INT(bh_value_new_i64(&owned, i64, 1), BH_OK);
    view = bh_value_view_i64(i64, 1);
    CHECK(bh_value_equal(&view, &owned));
    bh_value_deinit(&owned);
    CHECK_INT(bh_value_new_f32(&owned, f32, 1), BH_OK);
    view = bh_value_view_f32(f32, 1);
    CHECK(bh_value_equal(&view, &owned));
    bh_value_deinit(&owned);
    CHECK_INT(owned.type, BH_NULL);
    CHECK_INT(bh_value_new_i32(&owned, NULL, 0), BH_OK);
    bh_value_deinit(&owned);
}

/* ---- strings ---- */

TEST(strings_are_strict_utf8)
{
    static const char *const bad[] = {
        "\x80",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc3",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xe2\x82",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "12345678\xff",
        "1234567\xc3\xa4\xe2\x28\xa1",
    };
    static const char *const good[] = {
        "",
        "\x7f",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "12345678\xc3\xa4",
    };
    bh_value value;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_INT(bh_value_new_string(&value, bad[i], strlen(bad[i])), BH_E_UTF8);
        CHECK_INT(value.type, BH_NULL);
        CHECK_INT(bh_value_new_error(&value, 1, bad[i]), BH_E_UTF8);
        CHECK_INT(bh_value_new_printf(&value, "%s", bad[i]), BH_E_UTF8);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CHECK_INT(bh_value_new_string(&value, good[i], strlen(good[i])), BH_OK);
        CHECK_STR(value.as.string, good[i]);
        bh_value_deinit(&value);
    }
}

TEST(owned_strings_end_with_nul_and_may_hold_some)
{
    bh_value value;

    CHECK_INT(bh_value_new_string(&value, "a\0bcd", 3), BH_OK);
    CHECK_INT(value.length, 3);
    CHECK_BYTES(value.as.string, "a\0b\0", 4);
    bh_value_deinit(&value);
    CHECK_INT(bh_value_new_printf(&value, "%d-%s", 7, "x"), BH_OK);
    CHECK_STR(value.as.string, "7-x");
    bh_value_deinit(&value);
    bh_value_deinit(&value);
    bh_value_deinit(NULL);
}

/* ---- containers ---- */

TEST(pushing_takes_the_item_and_keeps_order)
{
    bh_value array = bh_value_array();
    const bh_value *items;
    size_t count;

    for (int i = 0; i < 1000; i++) {
        bh_value item;
        CHECK_INT(bh_value_new_printf(&item, "%d", i), BH_OK);
        CHECK_INT(bh_array_push(&array, &item), BH_OK);
        CHECK_INT(item.type, BH_NULL);
    }
    CHECK_INT(bh_value_get_array(&array, &items, &count), BH_OK);
    CHECK_INT(count, 1000);
    CHECK_STR(items[999].as.string, "999");
    CHECK_STR(items[0].as.string, "0");
    bh_value_deinit(&array);
}

TEST(setting_a_key_again_replaces_the_value_in_its_place)
{
    bh_value map = bh_value_map();
    bh_value item = bh_value_int64(1);

    CHECK_INT(bh_map_set(&map, "a", &item), BH_OK);
    CHECK_INT(bh_value_new_string(&item, "old", 3), BH_OK);
    CHECK_INT(bh_map_set(&map, "b", &item), BH_OK);
    item = bh_value_int64(3);
    CHECK_INT(bh_map_set_n(&map, "b\0", 2, &item), BH_OK);
    item = bh_value_int64(4);
    CHECK_INT(bh_map_set(&map, "b", &item), BH_OK);
    CHECK_INT(item.type, BH_NULL);
    CHECK_INT(map.length, 3);
    CHECK_STR(map.as.members[1].key.as.string, "b");
    CHECK_INT(bh_map_get(&map, "b")->as.int64, 4);
    CHECK_INT(bh_map_get_n(&map, "b\0", 2)->as.int64, 3);
    CHECK(bh_map_get(&map, "c") == NULL);
    CHECK(bh_map_get(&item, "c") == NULL);
    CHECK(bh_map_get(NULL, "c") == NULL);
    item = bh_value_int64(5);
    CHECK_INT(bh_map_set(&map, "\xff", &item), BH_E_UTF8);
    CHECK_INT(item.as.int64, 5);
    CHECK_INT(map.length, 3);
    bh_value_deinit(&map);
}

TEST(only_a_container_that_owns_its_table_changes)
{
    bh_value items[] = {bh_value_int64(1)};
    bh_value view = bh_value_view_array(items, 1);
    bh_value map = bh_value_map();
    bh_value array = bh_value_array();
    bh_value item = bh_value_int64(2);

    CHECK_INT(bh_array_push(&view, &item), BH_E_TYPE);
    CHECK_INT(bh_array_push(&map, &item), BH_E_TYPE);
    CHECK_INT(bh_map_set(&array, "k", &item), BH_E_TYPE);
    CHECK_INT(bh_map_set(&item, "k", &item), BH_E_TYPE);
    CHECK_INT(item.as.int64, 2);
    bh_value_deinit(&view);
    CHECK_INT(items[0].as.int64, 1);
}

/* ---- trees ---- */

TEST(freeing_takes_no_stack_however_deep_the_tree)
{
    bh_value value;

    nested_value(&value, 1000000);
    bh_value_deinit(&value);
}

TEST(comparing_and_copying_stop_at_a_depth)
{
    bh_value value, copy;

    nested_value(&value, 257);
    CHECK_INT(bh_value_copy(&copy, &value), BH_OK);
    CHECK(bh_value_equal(&value, &copy));
    bh_value_deinit(&value);
    bh_value_deinit(&copy);
    nested_value(&value, 258);
    CHECK_INT(bh_value_copy(&copy, &value), BH_E_DEPTH);
    CHECK_INT(copy.type, BH_NULL);
    CHECK(!bh_value_equal(&value, &value));
    bh_value_deinit(&value);
}

TEST(a_copy_owns_what_was_viewed)
{
    char text[] = "text";
    bh_value items[] = {bh_value_view(text), bh_value_view_error(3, text)};
    bh_value view = bh_value_view_array(items, 2);
    bh_value copy;
    bh_value extra = bh_value_null();

    CHECK_INT(bh_value_copy(&copy, &view), BH_OK);
    CHECK(bh_value_equal(&view, &copy));
    text[0] = 'X';
    CHECK_STR(copy.as.items[0].as.string, "text");
    CHECK_STR(copy.as.items[1].as.string, "text");
    CHECK_INT(copy.as.items[1].code, 3);
    CHECK_INT(bh_array_push(&copy, &extra), BH_OK);
    bh_value_deinit(&copy);
}

static double from_bits(uint64_t bits)
{
    double real;

    memcpy(&real, &bits, sizeof(real));
    return real;
}

TEST(equal_means_type_and_bits_and_order)
{
    bh_value a = bh_value_double(0.0), b = bh_value_double(-0.0);
    bh_value nan = bh_value_double(from_bits(UINT64_C(0x7ff8000000000001)));
    bh_value one = bh_value_int64(1), unsigned_one = bh_value_uint64(1);
    bh_value error = bh_value_view_error(1, "t"), other = bh_value_view_error(2, "t");
    bh_value empty = bh_value_array(), empty_map = bh_value_map();
    bh_value pair[] = {one, nan}, reversed[] = {nan, one};
    bh_value ab = bh_value_view_array(pair, 2), ba = bh_value_view_array(reversed, 2);
    bh_value half = bh_value_view_array(pair, 1);

    CHECK(!bh_value_equal(&a, &b));
    CHECK(bh_value_equal(&nan, &nan));
    CHECK(!bh_value_equal(&one, &unsigned_one));
    CHECK(!bh_value_equal(&error, &other));
    CHECK(!bh_value_equal(&empty, &empty_map));
    CHECK(bh_value_equal(&ab, &ab));
    CHECK(!bh_value_equal(&ab, &ba));
    CHECK(!bh_value_equal(&ab, &half));
}

TEST(random_values_equal_their_copies)
{
    for (uint64_t i = 0; i < 3000; i++) {
        uint64_t seed = i;
        bh_value value, copy;
        random_value(&seed, &value, 5);
        CHECK_INT(bh_value_copy(&copy, &value), BH_OK);
        CHECK(bh_value_equal(&value, &copy));
        bh_value_deinit(&value);
        bh_value_deinit(&copy);
    }
}

/* ---- no memory ---- */

static bool build_containers(void)
{
    bh_value map = bh_value_map();
    bh_value array = bh_value_array();
    bh_value item = bh_value_null();
    bool done = false;

    for (int i = 0; i < 9; i++) {
        uint64_t before = array.length;
        if (bh_value_new_printf(&item, "%d", i) != BH_OK)
            goto out;
        if (bh_array_push(&array, &item) != BH_OK) {
            CHECK_INT(array.length, before);
            CHECK_INT(item.type, BH_STRING);
            goto out;
        }
    }
    for (int i = 0; i < 5; i++) {
        char key[] = {(char)('a' + i), '\0'};
        if (bh_value_new_error(&item, i, "e") != BH_OK)
            goto out;
        if (bh_map_set(&map, key, &item) != BH_OK) {
            CHECK_INT(map.length, i);
            CHECK_INT(item.type, BH_ERROR);
            goto out;
        }
    }
    done = bh_map_set(&map, "array", &array) == BH_OK;
    CHECK(done == (array.type == BH_NULL));
out:
    bh_value_deinit(&map);
    bh_value_deinit(&array);
    bh_value_deinit(&item);
    return done;
}

TEST(a_refused_allocation_changes_nothing_when_building)
{
    CHECK(fail_each_allocation(build_containers) > 20);
}

static bh_value original;

static bool copy_original(void)
{
    bh_value copy;
    int rc = bh_value_copy(&copy, &original);

    CHECK(rc == BH_OK || (rc == BH_E_MEMORY && copy.type == BH_NULL));
    bh_value_deinit(&copy);
    return rc == BH_OK;
}

TEST(a_refused_allocation_leaves_no_copy)
{
    uint64_t seed = 11;

    original = bh_value_array();
    for (int i = 0; i < 20; i++) {
        bh_value item;
        random_value(&seed, &item, 3);
        CHECK_INT(bh_array_push(&original, &item), BH_OK);
    }
    CHECK(fail_each_allocation(copy_original) > 20);
    bh_value_deinit(&original);
}

TEST(impossible_sizes_are_refused)
{
    bh_value value;

    CHECK_INT(bh_value_new_f64(&value, NULL, SIZE_MAX / 4), BH_E_MEMORY);
    CHECK_INT(bh_value_new_bytes(&value, NULL, SIZE_MAX), BH_E_MEMORY);
    CHECK_INT(value.type, BH_NULL);
}
