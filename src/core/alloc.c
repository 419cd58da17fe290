/* SPDX-License-Identifier: MIT */
/*
 * The heap. Everything below src/core allocates and frees here, and what it hands out is freed by
 * bh_free() with the same C runtime, which on Windows need not be the caller's.
 *
 * Invariant: the hook exists only in builds for tests; a released library has no global state here.
 */
#include "alloc.h"

#include <bulkhead/base.h>

#include <stdlib.h>

#ifdef BH_TESTING
void *(*bhi_alloc_hook)(void *memory, size_t size);
#define HOOK(memory, size)                                                                         \
    if (bhi_alloc_hook)                                                                            \
    return bhi_alloc_hook(memory, size)
#else
#define HOOK(memory, size) (void)0
#endif

void *bhi_alloc(size_t size)
{
    HOOK(NULL, size);
    return malloc(size);
}

void *bhi_realloc(void *memory, size_t size)
{
    HOOK(memory, size);
    return realloc(memory, size);
}

void bhi_free(void *memory)
{
#ifdef BH_TESTING
    if (bhi_alloc_hook) {
        if (memory)
            (void)bhi_alloc_hook(memory, 0);
        return;
    }
#endif
    free(memory);
}

void bh_free(void *memory)
{
    bhi_free(memory);
}
