/* SPDX-License-Identifier: MIT */
/*
 * The fake's nurseries and their loops.
 *
 * Model: a nursery is a list of workers. What a worker has to tell is a set of bits; the loop hands
 * them out in the order of a life, workers in the order of their birth, and returns for nothing but
 * an event, a kick or the time, so that a kick that the core forgets is time that passes.
 *
 * Invariants: EXITED is handed out once, and nothing of that worker after it; a nursery is closed
 * only when every worker was freed.
 */
#include "internal.h"

#include "core/alloc.h"
#include "core/problem.h"

#include <string.h>

/** See platform.h. */
int bhp_nursery_open(bhp_nursery **out, const struct bh_pool_options *options,
                     struct bh_problem *problem)
{
    struct bhp_nursery *nursery;
    int refuse = bhf_world.refuse_nursery;

    *out = NULL;
    bhf_insist(options->worker != NULL, "a nursery is opened with checked options");
    bhf_world.refuse_nursery = 0;
    if (refuse)
        return bhi_problem_set(problem, refuse, 11, "the launcher cannot be started");
    nursery = bhi_alloc(sizeof(*nursery));
    if (!nursery)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a nursery");
    memset(nursery, 0, sizeof(*nursery));
    nursery->next = bhf_world.nurseries;
    bhf_world.nurseries = nursery;
    *out = nursery;
    return BH_OK;
}

/** See platform.h. */
void bhp_nursery_close(bhp_nursery *nursery)
{
    struct bhp_nursery **link = &bhf_world.nurseries;

    if (!nursery)
        return;
    bhf_insist(bhf_world.locks_held == 0, "no nursery is closed with a lock held");
    bhf_insist(!nursery->workers, "every worker is freed before its nursery is closed");
    while (*link != nursery)
        link = &(*link)->next;
    *link = nursery->next;
    bhi_free(nursery);
}

/** See platform.h. */
void bhp_nursery_renew(bhp_nursery *nursery)
{
    bhf_insist(bhf_world.locks_held == 0, "a nursery is renewed without a lock held");
    nursery->renewals++;
}

/** See platform.h. */
bool bhp_nursery_template(bhp_nursery *nursery, struct bhp_template_news *news)
{
    bool has_news = nursery->has_news;

    *news = nursery->news;
    nursery->has_news = false;
    return has_news;
}

/** See platform.h. */
bool bhp_nursery_forked(const bhp_nursery *nursery)
{
    (void)nursery;
    return bhf_world.child;
}

/* ---- the loop ---- */

static bool has_events(const struct bhp_nursery *nursery)
{
    if (nursery->lost || nursery->has_news)
        return true;
    for (const struct bhp_worker *worker = nursery->workers; worker; worker = worker->next)
        if (worker->stage != BHF_REAPED && (worker->owed || worker->pieces))
            return true;
    return false;
}

static size_t collect_worker(struct bhp_worker *worker, struct bhp_event *events, size_t capacity)
{
    size_t count = 0;

    if (worker->stage == BHF_REAPED)
        return 0;
    for (unsigned type = 0; type < BHP_EVENT_LOST && count < capacity; type++) {
        bool output = type == BHP_EVENT_OUTPUT && worker->pieces > 0;
        if (!(worker->owed >> type & 1) && !output)
            continue;
        worker->owed &= ~(UINT32_C(1) << type);
        events[count++] = (struct bhp_event){(enum bhp_event_type)type, worker->owner};
        if (type == BHP_EVENT_EXITED)
            worker->stage = BHF_REAPED;
    }
    return count;
}

static size_t collect(struct bhp_nursery *nursery, struct bhp_event *events, size_t capacity)
{
    size_t count = 0;

    if (nursery->lost && capacity > 0)
        events[count++] = (struct bhp_event){BHP_EVENT_LOST, NULL};
    nursery->lost = false;
    if (nursery->has_news && count < capacity)
        events[count++] = (struct bhp_event){BHP_EVENT_TEMPLATE, NULL};
    for (struct bhp_worker *worker = nursery->workers; worker; worker = worker->next)
        count += collect_worker(worker, events + count, capacity - count);
    return count;
}

/** See platform.h. */
size_t bhp_loop_wait(bhp_nursery *nursery, int64_t until, struct bhp_event *events, size_t capacity)
{
    while (!nursery->kicked && !has_events(nursery) && bhf_world.now < until) {
        nursery->stir = false;
        bhf_block(&nursery->stir, until);
    }
    nursery->kicked = false;
    return collect(nursery, events, capacity);
}

/** See platform.h. */
void bhp_loop_kick(bhp_nursery *nursery)
{
    bhf_insist(!bhf_world.child, "a forked child kicks nobody");
    nursery->kicked = nursery->stir = true;
}
