/* SPDX-License-Identifier: MIT */
/*
 * The worker's end of the lane at work: src/worker/channel.h on two shared halves and a futex.
 *
 * Model: protocol.h describes the wake-up protocol; bhi_channel_serve() below is its right-hand
 * column. Waiting costs two system calls for a request, the wait and the wake; everything else is
 * loads and stores.
 *
 * Invariants: the bell is read before what it announces. `started` is stored before any handler can
 * run, `committed` after the whole answer. A serial is taken once. Only the worker itself answers:
 * a forked child that comes back out of a handler is ended. The dispatcher is trusted, but a
 * request that makes no sense means that one of the two is broken, and then the worker says so and
 * goes.
 */
#include "worker_end.h"

#include "core/problem.h"
#include "worker/channel.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define FOREVER INT64_MAX
/* How often an idle worker looks whether its launcher still is its parent. The kernel's own notice
 * (the parent-death signal) is lost when a library changes the process's credentials. */
#define LOOK_NS (30 * SECOND)

/* ---- answering ------------------------------------------------------------------------------- */

static void set_answer(uint32_t status, int32_t code, uint64_t length)
{
    struct bhl_reply_half *reply = bhl_worker_end.reply;

    reply->status = status;
    reply->code = code;
    reply->length = length;
    reply->segment = 0;
    reply->segment_bytes = 0;
    reply->place = BHL_IN_HALF;
}

static int too_large(size_t size, struct bh_problem *problem)
{
    return bhi_problem_set(problem, BH_E_TOO_LARGE, 0,
                           "%zu bytes are more than the pool's limit of %" PRIu64, size,
                           bhl_worker_end.max_reply);
}

int bhi_channel_reply(const bh_value *value, struct bh_problem *problem)
{
    struct bhl_worker_end *end = &bhl_worker_end;
    const struct bh_value_limits limits = {.bytes = UINT64_MAX};
    size_t size;

    if (end->slot != NULL)
        return bhl_worker_slot_reply(value, problem);
    int error = bh_wire_size(value, 1, &limits, &size);
    if (error != BH_OK)
        return bhi_problem_set(problem, error, 0, "%s", bh_error_text(error));
    if (bhl_worker_nested())
        return bhl_worker_nested_reply(value, problem);
    if (size > end->max_reply)
        return too_large(size, problem);
    if (size <= end->reply_room) {
        error = bh_wire_write(end->reply_data, size, value, 1);
        if (error != BH_OK)
            return error;
        set_answer(BHL_REPLIED, 0, size);
        bhl_worker_arena_show();
        return BH_OK;
    }
    set_answer(BHL_REPLIED, 0, size);
    return bhl_worker_arena_reply(value, size, problem);
}

/** See worker_end.h. */
int bhl_worker_reply_outside(const bh_value *value, size_t size, struct bh_problem *problem)
{
    struct bhl_worker_end *end = &bhl_worker_end;
    uint64_t room = end->reply_room;

    end->reply_room = 0; /* the half has other replies */
    set_answer(BHL_REPLIED, 0, size);
    int error = bhl_worker_arena_reply(value, size, problem);
    end->reply_room = room;
    return error;
}

int bhi_channel_buffer(size_t bytes, void **at, struct bh_problem *problem)
{
    return bhl_worker_arena_buffer(bytes, at, problem);
}

void bhi_channel_fail(int32_t code, const char *text, size_t length)
{
    struct bhl_worker_end *end = &bhl_worker_end;

    if (bhl_worker_nested()) {
        bhl_worker_nested_fail(code, text, length);
        return;
    }
    if (end->slot != NULL) {
        bhl_worker_slot_fail(code, text, length);
        return;
    }
    if (length > end->reply_room) {
        length = end->reply_room;
        while (length > 0 && (text[length] & 0xc0) == 0x80)
            length--;
    }
    memcpy(end->reply_data, text, length);
    set_answer(BHL_FAILED, code, length);
}

void bhi_channel_progress(uint64_t done, uint64_t total)
{
    struct bhl_reply_half *reply = bhl_worker_end.reply;

    atomic_store_explicit(&reply->progress_done, done, memory_order_relaxed);
    atomic_store_explicit(&reply->progress_total, total, memory_order_relaxed);
    bhi_channel_alive();
}

void bhi_channel_alive(void)
{
    /* Pairs with the dispatcher's load in bhp_worker_box(): it sees at least what was stored
     * before. */
    atomic_fetch_add_explicit(&bhl_worker_end.reply->progress, 1, memory_order_release);
}

bool bhi_channel_cancelled(uint64_t serial)
{
    /* Pairs with the dispatcher's store in bhp_worker_nudge(); nothing else hangs on it. */
    return atomic_load_explicit(&bhl_worker_end.request->cancel, memory_order_relaxed) == serial;
}

bool bhi_channel_forked(void)
{
    return *bhl_worker_end.not_forked == 0;
}

uintptr_t bhi_channel_thread(void)
{
    return bhl_worker_stack_owner();
}

int bhi_channel_thread_enter(void)
{
    return bhl_worker_stack_enter();
}

void bhi_channel_thread_leave(void)
{
    bhl_worker_stack_leave();
}

/* ---- serving --------------------------------------------------------------------------------- */

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

/* Where the arguments are. NULL: no memory. */
static const void *find_arguments(const struct bhl_request_half *request)
{
    if (request->segment == 0) {
        if (request->length > bhl_worker_end.request_room)
            bhl_worker_die("arguments of %" PRIu64 " bytes do not fit into the lane",
                           request->length);
        return bhl_worker_end.request_data;
    }
    if (request->length > request->segment_bytes)
        bhl_worker_die("arguments of %" PRIu64 " bytes do not fit into their segment",
                       request->length);
    return bhl_worker_segment_map(request->segment, request->segment_bytes,
                                  request->transient != 0);
}

/* Decodes the arguments. @return whether there was the memory to do it */
static bool view_arguments(const struct bhl_request_half *request, bh_value *arguments)
{
    const struct bh_value_limits limits = {.bytes = UINT64_MAX};
    const void *memory = find_arguments(request);
    struct bhi_wire_side side;
    struct bh_problem problem;
    int error;

    *arguments = bh_value_null();
    if (memory == NULL || (request->buffer != 0 &&
                           !bhl_worker_buffer_map(request->buffer, request->buffer_bytes, &side)))
        return false;
    error = bhi_wire_aside_view(arguments, memory, request->length,
                                request->buffer != 0 ? &side : NULL, &limits, &problem);
    if (error != BH_OK && error != BH_E_MEMORY)
        bhl_worker_die("malformed arguments: %s", problem.text);
    return error == BH_OK;
}

/** See worker_end.h. */
void bhl_worker_handle(const struct bhi_channel_owner *owner, const bh_value *arguments,
                       struct bhi_request *request)
{
    if (request->method >= owner->method_count)
        bhl_worker_die("there is no method number %" PRIu32, request->method);
    bh_value_get_array(arguments, &request->arguments, &request->count);
    owner->request(owner->context, request);
    if (bhi_channel_forked())
        bhl_worker_die("a forked child of the worker returned from a handler");
}

static void commit(uint64_t serial)
{
    struct bhl_reply_half *reply = bhl_worker_end.reply;

    /* Both pair with the loads in bhp_lane_call(), bell first; `committed` carries the whole
     * answer. */
    atomic_store_explicit(&reply->committed, serial, memory_order_release);
    atomic_fetch_add_explicit(&reply->bell, 1, memory_order_release);
    syscall(SYS_futex, &reply->bell, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/** See worker_end.h. */
void bhl_worker_tidy(void)
{
    bhl_worker_segment_tidy();
    bhl_worker_arena_tidy();
}

static void serve_one(const struct bhi_channel_owner *owner, uint64_t serial)
{
    static const char no_memory[] = "no memory for the arguments";
    struct bhl_worker_end *end = &bhl_worker_end;
    bh_value arguments;

    if (end->request->rearm != 0)
        bhl_worker_fault_rearm();
    bhl_worker_tidy();
    end->taken = serial;
    bhl_worker_turns_begin();
    atomic_store_explicit(&end->reply->progress_done, 0, memory_order_relaxed);
    atomic_store_explicit(&end->reply->progress_total, 0, memory_order_relaxed);
    /* Pairs with the dispatcher's load in bhp_worker_box(), after the worker's end. */
    atomic_store_explicit(&end->reply->started, serial, memory_order_release);

    struct bhi_request request = {.serial = serial, .method = end->request->method};
    if (view_arguments(end->request, &arguments))
        bhl_worker_handle(owner, &arguments, &request);
    else
        bhi_channel_fail(BH_E_MEMORY, no_memory, sizeof no_memory - 1);
    bhl_worker_arena_settle(true);
    commit(serial);
    bhl_worker_arena_end();
    bh_value_deinit(&arguments);
    bhl_worker_segment_drop();
    if (owner->idle != NULL)
        owner->idle(owner->context);
}

/* Waits for the bell to change, until `until` at most. */
static void wait_for_bell(uint32_t bell, int64_t until)
{
    struct bhl_worker_end *end = &bhl_worker_end;
    int64_t look = now() + LOOK_NS;
    int64_t end_of_wait = until < look ? until : look;
    struct timespec time = {.tv_sec = end_of_wait / SECOND, .tv_nsec = end_of_wait % SECOND};
    /* The half is mapped read-only; the kernel only reads the word. */
    uint32_t *word = (uint32_t *)(uintptr_t)&end->request->bell;

    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, bell, &time, NULL, FUTEX_BITSET_MATCH_ANY) !=
            0 &&
        errno == ETIMEDOUT && !bhl_worker_bind(end->parent))
        bhl_worker_die("the launcher is gone");
}

void bhl_worker_wait(uint32_t bell)
{
    wait_for_bell(bell, FOREVER);
}

void bhi_channel_serve(const struct bhi_channel_owner *owner)
{
    const struct bhl_request_half *request = bhl_worker_end.request;
    int64_t patience = owner->idle_exit_ms == 0 ? FOREVER : owner->idle_exit_ms * INT64_C(1000000);
    int64_t until = patience == FOREVER ? FOREVER : now() + patience;

    bhl_worker_turns_for(owner);
    for (;;) {
        /* Each pairs with the dispatcher's release in bhp_lane_call() or bhp_worker_quit(). */
        uint32_t bell = atomic_load_explicit(&request->bell, memory_order_acquire);
        uint64_t serial = atomic_load_explicit(&request->serial, memory_order_acquire);

        if (bhl_worker_slots_serve(owner)) { /* before a single one that came behind them */
            until = patience == FOREVER ? FOREVER : now() + patience;
        } else if (serial != bhl_worker_end.taken) {
            serve_one(owner, serial);
            until = patience == FOREVER ? FOREVER : now() + patience;
        } else if (atomic_load_explicit(&request->quit, memory_order_acquire) != 0 ||
                   (until != FOREVER && now() >= until)) {
            break; /* in vain for a request that comes now: it never starts, and will be sent
                      elsewhere */
        } else {
            bhl_worker_tidy();
            wait_for_bell(bell, until);
        }
    }
    /* Pairs with the dispatcher's load in bhp_worker_box(). */
    atomic_store_explicit(&bhl_worker_end.reply->quitting, 1, memory_order_release);
}
