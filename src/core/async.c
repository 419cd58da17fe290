/* SPDX-License-Identifier: MIT */
/*
 * Requests that nobody waits for.
 *
 * Model: a submitted request is a ticket with a copy of what was asked. It goes the way of every
 * ticket; a carrier stands in for the caller on a worker, the supervisor for its timing in the
 * queue. Its end is a completion: told to a callback by the pool's teller, one thread, or left for
 * bh_pool_take().
 *
 * Invariants: what was accepted gets one completion, whatever there is no memory for: all that an
 * end needs is allocated before it is sent. A request for a callback is `inside` until the callback
 * has returned, another until its completion lies in the queue.
 */
#include <bulkhead/async.h>

#include "alloc.h"
#include "pool_internal.h"

#include <stdio.h>
#include <string.h>

/* A request, then its end. The result is kept without the room for a death that most do not have.
 */
struct bhi_async {
    struct bhi_ticket ticket; /* first */
    struct bh_request request;
    bh_done_fn done;
    void *context;
    struct bhi_async *next;  /* in side->told or side->taken */
    struct bhi_try *attempt; /* while one is made */
    struct bh_death *death;  /* room for one, or NULL */
    bool has_death;          /* that of an earlier attempt, then that of the result */
    enum bh_outcome outcome; /* from here on: of the result */
    enum bh_delivery delivery;
    enum bh_refusal refusal;
    uint32_t attempts;
    int32_t code;
    uint64_t serial;
    uint64_t elapsed_us;
    uint64_t queued_us;
    bh_value reply;
    bool partial;
    struct bh_loan *loan; /* if it is borrowed */
    char *text;
    bh_value *arguments; /* request.argument_count of them */
    char method[];
};

/* Room for a death record, while no request needs it. */
struct bhi_room {
    struct bhi_room *next;
};
#define ROOMS_MOST 64u

/* What is small here: more would take too long to look at with the lock held. */
#define SMALL_BYTES 4096

static struct bhi_async *async_of(struct bhi_ticket *ticket)
{
    return (struct bhi_async *)(void *)ticket;
}

/* ---- the copy ---- */

static void free_async(struct bhi_async *async)
{
    for (size_t i = 0; i < async->request.argument_count; i++)
        bh_value_deinit(&async->arguments[i]);
    bhi_free(async->arguments);
    bhi_free(async->death);
    bhi_free(async);
}

static int copy_arguments(struct bhi_async *async, const struct bh_request *request)
{
    size_t count = request->argument_count;
    int error = BH_OK;

    async->request.arguments = NULL;
    async->request.argument_count = 0;
    if (count == 0)
        return BH_OK;
    if (count > SIZE_MAX / sizeof(bh_value) ||
        !(async->arguments = bhi_alloc(count * sizeof(bh_value))))
        return BH_E_MEMORY;
    async->request.arguments = async->arguments;
    for (size_t i = 0; i < count && !error; i++) {
        error = bh_value_copy(&async->arguments[i], &request->arguments[i]);
        async->request.argument_count += !error;
    }
    return error;
}

static bool is_small(const struct bhi_async *async)
{
    const struct bh_value_limits limits = {.bytes = SMALL_BYTES};
    size_t size;

    return !async->request.callbacks && !async->request.borrow &&
           bh_wire_size(async->arguments, async->request.argument_count, &limits, &size) == BH_OK;
}

/* NULL: no memory. */
static struct bhi_async *make_async(bh_pool *pool, const struct bh_request *request,
                                    bh_done_fn done, void *context)
{
    size_t size = strlen(request->method) + 1;
    struct bhi_async *async = bhi_alloc(sizeof(*async) + size);

    if (!async)
        return NULL;
    memset(async, 0, sizeof(*async));
    memcpy(async->method, request->method, size);
    async->request = *request;
    async->request.method = async->method;
    async->done = done;
    async->context = context;
    if (copy_arguments(async, request)) {
        free_async(async);
        return NULL;
    }
    bhi_ticket_init(&async->ticket, pool, &async->request);
    async->ticket.async = true;
    async->ticket.small = request->small && bhp_lane_slots() > 1 && is_small(async);
    return async;
}

/* ---- results, small and whole ---- */

/* Without memory for it the record is dropped; an attempt has made room before. */
static void keep_death(struct bhi_async *async, struct bh_result *result)
{
    if (!result->has_death)
        return;
    if (!async->death)
        async->death = bhi_alloc(sizeof(*async->death));
    if (async->death)
        *async->death = result->death;
    else
        bh_death_deinit(&result->death);
    async->has_death = async->death != NULL;
    result->has_death = false;
}

static void recall_death(struct bhi_async *async, struct bh_result *result)
{
    if (!async->has_death)
        return;
    result->death = *async->death;
    result->has_death = true;
    async->has_death = false;
}

/* The record's room goes to the next one that needs it. With the lock held. */
static void give_room_back(struct bhi_async *async)
{
    struct bhi_async_side *side = &async->ticket.pool->async;
    struct bhi_room *room = (struct bhi_room *)(void *)async->death;

    async->death = NULL;
    if (!room || side->room_count == ROOMS_MOST) {
        bhi_free(room);
        return;
    }
    room->next = side->rooms;
    side->rooms = room;
    side->room_count++;
}

bool bhi_async_make_room(struct bhi_ticket *ticket)
{
    struct bhi_async *async = async_of(ticket);
    struct bhi_async_side *side = &ticket->pool->async;

    if (!async->death && side->rooms) {
        async->death = (struct bh_death *)(void *)side->rooms;
        side->rooms = side->rooms->next;
        side->room_count--;
    }
    if (!async->death)
        async->death = bhi_alloc(sizeof(*async->death));
    return async->death != NULL;
}

static void keep_result(struct bhi_async *async, struct bh_result *result)
{
    keep_death(async, result);
    if (!async->has_death) /* it may wait for long */
        give_room_back(async);
    async->outcome = result->outcome;
    async->delivery = result->delivery;
    async->refusal = result->refusal;
    async->attempts = result->attempts;
    async->code = result->code;
    async->serial = result->serial;
    async->elapsed_us = result->elapsed_us;
    async->queued_us = result->queued_us;
    async->reply = result->reply;
    async->partial = result->partial;
    async->loan = result->borrowed ? result->loan : NULL;
    async->text = result->text;
}

static void recall_result(struct bhi_async *async, struct bh_result *result)
{
    memset(result, 0, sizeof(*result));
    recall_death(async, result);
    result->outcome = async->outcome;
    result->delivery = async->delivery;
    result->refusal = async->refusal;
    result->attempts = async->attempts;
    result->code = async->code;
    result->serial = async->serial;
    result->elapsed_us = async->elapsed_us;
    result->queued_us = async->queued_us;
    result->reply = async->reply;
    result->partial = async->partial;
    result->loan = async->loan;
    result->borrowed = async->loan != NULL;
    result->text = async->text;
}

/* ---- the end ---- */

static void append(struct bhi_async **first, struct bhi_async **last, struct bhi_async *async)
{
    async->next = NULL;
    *(*first ? &(*last)->next : first) = async;
    *last = async;
}

/* With the lock held, as who waits has it when he says so. */
static void announce(bhp_word *word, bool somebody_waits)
{
    atomic_fetch_add(word, 1); /* pairs with the waits on `arrivals` and `errand` */
    if (somebody_waits)
        bhp_word_wake(word);
}

/* With the lock held. */
static void complete(struct bhi_async *async, struct bh_result *result)
{
    bh_pool *pool = async->ticket.pool;
    struct bhi_async_side *side = &pool->async;

    bhi_attempt_account(&async->ticket, result);
    keep_result(async, result);
    side->outstanding--;
    if (async->attempt)
        async->attempt->ended = true;
    async->attempt = NULL;
    if (async->done) {
        append(&side->told, &side->told_last, async);
        announce(&side->errand, side->teller_rests);
        if (side->outstanding == 0) /* who waits for others waits in vain */
            announce(&side->arrivals, side->takers > 0);
        return;
    }
    if (!side->taken)
        bhp_beacon_raise(side->beacon);
    append(&side->taken, &side->taken_last, async);
    announce(&side->arrivals, side->takers > 0);
    bhi_pool_leave(pool);
}

void bhi_async_unserved(struct bhi_ticket *ticket)
{
    struct bhi_async *async = async_of(ticket);
    struct bh_result own = {0};
    struct bh_result *result = async->attempt ? &async->attempt->result : &own;

    recall_death(async, result);
    bhi_attempt_unserved(ticket, result);
    complete(async, result);
}

/* @param done it has its outcome; else it goes round again, and may have ended by that already */
static void end_attempt(struct bhi_async *async, struct bhi_try *attempt, bool done)
{
    if (done) {
        complete(async, &attempt->result);
    } else if (!attempt->ended) {
        async->attempt = NULL;
        keep_death(async, &attempt->result);
    }
}

void bhi_async_attempt(struct bhi_ticket *ticket)
{
    struct bhi_async *async = async_of(ticket);
    struct bhi_try attempt = {.ended = false};

    async->attempt = &attempt;
    recall_death(async, &attempt.result);
    bool room = bhi_async_make_room(ticket);
    end_attempt(async, &attempt,
                (room ? bhi_attempt : bhi_attempt_unsent)(ticket, &attempt.result));
}

void bhi_async_conclude(struct bhi_ticket *ticket, enum bhp_lane_end end, struct bhp_reply *reply)
{
    struct bhi_async *async = async_of(ticket);
    struct bhi_try attempt = {.ended = false};

    async->attempt = &attempt;
    recall_death(async, &attempt.result);
    end_attempt(async, &attempt, bhi_attempt_conclude(ticket, end, reply, &attempt.result));
}

/* ---- handing out ---- */

/* Takes what came of it out of a request that has ended, and frees that. Without the lock. */
static void unwrap(struct bhi_async *async, struct bh_result *result)
{
    recall_result(async, result);
    bhi_cancel_detach(&async->ticket);
    bhi_attempt_tell(async->ticket.pool, &async->request, result);
    free_async(async);
}

/* With the lock held at begin and end. */
static void tell_one(bh_pool *pool)
{
    struct bhi_async *async = pool->async.told;
    bh_done_fn done = async->done;
    void *context = async->context;
    struct bh_result result;

    pool->async.told = async->next;
    bhp_mutex_unlock(&pool->lock);
    unwrap(async, &result);
    done(context, &result);
    bhp_mutex_lock(&pool->lock);
    bhi_pool_leave(pool);
}

static void tell(void *context)
{
    bh_pool *pool = context;
    struct bhi_async_side *side = &pool->async;

    bhp_mutex_lock(&pool->lock);
    while (side->told || !side->teller_leaves) {
        uint32_t seen = atomic_load(&side->errand);
        if (side->told) {
            tell_one(pool);
            continue;
        }
        side->teller_rests = true;
        bhp_mutex_unlock(&pool->lock);
        bhp_word_wait(&side->errand, seen, BHP_FOREVER);
        bhp_mutex_lock(&pool->lock);
        side->teller_rests = false;
    }
    bhp_mutex_unlock(&pool->lock);
}

/* Waits until something lies in the queue, nothing can come, or the time is over. With the lock
 * held at begin and end. */
static void await_arrival(bh_pool *pool, int64_t until)
{
    struct bhi_async_side *side = &pool->async;

    while (!side->taken && side->outstanding > 0 && bhp_now() < until) {
        uint32_t seen = atomic_load(&side->arrivals);
        side->takers++;
        bhp_mutex_unlock(&pool->lock);
        bhp_word_wait(&side->arrivals, seen, until);
        bhp_mutex_lock(&pool->lock);
        side->takers--;
    }
}

/* Cuts the first `capacity` off the queue. With the lock held. */
static struct bhi_async *cut(struct bhi_async_side *side, size_t capacity)
{
    struct bhi_async *first = side->taken;
    struct bhi_async *last = NULL;

    for (; capacity > 0 && side->taken; capacity--) {
        last = side->taken;
        side->taken = last->next;
    }
    if (!last)
        return NULL;
    last->next = NULL;
    if (!side->taken)
        bhp_beacon_clear(side->beacon);
    return first;
}

size_t bh_pool_take(bh_pool *pool, struct bh_completion *completions, size_t capacity,
                    uint32_t timeout_ms)
{
    int64_t until =
        timeout_ms == BH_WAIT_FOREVER ? BHP_FOREVER : bhp_now() + (int64_t)timeout_ms * BHI_MS;
    size_t count = 0;

    if (bhp_nursery_forked(pool->nursery))
        return 0;
    bhp_mutex_lock(&pool->lock);
    pool->inside++;
    if (timeout_ms > 0 && !bhi_callback_holds(pool)) /* that would be to wait for oneself */
        await_arrival(pool, until);
    struct bhi_async *async = cut(&pool->async, capacity);
    bhp_mutex_unlock(&pool->lock);
    while (async) {
        struct bhi_async *next = async->next;
        completions[count].context = async->context;
        unwrap(async, &completions[count++].result);
        async = next;
    }
    bhp_mutex_lock(&pool->lock);
    bhi_pool_leave(pool);
    bhp_mutex_unlock(&pool->lock);
    return count;
}

intptr_t bh_pool_waitable(const bh_pool *pool)
{
    return bhp_nursery_forked(pool->nursery) ? -1 : bhp_beacon_native(pool->async.beacon);
}

/* ---- submitting ---- */

/* Why it cannot be accepted, or BH_REFUSAL_NONE and everything is there that its way needs. With
 * the lock held. */
static enum bh_refusal admit(bh_pool *pool, const struct bhi_async *async)
{
    struct bhi_async_side *side = &pool->async;
    enum bh_refusal refusal = bhi_queue_refusal(pool);

    if (refusal)
        return refusal;
    if (bhi_due_reserve(pool, (size_t)side->outstanding + 1) || bhi_carrier_reserve(pool))
        return BH_REFUSAL_MEMORY;
    if (async->done && !side->teller &&
        bhp_thread_start(&side->teller, tell, pool, "bulkhead teller"))
        return BH_REFUSAL_MEMORY;
    return BH_REFUSAL_NONE;
}

/* With the lock held. */
static void count_refusal(struct bhi_async *async, enum bh_refusal refusal,
                          struct bh_result *result)
{
    async->ticket.claim = BHI_CLAIM_NONE; /* a token that was raised meanwhile comes second */
    async->ticket.refusal = refusal;
    async->ticket.pool->leaving++;
    bhi_attempt_unserved(&async->ticket, result);
    bhi_attempt_account(&async->ticket, result);
}

/* There was no memory for a copy, so that there is no ticket. */
static enum bh_refusal refuse_without_ticket(bh_pool *pool, const struct bh_request *request)
{
    struct bh_result result = {0};
    struct bhi_ticket ticket;

    bhi_ticket_init(&ticket, pool, request);
    ticket.refusal = BH_REFUSAL_MEMORY;
    bhp_mutex_lock(&pool->lock);
    pool->submitted++;
    pool->inside++;
    pool->leaving++;
    bhi_attempt_unserved(&ticket, &result);
    bhi_attempt_account(&ticket, &result);
    bhp_mutex_unlock(&pool->lock);
    bhi_ticket_leave(pool, request, &result);
    bh_result_deinit(&result);
    return BH_REFUSAL_MEMORY;
}

static enum bh_refusal submit(bh_pool *pool, struct bhi_async *async, struct bh_result *refused)
{
    bool raised = !bhi_cancel_attach(&async->ticket);

    bhp_mutex_lock(&pool->lock);
    async->ticket.order = ++pool->submitted;
    pool->inside++;
    enum bh_refusal refusal = admit(pool, async);
    if (refusal) {
        count_refusal(async, refusal, refused);
    } else {
        pool->async.outstanding++;
        if (raised)
            async->ticket.claim = BHI_CLAIM_CANCELLED;
        bhi_queue_submit(pool, &async->ticket, false);
    }
    bhp_mutex_unlock(&pool->lock);
    return refusal;
}

enum bh_refusal bh_pool_submit(bh_pool *pool, const struct bh_request *request, bh_done_fn done,
                               void *context)
{
    struct bh_result refused = {0};

    if (bhi_ticket_refuse(pool, request, &refused)) {
        enum bh_refusal refusal = refused.refusal;
        bh_result_deinit(&refused);
        return refusal;
    }
    struct bhi_async *async = make_async(pool, request, done, context);
    if (!async)
        return refuse_without_ticket(pool, request);
    enum bh_refusal refusal = submit(pool, async, &refused);
    if (refusal) {
        bhi_cancel_detach(&async->ticket);
        free_async(async);
        bhi_ticket_leave(pool, request, &refused);
        bh_result_deinit(&refused);
    }
    return refusal;
}

void bhi_async_deinit(bh_pool *pool)
{
    struct bhi_async_side *side = &pool->async;
    struct bh_completion completion;

    bhp_mutex_lock(&pool->lock);
    side->teller_leaves = true;
    announce(&side->errand, true);
    bhp_mutex_unlock(&pool->lock);
    bhp_thread_join(side->teller);
    while (side->taken && bh_pool_take(pool, &completion, 1, 0) == 1)
        bh_result_deinit(&completion.result);
    while (side->rooms) {
        struct bhi_room *room = side->rooms;
        side->rooms = room->next;
        bhi_free(room);
    }
    bhp_beacon_free(side->beacon);
    bhi_free(side->due);
}
