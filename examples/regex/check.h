/* SPDX-License-Identifier: MIT */
/**
 * @file check.h
 * A second opinion on a match: PCRE 2, which does not use the stack.
 */
#ifndef REGEX_CHECK_H
#define REGEX_CHECK_H

#include <stdbool.h>
#include <stddef.h>

enum check_answer {
    CHECK_MATCH,   /* start and end are set */
    CHECK_NONE,    /* no match */
    CHECK_INVALID, /* the pattern does not compile */
    CHECK_GAVE_UP  /* too much work: no opinion */
};

struct checker;

/** Whether this program was built with PCRE 2. */
bool check_available(void);
/** A checker for one thread that knows `count` patterns by their numbers. NULL: no memory. */
struct checker *check_new(size_t count);
void check_free(struct checker *checker);
/** Matches. The pattern with number `i` is compiled when it is first asked for. */
enum check_answer check_match(struct checker *checker, size_t i, const char *pattern,
                              size_t pattern_length, const char *subject, size_t subject_length,
                              size_t *start, size_t *end);

#endif
