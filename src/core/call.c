/* SPDX-License-Identifier: MIT */
/*
 * One request, from the caller's thread: submit, wait for a lease, make an attempt, until it is
 * done. The caller times its own waiting in the queue; on a worker the supervisor does.
 *
 * Invariant: the caller holds its place in `inside` until it touches the pool no more.
 */
#include "pool_internal.h"

#include <string.h>

/* ---- the way of a request ---- */

void bhi_ticket_await(struct bhi_ticket *ticket)
{
    bh_pool *pool = ticket->pool;

    while (ticket->state == BHI_TICKET_QUEUED) {
        bhp_mutex_unlock(&pool->lock);
        bhp_word_wait(&ticket->word, 0, ticket->deadline);
        bhp_mutex_lock(&pool->lock);
        if (ticket->state == BHI_TICKET_QUEUED && bhp_now() >= ticket->deadline)
            bhi_queue_end(ticket, BHI_CLAIM_DEADLINE, BH_REFUSAL_NONE);
    }
}

static void run_ticket(struct bhi_ticket *ticket, struct bh_result *result)
{
    bool done = false;

    bhi_queue_submit(ticket->pool, ticket, false);
    while (!done) {
        bhi_ticket_await(ticket);
        if (ticket->state == BHI_TICKET_ENDED) {
            bhi_attempt_unserved(ticket, result);
            return;
        }
        done = bhi_attempt(ticket, result);
    }
}

static int64_t deadline_of(const bh_pool *pool, const struct bh_request *request, int64_t now)
{
    uint32_t ms = request->deadline_ms ? request->deadline_ms : pool->options.deadline_ms;

    return ms ? now + (int64_t)ms * BHI_MS : BHP_FOREVER;
}

void bhi_ticket_init(struct bhi_ticket *ticket, bh_pool *pool, const struct bh_request *request)
{
    uint32_t silence =
        request->no_progress_ms ? request->no_progress_ms : pool->options.no_progress_ms;

    memset(ticket, 0, sizeof(*ticket));
    ticket->pool = pool;
    ticket->request = request;
    ticket->submitted_at = bhp_now();
    ticket->deadline = deadline_of(pool, request, ticket->submitted_at);
    ticket->no_progress = (int64_t)silence * BHI_MS;
}

void bhi_ticket_leave(bh_pool *pool, const struct bh_request *request,
                      const struct bh_result *result)
{
    bhi_attempt_tell(pool, request, result);
    bhp_mutex_lock(&pool->lock);
    bhi_pool_leave(pool);
    bhp_mutex_unlock(&pool->lock);
}

/* What is wrong with a request whatever the pool's state. */
static enum bh_refusal flaw_of(const struct bh_request *request, struct bh_result *result)
{
    if (!request || request->size < sizeof(*request) || !request->method) {
        bhi_result_text(result,
                        "the request was not initialised with BH_REQUEST_INIT or names no method");
        return BH_REFUSAL_INVALID;
    }
    if (request->argument_count > 0 && !request->arguments) {
        bhi_result_text(result, "the request has %zu arguments at NULL", request->argument_count);
        return BH_REFUSAL_INVALID;
    }
    const char *flaw = bhi_callback_flaw(request);
    if (flaw) {
        bhi_result_text(result, "%s", flaw);
        return BH_REFUSAL_INVALID;
    }
    return BH_REFUSAL_NONE;
}

static void refuse(bh_pool *pool, const struct bh_request *request, struct bh_result *result,
                   enum bh_refusal refusal)
{
    bhi_result_refuse(result, refusal);
    bhp_mutex_lock(&pool->lock);
    pool->submitted++;
    pool->inside++;
    pool->outcomes[result->outcome]++;
    pool->refusals[result->refusal]++;
    bhp_mutex_unlock(&pool->lock);
    bhi_ticket_leave(pool, request, result);
}

bool bhi_ticket_refuse(bh_pool *pool, const struct bh_request *request, struct bh_result *result)
{
    if (bhp_nursery_forked(pool->nursery)) {
        bhi_result_refuse(result, BH_REFUSAL_FORKED);
        bhi_result_text(result,
                        "the pool belongs to the process that opened it; open one in this child");
        return true;
    }
    enum bh_refusal flaw = flaw_of(request, result);
    if (!flaw)
        return false;
    refuse(pool, request, result, flaw);
    return true;
}

bool bhi_ticket_refuse_waiting(bh_pool *pool, const struct bh_request *request,
                               struct bh_result *result)
{
    if (bhi_ticket_refuse(pool, request, result))
        return true;
    if (!bhi_callback_holds(pool))
        return false;
    bhi_result_text(result, "a callback that runs for this pool must not wait for it: use "
                            "bh_callback_invoke(), bh_pool_submit() or another pool");
    refuse(pool, request, result, BH_REFUSAL_WOULD_DEADLOCK);
    return true;
}

enum bh_outcome bh_pool_call(bh_pool *pool, const struct bh_request *request,
                             struct bh_result *result)
{
    struct bhi_ticket ticket;

    memset(result, 0, sizeof(*result));
    if (bhi_ticket_refuse_waiting(pool, request, result))
        return result->outcome;
    bhi_ticket_init(&ticket, pool, request);
    ticket.inside = bhi_callback_current();
    bool raised = !bhi_cancel_attach(&ticket);
    bhp_mutex_lock(&pool->lock);
    if (raised)
        ticket.claim = BHI_CLAIM_CANCELLED;
    ticket.order = ++pool->submitted;
    pool->inside++;
    run_ticket(&ticket, result);
    bhi_attempt_account(&ticket, result);
    bhp_mutex_unlock(&pool->lock);

    bhi_cancel_detach(&ticket);
    bhi_ticket_leave(pool, request, result);
    return result->outcome;
}

enum bh_outcome bh_pool_invoke(bh_pool *pool, const char *method, const bh_value *arguments,
                               size_t argument_count, struct bh_result *result)
{
    struct bh_request request = BH_REQUEST_INIT;

    request.method = method;
    request.arguments = arguments;
    request.argument_count = argument_count;
    return bh_pool_call(pool, &request, result);
}
