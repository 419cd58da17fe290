/* SPDX-License-Identifier: MIT */
/*
 * The tail of a worker's output: the right bytes, each with the requests that could have written
 * it.
 */
#include "check.h"
#include "failing_alloc.h"

#include "core/output.h"

#include <stdio.h>

static void append(struct bhi_output *output, const char *text, uint64_t first, uint64_t last)
{
    bhi_output_append(output, text, strlen(text), first, last);
}

/* Stores, checks what must hold of every record, and gives it to the caller. */
static struct bh_death store(const struct bhi_output *output)
{
    struct bh_death death = {0};
    size_t at = 0;

    CHECK_INT(bhi_output_store(output, &death), BH_OK);
    for (size_t i = 0; i < death.chunk_count; i++) {
        CHECK_INT(death.chunks[i].offset, at);
        CHECK(death.chunks[i].length > 0);
        CHECK(death.chunks[i].first_serial <= death.chunks[i].last_serial);
        at += death.chunks[i].length;
    }
    CHECK_INT(at, death.output_length);
    CHECK_INT(death.output_dropped + death.output_length, output->total);
    if (death.output)
        CHECK_INT(death.output[death.output_length], 0);
    return death;
}

TEST(what_was_written_is_kept_with_its_range)
{
    struct bhi_output output;

    bhi_output_init(&output, 100);
    append(&output, "start ", 0, 0);
    append(&output, "one ", 1, 1);
    append(&output, "more ", 1, 1);
    append(&output, "either", 1, 2);
    struct bh_death death = store(&output);
    CHECK_STR(death.output, "start one more either");
    CHECK_INT(death.chunk_count, 3);
    CHECK_INT(death.chunks[1].first_serial, 1);
    CHECK_INT(death.chunks[1].last_serial, 1);
    CHECK_INT(death.chunks[1].length, 9);
    CHECK_INT(death.chunks[2].last_serial, 2);
    bh_death_deinit(&death);
    bhi_output_deinit(&output);
}

TEST(silence_leaves_no_output)
{
    struct bhi_output output;

    bhi_output_init(&output, 100);
    append(&output, "", 1, 1);
    struct bh_death death = store(&output);
    CHECK_STR(death.output, NULL);
    CHECK_INT(death.chunk_count, 0);
    bhi_output_deinit(&output);
}

TEST(only_the_tail_is_kept)
{
    struct bhi_output output;

    bhi_output_init(&output, 4);
    append(&output, "abcdef", 1, 1);
    append(&output, "gh", 2, 2);
    struct bh_death death = store(&output);
    CHECK_STR(death.output, "efgh");
    CHECK_INT(death.output_dropped, 4);
    CHECK_INT(death.chunk_count, 2);
    CHECK_INT(death.chunks[0].last_serial, 1);
    CHECK_INT(death.chunks[0].length, 2);
    bh_death_deinit(&death);
    append(&output, "0123456789", 3, 3);
    death = store(&output);
    CHECK_STR(death.output, "6789");
    CHECK_INT(death.chunk_count, 1);
    CHECK_INT(death.chunks[0].first_serial, 3);
    bh_death_deinit(&death);
    bhi_output_deinit(&output);
}

TEST(a_tail_of_nothing_only_counts)
{
    struct bhi_output output;

    bhi_output_init(&output, 0);
    append(&output, "abc", 1, 1);
    struct bh_death death = store(&output);
    CHECK_STR(death.output, NULL);
    CHECK_INT(death.output_dropped, 3);
    bhi_output_deinit(&output);
}

/* Byte i of the stream, so that any tail can be told. */
static char letter(uint64_t i)
{
    return (char)('a' + i * 7 % 26);
}

TEST(any_pieces_give_the_same_tail)
{
    for (size_t limit = 1; limit <= 20; limit += 3) {
        struct bhi_output output;
        uint64_t total = 0;
        bhi_output_init(&output, limit);
        for (uint64_t piece = 1; piece < 200; piece++) {
            char text[64];
            size_t length = piece * 5 % 47;
            for (size_t i = 0; i < length; i++)
                text[i] = letter(total + i);
            bhi_output_append(&output, text, length, piece, piece);
            total += length;
            struct bh_death death = store(&output);
            CHECK_INT(death.output_length, total < limit ? total : limit);
            for (size_t i = 0; i < death.output_length; i++)
                CHECK_INT(death.output[i], letter(total - death.output_length + i));
            bh_death_deinit(&death);
        }
        bhi_output_deinit(&output);
    }
}

TEST(too_many_marks_merge_the_oldest_into_a_wider_range)
{
    struct bhi_output output;

    bhi_output_init(&output, 1000);
    for (uint64_t serial = 1; serial <= BHI_OUTPUT_MARKS + 5; serial++)
        append(&output, "x", serial, serial);
    struct bh_death death = store(&output);
    CHECK_INT(death.chunk_count, BHI_OUTPUT_MARKS);
    CHECK_INT(death.chunks[0].first_serial, 1);
    CHECK_INT(death.chunks[0].last_serial, 6);
    CHECK_INT(death.chunks[0].length, 6);
    CHECK_INT(death.chunks[1].first_serial, 7);
    CHECK_INT(death.chunks[BHI_OUTPUT_MARKS - 1].last_serial, BHI_OUTPUT_MARKS + 5);
    bh_death_deinit(&death);
    bhi_output_deinit(&output);
}

static bool keep_and_store(void)
{
    struct bhi_output output;
    struct bh_death death = {0}, copy = {0};

    bhi_output_init(&output, 10);
    append(&output, "first", 1, 1);
    append(&output, "second", 2, 2);
    CHECK_INT(output.total, 11);
    bool stored = bhi_output_store(&output, &death) == BH_OK && death.output;
    CHECK_INT(death.output_dropped + death.output_length, 11);
    bool copied = bh_death_copy(&copy, &death) == BH_OK;
    if (stored && copied)
        CHECK_STR(copy.output, death.output);
    bh_death_deinit(&copy);
    bh_death_deinit(&death);
    bhi_output_deinit(&output);
    return stored && copied && !heap.refused;
}

TEST(without_memory_bytes_are_counted_and_nothing_leaks)
{
    fail_each_allocation(keep_and_store);
}
