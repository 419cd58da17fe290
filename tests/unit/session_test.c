/* SPDX-License-Identifier: MIT */
/*
 * Sessions on the fake platform: all calls by one worker; lost once when it ends, wherever it is;
 * the lease; the last worker; what is given back; and random worlds in which sessions, callers and
 * dying workers meet. BH_SEED=n runs world n alone.
 */
#include "world.h"

#include "core/pool_internal.h"

#include <stdlib.h>

static bh_pool *open_ready(struct bh_pool_options *options)
{
    bh_pool *pool = world_open(options);

    CHECK_INT(bh_pool_wait_ready(pool, 0, 1000, NULL), BH_OK);
    return pool;
}

static bh_session *open_session(bh_pool *pool, uint32_t lease_ms)
{
    struct bh_session_options options = BH_SESSION_INIT;
    struct bh_problem problem = {0};
    bh_session *session;

    options.take_last = true;
    options.lease_ms = lease_ms;
    if (bh_session_open(&session, pool, &options, &problem))
        FAIL("bh_session_open: %s", problem.text);
    return session;
}

static struct world_call *prepare(bh_session *session, const char *method)
{
    struct world_call *call = world_prepare(session->pool, method);

    call->session = session;
    return call;
}

static struct bh_result *ask(bh_session *session, const char *method)
{
    return world_result(world_send(prepare(session, method)));
}

static void expect_lost(bh_session *session, const char *text)
{
    struct bh_result *result = ask(session, "reply");

    CHECK_INT(result->outcome, BH_OUTCOME_REFUSED);
    CHECK_STR(bh_refusal_name(result->refusal), "session lost");
    CHECK_INT(result->delivery, BH_DELIVERY_NEVER_STARTED);
    CHECK_CONTAINS(result->text, text);
    CHECK(bh_session_lost(session));
}

static uint32_t idle_workers(const bh_pool *pool)
{
    return pool->count[BH_WORKER_IDLE];
}

/* ---- a session's life ---- */

TEST(all_calls_go_to_one_worker)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    options.min_workers = options.max_workers = 3;
    bh_pool *pool = open_ready(&options);
    CHECK_INT(bh_pool_wait_ready(pool, 3, 1000, NULL), BH_OK);
    bh_session *session = open_session(pool, 0);
    CHECK_INT(pool->count[BH_WORKER_LEASED], 1);
    CHECK(!bh_session_lost(session));
    for (unsigned i = 0; i < 5; i++) {
        CHECK_INT(ask(session, "reply")->outcome, BH_OUTCOME_REPLIED);
        CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
        CHECK(world.calls[2 * i].cookie == world.calls[0].cookie);
        CHECK(world.calls[2 * i + 1].cookie != world.calls[0].cookie);
    }
    CHECK_INT(ask(session, "fail")->code, 7);
    bh_session_close(session);
    CHECK_INT(pool->session_count, 0);
    world_close(pool);
    CHECK_CONTAINS(world.log, "(its session is over)");
    world_end();
}

TEST(a_worker_that_is_kept_serves_the_next)
{
    struct bh_session_options how = BH_SESSION_INIT;
    struct bh_pool_options options = world_options();
    bh_session *session;

    world_begin(0);
    bh_pool *pool = open_ready(&options);
    how.take_last = how.keep_worker = true;
    CHECK_INT(bh_session_open(&session, pool, &how, NULL), BH_OK);
    ask(session, "reply");
    struct world_call *waits = world_call(pool, "reply");
    world_sleep(20);
    CHECK(!waits->ended);
    bh_session_close(session);
    CHECK_INT(world_result(waits)->outcome, BH_OUTCOME_REPLIED);
    CHECK(waits->cookie == world.calls[0].cookie);
    CHECK_INT(idle_workers(pool), 1);
    world_close(pool);
    world_end();
}

/* ---- loss ---- */

static void the_first_is_killed(uint64_t nth, struct bhf_start *plan)
{
    if (nth > 1)
        return;
    plan->exit_ms = 30;
    plan->end = bhf_end_signal(9);
}

TEST(a_session_is_lost_between_its_calls)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    world.on_start = the_first_is_killed;
    bh_pool *pool = open_ready(&options);
    bh_session *session = open_session(pool, 0);
    ask(session, "reply");
    world_until(31);
    expect_lost(session, "SIGKILL");
    CHECK(world.calls[1].result.has_death);
    expect_lost(session, "SIGKILL");
    CHECK_INT(pool->sessions_lost, 1);
    CHECK_CONTAINS(world.log, "session lost1");
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    bh_session_close(session);
    world_close(pool);
    world_end();
}

TEST(a_session_is_lost_in_a_call)
{
    static const char *const methods[] = {"die", "broken", "hang", "die-committed"};

    for (unsigned i = 0; i < 4; i++) {
        struct bh_pool_options options = world_options();
        world_begin(0);
        options.deadline_ms = 20;
        bh_pool *pool = open_ready(&options);
        bh_session *session = open_session(pool, 0);
        struct world_call *call = prepare(session, methods[i]);
        call->request.retries = 3; /* which cannot be */
        struct bh_result *result = world_result(world_send(call));
        CHECK_INT(call->begun, 1);
        if (i < 2)
            CHECK_INT(result->outcome, BH_OUTCOME_DIED);
        if (i == 2)
            CHECK_INT(result->outcome, BH_OUTCOME_DEADLINE);
        world_sleep(5);
        expect_lost(session, "the session is lost: worker");
        CHECK_INT(pool->sessions_lost, 1);
        bh_session_close(session);
        world_close(pool);
        world_end();
    }
}

TEST(a_call_that_never_started_is_not_answered_by_another)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    options.min_workers = options.max_workers = 2;
    bh_pool *pool = open_ready(&options);
    bh_session *session = open_session(pool, 0);
    struct world_call *call = prepare(session, "die-unstarted");
    struct bh_result *result = world_result(world_send(call));
    CHECK_STR(bh_refusal_name(result->refusal), "session lost");
    CHECK_INT(result->delivery, BH_DELIVERY_NEVER_STARTED);
    CHECK(result->has_death);
    CHECK_INT(call->begun, 0);
    bh_session_close(session);
    world_close(pool);
    world_end();
}

TEST(a_lease_has_an_end)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_pool *pool = open_ready(&options);
    bh_session *session = open_session(pool, 50);
    int64_t begin = world_ms();
    ask(session, "reply 10");
    world_until(begin + 49);
    CHECK(!bh_session_lost(session));
    world_until(begin + 51);
    expect_lost(session, "its lease was over");
    bh_session_close(session);

    session = open_session(pool, 50); /* in a call: its deadline */
    begin = world_ms();
    struct world_call *call = prepare(session, "cooperate");
    CHECK_INT(world_result(world_send(call))->outcome, BH_OUTCOME_DEADLINE);
    CHECK(call->ended_ms >= begin + 50 && call->ended_ms < begin + 60);
    world_sleep(1);
    expect_lost(session, "its lease was over");
    bh_session_close(session);
    world_close(pool);
    world_end();
}

/* ---- opening ---- */

static int try_session(bh_pool *pool, bool take_last, uint32_t wait_ms, bh_cancel *cancel,
                       struct bh_problem *problem)
{
    struct bh_session_options options = BH_SESSION_INIT;
    bh_session *session;

    options.take_last = take_last;
    options.wait_ms = wait_ms;
    options.cancel = cancel;
    int result = bh_session_open(&session, pool, &options, problem);
    CHECK((session != NULL) == (result == BH_OK));
    bh_session_close(session);
    return result;
}

TEST(the_last_worker_is_kept_for_requests)
{
    struct bh_pool_options options = world_options();
    struct bh_problem problem;

    world_begin(0);
    options.max_workers = 2;
    bh_pool *pool = open_ready(&options);
    bh_session *first = open_session(pool, 0);
    CHECK_INT(try_session(pool, false, 0, NULL, &problem), BH_E_STATE);
    CHECK_CONTAINS(problem.text, "take_last");
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(try_session(pool, true, 0, NULL, &problem), BH_OK);
    bh_session_close(first);
    world_close(pool);
    world_end();
}

TEST(who_waits_for_a_worker_waits_no_longer_than_it_said)
{
    struct bh_pool_options options = world_options();
    struct bh_problem problem;

    world_begin(0);
    bh_pool *pool = open_ready(&options);
    bh_cancel *token = bh_cancel_new();
    struct world_call *call = world_call(pool, "reply 100");
    world_sleep(1);
    int64_t begin = world_ms();
    CHECK_INT(try_session(pool, true, 30, NULL, &problem), BH_E_STATE);
    CHECK_CONTAINS(problem.text, "no worker became free in time");
    CHECK_INT(world_ms(), begin + 30);
    bh_cancel_raise(token);
    CHECK_INT(try_session(pool, true, 30, token, &problem), BH_E_STATE);
    CHECK_CONTAINS(problem.text, "cancelled");
    CHECK_INT(try_session(pool, true, 0, NULL, &problem), BH_OK); /* as long as it takes */
    CHECK(call->ended);
    bh_cancel_free(token);
    CHECK_INT(pool->sessions_waiting, 0);
    world_close(pool);
    world_end();
}

static void never_starts(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    plan->exit_ms = 0;
    plan->end = bhf_end_not_started(2, "no such file", true);
}

TEST(without_a_worker_there_is_no_session)
{
    struct bh_pool_options options = world_options();
    struct bh_problem problem;

    world_begin(0);
    world.on_start = never_starts;
    bh_pool *pool = world_open(&options);
    CHECK_INT(try_session(pool, true, 0, NULL, &problem), BH_E_START);
    CHECK_CONTAINS(problem.text, "no such file");
    bh_pool_drain(pool);
    CHECK_INT(try_session(pool, true, 0, NULL, &problem), BH_E_CLOSED);
    world_close(pool);
    world_end();
}

/* ---- closing ---- */

TEST(a_pool_that_closes_ends_its_sessions_when_the_drain_is_over)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    options.drain_timeout_ms = 40;
    bh_pool *pool = open_ready(&options);
    bh_session *session = open_session(pool, 0);
    bh_pool_drain(pool);
    world_sleep(39);
    CHECK(!bh_session_lost(session));
    CHECK_INT(ask(session, "reply")->refusal, BH_REFUSAL_CLOSING);
    world_sleep(2);
    expect_lost(session, "the pool closed");
    world_close(pool);
    CHECK(bh_session_lost(session));
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_result result;
    request.method = "reply";
    CHECK_INT(bh_session_call(session, &request, &result), BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_SESSION_LOST);
    bh_result_deinit(&result);
    bh_session_close(session);
    world_end();
}

TEST(a_session_that_was_in_a_call_when_the_drain_ended_does_not_keep_the_pool)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    options.drain_timeout_ms = 40;
    bh_pool *pool = open_ready(&options);
    bh_session *session = open_session(pool, 0);
    struct world_call *call = world_send(prepare(session, "cooperate 5"));
    world_sleep(1);
    bh_pool_drain(pool);
    CHECK_INT(world_result(call)->outcome, BH_OUTCOME_CANCELLED);
    world_sleep(10);
    expect_lost(session, "the pool closed");
    world_close(pool);
    bh_session_close(session);
    world_end();
}

TEST(a_session_that_is_closed_in_a_call_goes_with_the_call)
{
    struct bh_pool_options options = world_options();

    world_begin(0);
    bh_pool *pool = open_ready(&options);
    bh_session *session = open_session(pool, 0);
    struct world_call *call = world_send(prepare(session, "reply 10"));
    world_sleep(1);
    struct world_call *other = world_send(prepare(session, "reply"));
    CHECK_CONTAINS(world_result(other)->text, "another call of this session");
    bh_session_close(session);
    CHECK_INT(world_result(call)->outcome, BH_OUTCOME_REPLIED);
    world_sleep(1);
    CHECK_INT(pool->session_count, 0);
    CHECK(pool->sessions == NULL);
    world_close(pool);
    world_end();
}

/* ---- random worlds ---- */

struct actor {
    bh_pool *pool;
    unsigned calls;
    bool done;
};

/* One session from its opening to its closing, and what must hold of its calls: one worker, and
 * after the first that did not survive none that was begun. */
static void act(void *context)
{
    static const char *const methods[] = {"reply", "reply 5", "fail",      "die",          "hang",
                                          "reply", "broken",  "cooperate", "die-unstarted"};
    struct bh_session_options options = BH_SESSION_INIT;
    struct actor *actor = context;
    struct bh_problem problem;
    bh_session *session;
    uint64_t cookie = 0;
    bool lost = false;

    options.take_last = world_random(2);
    options.keep_worker = world_random(2);
    options.wait_ms = world_random(2) * 30;
    options.lease_ms = world_random(2) * 40;
    if (bh_session_open(&session, actor->pool, &options, &problem)) {
        actor->done = true;
        return;
    }
    for (unsigned i = 0; i < actor->calls; i++) {
        struct world_call *call = prepare(session, methods[world_random(9)]);
        call->request.deadline_ms = 15;
        world_sleep(world_random(10));
        call->sent = true;
        bh_session_call(session, &call->request, &call->result);
        call->ended = true;
        MUST(!call->begun || cookie == 0 || cookie == call->cookie);
        MUST(!call->begun || !lost);
        MUST(call->begun <= 1);
        cookie = call->begun ? call->cookie : cookie;
        lost |= call->result.refusal == BH_REFUSAL_SESSION_LOST ||
                call->result.outcome == BH_OUTCOME_DIED;
        MUST(call->result.outcome != BH_OUTCOME_REPLIED || call->begun);
    }
    bh_session_close(session);
    actor->done = true;
}

static void fails_sometimes(uint64_t nth, struct bhf_start *plan)
{
    (void)nth;
    plan->started_ms = 0;
    plan->ready_ms = world_random(5);
    plan->kill_ms = world_random(4);
    if (world_random(5) == 0) {
        plan->exit_ms = world_random(60);
        plan->end = bhf_end_signal(11);
    }
}

static void live(uint64_t seed)
{
    struct bh_pool_options options = world_options();
    struct actor actors[4];

    world_begin(seed);
    world.on_start = fails_sometimes;
    options.max_workers = 1 + world_random(3);
    options.min_workers = world_random(options.max_workers + 1);
    options.recycle_requests = world_random(3);
    options.crash_loop_limit = 100;
    options.backoff_initial_ms = 1;
    options.drain_timeout_ms = 30;
    options.deadline_ms = 50;
    bh_pool *pool = world_open(&options);
    for (unsigned i = 0; i < 4; i++) {
        actors[i] = (struct actor){.pool = pool, .calls = 1 + world_random(5)};
        world_spawn(act, &actors[i]);
        world_call(pool, world_random(2) ? "reply 3" : "die 3");
    }
    world_sleep(world_random(100));
    if (world_random(2))
        bh_pool_replace(pool);
    if (world_random(4) == 0)
        bhf_lose_nurseries();
    if (world_random(2))
        bh_pool_drain(pool); /* with sessions in it */
    for (unsigned i = 0; i < 4; i++)
        while (!actors[i].done)
            world_sleep(5);
    bh_pool_drain(pool);
    for (size_t i = 0; i < world.call_count; i++)
        world_result(&world.calls[i]);
    world_close(pool);
    world_end();
}

TEST_TIMEOUT(whatever_happens_a_session_has_one_worker, 100)
{
    const char *alone = getenv("BH_SEED");
    uint64_t first = alone ? strtoull(alone, NULL, 10) : 1;
    uint64_t last = alone ? first : 2000 / (unsigned)kit_slowdown();

    for (uint64_t seed = first; seed <= last; seed++)
        live(seed);
    world_leave();
}
