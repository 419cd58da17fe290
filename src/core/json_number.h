/* SPDX-License-Identifier: MIT */
/**
 * @file json_number.h
 * Numbers as JSON text, both ways, exact and whatever the process's locale.
 */
#ifndef BHI_JSON_NUMBER_H
#define BHI_JSON_NUMBER_H

#include <bulkhead/value.h>

/** Room for any text that a function here writes; none is NUL-terminated. */
#define BHI_NUMBER_ROOM 40

/** Each writes the decimal digits, with a '-' if need be. @return bytes written */
size_t bhi_number_write_uint64(char *out, uint64_t number);
size_t bhi_number_write_int64(char *out, int64_t number);

/** Whether the bits are those of a number: no NaN and no infinity. */
bool bhi_number_is_finite(double number);
bool bhi_number_is_finite_float(float number);

/**
 * The shortest decimal that bhi_number_read() reads back as the same bits; with '.' or 'e'. For a
 * float: that reads as a double which rounds to the same float. The number must be finite.
 * @return bytes written
 */
size_t bhi_number_write_double(char *out, double number);
size_t bhi_number_write_float(char *out, float number);

/** What JSON has no number for: "inf", "-inf", "nan:" and the bits as 16 (float: 8) hexadecimal
 * digits. @return bytes written */
size_t bhi_number_write_special(char *out, double number);
size_t bhi_number_write_special_float(char *out, float number);

/** Reads exactly what the two above write. @return false for any other text */
bool bhi_number_read_special(const char *text, size_t length, double *out);
bool bhi_number_read_special_float(const char *text, size_t length, float *out);

/** Reads what bhi_number_write_uint64() writes, and nothing else. */
bool bhi_number_read_uint64(const char *text, size_t length, uint64_t *out);

/**
 * Reads the JSON number that `text` begins with: an int64, else a uint64, when it has neither '.'
 * nor 'e'; else a double, correctly rounded.
 * @param[out] used bytes of the number, or where it stops being one
 * @return BH_OK, BH_E_SYNTAX, BH_E_RANGE (beyond uint64, int64 or the doubles)
 */
int bhi_number_read(const char *text, size_t length, size_t *used, bh_value *out);

#endif
