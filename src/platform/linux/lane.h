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

/** What a wait for the worker found. */
enum bhl_heard {
    BHL_HEARD_COMMIT, /* it has committed the serial */
    BHL_HEARD_TURN,   /* its turn is another than the last one */
    BHL_HEARD_END     /* it ended without either */
};

/** Waits until the worker says something. @param last the number of its last turn */
enum bhl_heard bhl_lane_listen(const bhp_worker *worker, const struct bhp_call *call,
                               uint64_t last);

/* ---- lane_turn.c: callbacks ---- */

/** One request as a conversation. */
struct bhl_talk {
    bhp_worker *worker;
    const struct bhp_call *call;
    struct bhp_reply *reply; /* the call's: for the text of BROKEN */
    size_t room_at;          /* of the dispatcher's turns, in its half */
    size_t room;
    uint64_t heard; /* number of the worker's last turn */
    uint32_t depth; /* callbacks under way */
    uint32_t stale; /* turns of another request */
    bool over;      /* nothing more is said: `end` says why */
    enum bhp_lane_end end;
};

/** Before the request is published. */
void bhl_talk_begin(struct bhl_talk *talk, bhp_worker *worker, const struct bhp_call *call,
                    const struct bhl_placed *placed, struct bhp_reply *reply);
/** Waits until the worker has committed the serial, and answers its callbacks. LOST: it ended
 * without. */
enum bhp_lane_end bhl_talk_wait(struct bhl_talk *talk);

/** Reads the committed reply to the serial. */
enum bhp_lane_end bhl_lane_read(bhp_worker *worker, uint64_t serial, struct bhp_reply *reply);

#endif
