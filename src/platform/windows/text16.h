/* SPDX-License-Identifier: MIT */
/**
 * @file text16.h
 * UTF-8 and UTF-16, both strict: no unpaired surrogates, and U+0000 is a character like any other.
 * On Windows uint16_t and WCHAR are the same type in C.
 */
#ifndef BHW_TEXT16_H
#define BHW_TEXT16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** How many UTF-16 units `length` bytes of valid UTF-8 become; never more than `length`. */
size_t bhw_text16_units(const char *text, size_t length);

/** Writes the units of `length` bytes of valid UTF-8, without a NUL. `out` has room for
 * bhw_text16_units(). @return how many it wrote */
size_t bhw_text16_from_utf8(uint16_t *out, const char *text, size_t length);

/**
 * How many bytes of UTF-8 `count` units become, at most three for each; an unpaired surrogate would
 * become U+FFFD.
 * @return whether all surrogates are paired
 */
bool bhw_text16_measure(const uint16_t *units, size_t count, size_t *bytes);

/** Writes the UTF-8 of `count` units, without a NUL; U+FFFD for each unpaired surrogate. `out` has
 * room for what bhw_text16_measure() said. @return how many bytes it wrote */
size_t bhw_text16_to_utf8(char *out, const uint16_t *units, size_t count);

/** A new NUL-terminated UTF-16 text, to be freed with bhi_free(). NULL: no memory, or `text` is not
 * valid UTF-8. */
uint16_t *bhw_text16_new(const char *text);

/** A new NUL-terminated UTF-8 text from NUL-terminated UTF-16, to be freed with bhi_free(); each
 * unpaired surrogate, which file names may have, becomes U+FFFD. NULL: no memory. */
char *bhw_text16_new_utf8(const uint16_t *units);

#endif
