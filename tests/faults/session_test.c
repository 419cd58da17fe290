/* SPDX-License-Identifier: MIT */
/*
 * A session's worker is killed at every kind of moment: the session is lost exactly once, and no
 * other worker ever answers in its place.
 *
 * timeout: 120
 */
#include "crowd.h"

#include <stdio.h>

#define ROUNDS 300

static _Atomic unsigned events;

static void on_event(void *context, const struct bh_event *event)
{
    (void)context;
    events += event->type == BH_EVENT_SESSION_LOST;
}

static enum bh_outcome ask_pid(bh_session *session, struct bh_result *result, int64_t *pid)
{
    struct bh_request request = BH_REQUEST_INIT;

    request.method = "pid";
    enum bh_outcome outcome = bh_session_call(session, &request, result);
    if (outcome == BH_OUTCOME_REPLIED)
        CHECK_INT(bh_value_get_int64(&result->reply, pid), BH_OK);
    return outcome;
}

struct victim {
    int pid;
    int64_t after_us;
};

static void kill_later(void *context)
{
    const struct victim *victim = context;

    kit_pause_us(victim->after_us);
    kit_pid_kill(victim->pid);
}

/* Calls until one is not answered. @return how many were */
static unsigned call_to_the_end(bh_session *session, int64_t pid)
{
    enum bh_outcome outcome;
    unsigned answered = 0;

    for (;; answered++) {
        struct bh_result result;
        int64_t answerer = 0;
        outcome = ask_pid(session, &result, &answerer);
        bool lost = result.refusal == BH_REFUSAL_SESSION_LOST;
        if (outcome != BH_OUTCOME_REPLIED)
            CHECK(outcome == BH_OUTCOME_DIED || lost);
        bh_result_deinit(&result);
        if (outcome != BH_OUTCOME_REPLIED)
            return answered;
        CHECK_INT(answerer, pid);
    }
}

static void expect_lost(bh_session *session)
{
    for (int i = 0; i < 3; i++) {
        struct bh_result result;
        int64_t pid;
        CHECK_INT(ask_pid(session, &result, &pid), BH_OUTCOME_REFUSED);
        CHECK_STR(bh_refusal_name(result.refusal), "session lost");
        CHECK_INT(result.delivery, BH_DELIVERY_NEVER_STARTED);
        CHECK(result.has_death && result.death.cause != BH_CAUSE_FAULT);
        bh_result_deinit(&result);
    }
    CHECK(bh_session_lost(session));
}

static unsigned one_round(bh_pool *pool, int64_t after_us)
{
    struct bh_problem problem;
    struct bh_result result;
    bh_session *session;
    int64_t pid;

    if (bh_session_open(&session, pool, NULL, &problem))
        FAIL("bh_session_open: %s", problem.text);
    CHECK_INT(ask_pid(session, &result, &pid), BH_OUTCOME_REPLIED);
    bh_result_deinit(&result);
    struct victim victim = {(int)pid, after_us};
    kit_thread *killer = kit_thread_start(kill_later, &victim);
    unsigned answered = call_to_the_end(session, pid);
    kit_thread_join(killer);
    expect_lost(session);
    bh_session_close(session);
    return answered;
}

TEST_TIMEOUT(killed_at_any_moment_it_is_lost_once, 100)
{
    struct bh_pool_options options = crowd_options(2);
    const unsigned rounds = KIT_WINDOWS ? 20 : ROUNDS / (unsigned)kit_slowdown();
    struct bh_snapshot snapshot;
    unsigned answered = 0;

    options.on_event = on_event;
    bh_pool *pool = crowd_open(&options);
    for (unsigned i = 0; i < rounds; i++)
        answered += one_round(pool, i * 7919 % 400 * (KIT_WINDOWS ? 20 : 1));
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.sessions_lost, rounds);
    CHECK_INT(snapshot.sessions, 0);
    printf("# %u sessions lost, %u calls answered before\n", rounds, answered);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(pool);
    CHECK_INT(events, rounds);
}
