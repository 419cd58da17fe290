/* SPDX-License-Identifier: MIT */
/**
 * @file partial_words.h
 * The words by which a worker publishes partial replies, equal on both systems. Fixed-width fields
 * only: a worker of another bitness sees the same.
 *
 * There are two places for data. The worker writes what is new into the one that does not hold the
 * last complete partial reply, then `place` of it, and `count` last: so a worker that is killed in
 * the midst of it leaves the last complete one as it was. Partial reply number n, from 1, is in
 * place n % 2.
 */
#ifndef BHI_PARTIAL_WORDS_H
#define BHI_PARTIAL_WORDS_H

#include <stdatomic.h>
#include <stdint.h>

struct bhi_partial_place {
    uint64_t serial; /* of the request that it belongs to */
    uint64_t length; /* bytes: the wire form of exactly one value */
};

struct bhi_partial_words {
    _Atomic uint64_t count; /* published in the worker's life; stored last */
    uint64_t reserved;
    struct bhi_partial_place place[2];
};

_Static_assert(sizeof(struct bhi_partial_words) == 48, "both bitnesses see the same");

#endif
