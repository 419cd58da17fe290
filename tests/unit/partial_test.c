/* SPDX-License-Identifier: MIT */
/*
 * Partial replies in two places: what a killed or a lying writer leaves behind.
 */
#include "check.h"

#include "core/partial.h"

#include <string.h>

#define ROOM 64

static struct bhi_partial_words words;
static _Alignas(8) unsigned char data[2 * ROOM];

static void put(uint64_t serial, int64_t number)
{
    bh_value value = bh_value_int64(number);

    CHECK_INT(bhi_partial_put(&words, data, ROOM, ROOM, serial, &value), BH_OK);
}

/* The number that is there, or -1. */
static int64_t take(uint64_t serial)
{
    bh_value value;
    int64_t number = -1;

    if (!bhi_partial_take(&words, data, ROOM, serial, &value))
        return -1;
    if (bh_value_get_int64(&value, &number) != BH_OK)
        number = -2;
    bh_value_deinit(&value);
    return number;
}

TEST(the_last_one_of_the_serial_counts)
{
    CHECK_INT(take(0), -1);
    CHECK_INT(take(5), -1);
    for (int64_t i = 1; i < 6; i++) {
        put(5, i);
        CHECK_INT(take(5), i);
    }
    CHECK_INT(take(4), -1);
    put(6, 1);
    CHECK_INT(take(5), -1);
    CHECK_INT(take(6), 1);
}

TEST(what_is_being_written_does_not_touch_the_last_one)
{
    put(5, 1);
    put(5, 2);
    /* As one that is killed in the midst of number 3: everything but the count. */
    uint64_t count = atomic_load(&words.count);
    memset(data + (count + 1) % 2 * ROOM, 0xee, ROOM);
    words.place[(count + 1) % 2] = (struct bhi_partial_place){5, ROOM};
    CHECK_INT(take(5), 2);
}

TEST(the_last_one_is_not_written_over)
{
    put(5, 1);
    for (int64_t i = 2; i < 6; i++) {
        unsigned char before[ROOM];
        uint64_t at = atomic_load(&words.count) % 2;
        struct bhi_partial_place place = words.place[at];
        memcpy(before, data + at * ROOM, ROOM);
        put(5, i);
        CHECK_BYTES(before, data + at * ROOM, ROOM);
        CHECK_BYTES(&place, &words.place[at], sizeof(place));
    }
}

TEST(one_that_does_not_fit_leaves_the_one_before)
{
    static const char text[2 * ROOM];
    bh_value value;

    put(5, 7);
    CHECK_INT(bh_value_new_string(&value, text, sizeof(text)), BH_OK);
    CHECK_INT(bhi_partial_put(&words, data, ROOM, ROOM, 5, &value), BH_E_TOO_LARGE);
    bh_value_deinit(&value);
    CHECK_INT(take(5), 7);
}

TEST(nonsense_is_none)
{
    memset(&words, 0, sizeof(words));
    memset(data, 0, sizeof(data));
    put(5, 7);
    uint64_t at = atomic_load(&words.count) % 2;
    static const uint64_t lengths[] = {0, 1, 8, ROOM, ROOM + 1, UINT64_MAX, UINT64_MAX - 7};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        words.place[at].length = lengths[i];
        CHECK_INT(take(5), -1);
    }
    words.place[at].length = 16;
    CHECK_INT(take(5), 7);
    memset(data + at * ROOM, 0xee, ROOM);
    CHECK_INT(take(5), -1);
    atomic_store(&words.count, UINT64_MAX - 1);
    CHECK_INT(take(5), -1);
}
