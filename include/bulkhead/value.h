/* SPDX-License-Identifier: MIT */
/**
 * @file value.h
 * bh_value: what travels between dispatcher and worker. One tagged union that covers what a native
 * call needs, maps one to one onto a VARIANT on Windows and has a lossless JSON text (json.h).
 *
 * Ownership. A value either *owns* what its pointer leads to or *views* memory that somebody else
 * keeps alive. bh_value_deinit() frees what is owned and leaves views alone, so it is right on
 * every value, a scalar included. `bh_value_view_*` make views, `bh_value_new_*` copy and own.
 * Containers own their own table of items; each item owns or views for itself. A plain C assignment
 * moves a value: use one of the two afterwards.
 *
 * Threads. Values have no locks: one thread at a time, or any number of readers.
 *
 * Modelled on: GVariant (a closed set of types, strings with a length), sqlite3_value (typed
 * accessors that never guess), VARIANT (the shapes).
 */
#ifndef BULKHEAD_VALUE_H
#define BULKHEAD_VALUE_H

#include <bulkhead/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Every type: X(name, number, text). The numbers are the wire's; they never change. */
#define BH_TYPE_LIST(X)                                                                            \
    X(BH_NULL, 0, "null")                                                                          \
    X(BH_BOOL, 1, "bool")                                                                          \
    X(BH_INT64, 2, "int64")                                                                        \
    X(BH_UINT64, 3, "uint64")                                                                      \
    X(BH_DOUBLE, 4, "double")                                                                      \
    X(BH_TIMESTAMP, 5, "timestamp")                                                                \
    X(BH_STRING, 6, "string")                                                                      \
    X(BH_BYTES, 7, "bytes")                                                                        \
    X(BH_ERROR, 8, "error")                                                                        \
    X(BH_I32_ARRAY, 9, "i32 array")                                                                \
    X(BH_I64_ARRAY, 10, "i64 array")                                                               \
    X(BH_F32_ARRAY, 11, "f32 array")                                                               \
    X(BH_F64_ARRAY, 12, "f64 array")                                                               \
    X(BH_ARRAY, 13, "array")                                                                       \
    X(BH_MAP, 14, "map")                                                                           \
    X(BH_HANDLE, 15, "handle") /* reserved: no function makes one, every reader refuses it */

enum bh_type {
#define BH_TYPE_ENUM(name, number, text) name = number,
    BH_TYPE_LIST(BH_TYPE_ENUM)
#undef BH_TYPE_ENUM
};

/** A value's `flags`: it owns the memory that `as` points to. */
#define BH_VALUE_OWNS 1u

typedef struct bh_value bh_value;
struct bh_member;

/**
 * The value itself: 24 bytes, public so that arguments can be plain C arrays. Read it through the
 * accessors or directly by `type`; change it through the functions.
 */
struct bh_value {
    uint16_t type;   /**< enum bh_type */
    uint16_t flags;  /**< BH_VALUE_OWNS or 0 */
    int32_t code;    /**< BH_ERROR only: its number */
    uint64_t length; /**< strings, bytes, error text: bytes; arrays, maps: elements; else 0 */
    union {
        bool boolean;
        int64_t int64; /**< BH_INT64; BH_TIMESTAMP: milliseconds since 1970-01-01T00:00Z */
        uint64_t uint64;
        double real;
        const char *string; /**< BH_STRING, BH_ERROR: UTF-8, `length` bytes, may hold NULs; NOT
                                 promised to be NUL-terminated when it is a view */
        const uint8_t *bytes;
        const int32_t *i32;
        const int64_t *i64;
        const float *f32;
        const double *f64;
        bh_value *items;           /**< BH_ARRAY */
        struct bh_member *members; /**< BH_MAP, in the order of insertion, keys unique */
    } as;
};

/** One entry of a map. `key` is always a BH_STRING. */
struct bh_member {
    bh_value key;
    bh_value value;
};

/** Limits for everything that reads or writes a value from outside. Zero means the default. */
struct bh_value_limits {
    uint32_t depth; /**< containers inside one another; default 64, at most 256 */
    uint64_t count; /**< values in all, members counted as two; default 16 Mi */
    uint64_t bytes; /**< of the wire form or the text; default 1 GiB */
};

/** The name of a type, "int64"; "?" for an unknown number. Static string. */
BH_API const char *bh_type_name(unsigned type);

/* ---- scalars: cannot fail, own nothing ---------------------------------------------------- */

BH_API bh_value bh_value_null(void);
BH_API bh_value bh_value_bool(bool boolean);
BH_API bh_value bh_value_int64(int64_t number);
BH_API bh_value bh_value_uint64(uint64_t number);
BH_API bh_value bh_value_double(double number);
/** @param ms milliseconds since 1970-01-01T00:00Z, negative before */
BH_API bh_value bh_value_timestamp(int64_t ms);

/* ---- views: own nothing; the memory must outlive the value --------------------------------- */

/** A view of a NUL-terminated string (not checked for UTF-8 here; every writer checks it). */
BH_API bh_value bh_value_view(const char *string);
BH_API bh_value bh_value_view_string(const char *string, size_t length);
BH_API bh_value bh_value_view_bytes(const void *bytes, size_t length);
BH_API bh_value bh_value_view_i32(const int32_t *elements, size_t count);
BH_API bh_value bh_value_view_i64(const int64_t *elements, size_t count);
BH_API bh_value bh_value_view_f32(const float *elements, size_t count);
BH_API bh_value bh_value_view_f64(const double *elements, size_t count);
/** An error value: `text` is viewed, NUL-terminated. */
BH_API bh_value bh_value_view_error(int32_t code, const char *text);
/** An array that views `count` items; deinit leaves the items and what they own alone. */
BH_API bh_value bh_value_view_array(const bh_value *items, size_t count);

/* ---- copies: own what they hold ------------------------------------------------------------ */
/* Each returns BH_OK or BH_E_MEMORY (strings also BH_E_UTF8) and leaves *out null on failure.
 * `length` and `count` as for the views. Owned strings and error texts are NUL-terminated. */

BH_API int bh_value_new_string(bh_value *out, const char *string, size_t length);
/** printf into a string value, in the process's locale. BH_E_INVALID for a format error. */
BH_API int bh_value_new_printf(bh_value *out, const char *format, ...) BH_PRINTF(2, 3);
BH_API int bh_value_new_bytes(bh_value *out, const void *bytes, size_t length);
BH_API int bh_value_new_i32(bh_value *out, const int32_t *elements, size_t count);
BH_API int bh_value_new_i64(bh_value *out, const int64_t *elements, size_t count);
BH_API int bh_value_new_f32(bh_value *out, const float *elements, size_t count);
BH_API int bh_value_new_f64(bh_value *out, const double *elements, size_t count);
BH_API int bh_value_new_error(bh_value *out, int32_t code, const char *text);

/* ---- containers ---------------------------------------------------------------------------- */

/** An empty array / map; nothing is allocated until something is added. */
BH_API bh_value bh_value_array(void);
BH_API bh_value bh_value_map(void);

/**
 * Appends *item to the array and takes it: on success *item becomes null. On failure the array and
 * *item stay as they were. *item must not be one of the array's own items. Amortised constant time.
 * @return BH_OK, BH_E_TYPE (not an array that owns its table alone: views and what bh_wire_view()
 *         made cannot grow), BH_E_MEMORY
 */
BH_API int bh_array_push(bh_value *array, bh_value *item);

/**
 * Sets a key, replacing the value of an equal one in its place, and takes *item as above. The key
 * is copied. Linear in the number of members up to a few dozen; maps are records, not databases.
 * @return BH_OK, BH_E_TYPE, BH_E_UTF8 (the key), BH_E_MEMORY
 */
BH_API int bh_map_set(bh_value *map, const char *key, bh_value *item);
BH_API int bh_map_set_n(bh_value *map, const char *key, size_t key_length, bh_value *item);

/** The value under a key, or NULL when it is absent or `map` is no map. Valid until the map
 * changes. */
BH_API const bh_value *bh_map_get(const bh_value *map, const char *key);
BH_API const bh_value *bh_map_get_n(const bh_value *map, const char *key, size_t key_length);

/* ---- accessors: exact or BH_E_TYPE, never a guess -------------------------------------------- */
/* Integers convert between int64 and uint64 where the number fits (else BH_E_RANGE); an int64 or
 * uint64 also reads as a double where it is exact (else BH_E_RANGE). Nothing else converts. A NULL
 * value, as bh_map_get() gives for an absent key, is BH_E_TYPE. On failure the outputs are left
 * alone. Pointers returned stay valid as long as the value does. */

BH_API int bh_value_get_bool(const bh_value *value, bool *out);
BH_API int bh_value_get_int64(const bh_value *value, int64_t *out);
BH_API int bh_value_get_uint64(const bh_value *value, uint64_t *out);
BH_API int bh_value_get_double(const bh_value *value, double *out);
BH_API int bh_value_get_timestamp(const bh_value *value, int64_t *ms);
BH_API int bh_value_get_string(const bh_value *value, const char **string, size_t *length);
BH_API int bh_value_get_bytes(const bh_value *value, const void **bytes, size_t *length);
BH_API int bh_value_get_error(const bh_value *value, int32_t *code, const char **text,
                              size_t *length);
BH_API int bh_value_get_i32(const bh_value *value, const int32_t **elements, size_t *count);
BH_API int bh_value_get_i64(const bh_value *value, const int64_t **elements, size_t *count);
BH_API int bh_value_get_f32(const bh_value *value, const float **elements, size_t *count);
BH_API int bh_value_get_f64(const bh_value *value, const double **elements, size_t *count);
BH_API int bh_value_get_array(const bh_value *value, const bh_value **items, size_t *count);

/* ---- whole values ---------------------------------------------------------------------------- */

/** Frees everything that the value owns and makes it null. NULL is fine. Takes no stack, however
 * deep the value is nested: nothing bounds what bh_array_push() and bh_map_set() nest. */
BH_API void bh_value_deinit(bh_value *value);

/** A deep copy that owns everything, views included. *out is null on failure.
 * @return BH_OK, BH_E_MEMORY, BH_E_DEPTH (nested deeper than 257: the array that bh_wire_view()
 * makes around values that are nested 256 deep) */
BH_API int bh_value_copy(bh_value *out, const bh_value *value);

/**
 * Equal in type and content: doubles and floats by their bits (so that NaN equals itself and 0.0 is
 * not -0.0), maps with the same members in the same order. int64 1 and uint64 1 are not equal.
 * Values nested deeper than bh_value_copy() allows equal nothing.
 */
BH_API bool bh_value_equal(const bh_value *a, const bh_value *b);

/* ---- wire form --------------------------------------------------------------------------------
 */

/**
 * The wire form is made for memory that two processes share on one machine: native byte order,
 * every header and payload 8-byte aligned, every length checked. docs/wire.md describes it.
 *
 * The number of bytes that bh_wire_write() will produce for `count` values in sequence.
 * @return BH_OK, BH_E_TOO_LARGE, BH_E_DEPTH, BH_E_UTF8, BH_E_TYPE (handle)
 */
BH_API int bh_wire_size(const bh_value *values, size_t count, const struct bh_value_limits *limits,
                        size_t *size);

/** Writes `count` values into buffer (8-byte aligned, `size` bytes as bh_wire_size() said). Checks
 * nothing again but the bound. @return BH_OK or BH_E_TOO_LARGE */
BH_API int bh_wire_write(void *buffer, size_t size, const bh_value *values, size_t count);

/**
 * Checks `size` bytes at `buffer` (8-byte aligned) and makes values that *view* it: strings, bytes
 * and typed arrays point into it; only the tables of arrays and maps are allocated, in one piece
 * whose size is known and checked before. The buffer must not change meanwhile or afterwards: what
 * a hostile process can still write must be copied first.
 * @param[out] array a BH_ARRAY of the values in sequence; bh_value_deinit() frees its tables only
 *             (it owns all of them in one block, and can neither grow nor lend them out)
 * @param problem says what is wrong and at which byte offset; may be NULL
 * @return BH_OK, BH_E_SYNTAX, BH_E_UTF8, BH_E_DUPLICATE, BH_E_DEPTH, BH_E_TOO_LARGE, BH_E_MEMORY,
 *         BH_E_INVALID (the buffer is not aligned)
 */
BH_API int bh_wire_view(bh_value *array, const void *buffer, size_t size,
                        const struct bh_value_limits *limits, struct bh_problem *problem);

/** bh_wire_view() followed by a deep copy: the result does not need the buffer any more. */
BH_API int bh_wire_read(bh_value *array, const void *buffer, size_t size,
                        const struct bh_value_limits *limits, struct bh_problem *problem);

#ifdef __cplusplus
}
#endif
#endif
