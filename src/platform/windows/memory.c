/* SPDX-License-Identifier: MIT */
/*
 * Memory shared with a worker beside its arenas: what its users hold, and how it goes.
 *
 * Model: a section, a view of it and a count of users: a session whose buffer it is, a lane that
 * keeps it for the next call, a result that has borrowed a reply in it. Whoever is last unmaps it.
 *
 * Invariants: the section is committed memory, so that no access can fail; the worker gets a handle
 * that only allows reading.
 */
#include "nursery.h"

#include "core/alloc.h"

/* Sections come in steps of this. */
#define STEP UINT64_C(65536)

/** See nursery.h. */
bhp_memory *bhw_memory_blank(void)
{
    bhp_memory *memory = bhi_alloc(sizeof(*memory));

    if (memory == NULL)
        return NULL;
    *memory = (bhp_memory){.users = 1};
    return memory;
}

/** See nursery.h. */
bhp_memory *bhw_memory_use(bhp_memory *memory)
{
    atomic_fetch_add(&memory->users, 1);
    return memory;
}

static bool make_section(bhp_memory *memory, uint64_t bytes)
{
    uint64_t room = bhi_keep_room(bytes, STEP);

    if (room < bytes || room > SIZE_MAX)
        return false;
    memory->section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE,
                                         (DWORD)(room >> 32), (DWORD)room, NULL);
    if (memory->section == NULL)
        return false;
    memory->at = MapViewOfFile(memory->section, FILE_MAP_WRITE, 0, 0, (SIZE_T)room);
    memory->bytes = room;
    return memory->at != NULL;
}

/** See platform.h. */
int bhp_memory_new(bhp_memory **out, uint64_t bytes)
{
    bhp_memory *memory = bhw_memory_blank();

    *out = NULL;
    if (memory == NULL)
        return BH_E_MEMORY;
    if (!make_section(memory, bytes)) {
        bhp_memory_free(memory);
        return BH_E_MEMORY;
    }
    *out = memory;
    return BH_OK;
}

/** See platform.h. */
void *bhp_memory_at(const bhp_memory *memory)
{
    return memory->at;
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
    if (memory->at != NULL)
        UnmapViewOfFile(memory->at);
    if (memory->section != NULL)
        CloseHandle(memory->section);
    bhi_free(memory);
}
