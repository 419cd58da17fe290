/* SPDX-License-Identifier: MIT */
/*
 * JSON text: what is accepted and refused and where, numbers, markers, and that value to JSON to
 * value is the identity.
 *
 * Texts are handed to the reader in exact allocations without a NUL, so that a sanitizer or
 * valgrind sees a read of one byte too many.
 */
#include "check.h"
#include "failing_alloc.h"
#include "random_value.h"

#include <bulkhead/json.h>

#include <float.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_limited(bh_value *out, const char *text, size_t length,
                        const struct bh_value_limits *limits, struct bh_problem *problem)
{
    char *copy = malloc(length ? length : 1);

    memcpy(copy, text, length);
    int rc = bh_json_read(out, copy, length, limits, problem);
    free(copy);
    CHECK(rc == BH_OK || out->type == BH_NULL);
    return rc;
}

static int read_text(bh_value *out, const char *text)
{
    return read_limited(out, text, strlen(text), NULL, NULL);
}

/* Reads `text` and writes it again. */
static void expect_again(const char *text, enum bh_json_style style, const char *again)
{
    struct bh_problem problem = {0};
    bh_value value;
    char *written;
    size_t length;

    if (read_limited(&value, text, strlen(text), NULL, &problem) != BH_OK)
        FAIL("%s: %s", text, problem.text);
    CHECK_INT(bh_json_write(&value, style, &written, &length), BH_OK);
    CHECK_STR(written, again);
    CHECK_INT(length, strlen(again));
    bh_free(written);
    bh_value_deinit(&value);
}

static void expect_same(const char *text)
{
    expect_again(text, BH_JSON_COMPACT, text);
}

static void expect_error(const char *text, int code, unsigned line, unsigned column)
{
    struct bh_problem problem = {0};
    bh_value value;
    int rc = read_limited(&value, text, strlen(text), NULL, &problem);

    if (rc != code || problem.code != code || problem.line != line || problem.column != column)
        FAIL("%s: %s at %u:%u, not %s at %u:%u: %s", text, bh_error_name(rc), problem.line,
             problem.column, bh_error_name(code), line, column, problem.text);
    CHECK(problem.text[0] != '\0');
    CHECK_INT(read_text(&value, text), code);
}

/* ---- the grammar ---- */

TEST(every_kind_of_json_is_read_and_written)
{
    expect_same("null");
    expect_same("true");
    expect_same("[]");
    expect_same("{}");
    expect_same("\"\"");
    expect_same("[null,false,1,-2,1.5,\"x\",[[]],{\"a\":{},\"b\":[0]}]");
    expect_again(" \t\r\n[ 1 , 2 ]\n", BH_JSON_COMPACT, "[1,2]");
    expect_again("{ \"a\" : 1 }", BH_JSON_COMPACT, "{\"a\":1}");
}

TEST(strings_are_escaped_as_little_as_possible)
{
    expect_again("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u001F\\u007f\"", BH_JSON_COMPACT,
                 "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\"");
    expect_again("\"\\u00e4\\u20AC\\ud834\\uDD1E\\uffff\"", BH_JSON_COMPACT,
                 "\"\xc3\xa4\xe2\x82\xac\xf0\x9d\x84\x9e\xef\xbf\xbf\"");
    expect_again("{\"\\u0000a\":1,\"\":2}", BH_JSON_COMPACT, "{\"\\u0000a\":1,\"\":2}");
}

TEST(pretty_puts_a_member_on_a_line)
{
    expect_again("{\"a\":[1,{\"b\":2}],\"c\":[],\"d\":{},\"e\":{\"$i32\":[1,2]}}", BH_JSON_PRETTY,
                 "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ],\n  \"c\": [],\n"
                 "  \"d\": {},\n  \"e\": {\"$i32\":[1,2]}\n}");
    expect_again("{\"$map\":{\"$x\":1}}", BH_JSON_PRETTY, "{\"$map\": {\n  \"$x\": 1\n}}");
}

TEST(malformed_text_is_refused_where_it_is)
{
    static const struct {
        const char *text;
        unsigned line, column;
    } cases[] = {
        {"", 1, 1},
        {" ", 1, 2},
        {"\n\n x", 3, 2},
        {"[1,]", 1, 4},
        {"[,1]", 1, 2},
        {"[1 2]", 1, 4},
        {"[1", 1, 3},
        {"[", 1, 2},
        {"]", 1, 1},
        {"{\"a\" 1}", 1, 6},
        {"{\"a\":}", 1, 6},
        {"{\"a\":1,}", 1, 8},
        {"{a:1}", 1, 2},
        {"{1:1}", 1, 2},
        {"{\"a\":1", 1, 7},
        {"{", 1, 2},
        {"nul", 1, 1},
        {"nulll", 1, 5},
        {"True", 1, 1},
        {"1 1", 1, 3},
        {"01", 1, 2},
        {"-", 1, 2},
        {"-01", 1, 3},
        {"+1", 1, 1},
        {".5", 1, 1},
        {"1.", 1, 3},
        {"1.e1", 1, 3},
        {"1e", 1, 3},
        {"1e+", 1, 4},
        {"0x10", 1, 2},
        {"NaN", 1, 1},
        {"-Infinity", 1, 2},
        {"'a'", 1, 1},
        {"\"", 1, 1},
        {"\"abc", 1, 1},
        {"[\n\"a\\\"]", 2, 1},
        {"\"\\x41\"", 1, 2},
        {"\"\\u12g4\"", 1, 2},
        {"\"\\u12\"", 1, 2},
        {"\"\\U0041\"", 1, 2},
        {"\"a\tb\"", 1, 3},
        {"\"a\nb\"", 1, 3},
        {"[1]//", 1, 4},
        {"/**/1", 1, 1},
        {"\xef\xbb\xbf"
         "1",
         1, 1},
        {"[\"\xc3\xa4\xf0\x9d\x84\x9e\",\r\n  x]", 2, 3},
        {"[\"\xc3\xa4\",x]", 1, 6},
        {"\f1", 1, 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_error(cases[i].text, BH_E_SYNTAX, cases[i].line, cases[i].column);
}

TEST(bad_utf8_and_lone_surrogates_are_refused)
{
    expect_error("\"a\xff\"", BH_E_UTF8, 1, 3);
    expect_error("\"\xed\xa0\x80\"", BH_E_UTF8, 1, 2);
    expect_error("\"\xc3\"", BH_E_UTF8, 1, 2);
    expect_error("\"a\\ud800\"", BH_E_UTF8, 1, 3);
    expect_error("\"\\udc00\\ud800\"", BH_E_UTF8, 1, 2);
    expect_error("\"\\ud800\\u0041\"", BH_E_UTF8, 1, 2);
    expect_error("\"\\ud800x\"", BH_E_UTF8, 1, 2);
    expect_error("\"\\ud800\\", BH_E_SYNTAX, 1, 1);
    expect_error("\"\\ud800\\u\"", BH_E_UTF8, 1, 2);
    expect_error("{\"\xff\":1}", BH_E_UTF8, 1, 3);
}

TEST(a_nul_byte_is_no_white_space_and_no_end)
{
    bh_value value;

    CHECK_INT(read_limited(&value, "1\0", 2, NULL, NULL), BH_E_SYNTAX);
    CHECK_INT(read_limited(&value, "\0", 1, NULL, NULL), BH_E_SYNTAX);
    CHECK_INT(read_limited(&value, "\"a\0b\"", 5, NULL, NULL), BH_E_SYNTAX);
}

TEST(every_truncation_is_refused)
{
    static const char text[] =
        "[{\"a\":\"\\ud834\\udd1e\",\"b\":[true,null,-1.5e+3]},{\"$bytes\":\"AAA=\"},\"\xc3\xa4\"]";
    bh_value value;

    CHECK_INT(read_text(&value, text), BH_OK);
    bh_value_deinit(&value);
    for (size_t length = 0; length < sizeof(text) - 1; length++)
        CHECK(read_limited(&value, text, length, NULL, NULL) != BH_OK);
}

TEST(a_key_twice_is_refused_where_it_is)
{
    expect_error("{\"a\":1,\n \"b\":{}, \"a\":2}", BH_E_DUPLICATE, 2, 10);
    expect_error("{\"a\":1,\"\\u0061\":2}", BH_E_DUPLICATE, 1, 8);
    expect_error("{\"\":1,\"\":2}", BH_E_DUPLICATE, 1, 7);
}

TEST(a_key_twice_among_many_is_found_in_time)
{
    const unsigned count = 200000;
    char *text = malloc(count * 16);
    struct bh_problem problem;
    bh_value value;
    size_t length = 0;

    text[length++] = '{';
    for (unsigned i = 0; i < count; i++)
        length += (size_t)sprintf(text + length, "\"%06x\":1,", (i * 7919u) & 0xffffffu);
    text[length - 1] = '}';
    CHECK_INT(read_limited(&value, text, length, NULL, NULL), BH_OK);
    CHECK_INT(value.length, count);
    bh_value_deinit(&value);
    memcpy(text + length - 11, text + 1, 8); /* the last key becomes the first one */
    CHECK_INT(read_limited(&value, text, length, NULL, &problem), BH_E_DUPLICATE);
    CHECK_INT(problem.column, length - 10);
    CHECK_CONTAINS(problem.text, "\"000000\"");
    free(text);
}

/* ---- numbers ---- */

TEST(integers_are_int64_then_uint64_then_out_of_range)
{
    expect_same("9223372036854775807");
    expect_same("-9223372036854775808");
    expect_again("9223372036854775808", BH_JSON_COMPACT, "{\"$uint64\":\"9223372036854775808\"}");
    expect_again("18446744073709551615", BH_JSON_COMPACT, "{\"$uint64\":\"18446744073709551615\"}");
    expect_error("18446744073709551616", BH_E_RANGE, 1, 1);
    expect_error("[-9223372036854775809]", BH_E_RANGE, 1, 2);
    expect_error("100000000000000000000000000", BH_E_RANGE, 1, 1);
    expect_again("-0", BH_JSON_COMPACT, "0");
}

TEST(doubles_are_written_shortest_and_stay_doubles)
{
    static const char *const texts[] = {
        "0.0",
        "-0.0",
        "1.0",
        "0.1",
        "1.5",
        "-123.456",
        "0.0001",
        "0.00001",
        "1e-6",
        "1.5e-6",
        "123456789.0",
        "10000000000000000.0",
        "1e17",
        "1.2345678901234566e17",
        "1e21",
        "1e22",
        "1e23",
        "5e-324",
        "1.5e-323",
        "2.225073858507201e-308",
        "2.2250738585072014e-308",
        "1.7976931348623157e308",
        "0.30000000000000004",
        "1e100",
        "12345678901234568.0",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        expect_same(texts[i]);
    expect_again("9007199254740993.0", BH_JSON_COMPACT, "9007199254740992.0");
    expect_again("1E2", BH_JSON_COMPACT, "100.0");
    expect_again("1e-400", BH_JSON_COMPACT, "0.0");
    expect_again("-1e-99999999999999999999", BH_JSON_COMPACT, "-0.0");
    expect_again("0e99999999999999999999", BH_JSON_COMPACT, "0.0");
    expect_error("1e400", BH_E_RANGE, 1, 1);
    expect_error("-1e99999999999999999999", BH_E_RANGE, 1, 1);
}

static uint64_t bits_of(double real)
{
    uint64_t bits;

    memcpy(&bits, &real, sizeof(bits));
    return bits;
}

/* Reads the text as a double here and compares with what the C library makes of it. */
static void expect_rounded(const char *text)
{
    bh_value value;

    CHECK_INT(read_text(&value, text), BH_OK);
    CHECK_INT(value.type, BH_DOUBLE);
    if (bits_of(value.as.real) != bits_of(strtod(text, NULL)))
        FAIL("%.60s… is %a", text, value.as.real);
}

TEST(long_numbers_are_rounded_by_their_last_digit)
{
    static char text[3000];
    /* Half way between 1 and the double above it, and then some. */
    static const char half[] = "1.00000000000000011102230246251565404236316680908203125";

    expect_rounded(half);
    snprintf(text, sizeof(text), "%s%0*d", half, 1500, 1);
    expect_rounded(text);
    snprintf(text, sizeof(text), "%s%0*d", half, 1500, 0);
    expect_rounded(text);
    snprintf(text, sizeof(text), "0.%0*d%se1000", 999, 0, half + 2);
    expect_rounded(text);
    snprintf(text, sizeof(text), "1%0*d.0e-1000", 1000, 0);
    expect_rounded(text);
    snprintf(text, sizeof(text), "1%0*d.0", 300, 7);
    expect_rounded(text);
    /* Half the smallest double has 751 digits; one more digit decides. */
    snprintf(text, sizeof(text), "%.1100f", 0x1p-1074);
    for (size_t i = 2, carry = 0; text[i]; i++) { /* halved, as decimal digits */
        size_t digit = (size_t)(text[i] - '0') + carry * 10;
        text[i] = (char)('0' + digit / 2);
        carry = digit % 2;
    }
    expect_rounded(text);
    text[strlen(text) - 1] = '1';
    expect_rounded(text);
}

TEST(random_doubles_come_back_with_the_same_bits)
{
    uint64_t seed = 5;

    for (int i = 0; i < 20000; i++) {
        uint64_t bits = i % 3 ? random_bits(&seed) : random_word(&seed);
        bh_value value = {.type = BH_DOUBLE, .as.uint64 = bits};
        bh_value again;
        char *text;
        size_t length;
        CHECK_INT(bh_json_write(&value, BH_JSON_COMPACT, &text, &length), BH_OK);
        CHECK_INT(bh_json_read(&again, text, length, NULL, NULL), BH_OK);
        if (!bh_value_equal(&value, &again))
            FAIL("%016llx: %s", (unsigned long long)bits, text);
        bh_free(text);
    }
}

TEST(random_floats_come_back_with_the_same_bits)
{
    uint64_t seed = 6;

    for (int i = 0; i < 200; i++) {
        uint64_t words[50];
        for (int w = 0; w < 50; w++)
            words[w] = w % 3 ? random_bits(&seed) : random_word(&seed);
        bh_value value = bh_value_view_f32((const float *)(const void *)words, 100);
        bh_value again;
        char *text;
        size_t length;
        CHECK_INT(bh_json_write(&value, BH_JSON_COMPACT, &text, &length), BH_OK);
        CHECK_INT(bh_json_read(&again, text, length, NULL, NULL), BH_OK);
        CHECK(bh_value_equal(&value, &again));
        bh_value_deinit(&again);
        bh_free(text);
    }
}

TEST(floats_are_written_as_short_as_floats_can_be)
{
    static const float numbers[] = {0.1f, 16777216.0f, FLT_MAX, FLT_MIN, 1e-45f, -0.0f, 3.4e38f};
    bh_value value = bh_value_view_f32(numbers, 7);
    char *text;

    CHECK_INT(bh_json_write(&value, BH_JSON_COMPACT, &text, NULL), BH_OK);
    CHECK_STR(text, "{\"$f32\":[0.1,16777216.0,3.4028235e38,1.1754944e-38,1e-45,-0.0,3.4e38]}");
    bh_free(text);
}

TEST(the_locale_does_not_matter)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ps_AF.UTF-8", "German"};
    bool any = false;

    for (size_t i = 0; i < 4; i++) {
        if (!setlocale(LC_ALL, names[i]) || strcmp(localeconv()->decimal_point, ".") == 0)
            continue;
        any = true;
        expect_same("[1.5,-0.25,1e-7,123456.789,{\"$f32\":[0.5,1.25e-30]}]");
        expect_error("1,5", BH_E_SYNTAX, 1, 2);
    }
    setlocale(LC_ALL, "C");
    if (!any)
        SKIP("no locale here has another decimal point");
}

/* ---- markers ---- */

TEST(markers_are_read_and_written)
{
    expect_same("{\"$uint64\":\"0\"}");
    expect_same("{\"$uint64\":\"18446744073709551615\"}");
    expect_same("{\"$bytes\":\"\"}");
    expect_same("{\"$bytes\":\"AA==\"}");
    expect_same("{\"$bytes\":\"+/8=\"}");
    expect_same("{\"$bytes\":\"AAEC\"}");
    expect_same("{\"$timestamp\":-1}");
    expect_same("{\"$double\":\"inf\"}");
    expect_same("{\"$double\":\"-inf\"}");
    expect_same("{\"$double\":\"nan:7ff0000000000001\"}");
    expect_same("{\"$double\":\"nan:ffffffffffffffff\"}");
    expect_same("{\"$error\":{\"code\":-2147483648,\"text\":\"a\\u0000b\"}}");
    expect_again("{\"$error\":{\"text\":\"t\",\"code\":1}}", BH_JSON_COMPACT,
                 "{\"$error\":{\"code\":1,\"text\":\"t\"}}");
    expect_same("{\"$i32\":[]}");
    expect_same("{\"$i32\":[-2147483648,2147483647]}");
    expect_same("{\"$i64\":[-9223372036854775808,9223372036854775807]}");
    expect_same("{\"$f32\":[0.5,\"inf\",\"-inf\",\"nan:7f800001\"]}");
    expect_same("{\"$f64\":[0.1,\"inf\",\"nan:7ff8000000000000\"]}");
    expect_again("{\"$f32\":[1,0.1,18446744073709551615]}", BH_JSON_COMPACT,
                 "{\"$f32\":[1.0,0.1,1.8446744e19]}");
    expect_again("{\"\\u0024i32\":[1]}", BH_JSON_COMPACT, "{\"$i32\":[1]}");
}

TEST(maps_that_look_like_markers_are_wrapped)
{
    expect_same("{\"$map\":{\"$uint64\":\"5\"}}");
    expect_same("{\"$map\":{\"$\":1}}");
    expect_same("{\"$map\":{\"$map\":{\"$uint64\":\"5\"}}}"); /* $map in a map: a uint64 */
    expect_same("{\"$map\":{\"$map\":{\"$map\":{\"$map\":{}}}}}");
    expect_same("{\"$uint64\":\"x\",\"b\":1}"); /* two members: a map */
    expect_same("{\"$map\":{\"$map\":{\"$i32\":[1]}},\"x\":{\"$i32\":[2]}}");
    expect_same("{\"a\":{\"$map\":{\"$bytes\":[{\"$bytes\":\"AA==\"}]}}}");
    expect_same("{\"x\":1,\"$map\":2}");
}

TEST(what_a_wrapped_map_holds_is_what_it_says)
{
    bh_value value;

    CHECK_INT(read_text(&value, "{\"$map\":{\"$map\":{\"$uint64\":\"5\"}}}"), BH_OK);
    CHECK_INT(value.type, BH_MAP);
    CHECK_INT(bh_map_get(&value, "$map")->type, BH_UINT64);
    bh_value_deinit(&value);
    CHECK_INT(read_text(&value, "{\"$map\":{\"$uint64\":\"5\"},\"x\":0}"), BH_OK);
    CHECK_INT(bh_map_get(&value, "$map")->type, BH_UINT64);
    bh_value_deinit(&value);
}

TEST(bad_markers_are_refused_where_they_are)
{
    static const struct {
        const char *text;
        int code;
        unsigned column;
    } cases[] = {
        {"{\"$foo\":1}", BH_E_SYNTAX, 2},
        {"{\"$\":1}", BH_E_SYNTAX, 2},
        {"{\"$UINT64\":\"1\"}", BH_E_SYNTAX, 2},
        {"{\"$uint64\":1}", BH_E_SYNTAX, 12},
        {"{\"$uint64\":\"\"}", BH_E_SYNTAX, 12},
        {"{\"$uint64\":\"01\"}", BH_E_SYNTAX, 12},
        {"{\"$uint64\":\"-1\"}", BH_E_SYNTAX, 12},
        {"{\"$uint64\":\"+1\"}", BH_E_SYNTAX, 12},
        {"{\"$uint64\":\"1 \"}", BH_E_SYNTAX, 12},
        {"{\"$uint64\":\"18446744073709551616\"}", BH_E_SYNTAX, 12},
        {"{\"$bytes\":\"A\"}", BH_E_SYNTAX, 11},
        {"{\"$bytes\":\"AA\"}", BH_E_SYNTAX, 11},
        {"{\"$bytes\":\"AAA\"}", BH_E_SYNTAX, 11},
        {"{\"$bytes\":\"A===\"}", BH_E_SYNTAX, 11},
        {"{\"$bytes\":\"====\"}", BH_E_SYNTAX, 11},
        {"{\"$bytes\":\"AA=A\"}", BH_E_SYNTAX, 11},
        {"{\"$bytes\":\"AA==AA==\"}", BH_E_SYNTAX, 11},
        {"{\"$bytes\":\"AB==\"}", BH_E_SYNTAX, 11},
        {"{\"$bytes\":\"AAB=\"}", BH_E_SYNTAX, 11},
        {"{\"$bytes\":\"AA-_\"}", BH_E_SYNTAX, 11},
        {"{\"$bytes\":\"AA A\"}", BH_E_SYNTAX, 11},
        {"{\"$bytes\":\"AA\\u0000A\"}", BH_E_SYNTAX, 11},
        {"{\"$bytes\":[1]}", BH_E_SYNTAX, 11},
        {"{\"$timestamp\":1.0}", BH_E_SYNTAX, 15},
        {"{\"$timestamp\":9223372036854775808}", BH_E_SYNTAX, 15},
        {"{\"$double\":1.5}", BH_E_SYNTAX, 12},
        {"{\"$double\":\"nan\"}", BH_E_SYNTAX, 12},
        {"{\"$double\":\"nan:7ff0000000000000\"}", BH_E_SYNTAX, 12},
        {"{\"$double\":\"nan:3ff0000000000000\"}", BH_E_SYNTAX, 12},
        {"{\"$double\":\"nan:7FF8000000000000\"}", BH_E_SYNTAX, 12},
        {"{\"$double\":\"nan:7ff800000000000\"}", BH_E_SYNTAX, 12},
        {"{\"$error\":{\"code\":1}}", BH_E_SYNTAX, 11},
        {"{\"$error\":{\"code\":1,\"text\":\"\",\"x\":1}}", BH_E_SYNTAX, 11},
        {"{\"$error\":{\"code\":1.0,\"text\":\"\"}}", BH_E_SYNTAX, 11},
        {"{\"$error\":{\"code\":1,\"text\":null}}", BH_E_SYNTAX, 11},
        {"{\"$error\":{\"code\":2147483648,\"text\":\"\"}}", BH_E_RANGE, 19},
        {"{\"$error\":1}", BH_E_SYNTAX, 11},
        {"{\"$i32\":1}", BH_E_SYNTAX, 9},
        {"{\"$i32\":[1,2147483648]}", BH_E_RANGE, 12},
        {"{\"$i32\":[1.0]}", BH_E_RANGE, 10},
        {"{\"$i32\":[null]}", BH_E_RANGE, 10},
        {"{\"$i64\":[9223372036854775808]}", BH_E_RANGE, 10},
        {"{\"$i64\":[{\"$uint64\":\"1\"}]}", BH_E_RANGE, 10},
        {"{\"$f32\":[3.4028236e38]}", BH_E_RANGE, 10},
        {"{\"$f32\":[\"nan:7ff8000000000000\"]}", BH_E_SYNTAX, 10},
        {"{\"$f64\":[\"nan:7fc00000\"]}", BH_E_SYNTAX, 10},
        {"{\"$f64\":[{\"$double\":\"inf\"}]}", BH_E_SYNTAX, 10},
        {"{\"$f64\":[true]}", BH_E_SYNTAX, 10},
        {"{\"$map\":1}", BH_E_SYNTAX, 9},
        {"{\"$map\":{}}", BH_E_SYNTAX, 9},
        {"{\"$map\":{\"a\":1}}", BH_E_SYNTAX, 9},
        {"{\"$map\":{\"$a\":1,\"b\":2}}", BH_E_SYNTAX, 9},
        {"{\"$map\":{\"$a\":{\"$b\":1}}}", BH_E_SYNTAX, 16},
        {"{\"x\":0,\"$map\":{\"$foo\":1}}", BH_E_SYNTAX, 16},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_error(cases[i].text, cases[i].code, 1, cases[i].column);
}

/* ---- there and back ---- */

static void check_identity(const bh_value *value, enum bh_json_style style)
{
    const struct bh_value_limits limits = {.depth = 256};
    struct bh_problem problem = {0};
    bh_value again;
    char *text;
    size_t length;

    CHECK_INT(bh_json_write(value, style, &text, &length), BH_OK);
    CHECK_INT(text[length], 0);
    if (read_limited(&again, text, length, &limits, &problem) != BH_OK)
        FAIL("%s at %u:%u: %.200s", problem.text, problem.line, problem.column, text);
    if (!bh_value_equal(value, &again))
        FAIL("%.200s", text);
    bh_free(text);
    bh_value_deinit(&again);
}

TEST(random_values_come_back_equal)
{
    for (uint64_t i = 0; i < 5000; i++) {
        uint64_t seed = i;
        bh_value value;
        random_value(&seed, &value, 5);
        check_identity(&value, i % 4 ? BH_JSON_COMPACT : BH_JSON_PRETTY);
        bh_value_deinit(&value);
    }
}

/* Every map on the way in looks like a marker, and the innermost value is one of two levels. */
TEST(the_greatest_depth_comes_back_equal)
{
    bh_value value = bh_value_view_error(1, "innermost");
    char *text;

    for (int i = 0; i < 256; i++) {
        bh_value outer = bh_value_map();
        CHECK_INT(bh_map_set(&outer, "$map", &value), BH_OK);
        value = outer;
    }
    check_identity(&value, BH_JSON_COMPACT);
    check_identity(&value, BH_JSON_PRETTY);
    bh_value outer = bh_value_array();
    CHECK_INT(bh_array_push(&outer, &value), BH_OK);
    CHECK_INT(bh_json_write(&outer, BH_JSON_COMPACT, &text, NULL), BH_E_DEPTH);
    CHECK(text == NULL);
    bh_value_deinit(&outer);
}

TEST(what_is_no_value_is_not_written)
{
    bh_value handle = {.type = BH_HANDLE};
    bh_value bad = bh_value_view("a\xff");
    struct bh_member member = {bh_value_int64(1), bh_value_null()};
    bh_value map = {.type = BH_MAP, .length = 1, .as.members = &member};
    bh_value items[1] = {bh_value_null()};
    char *text;

    CHECK_INT(bh_json_write(&handle, BH_JSON_COMPACT, &text, NULL), BH_E_TYPE);
    CHECK(text == NULL);
    CHECK_INT(bh_json_write(&bad, BH_JSON_COMPACT, &text, NULL), BH_E_UTF8);
    CHECK_INT(bh_json_write(&map, BH_JSON_COMPACT, &text, NULL), BH_E_TYPE);
    items[0] = bh_value_view_array(items, 1);
    CHECK_INT(bh_json_write(items, BH_JSON_PRETTY, &text, NULL), BH_E_DEPTH);
    CHECK(text == NULL);
}

/* ---- limits ---- */

static int read_with(const char *text, struct bh_value_limits limits)
{
    bh_value value;
    int rc = read_limited(&value, text, strlen(text), &limits, NULL);

    bh_value_deinit(&value);
    return rc;
}

TEST(limits_hold)
{
    CHECK_INT(read_with("[[]]", (struct bh_value_limits){.depth = 2}), BH_OK);
    CHECK_INT(read_with("[[]]", (struct bh_value_limits){.depth = 1}), BH_E_DEPTH);
    CHECK_INT(read_with("[{\"$error\":{\"code\":1,\"text\":\"\"}}]",
                        (struct bh_value_limits){.depth = 1}),
              BH_OK);
    CHECK_INT(read_with("{\"$map\":{\"$x\":{\"$i32\":[]}}}", (struct bh_value_limits){.depth = 1}),
              BH_OK);
    CHECK_INT(read_with("[1,{\"a\":2}]", (struct bh_value_limits){.count = 5}), BH_OK);
    CHECK_INT(read_with("[1,{\"a\":2}]", (struct bh_value_limits){.count = 4}), BH_E_TOO_LARGE);
    CHECK_INT(read_with("[1]", (struct bh_value_limits){.bytes = 3}), BH_OK);
    CHECK_INT(read_with("[1]", (struct bh_value_limits){.bytes = 2}), BH_E_TOO_LARGE);
}

TEST(endless_nesting_is_refused_early)
{
    static char text[1000000];
    struct bh_problem problem;
    bh_value value;

    memset(text, '[', sizeof(text));
    CHECK_INT(read_limited(&value, text, sizeof(text), NULL, &problem), BH_E_DEPTH);
    CHECK_INT(problem.column, 131); /* one more than markers could explain */
    for (size_t i = 0; i + 8 <= sizeof(text); i += 8)
        memcpy(text + i, "{\"$map\":", 8);
    CHECK_INT(read_limited(&value, text, sizeof(text), NULL, NULL), BH_E_DEPTH);
}

/* ---- no memory ---- */

static const char everything[] = "[null,1.5,\"s\",{\"$bytes\":\"AAEC\"},{\"$f64\":[1.5,\"inf\"]},{"
                                 "\"$i32\":[1]},{\"$uint64\":\"1\"},"
                                 "{\"$error\":{\"code\":1,\"text\":\"t\"}},{\"$map\":{\"$x\":[]}},{"
                                 "\"a\":1,\"b\":2,\"c\":3,\"d\":4,"
                                 "\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":0,\"k\":0,\"l\":0,"
                                 "\"m\":0,\"n\":0,\"o\":0,\"p\":0,"
                                 "\"q\":0,\"r\":0}]";

static bool read_everything(void)
{
    struct bh_problem problem = {0};
    bh_value value;
    int rc = bh_json_read(&value, everything, sizeof(everything) - 1, NULL, &problem);

    CHECK(rc == BH_OK || (rc == BH_E_MEMORY && value.type == BH_NULL));
    CHECK_INT(problem.code, rc);
    bh_value_deinit(&value);
    return rc == BH_OK;
}

static bh_value written_value;

static bool write_everything(void)
{
    char *text;
    int rc = bh_json_write(&written_value, BH_JSON_PRETTY, &text, NULL);

    CHECK(rc == BH_OK || (rc == BH_E_MEMORY && text == NULL));
    bh_free(text);
    return rc == BH_OK;
}

TEST(a_refused_allocation_leaves_nothing)
{
    CHECK(fail_each_allocation(read_everything) > 40);
    CHECK_INT(read_text(&written_value, everything), BH_OK);
    CHECK(fail_each_allocation(write_everything) >= 3);
    bh_value_deinit(&written_value);
}
