/* SPDX-License-Identifier: MIT */
/**
 * @file life.h
 * A worker's life as one table: state × event → next state and the one thing to do. The table is
 * data, so that it can be read, printed and tested cell by cell; supervise.c does what it says.
 */
#ifndef BHI_LIFE_H
#define BHI_LIFE_H

#include <bulkhead/pool.h>

/** What can happen to a worker. X(name, text) */
#define BHI_LIFE_EVENT_LIST(X)                                                                     \
    X(BHI_LIFE_STARTED, "started") /* its process runs */                                          \
    X(BHI_LIFE_READY, "ready")     /* it shook hands */                                            \
    X(BHI_LIFE_LEASE, "lease")     /* it is given a request */                                     \
    X(BHI_LIFE_SETTLE, "settle")   /* its request ended and it can serve */                        \
    X(BHI_LIFE_CLAIM, "claim")     /* deadline or cancel took its request away from it */          \
    X(BHI_LIFE_LEAVE, "leave")     /* the policy wants it gone, when it can */                     \
    X(BHI_LIFE_CONDEMN, "condemn") /* it must die now: memory, protocol, end of the drain */       \
    X(BHI_LIFE_TIMEOUT, "timeout") /* the state's own timer fired */                               \
    X(BHI_LIFE_EXITED, "exited")   /* its process ended */                                         \
    X(BHI_LIFE_HOLD, "hold")       /* a session gets it */                                         \
    X(BHI_LIFE_RETURN, "return")   /* its request ended, and it can serve its session on */        \
    X(BHI_LIFE_FREE, "free")       /* its session is over */

/** What is to be done. X(name, text) */
#define BHI_LIFE_ACTION_LIST(X)                                                                    \
    X(BHI_ACT_NOTHING, "-")   /* late or repeated: no harm */                                      \
    X(BHI_ACT_NOTE, "note")   /* remember the process number, tell the event sink */               \
    X(BHI_ACT_SERVE, "serve") /* first time ready: back-off ends, it joins the idle ones */        \
    X(BHI_ACT_LEND, "lend")   /* take it from the idle ones */                                     \
    X(BHI_ACT_REST, "rest")   /* put it back to the idle ones */                                   \
    X(BHI_ACT_KEEP, "keep")   /* keep it for its session */                                        \
    X(BHI_ACT_NUDGE, "nudge") /* raise the cooperative flag, let the grace run */                  \
    X(BHI_ACT_QUIT, "quit")   /* ask it to leave, let the drain time run */                        \
    X(BHI_ACT_MARK, "mark")   /* it leaves when its request has ended */                           \
    X(BHI_ACT_KILL, "kill")   /* kill it */                                                        \
    X(BHI_ACT_BURY, "bury")   /* write its death record */                                         \
    X(BHI_ACT_BUG, "bug")     /* our own code broke the rules */

#define BHI_LIFE_MEMBER(name, text) name,
enum bhi_life_event { BHI_LIFE_EVENT_LIST(BHI_LIFE_MEMBER) BHI_LIFE_EVENT_COUNT };
enum bhi_life_action { BHI_LIFE_ACTION_LIST(BHI_LIFE_MEMBER) BHI_LIFE_ACTION_COUNT };

struct bhi_life_move {
    enum bh_worker_state next;
    enum bhi_life_action action;
};

/** The table's cell. Both arguments must be in range. Pure. */
struct bhi_life_move bhi_life_move(enum bh_worker_state state, enum bhi_life_event event);

/** Texts of the lists above; "?" out of range. */
const char *bhi_life_event_name(unsigned event);
const char *bhi_life_action_name(unsigned action);

#endif
