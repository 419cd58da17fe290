/* SPDX-License-Identifier: MIT */
/*
 * The pool's promises with real processes: outcomes, cancel, deadlines, recycling, replacement,
 * draining, events. What depends on exact times is tested on the virtual clock, in tests/unit.
 */
#include "probe.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- requests on threads of their own ---- */

struct asked {
    bh_pool *pool;
    struct bh_request request;
    bh_value arguments[2];
    struct bh_result result;
    kit_thread *thread;
};

static void ask(void *context)
{
    struct asked *asked = context;

    bh_pool_call(asked->pool, &asked->request, &asked->result);
}

static void ask_begin(struct asked *asked, bh_pool *pool, const char *method, int64_t a, int64_t b)
{
    memset(asked, 0, sizeof(*asked));
    asked->pool = pool;
    asked->arguments[0] = bh_value_int64(a);
    asked->arguments[1] = bh_value_int64(b);
    asked->request = (struct bh_request)BH_REQUEST_INIT;
    asked->request.method = method;
    asked->request.arguments = asked->arguments;
    asked->request.argument_count = 2;
}

static void ask_start(struct asked *asked)
{
    asked->thread = kit_thread_start(ask, asked);
}

static void ask_end(struct asked *asked)
{
    kit_thread_join(asked->thread);
}

struct count {
    bh_pool *pool;
    enum bh_worker_state state;
    uint32_t wanted;
};

static bool has_count(void *context)
{
    struct count *count = context;
    struct bh_snapshot snapshot;

    CHECK_INT(bh_pool_snapshot(count->pool, &snapshot), BH_OK);
    bool has = snapshot.worker_state[count->state] == count->wanted;
    bh_snapshot_deinit(&snapshot);
    return has;
}

static void await_count(bh_pool *pool, enum bh_worker_state state, uint32_t wanted)
{
    struct count count = {pool, state, wanted};

    CHECK(kit_wait_until(has_count, &count, 10000));
}

struct line {
    bh_pool *pool;
    uint64_t wanted;
};

static bool has_queued(void *context)
{
    struct line *line = context;
    struct bh_snapshot snapshot;

    CHECK_INT(bh_pool_snapshot(line->pool, &snapshot), BH_OK);
    bool has = snapshot.queued == line->wanted;
    bh_snapshot_deinit(&snapshot);
    return has;
}

/* ---- outcomes ---- */

TEST(a_running_request_is_cancelled_and_its_worker_saved_when_it_listens)
{
    struct bh_pool_options options = probe_options(1);
    struct asked asked;
    bh_cancel *cancel = bh_cancel_new();

    options.grace_ms = 10000;
    bh_pool *pool = probe_open(&options);
    int64_t pid = probe_number(pool, "pid");
    ask_begin(&asked, pool, "wait", 60000, 0);
    asked.request.cancel = cancel;
    ask_start(&asked);
    await_count(pool, BH_WORKER_BUSY, 1);
    bh_cancel_raise(cancel);
    ask_end(&asked);
    CHECK_INT(asked.result.outcome, BH_OUTCOME_CANCELLED);
    CHECK(asked.result.delivery != BH_DELIVERY_STARTED); /* its answer came, or it had not begun */
    CHECK(!asked.result.has_death);
    bh_result_deinit(&asked.result);
    CHECK_INT(probe_number(pool, "pid"), pid);
    bh_pool_close(pool);
    bh_cancel_free(cancel);
}

TEST(a_running_request_is_cancelled_and_its_worker_killed_when_it_does_not_listen)
{
    struct bh_pool_options options = probe_options(1);
    struct asked asked;
    bh_cancel *cancel = bh_cancel_new();

    options.grace_ms = 20;
    bh_pool *pool = probe_open(&options);
    ask_begin(&asked, pool, "beat", 1, 60000);
    asked.request.cancel = cancel;
    ask_start(&asked);
    await_count(pool, BH_WORKER_BUSY, 1);
    bh_cancel_raise(cancel);
    ask_end(&asked);
    CHECK_INT(asked.result.outcome, BH_OUTCOME_CANCELLED);
    CHECK(asked.result.has_death);
    CHECK_INT(asked.result.death.cause, BH_CAUSE_CANCELLED);
    bh_result_deinit(&asked.result);
    bh_pool_close(pool);
    bh_cancel_free(cancel);
}

TEST(a_queued_request_is_cancelled_at_once_and_a_raised_token_stays_raised)
{
    struct bh_pool_options options = probe_options(1);
    struct asked first, second, third;
    bh_cancel *cancel = bh_cancel_new();
    bh_cancel *other = bh_cancel_new();

    bh_pool *pool = probe_open(&options);
    struct line line = {pool, 1};
    ask_begin(&first, pool, "wait", 60000, 0);
    first.request.cancel = other;
    ask_start(&first);
    await_count(pool, BH_WORKER_BUSY, 1);
    ask_begin(&second, pool, "pid", 0, 0);
    second.request.cancel = cancel;
    ask_start(&second);
    CHECK(kit_wait_until(has_queued, &line, 10000));
    bh_cancel_raise(cancel);
    ask_end(&second);
    CHECK_INT(second.result.outcome, BH_OUTCOME_CANCELLED);
    CHECK_INT(second.result.delivery, BH_DELIVERY_NEVER_STARTED);
    bh_result_deinit(&second.result);
    ask_begin(&third, pool, "pid", 0, 0);
    third.request.cancel = cancel;
    ask(&third);
    CHECK_INT(third.result.outcome, BH_OUTCOME_CANCELLED);
    bh_result_deinit(&third.result);
    bh_cancel_raise(other);
    ask_end(&first);
    bh_result_deinit(&first.result);
    bh_pool_close(pool);
    bh_cancel_free(cancel);
    bh_cancel_free(other);
}

TEST(silence_ends_a_request_and_signs_of_life_keep_it)
{
    struct bh_pool_options options = probe_options(1);
    struct asked asked;

    options.no_progress_ms = 300;
    options.grace_ms = 10;
    bh_pool *pool = probe_open(&options);
    ask_begin(&asked, pool, "beat", 60, 10); /* twice as long as the silence allowed */
    ask(&asked);
    CHECK_INT(asked.result.outcome, BH_OUTCOME_REPLIED);
    bh_result_deinit(&asked.result);
    ask_begin(&asked, pool, "beat", 1, 60000);
    ask(&asked);
    CHECK_INT(asked.result.outcome, BH_OUTCOME_DEADLINE);
    CHECK_INT(asked.result.death.cause, BH_CAUSE_NO_PROGRESS);
    CHECK_CONTAINS(asked.result.text, "no progress");
    bh_result_deinit(&asked.result);
    bh_pool_close(pool);
}

TEST(a_full_queue_refuses_and_says_so)
{
    struct bh_pool_options options = probe_options(1);
    struct asked first;
    struct bh_result result;
    bh_cancel *cancel = bh_cancel_new();

    options.queue_length = 0;
    bh_pool *pool = probe_open(&options);
    CHECK_INT(bh_pool_wait_ready(pool, 1, 10000, NULL), BH_OK);
    ask_begin(&first, pool, "wait", 60000, 0);
    first.request.cancel = cancel;
    ask_start(&first);
    await_count(pool, BH_WORKER_BUSY, 1);
    CHECK_INT(bh_pool_invoke(pool, "pid", NULL, 0, &result), BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_QUEUE_FULL);
    bh_result_deinit(&result);
    bh_cancel_raise(cancel);
    ask_end(&first);
    bh_result_deinit(&first.result);
    bh_pool_close(pool);
    bh_cancel_free(cancel);
}

static void check_refused(bh_pool *pool, const char *method, const bh_value *arguments,
                          size_t count, enum bh_refusal refusal)
{
    struct bh_result result;

    CHECK_INT(bh_pool_invoke(pool, method, arguments, count, &result), BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, refusal);
    CHECK_INT(result.delivery, BH_DELIVERY_NEVER_STARTED);
    CHECK(result.text && *result.text);
    CHECK_INT(result.attempts, 0);
    bh_result_deinit(&result);
}

TEST(what_cannot_be_sent_is_refused_and_harms_nobody)
{
    struct bh_pool_options options = probe_options(1);
    bh_value bad = bh_value_view("\xff");

    options.max_request_bytes = 4096;
    bh_pool *pool = probe_open(&options);
    int64_t pid = probe_number(pool, "pid");
    char *large = calloc(1, 5000);
    bh_value bytes = bh_value_view_bytes(large, 5000);
    check_refused(pool, "no such thing", NULL, 0, BH_REFUSAL_NO_METHOD);
    check_refused(pool, "environment", &bytes, 1, BH_REFUSAL_TOO_LARGE);
    check_refused(pool, "environment", &bad, 1, BH_REFUSAL_INVALID);
    check_refused(pool, NULL, NULL, 0, BH_REFUSAL_INVALID);
    free(large);
    CHECK_INT(probe_number(pool, "pid"), pid);
    bh_pool_close(pool);
}

/* ---- lives ---- */

TEST(a_worker_is_recycled_after_its_requests)
{
    struct bh_pool_options options = probe_options(1);
    struct bh_snapshot snapshot;

    options.recycle_requests = 3;
    options.recycle_jitter_percent = 0;
    bh_pool *pool = probe_open(&options);
    int64_t pids[7];
    for (int i = 0; i < 7; i++)
        pids[i] = probe_number(pool, "pid");
    CHECK(pids[0] == pids[2] && pids[2] != pids[3]);
    CHECK(pids[3] == pids[5] && pids[5] != pids[6]);
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.quits, 2);
    CHECK_INT(snapshot.starts, 3);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(pool);
}

TEST(a_worker_that_grew_is_recycled)
{
    struct bh_pool_options options = probe_options(1);
    bh_value mib = bh_value_int64(64);
    struct bh_result result;

    options.recycle_rss_bytes = 32 << 20;
    bh_pool *pool = probe_open(&options);
    int64_t pid = probe_number(pool, "pid");
    int64_t until = kit_now_ms() + 10000;
    while (probe_number(pool, "pid") == pid && kit_now_ms() < until) {
        probe_call(pool, "grow", &mib, 1, &result);
        bh_result_deinit(&result);
    }
    CHECK(probe_number(pool, "pid") != pid);
    bh_pool_close(pool);
}

TEST(idle_workers_leave_down_to_the_minimum)
{
    struct bh_pool_options options = probe_options(4);
    struct asked asked[4];

    options.min_workers = 1;
    options.idle_timeout_ms = 50;
    bh_pool *pool = probe_open(&options);
    for (int i = 0; i < 4; i++) {
        ask_begin(&asked[i], pool, "wait", 200, 0);
        ask_start(&asked[i]);
    }
    await_count(pool, BH_WORKER_BUSY, 4);
    for (int i = 0; i < 4; i++) {
        ask_end(&asked[i]);
        bh_result_deinit(&asked[i].result);
    }
    await_count(pool, BH_WORKER_IDLE, 1);
    bh_pool_close(pool);
}

struct replacing {
    bh_pool *pool;
    _Atomic bool done;
    _Atomic int64_t calls;
};

static void call_on(void *context)
{
    struct replacing *replacing = context;

    while (!atomic_load(&replacing->done)) {
        probe_number(replacing->pool, "pid");
        atomic_fetch_add(&replacing->calls, 1);
    }
}

static _Atomic int replaced;

static void on_event(void *context, const struct bh_event *event)
{
    (void)context;
    if (event->type == BH_EVENT_REPLACED)
        atomic_fetch_add(&replaced, 1);
}

static bool has_replaced(void *context)
{
    return atomic_load(&replaced) >= *(int *)context;
}

TEST(all_workers_are_replaced_under_load_and_no_request_notices)
{
    struct bh_pool_options options = probe_options(3);
    struct replacing replacing = {0};
    struct bh_snapshot snapshot;
    kit_thread *callers[4];

    options.on_event = on_event;
    replacing.pool = probe_open(&options);
    for (int i = 0; i < 4; i++)
        callers[i] = kit_thread_start(call_on, &replacing);
    for (int round = 1; round <= 5; round++) {
        CHECK_INT(bh_pool_replace(replacing.pool), BH_OK);
        CHECK(kit_wait_until(has_replaced, &round, 10000));
    }
    atomic_store(&replacing.done, true);
    for (int i = 0; i < 4; i++)
        kit_thread_join(callers[i]);
    CHECK_INT(bh_pool_snapshot(replacing.pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.generation, 5);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_REPLIED], snapshot.submitted);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_REPLIED], replacing.calls);
    for (size_t i = 0; i < snapshot.worker_count; i++)
        CHECK(snapshot.workers[i].generation == 5 ||
              snapshot.workers[i].state > BH_WORKER_STOPPING);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(replacing.pool);
}

/* ---- closing ---- */

TEST(a_drain_lets_running_requests_end_and_refuses_the_others)
{
    struct bh_pool_options options = probe_options(1);
    struct asked running, queued;

    bh_pool *pool = probe_open(&options);
    struct line line = {pool, 1};
    ask_begin(&running, pool, "beat", 10, 20);
    ask_start(&running);
    await_count(pool, BH_WORKER_BUSY, 1);
    ask_begin(&queued, pool, "pid", 0, 0);
    ask_start(&queued);
    CHECK(kit_wait_until(has_queued, &line, 10000));
    bh_pool_drain(pool);
    check_refused(pool, "pid", NULL, 0, BH_REFUSAL_CLOSING);
    ask_end(&queued);
    ask_end(&running);
    CHECK_INT(queued.result.outcome, BH_OUTCOME_REFUSED);
    CHECK_INT(queued.result.refusal, BH_REFUSAL_CLOSING);
    CHECK_INT(running.result.outcome, BH_OUTCOME_REPLIED);
    bh_result_deinit(&queued.result);
    bh_result_deinit(&running.result);
    bh_pool_close(pool);
}

TEST(a_drain_that_lasts_too_long_takes_the_request_away)
{
    struct bh_pool_options options = probe_options(1);
    struct asked running;

    options.drain_timeout_ms = 50;
    options.grace_ms = 10;
    bh_pool *pool = probe_open(&options);
    ask_begin(&running, pool, "beat", 1, 60000);
    ask_start(&running);
    await_count(pool, BH_WORKER_BUSY, 1);
    bh_pool_drain(pool);
    ask_end(&running);
    CHECK_INT(running.result.outcome, BH_OUTCOME_CANCELLED);
    CHECK_CONTAINS(running.result.text, "drain");
    CHECK_INT(running.result.death.cause, BH_CAUSE_CANCELLED);
    bh_result_deinit(&running.result);
    bh_pool_close(pool);
}

TEST(a_pool_that_just_opened_closes_at_once)
{
    for (int i = 0; i < 20; i++) {
        struct bh_pool_options options = probe_options(4);
        bh_pool_close(probe_open(&options));
    }
}

/* ---- output ---- */

/* One thread, the pool's, adds to it; whoever reads looks at the length first. */
struct heard {
    char text[256];
    _Atomic size_t length;
};

static void on_output(void *context, const struct bh_event *event)
{
    struct heard *heard = context;
    size_t length = atomic_load(&heard->length);

    if (event->type != BH_EVENT_OUTPUT)
        return;
    CHECK(event->text_length < sizeof(heard->text) - length);
    memcpy(heard->text + length, event->text, event->text_length);
    atomic_store(&heard->length, length + event->text_length);
}

static bool has_heard(void *context)
{
    struct heard *heard = context;

    return atomic_load(&heard->length) >= strlen("first, second");
}

TEST(what_workers_write_reaches_the_event_sink_in_order)
{
    struct bh_pool_options options = probe_options(1);
    struct heard heard = {"", 0};
    bh_value first = bh_value_view("first, "), second = bh_value_view("second");
    struct bh_result result;

    options.on_event = on_output;
    options.event_context = &heard;
    options.event_mask = 1u << BH_EVENT_OUTPUT;
    bh_pool *pool = probe_open(&options);
    probe_call(pool, "say", &first, 1, &result);
    bh_result_deinit(&result);
    probe_call(pool, "say", &second, 1, &result);
    bh_result_deinit(&result);
    CHECK(kit_wait_until(has_heard, &heard, 10000));
    CHECK_STR(heard.text, "first, second");
    bh_pool_close(pool);
}
