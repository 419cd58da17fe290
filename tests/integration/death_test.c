/* SPDX-License-Identifier: MIT */
/*
 * How workers die in each phase, and what is known of it afterwards: the same on every system. What
 * only one system knows of is in platform/ and windows/.
 *
 * timeout: 90
 */
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>

struct expectation {
    const char *kind; /* of mishaps' die() */
    enum bh_cause cause;
    int exit_code;
    bool exiting;
    bool stack_overflow;
};

/* Whoever ends himself on Windows is marked, not only by exit(); a kill is an exit code there. */
static const struct expectation expectations[] = {
    {"segv", BH_CAUSE_FAULT, -1, false, false},
    {"fpe", BH_CAUSE_FAULT, -1, false, false},
    {"ill", BH_CAUSE_FAULT, -1, false, false},
    {"thread", BH_CAUSE_FAULT, -1, false, false},
    {"stack", BH_CAUSE_FAULT, -1, false, true},
    {"abort", BH_CAUSE_ABORT, -1, false, false},
    {"exit", BH_CAUSE_EXIT, 3, true, false},
    {"_exit", BH_CAUSE_EXIT, 4, KIT_WINDOWS, false},
    {"kill", KIT_WINDOWS ? BH_CAUSE_EXIT : BH_CAUSE_KILLED, KIT_WINDOWS ? 9 : -1, false, false},
};

#define KINDS (sizeof(expectations) / sizeof(*expectations))

static void check_death(const struct expectation *expected, const struct bh_death *death,
                        enum bh_phase phase)
{
    char line[300];

    bh_death_describe(death, line, sizeof(line));
    if (death->cause != expected->cause || death->exit_code != expected->exit_code ||
        death->phase != phase || death->stack_overflow != expected->stack_overflow)
        FAIL("%s: %s", expected->kind, line);
    bool caught = death->cause == BH_CAUSE_FAULT || death->cause == BH_CAUSE_ABORT;
    CHECK_INT(death->has_fault, caught);
    CHECK(death->pid > 0 && death->cookie > 0);
    if (death->cause == BH_CAUSE_FAULT)
        CHECK(death->instruction != 0 && death->stack_pointer != 0 && death->register_count > 5);
    printf("%s\n", line);
}

static void check_serves(bh_pool *pool)
{
    struct bh_result result;

    probe_expect(pool, "pid", NULL, BH_OUTCOME_REPLIED, &result);
    bh_result_deinit(&result);
}

TEST_TIMEOUT(a_death_during_a_request_is_told_and_the_next_request_is_served, 40)
{
    struct bh_pool_options options = mishaps_options(1);
    bh_pool *pool = probe_open(&options);

    for (size_t i = 0; i < KINDS; i++) {
        struct bh_result result;
        probe_expect(pool, "die", expectations[i].kind, BH_OUTCOME_DIED, &result);
        CHECK_INT(result.delivery, BH_DELIVERY_STARTED);
        CHECK_INT(result.death.serial, result.serial);
        CHECK_INT(result.death.exiting, expectations[i].exiting);
        check_death(&expectations[i], &result.death, BH_PHASE_REQUEST);
        bh_result_deinit(&result);
        check_serves(pool);
    }
    bh_pool_close(pool);
}

/* Whether it went through exit() may be known of ready workers only. */
TEST_TIMEOUT(a_death_during_start_up_is_told, 40)
{
    for (size_t i = 0; i < KINDS; i++) {
        const char *const arguments[] = {"--die-at-start", expectations[i].kind, NULL};
        struct bh_pool_options options = mishaps_options(1);
        struct bh_result result;
        options.arguments = arguments;
        options.crash_loop_limit = 1;
        bh_pool *pool = probe_open(&options);
        probe_expect(pool, "pid", NULL, BH_OUTCOME_REFUSED, &result);
        CHECK_INT(result.refusal, BH_REFUSAL_CRASH_LOOP);
        check_death(&expectations[i], &result.death, BH_PHASE_START_UP);
        bh_result_deinit(&result);
        bh_pool_close(pool);
    }
}

/* ---- between requests ---- */

struct notebook {
    kit_gate *died;
    struct bh_death death;
};

static void on_event(void *context, const struct bh_event *event)
{
    struct notebook *notebook = context;

    if (event->type != BH_EVENT_DIED)
        return;
    bh_death_copy(&notebook->death, event->death);
    kit_gate_open(notebook->died);
}

TEST_TIMEOUT(a_death_between_requests_is_told_and_costs_no_request, 40)
{
    struct notebook notebook = {.died = kit_gate_new()};

    for (size_t i = 0; i < KINDS; i++) {
        const char *const arguments[] = {"--die-idle", expectations[i].kind, NULL};
        struct bh_pool_options options = mishaps_options(1);
        options.arguments = arguments;
        options.on_event = on_event;
        options.event_context = &notebook;
        options.event_mask = 1u << BH_EVENT_DIED;
        bh_pool *pool = probe_open(&options);
        check_serves(pool);
        kit_gate_pass(notebook.died);
        CHECK_INT(notebook.death.exiting, expectations[i].exiting);
        CHECK_INT(notebook.death.served, 1);
        check_death(&expectations[i], &notebook.death, BH_PHASE_IDLE);
        bh_death_deinit(&notebook.death);
        bh_pool_close(pool);
    }
    kit_gate_free(notebook.died);
}

/* ---- what goes with it ---- */

TEST(a_request_is_sent_again_as_often_as_its_caller_allows)
{
    struct bh_pool_options options = mishaps_options(1);
    struct bh_request request = BH_REQUEST_INIT;
    bh_value kind = bh_value_view("segv");
    struct bh_result result;

    bh_pool *pool = probe_open(&options);
    request.method = "die";
    request.arguments = &kind;
    request.argument_count = 1;
    request.retries = 2;
    CHECK_INT(bh_pool_call(pool, &request, &result), BH_OUTCOME_DIED);
    CHECK_INT(result.attempts, 3);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(what_it_wrote_is_in_its_record)
{
    struct bh_pool_options options = probe_options(1);
    struct bh_result result;

    bh_pool *pool = probe_open(&options);
    probe_expect(pool, "say", "last words", BH_OUTCOME_REPLIED, &result);
    bh_result_deinit(&result);
    probe_expect(pool, "crash", NULL, BH_OUTCOME_DIED, &result);
    CHECK_STR(result.death.output, "last words");
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(much_output_loses_only_its_beginning)
{
    struct bh_pool_options options = probe_options(1);
    bh_value lines = bh_value_int64(20000);
    struct bh_result result;

    bh_pool *pool = probe_open(&options);
    probe_call(pool, "flood", &lines, 1, &result);
    bh_result_deinit(&result);
    probe_expect(pool, "crash", NULL, BH_OUTCOME_DIED, &result);
    CHECK_CONTAINS(result.death.output, "line 19999 of the flood");
    CHECK(result.death.output_dropped > 1000000);
    CHECK(result.death.output_length <= options.output_tail_bytes);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(a_worker_over_the_memory_limit_is_killed)
{
    struct bh_pool_options options = probe_options(1);
    bh_value arguments[] = {bh_value_int64(200), bh_value_int64(60000)};
    struct bh_result result;

    options.memory_limit_bytes = UINT64_C(64) << 20;
    bh_pool *pool = probe_open(&options);
    CHECK_INT(bh_pool_invoke(pool, "grow", arguments, 2, &result), BH_OUTCOME_DIED);
    CHECK_INT(result.death.cause, BH_CAUSE_MEMORY_LIMIT);
    CHECK_INT(result.death.limit_bytes, options.memory_limit_bytes);
    CHECK(result.death.peak_rss_bytes > options.memory_limit_bytes);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}
