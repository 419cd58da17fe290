/* SPDX-License-Identifier: MIT */
/**
 * @file problem.h
 * Filling a struct bh_problem in one line that can also be the `return`.
 */
#ifndef BHI_PROBLEM_H
#define BHI_PROBLEM_H

#include <bulkhead/base.h>

#include <stdarg.h>

/**
 * Records what went wrong. The text is cut to fit at a character's boundary; line breaks, other
 * control characters and bytes that are not UTF-8 become '?', because parts of it may come from
 * outside. line and column become 0.
 * @param problem  may be NULL: then nothing is recorded
 * @param os_error errno or GetLastError(), 0 when the system was not the cause
 * @return `code`, so that a caller can return it at once
 */
int bhi_problem_set(struct bh_problem *problem, int code, int os_error, const char *format, ...)
    BH_PRINTF(4, 5);

/** As bhi_problem_set(), for functions that are variadic themselves. */
int bhi_problem_setv(struct bh_problem *problem, int code, int os_error, const char *format,
                     va_list arguments) BH_PRINTF(4, 0);

#endif
