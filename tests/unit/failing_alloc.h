/* SPDX-License-Identifier: MIT */
/**
 * @file failing_alloc.h
 * A heap for tests that counts what is alive and refuses one chosen allocation.
 */
#ifndef FAILING_ALLOC_H
#define FAILING_ALLOC_H

#include "check.h"

#include "core/alloc.h"

#include <stdlib.h>
#include <string.h>

struct failing_heap {
    long alive;     /* blocks */
    long countdown; /* the allocation at which it is 0 is refused; negative: none */
    bool refused;
};

static struct failing_heap heap = {0, -1, false};

static inline void *failing_heap_hook(void *memory, size_t size)
{
    if (size == 0) {
        heap.alive--;
        free(memory);
        return NULL;
    }
    if (heap.countdown == 0)
        heap.refused = true;
    if (heap.countdown-- == 0)
        return NULL;
    /* Always moves, so that a stale pointer is found by a sanitizer; the new part is not zero. */
    void *moved = realloc(memory, size);
    if (moved && !memory) {
        memset(moved, 0xa5, size);
        heap.alive++;
    }
    return moved;
}

/**
 * Runs a scenario again and again, refusing its first allocation, its second, and so on, until it
 * needs no more. The scenario returns whether all went well, and says so only if nothing was
 * refused.
 * @return how many allocations it makes
 */
static inline long fail_each_allocation(bool (*scenario)(void))
{
    bhi_alloc_hook = failing_heap_hook;
    for (long n = 0;; n++) {
        heap = (struct failing_heap){0, n, false};
        bool done = scenario();
        CHECK_INT(heap.alive, 0);
        CHECK_INT(done, !heap.refused);
        if (done) {
            bhi_alloc_hook = NULL;
            return n;
        }
    }
}

#endif
