/* SPDX-License-Identifier: MIT */
/*
 * Large payloads beside the VARIANTs: the dispatcher's side of struct bhw_blobs.
 *
 * Model: two arenas (arena.h) for each worker, made when they are first needed. This process writes
 * the requests', of which the worker gets a read-only handle, and reads the replies', which the
 * worker makes. protocol.h says how each is announced.
 *
 * Invariants: what a worker announces may be any handle that it has, or none; it is looked at once
 * for each reply, and believed only as far as the system vouches for it. Bytes are copied out once,
 * by the caller, before they mean anything. What is announced and was never fetched is closed where
 * it lies, so that no worker collects handles. [lane]
 */
#include "lane.h"

/* No honest worker's section is larger: what its payloads take up is hardly more than what they
 * count for in the limit, and a section is at most twice as large. */
static uint64_t most_of(const bhp_nursery *nursery)
{
    return nursery->max_reply_bytes * 4 + nursery->arena_bytes * 2;
}

/* ---- to the worker ---- */

static void close_in_worker(const bhp_worker *worker, uint64_t handle)
{
    HANDLE taken = NULL;

    if (DuplicateHandle(atomic_load(&worker->process), (HANDLE)(uintptr_t)handle,
                        GetCurrentProcess(), &taken, 0, FALSE,
                        DUPLICATE_CLOSE_SOURCE | DUPLICATE_SAME_ACCESS))
        bhw_close(&taken);
}

/* Takes back what no call led the worker to. If it lies about that, the handle was its own. */
static void withdraw(bhp_worker *worker)
{
    struct bhw_arena_words *words = &worker->call->request;
    uint64_t handle = atomic_load_explicit(&words->handle, memory_order_relaxed);

    /* Pairs with the worker's store before it closes its handle. */
    if (handle != 0 && atomic_load_explicit(&worker->box->request_taken, memory_order_acquire) !=
                           atomic_load_explicit(&words->generation, memory_order_relaxed))
        close_in_worker(worker, handle);
    atomic_store_explicit(&words->handle, 0, memory_order_relaxed);
}

static int announce(bhp_worker *worker, HANDLE section)
{
    struct bhw_arena_words *words = &worker->call->request;
    HANDLE theirs = NULL;

    withdraw(worker);
    if (!DuplicateHandle(GetCurrentProcess(), section, atomic_load(&worker->process), &theirs,
                         FILE_MAP_READ | SECTION_QUERY, FALSE, 0))
        return BH_E_SYSTEM; /* it has ended: the call finds out */
    /* What the worker reads after `serial`. */
    atomic_store_explicit(&words->handle, (uint64_t)(uintptr_t)theirs, memory_order_relaxed);
    atomic_store_explicit(&words->generation, worker->request.generation, memory_order_relaxed);
    return BH_OK;
}

static int reserve(void *context, uint64_t bytes)
{
    struct bhw_blob_run *run = context;
    bhp_worker *worker = run->worker;
    HANDLE section;

    int rc = bhw_arena_reserve(&worker->request, bytes, worker->nursery->arena_bytes, &section);
    if (rc != BH_OK || section == NULL)
        return rc;
    rc = announce(worker, section);
    bhw_close(&section);
    if (rc != BH_OK)
        bhw_arena_drop(&worker->request);
    return rc;
}

static int put(void *context, const void *data, size_t bytes, uint64_t *name)
{
    struct bhw_blob_run *run = context;

    *name = bhw_arena_put(&run->worker->request, data, bytes);
    return BH_OK;
}

/* ---- from the worker ---- */

/* Fetches the section that the worker has announced. Its handle there is gone afterwards. */
static int fetch(bhp_worker *worker, uint32_t generation)
{
    const struct bhw_arena_words *words = &worker->box->reply;
    uint64_t name = atomic_load_explicit(&words->handle, memory_order_relaxed);
    HANDLE theirs = (HANDLE)(uintptr_t)name;
    HANDLE ours = NULL;

    if (atomic_load_explicit(&words->generation, memory_order_relaxed) != generation)
        return BH_E_SYNTAX;
    /* Numbers at the top are no handles but names for "this process" and the like. */
    if ((uint64_t)(uintptr_t)theirs != name || (intptr_t)theirs <= 0)
        return BH_E_SYNTAX;
    /* Pairs with the worker's load before it would close the handle. */
    atomic_store_explicit(&worker->call->reply_taken, generation, memory_order_release);
    if (!DuplicateHandle(atomic_load(&worker->process), theirs, GetCurrentProcess(), &ours,
                         FILE_MAP_READ | SECTION_QUERY, FALSE, DUPLICATE_CLOSE_SOURCE))
        return BH_E_SYNTAX;
    return bhw_arena_view_take(&worker->reply, generation, ours, most_of(worker->nursery));
}

static int find(void *context, uint64_t name, size_t bytes, const void **data)
{
    struct bhw_blob_run *run = context;
    bhp_worker *worker = run->worker;
    uint32_t generation = bhw_arena_generation(name);
    int rc = BH_OK;

    if (generation != worker->reply.generation && generation != 0) {
        if (run->fetched) /* an answer lies in one arena */
            return BH_E_SYNTAX;
        run->fetched = true;
        rc = fetch(worker, generation);
    }
    return rc == BH_OK ? bhw_arena_view_find(&worker->reply, name, bytes, data) : rc;
}

/* ---- a call ---- */

/** See lane.h. */
void bhw_blobs_begin(struct bhw_blob_run *run, bhp_worker *worker)
{
    *run = (struct bhw_blob_run){.worker = worker,
                                 .blobs = {.threshold = BHW_BLOB_BYTES,
                                           .context = run,
                                           .reserve = reserve,
                                           .put = put,
                                           .find = find}};
    bhw_arena_begin(&worker->request);
}

/** See lane.h. */
void bhw_blobs_end(struct bhw_blob_run *run)
{
    bhp_worker *worker = run->worker;
    struct bhw_arena_words *words = &worker->call->request;

    if (bhw_arena_settle(&worker->request)) {
        /* Pairs with the worker's load when the bell has woken it. */
        atomic_store_explicit(&words->dropped, worker->request.generation, memory_order_release);
        SetEvent(worker->bell);
    }
    if (worker->reply.generation != 0 &&
        atomic_load_explicit(&worker->box->reply.dropped, memory_order_relaxed) ==
            worker->reply.generation)
        bhw_arena_view_drop(&worker->reply);
}

/** See platform.h. */
void bhp_lane_trim(bhp_worker *worker, const bhp_memory *in_use, bhp_memory *trimmed[BHP_TRIMMED])
{
    (void)worker;
    (void)in_use;
    trimmed[0] = trimmed[1] = NULL;
}

/** See lane.h. */
void bhw_blobs_free(bhp_worker *worker)
{
    bhw_arena_drop(&worker->request);
    bhw_arena_view_drop(&worker->reply);
}
