/* SPDX-License-Identifier: MIT */
/*
 * regex-worker: regular expressions with PCRE 1, which is old, everywhere, and overflows the stack:
 * its matcher calls itself once for each repetition of a group, so that (a|b)*c on ten thousand "a"
 * needs more than the usual 8 MiB. In a worker that costs one request.
 *
 * Model: compiled patterns are kept in a small table, found by their text; a new pattern takes the
 * place of whatever sits where its hash points. No limit on recursion is set: that is the point.
 * Patterns and subjects are bytes; so are the offsets.
 */
#include <bulkhead/worker.h>

#include <limits.h>
#include <pcre.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE = 64, CODE_USAGE = 1000, CODE_MATCH = 2000 };

struct pattern {
    char *text;
    size_t length;
    pcre *code;
};
static struct pattern cache[CACHE];

static struct pattern *place_of(const char *text, size_t length)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return &cache[hash % CACHE];
}

static void forget(struct pattern *pattern)
{
    free(pattern->text);
    if (pattern->code != NULL)
        pcre_free(pattern->code);
    memset(pattern, 0, sizeof *pattern);
}

/* Compiles, or finds what was compiled before. @return NULL, and the call has failed */
static pcre *compile(bh_call *call, const char *text, size_t length)
{
    struct pattern *pattern = place_of(text, length);
    const char *problem;
    int code, offset;

    if (pattern->code != NULL && pattern->length == length &&
        memcmp(pattern->text, text, length) == 0)
        return pattern->code;
    forget(pattern);
    if (memchr(text, '\0', length) != NULL) {
        bh_call_fail(call, CODE_USAGE, "a pattern cannot contain a NUL byte; write \\x00");
        return NULL;
    }
    pattern->text = malloc(length + 1);
    if (pattern->text == NULL) {
        bh_call_fail(call, BH_E_MEMORY, "no memory for the pattern");
        return NULL;
    }
    memcpy(pattern->text, text, length);
    pattern->text[length] = '\0';
    pattern->length = length;
    pattern->code = pcre_compile2(pattern->text, 0, &code, &problem, &offset, NULL);
    if (pattern->code == NULL) {
        bh_call_fail(call, code, "%s at offset %d of the pattern", problem, offset);
        forget(pattern);
        return NULL;
    }
    return pattern->code;
}

/* A string or bytes. */
static bool take_text(const bh_value *value, const char **text, size_t *length)
{
    return bh_value_get_string(value, text, length) == BH_OK ||
           bh_value_get_bytes(value, (const void **)text, length) == BH_OK;
}

/* match(pattern, subject) -> [start, end] or null */
static void match(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const char *pattern, *subject;
    size_t pattern_length, subject_length;
    int offsets[3];
    pcre *code;
    int found;

    (void)context;
    if (count != 2 || !take_text(&arguments[0], &pattern, &pattern_length) ||
        !take_text(&arguments[1], &subject, &subject_length) || subject_length > INT_MAX) {
        bh_call_fail(call, CODE_USAGE, "match needs a pattern and a subject, strings or bytes");
        return;
    }
    code = compile(call, pattern, pattern_length);
    if (code == NULL)
        return;
    found = pcre_exec(code, NULL, subject, (int)subject_length, 0, 0, offsets, 3);
    if (found >= 0) {
        bh_value range[] = {bh_value_int64(offsets[0]), bh_value_int64(offsets[1])};
        bh_value reply = bh_value_view_array(range, 2);

        bh_call_reply(call, &reply);
    } else if (found != PCRE_ERROR_NOMATCH) {
        bh_call_fail(call, CODE_MATCH - found, "the matcher gave up with PCRE error %d", found);
    }
}

int main(int argc, char **argv)
{
    static const struct bh_method methods[] = {
        {"match", match, "match(pattern, subject) -> [start, end] in bytes, or null"},
        {NULL, NULL, NULL},
    };
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    worker.fork_safe = true;
    return bh_worker_main(argc, argv, &worker);
}
