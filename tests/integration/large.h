/* SPDX-License-Identifier: MIT */
/**
 * @file large.h
 * What large_worker.c and its tests know together.
 */
#ifndef BH_TESTS_LARGE_H
#define BH_TESTS_LARGE_H

#include "check.h"

#include <bulkhead/bulkhead.h>

#include <string.h>

#define LARGE_DEADLINE_MS 10000

static inline unsigned char large_byte(unsigned seed, size_t i)
{
    return (unsigned char)(i ^ i >> 8 ^ i >> 16 ^ seed * 37u);
}

static inline void large_fill(void *at, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)at)[i] = large_byte(seed, i);
}

/** Bytes behind a value's pointer; 0 for types that have none. */
static inline size_t large_payload(const bh_value *value)
{
    switch (value->type) {
    case BH_STRING:
    case BH_BYTES:
        return (size_t)value->length;
    case BH_I32_ARRAY:
    case BH_F32_ARRAY:
        return (size_t)value->length * 4;
    case BH_I64_ARRAY:
    case BH_F64_ARRAY:
        return (size_t)value->length * 8;
    default:
        return 0;
    }
}

static inline int64_t large_sum(const void *at, size_t size)
{
    int64_t total = 0;

    for (size_t i = 0; i < size; i++)
        total += ((const unsigned char *)at)[i];
    return total;
}

#endif
