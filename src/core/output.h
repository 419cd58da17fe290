/* SPDX-License-Identifier: MIT */
/**
 * @file output.h
 * The end of what a worker wrote, each piece with the range of requests that could have written it.
 */
#ifndef BHI_OUTPUT_H
#define BHI_OUTPUT_H

#include <bulkhead/pool.h>

/** Marks kept at most; beyond them the two oldest are merged into one with the wider range. */
#define BHI_OUTPUT_MARKS 32

struct bhi_output_mark {
    uint64_t first_serial;
    uint64_t last_serial;
    uint64_t start; /* in the stream of all bytes ever written; it ends where the next one starts */
};

/** Belongs to the supervisor; no locks. */
struct bhi_output {
    char *buffer;   /* twice `limit` bytes, allocated with the first byte; NULL before */
    size_t limit;   /* bytes of tail that are promised */
    size_t length;  /* bytes in the buffer: the last `length` of the stream */
    uint64_t total; /* bytes of the stream */
    struct bhi_output_mark marks[BHI_OUTPUT_MARKS];
    size_t mark_count;
};

/** An empty tail of at most `limit` bytes; 0 keeps nothing but the count. */
void bhi_output_init(struct bhi_output *output, size_t limit);
void bhi_output_deinit(struct bhi_output *output);

/** Appends a chunk that requests first … last could have written. Without memory the bytes are only
 * counted. */
void bhi_output_append(struct bhi_output *output, const char *bytes, size_t length,
                       uint64_t first_serial, uint64_t last_serial);

/** Copies tail, marks and count of dropped bytes into the record. BH_OK or BH_E_MEMORY (then the
 * record has no output, but says how much was dropped). */
int bhi_output_store(const struct bhi_output *output, struct bh_death *death);

#endif
