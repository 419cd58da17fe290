/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of tickets that wait, in the queue or in slots, and have no caller to time them.
 *
 * Model: a binary heap of tickets, earliest deadline first; each ticket knows its place, so that
 * one that gets a worker, or is cancelled, leaves at once.
 *
 * Invariants: exactly the QUEUED tickets without a caller and with a deadline are in it, and of the
 * SLOTTED ones those that were not claimed yet; a ticket's `due` is its index + 1. Room is made
 * when a request is accepted, so that coming back never fails.
 */
#include "alloc.h"
#include "pool_internal.h"

int bhi_due_reserve(bh_pool *pool, size_t count)
{
    struct bhi_async_side *side = &pool->async;
    size_t room = side->due_room ? side->due_room : 64;

    while (room < count)
        room *= 2;
    if (room == side->due_room)
        return BH_OK;
    struct bhi_ticket **larger = bhi_realloc(side->due, room * sizeof(struct bhi_ticket *));
    if (!larger)
        return BH_E_MEMORY;
    side->due = larger;
    side->due_room = room;
    return BH_OK;
}

static void place(struct bhi_async_side *side, size_t at, struct bhi_ticket *ticket)
{
    side->due[at] = ticket;
    ticket->due = at + 1;
}

static void rise(struct bhi_async_side *side, size_t at, struct bhi_ticket *ticket)
{
    while (at > 0 && ticket->deadline < side->due[(at - 1) / 2]->deadline) {
        place(side, at, side->due[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(side, at, ticket);
}

static void sink(struct bhi_async_side *side, size_t at, struct bhi_ticket *ticket)
{
    for (size_t child; (child = 2 * at + 1) < side->due_count; at = child) {
        if (child + 1 < side->due_count &&
            side->due[child + 1]->deadline < side->due[child]->deadline)
            child++;
        if (side->due[child]->deadline >= ticket->deadline)
            break;
        place(side, at, side->due[child]);
    }
    place(side, at, ticket);
}

void bhi_due_add(struct bhi_ticket *ticket)
{
    struct bhi_async_side *side = &ticket->pool->async;

    if (!ticket->async || ticket->deadline == BHP_FOREVER)
        return;
    rise(side, side->due_count++, ticket);
    bhi_supervise_by(ticket->pool, ticket->deadline);
}

void bhi_due_remove(struct bhi_ticket *ticket)
{
    struct bhi_async_side *side = &ticket->pool->async;
    size_t at = ticket->due - 1;

    if (ticket->due == 0)
        return;
    ticket->due = 0;
    struct bhi_ticket *last = side->due[--side->due_count];
    if (last == ticket)
        return;
    if (last->deadline < ticket->deadline)
        rise(side, at, last);
    else
        sink(side, at, last);
}

void bhi_due_check(bh_pool *pool, int64_t now)
{
    while (bhi_due_next(pool) <= now)
        bhi_queue_claim(pool->async.due[0], BHI_CLAIM_DEADLINE);
}

int64_t bhi_due_next(const bh_pool *pool)
{
    return pool->async.due_count ? pool->async.due[0]->deadline : BHP_FOREVER;
}
