/* SPDX-License-Identifier: MIT */
/*
 * Writing JSON.
 *
 * Model: one growing buffer and a recursive walk, never deeper than BHI_DEPTH_MAX. The first
 * failure sticks in the buffer's `rc`; what is appended after it is ignored, so that writers of
 * pieces need not check. Markers are written on one line in either style.
 *
 * Invariants: what comes out, bh_json_read() reads back as the same value. Strings are checked
 * here, since views are not checked when they are made. No byte depends on the locale.
 */
#include "alloc.h"
#include "base64.h"
#include "json_internal.h"
#include "json_number.h"
#include "utf8.h"

#include <bulkhead/json.h>

#include <string.h>

struct writer {
    char *text;
    size_t length;
    size_t capacity;
    int rc;
    bool pretty;
};

static void write_value(struct writer *w, const bh_value *value, unsigned depth);

/* ---- the buffer ---- */

static void set_error(struct writer *w, int rc)
{
    if (w->rc == BH_OK)
        w->rc = rc;
}

/* Makes room for `more` bytes. */
static bool reserve(struct writer *w, size_t more)
{
    size_t capacity = w->capacity ? w->capacity : 64;

    if (w->rc != BH_OK)
        return false;
    if (w->capacity - w->length >= more)
        return true;
    while (capacity - w->length < more) {
        if (capacity > SIZE_MAX / 2) {
            set_error(w, BH_E_TOO_LARGE);
            return false;
        }
        capacity *= 2;
    }
    char *text = bhi_realloc(w->text, capacity);
    if (!text) {
        set_error(w, BH_E_MEMORY);
        return false;
    }
    w->text = text;
    w->capacity = capacity;
    return true;
}

static void put(struct writer *w, const char *text, size_t length)
{
    if (length == 0 || !reserve(w, length))
        return;
    memcpy(w->text + w->length, text, length);
    w->length += length;
}

static void put_text(struct writer *w, const char *text)
{
    put(w, text, strlen(text));
}

/* In the pretty style, a new line that is `depth` levels in. */
static void put_line(struct writer *w, unsigned depth)
{
    if (!w->pretty)
        return;
    put(w, "\n", 1);
    for (unsigned i = 0; i < depth; i++)
        put(w, "  ", 2);
}

/* ---- strings ---- */

static void put_escaped(struct writer *w, unsigned char c)
{
    static const char named[] = "\"\\\b\f\n\r\t";
    static const char names[] = "\"\\bfnrt";
    const char *name = memchr(named, c, sizeof(named) - 1);

    if (name) {
        char escape[2] = {'\\', names[name - named]};
        put(w, escape, sizeof(escape));
    } else {
        char escape[6] = {'\\', 'u', '0', '0', (char)('0' + (c >> 4)), "0123456789abcdef"[c & 15]};
        put(w, escape, sizeof(escape));
    }
}

static bool needs_escape(char c)
{
    return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

static void put_string(struct writer *w, const char *text, size_t length)
{
    size_t start = 0;

    if (!bhi_utf8_valid(text, length)) {
        set_error(w, BH_E_UTF8);
        return;
    }
    put(w, "\"", 1);
    for (size_t i = 0; i < length; i++) {
        if (!needs_escape(text[i]))
            continue;
        put(w, text + start, i - start);
        put_escaped(w, (unsigned char)text[i]);
        start = i + 1;
    }
    if (length > 0)
        put(w, text + start, length - start);
    put(w, "\"", 1);
}

/* ---- scalars ---- */

static void put_int64(struct writer *w, int64_t number)
{
    char text[BHI_NUMBER_ROOM];

    put(w, text, bhi_number_write_int64(text, number));
}

static void put_uint64(struct writer *w, uint64_t number)
{
    char text[BHI_NUMBER_ROOM];

    put_text(w, "{\"$uint64\":\"");
    put(w, text, bhi_number_write_uint64(text, number));
    put_text(w, "\"}");
}

/* `text` is a number, or something special that needs quotes. */
static void put_number_or_special(struct writer *w, bool number, const char *text, size_t length)
{
    const char *quote = number ? "" : "\"";

    put_text(w, quote);
    put(w, text, length);
    put_text(w, quote);
}

static void put_real(struct writer *w, const double *number)
{
    char text[BHI_NUMBER_ROOM];
    bool finite = bhi_number_is_finite(*number);
    size_t length =
        finite ? bhi_number_write_double(text, *number) : bhi_number_write_special(text, *number);

    put_number_or_special(w, finite, text, length);
}

static void put_float(struct writer *w, const float *number)
{
    char text[BHI_NUMBER_ROOM];
    bool finite = bhi_number_is_finite_float(*number);
    size_t length = finite ? bhi_number_write_float(text, *number)
                           : bhi_number_write_special_float(text, *number);

    put_number_or_special(w, finite, text, length);
}

static void put_double(struct writer *w, const bh_value *value)
{
    bool finite = bhi_number_is_finite(value->as.real);

    put_text(w, finite ? "" : "{\"$double\":");
    put_real(w, &value->as.real);
    put_text(w, finite ? "" : "}");
}

static void put_timestamp(struct writer *w, const bh_value *value)
{
    put_text(w, "{\"$timestamp\":");
    put_int64(w, value->as.int64);
    put_text(w, "}");
}

static void put_bytes(struct writer *w, const bh_value *value)
{
    size_t length = (size_t)value->length;
    char group[4];

    put_text(w, "{\"$bytes\":\"");
    for (size_t i = 0; i < length; i += 3) {
        bhi_base64_encode(value->as.bytes + i, length - i, group);
        put(w, group, sizeof(group));
    }
    put_text(w, "\"}");
}

static void put_error(struct writer *w, const bh_value *value)
{
    put_text(w, "{\"$error\":{\"code\":");
    put_int64(w, value->code);
    put_text(w, ",\"text\":");
    put_string(w, value->as.string, (size_t)value->length);
    put_text(w, "}}");
}

/* ---- arrays and maps ---- */

static void put_element(struct writer *w, const bh_value *array, uint64_t i)
{
    if (array->type == BH_I32_ARRAY)
        put_int64(w, array->as.i32[i]);
    else if (array->type == BH_I64_ARRAY)
        put_int64(w, array->as.i64[i]);
    else if (array->type == BH_F32_ARRAY)
        put_float(w, &array->as.f32[i]);
    else
        put_real(w, &array->as.f64[i]);
}

static void put_typed_array(struct writer *w, const bh_value *array, const char *opening)
{
    put_text(w, opening);
    for (uint64_t i = 0; i < array->length && w->rc == BH_OK; i++) {
        if (i > 0)
            put(w, ",", 1);
        put_element(w, array, i);
    }
    put_text(w, "]}");
}

static void put_items(struct writer *w, const bh_value *array, unsigned depth)
{
    put(w, "[", 1);
    for (uint64_t i = 0; i < array->length && w->rc == BH_OK; i++) {
        if (i > 0)
            put(w, ",", 1);
        put_line(w, depth + 1);
        write_value(w, &array->as.items[i], depth + 1);
    }
    if (array->length > 0)
        put_line(w, depth);
    put(w, "]", 1);
}

static void put_member(struct writer *w, const struct bh_member *member, unsigned depth)
{
    if (member->key.type != BH_STRING)
        set_error(w, BH_E_TYPE);
    else
        put_string(w, member->key.as.string, (size_t)member->key.length);
    put_text(w, w->pretty ? ": " : ":");
    write_value(w, &member->value, depth);
}

static void put_members(struct writer *w, const bh_value *map, unsigned depth)
{
    put(w, "{", 1);
    for (uint64_t i = 0; i < map->length && w->rc == BH_OK; i++) {
        if (i > 0)
            put(w, ",", 1);
        put_line(w, depth + 1);
        put_member(w, &map->as.members[i], depth + 1);
    }
    if (map->length > 0)
        put_line(w, depth);
    put(w, "}", 1);
}

static void put_map(struct writer *w, const bh_value *map, unsigned depth)
{
    bool wrap = bhi_json_looks_like_marker(map);

    if (wrap)
        put_text(w, w->pretty ? "{\"$map\": " : "{\"$map\":");
    put_members(w, map, depth);
    if (wrap)
        put(w, "}", 1);
}

static void put_container(struct writer *w, const bh_value *container, unsigned depth)
{
    if (depth >= BHI_DEPTH_MAX)
        set_error(w, BH_E_DEPTH);
    else if (container->type == BH_ARRAY)
        put_items(w, container, depth);
    else
        put_map(w, container, depth);
}

static void write_value(struct writer *w, const bh_value *value, unsigned depth)
{
    switch (value->type) {
    case BH_NULL:
        put_text(w, "null");
        break;
    case BH_BOOL:
        put_text(w, value->as.boolean ? "true" : "false");
        break;
    case BH_INT64:
        put_int64(w, value->as.int64);
        break;
    case BH_UINT64:
        put_uint64(w, value->as.uint64);
        break;
    case BH_DOUBLE:
        put_double(w, value);
        break;
    case BH_TIMESTAMP:
        put_timestamp(w, value);
        break;
    case BH_STRING:
        put_string(w, value->as.string, (size_t)value->length);
        break;
    case BH_BYTES:
        put_bytes(w, value);
        break;
    case BH_ERROR:
        put_error(w, value);
        break;
    case BH_I32_ARRAY:
        put_typed_array(w, value, "{\"$i32\":[");
        break;
    case BH_I64_ARRAY:
        put_typed_array(w, value, "{\"$i64\":[");
        break;
    case BH_F32_ARRAY:
        put_typed_array(w, value, "{\"$f32\":[");
        break;
    case BH_F64_ARRAY:
        put_typed_array(w, value, "{\"$f64\":[");
        break;
    case BH_ARRAY:
    case BH_MAP:
        put_container(w, value, depth);
        break;
    default:
        set_error(w, BH_E_TYPE);
    }
}

int bh_json_write(const bh_value *value, enum bh_json_style style, char **text, size_t *length)
{
    struct writer w = {.pretty = style == BH_JSON_PRETTY};

    *text = NULL;
    write_value(&w, value, 0);
    put(&w, "", 1); /* the NUL */
    if (w.rc != BH_OK) {
        bhi_free(w.text);
        return w.rc;
    }
    *text = w.text;
    if (length)
        *length = w.length - 1;
    return BH_OK;
}
