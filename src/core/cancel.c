/* SPDX-License-Identifier: MIT */
/*
 * Cancel tokens.
 *
 * Model: a token is a flag and the list of tickets that carry it. Raising sets the flag, then
 * claims each ticket. A ticket is tied before it is submitted and untied before its caller returns,
 * so the list never leads to a stack that is gone. Lock order: token, then pool.
 */
#include "alloc.h"
#include "pool_internal.h"

struct bh_cancel {
    bhp_mutex lock;
    bool raised;
    struct bhi_ticket *tickets;
};

bh_cancel *bh_cancel_new(void)
{
    bh_cancel *cancel = bhi_alloc(sizeof(*cancel));

    if (!cancel)
        return NULL;
    bhp_mutex_init(&cancel->lock);
    cancel->raised = false;
    cancel->tickets = NULL;
    return cancel;
}

void bh_cancel_free(bh_cancel *cancel)
{
    if (!cancel)
        return;
    bhp_mutex_deinit(&cancel->lock);
    bhi_free(cancel);
}

void bh_cancel_raise(bh_cancel *cancel)
{
    bhp_mutex_lock(&cancel->lock);
    cancel->raised = true;
    for (struct bhi_ticket *ticket = cancel->tickets; ticket; ticket = ticket->token_next) {
        if (bhp_nursery_forked(ticket->pool->nursery))
            continue; /* a child of the process whose request it is */
        bhp_mutex_lock(&ticket->pool->lock);
        bhi_queue_claim(ticket, BHI_CLAIM_CANCELLED);
        bhp_mutex_unlock(&ticket->pool->lock);
    }
    bhp_mutex_unlock(&cancel->lock);
}

bool bhi_cancel_attach(struct bhi_ticket *ticket)
{
    bh_cancel *cancel = ticket->request->cancel;
    bool raised;

    if (!cancel)
        return true;
    bhp_mutex_lock(&cancel->lock);
    raised = cancel->raised;
    ticket->token_next = cancel->tickets;
    ticket->token_previous = NULL;
    if (ticket->token_next)
        ticket->token_next->token_previous = ticket;
    cancel->tickets = ticket;
    bhp_mutex_unlock(&cancel->lock);
    return !raised;
}

void bhi_cancel_detach(struct bhi_ticket *ticket)
{
    bh_cancel *cancel = ticket->request->cancel;

    if (!cancel)
        return;
    bhp_mutex_lock(&cancel->lock);
    *(ticket->token_previous ? &ticket->token_previous->token_next : &cancel->tickets) =
        ticket->token_next;
    if (ticket->token_next)
        ticket->token_next->token_previous = ticket->token_previous;
    bhp_mutex_unlock(&cancel->lock);
}
