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
static void withdraw(bhp_worker *worker, struct bhw_arena_words *words,
                     const _Atomic uint32_t *taken)
{
    uint64_t handle = atomic_load_explicit(&words->handle, memory_order_relaxed);

    /* Pairs with the worker's store before it closes its handle. */
    if (handle != 0 && atomic_load_explicit(taken, memory_order_acquire) !=
                           atomic_load_explicit(&words->generation, memory_order_relaxed))
        close_in_worker(worker, handle);
    atomic_store_explicit(&words->handle, 0, memory_order_relaxed);
}

static int announce(bhp_worker *worker, struct bhw_arena_words *words,
                    const _Atomic uint32_t *taken, HANDLE section, uint32_t generation)
{
    HANDLE theirs = NULL;

    withdraw(worker, words, taken);
    if (!DuplicateHandle(GetCurrentProcess(), section, atomic_load(&worker->process), &theirs,
                         FILE_MAP_READ | SECTION_QUERY, FALSE, 0))
        return BH_E_SYSTEM; /* it has ended: the call finds out */
    /* What the worker reads after `serial`. */
    atomic_store_explicit(&words->handle, (uint64_t)(uintptr_t)theirs, memory_order_relaxed);
    atomic_store_explicit(&words->generation, generation, memory_order_relaxed);
    return BH_OK;
}

/* Names a payload that lies in the session's buffer; the worker gets that if it does not have it
 * yet. */
static bool name(void *context, const void *data, size_t bytes, uint64_t *name)
{
    struct bhw_blob_run *run = context;
    bhp_worker *worker = run->worker;
    bhp_memory *memory = run->memory;
    uintptr_t place = (uintptr_t)data - (memory != NULL ? (uintptr_t)memory->at : 0);

    if (memory == NULL || place > memory->bytes || bytes > memory->bytes - place ||
        place % BHW_PLACE_ALIGNMENT != 0)
        return false;
    if (memory->generation == 0) {
        uint32_t generation =
            BHW_BUFFER_GENERATION | (worker->buffers % (BHW_BUFFER_GENERATION - 1) + 1);
        if (announce(worker, &worker->call->buffer, &worker->box->buffer_taken, memory->section,
                     generation) != BH_OK)
            return false; /* it has ended: the call finds out */
        worker->buffers++;
        memory->generation = generation;
    }
    worker->buffer = memory->generation;
    run->large = true;
    *name = bhw_arena_reference(memory->generation, place);
    return true;
}

static int reserve(void *context, uint64_t bytes)
{
    struct bhw_blob_run *run = context;
    bhp_worker *worker = run->worker;
    HANDLE section;

    int rc = bhw_arena_reserve(&worker->request, bytes, worker->nursery->arena_bytes, &section);
    if (rc != BH_OK || section == NULL)
        return rc;
    rc = announce(worker, &worker->call->request, &worker->box->request_taken, section,
                  worker->request.generation);
    bhw_close(&section);
    if (rc != BH_OK)
        bhw_arena_drop(&worker->request);
    return rc;
}

static int put(void *context, const void *data, size_t bytes, uint64_t *name)
{
    struct bhw_blob_run *run = context;

    *name = bhw_arena_put(&run->worker->request, data, bytes);
    run->large = true;
    return BH_OK;
}

/* ---- from the worker ---- */

/* Lets go of the view. What is borrowed of it stays with who has borrowed it. */
static void drop_view(bhp_worker *worker)
{
    if (worker->lent != NULL)
        worker->reply.memory = NULL; /* it is not the view's any more */
    bhp_memory_free(worker->lent);
    worker->lent = NULL;
    bhw_arena_view_drop(&worker->reply);
}

/* The reply has views of the arena: its memory gets a second user. @return the loan */
static bhp_memory *lend(bhp_worker *worker, bhp_memory *loan)
{
    if (worker->lent == NULL) {
        loan->at = (void *)(uintptr_t)worker->reply.memory;
        loan->bytes = worker->reply.room;
        worker->lent = loan;
    } else {
        bhp_memory_free(loan);
    }
    return bhw_memory_use(worker->lent);
}

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
    drop_view(worker);
    return bhw_arena_view_take(&worker->reply, generation, ours, most_of(worker->nursery));
}

static int find(void *context, uint64_t name, size_t bytes, const void **data)
{
    struct bhw_blob_run *run = context;
    bhp_worker *worker = run->worker;
    uint32_t generation = bhw_arena_generation(name);
    int rc = BH_OK;

    if (generation != worker->reply.generation && generation != 0) {
        if (run->fetched || run->found) /* an answer lies in one arena */
            return BH_E_SYNTAX;
        run->fetched = true;
        rc = fetch(worker, generation);
    }
    run->large = run->found = true;
    return rc == BH_OK ? bhw_arena_view_find(&worker->reply, name, bytes, data) : rc;
}

/* ---- a call ---- */

/** See lane.h. */
void bhw_blobs_begin(struct bhw_blob_run *run, bhp_worker *worker, const struct bhp_call *call)
{
    *run = (struct bhw_blob_run){.worker = worker,
                                 .memory = call->memory,
                                 .loan = call->borrow ? bhw_memory_blank() : NULL,
                                 .blobs = {.threshold = BHW_BLOB_BYTES,
                                           .context = run,
                                           .reserve = reserve,
                                           .put = put,
                                           .name = name,
                                           .find = find}};
    run->blobs.in_place = run->loan != NULL;
    bhw_arena_begin(&worker->request);
}

/** See lane.h. */
bool bhw_blobs_kept(const bhp_worker *worker)
{
    return worker->request.room > 0 || worker->reply.generation != 0 || worker->buffer != 0;
}

/** See lane.h. */
void bhw_blobs_end(struct bhw_blob_run *run, enum bhp_lane_end end, struct bhp_reply *reply)
{
    bhp_worker *worker = run->worker;
    struct bhw_arena_words *words = &worker->call->request;

    if (run->loan != NULL && run->found && end == BHP_LANE_REPLIED)
        reply->borrowed = lend(worker, run->loan);
    else
        bhp_memory_free(run->loan);
    if (bhw_arena_settle(&worker->request)) {
        /* Pairs with the worker's load when the bell has woken it. */
        atomic_store_explicit(&words->dropped, worker->request.generation, memory_order_release);
        SetEvent(worker->bell);
    }
    if (worker->reply.generation != 0 &&
        atomic_load_explicit(&worker->box->reply.dropped, memory_order_relaxed) ==
            worker->reply.generation)
        drop_view(worker);
    reply->large = run->large;
}

/* ---- giving back ---- */

/* Hands a view over to be unmapped later; without memory for that, now. */
static bhp_memory *hand_over(void *at)
{
    bhp_memory *memory = at != NULL ? bhw_memory_blank() : NULL;

    if (memory != NULL)
        memory->at = at;
    else if (at != NULL)
        UnmapViewOfFile(at);
    return memory;
}

/** See platform.h. */
void bhp_lane_trim(bhp_worker *worker, const bhp_memory *in_use, bhp_memory *trimmed[BHP_TRIMMED])
{
    struct bhw_call_section *words = worker->call;

    /* Each store pairs with the worker's load when the bell has woken it or a call has come. */
    atomic_store_explicit(&words->request.dropped, worker->request.generation,
                          memory_order_release);
    if (in_use == NULL || in_use->generation != worker->buffer) {
        atomic_store_explicit(&words->buffer.dropped, worker->buffer, memory_order_release);
        worker->buffer = 0;
    }
    atomic_store_explicit(&words->reply_dropped, worker->reply.generation, memory_order_release);
    trimmed[0] = hand_over(worker->request.memory);
    worker->request.memory = NULL;
    worker->request.room = 0;
    trimmed[1] = NULL;
    if (worker->lent == NULL) {
        trimmed[1] = hand_over((void *)(uintptr_t)worker->reply.memory);
        worker->reply.memory = NULL;
    }
    drop_view(worker);
    SetEvent(worker->bell);
}

/** See lane.h. */
void bhw_blobs_free(bhp_worker *worker)
{
    bhw_arena_drop(&worker->request);
    drop_view(worker);
}
