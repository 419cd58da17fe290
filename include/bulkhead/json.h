/* SPDX-License-Identifier: MIT */
/**
 * @file json.h
 * JSON text of values, both ways and lossless: value → JSON → value is the identity for every
 * value.
 *
 * JSON has no uint64, bytes, timestamp, typed array, NaN, infinity or error. Each is written as a
 * *marker*: an object with exactly one member whose key starts with '$':
 *
 *     {"$uint64":"18446744073709551615"}   {"$bytes":"base64…"}       {"$timestamp":1700000000000}
 *     {"$i32":[1,2]} {"$i64":[…]}          {"$f32":[…]} {"$f64":[…]}
 * {"$double":"nan:7ff8000000000000"}
 *     {"$error":{"code":5,"text":"…"}}     {"$map":{…}}
 *
 * Numbers without '.', 'e' and within int64 read as int64; with them, as double; an integer beyond
 * int64 reads as uint64 where it fits, else it is a range error. uint64 values are always written
 * with the marker. Doubles are written with '.' or 'e' so that they stay doubles, and shortest that
 * reads back the same bits. In $double, $f32 and $f64, what is no finite number is a string: "inf",
 * "-inf", or "nan:" and the bits in hexadecimal, 16 digits for a double, 8 for a float. $f32 and
 * $f64 take numbers of any spelling and round them; all other payloads must be as they are written:
 * base64 has its padding, integers are in range and without leading zeros, an error has just these
 * two members.
 *
 * A real map with exactly one member whose key starts with '$' is written inside {"$map":…}, so
 * that it cannot be taken for a marker, and no other map is; an unknown marker is an error. An
 * object with several members is a map, whatever its keys.
 */
#ifndef BULKHEAD_JSON_H
#define BULKHEAD_JSON_H

#include <bulkhead/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How bh_json_write() lays the text out. */
enum bh_json_style {
    BH_JSON_COMPACT = 0, /**< one line, no spaces */
    BH_JSON_PRETTY = 1   /**< two spaces a level, a line a member */
};

/**
 * Writes a value as UTF-8 JSON.
 * @param[out] text   NUL-terminated, to be freed with bh_free(); NULL on failure
 * @param[out] length bytes without the NUL; may be NULL
 * @return BH_OK, BH_E_MEMORY, BH_E_UTF8, BH_E_DEPTH, BH_E_TYPE (handle), BH_E_TOO_LARGE
 */
BH_API int bh_json_write(const bh_value *value, enum bh_json_style style, char **text,
                         size_t *length);

/**
 * Reads one JSON text (RFC 8259, strictly: no comments, no trailing commas, no duplicate keys, no
 * lone surrogates, nothing but white space after it) into a value that owns everything.
 * @param text   `length` bytes, need not be NUL-terminated
 * @param limits NULL for the defaults; `depth` counts values, but `count` what the text spells, a
 * marker being the object that it is written as
 * @param problem line, column and text of what is wrong; may be NULL
 * @return BH_OK, BH_E_SYNTAX, BH_E_UTF8, BH_E_DUPLICATE, BH_E_RANGE, BH_E_DEPTH, BH_E_TOO_LARGE,
 *         BH_E_MEMORY
 */
BH_API int bh_json_read(bh_value *out, const char *text, size_t length,
                        const struct bh_value_limits *limits, struct bh_problem *problem);

#ifdef __cplusplus
}
#endif
#endif
