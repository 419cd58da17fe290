/* SPDX-License-Identifier: MIT */
/*
 * Large payloads, beside COM: the worker's side of struct bhw_blobs.
 *
 * Model: two arenas (arena.h), made when they are first needed. Handlers read a request's payloads
 * where they lie, in the dispatcher's arena, which is mapped here read-only. Replies are copied
 * into this process's own arena, from whose section the dispatcher fetches the handle.
 *
 * Invariants: a handle that the dispatcher has fetched is closed already and never closed here: its
 * number may be somebody else's. Nothing of a request's arena is let go while a method runs. All of
 * it belongs to the serving thread.
 */
#include "arena.h"
#include "worker_end.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "worker/channel.h"

#include <inttypes.h>

static struct bhw_arena_view request;
static struct bhw_arena_view buffer; /* a session's */
static struct bhw_arena reply;
static bool own;         /* the call at hand is the dispatcher's */
static HANDLE announced; /* the latest section of `reply`; NULL: none */

/* ---- from the dispatcher --------------------------------------------------------------------- */

/* Takes a section that the dispatcher has announced. */
static int take(struct bhw_arena_view *view, const struct bhw_arena_words *words,
                _Atomic uint32_t *taken, uint32_t generation)
{
    HANDLE section = (HANDLE)(uintptr_t)atomic_load_explicit(&words->handle, memory_order_relaxed);

    if (atomic_load_explicit(&words->generation, memory_order_relaxed) != generation ||
        section == NULL)
        return BH_E_SYNTAX;
    /* Pairs with the dispatcher's load before it would close the handle. */
    atomic_store_explicit(taken, generation, memory_order_release);
    return bhw_arena_view_take(view, generation, section, UINT64_MAX);
}

static int find(void *context, uint64_t name, size_t bytes, const void **data)
{
    const struct bhw_call_section *call = bhw_worker_end.call;
    struct bhw_box_section *box = bhw_worker_end.box;
    uint32_t generation = bhw_arena_generation(name);
    bool buffered = (generation & BHW_BUFFER_GENERATION) != 0;
    struct bhw_arena_view *view = buffered ? &buffer : &request;
    int rc = BH_OK;

    (void)context;
    if (generation != view->generation && generation != 0)
        rc = buffered ? take(view, &call->buffer, &box->buffer_taken, generation)
                      : take(view, &call->request, &box->request_taken, generation);
    return rc == BH_OK ? bhw_arena_view_find(view, name, bytes, data) : rc;
}

/* ---- to the dispatcher ----------------------------------------------------------------------- */

/* Closes the handle of the section before, unless the dispatcher has. */
static void withdraw(void)
{
    struct bhw_arena_words *words = &bhw_worker_end.box->reply;

    /* Pairs with the dispatcher's store before it fetches a handle. */
    if (announced != NULL &&
        atomic_load_explicit(&bhw_worker_end.call->reply_taken, memory_order_acquire) !=
            atomic_load_explicit(&words->generation, memory_order_relaxed))
        CloseHandle(announced);
    announced = NULL;
}

static void announce(HANDLE section)
{
    struct bhw_arena_words *words = &bhw_worker_end.box->reply;

    withdraw();
    announced = section;
    /* The dispatcher reads these when the call has returned. */
    atomic_store_explicit(&words->handle, (uint64_t)(uintptr_t)section, memory_order_relaxed);
    atomic_store_explicit(&words->generation, reply.generation, memory_order_release);
}

/* Buffers are in the way of a larger arena: they are copied into it. */
static int reserve(void *context, uint64_t bytes)
{
    HANDLE section;
    int rc;

    (void)context;
    if (reply.held > 0 && !bhw_arena_fits(&reply, bytes)) {
        if (reply.old != NULL) /* a second try, after one that failed */
            return BH_E_MEMORY;
        bhw_arena_retire(&reply);
        return BH_E_STATE;
    }
    rc = bhw_arena_reserve(&reply, bytes, bhw_worker_end.call->arena_bytes, &section);
    if (section != NULL)
        announce(section);
    return rc;
}

static bool name(void *context, const void *data, size_t bytes, uint64_t *name)
{
    (void)context;
    return bhw_arena_name(&reply, data, bytes, name);
}

static int put(void *context, const void *data, size_t bytes, uint64_t *name)
{
    (void)context;
    *name = bhw_arena_put(&reply, data, bytes);
    return BH_OK;
}

struct bhw_blobs *bhw_worker_blobs(void)
{
    static struct bhw_blobs blobs = {
        .in_place = true, .reserve = reserve, .put = put, .name = name, .find = find};

    blobs.threshold = bhw_worker_end.call->blob_bytes;
    return &blobs;
}

/* ---- buffers --------------------------------------------------------------------------------- */

/* A buffer in ordinary memory: this, padded, then the buffer. */
struct spare {
    struct spare *next;
};
static struct spare *spares;
static uint64_t wanted; /* by the buffers of the call at hand */
static unsigned nested; /* calls within it: their answers are in no arena */

static int spare_buffer(size_t bytes, void **at, struct bh_problem *problem)
{
    struct spare *spare;

    if (bytes > SIZE_MAX - 2 * BHW_ARENA_ALIGNMENT ||
        (spare = bhi_alloc(bytes + 2 * BHW_ARENA_ALIGNMENT)) == NULL)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a buffer");
    spare->next = spares;
    spares = spare;
    *at = (void *)(uintptr_t)BHW_ARENA_SPACE((uintptr_t)(spare + 1));
    return BH_OK;
}

/* Down to this one. */
static void free_spares(const struct spare *last)
{
    while (spares != last) {
        struct spare *next = spares->next;

        bhi_free(spares);
        spares = next;
    }
}

void bhw_worker_buffers_end(void)
{
    free_spares(NULL);
    wanted = 0;
}

struct bhw_buffers_mark bhw_worker_buffers_mark(void)
{
    nested++;
    return (struct bhw_buffers_mark){wanted, spares};
}

void bhw_worker_buffers_reset(const struct bhw_buffers_mark *mark)
{
    nested--;
    free_spares(mark->spares);
    wanted = mark->wanted;
}

/* @param[out] at NULL: there is no room beside the others */
static int arena_buffer(uint64_t space, void **at, struct bh_problem *problem)
{
    HANDLE section;
    int rc = bhw_arena_hold(&reply, space, bhw_worker_end.call->arena_bytes, &section, at);

    if (section != NULL)
        announce(section);
    return rc == BH_OK ? rc : bhi_problem_set(problem, rc, 0, "no memory for a buffer");
}

int bhi_channel_buffer(size_t bytes, void **at, struct bh_problem *problem)
{
    uint64_t most = BHW_ARENA_SPACE(bhw_worker_end.call->max_reply_bytes);
    uint64_t space = BHW_ARENA_SPACE(bytes > 0 ? bytes : 1);
    int error;

    if (bytes > bhw_worker_end.call->max_reply_bytes || space > most - wanted)
        return bhi_problem_set(problem, BH_E_TOO_LARGE, 0,
                               "buffers are more than the pool's limit of %" PRIu64,
                               bhw_worker_end.call->max_reply_bytes);
    error = own && nested == 0 ? arena_buffer(space, at, problem) : BH_OK;
    if (error == BH_OK && *at == NULL) /* no room, or a stranger's or a nested call */
        error = spare_buffer(bytes, at, problem);
    if (error == BH_OK)
        wanted += space;
    return error;
}

/* ---- a call ---------------------------------------------------------------------------------- */

void bhw_worker_blobs_begin(void)
{
    bhw_worker_blobs_look(); /* what was dropped must not be named any more */
    bhw_arena_begin(&reply);
    own = true;
}

void bhw_worker_blobs_end(void)
{
    own = false;
    if (wanted > reply.used) /* so that there is room for all of them next time */
        reply.used = wanted;
    if (bhw_arena_settle(&reply))
        /* The dispatcher reads it when the call has returned, and the section by its own handle. */
        atomic_store_explicit(&bhw_worker_end.box->reply.dropped, reply.generation,
                              memory_order_release);
}

/* Lets go of a view whose generation the dispatcher has dropped. */
static void look_at(struct bhw_arena_view *view, const struct bhw_arena_words *words)
{
    /* Pairs with the dispatcher's store before it rings the bell, or calls. */
    if (view->generation != 0 &&
        atomic_load_explicit(&words->dropped, memory_order_acquire) == view->generation)
        bhw_arena_view_drop(view);
}

void bhw_worker_blobs_look(void)
{
    const struct bhw_call_section *call = bhw_worker_end.call;

    look_at(&request, &call->request);
    look_at(&buffer, &call->buffer);
    if (reply.memory != NULL &&
        atomic_load_explicit(&call->reply_dropped, memory_order_acquire) == reply.generation)
        bhw_arena_drop(&reply);
}
