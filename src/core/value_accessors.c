/* SPDX-License-Identifier: MIT */
/*
 * Reading values: exact or an error, never a guess.
 *
 * Invariants: an output is written only on BH_OK; a NULL value, which is what bh_map_get() gives
 * for a key that is absent, reads as a value of another type. Integers convert only where no bit is
 * lost.
 */
#include "value_internal.h"

static bool is(const bh_value *value, unsigned type)
{
    return value && value->type == type;
}

int bh_value_get_bool(const bh_value *value, bool *out)
{
    if (!is(value, BH_BOOL))
        return BH_E_TYPE;
    *out = value->as.boolean;
    return BH_OK;
}

int bh_value_get_int64(const bh_value *value, int64_t *out)
{
    if (is(value, BH_UINT64)) {
        if (value->as.uint64 > INT64_MAX)
            return BH_E_RANGE;
        *out = (int64_t)value->as.uint64;
        return BH_OK;
    }
    if (!is(value, BH_INT64))
        return BH_E_TYPE;
    *out = value->as.int64;
    return BH_OK;
}

int bh_value_get_uint64(const bh_value *value, uint64_t *out)
{
    if (is(value, BH_INT64)) {
        if (value->as.int64 < 0)
            return BH_E_RANGE;
        *out = (uint64_t)value->as.int64;
        return BH_OK;
    }
    if (!is(value, BH_UINT64))
        return BH_E_TYPE;
    *out = value->as.uint64;
    return BH_OK;
}

/* The bounds come first in the next two: a double of 2^63 or 2^64 cannot be cast back at all, and
 * that is what the integers just below them round to. */

static bool exact_int64(int64_t number, double *out)
{
    double real = (double)number;

    if (real >= 0x1p63 || (int64_t)real != number)
        return false;
    *out = real;
    return true;
}

static bool exact_uint64(uint64_t number, double *out)
{
    double real = (double)number;

    if (real >= 0x1p64 || (uint64_t)real != number)
        return false;
    *out = real;
    return true;
}

int bh_value_get_double(const bh_value *value, double *out)
{
    if (is(value, BH_INT64))
        return exact_int64(value->as.int64, out) ? BH_OK : BH_E_RANGE;
    if (is(value, BH_UINT64))
        return exact_uint64(value->as.uint64, out) ? BH_OK : BH_E_RANGE;
    if (!is(value, BH_DOUBLE))
        return BH_E_TYPE;
    *out = value->as.real;
    return BH_OK;
}

int bh_value_get_timestamp(const bh_value *value, int64_t *ms)
{
    if (!is(value, BH_TIMESTAMP))
        return BH_E_TYPE;
    *ms = value->as.int64;
    return BH_OK;
}

int bh_value_get_string(const bh_value *value, const char **string, size_t *length)
{
    if (!is(value, BH_STRING))
        return BH_E_TYPE;
    *string = value->as.string;
    *length = (size_t)value->length;
    return BH_OK;
}

int bh_value_get_bytes(const bh_value *value, const void **bytes, size_t *length)
{
    if (!is(value, BH_BYTES))
        return BH_E_TYPE;
    *bytes = value->as.bytes;
    *length = (size_t)value->length;
    return BH_OK;
}

int bh_value_get_error(const bh_value *value, int32_t *code, const char **text, size_t *length)
{
    if (!is(value, BH_ERROR))
        return BH_E_TYPE;
    *code = value->code;
    *text = value->as.string;
    *length = (size_t)value->length;
    return BH_OK;
}

int bh_value_get_i32(const bh_value *value, const int32_t **elements, size_t *count)
{
    if (!is(value, BH_I32_ARRAY))
        return BH_E_TYPE;
    *elements = value->as.i32;
    *count = (size_t)value->length;
    return BH_OK;
}

int bh_value_get_i64(const bh_value *value, const int64_t **elements, size_t *count)
{
    if (!is(value, BH_I64_ARRAY))
        return BH_E_TYPE;
    *elements = value->as.i64;
    *count = (size_t)value->length;
    return BH_OK;
}

int bh_value_get_f32(const bh_value *value, const float **elements, size_t *count)
{
    if (!is(value, BH_F32_ARRAY))
        return BH_E_TYPE;
    *elements = value->as.f32;
    *count = (size_t)value->length;
    return BH_OK;
}

int bh_value_get_f64(const bh_value *value, const double **elements, size_t *count)
{
    if (!is(value, BH_F64_ARRAY))
        return BH_E_TYPE;
    *elements = value->as.f64;
    *count = (size_t)value->length;
    return BH_OK;
}

int bh_value_get_array(const bh_value *value, const bh_value **items, size_t *count)
{
    if (!is(value, BH_ARRAY))
        return BH_E_TYPE;
    *items = value->as.items;
    *count = (size_t)value->length;
    return BH_OK;
}
