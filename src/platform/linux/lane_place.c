/* SPDX-License-Identifier: MIT */
/*
 * Placing the arguments of a request where the worker can read them.
 *
 * Model: what fits goes into the request half. What does not goes into a segment: a sealed memory
 * file of its own, which the worker gets by its control socket before the request is published. One
 * is kept for the next such request, replaced when it is too small, and let go of when it is far
 * too large (core/keep.h) or when the supervisor finds the worker idle; one that is too large to be
 * kept is used once, and the kept one is given up for it. Payloads that lie in a session's buffer
 * stay there: then the message only names them.
 *
 * Invariants: the pages of a segment are there before it is promised. At any moment there is at
 * most one segment, here and in the worker: it keeps the last one that a request named, unless that
 * was transient or it is told to let go.
 */
#include "lane.h"

#include "core/problem.h"
#include "core/wire.h"
#include "socket.h"
#include "support.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How long a worker that closed its socket may take to be found dead. */
#define DYING (1000 * BHL_MS)

/* The worker does not take messages: because it is dead, which the supervisor will say, or for no
 * good reason. */
static enum bhp_lane_end cannot_tell(const bhp_worker *worker, const struct bhp_call *call,
                                     struct bhp_reply *reply)
{
    int error = errno;
    int64_t until = bhp_now() + DYING;

    if (error == EAGAIN)
        return bhl_lane_say(reply, BHP_LANE_BROKEN, "it does not take the segments it is sent");
    if (error != EPIPE && error != ECONNRESET)
        return bhl_lane_say(reply, BHP_LANE_MEMORY, "a segment cannot be sent: %s",
                            bhl_error_text(error));
    while (atomic_load(call->stop) == 0 && !atomic_load(&worker->ended)) {
        if (bhp_now() >= until)
            return bhl_lane_say(reply, BHP_LANE_BROKEN, "it closed its control socket");
        bhp_word_wait(call->stop, 0, until);
    }
    return BHP_LANE_LOST;
}

/* Sends a memory to the worker, under the next id. */
static enum bhp_lane_end send_memory(bhp_worker *worker, const struct bhp_call *call, uint32_t type,
                                     bhp_memory *memory, struct bhp_reply *reply)
{
    struct bhl_control message = {.magic = BHL_MAGIC,
                                  .type = type,
                                  .version = BHL_VERSION,
                                  .id = worker->segments + 1,
                                  .bytes = memory->bytes};

    if (!bhl_send(worker->control, &message, sizeof(message), &memory->fd, 1))
        return cannot_tell(worker, call, reply);
    bhl_close(&memory->fd);
    memory->id = ++worker->segments;
    return BHP_LANE_REPLIED;
}

/* Makes a segment and sends it. */
static enum bhp_lane_end new_segment(bhp_worker *worker, const struct bhp_call *call,
                                     uint64_t bytes, bhp_memory **segment, struct bhp_reply *reply)
{
    enum bhp_lane_end end;

    bhp_memory *memory = bhl_memory_blank(0, bytes);
    if (memory == NULL)
        return BHP_LANE_MEMORY;
    memory->fd = bhl_memory_make("bulkhead-segment", (size_t)bytes, true, &memory->map);
    if (memory->fd < 0)
        end = bhl_lane_say(reply, BHP_LANE_MEMORY, "a segment of %" PRIu64 " bytes: %s", bytes,
                           bhl_error_text(errno));
    else
        end = send_memory(worker, call, BHL_CONTROL_SEGMENT, memory, reply);
    if (end == BHP_LANE_REPLIED)
        *segment = memory;
    else
        bhp_memory_free(memory);
    return end;
}

/* The worker lets go of it with the next request or, if that is rung for, at once. */
static void drop_segment(bhp_worker *worker)
{
    if (worker->segment == NULL)
        return;
    atomic_store_explicit(&bhl_request(worker)->segment_dropped, worker->segment->id,
                          memory_order_relaxed);
    bhp_memory_free(worker->segment);
    worker->segment = NULL;
}

/* Room for `size` bytes. @param[out] at where */
static enum bhp_lane_end find_room(bhp_worker *worker, const struct bhp_call *call, uint64_t size,
                                   struct bhl_placed *placed, void **at, struct bhp_reply *reply)
{
    enum bhp_lane_end end = BHP_LANE_REPLIED;

    if (size <= worker->request_map.bytes - BHL_HEADER_BYTES) {
        *at = (unsigned char *)worker->request_map.at + BHL_HEADER_BYTES;
        return BHP_LANE_REPLIED;
    }
    bhp_memory *segment = worker->segment;
    if (segment == NULL || segment->bytes < size) {
        uint64_t bytes = bhi_keep_room(size, worker->nursery->page_bytes);
        bool once = bytes > BHI_KEEP_MOST;

        drop_segment(worker); /* first, so that there are never two */
        end = new_segment(worker, call, bytes, &segment, reply);
        if (end != BHP_LANE_REPLIED)
            return end;
        *(once ? &placed->transient : &worker->segment) = segment;
    }
    placed->segment = segment->id;
    placed->segment_bytes = segment->bytes;
    *at = segment->map.at;
    return end;
}

static enum bhp_lane_end refuse(int rc, const struct bhp_call *call, uint64_t most,
                                struct bhp_reply *reply)
{
    if (rc == BH_E_TOO_LARGE)
        return bhl_lane_say(reply, BHP_LANE_TOO_LARGE,
                            "the arguments of %s are too large: more than %" PRIu64
                            " bytes, or more values than a message can hold",
                            call->method, most);
    if (rc == BH_E_MEMORY)
        return BHP_LANE_MEMORY;
    return bhl_lane_say(reply, BHP_LANE_INVALID, "the arguments of %s: %s", call->method,
                        bh_error_text(rc));
}

/* The worker gets the buffer if it does not have it yet. */
static enum bhp_lane_end use_buffer(bhp_worker *worker, const struct bhp_call *call,
                                    struct bhl_placed *placed, struct bhp_reply *reply)
{
    bhp_memory *buffer = call->memory;
    enum bhp_lane_end end = BHP_LANE_REPLIED;

    if (buffer->id == 0)
        end = send_memory(worker, call, BHL_CONTROL_BUFFER, buffer, reply);
    placed->buffer = worker->buffer = buffer->id;
    placed->buffer_bytes = buffer->bytes;
    return end;
}

/** See lane.h. */
enum bhp_lane_end bhl_lane_place(bhp_worker *worker, const struct bhp_call *call,
                                 struct bhl_placed *placed, struct bhp_reply *reply)
{
    struct bh_value_limits limits = {.bytes = worker->nursery->max_request_bytes};
    struct bhi_wire_aside aside = {NULL, 0, NULL};
    uint64_t behind;
    size_t size = 0;
    size_t whole;
    void *at = NULL;

    int rc = bh_wire_size(call->arguments, call->argument_count, &limits, &size);
    if (rc != BH_OK)
        return refuse(rc, call, limits.bytes, reply);
    whole = size;
    enum bhp_lane_end end = BHP_LANE_REPLIED;
    if (call->memory != NULL) {
        aside = (struct bhi_wire_aside){call->memory->map.at, call->memory->bytes, NULL};
        size = bhi_wire_aside_size(&aside, call->arguments, call->argument_count, whole, &behind);
        if (size < whole)
            end = use_buffer(worker, call, placed, reply);
    }
    if (end == BHP_LANE_REPLIED)
        end = find_room(worker, call, size, placed, &at, reply);
    if (end != BHP_LANE_REPLIED)
        return end;
    placed->length = size;
    rc = bhi_wire_aside_write(&aside, at, size, call->arguments, call->argument_count);
    return rc == BH_OK ? BHP_LANE_REPLIED : refuse(rc, call, limits.bytes, reply);
}

/* ---- giving back ---- */

/* Has the worker look at what was dropped; it may be asleep. */
static void ring(bhp_worker *worker)
{
    struct bhl_request_half *half = bhl_request(worker);

    /* Pairs with the worker's load of the bell: it sees the words that were stored before. */
    atomic_fetch_add_explicit(&half->bell, 1, memory_order_release);
    syscall(SYS_futex, &half->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/** See lane.h. */
void bhl_lane_settle(bhp_worker *worker, struct bhl_placed *placed)
{
    bhp_memory *segment = worker->segment;

    bhp_memory_free(placed->transient);
    placed->transient = NULL;
    if (segment == NULL)
        return;
    if (!bhi_keep_settle(&worker->keep, placed->segment != 0 ? placed->length : 0, segment->bytes))
        return;
    drop_segment(worker);
    ring(worker);
}

/** See platform.h. */
void bhp_lane_trim(bhp_worker *worker, const bhp_memory *in_use, bhp_memory *trimmed[BHP_TRIMMED])
{
    struct bhl_request_half *half = bhl_request(worker);

    trimmed[0] = worker->segment;
    trimmed[1] = worker->view;
    atomic_store_explicit(&half->segment_dropped, worker->segments, memory_order_relaxed);
    if (in_use == NULL || in_use->id != worker->buffer) {
        atomic_store_explicit(&half->buffer_dropped, worker->buffer, memory_order_relaxed);
        worker->buffer = 0;
    }
    if (worker->view != NULL)
        atomic_store_explicit(&half->reply_dropped, worker->view->id, memory_order_relaxed);
    worker->segment = NULL;
    worker->view = NULL;
    ring(worker);
}
