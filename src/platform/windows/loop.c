/* SPDX-License-Identifier: MIT */
/*
 * The supervisor's loop: notes and completed reads in, events out.
 *
 * Model: other threads (a midwife, the system's wait thread) leave notes, bits in worker->notes,
 * and ring the nursery's bell. The loop waits for that bell alertably, so that reads of output
 * complete on its own thread and nowhere else. Notes and reads become bits in worker->pending;
 * workers with such bits stand in a queue, which is emptied into the caller's array. So an array
 * that is too small loses nothing, and nothing is allocated. A process can wait for 64 handles at
 * once, a pool has up to 1024 workers: hence notes.
 *
 * Invariants: a worker is in the queue exactly when it has pending bits; its EXITED is the last of
 * its events, queued when its process is gone and its midwife is done. Only this thread touches the
 * queue: completion routines run inside alertable waits, none of which is made while the queue is
 * being changed.
 */
#include "nursery.h"

#include "support.h"

/* How long a call to a process that is gone may take to come back. */
#define RETURN_NS (2000 * BHW_MS)

/* ---- what others tell ---- */

/** See nursery.h. */
void bhw_note(bhp_worker *worker, unsigned note)
{
    bhp_nursery *nursery = worker->nursery;

    atomic_fetch_or(&worker->notes, note); /* pairs with the exchange in take_notes() */
    atomic_store(&nursery->noted, 1);      /* likewise */
    SetEvent(nursery->bell);
}

/* The call that is under way comes back soon, since the process is gone: with an answer that was on
 * its way, or without. */
static void await_return(bhp_worker *worker)
{
    struct bhw_call_section *words = worker->call;
    int64_t until = bhp_now() + RETURN_NS;

    for (;;) {
        /* Pairs with the lane's store. */
        uint64_t received = atomic_load_explicit(&words->received, memory_order_acquire);
        if (received == atomic_load(&words->serial) || bhp_now() >= until)
            return;
        WaitOnAddress(&words->received, &received, sizeof(received), bhw_milliseconds(until));
    }
}

/* The worker may be freed as soon as BORN was noted and its process is gone. */
static void finish_if_over(bhp_worker *worker)
{
    bool over = worker->born && (worker->gone || !worker->started);

    if (!over || atomic_load(&worker->ended))
        return;
    bhp_thread_join(worker->midwife);
    worker->midwife = NULL;
    if (worker->started) {
        await_return(worker);
        bhw_obituary_write(worker);
    }
    atomic_store(&worker->ended, true); /* pairs with the look in bhp_lane_call() */
    bhw_queue(worker, BHW_PENDING_EXITED);
}

static void read_notes(bhp_worker *worker)
{
    unsigned notes = atomic_exchange(&worker->notes, 0); /* pairs with bhw_note() */

    if (notes & BHW_NOTE_STARTED) {
        worker->started = true;
        bhw_queue(worker, BHW_PENDING_STARTED);
    }
    if (notes & BHW_NOTE_READY)
        bhw_queue(worker, BHW_PENDING_READY);
    if (notes & BHW_NOTE_GONE)
        worker->gone = true;
    if (notes & BHW_NOTE_BORN)
        worker->born = true;
    if (notes)
        finish_if_over(worker);
}

static void take_notes(bhp_nursery *nursery)
{
    if (atomic_exchange(&nursery->noted, 0) == 0) /* pairs with bhw_note() */
        return;
    for (bhp_worker *worker = nursery->workers; worker != NULL; worker = worker->next)
        read_notes(worker);
}

/* ---- the queue ---- */

/** See nursery.h. */
void bhw_queue(bhp_worker *worker, unsigned pending)
{
    bhp_nursery *nursery = worker->nursery;

    worker->pending |= pending;
    if (worker->in_queue)
        return;
    worker->in_queue = true;
    worker->queued = NULL;
    if (nursery->last != NULL)
        nursery->last->queued = worker;
    else
        nursery->first = worker;
    nursery->last = worker;
}

static bhp_worker *dequeue(bhp_nursery *nursery)
{
    bhp_worker *worker = nursery->first;

    nursery->first = worker->queued;
    if (nursery->first == NULL)
        nursery->last = NULL;
    worker->in_queue = false;
    return worker;
}

/** See nursery.h. */
void bhw_unqueue(bhp_worker *worker)
{
    bhp_nursery *nursery = worker->nursery;
    bhp_worker *first = nursery->first;

    worker->pending = 0;
    nursery->first = nursery->last = NULL;
    while (first != NULL) {
        bhp_worker *next = first->queued;
        first->in_queue = false;
        if (first != worker)
            bhw_queue(first, 0);
        first = next;
    }
}

/* Hands out a worker's events in the order of its life. @return how many */
static size_t hand_out(bhp_worker *worker, struct bhp_event *events, size_t capacity)
{
    size_t count = 0;

    for (int type = BHP_EVENT_STARTED; type <= BHP_EVENT_EXITED && count < capacity; type++) {
        if ((worker->pending & 1u << type) == 0)
            continue;
        worker->pending &= ~(1u << type);
        events[count++] =
            (struct bhp_event){.type = (enum bhp_event_type)type, .owner = worker->owner};
    }
    return count;
}

static size_t take_events(bhp_nursery *nursery, struct bhp_event *events, size_t capacity)
{
    size_t count = 0;

    while (nursery->first != NULL && count < capacity) {
        bhp_worker *worker = dequeue(nursery);
        count += hand_out(worker, events + count, capacity - count);
        if (worker->pending != 0)
            bhw_queue(worker, 0);
    }
    return count;
}

/* ---- waiting ---- */

/** See platform.h. */
size_t bhp_loop_wait(bhp_nursery *nursery, int64_t until, struct bhp_event *events, size_t capacity)
{
    size_t count;
    bool kicked;

    do {
        DWORD ms = nursery->first != NULL ? 0 : bhw_milliseconds(until);
        WaitForSingleObjectEx(nursery->bell, ms, TRUE);
        take_notes(nursery);
        count = take_events(nursery, events, capacity);
        kicked = atomic_exchange(&nursery->kicked, 0) != 0; /* pairs with bhp_loop_kick() */
    } while (count == 0 && !kicked && (until == BHP_FOREVER || bhp_now() < until));
    return count;
}

/** See platform.h. */
void bhp_loop_kick(bhp_nursery *nursery)
{
    atomic_store(&nursery->kicked, 1); /* pairs with the exchange in bhp_loop_wait() */
    SetEvent(nursery->bell);
}
