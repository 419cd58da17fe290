/* SPDX-License-Identifier: MIT */
/*
 * The worker's end of the slots: small requests that wait in its half.
 *
 * Model: protocol.h has the slots' protocol; bhl_worker_slots_serve() is its right column. Each
 * request is served as a single one is, but reads its message and leaves its answer in its slot,
 * and the next one follows without a wait. The dispatcher is woken only when it says that it waits.
 *
 * Invariants: `started` is stored before `revoked` is looked at, and that before any handler can
 * run; a slot is done with exactly once, and in order.
 */
#include "worker_end.h"

#include "core/problem.h"
#include "worker/channel.h"

#include <inttypes.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- answering ---- */

static unsigned char *answer_at(void)
{
    return bhl_worker_end.reply_data +
           bhl_worker_end.slots_done % BHL_SLOTS * (size_t)BHL_SLOT_BYTES;
}

static void set_answer(uint32_t status, int32_t code, uint64_t length)
{
    struct bhl_reply_slot *slot = bhl_worker_end.slot;

    slot->status = status;
    slot->code = code;
    slot->length = length;
}

/** See worker_end.h. */
int bhl_worker_slot_reply(const bh_value *value, struct bh_problem *problem)
{
    const struct bh_value_limits limits = {.bytes = UINT64_MAX};
    struct bhl_worker_end *end = &bhl_worker_end;
    size_t size;
    int error = bh_wire_size(value, 1, &limits, &size);

    if (error != BH_OK)
        return bhi_problem_set(problem, error, 0, "%s", bh_error_text(error));
    if (size > end->max_reply)
        return bhi_problem_set(problem, BH_E_TOO_LARGE, 0,
                               "%zu bytes are more than the pool's limit of %" PRIu64, size,
                               end->max_reply);
    bool fits = size <= BHL_SLOT_BYTES && !bhl_worker_arena_used();
    if (fits)
        error = bh_wire_write(answer_at(), size, value, 1);
    else
        error = bhl_worker_reply_outside(value, size, problem);
    if (error == BH_OK)
        set_answer(fits ? BHL_REPLIED : BHL_OUTSIDE, 0, size);
    return error;
}

/** See worker_end.h. */
void bhl_worker_slot_fail(int32_t code, const char *text, size_t length)
{
    if (length > BHL_SLOT_BYTES) {
        length = BHL_SLOT_BYTES;
        while (length > 0 && (text[length] & 0xc0) == 0x80)
            length--;
    }
    memcpy(answer_at(), text, length);
    set_answer(BHL_FAILED, code, length);
}

/* ---- serving ---- */

static void commit(uint64_t serial)
{
    struct bhl_reply_half *reply = bhl_worker_end.reply;

    /* Pairs with the loads in bhp_lane_next(): `committed` carries the answer. */
    atomic_store_explicit(&reply->committed, serial, memory_order_release);
    /* Both sequentially consistent, as is the dispatcher's store of `waiting`: it sees the ring
     * when it goes to sleep, or we see that it does. */
    atomic_fetch_add(&reply->bell, 1);
    if (atomic_load(&bhl_worker_end.request->waiting) != 0)
        syscall(SYS_futex, &reply->bell, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* A reply that did not fit is where the next one of its kind would be. */
static void await_fetch(uint64_t serial)
{
    const struct bhl_request_half *request = bhl_worker_end.request;

    for (;;) {
        /* Each pairs with the dispatcher's release when it has read the reply. */
        uint32_t bell = atomic_load_explicit(&request->bell, memory_order_acquire);
        if (atomic_load_explicit(&request->fetched, memory_order_acquire) == serial)
            return;
        bhl_worker_wait(bell);
    }
}

static void run(const struct bhi_channel_owner *owner, const struct bhl_request_slot *slot,
                bh_value *arguments)
{
    static const char no_memory[] = "no memory for the arguments";
    const struct bhl_worker_end *end = &bhl_worker_end;
    const struct bh_value_limits limits = {.bytes = BHL_SLOT_BYTES};
    struct bhi_request request = {.serial = slot->serial, .method = slot->method};
    struct bh_problem problem;

    if (slot->length > BHL_SLOT_BYTES)
        bhl_worker_die("arguments of %" PRIu32 " bytes do not fit into a slot", slot->length);
    int error = bh_wire_view(
        arguments, end->request_data + end->slots_done % BHL_SLOTS * (size_t)BHL_SLOT_BYTES,
        slot->length, &limits, &problem);
    if (error == BH_OK)
        bhl_worker_handle(owner, arguments, &request);
    else if (error == BH_E_MEMORY)
        bhl_worker_slot_fail(BH_E_MEMORY, no_memory, sizeof no_memory - 1);
    else
        bhl_worker_die("malformed arguments: %s", problem.text);
}

static void serve_slot(const struct bhi_channel_owner *owner)
{
    struct bhl_worker_end *end = &bhl_worker_end;
    const struct bhl_request_slot *slot = &end->request->slot[end->slots_done % BHL_SLOTS];
    uint64_t serial = slot->serial;
    bh_value arguments = bh_value_null();

    bhl_worker_tidy();
    end->slot = &end->reply->slot[end->slots_done % BHL_SLOTS];
    end->slot->serial = serial;
    atomic_store_explicit(&end->reply->progress_done, 0, memory_order_relaxed);
    atomic_store_explicit(&end->reply->progress_total, 0, memory_order_relaxed);
    /* Both sequentially consistent, and both pair with bhp_lane_revoke(): it sees that we started,
     * or we see that we shall not. */
    atomic_store(&end->reply->started, serial);
    bool revoked = atomic_load(&slot->revoked) == serial;
    if (end->request->rearm != 0 && !revoked)
        bhl_worker_fault_rearm();
    if (revoked)
        set_answer(BHL_GIVEN_BACK, 0, 0);
    else
        run(owner, slot, &arguments);
    bool outside = end->slot->status == BHL_OUTSIDE;
    end->slot = NULL;
    end->slots_done++;
    bhl_worker_arena_settle(outside);
    commit(serial);
    if (outside)
        await_fetch(serial);
    bhl_worker_arena_end();
    bh_value_deinit(&arguments);
    if (owner->idle != NULL && !revoked)
        owner->idle(owner->context);
}

/** See worker_end.h. */
bool bhl_worker_slots_serve(const struct bhi_channel_owner *owner)
{
    struct bhl_worker_end *end = &bhl_worker_end;
    bool served = false;

    for (;;) {
        /* Pairs with the dispatcher's release in bhp_lane_put(). */
        uint64_t slots = atomic_load_explicit(&end->request->slots, memory_order_acquire);
        if (slots == end->slots_done)
            return served;
        if (slots - end->slots_done > BHL_SLOTS)
            bhl_worker_die("%" PRIu64 " requests cannot be in %u slots", slots - end->slots_done,
                           BHL_SLOTS);
        serve_slot(owner);
        served = true;
    }
}
