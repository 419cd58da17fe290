/* SPDX-License-Identifier: MIT */
/**
 * @file internal.h
 * What the files of the fake share: its one world, the nurseries and workers in it.
 */
#ifndef BHF_INTERNAL_H
#define BHF_INTERNAL_H

#include "fake.h"

/** Somebody who waits, on the stack of bhp_word_wait() or bhp_lane_call(). */
struct bhf_waiter {
    struct bhf_waiter *next;
    const bhp_word *word;
    bool woken;
};

/** What happens to a worker at a time; of several at one time, in this order. */
enum bhf_happening {
    BHF_AT_STARTED,
    BHF_AT_READY,
    BHF_AT_OUTPUT,
    BHF_AT_BEGIN,
    BHF_AT_PROGRESS,
    BHF_AT_END,
    BHF_AT_EXIT,
    BHF_AT_COUNT
};

enum bhf_stage {
    BHF_ASKED,   /* no process yet */
    BHF_RUNNING, /* not ready yet */
    BHF_READY,
    BHF_GONE,  /* ended; the core does not know yet */
    BHF_REAPED /* EXITED was handed out */
};

/** A request on its way, on the stack of bhp_lane_call(). */
struct bhf_lane {
    const struct bhp_call *call;
    struct bhf_request plan;
    struct bhf_waiter waiter;
    uint32_t callbacks; /* that are to be made now */
    bool committed;
};

/** A request in a slot. */
struct bhf_slot {
    struct bhp_call call;
    struct bhf_lane lane;
    bool revoked;
    bool gone; /* revoked before the worker came to it: the core does not ask for it */
    bool given_back;
};

/** Slots; numbers count from 0 without end. */
struct bhf_slots {
    struct bhf_slot slot[BHF_SLOTS];
    uint64_t put;
    uint64_t next;  /* that the worker comes to, or is at */
    uint64_t taken; /* up to here the core was told of their ends */
};

#define BHF_PIECES 64

struct bhp_worker {
    struct bhp_worker *next;
    bhp_nursery *nursery;
    uint64_t cookie;
    void *owner;
    int64_t pid;
    int64_t born;
    enum bhf_stage stage;
    struct bhf_start plan;
    int64_t due[BHF_AT_COUNT];
    struct bhp_obituary end; /* what BHF_AT_EXIT will bring */
    struct bhp_box box;
    uint32_t owed; /* events to hand out, 1 << type */
    bool killed;
    bool quit;
    uint64_t nudged; /* serial that should give up */
    uint64_t latest; /* serial that it was given last */
    uint64_t served;
    const char *partial; /* the last one, and whose */
    uint64_t partial_serial;
    struct bhf_lane *lane; /* of the request at hand, or NULL */
    struct bhf_slots slots;
    size_t next_output;                 /* of the plan's */
    struct bhf_output pipe[BHF_PIECES]; /* written and not read yet */
    size_t pieces;
    bh_value methods;
    bhp_memory *lent; /* its reply in there is borrowed */
    bool keeps;       /* memory for large requests */
};

struct bhp_nursery {
    struct bhp_nursery *next;
    struct bhp_worker *workers; /* oldest first */
    bool kicked;
    bool lost; /* BHP_EVENT_LOST is owed */
    bool stir; /* the loop has a reason to return */
    bool has_news;
    struct bhp_template_news news;
    uint64_t renewals;
};

/** The whole of the fake's state. */
struct bhf_world {
    struct bhf_driver driver;
    int64_t now;
    struct bhp_nursery *nurseries;
    struct bhf_waiter *waiters;
    unsigned locks_held;
    unsigned mutexes;
    unsigned threads;
    unsigned beacons;
    unsigned memories;
    unsigned trims;
    uint64_t starts;
    int64_t last_pid;
    uint32_t processors;
    uint32_t slots;
    int refuse_nursery;
    int refuse_thread;
    bool child;
};
extern struct bhf_world bhf_world;

/** Insists on a law of the contract: when it does not hold, the driver is told and the fake does
 * not go on. */
void bhf_insist(bool holds, const char *law);

/** Insists that the caller may block here, and lets the driver's world go on. */
void bhf_block(const bool *done, int64_t until);

/** Joins and leaves the list of those who wait. */
void bhf_waiter_link(struct bhf_waiter *waiter, const bhp_word *word);
void bhf_waiter_unlink(struct bhf_waiter *waiter);

/** When something happens to this worker next; BHP_FOREVER: never. */
int64_t bhf_worker_next(const struct bhp_worker *worker);
/** Lets happen the first of what is due now. */
void bhf_worker_happen(struct bhp_worker *worker);
/** Ends the process at once, as `end` says. */
void bhf_worker_end(struct bhp_worker *worker, const struct bhp_obituary *end);
/** Puts a piece of output into its pipe. */
void bhf_worker_write(struct bhp_worker *worker, const char *text, size_t length);
/** Leaves when it was asked to and has nothing to do. */
void bhf_worker_obey(struct bhp_worker *worker);

/** Makes a reply that is borrowed. @return false: no memory */
bool bhf_lend(struct bhp_worker *worker, struct bhp_reply *reply);
/** The worker goes; what was borrowed of it stays. */
void bhf_part(struct bhp_worker *worker);

/** Time `ms` after `from`. */
int64_t bhf_after(int64_t from, int64_t ms);

/* What happens on a worker's lane at its times. */
void bhf_lane_begin(struct bhp_worker *worker);
void bhf_lane_progress(struct bhp_worker *worker);
void bhf_lane_end(struct bhp_worker *worker);
/** It was nudged. */
void bhf_lane_nudge(struct bhp_worker *worker);

/* lane.c, for lane_slots.c */
struct bhf_request bhf_lane_plan(const struct bhp_worker *worker, const struct bhp_call *call);
/** Whether the plan is never to be sent. */
bool bhf_lane_refuses(enum bhf_deed deed);
/** The worker turns to a request: sets the times at which it begins and ends. */
void bhf_lane_send(struct bhp_worker *worker, struct bhf_lane *lane);
/** Waits for the reply or the stop word. */
void bhf_lane_await(struct bhf_lane *lane);
/** The reply of a committed request. */
enum bhp_lane_end bhf_lane_answer(struct bhp_worker *worker, const struct bhf_lane *lane,
                                  struct bhp_reply *reply);

/* lane_slots.c, for lane.c */
/** The worker is about to begin. @return whether it gives the request back instead */
bool bhf_slots_give_back(struct bhp_worker *worker);
/** The worker is done with a request: with the next slot, if it was in one. */
void bhf_slots_go_on(struct bhp_worker *worker);
/** Forgets the slot that an ended worker was at. */
void bhf_slots_forget(struct bhp_worker *worker);

#endif
