/* SPDX-License-Identifier: MIT */
/**
 * @file table.h
 * A worker's method table: checked once, then announced to the dispatcher or shown to a person.
 */
#ifndef BHI_TABLE_H
#define BHI_TABLE_H

#include <bulkhead/worker.h>

#include <stdio.h>

/**
 * Counts the methods and checks them: names that are UTF-8 and unique, handlers that exist.
 * @return BH_OK, or another code with `problem` filled
 */
int bhi_table_check(const struct bh_method *methods, uint32_t *count, struct bh_problem *problem);

/** The table as the dispatcher gets it: an array of maps {name, help}. *out is owned by the caller,
 * null on failure. @return BH_OK, BH_E_MEMORY */
int bhi_table_value(const struct bh_method *methods, uint32_t count, bh_value *out);

/** Writes one line for each method. */
void bhi_table_print(const struct bh_method *methods, uint32_t count, FILE *out);

#endif
