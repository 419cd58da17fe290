/* SPDX-License-Identifier: MIT */
/**
 * @file failing.h
 * Runs a test of must_fail and reads what the kit says of it.
 */
#ifndef BH_KIT_FAILING_H
#define BH_KIT_FAILING_H

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST_FAIL BH_TEST_DIR "/must_fail"

/** Runs one test of must_fail. @return what it said, to be freed */
static inline char *run_must_fail(const char *name, int expected_status)
{
    const char *const argv[] = {MUST_FAIL, name, NULL};
    char *out;
    int status;
    CHECK(kit_run(argv, NULL, &out, NULL, &status, 10000));
    CHECK_INT(status, expected_status);
    for (char *from = out, *to = out; (*to = *from) != '\0'; from++)
        to += *from != '\r'; /* of Windows' line ends */
    return out;
}

/** The test fails, and these words are in what is said of it. */
static inline void check_fails(const char *name, const char *words)
{
    char heading[100];
    snprintf(heading, sizeof heading, "not ok 1 - %s\n", name);
    char *out = run_must_fail(name, 1);
    CHECK_CONTAINS(out, heading);
    CHECK_CONTAINS(out, words);
    CHECK_CONTAINS(out, "\n0 passed, 1 failed\n");
    free(out);
}

#endif
