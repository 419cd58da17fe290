/* SPDX-License-Identifier: MIT */
/*
 * The supervisor: one thread per pool that owns worker lives and every timer.
 *
 * Model: wait for events or the next due time; take one turn; repeat until the pool is closing and
 * empty. A turn digests the platform's events (feeding the state table), looks at timers and
 * memory, applies the policy, buries the dead and tells the event sink. Callers time nothing
 * themselves: a lease names its due time and kicks the supervisor only if it would otherwise sleep
 * past it, which with equal deadlines happens once per deadline, not once per request.
 *
 * Invariants: only this thread adds, frees or walks the lives without the lock; pool->wake_at is
 * computed last in a turn, under the lock; a wish that comes during a turn lowers it, one that
 * comes later kicks.
 */
#include "alloc.h"
#include "death.h"
#include "pool_internal.h"

#include <stdio.h>
#include <string.h>

#define READ_CHUNK 16384
#define READS_PER_EVENT 8
#define READS_AT_END 64          /* as much as a pipe can hold: a grandchild may go on writing */
#define SAMPLE_FAST (5 * BHI_MS) /* with a memory limit, while a worker works */
#define SAMPLE_RECYCLE (100 * BHI_MS) /* with a recycle limit, while a worker works */
#define SAMPLE_SLOW (1000 * BHI_MS)
#define RETRY_PAUSE (10 * BHI_MS) /* between looks for a launcher that is not back */

void bhi_supervise_by(bh_pool *pool, int64_t due)
{
    if (due >= pool->wake_at)
        return;
    pool->wake_at = due;
    if (!pool->turning)
        bhp_loop_kick(pool->nursery);
}

/* ---- the event sink ---- */

static void emit_for(struct bhi_life *life, enum bh_event_type type, const char *text,
                     size_t length)
{
    struct bh_event event = {0};

    event.cookie = life->cookie;
    event.pid = bhp_worker_pid(life->worker);
    event.serial = type == BH_EVENT_DIED ? life->death.serial : 0;
    event.text = text;
    event.text_length = length;
    if (type == BH_EVENT_DIED || type == BH_EVENT_QUIT ||
        (type == BH_EVENT_SESSION_LOST && life->state == BH_WORKER_DEAD))
        event.death = &life->death;
    bhi_event_emit(life->pool, type, &event);
}

/* Takes and clears the bits to tell. */
static uint32_t take(bh_pool *pool, uint32_t *bits)
{
    bhp_mutex_lock(&pool->lock);
    uint32_t taken = *bits;
    *bits = 0;
    bhp_mutex_unlock(&pool->lock);
    return taken;
}

static const char *life_text(const struct bhi_life *life, enum bh_event_type type)
{
    if (type == BH_EVENT_RECYCLE)
        return life->leave_why;
    if (type == BH_EVENT_SESSION_LOST)
        return life->session_why;
    return type == BH_EVENT_READY ? bhp_worker_moniker(life->worker) : NULL;
}

/* In the order of a life. */
static void tell_life(struct bhi_life *life)
{
    static const enum bh_event_type order[] = {BH_EVENT_STARTED, BH_EVENT_READY,
                                               BH_EVENT_RECYCLE, BH_EVENT_QUIT,
                                               BH_EVENT_DIED,    BH_EVENT_SESSION_LOST};
    uint32_t bits = take(life->pool, &life->tell);

    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        const char *text = life_text(life, order[i]);
        if (bits >> order[i] & 1)
            emit_for(life, order[i], text, text ? strlen(text) : 0);
    }
}

static const char *pool_text(const bh_pool *pool, unsigned type)
{
    if (type == BH_EVENT_BREAKER)
        return pool->breaker_open ? "open" : "closed";
    if (type == BH_EVENT_LAUNCHER)
        return pool->launcher_lost ? "lost" : "back";
    return NULL;
}

static void tell_pool(bh_pool *pool)
{
    uint32_t bits = take(pool, &pool->tell);

    for (unsigned type = 0; bits >> type; type++) {
        struct bh_event event = {0};
        event.text = pool_text(pool, type);
        event.text_length = event.text ? strlen(event.text) : 0;
        if (bits >> type & 1)
            bhi_event_emit(pool, (enum bh_event_type)type, &event);
    }
}

static void tell_all(bh_pool *pool)
{
    for (struct bhi_life *life = pool->lives; life; life = life->next)
        tell_life(life);
    tell_pool(pool);
}

/* ---- output ---- */

/* Reads what there is, at most `reads` pieces. Each piece is marked with the
 * requests that could have written it: from the one that was under way, or had just been, when the
 * pipe was last seen empty, to the latest one given out when the piece had been read. So a piece is
 * one request's alone if the pipe was empty after that one had begun. */
static void read_output(struct bhi_life *life, unsigned reads)
{
    bh_pool *pool = life->pool;
    char piece[READ_CHUNK];

    for (unsigned i = 0; i < reads; i++) {
        bhp_mutex_lock(&pool->lock);
        uint64_t before = life->serial;
        bhp_mutex_unlock(&pool->lock);

        struct bhp_box box, after;
        bhp_worker_box(life->worker, &box);
        size_t length = bhp_worker_output(life->worker, piece, sizeof(piece));
        bhp_worker_box(life->worker, &after);

        bhp_mutex_lock(&pool->lock);
        if (length == 0 && bhi_slots_knows(life, box.started))
            life->first_writer = box.started;
        else if (length == 0 && life->serial == before && !life->ticket)
            life->pipe_clean = true;
        uint64_t first = life->first_writer;
        uint64_t last = bhi_slots_knows(life, after.started) ? after.started : life->serial;
        bhp_mutex_unlock(&pool->lock);
        if (length == 0)
            return;
        bhi_output_append(&life->output, piece, length, first, last);
        if (bhi_event_wanted(pool, BH_EVENT_OUTPUT))
            emit_for(life, BH_EVENT_OUTPUT, piece, length);
    }
}

/* ---- the end of a worker ---- */

static void know(const struct bhi_life *life, struct bhi_known *known, int64_t now)
{
    memset(known, 0, sizeof(*known));
    known->cookie = life->cookie;
    known->was_ready = life->was_ready;
    known->serial = life->ticket && !life->ticket->unsent ? life->ticket->serial : 0;
    known->begun = life->begun;
    known->served = life->served;
    known->uptime_ms = (uint64_t)((now - life->started_at) / BHI_MS);
    known->peak_rss_bytes = life->peak_rss;
    known->killed = life->killed;
    known->kill_cause = life->kill_cause;
    known->kill_detail = life->kill_detail;
    known->limit_bytes = life->pool->options.memory_limit_bytes;
}

/* A start-up failed by itself: not because we asked the worker to leave, not with the launcher. */
static bool failed_start(const struct bhi_life *life)
{
    return !life->was_ready && !life->leave && !life->pool->closing &&
           life->death.cause != BH_CAUSE_LAUNCHER_LOST;
}

static void remember_failure(bh_pool *pool, const struct bh_death *death, bool permanent,
                             int64_t now)
{
    bh_death_deinit(&pool->last_failure);
    if (bh_death_copy(&pool->last_failure, death))
        pool->last_failure.cause = death->cause;
    bhi_policy_start_failed(pool, permanent, now);
    bhi_pool_news(pool);
}

static void count_end(struct bhi_life *life)
{
    bh_pool *pool = life->pool;

    if (life->death.cause == BH_CAUSE_QUIT) {
        pool->quits++;
        life->tell |= UINT32_C(1) << BH_EVENT_QUIT;
        return;
    }
    pool->deaths[life->death.phase][life->death.cause]++;
    life->tell |= UINT32_C(1) << BH_EVENT_DIED;
}

static void on_exited(struct bhi_life *life, int64_t now)
{
    bh_pool *pool = life->pool;
    struct bhp_obituary obituary;
    struct bhi_known known;

    read_output(life, READS_AT_END);
    memset(&obituary, 0, sizeof(obituary));
    bhp_worker_obituary(life->worker, &obituary);
    bhp_mutex_lock(&pool->lock);
    know(life, &known, now);
    bhi_slots_blame(life, &obituary, &known);
    bhi_death_write(&life->death, &known, &obituary);
    bhi_output_store(&life->output, &life->death);
    life->box = obituary.box;
    count_end(life);
    if (failed_start(life))
        remember_failure(pool, &life->death, obituary.permanent, now);
    if (life->session)
        bhi_session_died(life);
    bhi_life_feed(life, BHI_LIFE_EXITED, now);
    bhi_loan_part(life);
    bhp_mutex_unlock(&pool->lock);
}

/* ---- events ---- */

/* Without memory the list stays as it is; see check_methods(). */
static void learn_methods(struct bhi_life *life)
{
    bh_pool *pool = life->pool;
    bh_value methods;

    if (bh_value_copy(&methods, bhp_worker_methods(life->worker)))
        return;
    bhp_mutex_lock(&pool->lock);
    bh_value_deinit(&pool->methods);
    pool->methods = methods;
    bhp_mutex_unlock(&pool->lock);
}

static void on_ready(struct bhi_life *life, int64_t now)
{
    bh_pool *pool = life->pool;

    read_output(life, READS_PER_EVENT);
    learn_methods(life);
    bhp_mutex_lock(&pool->lock);
    if (pool->launcher_lost)
        pool->tell |= UINT32_C(1) << BH_EVENT_LAUNCHER;
    pool->launcher_lost = false;
    bhi_life_feed(life, BHI_LIFE_READY, now);
    bhi_queue_offer(life);
    bhi_pool_news(pool);
    bhp_mutex_unlock(&pool->lock);
}

static void on_started(struct bhi_life *life, int64_t now)
{
    bh_pool *pool = life->pool;

    bhp_mutex_lock(&pool->lock);
    pool->template_starts += bhp_worker_forked(life->worker);
    bhi_life_feed(life, BHI_LIFE_STARTED, now);
    bhp_mutex_unlock(&pool->lock);
}

/* Nothing of it concerns the policy: workers start without a template as well. */
static void on_template(bh_pool *pool)
{
    struct bhp_template_news news;

    while (bhp_nursery_template(pool->nursery, &news)) {
        struct bh_event event = {.pid = news.pid};
        event.text = news.ready ? NULL : news.text;
        event.text_length = news.ready ? 0 : strlen(news.text);
        bhi_event_emit(pool, BH_EVENT_TEMPLATE, &event);
    }
}

static void on_event(bh_pool *pool, const struct bhp_event *event, int64_t now)
{
    struct bhi_life *life = event->owner;

    switch (event->type) {
    case BHP_EVENT_STARTED:
        on_started(life, now);
        break;
    case BHP_EVENT_READY:
        on_ready(life, now);
        break;
    case BHP_EVENT_OUTPUT:
        read_output(life, READS_PER_EVENT);
        break;
    case BHP_EVENT_EXITED:
        on_exited(life, now);
        break;
    case BHP_EVENT_LOST:
        bhp_mutex_lock(&pool->lock);
        pool->launcher_lost = true;
        pool->launcher_lost_at = now;
        pool->tell |= UINT32_C(1) << BH_EVENT_LAUNCHER;
        bhp_mutex_unlock(&pool->lock);
        tell_pool(pool);
        break;
    case BHP_EVENT_TEMPLATE:
        on_template(pool);
        break;
    }
}

/* ---- memory ---- */

static bool works(const struct bhi_life *life)
{
    return life->state == BH_WORKER_STARTING || life->state == BH_WORKER_BUSY ||
           life->state == BH_WORKER_STOPPING;
}

static bool is_sampled(const struct bhi_life *life)
{
    const struct bh_pool_options *options = &life->pool->options;
    bool limited = options->memory_limit_bytes || options->recycle_rss_bytes;

    bhp_mutex_lock(&life->pool->lock);
    bool rests = life->state == BH_WORKER_IDLE || life->state == BH_WORKER_LEASED;
    bool sampled = works(life) || (limited && rests);
    bhp_mutex_unlock(&life->pool->lock);
    return sampled;
}

static void sample_life(struct bhi_life *life)
{
    bh_pool *pool = life->pool;
    uint64_t limit = pool->options.memory_limit_bytes;
    uint64_t rss = is_sampled(life) ? bhp_worker_rss(life->worker) : 0;

    if (rss == 0)
        return;
    bhp_mutex_lock(&pool->lock);
    life->rss = rss;
    if (rss > life->peak_rss)
        life->peak_rss = rss;
    if (limit && rss > limit)
        bhi_life_condemn(life, BH_CAUSE_MEMORY_LIMIT, "");
    bhp_mutex_unlock(&pool->lock);
}

static void sample_memory(bh_pool *pool, int64_t now)
{
    if (now < pool->sample_at)
        return;
    for (struct bhi_life *life = pool->lives; life; life = life->next)
        sample_life(life);
    bhp_mutex_lock(&pool->lock);
    pool->sample_at = now + bhi_policy_sample_pause(pool);
    bhp_mutex_unlock(&pool->lock);
}

/* ---- timers, with the lock held ---- */

/* A handler is silent too long when its box shows no new sign of life since the last look that did.
 */
static void check_progress(struct bhi_life *life, int64_t now)
{
    struct bhi_ticket *ticket = life->ticket;
    struct bhp_box box;

    if (!ticket->no_progress || now < life->progress_at + ticket->no_progress)
        return;
    if (life->calls_back) { /* it is not its silence */
        life->progress_at = now;
        return;
    }
    bhp_worker_box(life->worker, &box);
    if (box.progress == life->progress) {
        bhi_queue_claim(ticket, BHI_CLAIM_NO_PROGRESS);
        return;
    }
    life->progress = box.progress;
    life->progress_at = now;
}

/* Nobody uses its lane, and nobody has borrowed what it keeps. */
static bool rests(const struct bhi_life *life)
{
    return life->state == BH_WORKER_IDLE || (life->state == BH_WORKER_LEASED && !life->loan);
}

/* Gives back what was trimmed. Without the lock: it takes its time. */
static void free_trimmed(bh_pool *pool)
{
    for (struct bhi_life *life = pool->lives; life; life = life->next)
        for (unsigned i = 0; i < BHP_TRIMMED; i++) {
            bhp_memory_free(life->trimmed[i]);
            life->trimmed[i] = NULL;
        }
}

static void check_life(struct bhi_life *life, int64_t now)
{
    bh_pool *pool = life->pool;

    int64_t spared = life->timer <= now ? bhi_slots_spare(life, now) : 0;
    if (spared)
        life->timer = spared;
    else if (life->timer <= now)
        bhi_life_feed(life, BHI_LIFE_TIMEOUT, now);
    if (life->state == BH_WORKER_BUSY && life->ticket->deadline <= now)
        bhi_queue_claim(life->ticket, BHI_CLAIM_DEADLINE);
    if (life->state == BH_WORKER_BUSY)
        check_progress(life, now);
    if (life->state == BH_WORKER_LEASED && life->session && life->session->until <= now)
        bhi_session_expire(life, "its lease was over", now);
    if (life->trim_at <= now && rests(life)) {
        bhp_lane_trim(life->worker, life->session ? life->session->buffer : NULL, life->trimmed);
        life->trim_at = BHP_FOREVER;
    }
    if (life->state == BH_WORKER_IDLE) {
        const char *why = bhi_policy_leave(pool, life, now);
        if (why)
            bhi_life_leave(life, why);
    }
}

/* Somebody asks for the methods, and there was no memory when a worker announced them. */
static void check_methods(bh_pool *pool)
{
    bhp_mutex_lock(&pool->lock);
    struct bhi_life *life = pool->wishes && pool->methods.type == BH_NULL ? pool->lives : NULL;
    bhp_mutex_unlock(&pool->lock);
    while (life && !life->was_ready)
        life = life->next;
    if (!life)
        return;
    learn_methods(life);
    bhp_mutex_lock(&pool->lock);
    bhi_pool_news(pool);
    bhp_mutex_unlock(&pool->lock);
}

/* All leave, also those that were on their way when the pool began to close; at the end of the
 * drain's time the requests that still run are taken away. */
static void check_drain(bh_pool *pool, int64_t now)
{
    if (!pool->closing)
        return;
    for (struct bhi_life *life = pool->lives; life; life = life->next)
        if (life->state <= BH_WORKER_STOPPING)
            bhi_life_leave(life, "closing");
    for (struct bhi_life *life = pool->lives; life; life = life->next)
        bhi_loan_part(life);
    if (now < pool->drain_at)
        return;
    for (struct bhi_life *life = pool->lives; life; life = life->next)
        if (life->state == BH_WORKER_BUSY && !pool->drained)
            bhi_queue_claim(life->ticket, BHI_CLAIM_DRAIN);
        else if (life->state == BH_WORKER_LEASED && life->session)
            bhi_session_expire(life, "the pool closed", now);
    pool->drained = true;
}

/* Old workers leave one for each new one that is ready; idle ones first. */
static void check_replacement(bh_pool *pool)
{
    uint32_t fresh = 0, old = 0;

    if (!pool->replacing)
        return;
    for (struct bhi_life *life = pool->lives; life; life = life->next) {
        if (life->state > BH_WORKER_STOPPING)
            continue;
        if (life->generation != pool->generation)
            old += !life->leave_why;
        else
            fresh += life->state != BH_WORKER_STARTING;
    }
    uint32_t may_stay = pool->replace_total > fresh ? pool->replace_total - fresh : 0;
    for (int pass = 0; pass < 2; pass++)
        for (struct bhi_life *life = pool->lives; life && old > may_stay; life = life->next) {
            bool idle = life->state == BH_WORKER_IDLE || life->state == BH_WORKER_STARTING;
            if (life->generation == pool->generation || life->leave_why ||
                life->state > BH_WORKER_STOPPING || (pass == 0 && !idle))
                continue;
            bhi_life_leave(life, "replaced");
            old--;
        }
    for (struct bhi_life *life = pool->lives; life; life = life->next)
        if (life->generation != pool->generation && life->state != BH_WORKER_DEAD)
            return;
    pool->replacing = false;
    pool->tell |= UINT32_C(1) << BH_EVENT_REPLACED;
}

static int64_t life_due(const struct bhi_life *life, int64_t now)
{
    int64_t due = life->timer;

    if (life->state == BH_WORKER_BUSY) {
        const struct bhi_ticket *ticket = life->ticket;
        if (ticket->deadline < due)
            due = ticket->deadline;
        if (ticket->no_progress && life->progress_at + ticket->no_progress < due)
            due = life->progress_at + ticket->no_progress;
    }
    if (life->state == BH_WORKER_LEASED && life->session && life->session->until < due)
        due = life->session->until;
    if (life->trim_at < due && rests(life))
        due = life->trim_at;
    if (life->state == BH_WORKER_IDLE) {
        int64_t leave_at = bhi_policy_leave_at(life->pool, life, now);
        if (leave_at < due)
            due = leave_at;
    }
    return due;
}

/* When to look again without being kicked. */
static int64_t next_look(const bh_pool *pool, int64_t now)
{
    uint32_t rest = pool->count[BH_WORKER_IDLE] + pool->count[BH_WORKER_LEASED];
    bool sample = pool->options.memory_limit_bytes && rest;
    int64_t due = bhi_due_next(pool);

    for (const struct bhi_life *life = pool->lives; life; life = life->next) {
        int64_t at = life_due(life, now);
        sample |= works(life);
        if (at < due)
            due = at;
    }
    if (sample && pool->sample_at < due)
        due = pool->sample_at;
    if (pool->closing && !pool->drained && pool->drain_at < due)
        due = pool->drain_at;
    if (!pool->closing && pool->start_not_before > now && pool->start_not_before < due)
        due = pool->start_not_before;
    return due;
}

/* ---- starting and burying ---- */

/* The platform could not even try: the same as a start-up that failed, with what it said. */
static void note_refused_start(bh_pool *pool, const struct bh_problem *problem, int64_t now)
{
    struct bh_death death = {0};

    death.cause = BH_CAUSE_NOT_STARTED;
    death.phase = BH_PHASE_START_UP;
    death.exit_code = -1;
    death.syscall = -1;
    death.os_error = problem->os_error;
    snprintf(death.detail, sizeof(death.detail), "%.*s", (int)sizeof(death.detail) - 1,
             problem->text);
    bhp_mutex_lock(&pool->lock);
    remember_failure(pool, &death, false, now);
    bhp_mutex_unlock(&pool->lock);
}

/* The launcher was lost and is not back yet: that says nothing about the worker, unless it lasts.
 */
static bool wait_for_launcher(bh_pool *pool, int64_t now)
{
    if (now - pool->launcher_lost_at >= (int64_t)pool->options.start_timeout_ms * BHI_MS)
        return false;
    bhp_mutex_lock(&pool->lock);
    pool->start_not_before = now + RETRY_PAUSE;
    bhp_mutex_unlock(&pool->lock);
    return true;
}

static void start_workers(bh_pool *pool, int64_t now)
{
    bhp_mutex_lock(&pool->lock);
    uint32_t left = bhi_policy_starts(pool, now);
    bhp_mutex_unlock(&pool->lock);
    for (; left > 0; left--) {
        struct bh_problem problem = {0};
        int result = bhi_life_start(pool, now, &problem);
        if (result && !(result == BH_E_STATE && wait_for_launcher(pool, now)))
            note_refused_start(pool, &problem, now);
        if (result)
            break;
    }
    bhp_mutex_lock(&pool->lock);
    if (pool->breaker_open && !bhi_policy_serving(pool))
        bhi_queue_refuse_all(pool, pool->breaker_refusal);
    bhp_mutex_unlock(&pool->lock);
}

/* Takes the dead that nobody holds out of the pool. With the lock held. @return them, linked by
 * `next` */
static struct bhi_life *take_dead(bh_pool *pool)
{
    struct bhi_life *dead = NULL;

    for (struct bhi_life *life = pool->lives, *next; life; life = next) {
        next = life->next;
        if (life->state != BH_WORKER_DEAD || life->ticket || life->slots || life->tell ||
            life->loan)
            continue;
        bhi_life_unlink(life);
        life->next = dead;
        dead = life;
    }
    return dead;
}

/* Without the lock: closing what a worker sent may take its time. */
static void bury(struct bhi_life *dead)
{
    while (dead) {
        struct bhi_life *next = dead->next;
        bhi_life_free(dead);
        dead = next;
    }
}

/* ---- the turn ---- */

bool bhi_supervise_turn(bh_pool *pool, const struct bhp_event *events, size_t count)
{
    int64_t now = bhp_now();

    bhp_mutex_lock(&pool->lock);
    pool->turning = true;
    pool->wake_at = BHP_FOREVER;
    bhp_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < count; i++)
        on_event(pool, &events[i], now);
    tell_all(pool); /* what happened comes before what follows from it */
    sample_memory(pool, now);
    check_methods(pool);

    bhp_mutex_lock(&pool->lock);
    for (struct bhi_life *life = pool->lives; life; life = life->next)
        check_life(life, now);
    bhi_due_check(pool, now);
    check_drain(pool, now);
    check_replacement(pool);
    bhp_mutex_unlock(&pool->lock);
    free_trimmed(pool);

    start_workers(pool, now);
    tell_all(pool);

    bhp_mutex_lock(&pool->lock);
    struct bhi_life *dead = take_dead(pool);
    int64_t due = next_look(pool, now);
    if (due < pool->wake_at)
        pool->wake_at = due;
    pool->turning = false;
    bool more = !pool->closing || pool->lives;
    bhp_mutex_unlock(&pool->lock);
    bury(dead);
    return more;
}

void bhi_supervise(void *context)
{
    bh_pool *pool = context;
    struct bhp_event events[64];
    size_t count = 0;

    while (bhi_supervise_turn(pool, events, count)) {
        bhp_mutex_lock(&pool->lock);
        int64_t until = pool->wake_at;
        bhp_mutex_unlock(&pool->lock);
        count = bhp_loop_wait(pool->nursery, until, events, sizeof(events) / sizeof(events[0]));
    }
}
