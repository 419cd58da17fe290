/* SPDX-License-Identifier: MIT */
/*
 * Reading JSON: RFC 8259 to the letter, into a raw tree (see json_internal.h), then its markers.
 *
 * Model: a recursive descent with one cursor. Markers are left alone here, because whether an
 * object is one is known only at its end, and whether it may be one depends on what is around it.
 *
 * Invariants: the cursor never passes `length`, and nothing at or after it is read. Recursion is
 * bounded: a marker nests at most two levels of JSON for one of values. Every value is counted
 * before it is made, so that memory is bounded by the limits and by a small multiple of the text.
 * On failure the tree built so far is freed by the one caller that owns its root.
 */
#include "alloc.h"
#include "json_internal.h"
#include "json_number.h"
#include "keys.h"
#include "problem.h"
#include "utf8.h"

#include <bulkhead/json.h>

#include <stdarg.h>
#include <string.h>

struct parser {
    struct bhi_json_text json;
    size_t at;
    uint64_t count;    /* values so far */
    uint32_t nest_max; /* of JSON's own brackets */
};

/* ---- where and what ---- */

/* Lines end with LF, so CR LF counts once; a column is a character, not a byte. */
static void locate(const struct bhi_json_text *json, size_t offset, struct bh_problem *problem)
{
    problem->line = 1;
    problem->column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (json->text[i] == '\n') {
            problem->line++;
            problem->column = 1;
        } else if (((unsigned char)json->text[i] & 0xc0) != 0x80) {
            problem->column++;
        }
    }
}

int bhi_json_fail(const struct bhi_json_text *json, int code, size_t offset, const char *format,
                  ...)
{
    va_list arguments;

    if (!json->problem)
        return code;
    va_start(arguments, format);
    bhi_problem_setv(json->problem, code, 0, format, arguments);
    va_end(arguments);
    if (offset != BHI_JSON_NOWHERE)
        locate(json, offset, json->problem);
    return code;
}

void bhi_json_set_offset(bh_value *raw, size_t offset)
{
    raw->code = offset <= INT32_MAX ? (int32_t)offset : -1;
}

size_t bhi_json_offset(const bh_value *raw)
{
    return raw->code >= 0 ? (size_t)raw->code : BHI_JSON_NOWHERE;
}

static int fail(const struct parser *p, int code, const char *what)
{
    return bhi_json_fail(&p->json, code, p->at, "%s", what);
}

static int fail_memory(const struct parser *p)
{
    return fail(p, BH_E_MEMORY, "out of memory");
}

/* ---- the cursor ---- */

/* The character at the cursor; NUL, which no token begins with, at the end. */
static char peek(const struct parser *p)
{
    return p->at < p->json.length ? p->json.text[p->at] : '\0';
}

static void skip_space(struct parser *p)
{
    while (peek(p) == ' ' || peek(p) == '\n' || peek(p) == '\r' || peek(p) == '\t')
        p->at++;
}

/* Steps over white space and then over `c`, if it is there. */
static bool accept(struct parser *p, char c)
{
    skip_space(p);
    if (peek(p) != c)
        return false;
    p->at++;
    return true;
}

/* ---- strings ---- */

/* Finds the quote that ends the string whose first character is at the cursor. */
static int find_quote(struct parser *p, size_t *end)
{
    for (size_t at = p->at; at < p->json.length; at++) {
        if (p->json.text[at] == '"') {
            *end = at;
            return BH_OK;
        }
        if (p->json.text[at] == '\\')
            at++;
    }
    p->at--;
    return fail(p, BH_E_SYNTAX, "the string that begins here has no end");
}

/* Four hexadecimal digits behind "\u" at `at`. They may run into the closing quote, which is no
 * digit, so that nothing beyond the string is read. */
static bool read_unit(const char *digits, uint32_t *unit)
{
    *unit = 0;
    for (unsigned i = 0; i < 4; i++) {
        char c = digits[i];
        if (c >= '0' && c <= '9')
            *unit = *unit << 4 | (uint32_t)(c - '0');
        else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            *unit = *unit << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return false;
    }
    return true;
}

/* "\uXXXX", or two of them that are a surrogate pair; the cursor is at the backslash. */
static int decode_unicode(struct parser *p, char **out)
{
    const char *text = p->json.text + p->at;
    uint32_t point, low;

    if (!read_unit(text + 2, &point))
        return fail(p, BH_E_SYNTAX, "\\u is not followed by four hexadecimal digits");
    size_t used = 6;
    if (point >= 0xd800 && point <= 0xdfff) {
        if (point > 0xdbff || text[6] != '\\' || text[7] != 'u' || !read_unit(text + 8, &low) ||
            low < 0xdc00 || low > 0xdfff)
            return fail(p, BH_E_UTF8, "a surrogate without its other half");
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
        used = 12;
    }
    *out += bhi_utf8_encode(point, *out);
    p->at += used;
    return BH_OK;
}

static int decode_escape(struct parser *p, char **out)
{
    static const char names[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    char c = p->json.text[p->at + 1];
    const char *name = memchr(names, c, sizeof(names) - 1);

    if (c == 'u')
        return decode_unicode(p, out);
    if (!name)
        return fail(p, BH_E_SYNTAX, "unknown escape in a string");
    *(*out)++ = meanings[name - names];
    p->at += 2;
    return BH_OK;
}

/* Decodes up to the closing quote at `end`. No escape is shorter than what it stands for, so the
 * room of the raw text is enough. */
static int decode(struct parser *p, size_t end, char **out)
{
    while (p->at < end) {
        char c = p->json.text[p->at];
        if ((unsigned char)c < 0x20)
            return fail(p, BH_E_SYNTAX, "a control character in a string must be escaped");
        if (c != '\\') {
            *(*out)++ = c;
            p->at++;
            continue;
        }
        int rc = decode_escape(p, out);
        if (rc != BH_OK)
            return rc;
    }
    return BH_OK;
}

static int parse_string(struct parser *p, bh_value *out)
{
    size_t start = p->at++;
    size_t end = 0;
    void *text;

    int rc = find_quote(p, &end);
    if (rc != BH_OK)
        return rc;
    size_t good = bhi_utf8_valid_prefix(p->json.text + p->at, end - p->at);
    if (good < end - p->at) {
        p->at += good;
        return fail(p, BH_E_UTF8, "not valid UTF-8");
    }
    if (bhi_value_alloc(out, BH_STRING, end - p->at, &text) != BH_OK)
        return fail_memory(p);
    char *last = text;
    rc = decode(p, end, &last);
    *last = '\0';
    out->length = (uint64_t)(last - (char *)text);
    bhi_json_set_offset(out, start);
    p->at = rc == BH_OK ? end + 1 : p->at;
    return rc;
}

/* ---- scalars ---- */

static int parse_word(struct parser *p, bh_value *out, const char *word, bh_value value)
{
    size_t length = strlen(word);

    if (p->json.length - p->at < length || memcmp(p->json.text + p->at, word, length) != 0)
        return fail(p, BH_E_SYNTAX, "expected a value");
    *out = value;
    p->at += length;
    return BH_OK;
}

static int parse_number(struct parser *p, bh_value *out)
{
    size_t used;
    int rc = bhi_number_read(p->json.text + p->at, p->json.length - p->at, &used, out);

    if (rc == BH_E_RANGE)
        return fail(p, rc, "the number is out of range");
    p->at += used;
    return rc == BH_OK ? BH_OK : fail(p, rc, "malformed number");
}

/* ---- containers ---- */

static int parse_value(struct parser *p, bh_value *out, unsigned nest);

static int check_count(struct parser *p)
{
    if (p->count++ >= p->json.limits.count)
        return fail(p, BH_E_TOO_LARGE, "too many values");
    return BH_OK;
}

static int check_nest(const struct parser *p, unsigned nest)
{
    return nest < p->nest_max ? BH_OK : fail(p, BH_E_DEPTH, "nested too deep");
}

static int parse_item(struct parser *p, bh_value *array, unsigned nest)
{
    bh_value item = bh_value_null();
    int rc = parse_value(p, &item, nest);

    if (rc == BH_OK && bh_array_push(array, &item) != BH_OK)
        rc = fail_memory(p);
    bh_value_deinit(&item);
    return rc;
}

static int parse_array(struct parser *p, bh_value *out, unsigned nest)
{
    int rc = check_nest(p, nest);

    *out = bh_value_array();
    p->at++;
    if (rc != BH_OK || accept(p, ']'))
        return rc;
    do {
        rc = parse_item(p, out, nest + 1);
        if (rc != BH_OK)
            return rc;
    } while (accept(p, ','));
    return accept(p, ']') ? BH_OK : fail(p, BH_E_SYNTAX, "expected ',' or ']'");
}

static int parse_key(struct parser *p, bh_value *key)
{
    skip_space(p);
    if (peek(p) != '"')
        return fail(p, BH_E_SYNTAX, "expected a key in quotes");
    int rc = check_count(p);
    if (rc == BH_OK)
        rc = parse_string(p, key);
    if (rc == BH_OK && !accept(p, ':'))
        rc = fail(p, BH_E_SYNTAX, "expected ':'");
    return rc;
}

static int parse_member(struct parser *p, bh_value *map, unsigned nest)
{
    bh_value key = bh_value_null();
    bh_value item = bh_value_null();
    int rc = parse_key(p, &key);

    if (rc == BH_OK)
        rc = parse_value(p, &item, nest);
    if (rc == BH_OK && bhi_map_append(map, &key, &item) != BH_OK)
        rc = fail_memory(p);
    bh_value_deinit(&key);
    bh_value_deinit(&item);
    return rc;
}

static int check_keys(const struct parser *p, const bh_value *map)
{
    struct bhi_key_entry *scratch;

    if (bhi_keys_scratch(map->length, &scratch) != BH_OK)
        return fail_memory(p);
    const bh_value *key = bhi_keys_duplicate(map, scratch);
    bhi_free(scratch);
    if (!key)
        return BH_OK;
    return bhi_json_fail(&p->json, BH_E_DUPLICATE, bhi_json_offset(key),
                         "the object has the key \"%s\" twice", key->as.string);
}

static int parse_object(struct parser *p, bh_value *out, unsigned nest)
{
    int rc = check_nest(p, nest);

    *out = bh_value_map();
    p->at++;
    if (rc != BH_OK || accept(p, '}'))
        return rc;
    do {
        rc = parse_member(p, out, nest + 1);
        if (rc != BH_OK)
            return rc;
    } while (accept(p, ','));
    if (!accept(p, '}'))
        return fail(p, BH_E_SYNTAX, "expected ',' or '}'");
    return check_keys(p, out);
}

static int parse_any(struct parser *p, bh_value *out, unsigned nest)
{
    switch (peek(p)) {
    case '{':
        return parse_object(p, out, nest);
    case '[':
        return parse_array(p, out, nest);
    case '"':
        return parse_string(p, out);
    case 't':
        return parse_word(p, out, "true", bh_value_bool(true));
    case 'f':
        return parse_word(p, out, "false", bh_value_bool(false));
    case 'n':
        return parse_word(p, out, "null", bh_value_null());
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return parse_number(p, out);
    default:
        return fail(p, BH_E_SYNTAX, "expected a value");
    }
}

static int parse_value(struct parser *p, bh_value *out, unsigned nest)
{
    skip_space(p);
    size_t start = p->at;
    int rc = check_count(p);
    if (rc == BH_OK)
        rc = parse_any(p, out, nest);
    bhi_json_set_offset(out, start);
    return rc;
}

static int parse_text(struct parser *p, bh_value *out)
{
    if (p->json.length > p->json.limits.bytes)
        return bhi_json_fail(&p->json, BH_E_TOO_LARGE, BHI_JSON_NOWHERE,
                             "the text is larger than allowed");
    int rc = parse_value(p, out, 0);
    if (rc != BH_OK)
        return rc;
    skip_space(p);
    if (p->at < p->json.length)
        return fail(p, BH_E_SYNTAX, "something follows the value");
    return bhi_json_resolve(&p->json, out);
}

int bh_json_read(bh_value *out, const char *text, size_t length,
                 const struct bh_value_limits *limits, struct bh_problem *problem)
{
    struct parser p = {
        .json = {text, length, bhi_limits(limits), problem},
    };

    /* Each level of values can be a map inside {"$map":…}, and the innermost can hold an error or a
     * typed array, which are two levels more. */
    p.nest_max = p.json.limits.depth * 2 + 2;
    *out = bh_value_null();
    int rc = parse_text(&p, out);
    if (rc != BH_OK)
        bh_value_deinit(out);
    return rc;
}
