/* SPDX-License-Identifier: MIT */
/*
 * Placing the arguments of a request where the worker can read them.
 *
 * Model: what fits goes into the request half. What does not goes into a segment: a sealed memory
 * file of its own, which the worker gets by its control socket before the request is published. One
 * segment of up to 1 MiB is kept for the next such request, and replaced when it is too small; a
 * larger one is used once, and the kept one is given up for it.
 *
 * Invariants: the pages of a segment are there before it is promised. At any moment there is at
 * most one segment, here and in the worker: it keeps the last one that a request named, unless that
 * was transient.
 */
#include "lane.h"

#include "core/problem.h"
#include "socket.h"
#include "support.h"

#include <errno.h>
#include <inttypes.h>

/* The largest segment that is kept. */
#define KEPT_BYTES (UINT64_C(1) << 20)
/* How long a worker that closed its socket may take to be found dead. */
#define DYING (1000 * BHL_MS)

static uint64_t rounded(uint64_t size, size_t page)
{
    uint64_t bytes = page;

    if (size > KEPT_BYTES)
        return (size + page - 1) / page * page;
    while (bytes < size)
        bytes *= 2;
    return bytes;
}

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

/* Makes a segment and sends it. */
static enum bhp_lane_end new_segment(bhp_worker *worker, const struct bhp_call *call,
                                     uint64_t bytes, struct bhl_mapping *map,
                                     struct bhp_reply *reply)
{
    struct bhl_control message = {.magic = BHL_MAGIC,
                                  .type = BHL_CONTROL_SEGMENT,
                                  .version = BHL_VERSION,
                                  .id = ++worker->segments,
                                  .bytes = bytes};
    enum bhp_lane_end end = BHP_LANE_REPLIED;

    int fd = bhl_memory_make("bulkhead-segment", (size_t)bytes, true, map);
    if (fd < 0)
        return bhl_lane_say(reply, BHP_LANE_MEMORY, "a segment of %" PRIu64 " bytes: %s", bytes,
                            bhl_error_text(errno));
    if (!bhl_send(worker->control, &message, sizeof(message), &fd, 1)) {
        end = cannot_tell(worker, call, reply);
        bhl_unmap(map);
    }
    bhl_close(&fd);
    return end;
}

/* The kept segment, made anew if it is too small. */
static enum bhp_lane_end kept_segment(bhp_worker *worker, const struct bhp_call *call,
                                      uint64_t bytes, struct bhp_reply *reply)
{
    struct bhl_segment *kept = &worker->segment;

    if (kept->map.at != NULL && kept->map.bytes >= bytes)
        return BHP_LANE_REPLIED;
    bhl_unmap(&kept->map);
    enum bhp_lane_end end = new_segment(worker, call, bytes, &kept->map, reply);
    kept->id = worker->segments;
    return end;
}

/* Room for `size` bytes. @param[out] at where */
static enum bhp_lane_end find_room(bhp_worker *worker, const struct bhp_call *call, uint64_t size,
                                   struct bhl_placed *placed, void **at, struct bhp_reply *reply)
{
    const struct bhl_mapping *map = &placed->transient;
    enum bhp_lane_end end;

    if (size <= worker->request_map.bytes - BHL_HEADER_BYTES) {
        *at = (unsigned char *)worker->request_map.at + BHL_HEADER_BYTES;
        return BHP_LANE_REPLIED;
    }
    uint64_t bytes = rounded(size, worker->nursery->page_bytes);
    if (bytes > KEPT_BYTES) {
        bhl_unmap(&worker->segment.map);
        end = new_segment(worker, call, bytes, &placed->transient, reply);
    } else {
        end = kept_segment(worker, call, bytes, reply);
        map = &worker->segment.map;
    }
    placed->segment = map == &placed->transient ? worker->segments : worker->segment.id;
    placed->segment_bytes = map->bytes;
    *at = map->at;
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

/** See lane.h. */
enum bhp_lane_end bhl_lane_place(bhp_worker *worker, const struct bhp_call *call,
                                 struct bhl_placed *placed, struct bhp_reply *reply)
{
    struct bh_value_limits limits = {.bytes = worker->nursery->max_request_bytes};
    size_t size = 0;
    void *at = NULL;

    int rc = bh_wire_size(call->arguments, call->argument_count, &limits, &size);
    if (rc != BH_OK)
        return refuse(rc, call, limits.bytes, reply);
    enum bhp_lane_end end = find_room(worker, call, size, placed, &at, reply);
    if (end != BHP_LANE_REPLIED)
        return end;
    placed->length = size;
    rc = bh_wire_write(at, size, call->arguments, call->argument_count);
    return rc == BH_OK ? BHP_LANE_REPLIED : refuse(rc, call, limits.bytes, reply);
}
