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
    struct bhl_mapping transient; /* to be unmapped after the call */
};

/** Ends a call with a text. @return `end` */
enum bhp_lane_end bhl_lane_say(struct bhp_reply *reply, enum bhp_lane_end end, const char *format,
                               ...) BH_PRINTF(3, 4);

/** Marshals the arguments into the request half or a segment, and promises a new segment to the
 * worker. */
enum bhp_lane_end bhl_lane_place(bhp_worker *worker, const struct bhp_call *call,
                                 struct bhl_placed *placed, struct bhp_reply *reply);

/** Waits until the worker has committed the serial. LOST: it ended without. */
enum bhp_lane_end bhl_lane_wait(bhp_worker *worker, const struct bhp_call *call);

/** Reads the committed reply to the serial. */
enum bhp_lane_end bhl_lane_read(bhp_worker *worker, uint64_t serial, struct bhp_reply *reply);

/* ---- the same for slots: lane_slots.c ---- */

/** How patient a waiter still is with a bell that rings for nothing. Begins as zeros. */
struct bhl_patience {
    unsigned spurious;
    int64_t pause;
};
/** Sleeps until the reply half's bell is not `rung` any more or the stop word is raised; or, when
 * the bell rings too often for nothing, for a growing pause. */
void bhl_lane_sleep(const bhp_worker *worker, uint32_t rung, bhp_word *stop,
                    struct bhl_patience *patience);

/** The head of a reply, a private copy. */
struct bhl_head {
    uint32_t status;
    int32_t code;
    uint64_t length;
    uint64_t segment;
    uint64_t segment_bytes;
};
/** Reads a committed reply whose value or text, unless it has a segment, is in `room` bytes at
 * `data` in the half. */
enum bhp_lane_end bhl_lane_read_head(bhp_worker *worker, uint64_t serial,
                                     const struct bhl_head *head, const void *data, uint64_t room,
                                     struct bhp_reply *reply);

#endif
