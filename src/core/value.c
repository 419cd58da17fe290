/* SPDX-License-Identifier: MIT */
/*
 * Making values: scalars, views, and owning copies of blocks.
 *
 * Model: a value is 24 bytes by value. A *block* type (string, bytes, error text, typed arrays)
 * points to `length` elements of one size; whether it owns them is one flag. An owned block always
 * has one zero byte after its elements, so that owned strings are C strings and no block has size
 * 0.
 *
 * Invariants: BH_VALUE_OWNS is set only on a block from bhi_alloc() or on a container; a
 * constructor that fails leaves *out null, which deinit accepts.
 */
#include "alloc.h"
#include "utf8.h"
#include "value_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(bh_value) == 24, "the public header promises 24 bytes");
_Static_assert(sizeof(struct bh_member) == 2 * sizeof(bh_value),
               "members are two values laid flat");

/* ---- scalars ---- */

bh_value bh_value_null(void)
{
    return (bh_value){.type = BH_NULL};
}

bh_value bh_value_bool(bool boolean)
{
    return (bh_value){.type = BH_BOOL, .as.boolean = boolean};
}

bh_value bh_value_int64(int64_t number)
{
    return (bh_value){.type = BH_INT64, .as.int64 = number};
}

bh_value bh_value_uint64(uint64_t number)
{
    return (bh_value){.type = BH_UINT64, .as.uint64 = number};
}

bh_value bh_value_double(double number)
{
    return (bh_value){.type = BH_DOUBLE, .as.real = number};
}

bh_value bh_value_timestamp(int64_t ms)
{
    return (bh_value){.type = BH_TIMESTAMP, .as.int64 = ms};
}

/* ---- views ---- */

bh_value bh_value_view(const char *string)
{
    return bh_value_view_string(string, strlen(string));
}

bh_value bh_value_view_string(const char *string, size_t length)
{
    return (bh_value){.type = BH_STRING, .length = length, .as.string = string};
}

bh_value bh_value_view_bytes(const void *bytes, size_t length)
{
    return (bh_value){.type = BH_BYTES, .length = length, .as.bytes = bytes};
}

bh_value bh_value_view_i32(const int32_t *elements, size_t count)
{
    return (bh_value){.type = BH_I32_ARRAY, .length = count, .as.i32 = elements};
}

bh_value bh_value_view_i64(const int64_t *elements, size_t count)
{
    return (bh_value){.type = BH_I64_ARRAY, .length = count, .as.i64 = elements};
}

bh_value bh_value_view_f32(const float *elements, size_t count)
{
    return (bh_value){.type = BH_F32_ARRAY, .length = count, .as.f32 = elements};
}

bh_value bh_value_view_f64(const double *elements, size_t count)
{
    return (bh_value){.type = BH_F64_ARRAY, .length = count, .as.f64 = elements};
}

bh_value bh_value_view_error(int32_t code, const char *text)
{
    return (bh_value){.type = BH_ERROR, .code = code, .length = strlen(text), .as.string = text};
}

bh_value bh_value_view_array(const bh_value *items, size_t count)
{
    /* The struct has one field for tables that own and tables that do not; without BH_VALUE_OWNS
     * nothing here writes through it. */
    return (bh_value){.type = BH_ARRAY, .length = count, .as.items = (bh_value *)items};
}

/* ---- owning blocks ---- */

size_t bhi_element_size(unsigned type)
{
    switch (type) {
    case BH_STRING:
    case BH_BYTES:
    case BH_ERROR:
        return 1;
    case BH_I32_ARRAY:
    case BH_F32_ARRAY:
        return 4;
    case BH_I64_ARRAY:
    case BH_F64_ARRAY:
        return 8;
    default:
        return 0;
    }
}

int bhi_value_alloc(bh_value *out, unsigned type, uint64_t count, void **data)
{
    size_t size = bhi_element_size(type);

    *out = bh_value_null();
    if (count > (SIZE_MAX - 1) / size)
        return BH_E_MEMORY;
    size *= (size_t)count;
    unsigned char *block = bhi_alloc(size + 1);
    if (!block)
        return BH_E_MEMORY;
    block[size] = 0;
    *out = (bh_value){
        .type = (uint16_t)type, .flags = BH_VALUE_OWNS, .length = count, .as.bytes = block};
    *data = block;
    return BH_OK;
}

int bhi_value_new(bh_value *out, unsigned type, const void *data, uint64_t count)
{
    void *block;
    int rc = bhi_value_alloc(out, type, count, &block);

    if (rc == BH_OK && count > 0) /* memcpy(…, NULL, 0) is undefined */
        memcpy(block, data, (size_t)count * bhi_element_size(type));
    return rc;
}

int bh_value_new_string(bh_value *out, const char *string, size_t length)
{
    *out = bh_value_null();
    if (!bhi_utf8_valid(string, length))
        return BH_E_UTF8;
    return bhi_value_new(out, BH_STRING, string, length);
}

/* Formats into a new string value whose length vsnprintf() has already told. */
BH_PRINTF(3, 0)
static int format_string(bh_value *out, size_t length, const char *format, va_list arguments)
{
    void *text;
    int rc = bhi_value_alloc(out, BH_STRING, length, &text);

    if (rc != BH_OK)
        return rc;
    if (vsnprintf(text, length + 1, format, arguments) != (int)length)
        rc = BH_E_INVALID;
    else if (!bhi_utf8_valid(text, length))
        rc = BH_E_UTF8;
    if (rc != BH_OK)
        bh_value_deinit(out);
    return rc;
}

int bh_value_new_printf(bh_value *out, const char *format, ...)
{
    va_list arguments;
    va_list again;

    *out = bh_value_null();
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    int rc = length < 0 ? BH_E_INVALID : format_string(out, (size_t)length, format, again);
    va_end(again);
    va_end(arguments);
    return rc;
}

int bh_value_new_bytes(bh_value *out, const void *bytes, size_t length)
{
    return bhi_value_new(out, BH_BYTES, bytes, length);
}

int bh_value_new_i32(bh_value *out, const int32_t *elements, size_t count)
{
    return bhi_value_new(out, BH_I32_ARRAY, elements, count);
}

int bh_value_new_i64(bh_value *out, const int64_t *elements, size_t count)
{
    return bhi_value_new(out, BH_I64_ARRAY, elements, count);
}

int bh_value_new_f32(bh_value *out, const float *elements, size_t count)
{
    return bhi_value_new(out, BH_F32_ARRAY, elements, count);
}

int bh_value_new_f64(bh_value *out, const double *elements, size_t count)
{
    return bhi_value_new(out, BH_F64_ARRAY, elements, count);
}

int bh_value_new_error(bh_value *out, int32_t code, const char *text)
{
    size_t length = strlen(text);

    *out = bh_value_null();
    if (!bhi_utf8_valid(text, length))
        return BH_E_UTF8;
    int rc = bhi_value_new(out, BH_ERROR, text, length);
    if (rc == BH_OK)
        out->code = code;
    return rc;
}

/* ---- limits ---- */

struct bh_value_limits bhi_limits(const struct bh_value_limits *limits)
{
    struct bh_value_limits resolved = limits ? *limits : (struct bh_value_limits){0};

    if (resolved.depth == 0)
        resolved.depth = 64;
    if (resolved.depth > BHI_DEPTH_MAX)
        resolved.depth = BHI_DEPTH_MAX;
    if (resolved.count == 0)
        resolved.count = UINT64_C(16) << 20;
    if (resolved.bytes == 0)
        resolved.bytes = UINT64_C(1) << 30;
    return resolved;
}
