/* SPDX-License-Identifier: MIT */
/**
 * @file random_value.h
 * Random values of every type, the same ones for the same seed, with a liking for what is nasty:
 * empty and embedded NUL, NaN payloads, extreme integers, maps that look like markers.
 */
#ifndef RANDOM_VALUE_H
#define RANDOM_VALUE_H

#include "check.h"

#include <bulkhead/value.h>

#include <string.h>

/** splitmix64. */
static inline uint64_t random_bits(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline uint32_t random_below(uint64_t *seed, uint32_t bound)
{
    return (uint32_t)(random_bits(seed) >> 32) % bound;
}

static inline uint64_t random_word(uint64_t *seed)
{
    static const uint64_t edges[] = {
        0,
        1,
        UINT64_MAX,
        UINT64_C(1) << 63,
        (UINT64_C(1) << 63) - 1,
        UINT64_C(1) << 53,
        (UINT64_C(1) << 53) + 1,
        UINT64_C(0x7ff0000000000000), /* infinity */
        UINT64_C(0x7ff0000000000001), /* a signalling NaN */
        UINT64_C(0xfff8000000000000),
        UINT64_C(0x7fefffffffffffff), /* DBL_MAX */
        UINT64_C(0x0010000000000000),
        UINT64_C(0x000fffffffffffff),
        UINT64_C(0x3ff0000000000000),
        UINT64_C(0x7f8000007f800001), /* the same kinds as two floats */
        UINT64_C(0x7f7fffff80000000),
        UINT64_C(0x0000000100800000),
    };
    uint32_t pick = random_below(seed, 3 * sizeof(edges) / sizeof(edges[0]));

    if (pick < sizeof(edges) / sizeof(edges[0]))
        return edges[pick];
    if (pick % 2)
        return random_below(seed, 1000);
    return random_bits(seed);
}

/** Valid UTF-8 of up to 40 bytes. @return its length */
static inline size_t random_text(uint64_t *seed, char text[48])
{
    static const char *const pieces[] = {
        "a",
        "Z",
        " ",
        "\"",
        "\\",
        "/",
        "\n",
        "\t",
        "$",
        "\x7f",
        "\x1f",
        "\xc3\xa4",
        "\xe2\x82\xac",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
    };
    size_t length = 0;
    uint32_t count = random_below(seed, 11);

    if (random_below(seed, 8) == 0)
        text[length++] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        const char *piece = pieces[random_below(seed, sizeof(pieces) / sizeof(pieces[0]))];
        memcpy(text + length, piece, strlen(piece));
        length += strlen(piece);
    }
    return length;
}

static inline void random_string(uint64_t *seed, bh_value *out)
{
    static const char *const payloads[] = {"5", "inf", "nan:7ff8000000000000", "AAAA", "", "$map"};
    char text[48];

    if (random_below(seed, 3) == 0) {
        const char *payload = payloads[random_below(seed, 6)];
        CHECK_INT(bh_value_new_string(out, payload, strlen(payload)), BH_OK);
        return;
    }
    size_t length = random_text(seed, text);
    CHECK_INT(bh_value_new_string(out, text, length), BH_OK);
}

static inline void random_error(uint64_t *seed, bh_value *out)
{
    random_string(seed, out);
    out->type = BH_ERROR;
    out->code = (int32_t)random_word(seed);
}

static inline void random_block(uint64_t *seed, bh_value *out)
{
    uint64_t words[9];
    uint32_t count = random_below(seed, 9);

    for (uint32_t i = 0; i < count + 1; i++)
        words[i] = random_word(seed);
    switch (random_below(seed, 5)) {
    case 0:
        CHECK_INT(bh_value_new_bytes(out, words, count * 3), BH_OK);
        break;
    case 1:
        CHECK_INT(bh_value_new_i32(out, (const int32_t *)(const void *)words, count), BH_OK);
        break;
    case 2:
        CHECK_INT(bh_value_new_i64(out, (const int64_t *)(const void *)words, count), BH_OK);
        break;
    case 3:
        CHECK_INT(bh_value_new_f32(out, (const float *)(const void *)words, count), BH_OK);
        break;
    default:
        CHECK_INT(bh_value_new_f64(out, (const double *)(const void *)words, count), BH_OK);
    }
}

static inline void random_scalar(uint64_t *seed, bh_value *out)
{
    static const uint16_t types[] = {BH_INT64, BH_UINT64, BH_DOUBLE, BH_TIMESTAMP};

    *out = bh_value_null();
    switch (random_below(seed, 6)) {
    case 0:
        break;
    case 1:
        *out = bh_value_bool(random_below(seed, 2));
        break;
    default:
        out->type = types[random_below(seed, 4)];
        out->as.uint64 = random_word(seed);
    }
}

static inline void random_value(uint64_t *seed, bh_value *out, unsigned depth);

static inline void random_array(uint64_t *seed, bh_value *out, unsigned depth)
{
    uint32_t count = random_below(seed, 6);

    *out = bh_value_array();
    for (uint32_t i = 0; i < count; i++) {
        bh_value item;
        random_value(seed, &item, depth - 1);
        CHECK_INT(bh_array_push(out, &item), BH_OK);
    }
}

static inline void random_map(uint64_t *seed, bh_value *out, unsigned depth)
{
    static const char *const keys[] = {
        "$map", "$uint64", "$bytes", "$timestamp", "$double", "$error", "$i32",
        "$i64", "$f32",    "$f64",   "$",          "$other",  "code",   "text",
    };
    uint32_t count = random_below(seed, 2) ? 1 : random_below(seed, 24);

    *out = bh_value_map();
    for (uint32_t i = 0; i < count; i++) {
        bh_value item;
        char text[48];
        random_value(seed, &item, depth - 1);
        if (random_below(seed, 3) == 0) {
            size_t length = random_text(seed, text);
            CHECK_INT(bh_map_set_n(out, text, length, &item), BH_OK);
        } else {
            CHECK_INT(bh_map_set(out, keys[random_below(seed, 14)], &item), BH_OK);
        }
    }
}

/** A value that nests at most `depth` containers. */
static inline void random_value(uint64_t *seed, bh_value *out, unsigned depth)
{
    switch (random_below(seed, depth ? 9 : 5)) {
    case 0:
    case 1:
        random_scalar(seed, out);
        break;
    case 2:
        random_string(seed, out);
        break;
    case 3:
        random_block(seed, out);
        break;
    case 4:
        random_error(seed, out);
        break;
    case 5:
    case 6:
        random_array(seed, out, depth);
        break;
    default:
        random_map(seed, out, depth);
    }
}

/** `depth` containers inside one another, by turns arrays and maps that look like markers. */
static inline void nested_value(bh_value *out, unsigned depth)
{
    *out = bh_value_uint64(depth);
    for (unsigned i = 0; i < depth; i++) {
        bh_value outer = i % 2 ? bh_value_array() : bh_value_map();
        int rc = i % 2 ? bh_array_push(&outer, out) : bh_map_set(&outer, "$map", out);
        CHECK_INT(rc, BH_OK);
        *out = outer;
    }
}

#endif
