/* SPDX-License-Identifier: MIT */
/*
 * Tickets: from the caller to the queue, from the queue to a worker.
 *
 * Model: a ticket is NEW, QUEUED, LEASED or ENDED. An idle worker and a queued ticket never exist
 * at the same time: whoever makes the second finds the first. A claim takes the request away from
 * where it is: from the queue at once; from a slot: slots.c; from a worker by compare-and-swap on
 * the worker's claim word, which names the serial, so that it can never hit the next request. A
 * claim that comes when the attempt is already over only forbids another one.
 *
 * Invariants, with the lock held: pool->queued is the queue's length; a LEASED ticket has a life
 * whose ticket it is; a ticket's word is 1 whenever it is not QUEUED.
 */
#include "pool_internal.h"

static _Atomic uint64_t serials; /* one sequence for the whole process */

/* Where a ticket that comes back unserved belongs: at the head, but behind others that came back
 * and had come before it. When a launcher is lost many come back, in any order. */
static struct bhi_ticket *first_younger(const bh_pool *pool, const struct bhi_ticket *ticket)
{
    struct bhi_ticket *at = pool->queue;

    while (at && at->order < ticket->order)
        at = at->next;
    return at;
}

static void link_ticket(bh_pool *pool, struct bhi_ticket *ticket, bool at_head)
{
    ticket->next = at_head ? first_younger(pool, ticket) : NULL;
    ticket->previous = ticket->next ? ticket->next->previous : pool->queue_last;
    *(ticket->previous ? &ticket->previous->next : &pool->queue) = ticket;
    *(ticket->next ? &ticket->next->previous : &pool->queue_last) = ticket;
    pool->queued++;
    bhi_due_add(ticket);
}

void bhi_queue_unlink(struct bhi_ticket *ticket)
{
    bh_pool *pool = ticket->pool;

    *(ticket->previous ? &ticket->previous->next : &pool->queue) = ticket->next;
    *(ticket->next ? &ticket->next->previous : &pool->queue_last) = ticket->previous;
    ticket->next = ticket->previous = NULL;
    pool->queued--;
    bhi_due_remove(ticket);
}

/* Moves a ticket out of the queue and tells its caller. The wake happens with the lock held: the
 * caller cannot return, and take the word with it, before we are done. Of a ticket without a caller
 * there may be nothing left afterwards. */
static void leave_queue(struct bhi_ticket *ticket, enum bhi_ticket_state state)
{
    if (ticket->state == BHI_TICKET_QUEUED)
        bhi_queue_unlink(ticket);
    ticket->state = state;
    if (ticket->async) {
        (state == BHI_TICKET_LEASED ? bhi_carrier_hand : bhi_async_unserved)(ticket);
        return;
    }
    atomic_store(&ticket->word, 1); /* pairs with the caller's bhp_word_wait() */
    bhp_word_wake(&ticket->word);
}

/* When the supervisor must look after this lease: deadline, silence, memory. */
static int64_t lease_due(bh_pool *pool, const struct bhi_ticket *ticket, int64_t now)
{
    int64_t due = ticket->deadline;
    int64_t sample_at = now + bhi_policy_sample_pause(pool); /* sooner than if nobody worked */

    if (sample_at < pool->sample_at)
        pool->sample_at = sample_at;

    if (ticket->no_progress && now + ticket->no_progress < due)
        due = now + ticket->no_progress;
    if (pool->sample_at < due)
        due = pool->sample_at;
    return due;
}

/* Each attempt has a serial of its own, drawn under the lock: on one worker they ascend, which is
 * what makes a range of them say something about its output. */
void bhi_queue_number(struct bhi_ticket *ticket)
{
    ticket->serial = atomic_fetch_add(&serials, 1) + 1;
}

void bhi_queue_begin(struct bhi_life *life, struct bhi_ticket *ticket, int64_t now)
{
    bh_pool *pool = life->pool;

    life->ticket = ticket;
    life->progress_at = now;
    if (ticket->no_progress) {
        struct bhp_box box;
        bhp_worker_box(life->worker, &box);
        life->progress = box.progress;
    }
    atomic_store(&life->claim, ticket->serial << 1); /* pairs with the compare-and-swaps on it */
    if (!ticket->leased_at) {
        ticket->leased_at = now;
        bhi_histogram_add(&pool->wait, (uint64_t)(now - ticket->submitted_at) / 1000);
    }
    ticket->life = life;
    pool->running++;
    bhi_supervise_by(pool, lease_due(pool, ticket, now));
}

void bhi_queue_lend(struct bhi_life *life, struct bhi_ticket *ticket)
{
    int64_t now = bhp_now();

    bhi_queue_number(ticket);
    life->serial = ticket->serial;
    bhi_life_feed(life, BHI_LIFE_LEASE, now);
    if (life->pipe_clean) /* what comes now may still be of the latest one's last moments */
        life->first_writer = life->begun;
    life->pipe_clean = false;
    bhi_queue_begin(life, ticket, now);
    leave_queue(ticket, BHI_TICKET_LEASED);
}

/* The head of the queue, or who has just come, gets an idle worker: for a request, or for good. */
static void give(struct bhi_life *life, struct bhi_ticket *ticket)
{
    int64_t now = bhp_now();

    if (!ticket->session) {
        bhi_queue_lend(life, ticket);
        return;
    }
    bhi_life_feed(life, BHI_LIFE_HOLD, now);
    bhi_session_hold(ticket->session, life, now);
    leave_queue(ticket, BHI_TICKET_ENDED);
}

void bhi_queue_end(struct bhi_ticket *ticket, enum bhi_claim claim, enum bh_refusal refusal)
{
    ticket->claim = claim;
    ticket->refusal = refusal;
    ticket->pool->leaving++;
    leave_queue(ticket, BHI_TICKET_ENDED);
}

/* Why a ticket cannot even wait, or BH_REFUSAL_NONE. One that comes back unserved had its place. */
static enum bh_refusal refusal_of(const bh_pool *pool, bool comes_back)
{
    if (pool->closing)
        return BH_REFUSAL_CLOSING;
    if (pool->breaker_open && !bhi_policy_serving(pool))
        return pool->breaker_refusal;
    if (!comes_back && !pool->idle && pool->queued >= pool->options.queue_length)
        return BH_REFUSAL_QUEUE_FULL;
    return BH_REFUSAL_NONE;
}

enum bh_refusal bhi_queue_refusal(const bh_pool *pool)
{
    return refusal_of(pool, false);
}

void bhi_queue_submit(bh_pool *pool, struct bhi_ticket *ticket, bool at_head)
{
    bool comes_back = ticket->state != BHI_TICKET_NEW;
    enum bh_refusal refusal = refusal_of(pool, comes_back);

    if (comes_back && !ticket->claim && bhp_now() >= ticket->deadline)
        ticket->claim = BHI_CLAIM_DEADLINE;

    if (ticket->claim || refusal) {
        bhi_queue_end(ticket, ticket->claim, ticket->claim ? BH_REFUSAL_NONE : refusal);
        return;
    }
    if (pool->idle) {
        give(pool->idle, ticket);
        return;
    }
    atomic_store(&ticket->word, 0); /* before anyone can see it queued */
    ticket->state = BHI_TICKET_QUEUED;
    link_ticket(pool, ticket, at_head);
    if (bhi_policy_room(pool))
        bhi_supervise_by(pool, 0);
}

void bhi_queue_refuse_all(bh_pool *pool, enum bh_refusal refusal)
{
    while (pool->queue)
        bhi_queue_end(pool->queue, BHI_CLAIM_NONE, refusal);
}

void bhi_queue_claim(struct bhi_ticket *ticket, enum bhi_claim claim)
{
    uint64_t running = ticket->serial << 1;
    bool hit;

    switch (ticket->state) {
    case BHI_TICKET_NEW:
        ticket->claim = claim;
        break;
    case BHI_TICKET_QUEUED:
        bhi_queue_end(ticket, claim, BH_REFUSAL_NONE);
        break;
    case BHI_TICKET_LEASED:
        /* pairs with the caller's compare-and-swap in call.c */
        hit = atomic_compare_exchange_strong(&ticket->life->claim, &running, running | 1);
        if (!ticket->claim) /* a miss still keeps the request from going round again */
            ticket->claim = claim;
        if (hit) {
            bhi_life_feed(ticket->life, BHI_LIFE_CLAIM, bhp_now());
            bhi_slots_take_back(ticket->life); /* before anything can be killed for it */
        }
        break;
    case BHI_TICKET_SLOTTED:
        bhi_slots_claim(ticket, claim);
        break;
    case BHI_TICKET_ENDED:
        break;
    }
}

void bhi_queue_offer(struct bhi_life *life)
{
    if (!life->pool->queue && life->state == BH_WORKER_IDLE)
        bhi_slots_share(life->pool);
    if (life->pool->queue && life->state == BH_WORKER_IDLE)
        give(life, life->pool->queue);
}
