/* SPDX-License-Identifier: MIT */
/*
 * Callbacks and partial replies on the fake platform: who is called, who is refused, and what is
 * left of a request that ends without an answer.
 */
#include "world.h"

#include <bulkhead/callback.h>

#include <string.h>

static int called;
static int reply_code;      /* what a nested call came to */
static enum bh_outcome own; /* what a call of the own pool came to */
static enum bh_refusal why;
static bool was_cancelled;

static void cb_note(bh_callback_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)context;
    called++;
    CHECK_INT(bh_callback_depth(call), 1);
    CHECK(bh_callback_serial(call) > 0);
    CHECK_STR(bh_callback_name(call), "note");
    if (count > 0)
        CHECK_INT(bh_callback_reply(call, &arguments[0]), BH_OK);
}

static void cb_invoke(bh_callback_call *call, const bh_value *arguments, size_t count,
                      void *context)
{
    bh_value reply;

    (void)context;
    called++;
    CHECK_INT(bh_callback_invoke(call, "nobody", NULL, 0, &reply, NULL), BH_E_NOT_FOUND);
    reply_code = bh_callback_invoke(call, "reply", arguments, count, &reply, NULL);
    bh_value_deinit(&reply);
}

static void cb_own_pool(bh_callback_call *call, const bh_value *arguments, size_t count,
                        void *context)
{
    bh_pool *pool = context;
    struct bh_session_options options = BH_SESSION_INIT;
    struct bh_result result;
    bh_session *session;
    bh_value methods;

    (void)call;
    called++;
    own = bh_pool_invoke(pool, "reply", arguments, count, &result);
    why = result.refusal;
    bh_result_deinit(&result);
    CHECK_INT(bh_session_open(&session, pool, &options, NULL), BH_E_STATE);
    CHECK_INT(bh_pool_wait_ready(pool, 1, 10, NULL), BH_E_STATE);
    CHECK_INT(bh_pool_methods(pool, 10, &methods, NULL), BH_E_STATE);
}

/* Waits longer than the deadline. */
static void cb_slow(bh_callback_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    called++;
    world_sleep(100);
    was_cancelled = bh_callback_cancelled(call);
}

static const struct bh_callback table[] = {
    {"note", cb_note, NULL},         {"invoke", cb_invoke, NULL}, {"slow", cb_slow, NULL},
    {"own_pool", cb_own_pool, NULL}, {NULL, NULL, NULL},
};

static const char *name;    /* of the callback that workers call */
static uint32_t times;      /* how often */
static const char *partial; /* that they publish */

static void plan(const struct bhp_call *call, struct bhf_request *request)
{
    (void)call;
    request->callback = name;
    request->callbacks = times;
    request->partial = partial;
}

static bh_pool *begin(struct bh_pool_options *options)
{
    world_begin(0);
    world.on_request = plan;
    called = 0;
    times = 1;
    partial = NULL;
    *options = world_options();
    return NULL;
}

static struct world_call *ask(bh_pool *pool, const char *method, enum world_way way)
{
    struct world_call *call = world_prepare(pool, method);

    call->request.callbacks = table;
    call->request.callback_context = pool;
    call->way = way;
    return world_send(call);
}

static void end(bh_pool *pool)
{
    world_close(pool);
    world_end();
}

TEST(a_callback_is_called_as_often_as_it_is_asked_for)
{
    struct bh_pool_options options;
    bh_pool *pool = begin(&options);

    name = "note";
    times = 3;
    pool = world_open(&options);
    CHECK_INT(world_result(ask(pool, "reply", WORLD_CALLER))->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(called, 3);
    CHECK_INT(world_result(ask(pool, "reply", WORLD_TOLD))->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(called, 6);
    name = "nobody";
    CHECK_INT(world_result(ask(pool, "reply", WORLD_CALLER))->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(called, 6);
    name = "note";
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED); /* without a table */
    CHECK_INT(called, 6);
    end(pool);
}

TEST(a_nested_call_is_the_platforms)
{
    struct bh_pool_options options;
    bh_pool *pool = begin(&options);

    name = "invoke";
    pool = world_open(&options);
    world_result(ask(pool, "reply", WORLD_CALLER));
    CHECK_INT(reply_code, BH_OK);
    end(pool);
}

TEST(waiting_for_ones_own_pool_is_refused)
{
    struct bh_pool_options options;
    bh_pool *pool = begin(&options);

    name = "own_pool";
    pool = world_open(&options);
    for (int i = 0; i < 2; i++) {
        own = BH_OUTCOME_REPLIED;
        world_result(ask(pool, "reply", i == 0 ? WORLD_CALLER : WORLD_TOLD));
        CHECK_INT(own, BH_OUTCOME_REFUSED);
        CHECK_INT(why, BH_REFUSAL_WOULD_DEADLOCK);
    }
    CHECK_INT(world_ask(pool, "reply")->outcome, BH_OUTCOME_REPLIED); /* nothing of it stays */
    end(pool);
}

TEST(a_request_that_was_taken_away_calls_nobody_further)
{
    struct bh_pool_options options;
    bh_pool *pool = begin(&options);

    name = "slow";
    times = 3;
    options.deadline_ms = 50;
    options.grace_ms = 1000;
    pool = world_open(&options);
    was_cancelled = false;
    struct bh_result *result = world_result(ask(pool, "hang", WORLD_CALLER));
    CHECK_INT(result->outcome, BH_OUTCOME_DEADLINE);
    CHECK(was_cancelled);
    CHECK_INT(called, 1);
    end(pool);
}

TEST(silence_is_not_counted_while_a_callback_runs)
{
    struct bh_pool_options options;
    bh_pool *pool = begin(&options);

    name = "slow"; /* 100 ms */
    options.no_progress_ms = 30;
    pool = world_open(&options);
    CHECK_INT(world_result(ask(pool, "reply 110", WORLD_CALLER))->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(world_result(ask(pool, "hang", WORLD_CALLER))->death.cause, BH_CAUSE_NO_PROGRESS);
    end(pool);
}

static void check_partial(const struct bh_result *result, enum bh_outcome outcome)
{
    CHECK_INT(result->outcome, outcome);
    CHECK(result->partial);
    CHECK_STR(result->reply.as.string, "half of it");
}

TEST(a_partial_reply_stays_of_what_ends_without_an_answer)
{
    static const enum world_way ways[] = {WORLD_CALLER, WORLD_TOLD, WORLD_TAKEN};
    struct bh_pool_options options;
    bh_pool *pool = begin(&options);

    times = 0;
    partial = "half of it";
    options.deadline_ms = 2000;
    pool = world_open(&options);
    for (int i = 0; i < 3; i++) {
        struct world_call *died = ask(pool, "die", ways[i]);
        struct world_call *late = ask(pool, "hang", ways[i]);
        world_sleep(1); /* both are sent */
        if (ways[i] == WORLD_TAKEN)
            world_take(pool, 10000);
        check_partial(world_result(died), BH_OUTCOME_DIED);
        check_partial(world_result(late), BH_OUTCOME_DEADLINE);
    }
    struct bh_result *replied = world_ask(pool, "reply");
    CHECK_INT(replied->outcome, BH_OUTCOME_REPLIED);
    CHECK(!replied->partial);
    CHECK(!world_ask(pool, "fail")->partial);
    end(pool);
}
