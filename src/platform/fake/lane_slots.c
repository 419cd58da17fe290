/* SPDX-License-Identifier: MIT */
/*
 * The fake's slots: small requests that wait in a worker.
 *
 * Model: a ring of requests, each with its plan. The worker turns to the next one when it is done
 * with the one before, at that very time; the plan says when it begins. One that is taken back
 * before the worker turned to it is passed over; one that is taken back between that and its
 * beginning is the race that both sides see: too late for the core, and given back.
 *
 * Invariants, insisted upon: serials ascend; slots and single requests are not mixed; the core asks
 * for the end of each request once, in order, but for those that were taken back in time.
 */
#include "internal.h"

#include <string.h>

/** See platform.h. */
uint32_t bhp_lane_slots(void)
{
    return bhf_world.slots;
}

static struct bhf_slot *slot_at(struct bhp_worker *worker, uint64_t number)
{
    return &worker->slots.slot[number % bhf_world.slots];
}

/* The slot that the worker is at, or NULL. */
static struct bhf_slot *slot_at_hand(struct bhp_worker *worker)
{
    struct bhf_slot *slot = slot_at(worker, worker->slots.next);

    return worker->lane && worker->lane == &slot->lane ? slot : NULL;
}

/* Turns to the next slot, if there is one and nothing is at hand. */
static void turn(struct bhp_worker *worker)
{
    struct bhf_slots *slots = &worker->slots;

    while (slots->next < slots->put && !worker->lane && worker->stage == BHF_READY) {
        struct bhf_slot *slot = slot_at(worker, slots->next);
        if (slot->revoked) {
            worker->box.started = worker->box.committed = slot->call.serial;
            slots->next++;
        } else {
            worker->lane = &slot->lane;
            bhf_lane_send(worker, &slot->lane);
        }
    }
}

/* Done with the slot at hand. */
static void leave_slot(struct bhp_worker *worker)
{
    worker->lane = NULL;
    worker->slots.next++;
    worker->due[BHF_AT_BEGIN] = worker->due[BHF_AT_PROGRESS] = worker->due[BHF_AT_END] =
        BHP_FOREVER;
    turn(worker);
    bhf_worker_obey(worker);
}

/** See internal.h. */
bool bhf_slots_give_back(struct bhp_worker *worker)
{
    struct bhf_slot *slot = slot_at_hand(worker);

    if (!slot || !slot->revoked)
        return false;
    slot->given_back = slot->lane.committed = slot->lane.waiter.woken = true;
    worker->box.started = worker->box.committed = slot->call.serial;
    leave_slot(worker);
    return true;
}

/** See internal.h. */
void bhf_slots_go_on(struct bhp_worker *worker)
{
    if (!slot_at_hand(worker))
        return;
    worker->served++;
    leave_slot(worker);
}

/** See internal.h. */
void bhf_slots_forget(struct bhp_worker *worker)
{
    if (worker->stage >= BHF_GONE && slot_at_hand(worker))
        worker->lane = NULL;
}

/** See platform.h. */
enum bhp_put bhp_lane_put(bhp_worker *worker, const struct bhp_call *call)
{
    struct bhf_slots *slots = &worker->slots;
    struct bhf_request plan = bhf_lane_plan(worker, call);

    bhf_insist(!bhf_world.child, "a forked child puts nothing");
    bhf_insist(bhf_world.slots > 1, "nothing is put where there are no slots");
    bhf_insist(!worker->lane || slot_at_hand(worker), "nothing is put beside a single request");
    bhf_insist(call->serial > worker->latest, "serials on a lane ascend");
    bhf_insist(worker->stage >= BHF_READY, "only a ready worker is given a request");
    if (bhf_lane_refuses(plan.deed))
        return BHP_PUT_UNFIT;
    while (slots->taken < slots->put && slot_at(worker, slots->taken)->gone)
        slots->taken++;
    if (slots->put - slots->taken >= bhf_world.slots || slots->put - slots->next >= bhf_world.slots)
        return BHP_PUT_FULL;
    struct bhf_slot *slot = slot_at(worker, slots->put++);
    *slot = (struct bhf_slot){.call = *call, .lane = {.plan = plan}};
    slot->lane.call = &slot->call;
    worker->latest = call->serial;
    turn(worker);
    return BHP_PUT_DONE;
}

static uint64_t number_of(struct bhp_worker *worker, uint64_t serial)
{
    const struct bhf_slots *slots = &worker->slots;
    uint64_t number = slots->taken;

    while (number < slots->put && slot_at(worker, number)->call.serial != serial)
        number++;
    bhf_insist(number < slots->put, "only what is in a slot is asked for");
    return number;
}

/** See platform.h. */
enum bhp_lane_end bhp_lane_next(bhp_worker *worker, const struct bhp_call *call,
                                struct bhp_reply *reply)
{
    uint64_t number = number_of(worker, call->serial);
    struct bhf_slot *slot = slot_at(worker, number);

    bhf_insist(!bhf_world.child, "a forked child waits for nothing");
    bhf_insist(bhf_world.locks_held == 0, "no lane is waited for with a lock held");
    bhf_insist(!slot->gone, "what was taken back is not asked for");
    for (uint64_t before = worker->slots.taken; before < number; before++)
        bhf_insist(slot_at(worker, before)->gone, "ends are asked for in order");
    if (!slot->lane.committed || slot->lane.plan.silent)
        bhf_lane_await(&slot->lane);
    worker->slots.taken = number + 1;
    bhf_slots_forget(worker);
    if (slot->given_back)
        return BHP_LANE_GIVEN_BACK;
    return slot->lane.committed ? bhf_lane_answer(worker, &slot->lane, reply) : BHP_LANE_LOST;
}

/** See platform.h. */
enum bhp_revoke bhp_lane_revoke(bhp_worker *worker, uint64_t serial)
{
    struct bhf_slot *slot = slot_at(worker, number_of(worker, serial));

    bhf_insist(!bhf_world.child, "a forked child takes nothing back");
    slot->revoked = true;
    if (slot->lane.plan.lies && worker->stage < BHF_GONE)
        return BHP_REVOKE_BROKEN;
    if (slot == slot_at_hand(worker) || slot->lane.committed || worker->box.started >= serial)
        return BHP_REVOKE_LATE;
    slot->gone = true;
    return BHP_REVOKED;
}
