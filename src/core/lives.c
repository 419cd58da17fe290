/* SPDX-License-Identifier: MIT */
/*
 * Worker lives: what the state table's actions do.
 *
 * Model: a life begins with the wish to start a worker and ends when its death record is written
 * and the last caller has let go of it. Only the supervisor adds and frees lives; callers and
 * cancellers feed events. All under the pool's lock.
 *
 * Invariants: pool->count[s] is the number of linked lives in state s; the idle list holds exactly
 * the IDLE ones, latest first (a warm worker is the better one); `stop` is raised once, when DEAD.
 */
#include "alloc.h"
#include "pool_internal.h"
#include "problem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static _Atomic uint64_t cookies; /* one sequence for the whole process */

static void set_state(struct bhi_life *life, enum bh_worker_state state)
{
    life->pool->count[life->state]--;
    life->pool->count[state]++;
    life->state = state;
}

static void set_timer(struct bhi_life *life, int64_t due)
{
    life->timer = due;
    bhi_supervise_by(life->pool, due);
}

static void push_idle(struct bhi_life *life, int64_t now)
{
    life->idle_since = now;
    life->timer = BHP_FOREVER;
    life->idle_next = life->pool->idle;
    life->pool->idle = life;
    bhi_supervise_by(life->pool, bhi_policy_leave_at(life->pool, life, now));
    bhi_supervise_by(life->pool, life->trim_at);
}

static void pull_idle(struct bhi_life *life)
{
    struct bhi_life **link = &life->pool->idle;

    while (*link != life)
        link = &(*link)->idle_next;
    *link = life->idle_next;
    life->idle_next = NULL;
}

/* ---- actions --------------------------------------------------------------------------------- */

static void serve(struct bhi_life *life, int64_t now)
{
    bh_pool *pool = life->pool;

    life->was_ready = true;
    life->tell |= UINT32_C(1) << BH_EVENT_READY;
    pool->ready++;
    if (bhi_policy_start_worked(pool))
        pool->tell |= UINT32_C(1) << BH_EVENT_BREAKER;
    push_idle(life, now);
}

static void nudge(struct bhi_life *life, int64_t now)
{
    bhp_worker_nudge(life->worker, life->ticket->serial);
    set_timer(life, now + (int64_t)life->pool->options.grace_ms * BHI_MS);
}

static void quit(struct bhi_life *life, int64_t now)
{
    bhp_worker_quit(life->worker);
    set_timer(life, now + (int64_t)life->pool->options.drain_timeout_ms * BHI_MS);
}

static enum bh_cause cause_of_claim(const struct bhi_life *life)
{
    switch (life->ticket ? life->ticket->claim : BHI_CLAIM_NONE) {
    case BHI_CLAIM_NO_PROGRESS:
        return BH_CAUSE_NO_PROGRESS;
    case BHI_CLAIM_CANCELLED:
    case BHI_CLAIM_DRAIN:
        return BH_CAUSE_CANCELLED;
    default:
        return BH_CAUSE_DEADLINE;
    }
}

/* A timer's kill: the state that the timer belonged to says why. */
static void blame_timer(struct bhi_life *life, enum bh_worker_state state)
{
    const struct bh_pool_options *options = &life->pool->options;
    size_t size = sizeof(life->kill_detail);

    life->kill_cause = BH_CAUSE_DEADLINE;
    if (state == BH_WORKER_STARTING)
        snprintf(life->kill_detail, size, "not ready within %u ms", options->start_timeout_ms);
    else if (state == BH_WORKER_QUITTING)
        snprintf(life->kill_detail, size, "did not quit within %u ms", options->drain_timeout_ms);
    else
        life->kill_cause = cause_of_claim(life);
}

static void kill_worker(struct bhi_life *life, enum bh_worker_state before)
{
    if (!life->killed)
        blame_timer(life, before);
    life->killed = true;
    life->timer = BHP_FOREVER;
    bhp_worker_kill(life->worker);
}

static void bury(struct bhi_life *life)
{
    life->timer = BHP_FOREVER;
    atomic_store(&life->stop, 1); /* pairs with the lane's wait and await_end() in call.c */
    bhp_word_wake(&life->stop);
}

void bhi_life_feed(struct bhi_life *life, enum bhi_life_event event, int64_t now)
{
    enum bh_worker_state before = life->state;
    struct bhi_life_move move = bhi_life_move(before, event);

    assert(move.action != BHI_ACT_BUG);
    if (before == BH_WORKER_IDLE && move.next != BH_WORKER_IDLE)
        pull_idle(life);
    set_state(life, move.next);
    switch (move.action) {
    case BHI_ACT_NOTHING:
    case BHI_ACT_LEND:
    case BHI_ACT_BUG:
    case BHI_LIFE_ACTION_COUNT:
        break;
    case BHI_ACT_NOTE:
        life->tell |= UINT32_C(1) << BH_EVENT_STARTED;
        break;
    case BHI_ACT_SERVE:
        serve(life, now);
        break;
    case BHI_ACT_REST:
        push_idle(life, now);
        break;
    case BHI_ACT_KEEP:
        life->timer = BHP_FOREVER;
        bhi_supervise_by(life->pool, life->trim_at);
        break;
    case BHI_ACT_NUDGE:
        nudge(life, now);
        break;
    case BHI_ACT_QUIT:
        quit(life, now);
        break;
    case BHI_ACT_MARK:
        life->leave = true;
        break;
    case BHI_ACT_KILL:
        kill_worker(life, before);
        break;
    case BHI_ACT_BURY:
        bury(life);
        break;
    }
}

/* ---- what others ask for -----------------------------------------------------------------------
 */

void bhi_life_condemn(struct bhi_life *life, enum bh_cause cause, const char *detail)
{
    if (life->killed || life->state == BH_WORKER_DEAD)
        return;
    life->killed = true;
    life->kill_cause = cause;
    snprintf(life->kill_detail, sizeof(life->kill_detail), "%s", detail ? detail : "");
    bhi_life_feed(life, BHI_LIFE_CONDEMN, bhp_now());
}

void bhi_life_leave(struct bhi_life *life, const char *why)
{
    if (life->leave_why)
        return;
    life->leave_why = why;
    life->leave = true;
    life->tell |= UINT32_C(1) << BH_EVENT_RECYCLE;
    bhi_life_feed(life, BHI_LIFE_LEAVE, bhp_now());
    bhi_supervise_by(life->pool, 0);
}

void bhi_life_let_go(struct bhi_life *life)
{
    atomic_store(&life->claim, 0); /* pairs with the compare-and-swap in bhi_queue_claim() */
    life->ticket->state = BHI_TICKET_ENDED;
    life->ticket->life = NULL;
    life->ticket = NULL;
    life->pool->running--;
}

void bhi_life_go_on(struct bhi_life *life, const char *why, int64_t now)
{
    if (!why)
        why = bhi_policy_leave(life->pool, life, now);
    if (life->leave)
        bhi_life_feed(life, BHI_LIFE_LEAVE, now);
    else if (why)
        bhi_life_leave(life, why);
    else
        bhi_queue_offer(life);
}

void bhi_life_settle(struct bhi_life *life, bool served, int64_t now)
{
    if (served) {
        life->served++;
        life->begun = life->ticket->serial;
    }
    bhi_life_let_go(life);
    if (life->session || life->loan) {
        bhi_life_feed(life, BHI_LIFE_RETURN, now);
        if (life->session)
            bhi_supervise_by(life->pool, life->pool->drained ? 0 : life->session->until);
        return;
    }
    bhi_life_feed(life, BHI_LIFE_SETTLE, now);
    bhi_life_go_on(life, NULL, now);
}

/* ---- birth and burial ---- */

static void link_life(bh_pool *pool, struct bhi_life *life)
{
    life->previous = pool->last_life;
    *(pool->last_life ? &pool->last_life->next : &pool->lives) = life;
    pool->last_life = life;
    pool->count[life->state]++;
    pool->starts++;
    int64_t sample_at = life->started_at + bhi_policy_sample_pause(pool);
    if (sample_at < pool->sample_at) /* it may grow from its first moment on */
        pool->sample_at = sample_at;
}

int bhi_life_start(bh_pool *pool, int64_t now, struct bh_problem *problem)
{
    struct bhi_life *life = bhi_alloc(sizeof(*life));

    if (!life)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a worker's record");
    memset(life, 0, sizeof(*life));
    life->pool = pool;
    life->cookie = atomic_fetch_add(&cookies, 1) + 1;
    bhp_mutex_lock(&pool->lock);
    life->generation = pool->generation; /* of before the start: what runs then may be older */
    bhp_mutex_unlock(&pool->lock);
    if (life->generation != pool->nursery_generation)
        bhp_nursery_renew(pool->nursery);
    pool->nursery_generation = life->generation;
    life->state = BH_WORKER_STARTING;
    life->trim_at = BHP_FOREVER;
    life->started_at = now;
    life->timer = now + (int64_t)pool->options.start_timeout_ms * BHI_MS;
    bhi_policy_limits(pool, life);
    bhi_output_init(&life->output, pool->options.output_tail_bytes);
    int result = bhp_worker_start(pool->nursery, life->cookie, life, &life->worker, problem);
    if (result) {
        bhi_free(life);
        return result;
    }
    bhp_mutex_lock(&pool->lock);
    link_life(pool, life);
    bhp_mutex_unlock(&pool->lock);
    return BH_OK;
}

void bhi_life_unlink(struct bhi_life *life)
{
    bh_pool *pool = life->pool;

    *(life->previous ? &life->previous->next : &pool->lives) = life->next;
    *(life->next ? &life->next->previous : &pool->last_life) = life->previous;
    pool->count[life->state]--;
}

void bhi_life_free(struct bhi_life *life)
{
    bhp_worker_free(life->worker);
    bhi_output_deinit(&life->output);
    bh_death_deinit(&life->death);
    bhi_free(life);
}
