/* SPDX-License-Identifier: MIT */
/*
 * The segment of the worker's replies: what does not fit into the reply half, and buffers in which
 * a handler writes its reply itself.
 *
 * Model: one memory file, made when a call first needs it and used again: the arena. It is written
 * from its beginning in each call: first the call's buffers, then what the reply has copied behind
 * them, then the message if the half cannot hold that. A buffer for which there is no room beside
 * earlier ones is ordinary memory, whose payload is copied into the reply; the next call that wants
 * buffers gets an arena which would have held them all.
 *
 * Invariants: an arena's pages are populated before it is used, so that lack of memory is an error
 * code and never a SIGBUS. It is announced when it is made (no descriptor of ours is open while a
 * library runs), named in the reply of that same call, and gone with the call otherwise: so the
 * dispatcher knows every arena that outlives a call. What a reply names does not move before the
 * next request.
 */
#include "worker_end.h"

#include "core/alloc.h"
#include "core/keep.h"
#include "core/problem.h"

#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define PAGE UINT64_C(4096)

/* A buffer in ordinary memory: this, padded, then the buffer. */
struct spare {
    struct spare *next;
};

static struct {
    unsigned char *memory; /* NULL: there is none */
    uint64_t room;
    uint64_t id; /* counts those that were ever made */
    bool fresh;  /* no reply has named it yet */
    struct bhi_keep keep;
} arena;

/* The call at hand. */
static struct {
    uint64_t used;   /* of the arena, by buffers; a multiple of the alignment */
    uint64_t wanted; /* by all of the call */
    struct spare *spares;
    void *old; /* mapping of an arena in which buffers are that the reply had to copy; or NULL */
    uint64_t old_bytes;
    bool leave; /* the arena goes when the answer is committed */
} call;

static uint64_t padded(uint64_t size)
{
    return (size + BHI_WIRE_ASIDE_ALIGN - 1) & ~(uint64_t)(BHI_WIRE_ASIDE_ALIGN - 1);
}

/* ---- making ---------------------------------------------------------------------------------- */

static int make_file(uint64_t size, struct bh_problem *problem)
{
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    struct rlimit limit;
    int fd;

    /* Growing the file beyond this would not only fail but raise SIGXFSZ. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && size > limit.rlim_cur) {
        bhi_problem_set(problem, BH_E_TOO_LARGE, 0,
                        "%" PRIu64 " bytes are more than RLIMIT_FSIZE allows", size);
        return -1;
    }
    fd = memfd_create("bulkhead-reply", flags | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create("bulkhead-reply", flags);
    if (fd < 0) {
        bhi_problem_set(problem, errno == ENOMEM ? BH_E_MEMORY : BH_E_SYSTEM, errno,
                        "no memory file for a reply of %" PRIu64 " bytes: %s", size,
                        strerror(errno));
        return -1;
    }
    return fd;
}

static bool populate(void *memory, size_t size)
{
    int error;

    do
        error = madvise(memory, size, MADV_POPULATE_WRITE);
    while (error != 0 && errno == EINTR);
    return error == 0;
}

/* Maps the file, whose pages it makes sure of. NULL: no memory. */
static void *map_file(int fd, uint64_t size)
{
    void *memory = MAP_FAILED;

    if (ftruncate(fd, (off_t)size) == 0)
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (populate(memory, size))
        return memory;
    munmap(memory, size);
    return NULL;
}

static int seal_and_send(int fd, uint64_t id, uint64_t size, struct bh_problem *problem)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    struct bhl_control message = {.magic = BHL_MAGIC,
                                  .type = BHL_CONTROL_SEGMENT,
                                  .version = BHL_VERSION,
                                  .id = id,
                                  .bytes = size};
    int error;

    if (fcntl(fd, F_ADD_SEALS, seals) != 0)
        return bhi_problem_set(problem, BH_E_SYSTEM, errno, "cannot seal the reply: %s",
                               strerror(errno));
    if (!bhl_worker_control_ours())
        return bhi_problem_set(problem, BH_E_SYSTEM, 0,
                               "the control socket was closed in this process");
    bhl_worker_end.reply->mails++;
    error = bhl_worker_send(&message, fd);
    if (error != 0)
        return bhi_problem_set(problem, BH_E_SYSTEM, error, "cannot send the reply: %s",
                               strerror(error));
    return BH_OK;
}

static void drop(void)
{
    if (arena.memory != NULL)
        munmap(arena.memory, arena.room);
    arena.memory = NULL;
    arena.room = 0;
    arena.fresh = false;
}

static int fill(int fd, uint64_t room, struct bh_problem *problem)
{
    void *memory = map_file(fd, room);
    int error;

    if (memory == NULL)
        return bhi_problem_set(problem, BH_E_MEMORY, errno,
                               "no memory for a reply of %" PRIu64 " bytes", room);
    error = seal_and_send(fd, arena.id + 1, room, problem);
    if (error != BH_OK) {
        munmap(memory, room);
        return error;
    }
    arena.memory = memory;
    arena.room = room;
    arena.id++;
    arena.fresh = true;
    return BH_OK;
}

/* Makes an arena with room for `bytes` where there is none. */
static int make(uint64_t bytes, struct bh_problem *problem)
{
    uint64_t room = bhi_keep_room(bytes, PAGE);
    int fd = make_file(room, problem);
    int error;

    if (fd < 0)
        return problem->code;
    error = fill(fd, room, problem);
    close(fd);
    return error;
}

/* ---- buffers --------------------------------------------------------------------------------- */

static int spare_buffer(size_t bytes, void **at, struct bh_problem *problem)
{
    struct spare *spare;
    uintptr_t start;

    if (bytes > SIZE_MAX - 2 * BHI_WIRE_ASIDE_ALIGN ||
        (spare = bhi_alloc(bytes + 2 * BHI_WIRE_ASIDE_ALIGN)) == NULL)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a buffer of %zu bytes",
                               bytes);
    spare->next = call.spares;
    call.spares = spare;
    start = padded((uintptr_t)(spare + 1));
    *at = (void *)start;
    return BH_OK;
}

/* A call's first buffer: sees to it that there is an arena which has room for it, and for as much
 * as calls of late needed in all. */
static int begin(uint64_t space, uint64_t most, struct bh_problem *problem)
{
    uint64_t wanted = arena.keep.wanted < most ? arena.keep.wanted : most;

    if (bhl_worker_end.slot != NULL || bhl_worker_nested())
        return BH_OK; /* its answer may be one that names none: then nobody would hear of it */
    if (wanted > BHI_KEEP_MOST || wanted < space)
        wanted = space;
    if (wanted <= arena.room)
        return BH_OK;
    drop(); /* first, so that there are never two */
    return make(wanted, problem);
}

int bhl_worker_arena_buffer(size_t bytes, void **at, struct bh_problem *problem)
{
    uint64_t most = padded(bhl_worker_end.max_reply);
    uint64_t space = padded(bytes > 0 ? bytes : 1);
    int error = BH_OK;

    if (bytes > bhl_worker_end.max_reply || space > most - call.wanted)
        return bhi_problem_set(problem, BH_E_TOO_LARGE, 0,
                               "buffers of %" PRIu64 " bytes are more than the pool's limit of "
                               "%" PRIu64,
                               call.wanted + bytes, bhl_worker_end.max_reply);
    if (call.wanted == 0)
        error = begin(space, most, problem);
    if (error == BH_OK && call.used + space > arena.room)
        error = spare_buffer(bytes, at, problem);
    else if (error == BH_OK) {
        *at = arena.memory + call.used;
        call.used += space;
    }
    if (error == BH_OK)
        call.wanted += space;
    return error;
}

/* ---- replies --------------------------------------------------------------------------------- */

/* How a reply would lie in the arena, behind the buffers. */
struct layout {
    struct bhi_wire_aside aside;
    uint64_t length; /* of the message */
    uint64_t place;  /* of the message in the arena, or BHL_IN_HALF */
    uint64_t needed; /* of the arena */
};

static struct layout lay_out(const bh_value *value, size_t size)
{
    /* `room` only says that there will be some. */
    struct layout layout = {.aside = {arena.memory, call.used, (unsigned char *)&arena}};
    uint64_t behind;

    layout.length = bhi_wire_aside_size(&layout.aside, value, 1, size, &behind);
    layout.needed = call.used + behind;
    layout.place = BHL_IN_HALF;
    if (layout.length > bhl_worker_end.reply_room) {
        layout.place = layout.needed;
        layout.needed += padded(layout.length);
    }
    return layout;
}

static void name(uint64_t place)
{
    struct bhl_reply_half *reply = bhl_worker_end.reply;

    reply->segment = arena.id;
    reply->segment_bytes = arena.room;
    reply->place = place;
    arena.fresh = false;
}

/* The arena is too small. What is in its buffers is still to be copied, so it stays to the end of
 * the call if there are any. */
static void retire(void)
{
    if (call.used == 0) {
        drop();
        return;
    }
    call.old = arena.memory;
    call.old_bytes = arena.room;
    arena.memory = NULL;
    arena.room = 0;
    call.used = 0;
}

int bhl_worker_arena_reply(const bh_value *value, size_t size, struct bh_problem *problem)
{
    struct bhl_worker_end *end = &bhl_worker_end;
    struct layout layout = lay_out(value, size);
    int error = BH_OK;
    void *at;

    if (layout.needed > arena.room) {
        if (call.old != NULL) /* a second try, after one that failed */
            return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for the reply");
        retire();
        layout = lay_out(value, size);
        error = make(layout.needed, problem);
    }
    if (error != BH_OK)
        return error;
    layout.aside.memory = layout.aside.room = arena.memory;
    at = layout.place == BHL_IN_HALF ? end->reply_data : arena.memory + layout.place;
    error = bhi_wire_aside_write(&layout.aside, at, (size_t)layout.length, value, 1);
    if (error != BH_OK)
        return bhi_problem_set(problem, error, 0, "%s", bh_error_text(error));
    if (layout.needed > call.wanted)
        call.wanted = layout.needed;
    end->reply->length = layout.length;
    name(layout.place);
    return BH_OK;
}

bool bhl_worker_arena_used(void)
{
    return call.wanted != 0;
}

void bhl_worker_arena_show(void)
{
    if (arena.fresh)
        name(BHL_IN_HALF);
}

/* ---- the end of a call ----------------------------------------------------------------------- */

void bhl_worker_arena_settle(bool is_told)
{
    if (arena.memory == NULL)
        return;
    call.leave = arena.fresh;
    if (is_told && bhi_keep_settle(&arena.keep, call.wanted, arena.room))
        call.leave = true;
    if (call.leave)
        bhl_worker_end.reply->segment_dropped = arena.id;
}

/* Frees ordinary memory down to this buffer. */
static void free_spares(const struct spare *last)
{
    while (call.spares != last) {
        struct spare *next = call.spares->next;

        bhi_free(call.spares);
        call.spares = next;
    }
}

void bhl_worker_arena_end(void)
{
    if (call.leave)
        drop();
    if (call.old != NULL)
        munmap(call.old, call.old_bytes);
    free_spares(NULL);
    memset(&call, 0, sizeof call);
}

/* ---- nested calls ---------------------------------------------------------------------------- */

struct bhl_arena_mark bhl_worker_arena_mark(void)
{
    return (struct bhl_arena_mark){call.used, call.wanted, call.spares};
}

void bhl_worker_arena_reset(const struct bhl_arena_mark *mark)
{
    free_spares(mark->spares);
    call.used = mark->used;
    call.wanted = mark->wanted;
}

void bhl_worker_arena_tidy(void)
{
    /* The bell, which was loaded before, pairs with the dispatcher's. */
    if (arena.id <=
        atomic_load_explicit(&bhl_worker_end.request->reply_dropped, memory_order_relaxed))
        drop();
}
