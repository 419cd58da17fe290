/* SPDX-License-Identifier: MIT */
/*
 * Requests that nobody waits for, on the fake platform: the same outcomes as for callers, one
 * completion each, in either of two ways; backpressure, timing, cancelling, callbacks that submit.
 * (explore_test.c mixes them with callers in random worlds.)
 */
#include "world.h"

#include "core/pool_internal.h"
#include "failing_alloc.h"

#include <stdio.h>
#include <string.h>

static struct world_call *submit(bh_pool *pool, const char *method, enum world_way way)
{
    struct world_call *call = world_prepare(pool, method);

    call->way = way;
    return world_send(call);
}

static struct bh_result *result_of(struct world_call *call)
{
    while (call->way == WORLD_TAKEN && !call->ended) {
        world_take(call->pool, 1);
        world_sleep(1);
    }
    return world_result(call);
}

static bh_pool *open_ready(struct bh_pool_options *options)
{
    bh_pool *pool = world_open(options);

    CHECK_INT(bh_pool_wait_ready(pool, 0, 1000, NULL), BH_OK);
    return pool;
}

/* ---- outcomes ---- */

static const struct {
    const char *method;
    enum bh_outcome outcome;
    enum bh_delivery delivery;
} ends[] = {
    {"reply", BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED},
    {"fail", BH_OUTCOME_FAILED, BH_DELIVERY_COMMITTED},
    {"die", BH_OUTCOME_DIED, BH_DELIVERY_STARTED},
    {"die-committed", BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED},
    {"broken", BH_OUTCOME_DIED, BH_DELIVERY_STARTED},
    {"hang", BH_OUTCOME_DEADLINE, BH_DELIVERY_STARTED},
    {"cooperate", BH_OUTCOME_DEADLINE, BH_DELIVERY_COMMITTED},
    {"no-method", BH_OUTCOME_REFUSED, BH_DELIVERY_NEVER_STARTED},
    {"too-large", BH_OUTCOME_REFUSED, BH_DELIVERY_NEVER_STARTED},
};

static void check_ends(enum world_way way)
{
    struct bh_pool_options options = world_options();

    options.deadline_ms = 50;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        world_begin(0);
        bh_pool *pool = open_ready(&options);
        struct bh_result *result = result_of(submit(pool, ends[i].method, way));
        if (result->outcome != ends[i].outcome || result->delivery != ends[i].delivery)
            FAIL("%s: %s, %s", ends[i].method, bh_outcome_name(result->outcome),
                 bh_delivery_name(result->delivery));
        if (result->outcome == BH_OUTCOME_DIED)
            CHECK(result->has_death && result->death.serial == result->serial);
        if (result->outcome == BH_OUTCOME_REPLIED)
            CHECK(bh_value_equal(&result->reply, &world.calls[0].argument));
        CHECK_INT(pool->outcomes[result->outcome], 1);
        world_close(pool);
        world_end();
    }
}

TEST(every_end_reaches_a_callback)
{
    check_ends(WORLD_TOLD);
}

TEST(every_end_reaches_the_queue)
{
    check_ends(WORLD_TAKEN);
}

TEST(one_that_never_started_goes_round_again_uncharged)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    options.max_workers = 2;
    bh_pool *pool = open_ready(&options);
    struct world_call *call = submit(pool, "die-unstarted", WORLD_TOLD);
    world_sleep(20);
    CHECK(pool->requeued > 0);
    call->request.method = call->method; /* the copy goes on as it was */
    world_sleep(20);
    CHECK(!call->ended);
    bh_pool_drain(pool);
    CHECK_INT(result_of(call)->attempts, 0);
    world_close(pool);
    world_end();
}

static unsigned attempts_seen;

static void dies_twice(const struct bhp_call *call, struct bhf_request *plan)
{
    (void)call;
    plan->deed = ++attempts_seen <= 2 ? BHF_DIE : BHF_REPLY;
    plan->end = bhf_end_fault(0);
}

TEST(a_repeatable_one_is_sent_again)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    world.on_request = dies_twice;
    attempts_seen = 0;
    bh_pool *pool = open_ready(&options);
    struct world_call *call = world_prepare(pool, "reply");
    call->way = WORLD_TOLD;
    call->request.retries = 5;
    struct bh_result *result = world_result(world_send(call));
    CHECK_INT(result->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(result->attempts, 3);
    CHECK(!result->has_death);
    world_close(pool);
    world_end();
}

TEST(the_death_of_an_attempt_stays_when_the_next_is_never_made)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    options.min_workers = 0;
    options.backoff_initial_ms = 1000;
    bh_pool *pool = open_ready(&options);
    struct world_call *call = world_prepare(pool, "die 5");
    call->way = WORLD_TAKEN;
    call->request.retries = 1;
    call->request.deadline_ms = 30;
    world.on_start = NULL;
    world_send(call);
    world_sleep(7);
    bh_pool_drain(pool);
    struct bh_result *result = result_of(call);
    CHECK(result->has_death);
    CHECK_INT(result->death.cause, BH_CAUSE_FAULT);
    world_close(pool);
    world_end();
}

/* ---- waiting ---- */

TEST(a_queue_that_is_full_refuses_on_the_spot)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    options.queue_length = 2;
    bh_pool *pool = open_ready(&options);
    for (unsigned i = 0; i < 4; i++)
        submit(pool, "reply 10", i % 2 ? WORLD_TOLD : WORLD_TAKEN);
    world_sleep(1);
    CHECK(world.calls[3].ended && !world.calls[2].ended);
    CHECK_INT(world.calls[3].result.refusal, BH_REFUSAL_QUEUE_FULL);
    CHECK_CONTAINS(world.log, "refused(queue full)");
    world_close(pool);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(world_result(&world.calls[i])->outcome,
                  i == 0 ? BH_OUTCOME_REPLIED : BH_OUTCOME_REFUSED);
    world_end();
}

TEST(deadlines_in_the_queue_are_kept_to_the_millisecond)
{
    static const uint32_t deadlines[] = {40, 10, 30, 20, 25, 15, 35};
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_pool *pool = open_ready(&options);
    int64_t begin = world_ms();
    submit(pool, "reply 100", WORLD_TOLD);
    for (unsigned i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++) {
        struct world_call *call = world_prepare(pool, "reply");
        call->way = WORLD_TOLD;
        call->request.deadline_ms = deadlines[i];
        world_send(call);
    }
    for (unsigned i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++) {
        struct bh_result *result = world_result(&world.calls[i + 1]);
        CHECK_INT(result->outcome, BH_OUTCOME_DEADLINE);
        CHECK_INT(result->delivery, BH_DELIVERY_NEVER_STARTED);
        CHECK_INT(world.calls[i + 1].ended_ms, begin + deadlines[i]);
    }
    CHECK_INT(world_result(&world.calls[0])->outcome, BH_OUTCOME_REPLIED);
    world_close(pool);
    world_end();
}

TEST(a_token_cancels_what_waits_and_what_runs)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_cancel *token = bh_cancel_new();
    bh_pool *pool = open_ready(&options);
    for (unsigned i = 0; i < 30; i++) {
        struct world_call *call = world_prepare(pool, "cooperate");
        call->way = i % 2 ? WORLD_TOLD : WORLD_TAKEN;
        call->request.cancel = token;
        world_send(call);
    }
    world_sleep(5);
    bh_cancel_raise(token);
    for (unsigned i = 0; i < 30; i++)
        CHECK_INT(result_of(&world.calls[i])->outcome, BH_OUTCOME_CANCELLED);
    struct world_call *late = world_prepare(pool, "reply");
    late->way = WORLD_TOLD;
    late->request.cancel = token;
    CHECK_INT(world_result(world_send(late))->outcome, BH_OUTCOME_CANCELLED);
    CHECK_INT(late->begun, 0);
    bh_cancel_free(token);
    world_close(pool);
    world_end();
}

/* ---- the completion queue ---- */

TEST(the_beacon_shines_while_something_lies_there)
{
    struct bh_pool_options options = world_options();
    struct bh_completion completion;

    world_begin(0);
    bh_pool *pool = open_ready(&options);
    CHECK_INT(bh_pool_waitable(pool), 0);
    CHECK_INT(bh_pool_take(pool, &completion, 1, BH_WAIT_FOREVER), 0); /* nothing can come */
    submit(pool, "reply 10", WORLD_TAKEN);
    submit(pool, "reply 10", WORLD_TAKEN);
    world_sleep(5);
    CHECK_INT(bh_pool_take(pool, &completion, 1, 0), 0);
    int64_t begin = world_ms();
    CHECK_INT(bh_pool_take(pool, &completion, 1, 3), 0);
    CHECK_INT(world_ms(), begin + 3);
    world_sleep(20);
    CHECK_INT(bh_pool_waitable(pool), 1);
    CHECK_INT(bh_pool_take(pool, &completion, 1, 0), 1);
    CHECK(completion.context == &world.calls[0]);
    bh_result_deinit(&completion.result);
    CHECK_INT(bh_pool_waitable(pool), 1);
    CHECK_INT(bh_pool_take(pool, &completion, 1, BH_WAIT_FOREVER), 1);
    bh_result_deinit(&completion.result);
    CHECK_INT(bh_pool_waitable(pool), 0);
    world.calls[0].ended = world.calls[1].ended = true;
    world_close(pool);
    world_end();
}

TEST(what_nobody_took_is_freed_with_the_pool)
{
    struct bh_pool_options options = world_options();

    bhi_alloc_hook = failing_heap_hook;
    heap = (struct failing_heap){0, -1, false};
    world_begin(0);
    bh_pool *pool = open_ready(&options);
    submit(pool, "die 1", WORLD_TAKEN);
    submit(pool, "reply 1", WORLD_TAKEN);
    world_sleep(50);
    CHECK_INT(pool->inside, 0);
    world.pool = NULL;
    bh_pool_close(pool);
    world.calls[0].ended = world.calls[1].ended = true;
    world_end();
    CHECK_INT(heap.alive, 0);
    bhi_alloc_hook = NULL;
}

static void take_the_last(void *context)
{
    bool *taken = context;

    world_take(world.calls[0].pool, BH_WAIT_FOREVER);
    *taken = true;
}

static void never_starts(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    plan->exit_ms = 0;
    plan->end = bhf_end_not_started(11, "not now", false);
}

/* There is no worker whose end the closing would have to wait for: it is over at once. */
static void take_while_it_closes(uint64_t seed)
{
    struct bh_pool_options options = world_options();
    bool taken = false;

    world_begin(seed);
    world.on_start = never_starts;
    options.backoff_initial_ms = options.backoff_max_ms = 100000;
    bh_pool *pool = world_open(&options);
    submit(pool, "reply 10", WORLD_TAKEN);
    while (pool->async.outstanding == 0 || pool->lives != NULL)
        world_sleep(1);
    world_spawn(take_the_last, &taken);
    world_sleep(3);
    world.pool = NULL;
    bh_pool_close(pool);
    while (!taken)
        world_sleep(1);
    CHECK(world.calls[0].ended);
    world_end();
}

/* In every order in which taker and closer can wake. */
TEST(whoever_takes_keeps_the_pool_from_being_freed)
{
    for (uint64_t seed = 1; seed <= 300; seed++)
        take_while_it_closes(seed);
    world_leave();
}

/* ---- callbacks ---- */

#define CHAIN 1000

static struct chain {
    bh_pool *pool;
    unsigned told;
    bool inside;
} chain;

static void go_on(void *context, struct bh_result *result)
{
    struct bh_request request = BH_REQUEST_INIT;

    CHECK(context == &chain && !chain.inside);
    chain.inside = true;
    CHECK_INT(result->outcome, BH_OUTCOME_REPLIED);
    bh_result_deinit(result);
    request.method = "reply";
    if (++chain.told < CHAIN)
        CHECK_INT(bh_pool_submit(chain.pool, &request, go_on, &chain), BH_REFUSAL_NONE);
    chain.inside = false;
}

TEST(a_callback_may_submit_the_next)
{
    struct bh_pool_options options = world_options();
    struct bh_result result = {.outcome = BH_OUTCOME_REPLIED};

    world_begin(0);
    chain = (struct chain){.pool = open_ready(&options)};
    go_on(&chain, &result);
    while (chain.told < CHAIN)
        world_sleep(10);
    CHECK_INT(chain.pool->submitted, CHAIN - 1);
    CHECK_INT(chain.pool->async.carrier_count, 1);
    world_close(chain.pool);
    world_end();
}

/* ---- what there is not enough of ---- */

TEST(without_a_thread_it_is_refused)
{
    struct bh_pool_options options = world_options();
    struct bh_request request = BH_REQUEST_INIT;

    world_begin(0);
    bh_pool *pool = open_ready(&options);
    request.method = "reply";
    bhf_refuse_thread(BH_E_SYSTEM);
    CHECK_INT(bh_pool_submit(pool, &request, NULL, NULL), BH_REFUSAL_MEMORY);
    CHECK_INT(pool->refusals[BH_REFUSAL_MEMORY], 1);
    CHECK_INT(pool->inside, 0);
    world_close(pool);
    world_end();
}

TEST(a_malformed_request_is_refused)
{
    struct bh_pool_options options = world_options();
    struct bh_request request = BH_REQUEST_INIT;

    world_begin(0);
    bh_pool *pool = open_ready(&options);
    CHECK_INT(bh_pool_submit(pool, &request, NULL, NULL), BH_REFUSAL_INVALID);
    request.method = "reply";
    request.argument_count = 1;
    CHECK_INT(bh_pool_submit(pool, &request, NULL, NULL), BH_REFUSAL_INVALID);
    bh_pool_drain(pool);
    request.argument_count = 0;
    CHECK_INT(bh_pool_submit(pool, &request, NULL, NULL), BH_REFUSAL_CLOSING);
    world_close(pool);
    world_end();
}

TEST(in_a_forked_child_nothing_happens)
{
    struct bh_pool_options options = world_options();
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_completion completion;

    world_begin(0);
    bh_pool *pool = open_ready(&options);
    request.method = "reply";
    bhf_fork(true);
    CHECK_INT(bh_pool_submit(pool, &request, NULL, NULL), BH_REFUSAL_FORKED);
    CHECK_INT(bh_pool_take(pool, &completion, 1, BH_WAIT_FOREVER), 0);
    CHECK_INT(bh_pool_waitable(pool), -1);
    bhf_fork(false);
    world_close(pool);
    world_end();
}
