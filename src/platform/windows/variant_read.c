/* SPDX-License-Identifier: MIT */
/*
 * VARIANTs from anybody as values.
 *
 * Model: one recursive walk. Whatever is read is a type and an address, in a VARIANT, behind a
 * VT_BYREF pointer or in a SAFEARRAY; read_at() copies what lies there. The reader keeps the way
 * from the argument down to where it is, for the text of a problem.
 *
 * Invariants: nothing is allocated before it is within the limits, which are the wire form's: a
 * value that this reader makes passes bh_wire_size() with the same ones. Each element is read once.
 * Two pointers at most are followed for one value (VT_BYREF|VT_VARIANT to a VT_BYREF of another
 * type), and containers nest no deeper than limits.depth, so a VARIANT that contains itself is
 * refused. A table is null throughout before it is filled: whoever fails, the caller's
 * bh_value_deinit() frees all.
 */
#include "variant_internal.h"

#include "text16.h"

#include "core/alloc.h"
#include "core/keys.h"
#include "core/problem.h"
#include "core/utf8.h"
#include "core/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A step on the way down. */
struct step {
    const char *what;    /* "argument", "element", "key"; "member": by its key */
    int64_t number;      /* of an argument from 1, of an element as its array counts */
    const bh_value *key; /* of a member */
};

struct reader {
    struct bh_value_limits limits;
    struct bhw_blobs *blobs;
    struct bh_problem *problem;
    uint64_t count; /* values so far */
    uint64_t bytes; /* of their wire form */
    unsigned depth; /* containers around */
    unsigned steps; /* on the way */
    struct step way[BHI_DEPTH_MESSAGE];
};

static int read_variant(struct reader *r, bh_value *out, const VARIANT *in);

/* ---- problems ---- */

/* More steps than this are not told. */
#define STEPS_TOLD 4u

/* How many bytes of a key are shown: whole characters. */
static int shown(const bh_value *key)
{
    return (int)bhi_utf8_valid_prefix(key->as.string, key->length > 24 ? 24 : (size_t)key->length);
}

static size_t tell_step(char *text, size_t size, const struct step *step)
{
    const bh_value *key = step->key;
    int length;

    if (key)
        length = snprintf(text, size, "%s \"%.*s\", ", step->what, shown(key), key->as.string);
    else
        length = snprintf(text, size, "%s %" PRId64 ", ", step->what, step->number);
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

/* The way as a text that ends in ": ", or an empty one. */
static void tell_way(const struct reader *r, char *text, size_t size)
{
    size_t at = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < r->steps && i < STEPS_TOLD; i++)
        at += tell_step(text + at, size - at, &r->way[i]);
    if (r->steps > STEPS_TOLD)
        at += (size_t)snprintf(text + at, size - at, "..., ");
    if (at >= 2)
        memcpy(text + at - 2, ": ", 2);
}

/* Records a problem at the present place. @return `code` */
static int fail(const struct reader *r, int code, const char *what, const char *why)
{
    char way[160];

    tell_way(r, way, sizeof(way));
    return bhi_problem_set(r->problem, code, 0, "%s%s %s", way, what, why);
}

static int fail_type(const struct reader *r, int code, VARTYPE vt, const char *why)
{
    char name[64];

    return fail(r, code, bhw_vartype_name(vt, name), why);
}

static int fail_memory(const struct reader *r)
{
    return fail(r, BH_E_MEMORY, "there is", "no memory for it");
}

/* ---- limits ---- */

/* Counts one value with this many bytes of payload. */
static int charge(struct reader *r, uint64_t payload)
{
    if (r->count >= r->limits.count)
        return fail(r, BH_E_TOO_LARGE, "there are", "too many values");
    if (payload > r->limits.bytes)
        return fail(r, BH_E_TOO_LARGE, "the whole", "is larger than allowed");
    uint64_t size = sizeof(struct bhi_wire_header) + bhi_wire_padded(payload);
    if (size > r->limits.bytes - r->bytes)
        return fail(r, BH_E_TOO_LARGE, "the whole", "is larger than allowed");
    r->count++;
    r->bytes += size;
    return BH_OK;
}

/* Whether so many values more could be within the limits. */
static int check_room(struct reader *r, uint64_t count)
{
    if (count > r->limits.count - r->count)
        return fail(r, BH_E_TOO_LARGE, "there are", "too many values");
    if (count > (r->limits.bytes - r->bytes) / sizeof(struct bhi_wire_header))
        return fail(r, BH_E_TOO_LARGE, "the whole", "is larger than allowed");
    return BH_OK;
}

/* Gives a container a table of `count` nulls. */
static int fill_with_null(const struct reader *r, bh_value *container, uint64_t count)
{
    if (count == 0)
        return BH_OK;
    struct bhi_table *table = bhi_table_new(count);
    if (!table)
        return fail_memory(r);
    for (uint64_t i = 0; i < count; i++)
        table->values[i] = bh_value_null();
    bhi_container_adopt(container, table);
    container->length = container->type == BH_MAP ? count / 2 : count;
    return BH_OK;
}

/* Makes *out a container of `count` nulls, and goes inside. */
static int enter(struct reader *r, bh_value *out, unsigned type, uint64_t count)
{
    int rc = charge(r, 0);

    if (rc != BH_OK)
        return rc;
    if (r->depth >= r->limits.depth)
        return fail(r, BH_E_DEPTH, "it is", "nested too deep");
    rc = check_room(r, count);
    if (rc != BH_OK)
        return rc;
    *out = type == BH_MAP ? bh_value_map() : bh_value_array();
    rc = fill_with_null(r, out, count);
    if (rc != BH_OK)
        return rc;
    r->depth++;
    r->steps++;
    return BH_OK;
}

static void leave(struct reader *r)
{
    r->depth--;
    r->steps--;
}

static void step(struct reader *r, const char *what, int64_t number, const bh_value *key)
{
    r->way[r->steps - 1] = (struct step){what, number, key};
}

/* ---- text and blocks ---- */

static int new_block(struct reader *r, bh_value *out, unsigned type, uint64_t count, void **data)
{
    if (bhi_value_alloc(out, type, count, data) != BH_OK)
        return fail_memory(r);
    return BH_OK;
}

/* Text for a value of `type`, whose payload has `before` bytes more. */
static int read_text(struct reader *r, bh_value *out, BSTR text, unsigned type, size_t before)
{
    size_t size = SysStringByteLen(text); /* of NULL: 0 */
    size_t bytes;
    void *data;

    if (size % sizeof(OLECHAR) != 0)
        return fail_type(r, BH_E_SYNTAX, VT_BSTR, "has half a character at its end");
    if (!bhw_text16_measure((const uint16_t *)text, size / sizeof(OLECHAR), &bytes))
        return fail_type(r, BH_E_UTF8, VT_BSTR, "has an unpaired surrogate");
    int rc = charge(r, (uint64_t)before + bytes);
    if (rc == BH_OK)
        rc = new_block(r, out, type, bytes, &data);
    if (rc == BH_OK)
        (void)bhw_text16_to_utf8(data, (const uint16_t *)text, size / sizeof(OLECHAR));
    return rc;
}

static int read_block(struct reader *r, bh_value *out, const struct bhw_array *array)
{
    unsigned type = bhw_array_type(array->vt);
    size_t size = bhi_element_size(type);
    void *data;

    if (array->count > SIZE_MAX / size)
        return fail_type(r, BH_E_TOO_LARGE, VT_ARRAY | array->vt, "is larger than the memory");
    int rc = charge(r, (uint64_t)array->count * size);
    if (rc == BH_OK)
        rc = new_block(r, out, type, array->count, &data);
    if (rc == BH_OK)
        bhw_array_copy(array, data);
    return rc;
}

/* ---- the shapes that no VARIANT has by itself ---- */

static int read_error(struct reader *r, bh_value *out, const VARIANT parts[BHW_ERROR_PARTS])
{
    int32_t code = V_I4(&parts[0]);

    if (V_VT(&parts[0]) == VT_I2) /* a small number of a script's */
        code = V_I2(&parts[0]);
    else if (V_VT(&parts[0]) != VT_ERROR && V_VT(&parts[0]) != VT_I4)
        return fail(r, BH_E_TYPE, "an error", "(1 x 1 x 2) begins with VT_ERROR or VT_I4");
    if (V_VT(&parts[1]) != VT_BSTR)
        return fail(r, BH_E_TYPE, "an error", "(1 x 1 x 2) ends in a VT_BSTR");
    int rc = read_text(r, out, V_BSTR(&parts[1]), BH_ERROR, sizeof(struct bhi_wire_error));
    if (rc == BH_OK)
        out->code = code;
    return rc;
}

static bool is_block(unsigned type)
{
    return type == BH_BYTES || (type >= BH_I32_ARRAY && type <= BH_F64_ARRAY);
}

static int fetch(struct reader *r, bh_value *out, unsigned type, uint64_t bytes, uint64_t name)
{
    uint64_t count = bytes / bhi_element_size(type);
    const void *found;
    int rc = charge(r, bytes);

    if (rc != BH_OK)
        return rc;
    rc = r->blobs->find(r->blobs->context, name, (size_t)bytes, &found);
    if (rc == BH_E_MEMORY)
        return fail_memory(r);
    if (rc != BH_OK)
        return fail(r, rc, "a reference", "leads to no such memory");
    if (!r->blobs->in_place)
        return bhi_value_new(out, type, found, count) == BH_OK ? BH_OK : fail_memory(r);
    *out = (bh_value){.type = (uint16_t)type, .length = count, .as.bytes = found};
    return BH_OK;
}

static int read_reference(struct reader *r, bh_value *out, const VARIANT parts[BHW_REFERENCE_PARTS])
{
    if (!r->blobs || !r->blobs->find)
        return fail(r, BH_E_TYPE, "a reference", "to shared memory is not accepted here");
    if (V_VT(&parts[0]) != VT_UI1 || V_VT(&parts[1]) != VT_UI8 || V_VT(&parts[2]) != VT_UI8 ||
        !is_block(V_UI1(&parts[0])))
        return fail(r, BH_E_SYNTAX, "a reference", "to shared memory is malformed");
    uint64_t bytes = V_UI8(&parts[1]);
    if (bytes == 0 || bytes > SIZE_MAX || bytes % bhi_element_size(V_UI1(&parts[0])) != 0)
        return fail(r, BH_E_SYNTAX, "a reference", "to shared memory has a wrong size");
    return fetch(r, out, V_UI1(&parts[0]), bytes, V_UI8(&parts[2]));
}

static int read_timestamp(struct reader *r, bh_value *out, const void *data)
{
    int64_t ms;

    memcpy(&ms, data, sizeof(ms));
    *out = bh_value_timestamp(ms);
    return charge(r, sizeof(ms));
}

/* ---- containers ---- */

static int read_at(struct reader *r, bh_value *out, VARTYPE vt, const void *data);

static int read_items(struct reader *r, bh_value *out, const struct bhw_array *array)
{
    int rc = enter(r, out, BH_ARRAY, array->count);

    if (rc != BH_OK)
        return rc;
    for (size_t i = 0; rc == BH_OK && i < array->count; i++) {
        step(r, "element", array->lower + (int64_t)i, NULL);
        rc = read_at(r, &out->as.items[i], array->vt, bhw_array_at(array, i));
    }
    leave(r);
    return rc;
}

static int read_member(struct reader *r, struct bh_member *member, const struct bhw_array *array,
                       size_t row)
{
    size_t rows = array->extents[0];

    step(r, "key", array->lower + (int64_t)row, NULL);
    int rc = read_variant(r, &member->key, bhw_array_at(array, row));
    if (rc != BH_OK)
        return rc;
    if (member->key.type != BH_STRING)
        return fail(r, BH_E_TYPE, "a map's key", "is no VT_BSTR; a table of n x 2 is a map");
    step(r, "member", 0, &member->key);
    return read_variant(r, &member->value, bhw_array_at(array, rows + row));
}

static int refuse_duplicates(struct reader *r, const bh_value *map)
{
    struct bhi_key_entry *scratch;

    if (bhi_keys_scratch(map->length, &scratch) != BH_OK)
        return fail_memory(r);
    const bh_value *key = bhi_keys_duplicate(map, scratch);
    bhi_free(scratch);
    if (!key)
        return BH_OK;
    step(r, "member", 0, key);
    return fail(r, BH_E_DUPLICATE, "the map", "has this key twice");
}

static int read_map(struct reader *r, bh_value *out, const struct bhw_array *array)
{
    size_t rows = array->extents[0];
    int rc = enter(r, out, BH_MAP, array->count);

    if (rc != BH_OK)
        return rc;
    for (size_t i = 0; rc == BH_OK && i < rows; i++)
        rc = read_member(r, &out->as.members[i], array, i);
    if (rc == BH_OK)
        rc = refuse_duplicates(r, out);
    leave(r);
    return rc;
}

/* ---- what is where ---- */

/* An array of more than one dimension: only the shapes of our own are. */
static int read_shape(struct reader *r, bh_value *out, const struct bhw_array *array)
{
    if (array->dimensions == 2 && array->vt == VT_VARIANT && array->extents[1] == BHW_MAP_COLUMNS)
        return read_map(r, out, array);
    if (bhw_array_is(array, VT_VARIANT, 1, 1, BHW_ERROR_PARTS))
        return read_error(r, out, bhw_array_at(array, 0));
    if (bhw_array_is(array, VT_VARIANT, 1, 1, BHW_REFERENCE_PARTS))
        return read_reference(r, out, bhw_array_at(array, 0));
    if (bhw_array_is(array, VT_I8, 1, 1, 1))
        return read_timestamp(r, out, bhw_array_at(array, 0));
    return fail_type(r, BH_E_TYPE, VT_ARRAY | array->vt,
                     array->dimensions == 2
                         ? "of two dimensions is not supported, but for maps (VT_VARIANT, n x 2)"
                         : "of three dimensions is not supported");
}

static int read_array(struct reader *r, bh_value *out, VARTYPE vt, const SAFEARRAY *psa)
{
    struct bhw_array array;
    const char *why;
    int rc = bhw_array_open(&array, vt, psa, &why);

    if (rc != BH_OK)
        return fail_type(r, rc, VT_ARRAY | vt, why);
    if (array.dimensions > 1)
        return read_shape(r, out, &array);
    return bhw_array_type(vt) == BH_ARRAY ? read_items(r, out, &array) : read_block(r, out, &array);
}

static int read_number(struct reader *r, bh_value *out, VARTYPE vt, const void *data)
{
    const char *why;
    int rc = bhw_number_read(out, vt, data, &why);

    if (rc == BH_E_MEMORY)
        return fail_memory(r);
    if (rc != BH_OK)
        return fail_type(r, rc, vt, why);
    if (out->type == BH_ERROR)
        return charge(r, sizeof(struct bhi_wire_error));
    return charge(r, out->type == BH_NULL ? 0 : sizeof(uint64_t));
}

/* Reads what lies at an address. `vt` has no VT_BYREF. */
static int read_at(struct reader *r, bh_value *out, VARTYPE vt, const void *data)
{
    const SAFEARRAY *psa;
    BSTR text;

    if (vt & VT_ARRAY) {
        memcpy(&psa, data, sizeof(psa));
        return read_array(r, out, vt & (VARTYPE)~VT_ARRAY, psa);
    }
    switch (vt) {
    case VT_EMPTY:
    case VT_NULL:
        return charge(r, 0);
    case VT_BSTR:
        memcpy(&text, data, sizeof(text));
        return read_text(r, out, text, BH_STRING, 0);
    case VT_VARIANT:
        return read_variant(r, out, data);
    default:
        return read_number(r, out, vt, data);
    }
}

/* Where a VARIANT keeps what its type says. A DECIMAL lies over the whole of it. */
static const void *content_of(const VARIANT *in)
{
    return V_VT(in) == VT_DECIMAL ? (const void *)in : (const void *)&V_UI8(in);
}

/* What a reference to something may lead to: not to nothing, and not to another reference. */
static bool may_refer_to(VARTYPE vt)
{
    return vt != VT_EMPTY && vt != VT_NULL && vt != VT_VARIANT;
}

/* *out is null when this is called. */
static int read_variant(struct reader *r, bh_value *out, const VARIANT *in)
{
    if (V_VT(in) == (VT_BYREF | VT_VARIANT)) {
        in = V_VARIANTREF(in);
        if (!in)
            return fail_type(r, BH_E_SYNTAX, VT_BYREF | VT_VARIANT, "is NULL");
    }
    VARTYPE vt = V_VT(in);
    if (!(vt & VT_BYREF)) {
        if (vt == VT_VARIANT)
            return fail_type(r, BH_E_SYNTAX, vt, "stands without VT_BYREF");
        return read_at(r, out, vt, content_of(in));
    }
    if (!may_refer_to(vt & (VARTYPE)~VT_BYREF))
        return fail_type(r, BH_E_SYNTAX, vt, "is not supported here");
    if (!V_BYREF(in))
        return fail_type(r, BH_E_SYNTAX, vt, "is NULL");
    return read_at(r, out, vt & (VARTYPE)~VT_BYREF, V_BYREF(in));
}

/* ---- in public ---- */

static void reader_init(struct reader *r, const struct bh_value_limits *limits,
                        struct bhw_blobs *blobs, struct bh_problem *problem)
{
    r->limits = bhi_limits(limits);
    r->blobs = blobs;
    r->problem = problem;
    r->count = 0;
    r->bytes = 0;
    r->depth = 0;
    r->steps = 0;
}

int bhw_value_from_variant(bh_value *out, const VARIANT *in, const struct bh_value_limits *limits,
                           struct bhw_blobs *blobs, struct bh_problem *problem)
{
    struct reader r;

    reader_init(&r, limits, blobs, problem);
    *out = bh_value_null();
    int rc = read_variant(&r, out, in);
    if (rc != BH_OK)
        bh_value_deinit(out);
    return rc;
}

static int read_arguments(struct reader *r, bh_value *array, const VARIANT *arguments, size_t count)
{
    int rc = check_room(r, count);

    if (rc == BH_OK)
        rc = fill_with_null(r, array, count);
    r->steps = 1;
    for (size_t i = 0; rc == BH_OK && i < count; i++) {
        step(r, "argument", (int64_t)i + 1, NULL);
        rc = read_variant(r, &array->as.items[i], &arguments[count - 1 - i]);
    }
    return rc;
}

int bhw_values_from_arguments(bh_value *array, const VARIANT *arguments, size_t count,
                              const struct bh_value_limits *limits, struct bhw_blobs *blobs,
                              struct bh_problem *problem)
{
    struct reader r;

    reader_init(&r, limits, blobs, problem);
    *array = bh_value_array();
    int rc = read_arguments(&r, array, arguments, count);
    if (rc != BH_OK)
        bh_value_deinit(array);
    return rc;
}
