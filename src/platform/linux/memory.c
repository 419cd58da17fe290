/* SPDX-License-Identifier: MIT */
/*
 * Shared memory beside the halves: what its users hold, and how it goes.
 *
 * Model: a mapped memory file and a count of users: a lane that keeps it for the next request, a
 * session whose buffer it is, a result that has borrowed a reply in it. Whoever is last unmaps it.
 *
 * Invariants: no access to such a mapping can fail. A file of our own is sealed so that nobody else
 * can write or shrink it, and its pages are reserved; one of a worker's is believed only with seals
 * under which the worker cannot take a page away (lane_view.c).
 */
#include "nursery.h"

#include "core/alloc.h"
#include "support.h"

#include <unistd.h>

/** See nursery.h. */
bhp_memory *bhl_memory_blank(uint64_t id, uint64_t bytes)
{
    bhp_memory *memory = bhi_alloc(sizeof(*memory));

    if (memory == NULL)
        return NULL;
    *memory = (bhp_memory){.users = 1, .fd = -1, .id = id, .bytes = bytes};
    return memory;
}

/** See nursery.h. */
bhp_memory *bhl_memory_use(bhp_memory *memory)
{
    atomic_fetch_add(&memory->users, 1);
    return memory;
}

/** See platform.h. */
int bhp_memory_new(bhp_memory **out, uint64_t bytes)
{
    uint64_t room = bhi_keep_room(bytes, (uint64_t)sysconf(_SC_PAGESIZE));
    bhp_memory *memory = room >= bytes ? bhl_memory_blank(0, room) : NULL;

    *out = NULL;
    if (memory == NULL)
        return BH_E_MEMORY;
    memory->fd = bhl_memory_make("bulkhead-buffer", (size_t)room, true, &memory->map);
    if (memory->fd < 0) {
        bhp_memory_free(memory);
        return BH_E_MEMORY;
    }
    *out = memory;
    return BH_OK;
}

/** See platform.h. */
void *bhp_memory_at(const bhp_memory *memory)
{
    return memory->map.at;
}

/** See platform.h. */
uint64_t bhp_memory_bytes(const bhp_memory *memory)
{
    return memory->bytes;
}

/** See platform.h. */
void bhp_memory_free(bhp_memory *memory)
{
    if (memory == NULL || atomic_fetch_sub(&memory->users, 1) > 1)
        return;
    bhl_unmap(&memory->map);
    bhl_close(&memory->fd);
    bhi_free(memory);
}
