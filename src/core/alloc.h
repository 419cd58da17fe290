/* SPDX-License-Identifier: MIT */
/**
 * @file alloc.h
 * The one door to the heap. Thin over malloc, so that a test can stand in the door and refuse any
 * single allocation.
 */
#ifndef BHI_ALLOC_H
#define BHI_ALLOC_H

#include <stddef.h>

/** malloc(). `size` is at least 1. NULL when there is no memory. Any thread. */
void *bhi_alloc(size_t size);

/** realloc(). `size` is at least 1. On NULL the old block stays as it was. Any thread. */
void *bhi_realloc(void *memory, size_t size);

/** free(). NULL is fine. Any thread. */
void bhi_free(void *memory);

#ifdef BH_TESTING
/**
 * When set, does the work of all three: (NULL, n) allocates, (p, n) resizes, (p, 0) frees and
 * returns NULL. Set it before the first thread starts and while nothing is allocated.
 */
extern void *(*bhi_alloc_hook)(void *memory, size_t size);
#endif

#endif
