/* SPDX-License-Identifier: MIT */
/**
 * @file variant_internal.h
 * What the files that translate VARIANTs share: the shapes that only this library makes, types of
 * VARIANTs, exact numbers, checked SAFEARRAYs.
 */
#ifndef BHW_VARIANT_INTERNAL_H
#define BHW_VARIANT_INTERNAL_H

#include "variant.h"

#include "core/value_internal.h"

/*
 * The shapes of docs/windows-values.md that no type of VARIANT has by itself. Extents are written
 * as a script counts them, the first index first.
 *
 *   map        VT_VARIANT, n × 2: a key in the first column, its value in the second
 *   error      VT_VARIANT, 1 × 1 × 2: VT_ERROR code, VT_BSTR text
 *   reference  VT_VARIANT, 1 × 1 × 3: VT_UI1 type, VT_UI8 bytes, VT_UI8 name
 *   timestamp  VT_I8, 1 × 1 × 1: milliseconds; only those that no VT_DATE can hold
 */
#define BHW_MAP_COLUMNS 2u
#define BHW_ERROR_PARTS 2u
#define BHW_REFERENCE_PARTS 3u

/** The widest SAFEARRAY that is read or written. */
#define BHW_DIMENSIONS_MAX 3u

/* ---- types of VARIANTs: variant_type.c ---- */

/** The size of one element of a plain type, BSTR or VARIANT; 0 for types that are not supported. */
size_t bhw_vartype_size(VARTYPE vt);

/** The name of a type with its flags, "VT_BYREF|VT_ARRAY|VT_I4". @return `text` */
const char *bhw_vartype_name(VARTYPE vt, char text[64]);

/* ---- exact numbers: variant_number.c ---- */

/**
 * Reads a type that is neither VT_BSTR, VT_VARIANT nor an array.
 * @param      data any alignment
 * @param[out] why  on failure: what is wrong with it, to stand behind the type's name
 * @return BH_OK, BH_E_RANGE, BH_E_SYNTAX, BH_E_TYPE (not supported)
 */
int bhw_number_read(bh_value *out, VARTYPE vt, const void *data, const char **why);

/** The VT_DATE that bhw_number_read() reads as exactly this timestamp. @return false: there is none
 */
bool bhw_date_from_ms(int64_t ms, DATE *date);

/* ---- SAFEARRAYs from outside: variant_array.c ---- */

/** A SAFEARRAY whose description is sound. */
struct bhw_array {
    VARTYPE vt;                         /**< of the elements */
    unsigned dimensions;                /**< 1 to BHW_DIMENSIONS_MAX */
    size_t extents[BHW_DIMENSIONS_MAX]; /**< the first index first */
    size_t count;                       /**< elements in all, the first index running fastest */
    size_t size;                        /**< of an element */
    int64_t lower;                      /**< the first index's lowest value */
    const unsigned char *data;          /**< may be NULL when count is 0 */
};

/**
 * Checks a description and copies what is needed of it; reads no element.
 * @param      vt  what the VARIANT says that the elements are
 * @param      psa NULL is an empty array, as Visual Basic passes one that has no bounds yet
 * @param[out] why on failure: what is wrong
 * @return BH_OK, BH_E_TYPE, BH_E_SYNTAX, BH_E_TOO_LARGE
 */
int bhw_array_open(struct bhw_array *out, VARTYPE vt, const SAFEARRAY *psa, const char **why);

/** Whether it has exactly these three extents. */
bool bhw_array_is(const struct bhw_array *array, VARTYPE vt, size_t a, size_t b, size_t c);

/** The address of an element. */
const void *bhw_array_at(const struct bhw_array *array, size_t index);

/** The type whose payload a one-dimensional array of plain elements becomes, BH_I32_ARRAY for
 * VT_I2; BH_ARRAY when no typed array holds it exactly. */
unsigned bhw_array_type(VARTYPE vt);

/** Copies all elements to `to`, an array of bhw_array_type()'s elements, widening each. */
void bhw_array_copy(const struct bhw_array *array, void *to);

#endif
