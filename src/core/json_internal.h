/* SPDX-License-Identifier: MIT */
/**
 * @file json_internal.h
 * Between the two halves of the JSON reader. The parser makes a *raw* tree: what JSON says, markers
 * still objects. Resolving markers makes the values of it. While a tree is raw, each value's `code`
 * (which only errors use) holds where in the text it begins, so that both halves can say where.
 */
#ifndef BHI_JSON_INTERNAL_H
#define BHI_JSON_INTERNAL_H

#include "value_internal.h"

/** The text being read. */
struct bhi_json_text {
    const char *text;
    size_t length;
    struct bh_value_limits limits; /**< resolved */
    struct bh_problem *problem;    /**< may be NULL */
};

/** An offset too large for `code`: the place is not known. */
#define BHI_JSON_NOWHERE SIZE_MAX

/** Records a problem with the line and column of the offset. @return code */
int bhi_json_fail(const struct bhi_json_text *json, int code, size_t offset, const char *format,
                  ...) BH_PRINTF(4, 5);

/** Notes where a raw value begins; and reads it back. */
void bhi_json_set_offset(bh_value *raw, size_t offset);
size_t bhi_json_offset(const bh_value *raw);

/** Whether an object is to be read as a marker, a map to be written as one inside another: exactly
 * one member, whose key starts with '$'. */
bool bhi_json_looks_like_marker(const bh_value *map);

/**
 * Turns a raw tree into the value it stands for, in place.
 * @return BH_OK, or an error with *value still fit for bh_value_deinit() and for nothing else
 */
int bhi_json_resolve(const struct bhi_json_text *json, bh_value *value);

#endif
