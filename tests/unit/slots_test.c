/* SPDX-License-Identifier: MIT */
/*
 * timeout: 120
 *
 * Small requests that wait in one worker, on the fake platform: order, shares, what happens to
 * those that wait when the one before them dies, hangs or is taken away; and random worlds full of
 * them, in which each ends once and only what a worker had begun is charged. BH_SEED=n runs world n
 * alone.
 */
#include "world.h"

#include "core/pool_internal.h"

#include <stdio.h>
#include <stdlib.h>

static bh_pool *open_ready(struct bh_pool_options *options, uint32_t slots)
{
    bhf_set_slots(slots);
    bh_pool *pool = world_open(options);

    CHECK_INT(bh_pool_wait_ready(pool, 0, 1000, NULL), BH_OK);
    return pool;
}

static struct world_call *prepare(bh_pool *pool, const char *method)
{
    struct world_call *call = world_prepare(pool, method);

    call->way = WORLD_TOLD;
    call->request.small = true;
    return call;
}

static struct world_call *submit(bh_pool *pool, const char *method)
{
    return world_send(prepare(pool, method));
}

/* Keeps every worker busy until the rest is in the queue. Ordinary ones. */
static void block(bh_pool *pool, unsigned workers)
{
    for (unsigned i = 0; i < workers; i++) {
        struct world_call *call = prepare(pool, "reply 10");
        call->request.small = false;
        world_send(call);
    }
    world_sleep(1);
}

static void submit_many(bh_pool *pool, const char *const *methods, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        submit(pool, methods[i]);
    world_sleep(1);
}

static uint32_t waiting(const bh_pool *pool)
{
    return pool->slotted;
}

static void expect(const struct world_call *call, enum bh_outcome outcome, unsigned begun)
{
    if (call->result.outcome != outcome || call->begun != begun)
        FAIL("%s: %s, begun %u", call->method, bh_outcome_name(call->result.outcome), call->begun);
}

/* ---- the way of those that live ---- */

TEST(they_end_in_their_order_and_wait_in_the_worker)
{
    struct bh_pool_options options = world_options();
    struct bh_snapshot snapshot;

    world_begin(0);
    bh_pool *pool = open_ready(&options, 4);
    block(pool, 1);
    for (unsigned i = 0; i < 20; i++)
        submit(pool, "reply 2");
    world_until(17);
    CHECK_INT(waiting(pool), 3);
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.queued, 19);
    CHECK_INT(snapshot.running, 1);
    bh_snapshot_deinit(&snapshot);
    for (unsigned i = 1; i <= 20; i++) {
        expect((world_result(&world.calls[i]), &world.calls[i]), BH_OUTCOME_REPLIED, 1);
        CHECK(bh_value_equal(&world.calls[i].result.reply, &world.calls[i].argument));
        CHECK_INT(world.calls[i].ended_ms, world.calls[0].ended_ms + 2 * i);
        CHECK(i < 2 || world.calls[i].result.serial > world.calls[i - 1].result.serial);
    }
    CHECK_INT(pool->requeued, 0);
    world_close(pool);
    world_end();
}

TEST(an_ordinary_one_is_not_overtaken)
{
    static const char *const methods[] = {"reply", "reply", "reply", "reply"};
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    submit_many(pool, methods, 2);
    block(pool, 1);
    submit_many(pool, methods, 4);
    for (unsigned i = 0; i < 8; i++) {
        world_result(&world.calls[i]);
        CHECK(i == 0 || world.calls[i].ended_ms > world.calls[i - 1].ended_ms);
    }
    world_close(pool);
    world_end();
}

TEST(each_worker_gets_its_share)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    options.min_workers = options.max_workers = 2;
    bh_pool *pool = open_ready(&options, 8);
    CHECK_INT(bh_pool_wait_ready(pool, 2, 1000, NULL), BH_OK);
    block(pool, 1);
    struct world_call *longer = prepare(pool, "reply 20");
    longer->request.small = false;
    world_send(longer);
    int64_t begin = world_ms();
    for (unsigned i = 0; i < 8; i++)
        submit(pool, "reply 5");
    world_until(begin + 11);
    CHECK_INT(waiting(pool), 3); /* and one runs */
    CHECK_INT(pool->queued, 4);
    for (unsigned i = 2; i < 10; i++)
        world_result(&world.calls[i]);
    world_close(pool);
    world_end();
}

TEST(without_slots_nothing_waits_in_a_worker)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_pool *pool = open_ready(&options, 1);
    block(pool, 1);
    for (unsigned i = 0; i < 5; i++)
        submit(pool, "reply 2");
    while (!world.calls[5].ended) {
        CHECK_INT(waiting(pool), 0);
        world_sleep(1);
    }
    world_close(pool);
    world_end();
}

TEST(a_worker_serves_no_more_than_its_limit)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    options.recycle_requests = 3;
    options.recycle_jitter_percent = 0;
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    for (unsigned i = 0; i < 8; i++)
        submit(pool, "reply 2");
    for (unsigned i = 0; i < 9; i++) {
        expect((world_result(&world.calls[i]), &world.calls[i]), BH_OUTCOME_REPLIED, 1);
        CHECK((world.calls[i].cookie == world.calls[i / 3 * 3].cookie));
    }
    CHECK_INT(pool->requeued, 0);
    world_close(pool);
    CHECK_CONTAINS(world.log, "recycle1(recycle-requests)");
    CHECK_CONTAINS(world.log, "recycle3(recycle-requests)");
    world_end();
}

TEST(what_does_not_fit_goes_the_ordinary_way)
{
    static const char *const methods[] = {"reply", "no-method", "too-large", "memory", "reply"};
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    submit_many(pool, methods, 5);
    for (unsigned i = 1; i <= 5; i++)
        world_result(&world.calls[i]);
    CHECK_INT(world.calls[2].result.refusal, BH_REFUSAL_NO_METHOD);
    CHECK_INT(world.calls[3].result.refusal, BH_REFUSAL_TOO_LARGE);
    CHECK_INT(world.calls[4].result.refusal, BH_REFUSAL_MEMORY);
    expect(&world.calls[5], BH_OUTCOME_REPLIED, 1);
    world_close(pool);
    world_end();
}

TEST(large_arguments_are_not_small)
{
    static unsigned char bytes[5000];
    const bh_value large = bh_value_view_bytes(bytes, sizeof(bytes));
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    for (unsigned i = 0; i < 3; i++) {
        struct world_call *call = prepare(pool, "reply 2");
        call->request.arguments = &large;
        world_send(call);
    }
    while (!world.calls[3].ended) {
        CHECK_INT(waiting(pool), 0);
        world_sleep(1);
    }
    CHECK(bh_value_equal(&world.calls[3].result.reply, &large));
    world_close(pool);
    world_end();
}

/* ---- deaths ---- */

TEST(only_the_one_that_had_started_is_charged)
{
    static const char *const methods[] = {"reply", "reply", "die", "reply", "reply", "reply"};
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    submit_many(pool, methods, 6);
    for (unsigned i = 1; i <= 6; i++) {
        struct bh_result *result = world_result(&world.calls[i]);
        expect(&world.calls[i], i == 3 ? BH_OUTCOME_DIED : BH_OUTCOME_REPLIED, 1);
        CHECK_INT(result->attempts, 1);
        if (i != 3)
            continue;
        CHECK_INT(result->death.serial, result->serial);
        CHECK_INT(result->death.served, 3);
        CHECK_INT(result->death.phase, BH_PHASE_REQUEST);
    }
    CHECK_INT(pool->requeued, 3);
    CHECK(world.calls[4].ended_ms < world.calls[5].ended_ms);
    CHECK(world.calls[5].ended_ms < world.calls[6].ended_ms);
    world_close(pool);
    world_end();
}

TEST(a_death_before_the_first_charges_nobody)
{
    static const char *const methods[] = {"reply", "die-unstarted", "reply"};
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    submit_many(pool, methods, 3);
    world_sleep(30);
    CHECK(pool->requeued > 2);
    expect(&world.calls[1], BH_OUTCOME_REPLIED, 1);
    CHECK(!world.calls[2].ended && !world.calls[3].ended);
    bh_pool_drain(pool);
    CHECK_INT(world_result(&world.calls[2])->attempts, 0);
    CHECK_INT(world_result(&world.calls[3])->delivery, BH_DELIVERY_NEVER_STARTED);
    world_close(pool);
    world_end();
}

TEST(behind_a_reply_that_breaks_the_protocol_all_are_in_doubt)
{
    static const char *const methods[] = {"reply", "broken", "reply 9", "reply"};
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    submit_many(pool, methods, 4);
    for (unsigned i = 2; i <= 4; i++) {
        struct bh_result *result = world_result(&world.calls[i]);
        CHECK_INT(result->outcome, BH_OUTCOME_DIED);
        CHECK_INT(result->death.cause, BH_CAUSE_PROTOCOL);
        CHECK_INT(result->death.serial, world.calls[2].result.serial);
    }
    CHECK_INT(pool->requeued, 0);
    world_close(pool);
    world_end();
}

TEST(output_is_of_those_that_could_have_written_it)
{
    static const struct bhf_output talk[] = {{16, "two\n", 0}};
    struct bh_pool_options options = world_options();

    (void)talk;
    world_begin(0);
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    struct world_call *calls[4];
    for (unsigned i = 0; i < 4; i++)
        calls[i] = prepare(pool, i == 2 ? "die 5" : "reply 5");
    for (unsigned i = 0; i < 4; i++)
        world_send(calls[i]);
    struct bh_result *result = world_result(calls[2]);
    CHECK_INT(result->outcome, BH_OUTCOME_DIED);
    for (size_t i = 0; i < result->death.chunk_count; i++)
        CHECK(result->death.chunks[i].last_serial <= result->serial);
    world_close(pool);
    world_end();
}

/* ---- what is taken away while it waits ---- */

TEST(a_waiting_one_is_cancelled_at_once_while_another_hangs)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_cancel *token = bh_cancel_new();
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    submit(pool, "hang");
    for (unsigned i = 0; i < 4; i++) {
        struct world_call *call = prepare(pool, "reply");
        call->request.cancel = i % 2 ? token : NULL;
        world_send(call);
    }
    world_sleep(30);
    CHECK_INT(waiting(pool), 4);
    int64_t at = world_ms();
    bh_cancel_raise(token);
    for (unsigned i = 3; i <= 5; i += 2) {
        expect((world_result(&world.calls[i]), &world.calls[i]), BH_OUTCOME_CANCELLED, 0);
        CHECK_INT(world.calls[i].result.delivery, BH_DELIVERY_NEVER_STARTED);
        CHECK_INT(world.calls[i].ended_ms, at);
    }
    CHECK_INT(waiting(pool), 2);
    CHECK_CONTAINS(world.log, "ready1");
    bh_pool_drain(pool);
    bh_cancel_free(token);
    world_close(pool);
    world_end();
}

TEST(a_waiting_one_has_its_deadline_to_the_millisecond)
{
    static const uint32_t deadlines[] = {40, 25, 30, 22};
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    int64_t begin = world_ms();
    submit(pool, "hang");
    for (unsigned i = 0; i < 4; i++) {
        struct world_call *call = prepare(pool, "reply");
        call->request.deadline_ms = deadlines[i];
        world_send(call);
    }
    for (unsigned i = 0; i < 4; i++) {
        expect((world_result(&world.calls[i + 2]), &world.calls[i + 2]), BH_OUTCOME_DEADLINE, 0);
        CHECK_INT(world.calls[i + 2].ended_ms, begin + deadlines[i]);
    }
    CHECK_INT(waiting(pool), 0);
    world_close(pool);
    world_end();
}

TEST(those_behind_one_that_is_given_up_go_elsewhere_at_once)
{
    static const char *const behind[] = {"reply", "reply", "reply", "reply", "reply"};
    struct bh_pool_options options = world_options();

    world_begin(0);
    options.min_workers = options.max_workers = 2;
    options.grace_ms = 100;
    bh_pool *pool = open_ready(&options, 8);
    CHECK_INT(bh_pool_wait_ready(pool, 2, 1000, NULL), BH_OK);
    block(pool, 1);
    struct world_call *long_one = prepare(pool, "reply 70");
    long_one->request.small = false;
    world_send(long_one);
    struct world_call *hangs = prepare(pool, "hang");
    hangs->request.deadline_ms = 40;
    world_send(hangs);
    submit_many(pool, behind, 5);
    world_sleep(25);
    CHECK(waiting(pool) > 0);
    expect((world_result(hangs), hangs), BH_OUTCOME_DEADLINE, 1);
    CHECK(hangs->ended_ms >= 140);
    for (unsigned i = 3; i < 8; i++) {
        expect(&world.calls[i], BH_OUTCOME_REPLIED, 1);
        CHECK(world.calls[i].ended_ms < hangs->ended_ms - 50);
        CHECK(world.calls[i].cookie != hangs->cookie);
    }
    CHECK(pool->requeued > 0);
    world_close(pool);
    world_end();
}

TEST(nothing_waits_behind_one_that_hangs_while_a_worker_is_free)
{
    static const char *const first[] = {"hang",  "hang",  "reply", "reply",
                                        "reply", "reply", "reply"};
    struct bh_pool_options options = world_options();

    world_begin(0);
    options.min_workers = options.max_workers = 3;
    bh_pool *pool = open_ready(&options, 8);
    CHECK_INT(bh_pool_wait_ready(pool, 3, 1000, NULL), BH_OK);
    block(pool, 3);
    submit_many(pool, first, 7);
    world_sleep(40);
    for (unsigned i = 5; i < 10; i++)
        expect(&world.calls[i], BH_OUTCOME_REPLIED, 1);
    CHECK_INT(waiting(pool), 0);
    CHECK_INT(pool->count[BH_WORKER_IDLE], 1);
    CHECK_INT(pool->requeued, 0);
    bh_pool_drain(pool);
    world_close(pool);
    world_end();
}

TEST(one_that_gives_up_leaves_a_worker_that_goes_on)
{
    static const char *const behind[] = {"reply", "reply", "reply"};
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    struct world_call *gives_up = prepare(pool, "cooperate 3");
    gives_up->request.deadline_ms = 20;
    world_send(gives_up);
    submit_many(pool, behind, 3);
    expect((world_result(gives_up), gives_up), BH_OUTCOME_DEADLINE, 1);
    for (unsigned i = 2; i < 5; i++) {
        expect((world_result(&world.calls[i]), &world.calls[i]), BH_OUTCOME_REPLIED, 1);
        CHECK(world.calls[i].cookie == gives_up->cookie);
    }
    world_close(pool);
    world_end();
}

TEST(a_drain_lets_them_end_and_takes_away_what_is_left)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    options.drain_timeout_ms = 20;
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    submit(pool, "reply 5");
    submit(pool, "cooperate");
    submit(pool, "reply");
    world_until(17);
    CHECK_INT(waiting(pool), 2);
    bh_pool_drain(pool);
    expect((world_result(&world.calls[1]), &world.calls[1]), BH_OUTCOME_REPLIED, 1);
    expect((world_result(&world.calls[2]), &world.calls[2]), BH_OUTCOME_CANCELLED, 1);
    CHECK_INT(world_result(&world.calls[3])->refusal, BH_REFUSAL_CLOSING);
    CHECK_INT(world.calls[3].begun, 0);
    world_close(pool);
    world_end();
}

/* ---- workers that lie ---- */

static void plan_lies(const struct bhp_call *call, struct bhf_request *plan)
{
    (void)call;
    plan->silent = plan->end_ms == 7;
    plan->lies = plan->end_ms == 8;
}

TEST(a_worker_that_never_rings_is_killed_in_the_end)
{
    static const char *const behind[] = {"reply", "hang", "reply"};
    struct bh_pool_options options = world_options();

    world_begin(0);
    world.on_request = plan_lies;
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    struct world_call *silent = prepare(pool, "reply 7");
    silent->request.deadline_ms = 50;
    world_send(silent);
    submit_many(pool, behind, 3);
    expect((world_result(silent), silent), BH_OUTCOME_DEADLINE, 1);
    CHECK_INT(silent->result.death.cause, BH_CAUSE_PROTOCOL);
    CHECK(silent->ended_ms >= 10000 && silent->ended_ms < 11000);
    expect((world_result(&world.calls[2]), &world.calls[2]), BH_OUTCOME_REPLIED, 1);
    expect((world_result(&world.calls[3]), &world.calls[3]), BH_OUTCOME_DIED, 1);
    expect((world_result(&world.calls[4]), &world.calls[4]), BH_OUTCOME_REPLIED, 1);
    world_close(pool);
    world_end();
}

TEST(a_worker_that_is_ahead_of_itself_is_killed_at_once)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    world.on_request = plan_lies;
    bh_cancel *token = bh_cancel_new();
    bh_pool *pool = open_ready(&options, 8);
    block(pool, 1);
    submit(pool, "hang");
    submit(pool, "reply");
    struct world_call *lies = prepare(pool, "reply 8");
    lies->request.cancel = token;
    world_send(lies);
    world_sleep(30);
    bh_cancel_raise(token);
    expect((world_result(lies), lies), BH_OUTCOME_CANCELLED, 0);
    expect((world_result(&world.calls[1]), &world.calls[1]), BH_OUTCOME_DIED, 1);
    CHECK_INT(world.calls[1].result.death.cause, BH_CAUSE_PROTOCOL);
    CHECK_CONTAINS(world.calls[1].result.death.detail, "began a request in its slots before");
    CHECK_INT(world_result(&world.calls[2])->outcome, BH_OUTCOME_DIED); /* in doubt */
    bh_cancel_free(token);
    world_close(pool);
    world_end();
}

/* ---- random worlds ---- */

#define CALLS 40
#define TOKENS 3

static bh_cancel *tokens[TOKENS];

static struct bhf_start life_of(struct bhf_start plan)
{
    plan.started_ms = 0;
    plan.ready_ms = world_random(4);
    plan.kill_ms = world_random(4);
    plan.quit_ms = world_random(3);
    if (world_random(6) == 0) {
        plan.exit_ms = world_random(80);
        plan.end = world_random(2) ? bhf_end_signal(11) : bhf_end_exit(0, true);
    }
    return plan;
}

static void any_start(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    *plan = life_of(*plan);
}

static void any_request(const struct bhp_call *call, struct bhf_request *plan)
{
    (void)call;
    plan->begin_ms = world_random(3) ? 0 : world_random(4);
    plan->end_ms = plan->begin_ms + world_random(6);
    plan->nudged_ms = world_random(12);
    plan->output = world_random(4) ? NULL : "said\n";
}

static void send_any(bh_pool *pool)
{
    static const char *const methods[] = {
        "reply", "reply", "reply",     "reply",         "reply",         "fail",
        "die",   "hang",  "cooperate", "die-unstarted", "die-committed", "no-method"};
    struct world_call *call = prepare(pool, methods[world_random(12)]);
    uint32_t token = world_random(3 * TOKENS);

    call->way = world_random(2) ? WORLD_TOLD : WORLD_TAKEN;
    if (world_random(12) == 0)
        call->way = WORLD_CALLER;
    call->wait_ms = world_random(30);
    call->request.small = world_random(15) > 0;
    call->request.retries = world_random(4) == 0;
    if (call->method[0] == 'h' || call->method[0] == 'c' || world_random(5) == 0)
        call->request.deadline_ms = 5 + world_random(60);
    call->request.cancel = token < TOKENS ? tokens[token] : NULL;
    world_send(call);
}

static struct bh_pool_options any_options(void)
{
    struct bh_pool_options options = world_options();

    options.max_workers = 1 + world_random(3);
    options.min_workers = world_random(options.max_workers + 1);
    options.grace_ms = world_random(2) * 8;
    options.recycle_requests = world_random(3) ? 0 : 1 + world_random(9);
    options.no_progress_ms = world_random(4) ? 0 : 20;
    options.drain_timeout_ms = world_random(2) * 40;
    options.crash_loop_limit = 1000;
    options.backoff_initial_ms = 1;
    options.backoff_max_ms = 2;
    options.deadline_ms = 400;
    return options;
}

/* A death charges one request at most, and the one that it names. */
static void check_end(const struct world_call *call)
{
    const struct bh_result *result = &call->result;

    MUST((call->begun > 0) == (result->delivery != BH_DELIVERY_NEVER_STARTED));
    MUST(call->begun <= result->attempts);
    MUST(result->attempts <= call->request.retries + 1);
    MUST(result->outcome != BH_OUTCOME_REPLIED || bh_value_equal(&result->reply, &call->argument));
    if (result->outcome != BH_OUTCOME_DIED)
        return;
    MUST(result->has_death && result->death.phase == BH_PHASE_REQUEST);
    MUST(result->death.serial == result->serial);
    MUST(result->death.cause != BH_CAUSE_DEADLINE && result->death.cause != BH_CAUSE_CANCELLED);
    for (size_t i = 0; i < world.call_count; i++) {
        const struct world_call *other = &world.calls[i];
        MUST(other == call || other->result.outcome != BH_OUTCOME_DIED ||
             other->result.death.cookie != result->death.cookie);
    }
}

static uint64_t taken_along, gone_back;

static void live(uint64_t seed)
{
    world_begin(seed);
    struct bh_pool_options options = any_options();
    world.on_start = any_start;
    world.on_request = any_request;
    bhf_set_slots(2 + world_random(BHF_SLOTS - 1));
    for (unsigned i = 0; i < TOKENS; i++)
        tokens[i] = bh_cancel_new();
    bh_pool *pool = world_open(&options);
    for (unsigned i = 0; i < CALLS; i++)
        send_any(pool);
    for (unsigned i = 0; i < TOKENS; i++) {
        world_sleep(world_random(25));
        taken_along += pool->slotted;
        bh_cancel_raise(tokens[i]);
    }
    if (world_random(3) == 0)
        bh_pool_replace(pool);
    if (world_random(6) == 0)
        bhf_lose_nurseries();
    while (pool->submitted < CALLS)
        world_sleep(1);
    if (world_random(2))
        world_sleep(300);
    gone_back += pool->requeued;
    bh_pool_drain(pool);
    world_take(pool, BH_WAIT_FOREVER);
    for (size_t i = 0; i < world.call_count; i++)
        world_result(&world.calls[i]);
    for (size_t i = 0; i < world.call_count; i++)
        check_end(&world.calls[i]);
    world_close(pool);
    for (unsigned i = 0; i < TOKENS; i++)
        bh_cancel_free(tokens[i]);
    world_end();
}

TEST_TIMEOUT(whatever_happens_each_ends_once_and_a_death_charges_one, 110)
{
    const char *alone = getenv("BH_SEED");
    uint64_t first = alone ? strtoull(alone, NULL, 10) : 1;
    uint64_t last = alone ? first : (KIT_WINDOWS ? 600 : 2000) / (unsigned)kit_slowdown();

    for (uint64_t seed = first; seed <= last; seed++)
        live(seed);
    printf("# %llu seen in slots, %llu went back\n", (unsigned long long)taken_along,
           (unsigned long long)gone_back);
    CHECK(alone || taken_along > last);
    world_leave();
}
