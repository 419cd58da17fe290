/* SPDX-License-Identifier: MIT */
/*
 * Borrowed replies: a result whose payloads lie in the worker's memory.
 *
 * Model: the loan belongs to the result. It has a use of the memory, which needs nobody else, and
 * holds the life: LEASED, so that the worker is given no request that would write there. Giving it
 * back frees the life. A life that ends, or a pool that closes, does not wait: it parts with the
 * loan, and what is left is the memory.
 *
 * Invariants: life->loan and loan->life lead to each other until they part. Who ends that, the
 * result or the pool, is decided by one compare-and-swap; when the result was first, the life stays
 * as it is until the result has got the pool's lock: so neither touches what the other has freed.
 */
#include "alloc.h"
#include "loan.h"
#include "pool_internal.h"

enum { HELD, RETURNING, PARTED };

struct bh_loan {
    _Atomic uint32_t state; /* pairs with itself */
    int64_t process;        /* that has the memory: a forked child does not */
    struct bhi_life *life;  /* until they part */
    bhp_memory *memory;
};

struct bh_loan *bhi_loan_new(void)
{
    struct bh_loan *loan = bhi_alloc(sizeof(*loan));

    if (loan)
        *loan = (struct bh_loan){.state = PARTED, .process = bhp_process_id()};
    return loan;
}

/* A life that does not serve on, or should leave anyway, is not held. */
static bool can_wait(const struct bhi_life *life)
{
    return (life->state == BH_WORKER_BUSY || life->state == BH_WORKER_STOPPING) &&
           !life->pool->closing;
}

void bhi_loan_begin(struct bh_loan *loan, struct bhi_life *life, bhp_memory *memory)
{
    loan->memory = memory;
    if (!can_wait(life))
        return;
    loan->life = life;
    life->loan = loan;
    atomic_store(&loan->state, HELD);
}

/* The life is free of the loan: it goes on. */
static void free_life(struct bhi_life *life)
{
    int64_t now = bhp_now();

    life->loan = NULL;
    if (life->state != BH_WORKER_LEASED) {
        bhi_supervise_by(life->pool, 0); /* it may have waited for this to be buried */
        return;
    }
    if (life->session) {
        bhi_supervise_by(life->pool, life->trim_at);
        return;
    }
    bhi_life_feed(life, BHI_LIFE_FREE, now);
    bhi_life_go_on(life, NULL, now);
}

void bhi_loan_part(struct bhi_life *life)
{
    uint32_t held = HELD;

    if (life->loan && atomic_compare_exchange_strong(&life->loan->state, &held, PARTED))
        free_life(life); /* the loan may be gone by now */
}

/** See loan.h. */
void bhi_loan_return(struct bh_loan *loan)
{
    uint32_t held = HELD;

    if (!loan)
        return;
    if (loan->process != bhp_process_id()) {
        bhi_free(loan);
        return;
    }
    bool holds = atomic_compare_exchange_strong(&loan->state, &held, RETURNING);
    bhp_memory_free(loan->memory); /* before the worker gets the next request */
    if (holds) {
        bh_pool *pool = loan->life->pool;
        bhp_mutex_lock(&pool->lock);
        free_life(loan->life);
        bhp_mutex_unlock(&pool->lock);
    }
    bhi_free(loan);
}
