/* SPDX-License-Identifier: MIT */
/**
 * @file system.h
 * What flaky asks of the operating system: threads, time, its own place.
 */
#ifndef FLAKY_SYSTEM_H
#define FLAKY_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct flaky_thread;

/** Starts a thread. @return NULL: it could not */
struct flaky_thread *flaky_thread_start(void (*run)(void *context), void *context);
/** Waits for its end and frees it. */
void flaky_thread_join(struct flaky_thread *thread);

/** Seconds of a monotonic clock. */
double flaky_now(void);
void flaky_pause_ms(unsigned ms);

/** Whether a line can be written there again and again. */
bool flaky_is_terminal(FILE *stream);

/** The path, in UTF-8, of the file `name` in the folder of this program; `name` alone when that is
 * not known. */
void flaky_find_beside(char *path, size_t size, const char *name);

#endif
