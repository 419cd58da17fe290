/* SPDX-License-Identifier: MIT */
/*
 * Small requests that wait in the slots of one worker.
 *
 * Model: a carrier whose ticket is small puts it into a slot instead of calling, and takes small
 * ones that come directly behind it in the queue along. One of them is the life's ticket, as ever:
 * the one whose end is awaited. The others are SLOTTED, in order, and each becomes the life's
 * ticket when the one before it has ended. So claims, deaths and counters know one request at a
 * time, here too. What waits can be taken back: bhp_lane_revoke() proves that it never starts.
 *
 * When a worker becomes idle and nothing is in the queue, what waits in the slots of others goes
 * back there: so nothing waits behind one that takes long while a worker is free.
 *
 * Invariants, with the lock held: pool->slotted counts the SLOTTED tickets; only the carrier that
 * holds the life's ticket adds to life->slots; a life with slots has a ticket, but while its
 * carrier is between two of them. Before a running request is claimed, so that its worker may be
 * killed, everything behind it is taken back: the kill cannot hit another one.
 *
 * After the worker's end each ticket that is left becomes the life's in turn and ends as lost. The
 * proof that it never started is the same as for a single one, `started` still says `begun`, where
 * `begun` moves on to the one that died if `started` names it.
 */
#include "death.h"
#include "pool_internal.h"

#include <string.h>

/* How long a worker is trusted that says it has long been done with a request which its carrier
 * still waits for. */
#define LAG (10000 * BHI_MS)

/* ---- the list ---- */

static void append(struct bhi_life *life, struct bhi_ticket *ticket)
{
    ticket->next = NULL;
    ticket->previous = life->slots_last;
    *(life->slots_last ? &life->slots_last->next : &life->slots) = ticket;
    life->slots_last = ticket;
    life->slot_count++;
    life->pool->slotted++;
    ticket->life = life;
    ticket->state = BHI_TICKET_SLOTTED;
    bhi_due_add(ticket);
}

static void unlink_slot(struct bhi_ticket *ticket)
{
    struct bhi_life *life = ticket->life;

    *(ticket->previous ? &ticket->previous->next : &life->slots) = ticket->next;
    *(ticket->next ? &ticket->next->previous : &life->slots_last) = ticket->previous;
    ticket->next = ticket->previous = NULL;
    ticket->life = NULL;
    life->slot_count--;
    life->pool->slotted--;
    bhi_due_remove(ticket);
}

/* ---- filling ---- */

static struct bhp_call call_of(const struct bhi_ticket *ticket, struct bhi_life *life)
{
    return (struct bhp_call){
        .serial = ticket->serial,
        .method = ticket->request->method,
        .arguments = ticket->request->arguments,
        .argument_count = ticket->request->argument_count,
        .stop = &life->stop,
    };
}

/* How many requests the life may have, the one that runs included: as many as there are slots, but
 * no more than its share of those that wait, so that no other worker lacks one. */
static uint64_t room_of(const struct bhi_life *life)
{
    const bh_pool *pool = life->pool;
    uint64_t most = bhp_lane_slots();
    uint64_t workers = pool->options.max_workers;

    workers = workers > pool->session_count ? workers - pool->session_count : 1;
    uint64_t share = ((uint64_t)pool->queued + life->slot_count + workers) / workers;
    if (life->recycle_requests && life->recycle_requests - life->served < most)
        most = life->recycle_requests - life->served;
    return share < most ? share : most;
}

/* Takes small ones from the head of the queue along, up to the first that is not; only when half of
 * the room is free, so that the worker is woken seldom. */
static void fill(struct bhi_life *life)
{
    bh_pool *pool = life->pool;
    uint64_t room = room_of(life);

    if (life->state != BH_WORKER_BUSY || life->leave || pool->closing ||
        (uint64_t)life->slot_count + 1 > (room + 1) / 2)
        return;
    while (pool->queue && pool->queue->small && (uint64_t)life->slot_count + 1 < room) {
        struct bhi_ticket *ticket = pool->queue;
        if (!bhi_async_make_room(ticket))
            return;
        bhi_queue_number(ticket);
        struct bhp_call call = call_of(ticket, life);
        enum bhp_put put = bhp_lane_put(life->worker, &call);
        ticket->small = put != BHP_PUT_UNFIT;
        if (put != BHP_PUT_DONE)
            return;
        life->serial = ticket->serial;
        bhi_queue_unlink(ticket);
        append(life, ticket);
    }
}

/* ---- taking back ---- */

/* @return whether it is out of its slot, in no state, and never starts */
static bool take_back(struct bhi_ticket *ticket)
{
    struct bhi_life *life = ticket->life;

    switch (bhp_lane_revoke(life->worker, ticket->serial)) {
    case BHP_REVOKED:
        life->taken_back = ticket->serial > life->taken_back ? ticket->serial : life->taken_back;
        unlink_slot(ticket);
        return true;
    case BHP_REVOKE_BROKEN:
        bhi_life_condemn(life, BH_CAUSE_PROTOCOL,
                         "it began a request in its slots before it was done with those before");
        return false;
    case BHP_REVOKE_LATE:
        break;
    }
    return false;
}

void bhi_slots_claim(struct bhi_ticket *ticket, enum bhi_claim claim)
{
    if (!ticket->claim)
        ticket->claim = claim; /* too late to take it back: its turn comes now, and the claim */
    if (take_back(ticket))
        bhi_queue_end(ticket, claim, BH_REFUSAL_NONE);
    else
        bhi_due_remove(ticket);
}

/* Back to the head of the queue, or at once to a worker that is idle. @return how many */
static uint32_t requeue(struct bhi_life *life)
{
    struct bhi_ticket *next;
    uint32_t count = 0;

    for (struct bhi_ticket *ticket = life->slots; ticket; ticket = next) {
        next = ticket->next;
        if (!take_back(ticket))
            continue;
        count++;
        bhi_queue_submit(life->pool, ticket, true);
    }
    return count;
}

void bhi_slots_take_back(struct bhi_life *life)
{
    life->pool->requeued += requeue(life);
}

void bhi_slots_share(bh_pool *pool)
{
    if (pool->slotted == 0 || pool->closing)
        return;
    for (struct bhi_life *life = pool->lives; life && pool->idle; life = life->next)
        requeue(life);
}

int64_t bhi_slots_spare(struct bhi_life *life, int64_t now)
{
    struct bhp_box box;

    if (!life->slots || life->state != BH_WORKER_STOPPING)
        return 0;
    bhp_worker_box(life->worker, &box);
    if (box.committed >= life->ticket->serial && !life->lags)
        return life->lags = true, now + LAG;
    bhi_life_condemn(life, BH_CAUSE_PROTOCOL, "it did not ring when it was done with a request");
    return 0;
}

/* ---- from one to the next ---- */

/* The oldest one in the slots becomes the life's ticket. */
static struct bhi_ticket *promote(struct bhi_life *life)
{
    struct bhi_ticket *ticket = life->slots;
    int64_t now = bhp_now();

    unlink_slot(ticket);
    ticket->state = BHI_TICKET_LEASED;
    if (life->state == BH_WORKER_STOPPING) { /* the one before it was claimed, and came back */
        bhi_life_feed(life, BHI_LIFE_SETTLE, now);
        bhi_life_feed(life, BHI_LIFE_LEASE, now);
    }
    life->lags = false;
    bhi_queue_begin(life, ticket, now);
    if (life->pool->drained && !ticket->claim)
        ticket->claim = BHI_CLAIM_DRAIN; /* it was not there when the time was over */
    if (ticket->claim)
        bhi_queue_claim(ticket, ticket->claim);
    return ticket;
}

/* A limit may have been reached by the request that has just ended. */
static void check_limits(struct bhi_life *life, int64_t now)
{
    life->idle_since = now; /* it is not idle */
    const char *why = bhi_policy_leave(life->pool, life, now);
    if (why && !life->leave_why && life->state == BH_WORKER_BUSY)
        bhi_life_leave(life, why);
}

void bhi_slots_release(struct bhi_ticket *ticket, bool served)
{
    struct bhi_life *life = ticket->life;

    life->served += served;
    bhi_life_let_go(life);
    check_limits(life, bhp_now());
}

/* Whether a request that was lost is one that the worker names as begun: then it is known that
 * those behind it are not. */
static void note_begun(struct bhi_life *life, uint64_t serial, enum bhp_lane_end end)
{
    bool honest = !life->killed || life->kill_cause != BH_CAUSE_PROTOCOL;

    if (end == BHP_LANE_LOST && life->state == BH_WORKER_DEAD && life->box.started == serial &&
        honest)
        life->begun = serial;
}

static bool came_back(enum bhp_lane_end end)
{
    return end == BHP_LANE_REPLIED || end == BHP_LANE_FAILED || end == BHP_LANE_UNREADABLE ||
           end == BHP_LANE_GIVEN_BACK;
}

bool bhi_slots_run(struct bhi_ticket *ticket)
{
    struct bhi_life *life = ticket->life;
    bh_pool *pool = life->pool;
    struct bhp_call call = call_of(ticket, life);

    if (bhp_lane_slots() < 2 || !bhi_async_make_room(ticket))
        return false;
    enum bhp_put put = bhp_lane_put(life->worker, &call);
    if (put != BHP_PUT_DONE)
        return false;
    for (;;) {
        struct bhp_reply reply;
        fill(life);
        bhp_mutex_unlock(&pool->lock);
        memset(&reply, 0, sizeof(reply));
        enum bhp_lane_end end = bhp_lane_next(life->worker, &call, &reply);
        bhp_mutex_lock(&pool->lock);
        if (came_back(end)) /* `started` may say so from now on, whatever comes of it here */
            life->begun = call.serial;
        bhi_async_conclude(ticket, end, &reply); /* the ticket may be gone now */
        note_begun(life, call.serial, end);
        if (!life->slots)
            return true;
        ticket = promote(life);
        call = call_of(ticket, life);
    }
}

/* ---- evidence ---- */

bool bhi_slots_knows(const struct bhi_life *life, uint64_t serial)
{
    const struct bhi_ticket *ticket = life->slots;

    while (ticket && ticket->serial != serial)
        ticket = ticket->next;
    return ticket != NULL || (life->ticket && life->ticket->serial == serial);
}

void bhi_slots_blame(const struct bhi_life *life, struct bhp_obituary *obituary,
                     struct bhi_known *known)
{
    const struct bhi_ticket *ticket = life->ticket;
    const struct bhi_ticket *next = life->slots;
    struct bhp_box *box = &obituary->box;

    if (!ticket || ticket->unsent)
        return;
    if (obituary->by_kill && life->killed && life->kill_cause == BH_CAUSE_PROTOCOL)
        next = NULL; /* for what it did about the ticket, whatever it did since */
    /* Those that it was done with, and whose carrier has yet to hear of it. */
    for (; next && box->committed >= ticket->serial && box->committed <= life->serial;
         next = next->next) {
        known->begun = ticket->serial;
        known->served++;
        ticket = next;
    }
    known->serial = ticket->serial;
    if (box->committed > ticket->serial && box->committed <= life->serial)
        box->committed = ticket->serial; /* those behind it were taken back */
    /* One that was taken back may have been looked at, but never began. */
    if (box->started > known->begun && box->started < ticket->serial &&
        box->started <= life->taken_back)
        box->started = known->begun;
}
