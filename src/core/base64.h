/* SPDX-License-Identifier: MIT */
/**
 * @file base64.h
 * Base64 as in RFC 4648, section 4: the standard alphabet, always padded, no line breaks.
 */
#ifndef BHI_BASE64_H
#define BHI_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/** Encodes up to three bytes (at least one) into four characters. */
void bhi_base64_encode(const unsigned char *bytes, size_t count, char out[4]);

/**
 * The number of bytes that the text stands for.
 * @return false when its length or its padding cannot be right
 */
bool bhi_base64_size(const char *text, size_t length, size_t *size);

/** Decodes into `out`, as many bytes as bhi_base64_size() said. @return false for a character
 * outside the alphabet, or unused bits that are not zero: two texts never stand for the same bytes
 */
bool bhi_base64_decode(const char *text, size_t length, unsigned char *out);

#endif
