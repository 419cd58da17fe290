/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 and UTF-16.
 *
 * Model: measure, then write: both passes walk the same way, so that the second needs no checks.
 * UTF-8 comes from this side and is valid (core/utf8.h checks it). UTF-16 comes from anybody:
 * next() takes one character and says when a surrogate has no partner.
 *
 * Invariants: no unit or byte at or after the count is read; text may be NULL with count 0.
 */
#include "text16.h"

#include "core/alloc.h"
#include "core/utf8.h"

#include <string.h>

#define REPLACEMENT 0xfffdu
#define UNPAIRED UINT32_MAX

/* How many units an UTF-8 lead byte stands for: continuation bytes for none. */
static unsigned units_of(unsigned char byte)
{
    if ((byte & 0xc0) == 0x80)
        return 0;
    return byte >= 0xf0 ? 2 : 1;
}

size_t bhw_text16_units(const char *text, size_t length)
{
    size_t units = 0;

    for (size_t i = 0; i < length; i++)
        units += units_of((unsigned char)text[i]);
    return units;
}

/* One character of valid UTF-8. @return how many bytes it has */
static unsigned decode(const unsigned char *bytes, uint32_t *point)
{
    unsigned more = bytes[0] < 0x80 ? 0 : bytes[0] < 0xe0 ? 1 : bytes[0] < 0xf0 ? 2 : 3;

    *point = more == 0 ? bytes[0] : bytes[0] & (0x3fu >> more);
    for (unsigned i = 1; i <= more; i++)
        *point = *point << 6 | (bytes[i] & 0x3fu);
    return more + 1;
}

size_t bhw_text16_from_utf8(uint16_t *out, const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t units = 0;
    uint32_t point;

    for (size_t at = 0; at < length;) {
        at += decode(bytes + at, &point);
        if (point < 0x10000) {
            out[units++] = (uint16_t)point;
            continue;
        }
        point -= 0x10000;
        out[units++] = (uint16_t)(0xd800 | point >> 10);
        out[units++] = (uint16_t)(0xdc00 | (point & 0x3ff));
    }
    return units;
}

static bool is_high(uint16_t unit)
{
    return (unit & 0xfc00) == 0xd800;
}

static bool is_low(uint16_t unit)
{
    return (unit & 0xfc00) == 0xdc00;
}

/* The character at *at, and steps over it. */
static uint32_t next(const uint16_t *units, size_t count, size_t *at)
{
    uint16_t unit = units[(*at)++];

    if (!is_high(unit) && !is_low(unit))
        return unit;
    if (is_low(unit) || *at == count || !is_low(units[*at]))
        return UNPAIRED;
    return 0x10000 + ((uint32_t)(unit & 0x3ff) << 10) + (units[(*at)++] & 0x3ffu);
}

static unsigned bytes_of(uint32_t point)
{
    if (point == UNPAIRED)
        point = REPLACEMENT;
    return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}

bool bhw_text16_measure(const uint16_t *units, size_t count, size_t *bytes)
{
    bool paired = true;

    *bytes = 0;
    for (size_t at = 0; at < count;) {
        uint32_t point = next(units, count, &at);
        paired = paired && point != UNPAIRED;
        *bytes += bytes_of(point);
    }
    return paired;
}

size_t bhw_text16_to_utf8(char *out, const uint16_t *units, size_t count)
{
    size_t bytes = 0;
    char text[4];

    for (size_t at = 0; at < count;) {
        uint32_t point = next(units, count, &at);
        if (point < 0x80) {
            out[bytes++] = (char)point;
            continue;
        }
        size_t size = bhi_utf8_encode(point == UNPAIRED ? REPLACEMENT : point, text);
        memcpy(out + bytes, text, size);
        bytes += size;
    }
    return bytes;
}

uint16_t *bhw_text16_new(const char *text)
{
    size_t length = strlen(text);

    if (!bhi_utf8_valid(text, length) || length >= SIZE_MAX / sizeof(uint16_t))
        return NULL;
    size_t units = bhw_text16_units(text, length);
    uint16_t *out = bhi_alloc((units + 1) * sizeof(*out));
    if (!out)
        return NULL;
    out[bhw_text16_from_utf8(out, text, length)] = 0;
    return out;
}

char *bhw_text16_new_utf8(const uint16_t *units)
{
    size_t count = 0;
    size_t bytes;

    while (units[count] != 0)
        count++;
    (void)bhw_text16_measure(units, count, &bytes);
    char *out = bhi_alloc(bytes + 1);
    if (!out)
        return NULL;
    out[bhw_text16_to_utf8(out, units, count)] = '\0';
    return out;
}
