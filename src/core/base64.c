/* SPDX-License-Identifier: MIT */
/*
 * Base64, strict both ways.
 *
 * Model: text is read in groups of four characters, only the last of which can be padded. A group
 * is 24 bits; what padding leaves unused of them must be zero.
 */
#include "base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void bhi_base64_encode(const unsigned char *bytes, size_t count, char out[4])
{
    uint32_t group = (uint32_t)bytes[0] << 16;

    if (count > 1)
        group |= (uint32_t)bytes[1] << 8;
    if (count > 2)
        group |= bytes[2];
    out[0] = alphabet[group >> 18];
    out[1] = alphabet[group >> 12 & 63];
    out[2] = count > 1 ? alphabet[group >> 6 & 63] : '=';
    out[3] = count > 2 ? alphabet[group & 63] : '=';
}

/* The '=' signs at the end, at most two. */
static size_t padding(const char *text, size_t length)
{
    if (length == 0 || text[length - 1] != '=')
        return 0;
    return text[length - 2] == '=' ? 2 : 1;
}

bool bhi_base64_size(const char *text, size_t length, size_t *size)
{
    if (length % 4 != 0)
        return false;
    *size = length / 4 * 3 - padding(text, length);
    return true;
}

/* Decodes one group of `count` characters, 2 to 4, into count - 1 bytes. */
static bool decode_group(const char *text, size_t count, unsigned char *out)
{
    uint32_t group = 0;

    for (size_t i = 0; i < count; i++) {
        const char *digit = memchr(alphabet, text[i], 64);
        if (!digit)
            return false;
        group |= (uint32_t)(digit - alphabet) << (18 - 6 * i);
    }
    for (size_t i = 0; i < count - 1; i++)
        out[i] = (unsigned char)(group >> (16 - 8 * i));
    return (group & (0xffffffu >> 8 * (count - 1))) == 0;
}

bool bhi_base64_decode(const char *text, size_t length, unsigned char *out)
{
    size_t characters = length - padding(text, length);

    for (size_t at = 0; at < characters; at += 4, out += 3) {
        size_t count = characters - at < 4 ? characters - at : 4;
        if (!decode_group(text + at, count, out))
            return false;
    }
    return true;
}
