/* SPDX-License-Identifier: MIT */
/*
 * Carriers: threads of the library's that run the requests which nobody waits for.
 *
 * Model: a carrier is to a submitted request what the caller's thread is to a call: it takes a
 * ticket that has a worker, runs the lane, concludes. When its worker gets the next such ticket at
 * that moment, the same carrier goes on with it, so that a busy pool changes no threads. Carriers
 * are made when requests are accepted, as many as requests can be with workers at once; they rest
 * when there is nothing to do and stay until the pool closes.
 *
 * Invariant: a leased ticket waits for a carrier only while one is about to be free.
 */
#include "alloc.h"
#include "pool_internal.h"

struct bhi_carrier {
    bh_pool *pool;
    bhp_thread *thread;
    struct bhi_carrier *next;       /* in side->carriers */
    struct bhi_carrier *next_rests; /* in side->resting */
    struct bhi_ticket *ticket;      /* that it shall run next */
    bhp_word word;                  /* raised and woken when `ticket` or carriers_leave changes */
};

static void wake(struct bhi_carrier *carrier)
{
    atomic_store(&carrier->word, 1); /* pairs with rest() */
    bhp_word_wake(&carrier->word);
}

/* ---- the thread ---- */

static struct bhi_ticket *take_stranded(struct bhi_async_side *side)
{
    struct bhi_ticket *ticket = side->stranded;

    if (ticket) {
        side->stranded = ticket->next;
        ticket->next = NULL;
    }
    return ticket;
}

/* Waits for a ticket or the end. With the lock held at begin and end. */
static void rest(struct bhi_carrier *carrier)
{
    bh_pool *pool = carrier->pool;

    atomic_store(&carrier->word, 0); /* before anyone can find it resting */
    carrier->next_rests = pool->async.resting;
    pool->async.resting = carrier;
    bhp_mutex_unlock(&pool->lock);
    while (atomic_load(&carrier->word) == 0) /* pairs with wake() */
        bhp_word_wait(&carrier->word, 0, BHP_FOREVER);
    bhp_mutex_lock(&pool->lock);
}

static void carry(struct bhi_carrier *carrier, struct bhi_ticket *ticket)
{
    struct bhi_life *life = ticket->life;

    life->carrier = carrier;
    if (!ticket->small || !bhi_slots_run(ticket))
        bhi_async_attempt(ticket);
    life->carrier = NULL; /* the lock was held since the life was let go of: it is still there */
}

static void run(void *context)
{
    struct bhi_carrier *carrier = context;
    struct bhi_async_side *side = &carrier->pool->async;

    bhp_mutex_lock(&carrier->pool->lock);
    for (;;) {
        struct bhi_ticket *ticket = carrier->ticket ? carrier->ticket : take_stranded(side);
        carrier->ticket = NULL;
        if (ticket)
            carry(carrier, ticket);
        else if (side->carriers_leave)
            break;
        else
            rest(carrier);
    }
    bhp_mutex_unlock(&carrier->pool->lock);
}

/* ---- the others ---- */

int bhi_carrier_reserve(bh_pool *pool)
{
    struct bhi_async_side *side = &pool->async;
    struct bhi_carrier *carrier;

    if (side->carrier_count >= bhi_policy_most(pool) || side->carrier_count > side->outstanding)
        return BH_OK;
    carrier = bhi_alloc(sizeof(*carrier));
    if (!carrier)
        return BH_E_MEMORY;
    *carrier = (struct bhi_carrier){.pool = pool, .next = side->carriers};
    int result = bhp_thread_start(&carrier->thread, run, carrier, "bulkhead carrier");
    if (result) {
        bhi_free(carrier);
        return result;
    }
    side->carriers = carrier;
    side->carrier_count++;
    return BH_OK;
}

static void strand(struct bhi_async_side *side, struct bhi_ticket *ticket)
{
    ticket->next = NULL;
    *(side->stranded ? &side->stranded_last->next : &side->stranded) = ticket;
    side->stranded_last = ticket;
}

void bhi_carrier_hand(struct bhi_ticket *ticket)
{
    struct bhi_async_side *side = &ticket->pool->async;
    struct bhi_carrier *carrier = ticket->life->carrier; /* it has just concluded another */

    if (carrier && !carrier->ticket) {
        carrier->ticket = ticket;
        return;
    }
    carrier = side->resting;
    if (!carrier) {
        strand(side, ticket);
        return;
    }
    side->resting = carrier->next_rests;
    carrier->ticket = ticket;
    wake(carrier);
}

void bhi_carrier_dismiss(bh_pool *pool)
{
    struct bhi_async_side *side = &pool->async;

    bhp_mutex_lock(&pool->lock);
    side->carriers_leave = true;
    for (struct bhi_carrier *carrier = side->resting; carrier; carrier = carrier->next_rests)
        wake(carrier);
    side->resting = NULL;
    bhp_mutex_unlock(&pool->lock);
    while (side->carriers) {
        struct bhi_carrier *carrier = side->carriers;
        side->carriers = carrier->next;
        bhp_thread_join(carrier->thread);
        bhi_free(carrier);
    }
}
