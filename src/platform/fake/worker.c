/* SPDX-License-Identifier: MIT */
/*
 * The fake's workers: processes that exist only as times at which something happens to them.
 *
 * Model: a worker has a stage and, per kind of happening, the time at which it is due. The clock
 * lets things happen in the order of their times; each may set the time of others. Asked to die, it
 * dies `kill_ms` later, unless its own end comes first: then the evidence is that of its own end.
 *
 * Invariants: nothing happens to a worker that is gone; its box does not change any more, its pipe
 * keeps what was written.
 */
#include "internal.h"

#include "core/alloc.h"
#include "core/problem.h"

#include <string.h>

static void owe(struct bhp_worker *worker, enum bhp_event_type type)
{
    worker->owed |= UINT32_C(1) << type;
    worker->nursery->stir = true;
}

/* ---- what happens ---- */

/** See internal.h. */
int64_t bhf_worker_next(const struct bhp_worker *worker)
{
    int64_t next = BHP_FOREVER;

    for (unsigned i = 0; i < BHF_AT_COUNT; i++)
        if (worker->due[i] < next)
            next = worker->due[i];
    return next;
}

/** See internal.h. */
void bhf_worker_write(struct bhp_worker *worker, const char *text, size_t length)
{
    if (length == 0)
        length = strlen(text);
    bhf_insist(worker->pieces < BHF_PIECES, "a test's worker does not write that much");
    worker->pipe[worker->pieces++] = (struct bhf_output){0, text, length};
    worker->nursery->stir = true;
}

static void plan_output(struct bhp_worker *worker)
{
    size_t i = worker->next_output;

    worker->due[BHF_AT_OUTPUT] = i < worker->plan.output_count
                                     ? bhf_after(worker->born, worker->plan.output[i].at_ms)
                                     : BHP_FOREVER;
}

/** See internal.h. */
void bhf_worker_end(struct bhp_worker *worker, const struct bhp_obituary *end)
{
    struct bhp_box box = worker->box;

    box.exiting = end->box.exiting;
    box.quitting = end->box.quitting;
    box.fault = end->box.fault;
    worker->end = *end;
    worker->end.box = worker->box = box;
    worker->end.pid = worker->pid;
    worker->stage = BHF_GONE;
    for (unsigned i = 0; i < BHF_AT_COUNT; i++)
        worker->due[i] = BHP_FOREVER;
    owe(worker, BHP_EVENT_EXITED);
}

/** See internal.h. */
void bhf_worker_obey(struct bhp_worker *worker)
{
    int64_t due = bhf_after(bhf_world.now, worker->plan.quit_ms);

    if (!worker->quit || worker->lane || worker->stage != BHF_READY ||
        due >= worker->due[BHF_AT_EXIT])
        return;
    worker->due[BHF_AT_EXIT] = due;
    worker->end = bhf_end_exit(0, true);
    worker->end.box.quitting = true;
}

static void start(struct bhp_worker *worker)
{
    worker->stage = BHF_RUNNING;
    worker->pid = ++bhf_world.last_pid;
    owe(worker, BHP_EVENT_STARTED);
}

static void make_ready(struct bhp_worker *worker)
{
    if (worker->stage == BHF_ASKED)
        start(worker);
    worker->stage = BHF_READY;
    owe(worker, BHP_EVENT_READY);
    bhf_worker_obey(worker);
}

/** See internal.h. */
void bhf_worker_happen(struct bhp_worker *worker)
{
    int64_t next = bhf_worker_next(worker);
    unsigned what = 0;

    while (worker->due[what] != next)
        what++;
    worker->due[what] = BHP_FOREVER;
    switch ((enum bhf_happening)what) {
    case BHF_AT_STARTED:
        start(worker);
        break;
    case BHF_AT_READY:
        make_ready(worker);
        break;
    case BHF_AT_OUTPUT:
        bhf_worker_write(worker, worker->plan.output[worker->next_output].text,
                         worker->plan.output[worker->next_output].length);
        worker->next_output++;
        plan_output(worker);
        break;
    case BHF_AT_BEGIN:
        bhf_lane_begin(worker);
        break;
    case BHF_AT_PROGRESS:
        bhf_lane_progress(worker);
        break;
    case BHF_AT_END:
        bhf_lane_end(worker);
        break;
    case BHF_AT_EXIT:
        bhf_worker_end(worker, &worker->end);
        break;
    case BHF_AT_COUNT:
        break;
    }
}

/* ---- a worker's life ---- */

static int copy_methods(struct bhp_worker *worker)
{
    worker->methods = bh_value_array();
    for (const char *const *name = worker->plan.methods; *name; name++) {
        bh_value map = bh_value_map();
        bh_value text = bh_value_view(*name);
        int result = bh_map_set(&map, "name", &text);
        if (!result)
            result = bh_array_push(&worker->methods, &map);
        bh_value_deinit(&map);
        if (result) {
            bh_value_deinit(&worker->methods);
            return result;
        }
    }
    return BH_OK;
}

/* The plan of a healthy worker, changed by the driver. */
static struct bhf_start plan_start(uint64_t cookie)
{
    static const char *const methods[] = {"echo", "crash", NULL};
    const struct bhf_driver *driver = &bhf_world.driver;
    struct bhf_start plan = {.started_ms = 1,
                             .ready_ms = 5,
                             .exit_ms = BHF_NEVER,
                             .kill_ms = 1,
                             .quit_ms = 1,
                             .methods = methods,
                             .problem = "the launcher does not answer",
                             .rss_bytes = 1 << 20};

    plan.end = bhf_end_exit(1, true);
    bhf_world.starts++;
    if (driver->plan_start)
        driver->plan_start(driver->context, bhf_world.starts, cookie, &plan);
    return plan;
}

static void set_times(struct bhp_worker *worker)
{
    bool stillborn = worker->plan.end.end == BHP_END_NOT_STARTED;

    for (unsigned i = 0; i < BHF_AT_COUNT; i++)
        worker->due[i] = BHP_FOREVER;
    worker->end = worker->plan.end;
    worker->due[BHF_AT_EXIT] = bhf_after(worker->born, worker->plan.exit_ms);
    if (stillborn)
        return;
    worker->due[BHF_AT_STARTED] = bhf_after(worker->born, worker->plan.started_ms);
    worker->due[BHF_AT_READY] = bhf_after(worker->born, worker->plan.ready_ms);
    plan_output(worker);
}

/** See platform.h. */
int bhp_worker_start(bhp_nursery *nursery, uint64_t cookie, void *owner, bhp_worker **out,
                     struct bh_problem *problem)
{
    struct bhp_worker **link = &nursery->workers;
    struct bhf_start plan = plan_start(cookie);
    struct bhp_worker *worker;

    bhf_insist(bhf_world.locks_held == 0, "no worker is started with a lock held");
    *out = NULL;
    if (plan.refused)
        return bhi_problem_set(problem, plan.refused, 11, "%s", plan.problem);
    worker = bhi_alloc(sizeof(*worker));
    if (!worker)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a worker");
    memset(worker, 0, sizeof(*worker));
    worker->plan = plan;
    if (copy_methods(worker)) {
        bhi_free(worker);
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a worker");
    }
    worker->nursery = nursery;
    worker->cookie = cookie;
    worker->owner = owner;
    worker->born = bhf_world.now;
    worker->box.fault.syscall = -1;
    set_times(worker);
    while (*link)
        link = &(*link)->next;
    *link = worker;
    *out = worker;
    return BH_OK;
}

/** See platform.h. */
void bhp_worker_kill(bhp_worker *worker)
{
    int64_t due = bhf_after(bhf_world.now, worker->plan.kill_ms);

    if (worker->killed || worker->stage >= BHF_GONE)
        return;
    worker->killed = true;
    if (due >= worker->due[BHF_AT_EXIT])
        return;
    worker->due[BHF_AT_EXIT] = due;
    worker->end = bhf_end_signal(9);
}

/** See platform.h. */
void bhp_worker_quit(bhp_worker *worker)
{
    worker->quit = true;
    bhf_worker_obey(worker);
}

/** See platform.h. */
void bhp_worker_nudge(bhp_worker *worker, uint64_t serial)
{
    worker->nudged = serial;
    bhf_lane_nudge(worker);
}

/** See platform.h. */
int64_t bhp_worker_pid(const bhp_worker *worker)
{
    return worker->pid;
}

/** See platform.h. */
const bh_value *bhp_worker_methods(const bhp_worker *worker)
{
    bhf_insist(worker->stage >= BHF_READY, "methods are known once it is ready");
    return &worker->methods;
}

/** See platform.h. */
bool bhp_worker_forked(const bhp_worker *worker)
{
    return worker->plan.forked;
}

/** See platform.h. Nobody else can find it. */
const char *bhp_worker_moniker(const bhp_worker *worker)
{
    (void)worker;
    return NULL;
}

/* A grandchild's writing, without end. */
static size_t write_endlessly(char *buffer, size_t size)
{
    memset(buffer, 'y', size);
    return size;
}

/** See platform.h. */
size_t bhp_worker_output(bhp_worker *worker, char *buffer, size_t size)
{
    struct bhf_output *piece = &worker->pipe[0];
    size_t length;

    bhf_insist(bhf_world.locks_held == 0, "no output is read with a lock held");
    if (worker->pieces == 0)
        return worker->plan.endless_output && worker->stage >= BHF_GONE
                   ? write_endlessly(buffer, size)
                   : 0;
    length = piece->length < size ? piece->length : size;
    memcpy(buffer, piece->text, length);
    piece->text += length;
    piece->length -= length;
    if (piece->length == 0)
        memmove(piece, piece + 1, --worker->pieces * sizeof(*piece));
    return length;
}

/** See platform.h. */
uint64_t bhp_worker_rss(bhp_worker *worker)
{
    uint64_t rss = worker->plan.rss_bytes + worker->served * worker->plan.rss_per_request;

    if (worker->stage == BHF_ASKED || worker->stage >= BHF_GONE)
        return 0;
    if (worker->lane && worker->box.started == worker->lane->call->serial)
        rss += worker->lane->plan.rss_bytes;
    return rss;
}

/** See platform.h. */
void bhp_worker_box(const bhp_worker *worker, struct bhp_box *box)
{
    *box = worker->box;
}

/** See platform.h. */
void bhp_worker_obituary(bhp_worker *worker, struct bhp_obituary *obituary)
{
    bhf_insist(worker->stage == BHF_REAPED, "there is an obituary after EXITED");
    *obituary = worker->end;
}

/** See platform.h. */
void bhp_worker_free(bhp_worker *worker)
{
    struct bhp_worker **link;

    if (!worker)
        return;
    bhf_insist(worker->stage == BHF_REAPED, "a worker is freed after EXITED");
    bhf_insist(!worker->lane, "a worker is freed when nobody is in its lane");
    link = &worker->nursery->workers;
    while (*link != worker)
        link = &(*link)->next;
    *link = worker->next;
    bhf_part(worker);
    bh_value_deinit(&worker->methods);
    bhi_free(worker);
}
