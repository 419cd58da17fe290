/* SPDX-License-Identifier: MIT */
/*
 * Names and texts of codes and types, the version, and the problem record.
 *
 * Invariants: every string returned is static; the tables are made from the lists in the public
 * headers, so they cannot disagree with the enums; a problem's text is one line of valid UTF-8
 * whatever was formatted into it, since keys and messages of a hostile peer end up there.
 */
#include "problem.h"
#include "utf8.h"

#include <bulkhead/value.h>

#include <stdio.h>
#include <string.h>

const char *bh_error_name(int code)
{
    switch (code) {
#define NAME(name, number, text)                                                                   \
    case number:                                                                                   \
        return #name;
        BH_ERROR_LIST(NAME)
#undef NAME
    default:
        return "BH_E_?";
    }
}

const char *bh_error_text(int code)
{
    switch (code) {
#define TEXT(name, number, text)                                                                   \
    case number:                                                                                   \
        return text;
        BH_ERROR_LIST(TEXT)
#undef TEXT
    default:
        return "unknown error";
    }
}

const char *bh_type_name(unsigned type)
{
    switch (type) {
#define NAME(name, number, text)                                                                   \
    case number:                                                                                   \
        return text;
        BH_TYPE_LIST(NAME)
#undef NAME
    default:
        return "?";
    }
}

const char *bh_version(void)
{
    return BH_VERSION;
}

/* Makes `text` one line of valid UTF-8. A sequence that is cut off at the very end is what the
 * formatting left of a longer one, and is dropped; any other bad byte becomes '?'. */
static void clean(char *text)
{
    size_t length = strlen(text);
    size_t at = 0;

    for (;;) {
        size_t good = at + bhi_utf8_valid_prefix(text + at, length - at);
        for (; at < good; at++) {
            if ((unsigned char)text[at] < 0x20 || text[at] == 0x7f)
                text[at] = '?';
        }
        if (at == length)
            return;
        if (bhi_utf8_is_cut(text + at, length - at)) {
            text[at] = '\0';
            return;
        }
        text[at++] = '?';
    }
}

int bhi_problem_setv(struct bh_problem *problem, int code, int os_error, const char *format,
                     va_list arguments)
{
    if (!problem)
        return code;
    problem->code = code;
    problem->os_error = os_error;
    problem->line = 0;
    problem->column = 0;
    if (vsnprintf(problem->text, sizeof(problem->text), format, arguments) < 0)
        snprintf(problem->text, sizeof(problem->text), "%s", bh_error_text(code));
    clean(problem->text);
    return code;
}

int bhi_problem_set(struct bh_problem *problem, int code, int os_error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    bhi_problem_setv(problem, code, os_error, format, arguments);
    va_end(arguments);
    return code;
}
