/* SPDX-License-Identifier: MIT */
/**
 * @file utf8.h
 * Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing beyond U+10FFFF. U+0000 is a
 * character like any other.
 */
#ifndef BHI_UTF8_H
#define BHI_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The number of leading bytes that are whole, valid characters. `text` may be NULL with length 0.
 */
size_t bhi_utf8_valid_prefix(const char *text, size_t length);

/** Whether all `length` bytes are valid. */
bool bhi_utf8_valid(const char *text, size_t length);

/** Whether the bytes (at least one) are the beginning of one valid character that lacks its end. */
bool bhi_utf8_is_cut(const char *text, size_t length);

/** Writes a code point, at most U+10FFFF and no surrogate. @return bytes written, 1 to 4 */
size_t bhi_utf8_encode(uint32_t point, char out[4]);

#endif
