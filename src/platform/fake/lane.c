/* SPDX-License-Identifier: MIT */
/*
 * The fake's lanes: one request at a time, on the stack of who sent it.
 *
 * Model: sending sets the times at which the worker begins and ends the request; what it does then
 * is the plan's deed. The caller waits for the end of the request or for the stop word, whichever
 * comes first, and then looks whether the reply was complete: a reply that was committed before the
 * worker's end is found even if the end was noticed first.
 *
 * Invariants, insisted upon: a lane has one caller at a time, who holds no lock; each serial is
 * greater than the one before it on this worker; after EXITED a call ends as lost without waiting.
 */
#include "internal.h"

#include "core/alloc.h"

#include <string.h>

static void finish(struct bhp_worker *worker)
{
    struct bhf_lane *lane = worker->lane;

    worker->box.committed = lane->call->serial;
    lane->committed = true;
    worker->due[BHF_AT_PROGRESS] = BHP_FOREVER;
}

/** See internal.h. */
void bhf_lane_begin(struct bhp_worker *worker)
{
    struct bhf_lane *lane = worker->lane;

    if (bhf_slots_give_back(worker))
        return;
    worker->box.started = lane->call->serial;
    worker->box.progress++;
    worker->box.progress_done = 0;
    worker->box.progress_total = lane->plan.progress_total;
    worker->due[BHF_AT_PROGRESS] = bhf_after(bhf_world.now, lane->plan.progress_ms);
    if (lane->plan.callback && lane->plan.callbacks > 0) {
        lane->callbacks = lane->plan.callbacks;
        lane->waiter.woken = true;
    }
    if (lane->plan.partial) {
        worker->partial = lane->plan.partial;
        worker->partial_serial = lane->call->serial;
    }
    if (lane->plan.output)
        bhf_worker_write(worker, lane->plan.output, 0);
    if (bhf_world.driver.begun)
        bhf_world.driver.begun(bhf_world.driver.context, lane->call);
    bhf_lane_nudge(worker);
}

/** See internal.h. */
void bhf_lane_progress(struct bhp_worker *worker)
{
    worker->box.progress++;
    worker->box.progress_done++;
    worker->due[BHF_AT_PROGRESS] = bhf_after(bhf_world.now, worker->lane->plan.progress_ms);
}

/** See internal.h. */
void bhf_lane_end(struct bhp_worker *worker)
{
    struct bhf_lane *lane = worker->lane;

    switch (lane->plan.deed) {
    case BHF_DIE_COMMITTED:
        finish(worker);
        bhf_worker_end(worker, &lane->plan.end);
        break;
    case BHF_DIE:
    case BHF_DIE_UNSTARTED:
        bhf_worker_end(worker, &lane->plan.end);
        break;
    default:
        finish(worker);
        lane->waiter.woken = !lane->plan.silent;
        bhf_slots_go_on(worker);
        break;
    }
}

/** See internal.h. */
void bhf_lane_nudge(struct bhp_worker *worker)
{
    const struct bhf_lane *lane = worker->lane;

    if (!lane || lane->plan.deed != BHF_COOPERATE || worker->nudged != worker->box.started ||
        worker->nudged != lane->call->serial || worker->stage >= BHF_GONE)
        return;
    worker->due[BHF_AT_END] = bhf_after(bhf_world.now, lane->plan.nudged_ms);
}

/** See internal.h. */
struct bhf_request bhf_lane_plan(const struct bhp_worker *worker, const struct bhp_call *call)
{
    const struct bhf_driver *driver = &bhf_world.driver;
    struct bhf_request plan = {.deed = BHF_REPLY,
                               .end_ms = 1,
                               .progress_ms = BHF_NEVER,
                               .end = bhf_end_fault(0),
                               .text = "as planned"};

    if (driver->plan_request)
        driver->plan_request(driver->context, worker->cookie, call, &plan);
    return plan;
}

/* Text of the reply; without memory none, which the core must bear. */
static void set_text(struct bhp_reply *reply, const char *text)
{
    reply->text = bhi_alloc(strlen(text) + 1);
    if (reply->text)
        memcpy(reply->text, text, strlen(text) + 1);
}

/** See internal.h. */
enum bhp_lane_end bhf_lane_answer(struct bhp_worker *worker, const struct bhf_lane *lane,
                                  struct bhp_reply *reply)
{
    const struct bhp_call *call = lane->call;

    switch (lane->plan.deed) {
    case BHF_FAIL:
    case BHF_COOPERATE:
        reply->code = lane->plan.code;
        set_text(reply, lane->plan.text);
        return BHP_LANE_FAILED;
    case BHF_BROKEN:
        set_text(reply, lane->plan.text);
        return BHP_LANE_BROKEN;
    case BHF_UNREADABLE:
        set_text(reply, lane->plan.text);
        return BHP_LANE_UNREADABLE;
    default:
        if (call->borrow && lane->plan.lends)
            return bhf_lend(worker, reply) ? BHP_LANE_REPLIED : BHP_LANE_UNREADABLE;
        if (call->argument_count > 0 && bh_value_copy(&reply->value, &call->arguments[0]))
            return BHP_LANE_UNREADABLE;
        return BHP_LANE_REPLIED;
    }
}

/* What is never sent. @return whether it is such a deed */
static bool refuse(enum bhf_deed deed, struct bhp_reply *reply, enum bhp_lane_end *end)
{
    switch (deed) {
    case BHF_NO_METHOD:
        *end = BHP_LANE_NO_METHOD;
        return true;
    case BHF_TOO_LARGE:
        *end = BHP_LANE_TOO_LARGE;
        set_text(reply, "the arguments take more than max-request-mib");
        return true;
    case BHF_INVALID:
        *end = BHP_LANE_INVALID;
        set_text(reply, "argument 1 is a handle");
        return true;
    case BHF_MEMORY:
        *end = BHP_LANE_MEMORY;
        return true;
    default:
        return false;
    }
}

/** See internal.h. */
bool bhf_lane_refuses(enum bhf_deed deed)
{
    return deed >= BHF_NO_METHOD;
}

/** See internal.h. */
void bhf_lane_send(struct bhp_worker *worker, struct bhf_lane *lane)
{
    const struct bhf_request *plan = &lane->plan;
    bool ends = plan->deed != BHF_HANG && plan->deed != BHF_COOPERATE;

    if (worker->stage != BHF_READY)
        return;
    worker->due[BHF_AT_BEGIN] =
        plan->deed == BHF_DIE_UNSTARTED ? BHP_FOREVER : bhf_after(bhf_world.now, plan->begin_ms);
    worker->due[BHF_AT_END] = ends ? bhf_after(bhf_world.now, plan->end_ms) : BHP_FOREVER;
}

/* The worker calls back; it goes on with what it was asked, whatever comes of it. */
static void call_back(struct bhf_lane *lane)
{
    const struct bhp_call *call = lane->call;
    struct bhp_callback callback = {.name = lane->plan.callback,
                                    .arguments = call->arguments,
                                    .count = call->argument_count,
                                    .depth = 1,
                                    .lane = lane,
                                    .value = bh_value_null()};

    lane->callbacks--;
    if (!call->callback)
        return;
    call->callback(call->callback_context, &callback);
    bhf_insist(bhf_world.locks_held == 0, "a callback leaves no lock held");
    bh_value_deinit(&callback.value);
    bhi_free(callback.text);
}

/** See internal.h. As the contract says: for the reply or the stop word. */
void bhf_lane_await(struct bhf_lane *lane)
{
    bhf_waiter_link(&lane->waiter, lane->call->stop);
    for (;;) {
        while (!lane->waiter.woken && atomic_load(lane->call->stop) == 0)
            bhf_block(&lane->waiter.woken, BHP_FOREVER);
        if (lane->callbacks == 0 || lane->committed || atomic_load(lane->call->stop) != 0)
            break;
        lane->waiter.woken = lane->callbacks > 1;
        call_back(lane);
        lane->waiter.woken |= lane->committed;
    }
    bhf_waiter_unlink(&lane->waiter);
}

/** See platform.h. */
enum bhp_lane_end bhp_lane_nested(struct bhp_callback *callback, const char *method,
                                  const bh_value *arguments, size_t argument_count,
                                  struct bhp_reply *reply)
{
    const struct bhf_lane *lane = callback->lane;

    bhf_insist(bhf_world.locks_held == 0, "no lane is called with a lock held");
    if (atomic_load(lane->call->stop))
        return BHP_LANE_LOST;
    if (strcmp(method, lane->call->method) != 0)
        return BHP_LANE_NO_METHOD;
    if (argument_count > 0 && bh_value_copy(&reply->value, &arguments[0]))
        return BHP_LANE_UNREADABLE;
    return BHP_LANE_REPLIED;
}

/** See platform.h. */
enum bhp_lane_end bhp_lane_call(bhp_worker *worker, const struct bhp_call *call,
                                struct bhp_reply *reply)
{
    struct bhf_lane lane = {.call = call, .plan = bhf_lane_plan(worker, call)};
    enum bhp_lane_end end;

    bhf_insist(!bhf_world.child, "a forked child sends nothing");
    bhf_insist(bhf_world.locks_held == 0, "no lane is called with a lock held");
    bhf_insist(!worker->lane, "a lane has one caller at a time");
    bhf_insist(!worker->lent, "a borrowed reply keeps its worker");
    bhf_insist(call->serial > worker->latest, "serials on a lane ascend");
    bhf_insist(worker->stage >= BHF_READY, "only a ready worker is given a request");
    worker->latest = call->serial;
    if (atomic_load(call->stop))
        return BHP_LANE_LOST;
    if (refuse(lane.plan.deed, reply, &end))
        return end;
    worker->lane = &lane;
    bhf_lane_send(worker, &lane);
    bhf_lane_await(&lane);
    worker->lane = NULL;
    worker->due[BHF_AT_BEGIN] = worker->due[BHF_AT_PROGRESS] = worker->due[BHF_AT_END] =
        BHP_FOREVER;
    worker->served += lane.committed;
    bhf_worker_obey(worker);
    worker->keeps |= lane.plan.large;
    reply->large = lane.plan.large;
    reply->kept = worker->keeps;
    return lane.committed ? bhf_lane_answer(worker, &lane, reply) : BHP_LANE_LOST;
}

/** See platform.h. */
bool bhp_worker_partial(bhp_worker *worker, uint64_t serial, bh_value *value)
{
    bhf_insist(!bhf_world.child, "a forked child asks for nothing");
    bhf_insist(bhf_world.locks_held == 0, "no lane is called with a lock held");
    bhf_insist(!worker->lane || worker->lane->call->serial != serial,
               "a partial reply is read after the call");
    return worker->partial && worker->partial_serial == serial &&
           bh_value_new_string(value, worker->partial, strlen(worker->partial)) == BH_OK;
}
