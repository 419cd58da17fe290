/* SPDX-License-Identifier: MIT */
/*
 * Strict UTF-8.
 *
 * Model: a lead byte decides the length of its sequence and the range of the *second* byte; all
 * later bytes are 80..BF. This is table 3-7 of the Unicode standard: the second byte's range is
 * what excludes overlong forms (E0, F0), surrogates (ED) and code points that do not exist (F4).
 *
 * Invariant: no byte at or after `length` is ever read.
 */
#include "utf8.h"

#include <string.h>

/* What may follow a lead byte. length 0: the byte cannot begin a character. */
struct sequence {
    unsigned length;
    unsigned char low, high; /* of the second byte */
};

static struct sequence sequence_of(unsigned char lead)
{
    if (lead < 0x80)
        return (struct sequence){1, 0, 0};
    if (lead < 0xc2)
        return (struct sequence){0, 0, 0};
    if (lead < 0xe0)
        return (struct sequence){2, 0x80, 0xbf};
    if (lead < 0xf0)
        return (struct sequence){3, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf};
    if (lead < 0xf5)
        return (struct sequence){4, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf};
    return (struct sequence){0, 0, 0};
}

/* How many of the `length` bytes fit the sequence so far. */
static size_t matching(struct sequence sequence, const unsigned char *bytes, size_t length)
{
    size_t at = 1;

    if (at < sequence.length && at < length && bytes[at] >= sequence.low &&
        bytes[at] <= sequence.high)
        at++;
    else
        return at;
    while (at < sequence.length && at < length && (bytes[at] & 0xc0) == 0x80)
        at++;
    return at;
}

/* Whether the next eight bytes are all ASCII: most text is, and this is the reader's hot loop. */
static bool eight_ascii(const unsigned char *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof(word));
    return (word & UINT64_C(0x8080808080808080)) == 0;
}

size_t bhi_utf8_valid_prefix(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t at = 0;

    while (at < length) {
        if (length - at >= 8 && eight_ascii(bytes + at)) {
            at += 8;
            continue;
        }
        struct sequence sequence = sequence_of(bytes[at]);
        if (sequence.length == 0 || matching(sequence, bytes + at, length - at) < sequence.length)
            break;
        at += sequence.length;
    }
    return at;
}

bool bhi_utf8_valid(const char *text, size_t length)
{
    return bhi_utf8_valid_prefix(text, length) == length;
}

bool bhi_utf8_is_cut(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    struct sequence sequence = sequence_of(bytes[0]);

    return length < sequence.length && matching(sequence, bytes, length) == length;
}

size_t bhi_utf8_encode(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3f));
        out[2] = (char)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3f));
    out[2] = (char)(0x80 | (point >> 6 & 0x3f));
    out[3] = (char)(0x80 | (point & 0x3f));
    return 4;
}
