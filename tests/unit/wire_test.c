/* SPDX-License-Identifier: MIT */
/*
 * The wire form: its layout, the way there and back, and what a hostile sender may try.
 *
 * Buffers handed to the reader are allocated exactly, so that a sanitizer or valgrind sees a read
 * of one byte too many.
 */
#include "check.h"
#include "failing_alloc.h"
#include "random_value.h"

#include <bulkhead/value.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- messages made by hand ---- */

struct message {
    uint64_t words[64];
    size_t size; /* in bytes */
};

static void put_bytes(struct message *m, const void *bytes, size_t size)
{
    CHECK(m->size + size <= sizeof(m->words));
    memcpy((char *)m->words + m->size, bytes, size);
    m->size += (size + 7) / 8 * 8;
}

static void put_header(struct message *m, uint32_t type, uint32_t length)
{
    uint32_t header[2] = {type, length};

    put_bytes(m, header, sizeof(header));
}

static void put_word(struct message *m, uint64_t word)
{
    put_bytes(m, &word, sizeof(word));
}

static void put_text(struct message *m, const char *text)
{
    put_header(m, BH_STRING, (uint32_t)strlen(text));
    put_bytes(m, text, strlen(text));
}

/* Reads an exact copy, and checks the code and the beginning of the problem's text. */
static void expect_limits(const struct message *m, const struct bh_value_limits *limits, int rc,
                          const char *text)
{
    void *copy = malloc(m->size ? m->size : 1);
    struct bh_problem problem = {0};
    bh_value array;

    memcpy(copy, m->words, m->size);
    CHECK_INT(bh_wire_view(&array, copy, m->size, limits, &problem), rc);
    CHECK_INT(problem.code, rc);
    CHECK_STR(problem.text, text);
    CHECK(rc == BH_OK || array.type == BH_NULL);
    bh_value_deinit(&array);
    CHECK_INT(bh_wire_view(&array, copy, m->size, limits, NULL), rc);
    bh_value_deinit(&array);
    free(copy);
}

static void expect(const struct message *m, int rc, const char *text)
{
    expect_limits(m, NULL, rc, text);
}

/* Writes values into an exact allocation. */
static void *write_exactly(const bh_value *values, size_t count,
                           const struct bh_value_limits *limits, size_t *size)
{
    CHECK_INT(bh_wire_size(values, count, limits, size), BH_OK);
    CHECK_INT(*size % 8, 0);
    void *buffer = malloc(*size ? *size : 1);
    memset(buffer, 0xee, *size);
    CHECK_INT(bh_wire_write(buffer, *size, values, count), BH_OK);
    return buffer;
}

/* ---- layout ---- */

TEST(the_layout_is_as_documented)
{
    static const double reals[] = {1.5};
    static const int32_t ints[] = {1, 2, 3};
    bh_value item = bh_value_bool(true);
    bh_value map = bh_value_map();
    struct message m = {{0}, 0};
    int32_t error[2] = {-9, 0};
    size_t size;

    CHECK_INT(bh_map_set(&map, "key", &item), BH_OK);
    bh_value values[] = {
        bh_value_null(),
        bh_value_int64(-1),
        bh_value_timestamp(5),
        bh_value_view("ninebytes"),
        bh_value_view_bytes("", 0),
        bh_value_view_error(-9, "no"),
        bh_value_view_i32(ints, 3),
        bh_value_view_f64(reals, 1),
        map,
        bh_value_view_array(&map, 1),
    };
    put_header(&m, BH_NULL, 0);
    put_header(&m, BH_INT64, 8);
    put_word(&m, UINT64_MAX);
    put_header(&m, BH_TIMESTAMP, 8);
    put_word(&m, 5);
    put_text(&m, "ninebytes");
    put_header(&m, BH_BYTES, 0);
    put_header(&m, BH_ERROR, 2);
    put_bytes(&m, error, 8);
    put_bytes(&m, "no", 2);
    put_header(&m, BH_I32_ARRAY, 3);
    put_bytes(&m, ints, 12);
    put_header(&m, BH_F64_ARRAY, 1);
    put_bytes(&m, reals, 8);
    for (int i = 0; i < 2; i++) {
        if (i == 1)
            put_header(&m, BH_ARRAY, 1);
        put_header(&m, BH_MAP, 1);
        put_text(&m, "key");
        put_header(&m, BH_BOOL, 8);
        put_word(&m, 1);
    }
    void *buffer = write_exactly(values, 10, NULL, &size);
    CHECK_INT(size, m.size);
    CHECK_BYTES(buffer, m.words, size);
    expect(&m, BH_OK, "");
    free(buffer);
    bh_value_deinit(&map);
}

TEST(no_values_are_an_empty_message)
{
    struct message m = {{0}, 0};
    bh_value item = bh_value_null();
    bh_value array;
    size_t size = 1;

    CHECK_INT(bh_wire_size(NULL, 0, NULL, &size), BH_OK);
    CHECK_INT(size, 0);
    CHECK_INT(bh_wire_write(m.words, 0, NULL, 0), BH_OK);
    CHECK_INT(bh_wire_view(&array, m.words, 0, NULL, NULL), BH_OK);
    CHECK_INT(array.length, 0);
    CHECK_INT(bh_array_push(&array, &item), BH_OK);
    bh_value_deinit(&array);
}

/* ---- there and back ---- */

static const struct bh_value_limits deepest = {.depth = 256};

static void check_identity(const bh_value *values, size_t count)
{
    bh_value sent = bh_value_view_array(values, count);
    bh_value view, owned;
    size_t size;

    void *buffer = write_exactly(values, count, &deepest, &size);
    CHECK_INT(bh_wire_view(&view, buffer, size, &deepest, NULL), BH_OK);
    CHECK(bh_value_equal(&sent, &view));
    CHECK_INT(bh_wire_read(&owned, buffer, size, &deepest, NULL), BH_OK);
    bh_value_deinit(&view);
    memset(buffer, 0xee, size);
    free(buffer);
    CHECK(bh_value_equal(&sent, &owned));
    bh_value_deinit(&owned);
}

TEST(random_values_come_back_equal)
{
    for (uint64_t i = 0; i < 5000; i++) {
        uint64_t seed = i;
        bh_value values[4];
        size_t count = i % 5;
        for (size_t v = 0; v < count; v++)
            random_value(&seed, &values[v], 5);
        check_identity(values, count);
        for (size_t v = 0; v < count; v++)
            bh_value_deinit(&values[v]);
    }
}

TEST(the_greatest_depth_comes_back_equal)
{
    bh_value value;
    size_t size;

    nested_value(&value, 256);
    check_identity(&value, 1);
    CHECK_INT(bh_wire_size(&value, 1, NULL, &size), BH_E_DEPTH);
    bh_value_deinit(&value);
    nested_value(&value, 257);
    CHECK_INT(bh_wire_size(&value, 1, &deepest, &size), BH_E_DEPTH);
    bh_value_deinit(&value);
}

TEST(a_view_points_into_the_buffer_and_cannot_grow)
{
    bh_value item = bh_value_int64(1);
    bh_value inner = bh_value_array();
    bh_value view;
    size_t size;

    CHECK_INT(bh_array_push(&inner, &item), BH_OK);
    bh_value values[] = {bh_value_view("text"), inner};
    char *buffer = write_exactly(values, 2, NULL, &size);
    CHECK_INT(bh_wire_view(&view, buffer, size, NULL, NULL), BH_OK);
    CHECK(view.as.items[0].as.string == buffer + 8);
    item = bh_value_int64(2);
    CHECK_INT(bh_array_push(&view, &item), BH_E_TYPE);
    CHECK_INT(bh_array_push(&view.as.items[1], &item), BH_E_TYPE);
    bh_value outer = bh_value_array();
    CHECK_INT(bh_array_push(&outer, &view), BH_OK);
    bh_value_deinit(&outer);
    bh_value_deinit(&inner);
    free(buffer);
}

/* ---- bad messages ---- */

TEST(every_truncation_is_refused)
{
    for (uint64_t i = 0; i < 60; i++) {
        uint64_t seed = i;
        bh_value value = bh_value_array();
        bh_value array;
        size_t size;
        for (int v = 0; v < 3; v++) {
            bh_value item;
            random_value(&seed, &item, 3);
            CHECK_INT(bh_array_push(&value, &item), BH_OK);
        }
        char *buffer = write_exactly(&value, 1, NULL, &size);
        for (size_t cut = 1; cut < size; cut++) {
            char *part = malloc(cut);
            memcpy(part, buffer, cut);
            int rc = bh_wire_view(&array, part, cut, NULL, NULL);
            CHECK(rc == BH_E_SYNTAX || rc == BH_E_UTF8);
            CHECK_INT(array.type, BH_NULL);
            free(part);
        }
        free(buffer);
        bh_value_deinit(&value);
    }
}

/* What is accepted is canonical. */
static void check_flipped(const void *buffer, size_t size)
{
    bh_value array;
    size_t again;

    if (bh_wire_view(&array, buffer, size, NULL, NULL) != BH_OK)
        return;
    void *copy = write_exactly(array.as.items, (size_t)array.length, NULL, &again);
    CHECK_INT(again, size);
    CHECK_BYTES(copy, buffer, size);
    free(copy);
    bh_value_deinit(&array);
}

TEST(a_flipped_bit_is_refused_or_means_another_canonical_message)
{
    for (uint64_t i = 0; i < 60; i++) {
        uint64_t seed = i;
        bh_value value;
        size_t size;
        random_value(&seed, &value, 3);
        unsigned char *buffer = write_exactly(&value, 1, NULL, &size);
        for (size_t bit = 0; bit < size * 8; bit++) {
            buffer[bit / 8] ^= (unsigned char)(1u << bit % 8);
            check_flipped(buffer, size);
            buffer[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        for (int n = 0; n < 200; n++) { /* and whole words of it */
            uint64_t saved, word = random_word(&seed);
            size_t at = random_below(&seed, (uint32_t)(size / 8)) * 8;
            memcpy(&saved, buffer + at, 8);
            memcpy(buffer + at, &word, 8);
            check_flipped(buffer, size);
            memcpy(buffer + at, &saved, 8);
        }
        free(buffer);
        bh_value_deinit(&value);
    }
}

#define BAD(name, rc, text, ...)                                                                   \
    TEST(name)                                                                                     \
    {                                                                                              \
        struct message m = {{0}, 0};                                                               \
        __VA_ARGS__;                                                                               \
        expect(&m, rc, text);                                                                      \
    }

BAD(a_handle_is_refused, BH_E_SYNTAX, "byte 8: handles cannot be sent", put_header(&m, BH_NULL, 0);
    put_header(&m, BH_HANDLE, 0))
BAD(an_unknown_type_is_refused, BH_E_SYNTAX, "byte 0: unknown type", put_header(&m, 16, 0))
BAD(a_type_beyond_16_bits_is_refused, BH_E_SYNTAX, "byte 0: unknown type",
    put_header(&m, 0x20000, 0))
BAD(a_payload_beside_a_message_is_refused, BH_E_SYNTAX,
    "byte 0: no memory was sent for a payload beside the message",
    put_header(&m, 0x10000 | BH_BYTES, 8);
    put_word(&m, 0))
BAD(a_null_with_a_length_is_refused, BH_E_SYNTAX, "byte 0: a null has a length",
    put_header(&m, BH_NULL, 1))
BAD(a_scalar_of_another_length_is_refused, BH_E_SYNTAX, "byte 0: a scalar's length is not 8",
    put_header(&m, BH_INT64, 4);
    put_word(&m, 0))
BAD(a_bool_of_two_is_refused, BH_E_SYNTAX, "byte 8: a bool is neither 0 nor 1",
    put_header(&m, BH_BOOL, 8);
    put_word(&m, 2))
BAD(a_bool_with_a_high_bit_is_refused, BH_E_SYNTAX, "byte 8: a bool is neither 0 nor 1",
    put_header(&m, BH_BOOL, 8);
    put_word(&m, UINT64_C(1) << 63))
BAD(padding_that_is_not_zero_is_refused, BH_E_SYNTAX, "byte 13: padding is not zero",
    put_header(&m, BH_BYTES, 5);
    put_bytes(&m, "12345\0x", 8))
BAD(an_error_with_a_stray_word_is_refused, BH_E_SYNTAX,
    "byte 8: the word behind an error's code is not zero", put_header(&m, BH_ERROR, 0);
    put_word(&m, UINT64_MAX))
BAD(bad_utf8_is_refused_where_it_is, BH_E_UTF8, "byte 10: not valid UTF-8",
    put_text(&m, "ab\xed\xa0\x80"))
BAD(bad_utf8_in_an_error_is_refused, BH_E_UTF8, "byte 17: not valid UTF-8",
    put_header(&m, BH_ERROR, 2);
    put_word(&m, 0); put_bytes(&m, "a\xff", 2))
BAD(a_key_that_is_no_string_is_refused, BH_E_SYNTAX, "byte 8: a map's key is no string",
    put_header(&m, BH_MAP, 1);
    put_header(&m, BH_BYTES, 0); put_header(&m, BH_NULL, 0))
BAD(a_key_twice_is_refused_where_it_is, BH_E_DUPLICATE, "byte 32: the map has this key twice",
    put_header(&m, BH_MAP, 2);
    put_text(&m, "key"); put_header(&m, BH_MAP, 0); put_text(&m, "key"); put_header(&m, BH_NULL, 0))
BAD(a_length_beyond_the_message_is_refused, BH_E_SYNTAX,
    "byte 0: a value is longer than the rest of the message", put_header(&m, BH_BYTES, UINT32_MAX);
    put_word(&m, 0))
BAD(a_typed_array_beyond_the_message_is_refused, BH_E_SYNTAX,
    "byte 0: a value is longer than the rest of the message",
    put_header(&m, BH_F64_ARRAY, UINT32_MAX);
    put_word(&m, 0))
BAD(an_array_beyond_the_message_is_refused, BH_E_SYNTAX,
    "byte 0: a container is longer than the rest of the message",
    put_header(&m, BH_ARRAY, UINT32_MAX);
    put_header(&m, BH_NULL, 0))
BAD(a_map_beyond_the_message_is_refused, BH_E_SYNTAX,
    "byte 0: a container is longer than the rest of the message", put_header(&m, BH_MAP, 1);
    put_text(&m, ""))
BAD(nested_lengths_cannot_share_the_message, BH_E_SYNTAX,
    "byte 24: the message ends within a header", put_header(&m, BH_ARRAY, 2);
    put_header(&m, BH_ARRAY, 1); put_header(&m, BH_NULL, 0))

TEST(a_message_of_odd_size_is_refused)
{
    struct message m = {{0}, 12};

    expect(&m, BH_E_SYNTAX, "byte 8: the message ends within a header");
}

TEST(a_misaligned_buffer_is_refused)
{
    uint64_t words[2] = {0};
    bh_value array;

    CHECK_INT(bh_wire_view(&array, (char *)words + 4, 8, NULL, NULL), BH_E_INVALID);
    CHECK_INT(array.type, BH_NULL);
}

/* ---- limits ---- */

TEST(depth_counts_containers_inside_one_another)
{
    struct message m = {{0}, 0};

    for (int i = 0; i < 3; i++)
        put_header(&m, BH_ARRAY, 1);
    put_header(&m, BH_ARRAY, 0);
    expect_limits(&m, &(struct bh_value_limits){.depth = 4}, BH_OK, "");
    expect_limits(&m, &(struct bh_value_limits){.depth = 3}, BH_E_DEPTH,
                  "byte 24: nested too deep");
}

TEST(count_counts_members_twice)
{
    struct message m = {{0}, 0};

    put_header(&m, BH_NULL, 0);
    put_header(&m, BH_MAP, 1);
    put_text(&m, "");
    put_header(&m, BH_NULL, 0);
    expect_limits(&m, &(struct bh_value_limits){.count = 4}, BH_OK, "");
    expect_limits(&m, &(struct bh_value_limits){.count = 3}, BH_E_TOO_LARGE,
                  "byte 8: too many values");
    expect_limits(&m, &(struct bh_value_limits){.count = 1}, BH_E_TOO_LARGE,
                  "byte 8: too many values");
}

TEST(bytes_limit_the_message)
{
    struct message m = {{0}, 0};

    put_text(&m, "text");
    expect_limits(&m, &(struct bh_value_limits){.bytes = 16}, BH_OK, "");
    expect_limits(&m, &(struct bh_value_limits){.bytes = 15}, BH_E_TOO_LARGE,
                  "byte 0: the message is larger than allowed");
}

/* The writer refuses what the reader would. */
TEST(both_sides_have_the_same_limits)
{
    for (uint64_t i = 0; i < 400; i++) {
        uint64_t seed = i;
        struct bh_value_limits limits = {.depth = 1 + random_below(&seed, 4),
                                         .count = 1 + random_below(&seed, 60),
                                         .bytes = 1 + random_below(&seed, 2000)};
        bh_value value, array;
        size_t size;
        random_value(&seed, &value, 4);
        void *buffer = write_exactly(&value, 1, NULL, &size);
        int rc = bh_wire_size(&value, 1, &limits, &size);
        int read_rc = bh_wire_view(&array, buffer, size, &limits, NULL);
        CHECK((rc == BH_OK) == (read_rc == BH_OK));
        CHECK(rc == BH_OK || rc == BH_E_DEPTH || rc == BH_E_TOO_LARGE);
        bh_value_deinit(&array);
        free(buffer);
        bh_value_deinit(&value);
    }
}

/* ---- what the writer refuses ---- */

TEST(the_writer_refuses_what_cannot_be_sent)
{
    bh_value handle = {.type = BH_HANDLE};
    bh_value nothing = {.type = 99};
    bh_value bad = bh_value_view("\xff");
    bh_value error = bh_value_view_error(1, "\xff");
    bh_value huge = {.type = BH_BYTES, .length = UINT64_C(1) << 32};
    struct bh_member member = {bh_value_int64(1), bh_value_null()};
    bh_value map = {.type = BH_MAP, .length = 1, .as.members = &member};
    size_t size = 77;

    CHECK_INT(bh_wire_size(&handle, 1, NULL, &size), BH_E_TYPE);
    CHECK_INT(bh_wire_size(&nothing, 1, NULL, &size), BH_E_TYPE);
    CHECK_INT(bh_wire_size(&bad, 1, NULL, &size), BH_E_UTF8);
    CHECK_INT(bh_wire_size(&error, 1, NULL, &size), BH_E_UTF8);
    CHECK_INT(bh_wire_size(&huge, 1, NULL, &size), BH_E_TOO_LARGE);
    CHECK_INT(bh_wire_size(&map, 1, NULL, &size), BH_E_TYPE);
    CHECK_INT(size, 77);
}

TEST(the_writer_never_passes_the_end_of_the_buffer)
{
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t seed = i;
        bh_value value;
        size_t size;
        random_value(&seed, &value, 3);
        CHECK_INT(bh_wire_size(&value, 1, NULL, &size), BH_OK);
        for (size_t room = 0; room < size; room++) {
            char *buffer = malloc(room ? room : 1);
            CHECK_INT(bh_wire_write(buffer, room, &value, 1), BH_E_TOO_LARGE);
            free(buffer);
        }
        bh_value_deinit(&value);
    }
}

TEST(a_bool_is_one_byte_of_its_union)
{
    bh_value value = {.type = BH_BOOL, .as.uint64 = UINT64_MAX};
    uint64_t buffer[2];

    value.as.boolean = true;
    CHECK_INT(bh_wire_write(buffer, sizeof(buffer), &value, 1), BH_OK);
    CHECK_INT(buffer[1], 1);
}

TEST(the_writer_survives_a_value_that_contains_itself)
{
    static uint64_t buffer[1 << 21]; /* enough for one header a level to run out of stack */
    bh_value items[1] = {bh_value_null()};
    size_t size;

    items[0] = bh_value_view_array(items, 1);
    CHECK_INT(bh_wire_size(items, 1, NULL, &size), BH_E_DEPTH);
    CHECK_INT(bh_wire_write(buffer, sizeof(buffer), items, 1), BH_E_TOO_LARGE);
}

/* ---- large maps ---- */

/* A map of `count` keys of four letters, in an order that is neither up nor down; `again` of them
 * is there twice. */
static void *large_map(uint32_t count, uint32_t again, size_t *size)
{
    size_t member = 24;
    *size = 8 + member * (count + 1);
    char *buffer = calloc(1, *size);
    uint32_t header[2] = {BH_MAP, count + 1};
    memcpy(buffer, header, 8);
    for (uint32_t i = 0; i <= count; i++) {
        uint32_t key[2] = {BH_STRING, 4};
        uint32_t number = i < count ? (uint32_t)((uint64_t)i * 7919 % count) : again;
        char *at = buffer + 8 + member * i;
        memcpy(at, key, 8);
        for (int c = 0; c < 4; c++)
            at[8 + c] = (char)('A' + (number >> 5 * c & 31));
    }
    return buffer;
}

TEST(a_key_twice_among_many_is_found_in_time)
{
    struct bh_problem problem;
    bh_value array;
    size_t size;

    for (uint32_t count = 1; count < 40; count++) {
        void *buffer = large_map(count, count / 2, &size);
        CHECK_INT(bh_wire_view(&array, buffer, size, NULL, NULL), BH_E_DUPLICATE);
        free(buffer);
        buffer = large_map(count, count, &size);
        CHECK_INT(bh_wire_view(&array, buffer, size, NULL, NULL), BH_OK);
        bh_value_deinit(&array);
        free(buffer);
    }
    void *buffer = large_map(500000, 12345, &size);
    CHECK_INT(bh_wire_view(&array, buffer, size, NULL, &problem), BH_E_DUPLICATE);
    CHECK_STR(problem.text, "byte 12000008: the map has this key twice");
    free(buffer);
    buffer = large_map(500000, 500000, &size);
    CHECK_INT(bh_wire_view(&array, buffer, size, NULL, &problem), BH_OK);
    CHECK_INT(array.as.items[0].length, 500001);
    bh_value_deinit(&array);
    free(buffer);
}

/* ---- no memory ---- */

static void *shared_buffer;
static size_t shared_size;

static bool view_shared(void)
{
    bh_value array;
    int rc = bh_wire_view(&array, shared_buffer, shared_size, NULL, NULL);

    CHECK(rc == BH_OK || (rc == BH_E_MEMORY && array.type == BH_NULL));
    bh_value_deinit(&array);
    return rc == BH_OK;
}

static bool read_shared(void)
{
    struct bh_problem problem = {0};
    bh_value array;
    int rc = bh_wire_read(&array, shared_buffer, shared_size, NULL, &problem);

    CHECK(rc == BH_OK || (rc == BH_E_MEMORY && array.type == BH_NULL));
    CHECK_INT(problem.code, rc);
    bh_value_deinit(&array);
    return rc == BH_OK;
}

TEST(a_refused_allocation_leaves_nothing_when_reading)
{
    shared_buffer = large_map(30, 30, &shared_size);
    CHECK_INT(fail_each_allocation(view_shared), 2); /* the tables and the scratch */
    CHECK(fail_each_allocation(read_shared) > 30);
    free(shared_buffer);
}
