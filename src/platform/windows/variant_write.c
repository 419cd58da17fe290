/* SPDX-License-Identifier: MIT */
/*
 * Values as VARIANTs.
 *
 * Model: bh_wire_size() makes every check of the values (types, depth, UTF-8, limits), so that a
 * value is refused on Windows exactly when it is refused elsewhere; then one recursive walk builds
 * the VARIANTs and can only run out of memory, or of what a SAFEARRAY can describe.
 *
 * Invariants: a VARIANT is attached to what it owns before that is filled, and SAFEARRAYs of
 * VARIANTs are VT_EMPTY throughout before, so that VariantClear() on the root frees whatever there
 * is.
 */
#include "variant_internal.h"

#include "arena.h"
#include "text16.h"

#include "core/alloc.h"
#include "core/problem.h"

#include <string.h>

/* What BSTRs and SAFEARRAYs can hold, in bytes; both count in 32 bits, and not all code that
 * handles them counts without sign. */
#define BYTES_MAX UINT32_C(0x7ffffff0)

struct writer {
    struct bhw_blobs *blobs;
    struct bh_problem *problem;
};

static int fail(const struct writer *w, int code)
{
    return bhi_problem_set(w->problem, code, 0, "%s", bh_error_text(code));
}

/* Makes *out a SAFEARRAY with these extents, as a script counts them. */
static int new_array(const struct writer *w, VARIANT *out, VARTYPE vt, unsigned dimensions,
                     uint64_t a, uint64_t b, uint64_t c)
{
    SAFEARRAYBOUND bounds[BHW_DIMENSIONS_MAX] = {
        {.cElements = (ULONG)a}, {.cElements = (ULONG)b}, {.cElements = (ULONG)c}};

    if (a > BYTES_MAX / bhw_vartype_size(vt) / b / c)
        return fail(w, BH_E_TOO_LARGE);
    SAFEARRAY *psa = SafeArrayCreate(vt, dimensions, bounds);
    if (!psa)
        return fail(w, BH_E_MEMORY);
    V_VT(out) = VT_ARRAY | vt;
    V_ARRAY(out) = psa;
    return BH_OK;
}

/* The same with elements that are VARIANTs, all VT_EMPTY. */
static int new_variants(const struct writer *w, VARIANT *out, unsigned dimensions, uint64_t a,
                        uint64_t b, uint64_t c, VARIANT **variants)
{
    int rc = new_array(w, out, VT_VARIANT, dimensions, a, b, c);

    if (rc != BH_OK)
        return rc;
    *variants = V_ARRAY(out)->pvData;
    for (uint64_t i = 0; i < a * b * c; i++)
        VariantInit(&(*variants)[i]);
    return BH_OK;
}

static int write_text(const struct writer *w, VARIANT *out, const bh_value *value)
{
    size_t units = bhw_text16_units(value->as.string, (size_t)value->length);

    if (units > BYTES_MAX / sizeof(OLECHAR))
        return fail(w, BH_E_TOO_LARGE);
    BSTR text = SysAllocStringLen(NULL, (UINT)units);
    if (!text)
        return fail(w, BH_E_MEMORY);
    (void)bhw_text16_from_utf8((uint16_t *)text, value->as.string, (size_t)value->length);
    V_VT(out) = VT_BSTR;
    V_BSTR(out) = text;
    return BH_OK;
}

static int write_error(const struct writer *w, VARIANT *out, const bh_value *value)
{
    VARIANT *parts;
    int rc = new_variants(w, out, 3, 1, 1, BHW_ERROR_PARTS, &parts);

    if (rc != BH_OK)
        return rc;
    V_VT(&parts[0]) = VT_ERROR;
    V_ERROR(&parts[0]) = value->code;
    return write_text(w, &parts[1], value);
}

static int write_timestamp(const struct writer *w, VARIANT *out, int64_t ms)
{
    DATE date;

    if (bhw_date_from_ms(ms, &date)) {
        V_VT(out) = VT_DATE;
        V_DATE(out) = date;
        return BH_OK;
    }
    int rc = new_array(w, out, VT_I8, 3, 1, 1, 1);
    if (rc == BH_OK)
        memcpy(V_ARRAY(out)->pvData, &ms, sizeof(ms));
    return rc;
}

/* ---- blocks ---- */

static VARTYPE block_vartype(unsigned type)
{
    switch (type) {
    case BH_I32_ARRAY:
        return VT_I4;
    case BH_I64_ARRAY:
        return VT_I8;
    case BH_F32_ARRAY:
        return VT_R4;
    case BH_F64_ARRAY:
        return VT_R8;
    default:
        return VT_UI1;
    }
}

/* Whether it lies where it can be named. */
static bool is_named(const struct writer *w, const bh_value *value, uint64_t bytes, uint64_t *name)
{
    return w->blobs->name && bytes <= SIZE_MAX &&
           w->blobs->name(w->blobs->context, value->as.bytes, (size_t)bytes, name);
}

static int write_reference(const struct writer *w, VARIANT *out, const bh_value *value,
                           size_t bytes)
{
    VARIANT *parts;
    uint64_t name;
    int rc = new_variants(w, out, 3, 1, 1, BHW_REFERENCE_PARTS, &parts);

    if (rc != BH_OK)
        return rc;
    if (!is_named(w, value, bytes, &name))
        rc = w->blobs->put(w->blobs->context, value->as.bytes, bytes, &name);
    if (rc != BH_OK)
        return fail(w, rc);
    V_VT(&parts[0]) = VT_UI1;
    V_UI1(&parts[0]) = (BYTE)value->type;
    V_VT(&parts[1]) = VT_UI8;
    V_UI8(&parts[1]) = bytes;
    V_VT(&parts[2]) = VT_UI8;
    V_UI8(&parts[2]) = name;
    return BH_OK;
}

/* Bytes of a value that is no container, as a block; 0 for a text, which never travels beside. */
static uint64_t block_bytes(const bh_value *value)
{
    bool text = value->type == BH_STRING || value->type == BH_ERROR;

    return text ? 0 : value->length * bhi_element_size(value->type);
}

static bool is_large(const struct writer *w, uint64_t bytes)
{
    return w->blobs && w->blobs->put && w->blobs->threshold > 0 && bytes >= w->blobs->threshold;
}

/* What the large ones among these values, and in them, take up. */
static uint64_t space_for(const struct writer *w, const bh_value *values, uint64_t count)
{
    uint64_t space = 0;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t bytes = block_bytes(&values[i]);
        uint64_t name;
        if (is_large(w, bytes) && !is_named(w, &values[i], bytes, &name))
            space += BHW_ARENA_SPACE(bytes);
        if (bhi_is_container(&values[i]))
            space +=
                space_for(w, bhi_container_values(&values[i]), bhi_container_count(&values[i]));
    }
    return space;
}

/* The values have passed bh_wire_size(), which bounds their number, depth and bytes. */
static int reserve(const struct writer *w, const bh_value *values, size_t count)
{
    bool may_put = w->blobs && w->blobs->put && w->blobs->reserve && w->blobs->threshold > 0;
    uint64_t space = may_put ? space_for(w, values, count) : 0;
    int rc = space > 0 ? w->blobs->reserve(w->blobs->context, space) : BH_OK;

    if (rc == BH_E_STATE)
        rc = w->blobs->reserve(w->blobs->context, space_for(w, values, count));
    return rc == BH_OK ? rc : fail(w, rc);
}

static int write_block(const struct writer *w, VARIANT *out, const bh_value *value)
{
    uint64_t bytes = block_bytes(value);

    if (is_large(w, bytes))
        return write_reference(w, out, value, (size_t)bytes);
    int rc = new_array(w, out, block_vartype(value->type), 1, value->length, 1, 1);
    if (rc == BH_OK && bytes > 0) /* memcpy(…, NULL, 0) is undefined */
        memcpy(V_ARRAY(out)->pvData, value->as.bytes, (size_t)bytes);
    return rc;
}

/* ---- containers ---- */

static int write_value(const struct writer *w, VARIANT *out, const bh_value *value);

static int write_array(const struct writer *w, VARIANT *out, const bh_value *array)
{
    VARIANT *items;
    int rc = new_variants(w, out, 1, array->length, 1, 1, &items);

    for (uint64_t i = 0; rc == BH_OK && i < array->length; i++)
        rc = write_value(w, &items[i], &array->as.items[i]);
    return rc;
}

/* The first index runs fastest: all keys, then all values. */
static int write_map(const struct writer *w, VARIANT *out, const bh_value *map)
{
    VARIANT *cells;
    int rc = new_variants(w, out, 2, map->length, BHW_MAP_COLUMNS, 1, &cells);

    for (uint64_t i = 0; rc == BH_OK && i < map->length; i++) {
        rc = write_text(w, &cells[i], &map->as.members[i].key);
        if (rc == BH_OK)
            rc = write_value(w, &cells[map->length + i], &map->as.members[i].value);
    }
    return rc;
}

/* ---- any value ---- */

/* *out is VT_EMPTY when this is called. The value has passed bh_wire_size(). */
static int write_value(const struct writer *w, VARIANT *out, const bh_value *value)
{
    switch (value->type) {
    case BH_NULL:
        V_VT(out) = VT_NULL;
        return BH_OK;
    case BH_BOOL:
        V_VT(out) = VT_BOOL;
        V_BOOL(out) = value->as.boolean ? VARIANT_TRUE : VARIANT_FALSE;
        return BH_OK;
    case BH_INT64:
        V_VT(out) = VT_I8;
        V_I8(out) = value->as.int64;
        return BH_OK;
    case BH_UINT64:
        V_VT(out) = VT_UI8;
        V_UI8(out) = value->as.uint64;
        return BH_OK;
    case BH_DOUBLE:
        V_VT(out) = VT_R8;
        V_UI8(out) = value->as.uint64; /* by its bits: see variant_number.c */
        return BH_OK;
    case BH_TIMESTAMP:
        return write_timestamp(w, out, value->as.int64);
    case BH_STRING:
        return write_text(w, out, value);
    case BH_ERROR:
        return write_error(w, out, value);
    case BH_ARRAY:
        return write_array(w, out, value);
    case BH_MAP:
        return write_map(w, out, value);
    default:
        return write_block(w, out, value);
    }
}

/* ---- in public ---- */

static int check(const struct writer *w, const bh_value *values, size_t count,
                 const struct bh_value_limits *limits)
{
    size_t size;
    int rc = bh_wire_size(values, count, limits, &size);

    return rc == BH_OK ? rc : fail(w, rc);
}

int bhw_variant_from_value(VARIANT *out, const bh_value *value, struct bhw_blobs *blobs,
                           struct bh_problem *problem)
{
    const struct bh_value_limits limits = {BHI_DEPTH_MAX, UINT64_MAX, UINT64_MAX};
    struct writer w = {blobs, problem};

    VariantInit(out);
    int rc = check(&w, value, 1, &limits);
    if (rc == BH_OK)
        rc = reserve(&w, value, 1);
    if (rc == BH_OK)
        rc = write_value(&w, out, value);
    if (rc != BH_OK)
        VariantClear(out);
    return rc;
}

void bhw_arguments_free(VARIANT *arguments, size_t count)
{
    if (!arguments)
        return;
    for (size_t i = 0; i < count; i++)
        VariantClear(&arguments[i]);
    bhi_free(arguments);
}

/* All VT_EMPTY. */
static VARIANT *new_arguments(size_t count)
{
    VARIANT *arguments =
        count <= UINT32_MAX / sizeof(*arguments) ? bhi_alloc(count * sizeof(*arguments)) : NULL;

    for (size_t i = 0; arguments && i < count; i++)
        VariantInit(&arguments[i]);
    return arguments;
}

int bhw_arguments_from_values(VARIANT **out, const bh_value *values, size_t count,
                              const struct bh_value_limits *limits, struct bhw_blobs *blobs,
                              struct bh_problem *problem)
{
    struct writer w = {blobs, problem};

    *out = NULL;
    int rc = check(&w, values, count, limits);
    if (rc == BH_OK)
        rc = reserve(&w, values, count);
    if (rc != BH_OK || count == 0)
        return rc;
    VARIANT *arguments = new_arguments(count);
    if (!arguments)
        return fail(&w, BH_E_MEMORY);
    for (size_t i = 0; rc == BH_OK && i < count; i++)
        rc = write_value(&w, &arguments[count - 1 - i], &values[i]);
    if (rc != BH_OK)
        bhw_arguments_free(arguments, count);
    else
        *out = arguments;
    return rc;
}
