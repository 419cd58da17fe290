/* SPDX-License-Identifier: MIT */
/*
 * Calls for callers in a single-threaded (or neutral) apartment.
 *
 * Model: such a thread may not use a proxy of the multithreaded apartment, and a COM call from it
 * would run its message loop: the host's window procedures would be entered from inside
 * bh_pool_call(). So its request is lent to a thread of the library's, which is in the
 * multithreaded apartment, and the caller sleeps on a word. One deputy per worker: a worker has one
 * call at a time.
 *
 * Invariant: `state` says whose the other fields are: the caller's in IDLE and DONE, the deputy's
 * in WORK.
 */
#include "deputy.h"

#include "core/alloc.h"
#include "lane.h"

enum { DEPUTY_IDLE, DEPUTY_WORK, DEPUTY_DONE, DEPUTY_LEAVE };

struct bhw_deputy {
    bhp_word state; /* pairs with itself, on both sides */
    bhp_thread *thread;
    bhp_worker *worker;
    const struct bhp_call *call;
    struct bhp_reply *reply;
    enum bhp_lane_end end;
};

static void turn_to(struct bhw_deputy *deputy, uint32_t state)
{
    atomic_store(&deputy->state, state);
    bhp_word_wake(&deputy->state);
}

static void run(void *context)
{
    struct bhw_deputy *deputy = context;
    uint32_t state;

    while ((state = atomic_load(&deputy->state)) != DEPUTY_LEAVE) {
        if (state != DEPUTY_WORK) {
            bhp_word_wait(&deputy->state, state, BHP_FOREVER);
            continue;
        }
        deputy->end = bhw_lane_call(deputy->worker, deputy->call, deputy->reply);
        turn_to(deputy, DEPUTY_DONE);
    }
}

static struct bhw_deputy *make(bhp_worker *worker)
{
    struct bhw_deputy *deputy = bhi_alloc(sizeof(*deputy));

    if (deputy == NULL)
        return NULL;
    *deputy = (struct bhw_deputy){.worker = worker};
    if (bhp_thread_start(&deputy->thread, run, deputy, "bulkhead deputy") == BH_OK)
        return deputy;
    bhi_free(deputy);
    return NULL;
}

/** See deputy.h. */
enum bhp_lane_end bhw_deputy_call(bhp_worker *worker, const struct bhp_call *call,
                                  struct bhp_reply *reply)
{
    if (worker->deputy == NULL)
        worker->deputy = make(worker);
    struct bhw_deputy *deputy = worker->deputy;
    if (deputy == NULL)
        return BHP_LANE_MEMORY;
    deputy->call = call;
    deputy->reply = reply;
    turn_to(deputy, DEPUTY_WORK);
    while (atomic_load(&deputy->state) == DEPUTY_WORK)
        bhp_word_wait(&deputy->state, DEPUTY_WORK, BHP_FOREVER);
    return deputy->end;
}

/** See deputy.h. */
void bhw_deputy_free(struct bhw_deputy *deputy)
{
    if (deputy == NULL)
        return;
    turn_to(deputy, DEPUTY_LEAVE);
    bhp_thread_join(deputy->thread);
    bhi_free(deputy);
}
