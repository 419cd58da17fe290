/* SPDX-License-Identifier: MIT */
/*
 * Snapshots: the pool at one moment, copied under one hold of the lock, so that the counters agree
 * with each other and with the list of workers.
 */
#include "alloc.h"
#include "pool_internal.h"
#include "utf8.h"

#include <string.h>

static void copy_method(char out[64], const char *method)
{
    size_t length = strlen(method);

    if (length > 63)
        length = 63;
    length = bhi_utf8_valid_prefix(method, length);
    memcpy(out, method, length);
    out[length] = '\0';
}

static void describe_life(const struct bhi_life *life, int64_t now, struct bh_worker_info *info)
{
    struct bhp_box box;

    memset(info, 0, sizeof(*info));
    info->cookie = life->cookie;
    info->pid = bhp_worker_pid(life->worker);
    info->state = life->state;
    info->generation = life->generation;
    info->served = life->served;
    info->uptime_ms = (uint64_t)((now - life->started_at) / BHI_MS);
    info->rss_bytes = life->rss;
    info->in_session = life->session != NULL;
    if (!life->ticket)
        return;
    info->serial = life->ticket->serial;
    info->request_age_ms = (uint64_t)((now - life->ticket->submitted_at) / BHI_MS);
    copy_method(info->method, life->ticket->request->method);
    bhp_worker_box(life->worker, &box);
    if (box.started != info->serial)
        return;
    info->progress_total = box.progress_total;
    info->progress_done = box.progress_done;
    if (info->progress_total && info->progress_done > info->progress_total)
        info->progress_done = info->progress_total;
}

static int copy_workers(const bh_pool *pool, struct bh_snapshot *snapshot)
{
    int64_t now = bhp_now();
    size_t count = 0;

    for (const struct bhi_life *life = pool->lives; life; life = life->next)
        count++;
    if (count == 0)
        return BH_OK;
    snapshot->workers = bhi_alloc(count * sizeof(*snapshot->workers));
    if (!snapshot->workers)
        return BH_E_MEMORY;
    for (const struct bhi_life *life = pool->lives; life; life = life->next)
        describe_life(life, now, &snapshot->workers[snapshot->worker_count++]);
    return BH_OK;
}

static void copy_counters(const bh_pool *pool, struct bh_snapshot *snapshot)
{
    snapshot->generation = pool->generation;
    snapshot->queued = pool->queued + pool->slotted + pool->leaving - pool->sessions_waiting;
    snapshot->submitted = pool->submitted;
    snapshot->running = pool->running;
    memcpy(snapshot->outcome, pool->outcomes, sizeof(snapshot->outcome));
    memcpy(snapshot->refusal, pool->refusals, sizeof(snapshot->refusal));
    memcpy(snapshot->death, pool->deaths, sizeof(snapshot->death));
    snapshot->quits = pool->quits;
    snapshot->starts = pool->starts;
    snapshot->ready = pool->ready;
    snapshot->requeued = pool->requeued;
    snapshot->retried = pool->retried;
    snapshot->sessions = pool->session_count;
    snapshot->sessions_lost = pool->sessions_lost;
    snapshot->closing = pool->closing;
    snapshot->breaker_open = pool->breaker_open;
    snapshot->failed_starts = pool->failed_starts;
    memcpy(snapshot->worker_state, pool->count, sizeof(snapshot->worker_state));
    snapshot->latency = pool->latency;
    snapshot->wait = pool->wait;
    snapshot->template_starts = pool->template_starts;
}

int bh_pool_snapshot(bh_pool *pool, struct bh_snapshot *snapshot)
{
    memset(snapshot, 0, sizeof(*snapshot));
    if (bhp_nursery_forked(pool->nursery))
        return BH_E_FORKED;
    bhp_mutex_lock(&pool->lock);
    copy_counters(pool, snapshot);
    int result = copy_workers(pool, snapshot);
    bhp_mutex_unlock(&pool->lock);
    return result;
}

void bh_snapshot_deinit(struct bh_snapshot *snapshot)
{
    if (!snapshot)
        return;
    bhi_free(snapshot->workers);
    memset(snapshot, 0, sizeof(*snapshot));
}
