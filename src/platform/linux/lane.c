/* SPDX-License-Identifier: MIT */
/*
 * One request to one worker, on the caller's own thread.
 *
 * Model: protocol.h has the wake-up protocol; this is its left column. The caller places its
 * arguments, publishes the serial, rings, and sleeps on two words at once: the worker's bell, which
 * the worker can ring for no reason but not silence, and the private stop word, which the worker
 * cannot touch and which the supervisor sets when the worker has ended.
 *
 * Invariants: a reply is read only after `committed` said its serial, and only if it did not say so
 * before the request was published. A worker that rings without end costs its caller a hundred
 * look-ups a second, no more. Stop is always followed by one more look: a reply that was committed
 * before the end is found.
 */
#include "lane.h"

#include "core/alloc.h"
#include "core/problem.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rings without a reply that are answered at once; after them the caller looks ever more rarely. */
#define SPURIOUS_FREE 16
#define PAUSE_FIRST INT64_C(50000)
#define PAUSE_MOST INT64_C(10000000)

/** See lane.h. */
enum bhp_lane_end bhl_lane_say(struct bhp_reply *reply, enum bhp_lane_end end, const char *format,
                               ...)
{
    struct bh_problem text;
    va_list arguments;

    va_start(arguments, format);
    bhi_problem_setv(&text, BH_E_SYNTAX, 0, format, arguments);
    va_end(arguments);
    size_t size = strlen(text.text) + 1;
    reply->text = bhi_alloc(size); /* without memory the end must speak for itself */
    if (reply->text != NULL)
        memcpy(reply->text, text.text, size);
    return end;
}

/* ---- waiting ---- */

static bool committed(const bhp_worker *worker, uint64_t serial)
{
    /* Pairs with the worker's release store: what it wrote before is the reply. */
    return atomic_load_explicit(&bhl_reply(worker)->committed, memory_order_acquire) == serial;
}

/* Sleeps while the bell is unchanged and nobody stops. @return whether the system agreed to sleep
 */
static bool sleep_on_both(const _Atomic uint32_t *bell, uint32_t rung, bhp_word *stop)
{
    struct futex_waitv words[2] = {
        {.val = rung, .uaddr = (uintptr_t)bell, .flags = FUTEX_32},
        {.val = 0, .uaddr = (uintptr_t)stop, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
    };

    return syscall(SYS_futex_waitv, words, 2, 0, NULL, 0) >= 0 || errno == EAGAIN || errno == EINTR;
}

/** See lane.h. */
void bhl_lane_sleep(const bhp_worker *worker, uint32_t rung, bhp_word *stop,
                    struct bhl_patience *patience)
{
    const _Atomic uint32_t *bell = &bhl_reply(worker)->bell;

    if (patience->spurious < SPURIOUS_FREE && sleep_on_both(bell, rung, stop)) {
        patience->spurious++; /* also a wake without a ring; the last of them is the true one */
        return;
    }
    patience->pause = patience->pause == 0 ? PAUSE_FIRST : patience->pause * 2;
    if (patience->pause > PAUSE_MOST)
        patience->pause = PAUSE_MOST;
    bhp_word_wait(stop, 0, bhp_now() + patience->pause);
}

static bool spoke(const bhp_worker *worker, uint64_t last)
{
    /* Pairs with the worker's release store: what it wrote before is its turn. */
    return atomic_load_explicit(&bhl_reply(worker)->turn, memory_order_acquire) != last;
}

/** See lane.h. */
enum bhl_heard bhl_lane_listen(const bhp_worker *worker, const struct bhp_call *call, uint64_t last)
{
    struct bhl_patience patience = {0, 0};

    for (;;) {
        /* Pairs with the worker's release: a bell that is newer than the look says so below. */
        uint32_t rung = atomic_load_explicit(&bhl_reply(worker)->bell, memory_order_acquire);
        if (committed(worker, call->serial))
            return BHL_HEARD_COMMIT;
        /* Pairs with the store before bhp_word_wake(), and with finish(): the worker has ended. */
        if (atomic_load(call->stop) != 0 || atomic_load(&worker->ended))
            return committed(worker, call->serial) ? BHL_HEARD_COMMIT : BHL_HEARD_END;
        if (spoke(worker, last))
            return BHL_HEARD_TURN;
        bhl_lane_sleep(worker, rung, call->stop, &patience);
    }
}

/* ---- publishing ---- */

static bool answered_early(const bhp_worker *worker, uint64_t serial)
{
    const struct bhl_reply_half *half = bhl_reply(worker);

    return committed(worker, serial) ||
           atomic_load_explicit(&half->started, memory_order_acquire) == serial;
}

static void publish(bhp_worker *worker, const struct bhp_call *call, uint32_t method,
                    const struct bhl_placed *placed)
{
    struct bhl_request_half *half = bhl_request(worker);

    half->method = method;
    half->transient = placed->transient != NULL;
    half->length = placed->length;
    half->segment = placed->segment;
    half->segment_bytes = placed->segment_bytes;
    half->callbacks = call->callback != NULL ? call->callback_depth : 0;
    half->buffer = placed->buffer;
    half->buffer_bytes = placed->buffer_bytes;
    /* Both pair with the worker's acquire loads: serial after the message, bell after the serial.
     */
    atomic_store_explicit(&half->serial, call->serial, memory_order_release);
    atomic_fetch_add_explicit(&half->bell, 1, memory_order_release);
    syscall(SYS_futex, &half->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static enum bhp_lane_end run(bhp_worker *worker, const struct bhp_call *call,
                             struct bhp_reply *reply)
{
    struct bhl_placed placed = {0};
    struct bhl_talk talk;

    int64_t method = bhi_methods_find(&worker->methods, call->method);
    if (method < 0)
        return BHP_LANE_NO_METHOD;
    if (atomic_load(&worker->ended)) /* pairs with finish() */
        return BHP_LANE_LOST;
    reply->unsent = true;
    if (answered_early(worker, call->serial))
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "request %" PRIu64 " was answered before it was asked", call->serial);
    enum bhp_lane_end end = bhl_lane_place(worker, call, &placed, reply);
    if (end == BHP_LANE_REPLIED) {
        reply->unsent = false;
        bhl_talk_begin(&talk, worker, call, &placed, reply);
        publish(worker, call, (uint32_t)method, &placed);
        end = bhl_talk_wait(&talk);
    }
    if (end == BHP_LANE_REPLIED)
        end = bhl_lane_read(worker, call, reply);
    reply->large |= placed.segment != 0 || placed.buffer != 0;
    bhl_lane_settle(worker, &placed);
    return end;
}

/** See platform.h. */
enum bhp_lane_end bhp_lane_call(bhp_worker *worker, const struct bhp_call *call,
                                struct bhp_reply *reply)
{
    enum bhp_lane_end end = run(worker, call, reply);

    reply->kept = bhl_lane_keeps(worker);
    return end;
}
