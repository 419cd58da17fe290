/* SPDX-License-Identifier: MIT */
/**
 * @file pool_internal.h
 * What the files of the pool share: the pool, a worker's life, a caller's ticket.
 *
 * Who may touch what:
 *  - everything in struct bh_pool, bhi_life and bhi_ticket is guarded by pool->lock, but where a
 * field says otherwise;
 *  - the platform's worker handle belongs to the supervisor thread, but for kill, nudge, box (any
 *    thread) and the lane (the thread that holds the lease);
 *  - no callback and no lane call happens with the lock held. Lock order: cancel token → pool.
 */
#ifndef BHI_POOL_INTERNAL_H
#define BHI_POOL_INTERNAL_H

#include "histogram.h"
#include "life.h"
#include "output.h"
#include "loan.h"
#include "platform.h"

#include <stdatomic.h>

#define BHI_MS INT64_C(1000000) /* nanoseconds */

/** How long a worker that rests keeps the memory that its last large request needed. */
#define BHI_TRIM (1000 * BHI_MS)

/** Why a request was taken away from its worker. */
enum bhi_claim {
    BHI_CLAIM_NONE,
    BHI_CLAIM_DEADLINE,
    BHI_CLAIM_NO_PROGRESS,
    BHI_CLAIM_CANCELLED,
    BHI_CLAIM_DRAIN
};

/** Where a ticket is. */
enum bhi_ticket_state {
    BHI_TICKET_NEW,    /* nowhere yet */
    BHI_TICKET_QUEUED, /* in pool->queue */
    BHI_TICKET_LEASED, /* has a life */
    BHI_TICKET_ENDED,  /* taken from the queue (`claim` or `refusal` says why) or off its life */
    BHI_TICKET_SLOTTED /* in life->slots: behind the life's ticket, and may be started any time */
};

struct bhi_life;
struct bhi_carrier;
struct bhi_async;
struct bh_session;

/** A request on its way, on the stack of its caller or in a bhi_async. */
struct bhi_ticket {
    bh_pool *pool;
    const struct bh_request *request;
    uint64_t order;  /* of submission */
    uint64_t serial; /* of the latest attempt; 0: none yet */
    int64_t submitted_at;
    int64_t leased_at;   /* first lease; 0: none */
    int64_t deadline;    /* BHP_FOREVER: none */
    int64_t no_progress; /* nanoseconds, 0: no limit */
    enum bhi_ticket_state state;
    struct bhi_life *life;
    enum bhi_claim claim;
    enum bh_refusal refusal;
    bool unsent;      /* its lane broke before it was published */
    uint32_t returns; /* times that it came back as never started */
    uint32_t attempts;
    struct bh_session *session; /* whose worker it wants, or which waits for one; NULL: any */
    bool async;                 /* nobody waits for it: it is the first member of a bhi_async */
    bool small;                 /* it may wait in a slot */
    size_t due;                 /* its place in pool->due, from 1; 0: it has none */
    bhp_word word; /* raised and woken when `state` leaves QUEUED; waited on without the lock */
    struct bhi_ticket *next;
    struct bhi_ticket *previous;
    struct bhi_ticket *token_next; /* these two are guarded by the token's lock */
    struct bhi_ticket *token_previous;
    const struct bhi_frame *inside; /* the callback whose thread waits for it; NULL: none */
};

/** One life of one worker, from the wish to start it to its burial. */
struct bhi_life {
    bh_pool *pool;
    struct bhi_life *next; /* all lives, oldest first */
    struct bhi_life *previous;
    struct bhi_life *idle_next; /* the idle ones, last in first out */
    bhp_worker *worker;
    uint64_t cookie;
    uint64_t generation;
    enum bh_worker_state state;
    bool was_ready;
    bool leave;            /* it quits after the request at hand */
    const char *leave_why; /* the rule, for the event; static text */
    int64_t started_at;
    int64_t idle_since;
    int64_t timer; /* of the state; BHP_FOREVER: none */
    uint64_t served;
    uint64_t recycle_requests; /* limits with their jitter; 0: none */
    int64_t recycle_at;
    uint64_t recycle_rss;
    uint64_t rss;
    uint64_t peak_rss;
    uint64_t progress; /* last seen, and when */
    int64_t progress_at;
    bool killed;
    enum bh_cause kill_cause;
    char kill_detail[160];
    struct bhi_ticket
        *ticket; /* whose request it holds; also after its death, until the caller let go */
    struct bh_session *session;  /* that it belongs to; NULL: none */
    const char *session_why;     /* it was lost; for the event; static text */
    struct bhi_carrier *carrier; /* which runs its request; NULL: none, or a caller */
    /* serial << 1 | 1 while claimed, serial << 1 while it runs, 0 when free. The caller ends its
     * request by compare-and-swap from running to free, supervisor and cancel claim it by
     * compare-and-swap from running to claimed: exactly one of them wins, and only for this serial.
     */
    _Atomic uint64_t claim;
    bhp_word stop;   /* 1 once the life is DEAD and `death` is final */
    uint64_t serial; /* of the latest request it was given */
    uint64_t begun;  /* of the latest request that it came back with: what `started` must say, if
                        the next one never started */
    uint64_t first_writer;    /* earliest request that what is in its pipe can come from */
    bool pipe_clean;          /* its pipe was seen empty after the latest request had ended */
    bool calls_back;          /* a callback of its request's runs: it is not its turn to be alive */
    uint32_t tell;            /* events to hand to the sink, 1 << type */
    struct bhi_output output; /* supervisor only */
    struct bh_death death;    /* final once `stop` is 1; freed with the life */
    struct bhp_box box;       /* likewise: the box after the end */
    struct bh_loan *loan;     /* its reply is borrowed; loan.c */
    int64_t trim_at;          /* when it should give back what it keeps for large requests;
                                 BHP_FOREVER: it keeps nothing */
    bhp_memory *trimmed[BHP_TRIMMED]; /* supervisor only: to be freed without the lock */
    struct bhi_ticket *slots;         /* those that wait in it behind `ticket`, oldest first */
    struct bhi_ticket *slots_last;
    uint32_t slot_count;
    bool lags;           /* its carrier has yet to hear of an end that its box tells of */
    uint64_t taken_back; /* the latest serial that was taken back out of a slot of it */
};

/** A worker leased to one caller: session.c. Guarded by the pool's lock. */
struct bh_session {
    bh_pool *pool; /* NULL once it has closed */
    struct bh_session *next;
    struct bh_session *previous;
    struct bhi_life *life; /* NULL: lost, or it waits for one */
    int64_t lease;         /* nanoseconds, 0: no limit */
    int64_t until;
    bool keep_worker;
    bool busy;    /* a call is running */
    bool closing; /* it shall be closed by the call that is running */
    bool lost;
    bool has_death;
    const char *why; /* it was lost; static text */
    struct bh_death death;
    bhp_memory *buffer; /* for its requests, or NULL. Only its thread changes it */
};

/** Requests that nobody waits for: async.c, carrier.c, due.c. */
struct bhi_async_side {
    uint32_t outstanding;         /* accepted, and not ended yet */
    struct bhi_carrier *carriers; /* all */
    struct bhi_carrier *resting;  /* those without a request, last in first out */
    uint32_t carrier_count;
    bool carriers_leave;
    struct bhi_ticket *stranded; /* leased while no carrier was resting, oldest first */
    struct bhi_ticket *stranded_last;
    struct bhi_ticket **due; /* a heap of queued ones with a deadline, earliest first */
    size_t due_count;
    size_t due_room;
    struct bhi_async *told; /* ended, for callbacks, oldest first */
    struct bhi_async *told_last;
    bhp_thread *teller; /* runs the callbacks; NULL: nobody asked for one yet */
    bool teller_leaves;
    bhp_word errand;         /* raised and woken when `told` or `teller_leaves` changes */
    struct bhi_async *taken; /* ended, for bh_pool_take(), oldest first */
    struct bhi_async *taken_last;
    bhp_beacon *beacon;     /* raised while `taken` is not empty */
    bhp_word arrivals;      /* changes when `taken` or `outstanding` does, for who waits in take */
    uint32_t takers;        /* who wait for that; without them nobody need be woken */
    bool teller_rests;      /* the same of `errand` */
    struct bhi_room *rooms; /* for deaths of requests in slots, to be used again */
    uint32_t room_count;
};

struct bh_pool {
    struct bh_pool_options options;
    bhp_nursery *nursery;
    bhp_thread *supervisor;
    bhp_mutex lock;

    struct bhi_life *lives;
    struct bhi_life *last_life;
    struct bhi_life *idle;
    uint32_t count[BH_WORKER_STATE_COUNT]; /* lives by state; graves still held by a caller count as
                                              DEAD */

    struct bhi_ticket *queue;
    struct bhi_ticket *queue_last;
    uint32_t queued;
    uint32_t leaving; /* tickets that ended in the queue, which their callers have yet to count */
    uint64_t running;
    uint32_t inside; /* callers who may still touch the pool; closing waits for them */

    bool closing;
    bool drained; /* the drain's time is over */
    int64_t drain_at;
    uint64_t generation;
    bool replacing;
    uint32_t replace_total; /* workers there were when the replacement began */

    uint32_t failed_starts;
    int64_t start_not_before; /* back-off */
    bool breaker_open;
    enum bh_refusal breaker_refusal;
    struct bh_death last_failure; /* of the latest start-up that failed; cookie 0: none */
    uint32_t wishes;              /* callers who wait for workers to become ready */
    uint32_t wished;              /* the most that one of them waits for */
    uint32_t tell;                /* events of the pool itself to hand to the sink, 1 << type */
    int64_t launcher_lost_at;
    bool launcher_lost; /* until a worker starts again */

    bh_value methods;  /* as the latest ready worker announced; null before */
    bool turning;      /* the supervisor is awake */
    int64_t wake_at;   /* when it will look by itself; while awake: the earliest wish since the turn
                          began; BHP_FOREVER: never */
    int64_t sample_at; /* next look at memory */
    uint64_t random;   /* state of the jitter's generator */
    bhp_word news;     /* raised at each READY, failed start and at closing, for waiters */

    struct bhi_async_side async;

    struct bh_session
        *sessions;          /* those that got a worker, also lost ones, until they are closed */
    uint32_t session_count; /* those that have one */
    uint32_t
        sessions_waiting; /* tickets in the queue, or that ended there, which are no requests */
    uint64_t sessions_lost;

    uint64_t submitted;
    uint64_t outcomes[BH_OUTCOME_COUNT];
    uint64_t refusals[BH_REFUSAL_COUNT];
    uint64_t deaths[BH_PHASE_COUNT][BH_CAUSE_COUNT];
    uint64_t quits;
    uint64_t starts;
    uint64_t ready;
    uint64_t requeued;
    uint64_t retried;
    struct bh_histogram latency;
    struct bh_histogram wait;

    uint64_t template_starts;
    uint64_t nursery_generation; /* that the nursery prepares for. The supervisor's */
    uint32_t slotted;            /* tickets in slots, of all lives */
};

/* ---- queue.c: tickets and leases. All with the lock held ---- */

/** Gives the ticket an idle worker, or queues it (`at_head` if it comes back unserved), or refuses,
 * or ends it by a claim that came while it was nowhere. */
void bhi_queue_submit(bh_pool *pool, struct bhi_ticket *ticket, bool at_head);
/** Takes a queued ticket out for good, with a claim or a refusal, and wakes its caller. */
void bhi_queue_end(struct bhi_ticket *ticket, enum bhi_claim claim, enum bh_refusal refusal);
/** Refuses everything that waits. */
void bhi_queue_refuse_all(bh_pool *pool, enum bh_refusal refusal);
/** Takes a ticket's request away: from the queue at once, from its worker by a claim. */
void bhi_queue_claim(struct bhi_ticket *ticket, enum bhi_claim claim);
/** Gives a ticket this worker, which is idle or the session's own. */
void bhi_queue_lend(struct bhi_life *life, struct bhi_ticket *ticket);
/** A life is idle: the head of the queue gets it, if there is one. */
void bhi_queue_offer(struct bhi_life *life);

/** Draws the serial of an attempt: the ticket is about to be given to a life. */
void bhi_queue_number(struct bhi_ticket *ticket);
/** The numbered ticket is the life's from now on: its end is awaited. */
void bhi_queue_begin(struct bhi_life *life, struct bhi_ticket *ticket, int64_t now);
/** Takes a ticket out of the list; its state is the caller's business. */
void bhi_queue_unlink(struct bhi_ticket *ticket);

/** Why a new ticket could not even wait now, or BH_REFUSAL_NONE. */
enum bh_refusal bhi_queue_refusal(const bh_pool *pool);

/* ---- due.c: deadlines of queued tickets that nobody times. All with the lock held ---- */

/** Makes room for `count` tickets. @return BH_OK or BH_E_MEMORY */
int bhi_due_reserve(bh_pool *pool, size_t count);
/** A ticket with a deadline begins, or ends, to wait. */
void bhi_due_add(struct bhi_ticket *ticket);
void bhi_due_remove(struct bhi_ticket *ticket);
/** Ends those whose time is over. */
void bhi_due_check(bh_pool *pool, int64_t now);
/** When the next one's is; BHP_FOREVER: never. */
int64_t bhi_due_next(const bh_pool *pool);

/* ---- slots.c: small requests that wait in one worker. All with the lock held ---- */

/** Runs a leased small ticket by way of the slots, and others that it takes along, until none is
 * left in them. On a carrier, with the lock held at begin and end. @return false: it does not go
 * that way now, and nothing happened */
bool bhi_slots_run(struct bhi_ticket *ticket);
/** Lets the life go of a ticket behind which others wait; the carrier goes on with them. */
void bhi_slots_release(struct bhi_ticket *ticket, bool served);
/** Takes a SLOTTED ticket's request away: at once, or when its turn comes. */
void bhi_slots_claim(struct bhi_ticket *ticket, enum bhi_claim claim);
/** Puts what waits in a life back to the head of the queue, as far as it has not started. */
void bhi_slots_take_back(struct bhi_life *life);
/** A worker is idle, and the queue is empty: it gets of what waits in the slots of others. */
void bhi_slots_share(bh_pool *pool);
/** Whether a stopping life must not be killed although its grace is over, because it is done with
 * the request that was claimed. @return until when; 0: it need not be spared */
int64_t bhi_slots_spare(struct bhi_life *life, int64_t now);
/** Whether it is the serial of a request that the life holds. */
bool bhi_slots_knows(const struct bhi_life *life, uint64_t serial);
struct bhi_known;
/** Finds the request at whose time the worker ended, among those the life holds; puts the box right
 * where a request that was taken back shows in it. */
void bhi_slots_blame(const struct bhi_life *life, struct bhp_obituary *obituary,
                     struct bhi_known *known);

/* ---- carrier.c: threads for requests that nobody waits for. All with the lock held ---- */

/** Sees to it that each request which a worker may have now has a carrier. @return BH_OK or an
 * error: there is none for one more */
int bhi_carrier_reserve(bh_pool *pool);
/** A leased ticket gets a carrier. */
void bhi_carrier_hand(struct bhi_ticket *ticket);
/** Tells all to leave and waits for their end. Without the lock; nothing may be outstanding. */
void bhi_carrier_dismiss(bh_pool *pool);

/* ---- async.c ---- */

/** What came of an attempt or a wait of a ticket, for its carrier. */
struct bhi_try {
    struct bh_result result;
    bool ended; /* the ticket has its outcome; it may be gone */
};
/** Makes one attempt for a leased ticket. On a carrier, with the lock held at begin and end. */
void bhi_async_attempt(struct bhi_ticket *ticket);
/** Makes sure that the ticket's end needs no memory. With the lock held. @return whether */
bool bhi_async_make_room(struct bhi_ticket *ticket);
/** The attempt of a ticket in the slots has ended, as the lane says; frees the reply. On a carrier,
 * with the lock held at begin and end. */
void bhi_async_conclude(struct bhi_ticket *ticket, enum bhp_lane_end end, struct bhp_reply *reply);
/** The ticket ended in the queue. With the lock held. */
void bhi_async_unserved(struct bhi_ticket *ticket);
/** Ends the teller's thread and frees what nobody took. Without the lock; nothing may be
 * outstanding. */
void bhi_async_deinit(bh_pool *pool);

/* ---- attempt.c: what the end of an attempt means ---- */

/** Runs a leased ticket's request on this thread and concludes. With the lock held at begin and
 * end. @return false: the request goes round again, and may have ended by that already */
bool bhi_attempt(struct bhi_ticket *ticket, struct bh_result *result);
/** Concludes an attempt that was not made by bhi_attempt(); frees the reply. The same otherwise. */
bool bhi_attempt_conclude(struct bhi_ticket *ticket, enum bhp_lane_end end, struct bhp_reply *reply,
                          struct bh_result *result);
/** Concludes a leased ticket that is not sent, because there is no memory for its end. */
bool bhi_attempt_unsent(struct bhi_ticket *ticket, struct bh_result *result);
/** Concludes a ticket that ended in the queue. With the lock held. */
void bhi_attempt_unserved(struct bhi_ticket *ticket, struct bh_result *result);
/** Fills in the sums and counts the outcome, once. With the lock held. */
void bhi_attempt_account(struct bhi_ticket *ticket, struct bh_result *result);
/** Tells the sink of a refusal. Without the lock. */
void bhi_attempt_tell(bh_pool *pool, const struct bh_request *request,
                      const struct bh_result *result);
/** Sets outcome and reason of a refusal. */
void bhi_result_refuse(struct bh_result *result, enum bh_refusal refusal);
/** Sets the text for a person, best effort: a result without it is still right. */
void bhi_result_text(struct bh_result *result, const char *format, ...) BH_PRINTF(2, 3);

/* ---- callback.c ---- */

/** The contract's hook: answers one callback of a ticket's request. context is the ticket. */
void bhi_callback_run(void *context, struct bhp_callback *callback);
/** The callback that runs on this thread; NULL: none. */
const struct bhi_frame *bhi_callback_current(void);
/** Whether the calling thread is in a callback for this pool, or in one that such a callback waits
 * for: then it must not wait for the pool. */
bool bhi_callback_holds(const bh_pool *pool);
/** What is wrong with a request's table, or NULL. */
const char *bhi_callback_flaw(const struct bh_request *request);

/* ---- session.c: with the lock held ---- */

/** A session that waited gets this life, which is LEASED. */
void bhi_session_hold(struct bh_session *session, struct bhi_life *life, int64_t now);
/** The life of a session has ended; its record is written. */
void bhi_session_died(struct bhi_life *life);
/** Ends the session of a LEASED life; the worker leaves. `why` is static text. */
void bhi_session_expire(struct bhi_life *life, const char *why, int64_t now);
/** Says in a result why the session is lost. */
void bhi_session_explain(const struct bh_session *session, struct bh_result *result);
/** The pool is about to go, and nobody uses it any more. Without the lock. */
void bhi_session_orphan_all(bh_pool *pool);

/* ---- loan.c: borrowed replies. With the lock held, but where it says otherwise ---- */

/** Room for a loan, which is to be given to bhi_loan_return(). NULL: no memory. Without the lock.
 */
struct bh_loan *bhi_loan_new(void);
/** Takes the memory in which a reply lies, and holds the life, which is about to settle. */
void bhi_loan_begin(struct bh_loan *loan, struct bhi_life *life, bhp_memory *memory);
/** The life does not wait for its loan any more, unless that is being given back just now: then it
 * is free soon. */
void bhi_loan_part(struct bhi_life *life);

/* ---- call.c ---- */

/** A new ticket for this request. */
void bhi_ticket_init(struct bhi_ticket *ticket, bh_pool *pool, const struct bh_request *request);
/** Waits until the ticket leaves the queue, by its deadline at the latest. With the lock held at
 * begin and end. */
void bhi_ticket_await(struct bhi_ticket *ticket);
/** The last a caller does with the pool: it tells of a refusal, and is not `inside` any more.
 * Without the lock. */
void bhi_ticket_leave(bh_pool *pool, const struct bh_request *request,
                      const struct bh_result *result);
/** Refusals that need neither queue nor lock; counted and told. @return whether it is one */
bool bhi_ticket_refuse(bh_pool *pool, const struct bh_request *request, struct bh_result *result);
/** The same for a caller that will wait. */
bool bhi_ticket_refuse_waiting(bh_pool *pool, const struct bh_request *request,
                               struct bh_result *result);

/* ---- lives.c: the state table's actions. With the lock held, but where it says otherwise ---- */

/** Feeds an event to a life and does what the table says. */
void bhi_life_feed(struct bhi_life *life, enum bhi_life_event event, int64_t now);
/** Condemns a life: kills it for this cause. Text may be "". */
void bhi_life_condemn(struct bhi_life *life, enum bh_cause cause, const char *detail);
/** Tells a life to leave when it can. `why` is static text for the event. */
void bhi_life_leave(struct bhi_life *life, const char *why);
/** Makes a life and asks the platform to start it. BH_OK or an error with problem. Supervisor only,
 * without the lock. */
int bhi_life_start(bh_pool *pool, int64_t now, struct bh_problem *problem);
/** Ends the request on a live worker, as its caller: the worker rests, leaves or serves the next.
 */
void bhi_life_settle(struct bhi_life *life, bool served, int64_t now);
/** A life that has just become idle leaves, or serves the next. @param why a rule by which it must
 * leave; NULL: as the policy says */
void bhi_life_go_on(struct bhi_life *life, const char *why, int64_t now);
/** Takes the request off a life, as its caller; the life is as it was. */
void bhi_life_let_go(struct bhi_life *life);
/** Takes a dead life that no caller holds out of the pool. Supervisor only. */
void bhi_life_unlink(struct bhi_life *life);
/** Frees an unlinked life. Supervisor only, without the lock. */
void bhi_life_free(struct bhi_life *life);

/* ---- pool.c ---- */

/** Wakes those who wait for workers or for callers to be out. With the lock held. */
void bhi_pool_news(bh_pool *pool);
/** The caller, whom `inside` counted, touches the pool no more once it has given back the lock.
 * With the lock held. */
void bhi_pool_leave(bh_pool *pool);

/* ---- supervise.c ---- */

/** The supervisor thread's body. context is the pool. */
void bhi_supervise(void *context);
/** One turn: digests events, timers and policy. @return false when the pool is empty and closing.
 */
bool bhi_supervise_turn(bh_pool *pool, const struct bhp_event *events, size_t count);
/** Makes the supervisor look before `due` if it would not. With the lock held. */
void bhi_supervise_by(bh_pool *pool, int64_t due);

/* ---- policy.c: pure decisions, with the lock held ---- */

/** How many workers to start now. */
uint32_t bhi_policy_starts(const bh_pool *pool, int64_t now);
/** A start-up failed: back-off and breaker. `permanent`: trying again cannot help. */
void bhi_policy_start_failed(bh_pool *pool, bool permanent, int64_t now);
/** A worker became ready: back-off and breaker are reset. @return the breaker was open */
bool bhi_policy_start_worked(bh_pool *pool);
/** Workers that there can ever be at once: a replacement may go above max_workers by a quarter, so
 * that it never serves with fewer. */
uint64_t bhi_policy_most(const bh_pool *pool);
/** Whether there may be one more worker. */
bool bhi_policy_room(const bh_pool *pool);
/** Whether anything can serve a request now or soon without a new start-up. */
bool bhi_policy_serving(const bh_pool *pool);
/** Sets a new life's recycle limits with their jitter. */
void bhi_policy_limits(bh_pool *pool, struct bhi_life *life);
/** The rule by which this idle or just settled life should leave now, or NULL. */
const char *bhi_policy_leave(const bh_pool *pool, const struct bhi_life *life, int64_t now);
/** When bhi_policy_leave() may change its mind about an idle life by time alone; BHP_FOREVER:
 * never.
 */
int64_t bhi_policy_leave_at(const bh_pool *pool, const struct bhi_life *life, int64_t now);
/** How long until the next look at the workers' memory. */
int64_t bhi_policy_sample_pause(const bh_pool *pool);

/* ---- event.c ---- */

/** Whether the sink wants this type. */
bool bhi_event_wanted(const bh_pool *pool, enum bh_event_type type);
/** Hands an event to the sink, if it wants it; fills in type and time. Without the lock. */
void bhi_event_emit(bh_pool *pool, enum bh_event_type type, struct bh_event *event);

/* ---- cancel.c ---- */

/** Ties a ticket to its request's token, before it is submitted. @return false: the token is raised
 * already */
bool bhi_cancel_attach(struct bhi_ticket *ticket);
/** Unties it. NULL token is fine. */
void bhi_cancel_detach(struct bhi_ticket *ticket);

#endif
