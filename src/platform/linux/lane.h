/* SPDX-License-Identifier: MIT */
/**
 * @file lane.h
 * The three steps of a lane call: placing the arguments, waiting, reading the reply. All on the
 * calling thread, which holds the worker's lease.
 *
 * A step returns BHP_LANE_REPLIED when the call goes on, and any other end when that is the call's.
 */
#ifndef BHL_LANE_H
#define BHL_LANE_H

#include "nursery.h"

/** Where the arguments are. */
struct bhl_placed {
    uint64_t length;
    uint64_t segment; /* 0: in the half */
    uint64_t segment_bytes;
    uint64_t buffer; /* 0: none is used */
    uint64_t buffer_bytes;
    bhp_memory *transient; /* to go after the call; or NULL */
};

/** Ends a call with a text. @return `end` */
enum bhp_lane_end bhl_lane_say(struct bhp_reply *reply, enum bhp_lane_end end, const char *format,
                               ...) BH_PRINTF(3, 4);

/** Marshals the arguments into the request half or a segment, and promises a new segment to the
 * worker. */
enum bhp_lane_end bhl_lane_place(bhp_worker *worker, const struct bhp_call *call,
                                 struct bhl_placed *placed, struct bhp_reply *reply);

/** The call is over: lets go of what was for it alone, and of what has become too large to keep. */
void bhl_lane_settle(bhp_worker *worker, struct bhl_placed *placed);

/** Waits until the worker has committed the serial. LOST: it ended without. */
enum bhp_lane_end bhl_lane_wait(bhp_worker *worker, const struct bhp_call *call);

/** Reads the committed reply to the call. */
enum bhp_lane_end bhl_lane_read(bhp_worker *worker, const struct bhp_call *call,
                                struct bhp_reply *reply);

/** Takes what the worker sent by control, makes sure that worker->view is the segment that a reply
 * names (0: it names none), of `bytes` bytes, and that it is mapped. */
enum bhp_lane_end bhl_lane_view(bhp_worker *worker, uint64_t id, uint64_t bytes, uint32_t mails,
                                struct bhp_reply *reply);
/** Lets go of the view; the worker is told, with the next ring, that it is not needed. */
void bhl_lane_forget(bhp_worker *worker);

#endif
