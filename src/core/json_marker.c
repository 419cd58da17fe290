/* SPDX-License-Identifier: MIT */
/*
 * Markers: what JSON has no notation for, as objects with one member whose key starts with '$'.
 *
 * Model: top down through a raw tree. A marker is replaced by the value it stands for. {"$map":m}
 * is replaced by m itself, which is *not* looked at as a marker; only its members are. That is why
 * this is a pass of its own: seen from below, m cannot be told from a marker.
 *
 * Invariants: markers are canonical, with one exception: the order of an error's two members, and
 * how numbers are spelt, are free, as in all JSON. {"$map":…} around a map that does not need it is
 * refused. A raw value's `code` is an offset before, and 0 (or an error's number) after. Depth is
 * counted in values here, so that markers cost none.
 */
#include "base64.h"
#include "json_internal.h"
#include "json_number.h"

#include <string.h>

static int resolve(const struct bhi_json_text *json, bh_value *value, uint32_t depth);

static int refuse(const struct bhi_json_text *json, const bh_value *at, const char *what)
{
    return bhi_json_fail(json, BH_E_SYNTAX, bhi_json_offset(at), "%s", what);
}

static int out_of_range(const struct bhi_json_text *json, const bh_value *at)
{
    return bhi_json_fail(json, BH_E_RANGE, bhi_json_offset(at), "the number is out of range");
}

static int out_of_memory(const struct bhi_json_text *json, const bh_value *at)
{
    return bhi_json_fail(json, BH_E_MEMORY, bhi_json_offset(at), "out of memory");
}

bool bhi_json_looks_like_marker(const bh_value *map)
{
    if (map->type != BH_MAP || map->length != 1)
        return false;
    const bh_value *key = &map->as.members[0].key;
    return key->length > 0 && key->as.string[0] == '$';
}

/* ---- scalars ---- */

/* Each reader below makes *out from a marker's payload; the payload stays with its owner unless the
 * function says that it takes it. */

static int read_uint64(const struct bhi_json_text *json, bh_value *payload, bh_value *out)
{
    uint64_t number;

    if (payload->type != BH_STRING ||
        !bhi_number_read_uint64(payload->as.string, (size_t)payload->length, &number))
        return refuse(json, payload, "$uint64 needs a string of decimal digits that fits");
    *out = bh_value_uint64(number);
    return BH_OK;
}

static int read_timestamp(const struct bhi_json_text *json, bh_value *payload, bh_value *out)
{
    if (payload->type != BH_INT64)
        return refuse(json, payload, "$timestamp needs an integer within int64");
    *out = bh_value_timestamp(payload->as.int64);
    return BH_OK;
}

static int read_double(const struct bhi_json_text *json, bh_value *payload, bh_value *out)
{
    *out = bh_value_double(0.0);
    if (payload->type != BH_STRING ||
        !bhi_number_read_special(payload->as.string, (size_t)payload->length, &out->as.real))
        return refuse(json, payload, "$double needs \"inf\", \"-inf\" or \"nan:\" and 16 digits");
    return BH_OK;
}

static int read_bytes(const struct bhi_json_text *json, bh_value *payload, bh_value *out)
{
    const char *text = payload->as.string;
    size_t length = (size_t)payload->length;
    size_t size;
    void *bytes;

    if (payload->type != BH_STRING || !bhi_base64_size(text, length, &size))
        return refuse(json, payload, "$bytes needs a string of base64 with padding");
    if (bhi_value_alloc(out, BH_BYTES, size, &bytes) != BH_OK)
        return out_of_memory(json, payload);
    if (!bhi_base64_decode(text, length, bytes))
        return refuse(json, payload, "malformed base64");
    return BH_OK;
}

/* Takes the text. */
static int read_error(const struct bhi_json_text *json, bh_value *payload, bh_value *out)
{
    const bh_value *code = bh_map_get(payload, "code");
    bh_value *text = (bh_value *)bh_map_get(payload, "text");

    if (!code || !text || payload->length != 2 || code->type != BH_INT64 || text->type != BH_STRING)
        return refuse(json, payload, "$error needs an integer \"code\" and a string \"text\"");
    if (code->as.int64 < INT32_MIN || code->as.int64 > INT32_MAX)
        return out_of_range(json, code);
    *out = *text;
    *text = bh_value_null();
    out->type = BH_ERROR;
    out->code = (int32_t)code->as.int64;
    return BH_OK;
}

/* ---- typed arrays ---- */

static int read_i32_element(const struct bhi_json_text *json, const bh_value *item, void *element)
{
    if (item->type != BH_INT64 || item->as.int64 < INT32_MIN || item->as.int64 > INT32_MAX)
        return bhi_json_fail(json, BH_E_RANGE, bhi_json_offset(item), "no integer within int32");
    int32_t number = (int32_t)item->as.int64;
    memcpy(element, &number, sizeof(number));
    return BH_OK;
}

static int read_i64_element(const struct bhi_json_text *json, const bh_value *item, void *element)
{
    if (item->type != BH_INT64)
        return bhi_json_fail(json, BH_E_RANGE, bhi_json_offset(item), "no integer within int64");
    memcpy(element, &item->as.int64, sizeof(item->as.int64));
    return BH_OK;
}

/* A number of any spelling, rounded to a double if need be. */
static bool number_of(const bh_value *item, double *number)
{
    if (item->type == BH_INT64)
        *number = (double)item->as.int64;
    else if (item->type == BH_UINT64)
        *number = (double)item->as.uint64;
    else if (item->type == BH_DOUBLE)
        *number = item->as.real;
    else
        return false;
    return true;
}

static int read_f64_element(const struct bhi_json_text *json, const bh_value *item, void *element)
{
    double number;

    if (number_of(item, &number)) {
        memcpy(element, &number, sizeof(number));
        return BH_OK;
    }
    if (item->type != BH_STRING ||
        !bhi_number_read_special(item->as.string, (size_t)item->length, element))
        return refuse(json, item,
                      "$f64 needs numbers, \"inf\", \"-inf\" or \"nan:\" and 16 digits");
    return BH_OK;
}

static int read_f32_element(const struct bhi_json_text *json, const bh_value *item, void *element)
{
    const double too_large = 0x1.ffffffp127; /* half way from the greatest float to 2^128 */
    double number;

    if (number_of(item, &number)) {
        if (number >= too_large || number <= -too_large)
            return out_of_range(json, item);
        float rounded = (float)number;
        memcpy(element, &rounded, sizeof(rounded));
        return BH_OK;
    }
    if (item->type != BH_STRING ||
        !bhi_number_read_special_float(item->as.string, (size_t)item->length, element))
        return refuse(json, item, "$f32 needs numbers, \"inf\", \"-inf\" or \"nan:\" and 8 digits");
    return BH_OK;
}

typedef int element_reader(const struct bhi_json_text *json, const bh_value *item, void *element);

static int read_elements(const struct bhi_json_text *json, const bh_value *payload, bh_value *out,
                         unsigned type, element_reader *read)
{
    size_t size = bhi_element_size(type);
    void *data;

    if (payload->type != BH_ARRAY)
        return refuse(json, payload, "this marker needs an array");
    if (bhi_value_alloc(out, type, payload->length, &data) != BH_OK)
        return out_of_memory(json, payload);
    for (uint64_t i = 0; i < payload->length; i++) {
        int rc = read(json, &payload->as.items[i], (char *)data + (size_t)i * size);
        if (rc != BH_OK)
            return rc;
    }
    return BH_OK;
}

static int read_i32(const struct bhi_json_text *json, bh_value *payload, bh_value *out)
{
    return read_elements(json, payload, out, BH_I32_ARRAY, read_i32_element);
}

static int read_i64(const struct bhi_json_text *json, bh_value *payload, bh_value *out)
{
    return read_elements(json, payload, out, BH_I64_ARRAY, read_i64_element);
}

static int read_f32(const struct bhi_json_text *json, bh_value *payload, bh_value *out)
{
    return read_elements(json, payload, out, BH_F32_ARRAY, read_f32_element);
}

static int read_f64(const struct bhi_json_text *json, bh_value *payload, bh_value *out)
{
    return read_elements(json, payload, out, BH_F64_ARRAY, read_f64_element);
}

/* ---- the tree ---- */

static const struct marker {
    const char *key;
    int (*read)(const struct bhi_json_text *json, bh_value *payload, bh_value *out);
} markers[] = {
    {"$uint64", read_uint64}, {"$bytes", read_bytes}, {"$timestamp", read_timestamp},
    {"$double", read_double}, {"$error", read_error}, {"$i32", read_i32},
    {"$i64", read_i64},       {"$f32", read_f32},     {"$f64", read_f64},
};

static const struct marker *find_marker(const bh_value *key)
{
    for (size_t i = 0; i < sizeof(markers) / sizeof(markers[0]); i++) {
        if (bhi_key_is(key, markers[i].key, strlen(markers[i].key)))
            return &markers[i];
    }
    return NULL;
}

/* Replaces the object by what the marker makes of its payload. */
static int resolve_marker(const struct bhi_json_text *json, bh_value *object)
{
    struct bh_member *member = &object->as.members[0];
    const struct marker *marker = find_marker(&member->key);
    bh_value made = bh_value_null();

    if (!marker)
        return bhi_json_fail(json, BH_E_SYNTAX, bhi_json_offset(&member->key),
                             "unknown marker \"%s\"", member->key.as.string);
    int rc = marker->read(json, &member->value, &made);
    if (rc != BH_OK) {
        bh_value_deinit(&made);
        return rc;
    }
    bh_value_deinit(object);
    *object = made;
    return BH_OK;
}

/* Replaces {"$map":m} by m. */
static int unwrap(const struct bhi_json_text *json, bh_value *object)
{
    bh_value *payload = &object->as.members[0].value;

    if (!bhi_json_looks_like_marker(payload))
        return refuse(json, payload, "$map is only for an object that would be taken for a marker");
    bh_value map = *payload;
    *payload = bh_value_null();
    bh_value_deinit(object);
    *object = map;
    return BH_OK;
}

/* Resolves what is in an array or in an object that is a map. */
static int resolve_values(const struct bhi_json_text *json, bh_value *container, uint32_t depth)
{
    bh_value *values = bhi_container_values(container);

    if (depth == 0)
        return bhi_json_fail(json, BH_E_DEPTH, bhi_json_offset(container), "nested too deep");
    container->code = 0;
    for (uint64_t i = 0; i < bhi_container_count(container); i++) {
        int rc = resolve(json, &values[i], depth - 1);
        if (rc != BH_OK)
            return rc;
    }
    return BH_OK;
}

static int resolve(const struct bhi_json_text *json, bh_value *value, uint32_t depth)
{
    if (bhi_json_looks_like_marker(value)) {
        if (!bhi_key_is(&value->as.members[0].key, "$map", 4))
            return resolve_marker(json, value);
        int rc = unwrap(json, value);
        if (rc != BH_OK)
            return rc;
    }
    if (bhi_is_container(value))
        return resolve_values(json, value, depth);
    value->code = 0;
    return BH_OK;
}

int bhi_json_resolve(const struct bhi_json_text *json, bh_value *value)
{
    return resolve(json, value, json->limits.depth);
}
