/* SPDX-License-Identifier: MIT */
/*
 * Reading what a worker had before its end.
 *
 * Model: core/partial.c reads; here are the pages it reads from. They lie in the reply half's file,
 * behind the half, and are not populated at the start, because most workers never use them. A page
 * that nobody has touched would be made by the reading: so they are asked for first, where a lack
 * of memory is an answer and no signal.
 *
 * Invariant: nothing is touched of a worker that says nothing of this serial.
 */
#include "nursery.h"

#include "core/partial.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/** See nursery.h. */
bool bhl_partial_map(bhp_worker *worker, int fd, size_t offset, size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, (off_t)offset);

    if (at == MAP_FAILED)
        return false;
    worker->partial_map = (struct bhl_mapping){at, bytes};
    return madvise(at, bytes, MADV_DONTFORK) == 0;
}

static bool populate(const struct bhl_mapping *map)
{
    int rc;

    do {
        rc = madvise(map->at, map->bytes, MADV_POPULATE_READ);
    } while (rc != 0 && errno == EINTR);
    return rc == 0;
}

/** See platform.h. */
bool bhp_worker_partial(bhp_worker *worker, uint64_t serial, bh_value *value)
{
    const struct bhi_partial_words *words = &bhl_reply(worker)->partial;
    const struct bhl_mapping *map = &worker->partial_map;

    return map->at != NULL && bhi_partial_has(words, serial) && populate(map) &&
           bhi_partial_take(words, map->at, map->bytes / 2, serial, value);
}
