/* SPDX-License-Identifier: MIT */
/*
 * The second opinion.
 *
 * Model: one checker per thread, so nothing is shared and nothing locked. Matching is limited, for
 * a pattern that kills a PCRE 1 worker may also keep PCRE 2 busy for hours.
 */
#include "check.h"

#ifdef EXAMPLE_PCRE2

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

enum { MATCH_LIMIT = 20000000, HEAP_LIMIT_KIB = 262144 };

struct checker {
    size_t count;
    pcre2_match_data *data;
    pcre2_match_context *context;
    struct compiled {
        pcre2_code *code;
        bool tried;
    } * patterns;
};

bool check_available(void)
{
    return true;
}

struct checker *check_new(size_t count)
{
    struct checker *checker = calloc(1, sizeof *checker);

    if (checker == NULL)
        return NULL;
    checker->count = count;
    checker->patterns = calloc(count, sizeof *checker->patterns);
    checker->data = pcre2_match_data_create(1, NULL);
    checker->context = pcre2_match_context_create(NULL);
    if (checker->patterns == NULL || checker->data == NULL || checker->context == NULL) {
        check_free(checker);
        return NULL;
    }
    pcre2_set_match_limit(checker->context, MATCH_LIMIT);
    pcre2_set_heap_limit(checker->context, HEAP_LIMIT_KIB);
    return checker;
}

void check_free(struct checker *checker)
{
    if (checker == NULL)
        return;
    for (size_t i = 0; checker->patterns != NULL && i < checker->count; i++)
        pcre2_code_free(checker->patterns[i].code);
    free(checker->patterns);
    pcre2_match_data_free(checker->data);
    pcre2_match_context_free(checker->context);
    free(checker);
}

static pcre2_code *compile(struct checker *checker, size_t i, const char *pattern, size_t length)
{
    struct compiled *compiled = &checker->patterns[i];
    PCRE2_SIZE offset;
    int error;

    if (!compiled->tried)
        compiled->code = pcre2_compile((PCRE2_SPTR)pattern, length, 0, &error, &offset, NULL);
    compiled->tried = true;
    return compiled->code;
}

enum check_answer check_match(struct checker *checker, size_t i, const char *pattern,
                              size_t pattern_length, const char *subject, size_t subject_length,
                              size_t *start, size_t *end)
{
    pcre2_code *code = compile(checker, i, pattern, pattern_length);
    int found;

    if (code == NULL)
        return CHECK_INVALID;
    found = pcre2_match(code, (PCRE2_SPTR)subject, subject_length, 0, 0, checker->data,
                        checker->context);
    if (found == PCRE2_ERROR_NOMATCH)
        return CHECK_NONE;
    if (found < 0)
        return CHECK_GAVE_UP;
    *start = pcre2_get_ovector_pointer(checker->data)[0];
    *end = pcre2_get_ovector_pointer(checker->data)[1];
    return CHECK_MATCH;
}

#else /* without PCRE 2 there is no opinion */

bool check_available(void)
{
    return false;
}

struct checker *check_new(size_t count)
{
    (void)count;
    return NULL;
}

void check_free(struct checker *checker)
{
    (void)checker;
}

enum check_answer check_match(struct checker *checker, size_t i, const char *pattern,
                              size_t pattern_length, const char *subject, size_t subject_length,
                              size_t *start, size_t *end)
{
    (void)checker, (void)i, (void)pattern, (void)pattern_length, (void)subject;
    (void)subject_length, (void)start, (void)end;
    return CHECK_GAVE_UP;
}

#endif
