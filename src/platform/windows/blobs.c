/* SPDX-License-Identifier: MIT */
/*
 * Large payloads beside the VARIANTs: a section for each, named by a handle.
 *
 * Model: a request's payload is copied into a new section, and the worker gets a read-only handle
 * to it, whose number travels; the worker closes it. A reply names a handle of the worker's own,
 * which is duplicated here, read once, and closed in the worker.
 *
 * Invariants: what a reply names may be any handle that the worker has, or none. It is believed
 * only if it is committed memory that no file stands behind, because reading anything else could
 * raise an exception here, and if it is as long as the reply says. Such a section never shrinks.
 */
#include "lane.h"

#include "core/alloc.h"

#include <string.h>
#include <winternl.h>

/* The one question about sections that Windows answers, which <winternl.h> leaves out. */
struct section_basic {
    PVOID base;
    ULONG attributes;
    LARGE_INTEGER size;
};
#define SECTION_BASIC 0
#define ATTRIBUTE_FILE 0x00800000u
NTSYSAPI NTSTATUS NTAPI NtQuerySection(HANDLE, ULONG, PVOID, SIZE_T, SIZE_T *);

/* ---- to the worker ---- */

static bool remember(struct bhw_blob_run *run, HANDLE handle)
{
    if (run->count == run->room) {
        size_t room = run->room > 0 ? run->room * 2 : 4;
        uint64_t *larger = bhi_realloc(run->put, room * sizeof(*larger));
        if (larger == NULL)
            return false;
        run->put = larger;
        run->room = room;
    }
    run->put[run->count++] = (uint64_t)(uintptr_t)handle;
    return true;
}

static void close_in_worker(const bhp_worker *worker, uint64_t handle)
{
    HANDLE taken = NULL;

    if (DuplicateHandle(atomic_load(&worker->process), (HANDLE)(uintptr_t)handle,
                        GetCurrentProcess(), &taken, 0, FALSE,
                        DUPLICATE_CLOSE_SOURCE | DUPLICATE_SAME_ACCESS))
        bhw_close(&taken);
}

/* A section with a copy. @return NULL and the last error on failure */
static HANDLE make_section(const void *data, size_t bytes)
{
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE,
                                        (DWORD)((uint64_t)bytes >> 32), (DWORD)bytes, NULL);
    void *view = section != NULL ? MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, bytes) : NULL;

    if (view == NULL) {
        bhw_close(&section);
        return NULL;
    }
    memcpy(view, data, bytes);
    UnmapViewOfFile(view);
    return section;
}

static int put(void *context, const void *data, size_t bytes, uint64_t *name)
{
    struct bhw_blob_run *run = context;
    HANDLE theirs = NULL;
    HANDLE section = make_section(data, bytes);

    if (section == NULL)
        return BH_E_MEMORY;
    bool given = DuplicateHandle(GetCurrentProcess(), section, atomic_load(&run->worker->process),
                                 &theirs, FILE_MAP_READ | SECTION_QUERY, FALSE, 0);
    bhw_close(&section);
    if (!given) /* it has ended: the call finds out */
        return BH_E_SYSTEM;
    *name = (uint64_t)(uintptr_t)theirs;
    if (remember(run, theirs))
        return BH_OK;
    close_in_worker(run->worker, *name);
    return BH_E_MEMORY;
}

/* ---- from the worker ---- */

static bool is_plain_memory(HANDLE section, size_t bytes)
{
    struct section_basic basic = {0};

    if (NtQuerySection(section, SECTION_BASIC, &basic, sizeof(basic), NULL) < 0)
        return false;
    return (basic.attributes & (SEC_COMMIT | SEC_RESERVE | SEC_IMAGE | ATTRIBUTE_FILE)) ==
               SEC_COMMIT &&
           basic.size.QuadPart >= 0 && (uint64_t)basic.size.QuadPart >= bytes;
}

static int copy_section(HANDLE section, size_t bytes, void *copy_to)
{
    if (!is_plain_memory(section, bytes))
        return BH_E_SYNTAX;
    void *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, bytes);
    if (view == NULL)
        return BH_E_MEMORY;
    memcpy(copy_to, view, bytes);
    UnmapViewOfFile(view);
    return BH_OK;
}

static int get(void *context, uint64_t name, size_t bytes, void *copy_to)
{
    struct bhw_blob_run *run = context;
    HANDLE theirs = (HANDLE)(uintptr_t)name;
    HANDLE ours = NULL;

    /* Numbers at the top are no handles but names for "this process" and the like. */
    if ((uint64_t)(uintptr_t)theirs != name || (intptr_t)theirs <= 0)
        return BH_E_SYNTAX;
    if (!DuplicateHandle(atomic_load(&run->worker->process), theirs, GetCurrentProcess(), &ours,
                         FILE_MAP_READ | SECTION_QUERY, FALSE, DUPLICATE_CLOSE_SOURCE))
        return BH_E_SYNTAX;
    int rc = copy_section(ours, bytes, copy_to);
    bhw_close(&ours);
    return rc;
}

/* ---- a call ---- */

/** See lane.h. */
void bhw_blobs_begin(struct bhw_blob_run *run, bhp_worker *worker)
{
    *run = (struct bhw_blob_run){
        .worker = worker,
        .blobs = {
            .threshold = worker->nursery->blob_bytes, .context = run, .put = put, .get = get}};
}

/** See lane.h. */
void bhw_blobs_end(struct bhw_blob_run *run, bool sent)
{
    for (size_t i = 0; i < run->count && !sent; i++)
        close_in_worker(run->worker, run->put[i]);
    bhi_free(run->put);
    run->put = NULL;
}
