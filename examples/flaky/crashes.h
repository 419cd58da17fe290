/* SPDX-License-Identifier: MIT */
/**
 * @file crashes.h
 * What flaky-worker asks of the operating system: ways to crash.
 */
#ifndef FLAKY_CRASHES_H
#define FLAKY_CRASHES_H

#include "flaky.h"

/** One for each of FLAKY_KINDS; they do not return. */
#define FLAKY_CRASH(name, cause) void flaky_crash_##name(void);
FLAKY_KINDS(FLAKY_CRASH)
#undef FLAKY_CRASH

#endif
