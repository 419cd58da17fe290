/* SPDX-License-Identifier: MIT */
/* timeout: 120 */
/*
 * Workers that are killed at any moment of a conversation: each request ends once, as died, with
 * the right record, and the pool goes on.
 */
#include "talk.h"

#include <bulkhead/async.h>
#include <bulkhead/callback.h>

#include <stdatomic.h>
#include <stdlib.h>

enum { ROUNDS = KIT_WINDOWS ? 24 : 400, BYTES = 70000 };

struct round {
    kit_gate *gate;
    atomic_int pid;
    atomic_int delay_us;
    unsigned char bytes[BYTES];
    atomic_bool over;
};

/* Learns who the worker is at first; then answers, now and then by asking the worker itself, now
 * and then at length. */
static void tick(bh_callback_call *call, const bh_value *arguments, size_t count, void *context)
{
    struct round *round = context;
    bh_value many = bh_value_view_bytes(round->bytes, sizeof(round->bytes));
    bh_value reply = bh_value_null();
    int64_t i = 0, pid = 0;

    CHECK(count == 1 && bh_value_get_int64(&arguments[0], &i) == BH_OK);
    if (i == 0) {
        int error = bh_callback_invoke(call, "pid", NULL, 0, &reply, NULL);
        if (error == BH_E_CANCELLED) /* a deadline this early */
            return;
        CHECK_INT(error, BH_OK);
        CHECK_INT(bh_value_get_int64(&reply, &pid), BH_OK);
        atomic_store(&round->pid, (int)pid);
        kit_gate_open(round->gate);
    } else if (i % 3 == 1) {
        int error = bh_callback_invoke(call, "echo", i % 2 ? &many : arguments, 1, &reply, NULL);
        CHECK(error == BH_OK || error == BH_E_LOST || error == BH_E_CANCELLED);
    }
    bh_value_deinit(&reply);
    CHECK_INT(bh_callback_reply(call, i % 3 == 2 ? &many : arguments), BH_OK);
}

static const struct bh_callback callbacks[] = {{"tick", tick, NULL}, {NULL, NULL, NULL}};

static void killer(void *context)
{
    struct round *round = context;

    for (;;) {
        kit_gate_pass(round->gate);
        if (atomic_load(&round->over))
            return;
        kit_pause_us(round->delay_us);
        CHECK(kit_pid_kill(atomic_load(&round->pid)));
    }
}

static void check_end(const struct bh_result *result, const struct round *round)
{
    talk_expect(result, BH_OUTCOME_DIED);
    CHECK(result->has_death);
    CHECK_INT(result->death.phase, BH_PHASE_REQUEST);
    CHECK_INT(result->death.serial, result->serial);
    CHECK_INT(result->death.pid, atomic_load(&round->pid));
    CHECK(result->death.cause != BH_CAUSE_PROTOCOL);
    CHECK_INT(result->attempts, 1);
    CHECK_INT(result->delivery, BH_DELIVERY_STARTED);
}

static void check_sums(bh_pool *pool, uint64_t died)
{
    struct bh_snapshot snapshot;
    uint64_t outcomes = 0;

    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    for (int i = 0; i < BH_OUTCOME_COUNT; i++)
        outcomes += snapshot.outcome[i];
    CHECK_INT(outcomes, snapshot.submitted);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_DIED], died);
    CHECK_INT(snapshot.running, 0);
    bh_snapshot_deinit(&snapshot);
}

static struct bh_request question(struct round *round, bh_value arguments[2])
{
    struct bh_request request = BH_REQUEST_INIT;

    arguments[0] = bh_value_view("tick");
    arguments[1] = bh_value_int64(0); /* without end */
    request.method = "ask_many";
    request.arguments = arguments;
    request.argument_count = 2;
    request.callbacks = callbacks;
    request.callback_context = round;
    return request;
}

TEST(a_kill_at_any_moment_ends_the_request_once)
{
    static struct round round;
    struct bh_pool_options options = talk_options(KIT_WINDOWS ? 2 : 4);
    bh_pool *pool = probe_open(&options);
    bh_value arguments[2];
    struct bh_request request = question(&round, arguments);

    round.gate = kit_gate_new();
    kit_thread *thread = kit_thread_start(killer, &round);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct bh_completion completion;
        round.delay_us = (int)(i * 2654435761u >> 8) % (KIT_WINDOWS ? 20000 : 700);
        if (i % 2) {
            bh_pool_call(pool, &request, &completion.result);
        } else {
            CHECK_INT(bh_pool_submit(pool, &request, NULL, NULL), BH_REFUSAL_NONE);
            CHECK_INT(bh_pool_take(pool, &completion, 1, options.start_timeout_ms), 1);
        }
        check_end(&completion.result, &round);
        bh_result_deinit(&completion.result);
    }
    check_sums(pool, ROUNDS);
    probe_number(pool, "pid");
    atomic_store(&round.over, true);
    kit_gate_open(round.gate);
    kit_thread_join(thread);
    kit_gate_free(round.gate);
    bh_pool_close(pool);
}

/* The same by deadline: some give up in time, some are killed, none is blamed for it. */
TEST(a_deadline_at_any_moment_ends_the_request_once)
{
    enum { DEADLINES = KIT_WINDOWS ? 20 : 150 };
    static struct round round;
    struct bh_pool_options options = talk_options(KIT_WINDOWS ? 2 : 4);
    options.grace_ms = 1;
    bh_pool *pool = probe_open(&options);
    bh_value arguments[2];
    struct bh_request request = question(&round, arguments);

    round.gate = kit_gate_new();
    for (unsigned i = 0; i < DEADLINES; i++) {
        struct bh_result result;
        CHECK_INT(bh_pool_wait_ready(pool, 1, options.start_timeout_ms, NULL), BH_OK);
        request.deadline_ms = (KIT_WINDOWS ? 60 : 3) + i % 5;
        bh_pool_call(pool, &request, &result);
        talk_expect(&result, BH_OUTCOME_DEADLINE);
        CHECK(!result.has_death || result.death.cause == BH_CAUSE_DEADLINE);
        if (atomic_exchange(&round.pid, 0) != 0)
            kit_gate_pass(round.gate);
        bh_result_deinit(&result);
    }
    check_sums(pool, 0);
    kit_gate_free(round.gate);
    bh_pool_close(pool);
}
