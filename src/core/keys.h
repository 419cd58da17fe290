/* SPDX-License-Identifier: MIT */
/**
 * @file keys.h
 * Finding a duplicate key in a map that somebody else has made.
 */
#ifndef BHI_KEYS_H
#define BHI_KEYS_H

#include <bulkhead/value.h>

/** What is sorted instead of a key. */
struct bhi_key_entry {
    uint64_t hash;
    const bh_value *key;
};

/**
 * Allocates the scratch that maps of up to `members` members need; to be freed with bhi_free().
 * @param[out] scratch NULL when so few need none
 * @return BH_OK or BH_E_MEMORY
 */
int bhi_keys_scratch(uint64_t members, struct bhi_key_entry **scratch);

/**
 * Looks for a key that is in the map twice.
 * @param scratch from bhi_keys_scratch() for at least as many members
 * @return a key that an earlier one equals, NULL if there is none
 */
const bh_value *bhi_keys_duplicate(const bh_value *map, struct bhi_key_entry *scratch);

#endif
