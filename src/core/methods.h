/* SPDX-License-Identifier: MIT */
/**
 * @file methods.h
 * The table of methods that a worker announces, for the platforms.
 */
#ifndef BHI_METHODS_H
#define BHI_METHODS_H

#include <bulkhead/value.h>

/** A method table with an index by name. Zeroed: empty, with a null list. */
struct bhi_methods {
    bh_value list;   /* array of {name, help}; owned */
    uint32_t *slots; /* open addressing, power of two; 0: empty, else position + 1 */
    uint32_t mask;
};

/** Checks `list`, which the caller has filled in, and makes the index. @return BH_OK, or an error
 * whose text goes on a sentence about the table; then only bhi_methods_deinit() is left */
int bhi_methods_index(struct bhi_methods *methods, struct bh_problem *problem);
/** Position of a method, or -1. Any thread, once it is indexed. */
int64_t bhi_methods_find(const struct bhi_methods *methods, const char *name);
/** Frees what it owns; it is empty then. */
void bhi_methods_deinit(struct bhi_methods *methods);

#endif
