/* SPDX-License-Identifier: MIT */
/*
 * Small requests that wait in a worker's half.
 *
 * Model: protocol.h has the slots' protocol; this is its left column. A request is put into the
 * next slot of a ring; the worker is woken once for all that were put since the last time. Whoever
 * holds the lease waits for the ends one after the other. A request is taken back by Dekker's
 * algorithm, by any thread: our `revoked` word against the worker's `started`.
 *
 * Invariants: which serial is in which slot is remembered here; what the worker says of it is only
 * compared. A slot is filled anew when the worker is done with it and its reply was taken. Each
 * word of a reply is loaded once.
 */
#include "lane.h"

#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One load of a plain word that another process may write at this moment. */
#define ONCE(word) (*(const volatile __typeof__(word) *)&(word))

_Static_assert(BHL_SLOTS *BHL_SLOT_BYTES <= 16384, "the smallest lane holds all slots");

/** See platform.h. */
uint32_t bhp_lane_slots(void)
{
    return BHL_SLOTS;
}

static uint64_t done_up_to(const bhp_worker *worker)
{
    /* Pairs with the worker's release store: what it wrote before are the replies. */
    return atomic_load_explicit(&bhl_reply(worker)->committed, memory_order_acquire);
}

/* ---- putting ---- */

static void *message_at(void *half, uint64_t number)
{
    return (unsigned char *)half + BHL_HEADER_BYTES + number % BHL_SLOTS * BHL_SLOT_BYTES;
}

/* Whether the next slot can be filled. */
static bool has_room(bhp_worker *worker)
{
    struct bhl_slots *slots = &worker->slots;

    while (slots->taken < slots->put && slots->gone[slots->taken % BHL_SLOTS])
        slots->taken++;
    if (slots->put - slots->taken >= BHL_SLOTS)
        return false;
    /* It was used before: one that was revoked is still the worker's until it has seen that. */
    return slots->put < BHL_SLOTS || done_up_to(worker) >= slots->serial[slots->put % BHL_SLOTS];
}

/** See platform.h. */
enum bhp_put bhp_lane_put(bhp_worker *worker, const struct bhp_call *call)
{
    const struct bh_value_limits limits = {.bytes = BHL_SLOT_BYTES};
    struct bhl_request_half *half = bhl_request(worker);
    struct bhl_slots *slots = &worker->slots;
    uint64_t number = slots->put;
    struct bhl_request_slot *slot = &half->slot[number % BHL_SLOTS];
    size_t size = 0;

    int64_t method = bhi_methods_find(&worker->methods, call->method);
    if (method < 0 || bh_wire_size(call->arguments, call->argument_count, &limits, &size) != BH_OK)
        return BHP_PUT_UNFIT;
    if (!has_room(worker))
        return BHP_PUT_FULL;
    if (bh_wire_write(message_at(half, number), size, call->arguments, call->argument_count))
        return BHP_PUT_UNFIT;
    slot->serial = call->serial;
    slot->method = (uint32_t)method;
    slot->length = (uint32_t)size;
    slots->serial[number % BHL_SLOTS] = call->serial;
    slots->gone[number % BHL_SLOTS] = false;
    slots->put++;
    /* Pairs with the worker's acquire load: the slot before its number. */
    atomic_store_explicit(&half->slots, slots->put, memory_order_release);
    return BHP_PUT_DONE;
}

/* Wakes the worker for what was put and not rung for yet. */
static void ring(bhp_worker *worker)
{
    struct bhl_request_half *half = bhl_request(worker);

    if (worker->slots.rung == worker->slots.put)
        return;
    worker->slots.rung = worker->slots.put;
    /* Pairs with the worker's acquire load: the bell after the number of slots. */
    atomic_fetch_add_explicit(&half->bell, 1, memory_order_release);
    syscall(SYS_futex, &half->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ---- taking ---- */

/* The number of the slot that holds the serial. It is in one. */
static uint64_t number_of(const bhp_worker *worker, uint64_t serial)
{
    uint64_t number = worker->slots.put - 1;

    while (worker->slots.serial[number % BHL_SLOTS] != serial)
        number--;
    return number;
}

/* Waits until the worker is done with the serial. */
static enum bhp_lane_end await(bhp_worker *worker, const struct bhp_call *call)
{
    struct bhl_patience patience = {0, 0};
    _Atomic uint32_t *waiting = &bhl_request(worker)->waiting;

    for (;;) {
        /* Pairs with the worker's ring: a bell that is newer than the look says so below. */
        uint32_t rung = atomic_load_explicit(&bhl_reply(worker)->bell, memory_order_acquire);
        /* Pairs with the store before bhp_word_wake(), and with finish(): the worker has ended.
         * Loaded first, so that a reply which was committed before the end is found. */
        bool ended = atomic_load(call->stop) != 0 || atomic_load(&worker->ended);
        if (done_up_to(worker) >= call->serial)
            return BHP_LANE_REPLIED;
        if (ended)
            return BHP_LANE_LOST;
        /* Pairs with the worker's look after its ring: it sees that we wait, or the system, which
         * puts us to sleep behind a full barrier, sees its ring. */
        atomic_store(waiting, 1);
        bhl_lane_sleep(worker, rung, call->stop, &patience);
        atomic_store_explicit(waiting, 0, memory_order_relaxed);
    }
}

/* The reply did not fit into its slot: it is where a single request's would be, and the worker does
 * not go on before it was read. */
static enum bhp_lane_end take_outside(bhp_worker *worker, const struct bhp_call *call,
                                      struct bhp_reply *reply)
{
    struct bhl_request_half *half = bhl_request(worker);

    enum bhp_lane_end end = bhl_lane_read(worker, call, reply);
    /* Both pair with the worker's acquire loads. */
    atomic_store_explicit(&half->fetched, call->serial, memory_order_release);
    atomic_fetch_add_explicit(&half->bell, 1, memory_order_release);
    syscall(SYS_futex, &half->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    return end;
}

static enum bhp_lane_end take(bhp_worker *worker, const struct bhp_call *call, uint64_t number,
                              struct bhp_reply *reply)
{
    uint64_t serial = call->serial;
    const struct bhl_reply_slot *slot = &bhl_reply(worker)->slot[number % BHL_SLOTS];
    const struct bhl_slot_head head = {ONCE(slot->status), ONCE(slot->code), ONCE(slot->length)};
    uint64_t named = ONCE(slot->serial);
    uint64_t done = done_up_to(worker);

    if (done > worker->slots.serial[(worker->slots.put - 1) % BHL_SLOTS])
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "it is done with request %" PRIu64 ", which it was not given", done);
    if (named != serial)
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "where its reply to request %" PRIu64
                            " should be, it has one to %" PRIu64,
                            serial, named);
    if (head.status == BHL_GIVEN_BACK) {
        /* Pairs with bhp_lane_revoke(), whose lock the caller has held since. */
        if (atomic_load(&bhl_request(worker)->slot[number % BHL_SLOTS].revoked) == serial)
            return BHP_LANE_GIVEN_BACK;
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "it gave request %" PRIu64 " back, which it was to serve", serial);
    }
    if (head.status == BHL_OUTSIDE)
        return take_outside(worker, call, reply);
    return bhl_lane_read_slot(worker, &head, message_at(worker->reply_map.at, number), reply);
}

/** See platform.h. */
enum bhp_lane_end bhp_lane_next(bhp_worker *worker, const struct bhp_call *call,
                                struct bhp_reply *reply)
{
    uint64_t number = number_of(worker, call->serial);

    ring(worker);
    enum bhp_lane_end end = await(worker, call);
    if (end == BHP_LANE_REPLIED)
        end = take(worker, call, number, reply);
    worker->slots.taken = number + 1;
    reply->kept = bhl_lane_keeps(worker);
    return end;
}

/* ---- taking back ---- */

/* Whether the worker can be where it says it is: it came to `started` by way of all before it. */
static bool is_in_order(const bhp_worker *worker, uint64_t number, uint64_t started)
{
    const struct bhl_slots *slots = &worker->slots;
    uint64_t serial = slots->serial[number % BHL_SLOTS];
    uint64_t done = done_up_to(worker);

    if (started != serial)
        return done >= serial;
    if (number == 0)
        return true;
    uint64_t before = slots->serial[(number - 1) % BHL_SLOTS];
    return before > serial || done >= before; /* the former: its slot is in use again */
}

/** See platform.h. */
enum bhp_revoke bhp_lane_revoke(bhp_worker *worker, uint64_t serial)
{
    uint64_t number = number_of(worker, serial);

    /* Both sequentially consistent, as are the worker's store of `started` and its load of
     * `revoked`: it sees ours or we see its. */
    atomic_store(&bhl_request(worker)->slot[number % BHL_SLOTS].revoked, serial);
    uint64_t started = atomic_load(&bhl_reply(worker)->started);
    if (started < serial) {
        worker->slots.gone[number % BHL_SLOTS] = true;
        return BHP_REVOKED;
    }
    return is_in_order(worker, number, started) ? BHP_REVOKE_LATE : BHP_REVOKE_BROKEN;
}
