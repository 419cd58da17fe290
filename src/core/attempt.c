/* SPDX-License-Identifier: MIT */
/*
 * One attempt of a request on a worker, and what its end means.
 *
 * Model: run the lane, conclude; a request that provably never started goes round again, at the
 * head of the queue and uncharged. Whoever runs the attempt ends it by compare-and-swap on the
 * worker's claim word: when that fails, deadline or cancel was first, and the outcome is theirs
 * whatever the worker answered.
 *
 * Invariants: a request gets exactly one outcome, counted once; its life is let go of before that
 * is told, and never a living one that may still touch the request.
 */
#include "alloc.h"
#include "death.h"
#include "pool_internal.h"
#include "problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A request comes back unserved when workers die between requests. This often, one after the other:
 * then its worker is lying about having begun. */
#define RETURNS_MOST 1000

/* ---- filling in a result ---- */

/* Text for a person, best effort: a result without it is still right. */
void bhi_result_text(struct bh_result *result, const char *format, ...)
{
    char text[320];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    bhi_free(result->text);
    result->text = bhi_alloc(strlen(text) + 1);
    if (result->text)
        memcpy(result->text, text, strlen(text) + 1);
}

void bhi_result_refuse(struct bh_result *result, enum bh_refusal refusal)
{
    result->outcome = BH_OUTCOME_REFUSED;
    result->refusal = refusal;
}

/* A copy of the record; without memory, the record without the worker's output. */
static void set_death(struct bh_result *result, const struct bh_death *death)
{
    bh_death_deinit(&result->death);
    if (bh_death_copy(&result->death, death)) {
        result->death = *death;
        result->death.output = NULL;
        result->death.output_length = 0;
        result->death.chunks = NULL;
        result->death.chunk_count = 0;
    }
    result->has_death = true;
}

static enum bh_outcome outcome_of(enum bhi_claim claim)
{
    bool cancelled = claim == BHI_CLAIM_CANCELLED || claim == BHI_CLAIM_DRAIN;

    return cancelled ? BH_OUTCOME_CANCELLED : BH_OUTCOME_DEADLINE;
}

static void explain_claim(struct bh_result *result, const struct bhi_ticket *ticket)
{
    switch (ticket->claim) {
    case BHI_CLAIM_NO_PROGRESS:
        bhi_result_text(result, "no progress for %lld ms",
                        (long long)(ticket->no_progress / BHI_MS));
        break;
    case BHI_CLAIM_DRAIN:
        bhi_result_text(result, "the pool closed and its drain timeout of %u ms was over",
                        ticket->pool->options.drain_timeout_ms);
        break;
    case BHI_CLAIM_DEADLINE:
        bhi_result_text(result, "not done within %lld ms",
                        (long long)((ticket->deadline - ticket->submitted_at) / BHI_MS));
        break;
    default:
        bhi_result_text(result, "cancelled by the caller");
        break;
    }
}

static void explain_refusal(struct bh_result *result, const struct bhi_ticket *ticket)
{
    const bh_pool *pool = ticket->pool;
    char line[256];

    switch (ticket->refusal) {
    case BH_REFUSAL_QUEUE_FULL:
        bhi_result_text(result, "%u requests wait already, which is queue-length", pool->queued);
        break;
    case BH_REFUSAL_CLOSING:
        bhi_result_text(result, "the pool is closing");
        break;
    case BH_REFUSAL_CRASH_LOOP:
    case BH_REFUSAL_CANNOT_START:
        bh_death_describe(&pool->last_failure, line, sizeof(line));
        if (pool->failed_starts > 1)
            bhi_result_text(result, "%u start-ups in a row failed; the last: %s",
                            pool->failed_starts, line);
        else
            bhi_result_text(result, "%s", line);
        if (!result->has_death)
            set_death(result, &pool->last_failure);
        break;
    case BH_REFUSAL_SESSION_LOST:
        bhi_session_explain(ticket->session, result);
        break;
    default:
        break;
    }
}

/* ---- the end of an attempt, with the lock held ---- */

/* Takes a request off a life that will not serve again. */
static void let_go(struct bhi_ticket *ticket)
{
    bhi_life_let_go(ticket->life);
    bhi_supervise_by(ticket->pool, 0);
}

/* Waits until the life is dead and its record final. The caller still holds the life. */
static void await_end(struct bhi_life *life)
{
    bh_pool *pool = life->pool;

    bhp_mutex_unlock(&pool->lock);
    while (atomic_load(&life->stop) == 0) /* pairs with bury() */
        bhp_word_wait(&life->stop, 0, BHP_FOREVER);
    bhp_mutex_lock(&pool->lock);
}

/* Keeps what the handler had published when its attempt ended without an answer. The caller still
 * holds the life. */
static void keep_partial(struct bhi_ticket *ticket, struct bh_result *result)
{
    bh_pool *pool = ticket->pool;

    if (pool->options.max_partial_bytes == 0)
        return;
    bhp_mutex_unlock(&pool->lock);
    result->partial = bhp_worker_partial(ticket->life->worker, ticket->serial, &result->reply);
    bhp_mutex_lock(&pool->lock);
}

/* A worker that had the request to its end: it goes on, or is killed for something else. */
static void release(struct bhi_ticket *ticket, bool served)
{
    struct bhi_life *life = ticket->life;

    if (life->slots) {
        bhi_slots_release(ticket, served);
        return;
    }
    if (life->state == BH_WORKER_BUSY || life->state == BH_WORKER_STOPPING) {
        bhi_life_settle(life, served, bhp_now());
        return;
    }
    life->served += served;
    let_go(ticket);
}

static void drop_reply(struct bhp_reply *reply)
{
    bh_value_deinit(&reply->value);
    bhp_memory_free(reply->borrowed);
    reply->borrowed = NULL;
}

/* The request was claimed, and the worker came back with it all the same, or the claim was followed
 * by its death. */
static void conclude_claimed(struct bhi_ticket *ticket, enum bhp_lane_end end,
                             struct bhp_reply *reply, struct bh_result *result)
{
    struct bhi_life *life = ticket->life;
    bool sent = end == BHP_LANE_REPLIED || end == BHP_LANE_FAILED || end == BHP_LANE_UNREADABLE;

    drop_reply(reply); /* before the worker gets the next request */
    result->outcome = outcome_of(ticket->claim);
    explain_claim(result, ticket);
    if (end == BHP_LANE_BROKEN)
        bhi_life_condemn(life, BH_CAUSE_PROTOCOL, reply->text);
    if (end == BHP_LANE_LOST || end == BHP_LANE_BROKEN || life->state == BH_WORKER_KILLED ||
        life->state == BH_WORKER_DEAD) {
        await_end(life);
        keep_partial(ticket, result);
        result->delivery = bhi_delivery_of(&life->box, ticket->serial, life->begun);
        if (sent) /* the box may speak of one that came behind it in the slots */
            result->delivery = BH_DELIVERY_COMMITTED;
        if (end == BHP_LANE_GIVEN_BACK)
            result->delivery = BH_DELIVERY_NEVER_STARTED;
        set_death(result, &life->death);
        let_go(ticket);
        return;
    }
    result->delivery = sent ? BH_DELIVERY_COMMITTED : BH_DELIVERY_NEVER_STARTED;
    if (sent)
        keep_partial(ticket, result);
    release(ticket, sent);
}

/* Before the life settles: the loan holds it. */
static void take_loan(struct bhi_ticket *ticket, struct bhp_reply *reply, struct bh_result *result)
{
    if (!reply->borrowed)
        return;
    bhi_loan_begin(result->loan, ticket->life, reply->borrowed);
    result->borrowed = true;
    reply->borrowed = NULL;
}

static void conclude_answered(struct bhi_ticket *ticket, enum bhp_lane_end end,
                              struct bhp_reply *reply, struct bh_result *result)
{
    bh_death_deinit(&result->death); /* an earlier attempt's */
    result->has_death = false;
    result->delivery = BH_DELIVERY_COMMITTED;
    if (end == BHP_LANE_REPLIED) {
        result->outcome = BH_OUTCOME_REPLIED;
        result->reply = reply->value;
        reply->value = bh_value_null();
        take_loan(ticket, reply, result);
    } else if (end == BHP_LANE_FAILED) {
        result->outcome = BH_OUTCOME_FAILED;
        result->code = reply->code;
        result->text = reply->text;
        reply->text = NULL;
    } else {
        bhi_result_refuse(result, BH_REFUSAL_MEMORY);
        bhi_result_text(result, "%s", reply->text ? reply->text : "no memory for the reply");
    }
    release(ticket, true);
}

static void conclude_unsent(struct bhi_ticket *ticket, enum bhp_lane_end end,
                            const struct bhp_reply *reply, struct bh_result *result)
{
    result->delivery = BH_DELIVERY_NEVER_STARTED;
    switch (end) {
    case BHP_LANE_NO_METHOD:
        bhi_result_refuse(result, BH_REFUSAL_NO_METHOD);
        bhi_result_text(result, "the worker has no method \"%.200s\"", ticket->request->method);
        break;
    case BHP_LANE_TOO_LARGE:
        bhi_result_refuse(result, BH_REFUSAL_TOO_LARGE);
        bhi_result_text(result, "%s", reply->text ? reply->text : "the arguments are too large");
        break;
    case BHP_LANE_INVALID:
        bhi_result_refuse(result, BH_REFUSAL_INVALID);
        bhi_result_text(result, "%s",
                        reply->text ? reply->text : "the arguments cannot be marshalled");
        break;
    default:
        bhi_result_refuse(result, BH_REFUSAL_MEMORY);
        bhi_result_text(result, "%s", reply->text ? reply->text : "no memory for the request");
        break;
    }
    release(ticket, false);
}

/* Whether a request whose attempt died is sent again: the caller allows it, and nothing that came
 * meanwhile forbids it. */
static bool may_go_round(const struct bhi_ticket *ticket)
{
    return ticket->attempts <= ticket->request->retries && !ticket->session &&
           !ticket->pool->closing && !ticket->claim && bhp_now() < ticket->deadline;
}

/* Never sent, or provably never started. A proof that comes again and again is none, nor is that of
 * a worker that broke the protocol. */
static bool came_back_unserved(struct bhi_ticket *ticket, enum bhp_lane_end end)
{
    const struct bhi_life *life = ticket->life;

    if (ticket->unsent)
        return true;
    return end != BHP_LANE_BROKEN &&
           bhi_delivery_of(&life->box, ticket->serial, life->begun) == BH_DELIVERY_NEVER_STARTED &&
           ++ticket->returns < RETURNS_MOST;
}

/* A session's request does not go elsewhere. */
static void conclude_session_lost(struct bhi_ticket *ticket, struct bh_result *result)
{
    bhi_result_refuse(result, BH_REFUSAL_SESSION_LOST);
    result->delivery = BH_DELIVERY_NEVER_STARTED;
    set_death(result, &ticket->life->death);
    bhi_session_explain(ticket->session, result);
    let_go(ticket);
}

/* The worker is gone or must go. @return false: the request goes round again */
static bool conclude_died(struct bhi_ticket *ticket, enum bhp_lane_end end,
                          const struct bhp_reply *reply, struct bh_result *result)
{
    bh_pool *pool = ticket->pool;
    struct bhi_life *life = ticket->life;

    ticket->unsent = reply->unsent;
    if (end == BHP_LANE_BROKEN)
        bhi_life_condemn(life, BH_CAUSE_PROTOCOL, reply->text);
    else
        bhp_worker_kill(life->worker); /* it has ended; or its lane has: nothing to blame on it */
    await_end(life);
    bool unserved = came_back_unserved(ticket, end);
    if (unserved && ticket->session) {
        conclude_session_lost(ticket, result);
        return true;
    }
    if (unserved) {
        let_go(ticket);
        pool->requeued++;
        ticket->unsent = false;
        bhi_queue_submit(pool, ticket, true);
        return false;
    }
    ticket->attempts++;
    set_death(result, &life->death); /* also for a next attempt that never comes to be */
    if (may_go_round(ticket)) {
        let_go(ticket);
        pool->retried++;
        bhi_queue_submit(pool, ticket, false);
        return false;
    }
    keep_partial(ticket, result);
    result->outcome = BH_OUTCOME_DIED;
    result->delivery = BH_DELIVERY_STARTED;
    let_go(ticket);
    return true;
}

/* It was revoked in its slot, and the worker had come to it by then: never started all the same. */
static bool conclude_given_back(struct bhi_ticket *ticket)
{
    bh_pool *pool = ticket->pool;

    release(ticket, false);
    pool->requeued++;
    bhi_queue_submit(pool, ticket, true);
    return false;
}

/* What the lane's end means. @return false: the request goes round again */
static bool conclude(struct bhi_ticket *ticket, enum bhp_lane_end end, struct bhp_reply *reply,
                     struct bh_result *result)
{
    uint64_t running = ticket->serial << 1;

    /* pairs with the compare-and-swap in bhi_queue_claim(): exactly one of the two succeeds */
    bool claimed = !atomic_compare_exchange_strong(&ticket->life->claim, &running, 0);
    if (!claimed && (end == BHP_LANE_LOST || end == BHP_LANE_BROKEN))
        return conclude_died(ticket, end, reply, result);
    if (!claimed && end == BHP_LANE_GIVEN_BACK)
        return conclude_given_back(ticket);
    if (claimed)
        conclude_claimed(ticket, end, reply, result);
    else if (end == BHP_LANE_REPLIED || end == BHP_LANE_FAILED || end == BHP_LANE_UNREADABLE)
        conclude_answered(ticket, end, reply, result);
    else
        conclude_unsent(ticket, end, reply, result);
    ticket->attempts += result->delivery != BH_DELIVERY_NEVER_STARTED;
    return true;
}

/* ---- an attempt ---- */

static enum bhp_lane_end run_lane(struct bhi_ticket *ticket, bhp_memory *memory, bool borrow,
                                  struct bhp_reply *reply)
{
    const struct bhp_call call = {
        .callback = ticket->request->callbacks ? bhi_callback_run : NULL,
        .callback_context = ticket,
        .callback_depth = ticket->pool->options.max_callback_depth,
        .serial = ticket->serial,
        .method = ticket->request->method,
        .arguments = ticket->request->arguments,
        .argument_count = ticket->request->argument_count,
        .stop = &ticket->life->stop,
        .memory = memory,
        .borrow = borrow,
    };

    memset(reply, 0, sizeof(*reply));
    return bhp_lane_call(ticket->life->worker, &call, reply);
}

/* What calls have left with the worker goes some time after the last large one. */
static void plan_trim(struct bhi_life *life, const struct bhp_reply *reply)
{
    if (!reply->kept)
        life->trim_at = BHP_FOREVER;
    else if (reply->large || life->trim_at == BHP_FOREVER)
        life->trim_at = bhp_now() + BHI_TRIM;
}

bool bhi_attempt(struct bhi_ticket *ticket, struct bh_result *result)
{
    bh_pool *pool = ticket->pool;
    bhp_memory *memory = ticket->session ? ticket->session->buffer : NULL;
    struct bhp_reply reply;

    bhp_mutex_unlock(&pool->lock);
    if (ticket->request->borrow) /* without memory for a loan: a copy */
        result->loan = bhi_loan_new();
    enum bhp_lane_end end = run_lane(ticket, memory, result->loan != NULL, &reply);
    bhp_mutex_lock(&pool->lock);
    return bhi_attempt_conclude(ticket, end, &reply, result);
}

bool bhi_attempt_conclude(struct bhi_ticket *ticket, enum bhp_lane_end end, struct bhp_reply *reply,
                          struct bh_result *result)
{
    plan_trim(ticket->life, reply);
    bool done = conclude(ticket, end, reply, result);
    if (!result->borrowed) {
        bhi_loan_return(result->loan); /* a blank one: no lock is taken */
        result->loan = NULL;
    }
    drop_reply(reply);
    bhi_free(reply->text);
    return done;
}

bool bhi_attempt_unsent(struct bhi_ticket *ticket, struct bh_result *result)
{
    struct bhp_reply none = {.value = bh_value_null()};

    return conclude(ticket, BHP_LANE_MEMORY, &none, result);
}

/* ---- the end ---- */

void bhi_attempt_unserved(struct bhi_ticket *ticket, struct bh_result *result)
{
    ticket->pool->leaving--;
    result->delivery = BH_DELIVERY_NEVER_STARTED;
    if (ticket->claim) {
        result->outcome = outcome_of(ticket->claim);
        explain_claim(result, ticket);
    } else {
        bhi_result_refuse(result, ticket->refusal);
        explain_refusal(result, ticket);
    }
}

void bhi_attempt_account(struct bhi_ticket *ticket, struct bh_result *result)
{
    bh_pool *pool = ticket->pool;
    int64_t now = bhp_now();

    if (result->delivery == BH_DELIVERY_NEVER_STARTED && ticket->attempts > 0)
        result->delivery = BH_DELIVERY_STARTED; /* an earlier attempt was, and died */
    result->serial = ticket->serial;
    result->attempts = ticket->attempts;
    result->elapsed_us = (uint64_t)(now - ticket->submitted_at) / 1000;
    result->queued_us = ticket->leased_at
                            ? (uint64_t)(ticket->leased_at - ticket->submitted_at) / 1000
                            : result->elapsed_us;
    pool->outcomes[result->outcome]++;
    if (result->outcome == BH_OUTCOME_REFUSED)
        pool->refusals[result->refusal]++;
    if (result->outcome == BH_OUTCOME_REPLIED || result->outcome == BH_OUTCOME_FAILED)
        bhi_histogram_add(&pool->latency, result->elapsed_us);
}

void bhi_attempt_tell(bh_pool *pool, const struct bh_request *request,
                      const struct bh_result *result)
{
    struct bh_event event = {0};

    if (result->outcome != BH_OUTCOME_REFUSED || !bhi_event_wanted(pool, BH_EVENT_REFUSED))
        return;
    event.refusal = result->refusal;
    event.serial = result->serial;
    event.text = result->text;
    event.text_length = result->text ? strlen(result->text) : 0;
    event.user = request ? request->user : NULL;
    bhi_event_emit(pool, BH_EVENT_REFUSED, &event);
}
