/* SPDX-License-Identifier: MIT */
/**
 * @file flaky.h
 * What flaky and its worker agree on: who crashes when and how, and what an answer must be.
 *
 * Nothing is left to chance: every decision is a hash of the seed, of what it is about, and of a
 * number, so that a run can be repeated and its sums predicted.
 */
#ifndef FLAKY_H
#define FLAKY_H

#include "kinds.h" /* each system has its own */

#include <stddef.h>
#include <stdint.h>

/** The ways to crash that this system has. */
enum flaky_kind {
    FLAKY_NONE = -1,
#define FLAKY_ENUM(name, cause) FLAKY_KIND_##name,
    FLAKY_KINDS(FLAKY_ENUM)
#undef FLAKY_ENUM
        FLAKY_KIND_COUNT
};

/** What a decision is about. */
enum flaky_subject { FLAKY_REQUEST = 1, FLAKY_START = 2, FLAKY_IDLE = 3 };

/** Spreads a number over 64 bits (the finaliser of splitmix64). */
static inline uint64_t flaky_mix(uint64_t number)
{
    number += UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

/** Whether, and how, to crash. @param per_million how often */
static inline int flaky_decide(uint64_t seed, enum flaky_subject subject, uint64_t number,
                               uint64_t per_million)
{
    uint64_t random = flaky_mix(flaky_mix(seed ^ (uint64_t)subject << 60) ^ number);

    if (random % 1000000 >= per_million)
        return FLAKY_NONE;
    return (int)(flaky_mix(random) % FLAKY_KIND_COUNT);
}

/** The answer to a request: a hash of all its bytes (FNV-1a). */
static inline uint64_t flaky_answer(uint64_t number, const uint8_t *bytes, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ number;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

#endif
