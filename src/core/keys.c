/* SPDX-License-Identifier: MIT */
/*
 * Finding duplicate keys in time that a hostile sender cannot stretch.
 *
 * Model: a few keys are compared pairwise. More are merge-sorted by hash, length and bytes, and
 * then equal ones are neighbours. The hash only makes comparing cheap; it needs no secret seed,
 * because a sender who makes all hashes collide still gets n log n comparisons and no more. qsort()
 * would not do: it is quadratic in some C libraries. Long keys are compared only where lengths are
 * equal, so that the sender pays for each byte that is read.
 *
 * Invariants: the members themselves stay in their order; of equal keys the later one is reported,
 * since the sort is stable.
 */
#include "keys.h"
#include "alloc.h"

#include <string.h>

/* Up to so many members, pairs are cheaper than a sort. */
#define FEW 16

int bhi_keys_scratch(uint64_t members, struct bhi_key_entry **scratch)
{
    *scratch = NULL;
    if (members <= FEW)
        return BH_OK;
    if (members > SIZE_MAX / (2 * sizeof(**scratch)))
        return BH_E_MEMORY;
    /* the second half is what the sort merges into */
    *scratch = bhi_alloc((size_t)members * 2 * sizeof(**scratch));
    return *scratch ? BH_OK : BH_E_MEMORY;
}

static int compare_keys(const bh_value *a, const bh_value *b)
{
    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    return a->length == 0 ? 0 : memcmp(a->as.string, b->as.string, (size_t)a->length);
}

static int compare(const struct bhi_key_entry *a, const struct bhi_key_entry *b)
{
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return compare_keys(a->key, b->key);
}

/* FNV-1a. */
static uint64_t hash_of(const bh_value *key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (uint64_t i = 0; i < key->length; i++)
        hash = (hash ^ key->as.bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Merges from[begin, middle) and from[middle, end), both sorted, into the same places of `to`. */
static void merge(const struct bhi_key_entry *from, struct bhi_key_entry *to, size_t begin,
                  size_t middle, size_t end)
{
    size_t left = begin;
    size_t right = middle;

    for (size_t at = begin; at < end; at++) {
        bool take_left = right == end || (left < middle && compare(&from[left], &from[right]) <= 0);
        to[at] = take_left ? from[left++] : from[right++];
    }
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Sorts bottom up, merging to and fro between the two halves of the scratch.
 * @return the half that holds the result */
static const struct bhi_key_entry *sort(struct bhi_key_entry *entries, size_t count)
{
    struct bhi_key_entry *from = entries;
    struct bhi_key_entry *to = entries + count;

    for (size_t width = 1; width < count; width *= 2) {
        for (size_t begin = 0; begin < count; begin += 2 * width)
            merge(from, to, begin, least(begin + width, count), least(begin + 2 * width, count));
        struct bhi_key_entry *sorted = to;
        to = from;
        from = sorted;
    }
    return from;
}

static const bh_value *duplicate_by_pairs(const struct bh_member *members, uint64_t count)
{
    for (uint64_t i = 1; i < count; i++) {
        for (uint64_t j = 0; j < i; j++) {
            if (compare_keys(&members[i].key, &members[j].key) == 0)
                return &members[i].key;
        }
    }
    return NULL;
}

const bh_value *bhi_keys_duplicate(const bh_value *map, struct bhi_key_entry *scratch)
{
    const struct bh_member *members = map->as.members;
    size_t count = (size_t)map->length;

    if (count <= FEW)
        return duplicate_by_pairs(members, count);
    for (size_t i = 0; i < count; i++)
        scratch[i] = (struct bhi_key_entry){hash_of(&members[i].key), &members[i].key};
    const struct bhi_key_entry *sorted = sort(scratch, count);
    for (size_t i = 1; i < count; i++) {
        if (compare(&sorted[i - 1], &sorted[i]) == 0)
            return sorted[i].key;
    }
    return NULL;
}
