/* SPDX-License-Identifier: MIT */
/**
 * @file value_internal.h
 * What the files of the values room share: the tables behind containers, the limits, raw blocks.
 */
#ifndef BHI_VALUE_INTERNAL_H
#define BHI_VALUE_INTERNAL_H

#include <bulkhead/value.h>

/** How deep any reader or writer goes, whatever the limits say. */
#define BHI_DEPTH_MAX 256u

/** bh_wire_view() puts an array around values of the greatest depth; copying and comparing reach
 * that far. */
#define BHI_DEPTH_MESSAGE (BHI_DEPTH_MAX + 1u)

/** `capacity` of a table whose block holds other tables too (bh_wire_view()): it never grows, and
 * freeing it frees them all, none of whose values own anything. */
#define BHI_TABLE_FROZEN UINT64_MAX

/**
 * The block behind a container that owns its table. `values` are an array's items, or a map's
 * members laid flat: key, value, key, value.
 */
struct bhi_table {
    union {
        uint64_t capacity; /**< in values, or BHI_TABLE_FROZEN */
        bh_value *up;      /**< only while bh_value_deinit() walks: see there */
    } link;
    bh_value values[];
};

/** Zeros replaced by the defaults, depth cut to BHI_DEPTH_MAX. `limits` may be NULL. */
struct bh_value_limits bhi_limits(const struct bh_value_limits *limits);

/** The size of one element of a type whose payload is a block: string, bytes, error text, typed
 * array. 0 for every other type. */
size_t bhi_element_size(unsigned type);

/**
 * Makes *out an owning value of a block type with room for `count` elements, contents not set; a
 * zero byte follows them.
 * @param[out] data where the elements go
 * @return BH_OK, or BH_E_MEMORY with *out null
 */
int bhi_value_alloc(bh_value *out, unsigned type, uint64_t count, void **data);

/** The same, with the elements copied from `data`. */
int bhi_value_new(bh_value *out, unsigned type, const void *data, uint64_t count);

/** Whether it is an array or a map. */
bool bhi_is_container(const bh_value *value);

/** A container's values laid flat, and how many: a map's member is two. */
bh_value *bhi_container_values(const bh_value *container);
uint64_t bhi_container_count(const bh_value *container);

/** The table of a container that owns one and is not empty-born; else NULL. */
struct bhi_table *bhi_container_table(const bh_value *container);

/** Allocates a table for `count` values (at least 1). NULL when there is no memory. */
struct bhi_table *bhi_table_new(uint64_t count);

/** Makes an empty container that owns `table`. */
void bhi_container_adopt(bh_value *container, struct bhi_table *table);

/**
 * Appends a map's member without looking for an equal key, and takes both values (they become
 * null).
 * @return BH_OK, or BH_E_TYPE or BH_E_MEMORY with everything as it was
 */
int bhi_map_append(bh_value *map, bh_value *key, bh_value *item);

/** Whether the key, a BH_STRING, has these bytes. */
bool bhi_key_is(const bh_value *key, const char *text, size_t length);

#endif
