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

/* ---- the end ---- */

/** The call is over: lets go of what was for it alone, and of what has become too large to keep. */
void bhl_lane_settle(bhp_worker *worker, struct bhl_placed *placed);

/** Reads the committed reply to the call. */
enum bhp_lane_end bhl_lane_read(bhp_worker *worker, const struct bhp_call *call,
                                struct bhp_reply *reply);

/** Takes what the worker sent by control, makes sure that worker->view is the segment that a reply
 * names (0: it names none), of `bytes` bytes, and that it is mapped. */
enum bhp_lane_end bhl_lane_view(bhp_worker *worker, uint64_t id, uint64_t bytes, uint32_t mails,
                                struct bhp_reply *reply);
/** Whether anything is kept for large requests, for bhp_reply.kept. */
static inline bool bhl_lane_keeps(const bhp_worker *worker)
{
    return worker->segment != NULL || worker->view != NULL || worker->buffer != 0;
}
/** Lets go of the view; the worker is told, with the next ring, that it is not needed. */
void bhl_lane_forget(bhp_worker *worker);

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

/** The head of a reply in a slot, a private copy. */
struct bhl_slot_head {
    uint32_t status;
    int32_t code;
    uint64_t length;
};
/** Reads a committed reply whose value or text is in a slot's BHL_SLOT_BYTES at `data`. */
enum bhp_lane_end bhl_lane_read_slot(bhp_worker *worker, const struct bhl_slot_head *head,
                                     const void *data, struct bhp_reply *reply);

#endif
