/* SPDX-License-Identifier: MIT */
/*
 * Sessions: a worker leased to one caller.
 *
 * Model: a session waits for its worker with a ticket, as a request does, and then holds the life:
 * LEASED between its calls, BUSY in one. It is lost when the life ends, or when its time is over:
 * life and session let go of each other, once, and what is left of the session is the reason.
 *
 * Invariants: life->session and session->life point at each other or are both NULL; a call of a
 * session goes to its life or is refused.
 */
#include <bulkhead/session.h>

#include "alloc.h"
#include "death.h"
#include "pool_internal.h"
#include "problem.h"

#include <stdio.h>
#include <string.h>

/* A buffer up to this is kept whatever is asked for. */
#define BUFFER_SMALL (UINT64_C(1) << 20)

/* ---- opening ---- */

/* Why there cannot be one more session, or BH_OK. With the lock held. */
static int check_room(const bh_pool *pool, const struct bh_session_options *options,
                      struct bh_problem *problem)
{
    uint32_t taken = pool->session_count + pool->sessions_waiting;
    uint32_t most = pool->options.max_workers;

    if (taken + !options->take_last < most)
        return BH_OK;
    return bhi_problem_set(problem, BH_E_STATE, 0,
                           "sessions have or wait for %u of at most %u workers; the last one is "
                           "kept for requests unless take_last is set",
                           taken, most);
}

static int explain_unserved(const struct bhi_ticket *ticket, struct bh_problem *problem)
{
    char line[200];

    switch (ticket->refusal) {
    case BH_REFUSAL_NONE:
        return bhi_problem_set(problem, BH_E_STATE, 0, "%s",
                               ticket->claim == BHI_CLAIM_CANCELLED
                                   ? "cancelled by the caller"
                                   : "no worker became free in time");
    case BH_REFUSAL_CLOSING:
        return bhi_problem_set(problem, BH_E_CLOSED, 0, "the pool is closing");
    case BH_REFUSAL_QUEUE_FULL:
        return bhi_problem_set(problem, BH_E_STATE, 0, "the queue is full");
    default:
        bh_death_describe(&ticket->pool->last_failure, line, sizeof(line));
        return bhi_problem_set(problem, BH_E_START, ticket->pool->last_failure.os_error, "%s",
                               line);
    }
}

/* Waits for a worker. With the lock held. */
static int await_worker(bh_session *session, struct bhi_ticket *ticket, struct bh_problem *problem)
{
    bh_pool *pool = ticket->pool;

    pool->sessions_waiting++;
    bhi_queue_submit(pool, ticket, false);
    bhi_ticket_await(ticket);
    if (session->life || session->lost)
        return BH_OK;
    pool->sessions_waiting--;
    pool->leaving--;
    return explain_unserved(ticket, problem);
}

static void link_session(bh_session *session)
{
    bh_pool *pool = session->pool;

    session->next = pool->sessions;
    if (session->next)
        session->next->previous = session;
    pool->sessions = session;
}

/* With the lock held. */
static void unlink_session(bh_session *session)
{
    *(session->previous ? &session->previous->next : &session->pool->sessions) = session->next;
    if (session->next)
        session->next->previous = session->previous;
}

static int lease_worker(bh_session *session, const struct bh_session_options *options,
                        struct bh_problem *problem)
{
    struct bh_request request = BH_REQUEST_INIT;
    bh_pool *pool = session->pool;
    struct bhi_ticket ticket;

    request.method = ""; /* nothing is sent */
    request.deadline_ms = options->wait_ms;
    request.cancel = options->cancel;
    bhi_ticket_init(&ticket, pool, &request);
    ticket.session = session;
    bool raised = !bhi_cancel_attach(&ticket);
    bhp_mutex_lock(&pool->lock);
    pool->inside++;
    ticket.order = pool->submitted;
    if (raised)
        ticket.claim = BHI_CLAIM_CANCELLED;
    int result = check_room(pool, options, problem);
    if (!result)
        result = await_worker(session, &ticket, problem);
    if (!result)
        link_session(session);
    bhp_mutex_unlock(&pool->lock);
    bhi_cancel_detach(&ticket);
    bhp_mutex_lock(&pool->lock);
    bhi_pool_leave(pool);
    bhp_mutex_unlock(&pool->lock);
    return result;
}

int bh_session_open(bh_session **out, bh_pool *pool, const struct bh_session_options *options,
                    struct bh_problem *problem)
{
    const struct bh_session_options plain = BH_SESSION_INIT;
    bh_session *session;

    *out = NULL;
    if (bhp_nursery_forked(pool->nursery))
        return bhi_problem_set(problem, BH_E_FORKED, 0, "%s", bh_error_text(BH_E_FORKED));
    if (bhi_callback_holds(pool))
        return bhi_problem_set(problem, BH_E_STATE, 0,
                               "a callback that runs for this pool must not wait for it");
    options = options ? options : &plain;
    if (options->size < sizeof(*options))
        return bhi_problem_set(problem, BH_E_INVALID, 0,
                               "the options were not initialised with BH_SESSION_INIT");
    session = bhi_alloc(sizeof(*session));
    if (!session)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a session");
    memset(session, 0, sizeof(*session));
    session->pool = pool;
    session->keep_worker = options->keep_worker;
    session->lease = (int64_t)options->lease_ms * BHI_MS;
    int result = lease_worker(session, options, problem);
    if (result)
        bhi_free(session);
    else
        *out = session;
    return result;
}

/* ---- the life's side, with the lock held ---- */

void bhi_session_hold(bh_session *session, struct bhi_life *life, int64_t now)
{
    bh_pool *pool = life->pool;

    pool->sessions_waiting--;
    pool->session_count++;
    session->life = life;
    life->session = session;
    session->until = session->lease ? now + session->lease : BHP_FOREVER;
    bhi_supervise_by(pool, session->until);
}

/* They let go of each other. */
static void part(bh_session *session)
{
    session->life->session = NULL;
    session->life->pool->session_count--;
    session->life = NULL;
}

static void lose(bh_session *session, const char *why)
{
    bh_pool *pool = session->pool;

    session->life->tell |= UINT32_C(1) << BH_EVENT_SESSION_LOST;
    session->life->session_why = why;
    session->lost = true;
    session->why = why;
    pool->sessions_lost++;
    part(session);
}

void bhi_session_died(struct bhi_life *life)
{
    bh_session *session = life->session;

    session->has_death = bh_death_copy(&session->death, &life->death) == BH_OK;
    lose(session, "its worker ended");
}

void bhi_session_expire(struct bhi_life *life, const char *why, int64_t now)
{
    lose(life->session, why);
    if (life->loan) { /* it leaves when the reply is given back */
        bhi_life_leave(life, why);
        return;
    }
    bhi_life_feed(life, BHI_LIFE_FREE, now);
    bhi_life_leave(life, why);
    if (life->state == BH_WORKER_IDLE) /* it was told to leave before */
        bhi_life_feed(life, BHI_LIFE_LEAVE, now);
}

void bhi_session_explain(const bh_session *session, struct bh_result *result)
{
    char line[256];

    if (!session->has_death) {
        bhi_result_text(result, "the session is lost: %s",
                        session->why ? session->why : "its worker is being killed");
        return;
    }
    bh_death_describe(&session->death, line, sizeof(line));
    bhi_result_text(result, "the session is lost: %s", line);
    if (!result->has_death)
        result->has_death = bh_death_copy(&result->death, &session->death) == BH_OK;
}

/* ---- closing ---- */

/* With the lock held. */
static void give_back(bh_session *session)
{
    struct bhi_life *life = session->life;
    int64_t now = bhp_now();

    if (!life)
        return;
    part(session);
    if (life->loan && life->state == BH_WORKER_LEASED) {
        if (!session->keep_worker) /* when the reply is given back */
            bhi_life_leave(life, "its session is over");
        return;
    }
    bhi_life_feed(life, BHI_LIFE_FREE, now);
    if (life->state == BH_WORKER_IDLE)
        bhi_life_go_on(life, session->keep_worker ? NULL : "its session is over", now);
}

/* Gives back what it has of the pool. @return false: the call that is running will */
static bool leave_pool(bh_session *session)
{
    bh_pool *pool = session->pool;

    bhp_mutex_lock(&pool->lock);
    bool now = !session->busy;
    session->closing = true;
    if (now) {
        give_back(session);
        unlink_session(session);
    }
    bhp_mutex_unlock(&pool->lock);
    return now;
}

void bh_session_close(bh_session *session)
{
    if (!session || (session->pool && bhp_nursery_forked(session->pool->nursery)))
        return;
    if (session->pool && !leave_pool(session))
        return;
    bh_death_deinit(&session->death);
    bhp_memory_free(session->buffer);
    bhi_free(session);
}

/* ---- calls ---- */

/* Why the call is not made, or BH_REFUSAL_NONE. With the lock held. */
static enum bh_refusal refusal_of(const bh_session *session, struct bh_result *result)
{
    if (session->busy) {
        bhi_result_text(result, "another call of this session is running");
        return BH_REFUSAL_INVALID;
    }
    if (session->life && session->life->loan) {
        bhi_result_text(result, "a reply of this session is borrowed and not given back yet");
        return BH_REFUSAL_INVALID;
    }
    if (!session->life || session->life->state != BH_WORKER_LEASED)
        return BH_REFUSAL_SESSION_LOST;
    return session->pool->closing ? BH_REFUSAL_CLOSING : BH_REFUSAL_NONE;
}

/* With the lock held. */
static void run(bh_session *session, struct bhi_ticket *ticket, struct bh_result *result)
{
    bh_pool *pool = session->pool;
    enum bh_refusal refusal = ticket->claim ? BH_REFUSAL_NONE : refusal_of(session, result);

    if (refusal || ticket->claim) {
        ticket->refusal = refusal;
        pool->leaving++;
        bhi_attempt_unserved(ticket, result);
        return;
    }
    if (session->until < ticket->deadline)
        ticket->deadline = session->until;
    session->busy = true;
    bhi_queue_lend(session->life, ticket);
    bhi_attempt(ticket, result);
    session->busy = false;
}

/* The pool has closed: nothing of it is left to be touched. */
static enum bh_outcome refuse_orphan(struct bh_result *result)
{
    bhi_result_refuse(result, BH_REFUSAL_SESSION_LOST);
    bhi_result_text(result, "the session is lost: its pool has closed");
    return result->outcome;
}

enum bh_outcome bh_session_call(bh_session *session, const struct bh_request *request,
                                struct bh_result *result)
{
    bh_pool *pool = session->pool;
    struct bhi_ticket ticket;

    memset(result, 0, sizeof(*result));
    if (!pool)
        return refuse_orphan(result);
    if (bhi_ticket_refuse_waiting(pool, request, result))
        return result->outcome;
    bhi_ticket_init(&ticket, pool, request);
    ticket.inside = bhi_callback_current();
    ticket.session = session;
    bool raised = !bhi_cancel_attach(&ticket);
    bhp_mutex_lock(&pool->lock);
    ticket.order = ++pool->submitted;
    pool->inside++;
    if (raised)
        ticket.claim = BHI_CLAIM_CANCELLED;
    run(session, &ticket, result);
    bhi_attempt_account(&ticket, result);
    bool closing = session->closing && !session->busy;
    bhp_mutex_unlock(&pool->lock);
    bhi_cancel_detach(&ticket);
    if (closing)
        bh_session_close(session);
    bhi_ticket_leave(pool, request, result);
    return result->outcome;
}

/* Puts another memory in the place of the session's. @return what it had */
static bhp_memory *exchange(bh_session *session, bhp_memory *memory)
{
    bh_pool *pool = session->pool;

    bhp_mutex_lock(&pool->lock); /* the supervisor looks at it */
    bhp_memory *old = session->buffer;
    session->buffer = memory;
    bhp_mutex_unlock(&pool->lock);
    return old;
}

/* Whether what it has will do: it is large enough, and not far too large. */
static bool will_do(const bhp_memory *memory, uint64_t bytes)
{
    uint64_t has = memory ? bhp_memory_bytes(memory) : 0;

    return has >= bytes && (has <= BUFFER_SMALL || has / 8 <= bytes);
}

static int renew_buffer(bh_session *session, uint64_t bytes)
{
    bhp_memory *memory = NULL;

    bhp_memory_free(exchange(session, NULL)); /* first, so that there are never two */
    int result = bytes > 0 ? bhp_memory_new(&memory, bytes) : BH_OK;
    if (!result)
        exchange(session, memory);
    return result;
}

int bh_session_buffer(bh_session *session, size_t bytes, void **at)
{
    int result = BH_OK;

    if (at)
        *at = NULL;
    else if (bytes > 0)
        return BH_E_INVALID;
    if (!session->pool)
        return BH_E_STATE;
    if (bhp_nursery_forked(session->pool->nursery))
        return BH_E_FORKED;
    if (bh_session_lost(session))
        return BH_E_STATE;
    if (bytes > session->pool->options.max_request_bytes)
        return BH_E_TOO_LARGE;
    if (bytes == 0 || !will_do(session->buffer, bytes))
        result = renew_buffer(session, bytes);
    if (session->buffer && at)
        *at = bhp_memory_at(session->buffer);
    return result;
}

bool bh_session_lost(const bh_session *session)
{
    bh_pool *pool = session->pool;

    if (!pool || bhp_nursery_forked(pool->nursery))
        return true;
    bhp_mutex_lock(&pool->lock);
    bool lost = !session->life || session->life->state > BH_WORKER_STOPPING;
    bhp_mutex_unlock(&pool->lock);
    return lost;
}

void bhi_session_orphan_all(bh_pool *pool)
{
    while (pool->sessions) {
        bh_session *session = pool->sessions;
        unlink_session(session);
        session->pool = NULL;
    }
}
