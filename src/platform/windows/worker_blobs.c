/* SPDX-License-Identifier: MIT */
/*
 * Large payloads, beside COM: the worker's side of struct bhw_blobs.
 *
 * Model: what the dispatcher sends is a handle that it has put into this process; it is mapped,
 * copied and closed. What the worker sends is a section of its own, named by its handle; the
 * dispatcher fetches the handle out of this process, which closes it here.
 *
 * Invariants: a handle that has gone to the dispatcher is never closed here: its number may be
 * somebody else's by then. So only what did not go is taken back. Belongs to the serving thread.
 */
#include "worker_end.h"

#include "core/alloc.h"

#include <string.h>

static HANDLE *put_handles; /* since the last withdraw or gone */
static size_t put_count;
static size_t put_room;

/* ---- from the dispatcher --------------------------------------------------------------------- */

static int get(void *context, uint64_t name, size_t bytes, void *copy_to)
{
    HANDLE section = (HANDLE)(uintptr_t)name;
    const void *memory;

    (void)context;
    if (name == 0 || name > UINTPTR_MAX)
        return BH_E_SYNTAX;
    memory = MapViewOfFile(section, FILE_MAP_READ, 0, 0, bytes);
    if (memory == NULL)
        return GetLastError() == ERROR_NOT_ENOUGH_MEMORY ? BH_E_MEMORY : BH_E_SYNTAX;
    memcpy(copy_to, memory, bytes);
    UnmapViewOfFile(memory);
    CloseHandle(section);
    return BH_OK;
}

/* ---- to the dispatcher ----------------------------------------------------------------------- */

static bool remember(HANDLE section)
{
    if (put_count == put_room) {
        size_t room = put_room == 0 ? 8 : put_room * 2;
        HANDLE *larger = bhi_realloc(put_handles, room * sizeof *larger);

        if (larger == NULL)
            return false;
        put_handles = larger;
        put_room = room;
    }
    put_handles[put_count++] = section;
    return true;
}

/* A section with a copy of the bytes; NULL: no memory. */
static HANDLE make_section(const void *data, size_t bytes)
{
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE,
                                        (DWORD)((uint64_t)bytes >> 32), (DWORD)bytes, NULL);
    void *memory = section == NULL ? NULL : MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, bytes);

    if (memory == NULL) {
        if (section != NULL)
            CloseHandle(section);
        return NULL;
    }
    memcpy(memory, data, bytes);
    UnmapViewOfFile(memory);
    return section;
}

static int put(void *context, const void *data, size_t bytes, uint64_t *name)
{
    HANDLE section = make_section(data, bytes);

    (void)context;
    if (section == NULL)
        return BH_E_MEMORY;
    if (!remember(section)) {
        CloseHandle(section);
        return BH_E_MEMORY;
    }
    *name = (uint64_t)(uintptr_t)section;
    return BH_OK;
}

struct bhw_blobs *bhw_worker_blobs(void)
{
    static struct bhw_blobs blobs = {.put = put, .get = get};

    blobs.threshold = bhw_worker_end.call->blob_bytes;
    return &blobs;
}

void bhw_worker_blobs_withdraw(void)
{
    while (put_count > 0)
        CloseHandle(put_handles[--put_count]);
}

void bhw_worker_blobs_gone(void)
{
    put_count = 0;
}
