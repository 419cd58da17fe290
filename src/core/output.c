/* SPDX-License-Identifier: MIT */
/*
 * The tail of a worker's output.
 *
 * Model: a stream of bytes, numbered from 0, of which the buffer holds the last `length`. Marks cut
 * the stream into chunks; a mark's chunk ends where the next one starts. The buffer has room for
 * twice the promised tail, so that making room moves each byte at most once per `limit` bytes read.
 *
 * Invariants: total >= length; marks ascend by start; the last mark starts before total.
 */
#include "output.h"

#include "alloc.h"

#include <string.h>

void bhi_output_init(struct bhi_output *output, size_t limit)
{
    memset(output, 0, sizeof(*output));
    output->limit = limit;
}

void bhi_output_deinit(struct bhi_output *output)
{
    bhi_free(output->buffer);
    memset(output, 0, sizeof(*output));
}

/* Extends the last chunk when the range is the same, else begins a new one. */
static void add_mark(struct bhi_output *output, uint64_t first_serial, uint64_t last_serial)
{
    struct bhi_output_mark *marks = output->marks;
    size_t count = output->mark_count;

    if (count > 0 && marks[count - 1].first_serial == first_serial &&
        marks[count - 1].last_serial == last_serial)
        return;
    if (count == BHI_OUTPUT_MARKS) {
        marks[0].last_serial = marks[1].last_serial;
        memmove(&marks[1], &marks[2], (count - 2) * sizeof(marks[0]));
        count--;
    }
    marks[count].first_serial = first_serial;
    marks[count].last_serial = last_serial;
    marks[count].start = output->total;
    output->mark_count = count + 1;
}

/* Keeps the last `limit` bytes only. */
static void compact(struct bhi_output *output)
{
    size_t surplus = output->length - output->limit;

    memmove(output->buffer, output->buffer + surplus, output->limit);
    output->length = output->limit;
}

void bhi_output_append(struct bhi_output *output, const char *bytes, size_t length,
                       uint64_t first_serial, uint64_t last_serial)
{
    if (length == 0)
        return;
    if (!output->buffer && output->limit > 0)
        output->buffer = bhi_alloc(2 * output->limit);
    if (!output->buffer) {
        output->total += length;
        return;
    }
    add_mark(output, first_serial, last_serial);
    output->total += length;
    if (length > output->limit) {
        bytes += length - output->limit;
        length = output->limit;
        output->length = 0;
    }
    if (output->length + length > 2 * output->limit)
        compact(output);
    memcpy(output->buffer + output->length, bytes, length);
    output->length += length;
}

/* Fills in the chunks that still have bytes in the tail, which begins at `from` in the stream. */
static size_t store_chunks(const struct bhi_output *output, uint64_t from,
                           struct bh_output_chunk *chunks)
{
    size_t stored = 0;

    for (size_t i = 0; i < output->mark_count; i++) {
        const struct bhi_output_mark *mark = &output->marks[i];
        uint64_t end = i + 1 < output->mark_count ? mark[1].start : output->total;
        uint64_t start = mark->start > from ? mark->start : from;
        if (end <= start)
            continue;
        chunks[stored].first_serial = mark->first_serial;
        chunks[stored].last_serial = mark->last_serial;
        chunks[stored].offset = (size_t)(start - from);
        chunks[stored].length = (size_t)(end - start);
        stored++;
    }
    return stored;
}

int bhi_output_store(const struct bhi_output *output, struct bh_death *death)
{
    size_t length = output->length < output->limit ? output->length : output->limit;

    death->output_dropped = output->total;
    if (length == 0)
        return BH_OK;
    char *text = bhi_alloc(length + 1);
    struct bh_output_chunk *chunks = bhi_alloc(output->mark_count * sizeof(*chunks));
    if (!text || !chunks) {
        bhi_free(text);
        bhi_free(chunks);
        return BH_E_MEMORY;
    }
    memcpy(text, output->buffer + output->length - length, length);
    text[length] = '\0';
    death->output = text;
    death->output_length = length;
    death->output_dropped = output->total - length;
    death->chunks = chunks;
    death->chunk_count = store_chunks(output, output->total - length, chunks);
    return BH_OK;
}
