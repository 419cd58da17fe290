/* SPDX-License-Identifier: MIT */
/*
 * Requests on the fake platform, with a virtual clock: each outcome with each delivery, retries,
 * going back, deadlines and cancels wherever the request is, refusals, what result and record say.
 *
 * A method's name is what its worker does; see world.c.
 */
#include "world.h"

#include "core/pool_internal.h"

#include <stdio.h>
#include <string.h>

static void expect(const struct bh_result *result, enum bh_outcome outcome,
                   enum bh_delivery delivery)
{
    if (result->outcome != outcome || result->delivery != delivery)
        FAIL("%s, %s (%s: %s), not %s, %s", bh_outcome_name(result->outcome),
             bh_delivery_name(result->delivery), bh_refusal_name(result->refusal),
             result->text ? result->text : "", bh_outcome_name(outcome),
             bh_delivery_name(delivery));
    CHECK_INT(result->refusal != BH_REFUSAL_NONE, outcome == BH_OUTCOME_REFUSED);
}

static void expect_refused(const struct bh_result *result, enum bh_refusal refusal,
                           const char *text)
{
    CHECK_INT(result->outcome, BH_OUTCOME_REFUSED);
    CHECK_STR(bh_refusal_name(result->refusal), bh_refusal_name(refusal));
    CHECK_CONTAINS(result->text, text);
}

/* A pool with one ready worker at 5 ms. */
static bh_pool *one_worker(struct bh_pool_options *options)
{
    bh_pool *pool = world_open(options);

    CHECK_INT(bh_pool_wait_ready(pool, 0, 1000, NULL), BH_OK);
    return pool;
}

/* Most tests: a world, one request, its result. */
static void expect_of(const char *method, enum bh_outcome outcome, enum bh_delivery delivery)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    expect(world_ask(pool, method), outcome, delivery);
    CHECK_INT(pool->outcomes[outcome], 1);
    world_close(pool);
    world_end();
}

/* ---- outcomes ---- */

TEST(a_reply_is_the_handlers_value)
{
    struct bh_pool_options options = world_options();
    const struct bh_result *result;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    result = world_ask(pool, "reply 20");
    expect(result, BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    CHECK_INT(result->reply.as.int64, 1);
    CHECK(result->serial > 0 && !result->has_death && !result->text);
    CHECK_INT(result->attempts, 1);
    CHECK_INT(result->elapsed_us, 20000);
    CHECK_INT(result->queued_us, 0);
    world_close(pool);
    world_end();
}

TEST(a_failure_is_the_handlers_code_and_text)
{
    struct bh_pool_options options = world_options();
    const struct bh_result *result;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    result = world_ask(pool, "fail");
    expect(result, BH_OUTCOME_FAILED, BH_DELIVERY_COMMITTED);
    CHECK_INT(result->code, 7);
    CHECK_STR(result->text, "as planned");
    expect(world_ask(pool, "reply"), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    CHECK_STR(world.log, "started1 ready1 ");
    world_close(pool);
    world_end();
}

TEST(a_death_is_told_with_its_record_and_the_next_request_is_served)
{
    struct bh_pool_options options = world_options();
    const struct bh_result *result;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    world_ask(pool, "reply");
    result = world_ask(pool, "die 30");
    expect(result, BH_OUTCOME_DIED, BH_DELIVERY_STARTED);
    CHECK(result->has_death);
    CHECK_INT(result->death.cause, BH_CAUSE_FAULT);
    CHECK_INT(result->death.phase, BH_PHASE_REQUEST);
    CHECK_INT(result->death.serial, result->serial);
    CHECK_INT(result->death.served, 1);
    CHECK_INT(result->death.uptime_ms, 5 + 1 + 30);
    CHECK(result->death.pid > 0);
    CHECK_INT(result->attempts, 1);
    expect(world_ask(pool, "reply"), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    CHECK_STR(world.log, "started1 ready1 died1(fault) started2 ready2 ");
    world_close(pool);
    world_end();
}

TEST(a_reply_that_was_committed_before_the_death_is_a_reply)
{
    struct bh_pool_options options = world_options();
    const struct bh_result *result;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    result = world_ask(pool, "die-committed");
    expect(result, BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    CHECK_INT(result->reply.as.int64, 1);
    CHECK_INT(pool->deaths[BH_PHASE_IDLE][BH_CAUSE_FAULT], 1);
    world_close(pool);
    world_end();
}

TEST(a_worker_that_breaks_the_protocol_is_killed_for_it)
{
    struct bh_pool_options options = world_options();
    const struct bh_result *result;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    result = world_ask(pool, "broken");
    expect(result, BH_OUTCOME_DIED, BH_DELIVERY_STARTED);
    CHECK_INT(result->death.cause, BH_CAUSE_PROTOCOL);
    CHECK_INT(result->death.phase, BH_PHASE_REQUEST);
    CHECK_STR(result->death.detail, "as planned");
    world_close(pool);
    world_end();
}

TEST(what_is_never_sent_is_refused_and_harms_no_worker)
{
    static const struct {
        const char *method;
        enum bh_refusal refusal;
        const char *text;
    } cases[] = {
        {"no-method", BH_REFUSAL_NO_METHOD, "no method \"no-method\""},
        {"too-large", BH_REFUSAL_TOO_LARGE, "max-request-mib"},
        {"invalid", BH_REFUSAL_INVALID, "argument 1 is a handle"},
        {"memory", BH_REFUSAL_MEMORY, "no memory for the request"},
    };
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct bh_result *result = world_ask(pool, cases[i].method);
        expect_refused(result, cases[i].refusal, cases[i].text);
        CHECK_INT(result->delivery, BH_DELIVERY_NEVER_STARTED);
        CHECK_INT(result->attempts, 0);
    }
    CHECK_INT(pool->lives->served, 0);
    expect(world_ask(pool, "reply"), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    world_close(pool);
    world_end();
}

TEST(a_reply_without_memory_for_it_is_refused_as_committed)
{
    expect_of("unreadable", BH_OUTCOME_REFUSED, BH_DELIVERY_COMMITTED);
}

TEST(bad_requests_are_refused_and_counted)
{
    struct bh_pool_options options = world_options();
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_result result;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    bh_pool_call(pool, &request, &result);
    expect_refused(&result, BH_REFUSAL_INVALID, "names no method");
    bh_result_deinit(&result);
    request.method = "reply";
    request.argument_count = 2;
    bh_pool_call(pool, &request, &result);
    expect_refused(&result, BH_REFUSAL_INVALID, "2 arguments at NULL");
    bh_result_deinit(&result);
    request.size = 3;
    CHECK_INT(bh_pool_call(pool, &request, &result), BH_OUTCOME_REFUSED);
    bh_result_deinit(&result);
    CHECK_INT(bh_pool_call(pool, NULL, &result), BH_OUTCOME_REFUSED);
    bh_result_deinit(&result);
    CHECK_INT(pool->refusals[BH_REFUSAL_INVALID], 4);
    CHECK_INT(pool->submitted, 4);
    CHECK_INT(bh_pool_invoke(pool, "reply", NULL, 0, &result), BH_OUTCOME_REPLIED);
    CHECK_INT(result.reply.type, BH_NULL);
    bh_result_deinit(&result);
    world_close(pool);
    world_end();
}

/* ---- going round again ---- */

static void die_unstarted_at_first(const struct bhp_call *call, struct bhf_request *plan)
{
    static unsigned count;

    if (strcmp(call->method, "first") == 0)
        plan->deed = ++count <= 2 ? BHF_DIE_UNSTARTED : BHF_REPLY;
}

TEST(what_never_started_goes_back_and_is_charged_to_nobody)
{
    struct bh_pool_options options = world_options();
    const struct bh_result *result;
    bh_pool *pool;

    world_begin(0);
    world.on_request = die_unstarted_at_first;
    pool = one_worker(&options);
    result = world_ask(pool, "first");
    expect(result, BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    CHECK_INT(result->attempts, 1);
    CHECK_INT(pool->requeued, 2);
    CHECK_INT(pool->retried, 0);
    CHECK_INT(pool->deaths[BH_PHASE_IDLE][BH_CAUSE_FAULT], 2);
    world_close(pool);
    world_end();
}

/* Three run when the launcher is lost before they began, one waits: the three go back before it, in
 * the order in which they came. */
static void begin_late(const struct bhp_call *call, struct bhf_request *plan)
{
    (void)call;
    plan->begin_ms = 10;
    plan->end_ms = 20;
}

TEST(who_comes_back_waits_at_the_head_in_the_old_order)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    world.on_request = begin_late;
    options.min_workers = options.max_workers = 3;
    pool = one_worker(&options);
    for (unsigned i = 0; i < 4; i++) {
        world_call(pool, "reply");
        world_sleep(1);
    }
    bhf_lose_nurseries();
    world_sleep(1);
    CHECK_INT(pool->queued, 4);
    CHECK_INT(pool->requeued, 3);
    uint64_t order = 0;
    for (const struct bhi_ticket *ticket = pool->queue; ticket; ticket = ticket->next)
        CHECK_INT(ticket->order, ++order);
    for (unsigned i = 0; i < 4; i++)
        expect(world_result(&world.calls[i]), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    CHECK(world.calls[3].ended_ms > world.calls[2].ended_ms);
    world_close(pool);
    world_end();
}

TEST(a_repeatable_request_is_retried_as_often_as_it_says)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    call = world_prepare(pool, "die");
    call->request.retries = 2;
    world_send(call);
    expect(world_result(call), BH_OUTCOME_DIED, BH_DELIVERY_STARTED);
    CHECK_INT(call->result.attempts, 3);
    CHECK_INT(call->begun, 3);
    CHECK_INT(pool->retried, 2);
    CHECK_INT(pool->requeued, 0);
    CHECK_INT(pool->starts, 4);
    world_close(pool);
    world_end();
}

static void die_once(const struct bhp_call *call, struct bhf_request *plan)
{
    static unsigned count;

    (void)call;
    if (count++ == 0)
        plan->deed = BHF_DIE;
}

TEST(a_retry_may_succeed)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    world.on_request = die_once;
    pool = one_worker(&options);
    call = world_prepare(pool, "reply");
    call->request.retries = 5;
    world_send(call);
    expect(world_result(call), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    CHECK_INT(call->result.attempts, 2);
    CHECK(!call->result.has_death);
    world_close(pool);
    world_end();
}

/* The first attempt began and died, the second waits in the queue when its time is over. */
TEST(never_started_is_not_said_of_a_request_whose_earlier_attempt_began)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    call = world_prepare(pool, "die 10");
    call->request.retries = 1;
    call->request.deadline_ms = 12;
    world_send(call);
    expect(world_result(call), BH_OUTCOME_DEADLINE, BH_DELIVERY_STARTED);
    CHECK_INT(call->result.attempts, 1);
    world_close(pool);
    world_end();
}

/* ---- deadlines ---- */

static struct world_call *with_deadline(bh_pool *pool, const char *method, uint32_t ms)
{
    struct world_call *call = world_prepare(pool, method);

    call->request.deadline_ms = ms;
    return world_send(call);
}

TEST(a_deadline_in_the_queue_ends_there_on_time)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    world_call(pool, "reply 100");
    world_sleep(1);
    call = with_deadline(pool, "reply", 30);
    expect(world_result(call), BH_OUTCOME_DEADLINE, BH_DELIVERY_NEVER_STARTED);
    CHECK_INT(call->ended_ms, 5 + 1 + 30);
    CHECK_INT(call->begun, 0);
    CHECK_INT(call->result.serial, 0);
    CHECK_STR(call->result.text, "not done within 30 ms");
    CHECK_INT(call->result.queued_us, 30000);
    world_close(pool);
    world_end();
}

TEST(a_deadline_kills_a_hanging_worker_after_the_grace)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    options.grace_ms = 7;
    pool = one_worker(&options);
    call = with_deadline(pool, "hang", 50);
    expect(world_result(call), BH_OUTCOME_DEADLINE, BH_DELIVERY_STARTED);
    CHECK_INT(call->ended_ms, 5 + 50 + 7 + 1);
    CHECK(call->result.has_death);
    CHECK_INT(call->result.death.cause, BH_CAUSE_DEADLINE);
    CHECK_INT(call->result.death.phase, BH_PHASE_REQUEST);
    expect(world_ask(pool, "reply"), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    world_close(pool);
    world_end();
}

TEST(a_cooperative_handler_keeps_its_worker)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    call = with_deadline(pool, "cooperate 20", 50);
    expect(world_result(call), BH_OUTCOME_DEADLINE, BH_DELIVERY_COMMITTED);
    CHECK_INT(call->ended_ms, 5 + 50 + 20);
    CHECK(!call->result.has_death);
    expect(world_ask(pool, "reply"), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    CHECK_STR(world.log, "started1 ready1 ");
    world_close(pool);
    world_end();
}

TEST(who_gives_up_too_slowly_is_killed)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    options.grace_ms = 10;
    pool = one_worker(&options);
    call = with_deadline(pool, "cooperate 20", 50);
    expect(world_result(call), BH_OUTCOME_DEADLINE, BH_DELIVERY_STARTED);
    CHECK_INT(call->result.death.cause, BH_CAUSE_DEADLINE);
    world_close(pool);
    world_end();
}

TEST(the_pools_own_deadline_holds_for_requests_without_one)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    options.deadline_ms = 40;
    options.grace_ms = 0;
    pool = one_worker(&options);
    call = world_call(pool, "hang");
    expect(world_result(call), BH_OUTCOME_DEADLINE, BH_DELIVERY_STARTED);
    CHECK_INT(call->ended_ms, 5 + 40 + 1);
    call = with_deadline(pool, "reply 60", 100);
    expect(world_result(call), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    world_close(pool);
    world_end();
}

static void begin_never(const struct bhp_call *call, struct bhf_request *plan)
{
    if (strcmp(call->method, "hang") == 0)
        plan->begin_ms = BHF_NEVER;
}

TEST(a_request_that_its_worker_never_began_is_never_started_even_after_the_kill)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    world.on_request = begin_never;
    pool = one_worker(&options);
    call = with_deadline(pool, "hang", 50);
    expect(world_result(call), BH_OUTCOME_DEADLINE, BH_DELIVERY_NEVER_STARTED);
    CHECK(call->result.has_death);
    CHECK_INT(call->result.death.phase, BH_PHASE_IDLE);
    CHECK_INT(call->result.attempts, 0);
    world_close(pool);
    world_end();
}

/* The worker answers in the grace, but breaks the protocol: waiting for the grace, which may be a
 * day, would be waiting for nothing. */
TEST(a_broken_reply_after_the_deadline_ends_the_worker_at_once)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    options.grace_ms = 100000;
    pool = one_worker(&options);
    call = with_deadline(pool, "broken 60", 50);
    expect(world_result(call), BH_OUTCOME_DEADLINE, BH_DELIVERY_COMMITTED);
    CHECK_INT(call->ended_ms, 5 + 60 + 1);
    CHECK_INT(call->result.death.cause, BH_CAUSE_PROTOCOL);
    world_close(pool);
    world_end();
}

/* Its worker dies unstarted in the very moment in which its time is over, and another is idle. */
TEST(who_comes_back_too_late_is_not_sent_again)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    options.min_workers = options.max_workers = 2;
    pool = one_worker(&options);
    call = with_deadline(pool, "die-unstarted 50", 50);
    expect(world_result(call), BH_OUTCOME_DEADLINE, BH_DELIVERY_NEVER_STARTED);
    CHECK_INT(call->ended_ms, 5 + 50);
    CHECK_INT(pool->lives->served, 0);
    world_sleep(100);
    CHECK_INT(pool->deaths[BH_PHASE_IDLE][BH_CAUSE_FAULT], 1);
    world_close(pool);
    world_end();
}

/* ---- signs of life ---- */

static void make_progress(const struct bhp_call *call, struct bhf_request *plan)
{
    plan->progress_total = 10;
    if (strcmp(call->method, "reply 200") == 0)
        plan->progress_ms = 20;
}

TEST(silence_is_told_from_slowness)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    world.on_request = make_progress;
    options.no_progress_ms = 50;
    options.grace_ms = 5;
    pool = one_worker(&options);
    expect(world_ask(pool, "reply 200"), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    call = world_call(pool, "reply 201");
    expect(world_result(call), BH_OUTCOME_DEADLINE, BH_DELIVERY_STARTED);
    CHECK_STR(call->result.text, "no progress for 50 ms");
    CHECK_INT(call->result.death.cause, BH_CAUSE_NO_PROGRESS);
    CHECK(call->result.elapsed_us >= 50000 && call->result.elapsed_us <= 106000);
    call = world_prepare(pool, "reply 201");
    call->request.no_progress_ms = 1000;
    expect(world_result(world_send(call)), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    world_close(pool);
    world_end();
}

/* The progress of the request before does not count for this one. */
TEST(who_never_even_begins_is_silent_from_the_start)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    world.on_request = begin_never;
    options.no_progress_ms = 50;
    options.grace_ms = 5;
    pool = one_worker(&options);
    expect(world_ask(pool, "reply 10"), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    call = world_call(pool, "hang");
    expect(world_result(call), BH_OUTCOME_DEADLINE, BH_DELIVERY_NEVER_STARTED);
    CHECK_INT(call->result.elapsed_us, 1000 * (50 + 5 + 1));
    world_close(pool);
    world_end();
}

TEST(a_snapshot_shows_request_and_progress)
{
    struct bh_pool_options options = world_options();
    struct bh_snapshot snapshot;
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    world.on_request = make_progress;
    pool = one_worker(&options);
    call = world_call(pool, "reply 200");
    world_sleep(50);
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.worker_count, 1);
    CHECK_INT(snapshot.workers[0].state, BH_WORKER_BUSY);
    CHECK_STR(snapshot.workers[0].method, "reply 200");
    CHECK_INT(snapshot.workers[0].request_age_ms, 50);
    CHECK_INT(snapshot.workers[0].uptime_ms, 55);
    CHECK_INT(snapshot.workers[0].progress_done, 2);
    CHECK_INT(snapshot.workers[0].progress_total, 10);
    bh_snapshot_deinit(&snapshot);
    world_result(call);
    world_close(pool);
    world_end();
}

/* ---- cancel ---- */

static struct world_call *with_token(bh_pool *pool, const char *method, bh_cancel *token)
{
    struct world_call *call = world_prepare(pool, method);

    call->request.cancel = token;
    return world_send(call);
}

TEST(a_raised_token_ends_requests_wherever_they_are)
{
    struct bh_pool_options options = world_options();
    struct world_call *running, *queued, *later;
    bh_cancel *token;
    bh_pool *pool;

    world_begin(0);
    options.grace_ms = 10;
    pool = one_worker(&options);
    token = bh_cancel_new();
    running = with_token(pool, "hang", token);
    queued = with_token(pool, "reply", token);
    world_sleep(20);
    CHECK_INT(pool->queued, 1);
    bh_cancel_raise(token);
    bh_cancel_raise(token);
    expect(world_result(queued), BH_OUTCOME_CANCELLED, BH_DELIVERY_NEVER_STARTED);
    CHECK_INT(queued->ended_ms, 25);
    CHECK_STR(queued->result.text, "cancelled by the caller");
    expect(world_result(running), BH_OUTCOME_CANCELLED, BH_DELIVERY_STARTED);
    CHECK_INT(running->ended_ms, 25 + 10 + 1);
    CHECK_INT(running->result.death.cause, BH_CAUSE_CANCELLED);
    later = with_token(pool, "reply", token);
    expect(world_result(later), BH_OUTCOME_CANCELLED, BH_DELIVERY_NEVER_STARTED);
    CHECK_INT(later->begun, 0);
    expect(world_ask(pool, "reply"), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    bh_cancel_free(token);
    world_close(pool);
    world_end();
}

TEST(a_cancel_can_be_cooperated_with)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_cancel *token;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    token = bh_cancel_new();
    call = with_token(pool, "cooperate 5", token);
    world_sleep(20);
    bh_cancel_raise(token);
    expect(world_result(call), BH_OUTCOME_CANCELLED, BH_DELIVERY_COMMITTED);
    CHECK_INT(call->ended_ms, 30);
    CHECK(!call->result.has_death);
    bh_cancel_free(token);
    world_close(pool);
    world_end();
}

static bh_cancel *raised_by_event;

static void raise_when_dead(const struct bh_event *event)
{
    if (event->type == BH_EVENT_DIED)
        bh_cancel_raise(raised_by_event);
}

/* The worker died before it began the request, and before the request went back to the queue its
 * token was raised: it must not be sent again. */
TEST(a_cancel_at_the_death_keeps_the_request_from_going_back)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    world.on_event = raise_when_dead;
    raised_by_event = bh_cancel_new();
    pool = one_worker(&options);
    call = with_token(pool, "die-unstarted", raised_by_event);
    expect(world_result(call), BH_OUTCOME_CANCELLED, BH_DELIVERY_NEVER_STARTED);
    bh_cancel_free(raised_by_event);
    world_close(pool);
    world_end();
}

static void die_slowly(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    plan->kill_ms = 20;
}

/* The attempt is over, its worker is being killed, and its caller waits for the record. */
TEST(a_cancel_between_two_attempts_is_not_lost)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_cancel *token;
    bh_pool *pool;

    world_begin(0);
    world.on_start = die_slowly;
    pool = one_worker(&options);
    token = bh_cancel_new();
    call = world_prepare(pool, "broken 10");
    call->request.cancel = token;
    call->request.retries = 3;
    world_send(call);
    world_sleep(20);
    bh_cancel_raise(token);
    expect(world_result(call), BH_OUTCOME_DIED, BH_DELIVERY_STARTED);
    CHECK_INT(call->result.attempts, 1);
    CHECK_INT(pool->retried, 0);
    bh_cancel_free(token);
    world_close(pool);
    world_end();
}

/* ---- claims hit nobody else ---- */

TEST(a_nudge_for_one_request_never_reaches_the_next)
{
    struct bh_pool_options options = world_options();
    struct world_call *first, *second;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    first = with_deadline(pool, "reply 51", 50); /* answers just after the claim */
    second = with_deadline(pool, "cooperate", 200);
    expect(world_result(first), BH_OUTCOME_DEADLINE, BH_DELIVERY_COMMITTED);
    world_sleep(50);
    CHECK(!second->ended);
    expect(world_result(second), BH_OUTCOME_DEADLINE, BH_DELIVERY_COMMITTED);
    CHECK_INT(second->ended_ms, 5 + 200 + 1);
    CHECK_STR(world.log, "started1 ready1 ");
    world_close(pool);
    world_end();
}

/* ---- closing ---- */

TEST(drain_refuses_what_waits_and_lets_run_what_runs)
{
    struct bh_pool_options options = world_options();
    struct world_call *running, *queued, *later;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    running = world_call(pool, "reply 50");
    queued = world_call(pool, "reply");
    world_sleep(10);
    bh_pool_drain(pool);
    bh_pool_drain(pool);
    later = world_call(pool, "reply");
    expect_refused(world_result(queued), BH_REFUSAL_CLOSING, "closing");
    expect_refused(world_result(later), BH_REFUSAL_CLOSING, "closing");
    CHECK_INT(queued->ended_ms, 15);
    expect(world_result(running), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    world_close(pool);
    CHECK_STR(world.log,
              "started1 ready1 recycle1(closing) refused(closing) refused(closing) quit1 ");
    world_end();
}

TEST(when_the_drains_time_is_over_what_runs_is_taken_away)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    options.drain_timeout_ms = 30;
    options.grace_ms = 10;
    pool = one_worker(&options);
    call = world_call(pool, "hang");
    world_sleep(10);
    world_close(pool);
    CHECK_INT(world_ms(), 15 + 30 + 10 + 1);
    expect(&call->result, BH_OUTCOME_CANCELLED, BH_DELIVERY_STARTED);
    CHECK_STR(call->result.text, "the pool closed and its drain timeout of 30 ms was over");
    CHECK_INT(call->result.death.cause, BH_CAUSE_CANCELLED);
    world_end();
}

TEST(a_request_without_a_place_to_go_back_to_is_refused)
{
    struct bh_pool_options options = world_options();
    struct world_call *call;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    call = world_call(pool, "die-unstarted 20");
    world_sleep(10);
    bh_pool_drain(pool);
    expect_refused(world_result(call), BH_REFUSAL_CLOSING, "closing");
    CHECK_INT(call->result.delivery, BH_DELIVERY_NEVER_STARTED);
    world_close(pool);
    world_end();
}

/* ---- the queue ---- */

TEST(the_queue_has_its_length_and_its_order)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    options.queue_length = 2;
    pool = one_worker(&options);
    for (unsigned i = 0; i < 4; i++)
        world_call(pool, "reply 10");
    expect_refused(world_result(&world.calls[3]), BH_REFUSAL_QUEUE_FULL, "2 requests wait already");
    CHECK_INT(world.calls[3].ended_ms, 5);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(world_result(&world.calls[i])->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(world.calls[0].ended_ms, 15);
    CHECK_INT(world.calls[1].ended_ms, 25);
    CHECK_INT(world.calls[2].ended_ms, 35);
    CHECK_INT(world.calls[2].result.queued_us, 20000);
    CHECK_INT(pool->wait.count, 3);
    CHECK_INT(pool->wait.max_us, 20000);
    CHECK_INT(pool->latency.max_us, 30000);
    world_close(pool);
    world_end();
}

/* While a ticket ended in the queue and its caller has not noticed yet, it is still counted. */
static bh_pool *seen_pool;
static unsigned seen_snapshots;

static void look(const struct bh_event *event)
{
    struct bh_snapshot snapshot;
    uint64_t ended = 0;

    (void)event;
    CHECK_INT(bh_pool_snapshot(seen_pool, &snapshot), BH_OK);
    for (unsigned i = 0; i < BH_OUTCOME_COUNT; i++)
        ended += snapshot.outcome[i];
    CHECK_INT(snapshot.submitted, ended + snapshot.queued + snapshot.running);
    bh_snapshot_deinit(&snapshot);
    seen_snapshots++;
}

TEST(counters_agree_at_every_moment)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    seen_pool = one_worker(&options);
    world.on_event = look;
    world_call(seen_pool, "hang");
    for (unsigned i = 0; i < 5; i++)
        world_call(seen_pool, "reply");
    world_sleep(1);
    bh_pool_drain(seen_pool);
    look(NULL);
    for (unsigned i = 1; i <= 5; i++)
        world_result(&world.calls[i]);
    CHECK(seen_snapshots >= 6);
    world.on_event = NULL;
    world_close(seen_pool);
    world_end();
}

/* ---- output ---- */

static const struct bhf_output twice[] = {{20, "whose?\n", 0}, {40, "mine\n", 0}};

static void write_twice(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    plan->output = twice;
    plan->output_count = 2;
}

/* The first piece: nobody looked at the pipe since the worker was ready. The second: while the
 * second request ran, the pipe was seen empty. */
TEST(output_is_marked_with_the_requests_that_could_have_written_it)
{
    struct bh_pool_options options = world_options();
    const struct bh_result *result;
    bh_pool *pool;

    world_begin(0);
    world.on_start = write_twice;
    pool = one_worker(&options);
    world_ask(pool, "reply 5");
    result = world_ask(pool, "die 50");
    CHECK_STR(result->death.output, "whose?\nmine\n");
    CHECK_INT(result->death.chunk_count, 2);
    CHECK_INT(result->death.chunks[0].first_serial, 0);
    CHECK_INT(result->death.chunks[0].last_serial, result->serial);
    CHECK_INT(result->death.chunks[1].first_serial, result->serial);
    CHECK_INT(result->death.chunks[1].last_serial, result->serial);
    world_close(pool);
    world_end();
}

static char flood[300000];
static const struct bhf_output flooding = {5, flood, sizeof(flood)}; /* as it becomes ready */

static void flood_at_start(uint64_t nth, struct bhf_start *plan)
{
    plan->output = nth == 1 ? &flooding : NULL;
    plan->output_count = nth == 1;
}

/* More than is read at one go is still in the pipe when the first request comes. */
TEST(output_of_the_start_is_not_blamed_on_the_first_request)
{
    struct bh_pool_options options = world_options();
    const struct bh_result *result;
    bh_pool *pool;

    world_begin(0);
    memset(flood, 'f', sizeof(flood));
    world.on_start = flood_at_start;
    options.output_tail_bytes = 1 << 20;
    pool = world_open(&options);
    result = world_ask(pool, "die");
    CHECK_INT(result->death.output_length, sizeof(flood));
    for (size_t i = 0; i < result->death.chunk_count; i++)
        CHECK_INT(result->death.chunks[i].first_serial, 0);
    world_close(pool);
    world_end();
}

static void write_for_ever(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    plan->endless_output = true;
}

TEST(a_grandchild_that_writes_for_ever_does_not_hold_up_the_pool)
{
    struct bh_pool_options options = world_options();
    bh_pool *pool;

    world_begin(0);
    world.on_start = write_for_ever;
    pool = one_worker(&options);
    expect(world_ask(pool, "die"), BH_OUTCOME_DIED, BH_DELIVERY_STARTED);
    expect(world_ask(pool, "die"), BH_OUTCOME_DIED, BH_DELIVERY_STARTED);
    world_close(pool);
    world_end();
}

/* ---- a forked child ---- */

TEST(a_pool_is_refused_in_a_forked_child_and_nothing_is_touched)
{
    struct bh_pool_options options = world_options();
    struct bh_snapshot snapshot;
    struct bh_result result;
    bh_value methods;
    bh_pool *pool;

    world_begin(0);
    pool = one_worker(&options);
    bhf_fork(true);
    CHECK_INT(bh_pool_invoke(pool, "reply", NULL, 0, &result), BH_OUTCOME_REFUSED);
    expect_refused(&result, BH_REFUSAL_FORKED, "open one in this child");
    CHECK_INT(result.delivery, BH_DELIVERY_NEVER_STARTED);
    bh_result_deinit(&result);
    CHECK_INT(bh_pool_wait_ready(pool, 0, 10, NULL), BH_E_FORKED);
    CHECK_INT(bh_pool_methods(pool, 10, &methods, NULL), BH_E_FORKED);
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_E_FORKED);
    CHECK_INT(bh_pool_replace(pool), BH_E_FORKED);
    bh_pool_drain(pool);
    bh_pool_close(pool);
    bhf_fork(false);
    CHECK_INT(pool->submitted, 0);
    expect(world_ask(pool, "reply"), BH_OUTCOME_REPLIED, BH_DELIVERY_COMMITTED);
    world_close(pool);
    world_end();
}
