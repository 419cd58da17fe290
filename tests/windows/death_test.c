/* SPDX-License-Identifier: MIT */
/* timeout: 180 */
/*
 * How workers die, and what is known of it afterwards.
 */
#include "rig.h"

#include <stdlib.h>

struct expectation {
    const char *kind;
    enum bh_cause cause;
    uint32_t exception;
    int exit_code;
    int exiting;
    const char *detail; /* part of the description */
};

static const struct expectation expectations[] = {
    {"violation", BH_CAUSE_FAULT, 0xC0000005, -1, 0, "EXCEPTION_ACCESS_VIOLATION"},
    {"raise", BH_CAUSE_FAULT, 0xE0001234, -1, 0, "0xe0001234"},
    {"overflow", BH_CAUSE_FAULT, 0xC00000FD, -1, 0, "stack overflow"},
    {"thread", BH_CAUSE_FAULT, 0xC0000005, -1, 0, "in thread"},
    {"abort", BH_CAUSE_ABORT, 0, -1, 0, "SIGABRT"},
    {"exit", BH_CAUSE_EXIT, 0, 7, 1, "code 7 through exit()"},
    {"exit-negative", BH_CAUSE_EXIT, 0, -2, 1, "through exit()"},
    {"exit-now", BH_CAUSE_EXIT, 0, 9, 0, "code 9 without exit()"},
    {"fail-fast", BH_CAUSE_FAULT, 0xC0000409, -1, 0, "fail fast"},
    {"heap", BH_CAUSE_FAULT, 0xC0000374, -1, 0, "heap corruption"},
    {"violation-unrecorded", BH_CAUSE_UNKNOWN, 0xC0000005, -1, 0, "EXCEPTION_ACCESS_VIOLATION"},
};

static void check_death(const struct expectation *expected, const struct bh_death *death,
                        enum bh_phase phase)
{
    char text[600];

    bh_death_describe(death, text, sizeof(text));
    if (death->cause != expected->cause || death->exception != expected->exception ||
        death->exit_code != expected->exit_code || death->exiting != expected->exiting ||
        death->phase != phase || death->pid == 0)
        FAIL("%s: %s", expected->kind, text);
    CHECK_CONTAINS(text, expected->detail);
    bool caught = (death->cause == BH_CAUSE_FAULT && strstr(expected->detail, "fast") == NULL &&
                   strstr(expected->detail, "heap") == NULL) ||
                  death->cause == BH_CAUSE_ABORT;
    CHECK_INT(death->has_fault, caught);
    if (caught && death->exception)
        CHECK(death->register_count > 5 && death->instruction != 0);
    printf("# %s\n", text);
}

TEST_TIMEOUT(a_death_during_a_request_is_told, 60)
{
    struct bh_pool_options options = rig_options(1);
    bh_pool *pool = rig_open_ready(&options);

    for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
        struct bh_result result;
        int64_t begin = kit_now_ms();
        rig_call_text(pool, "mishap", expectations[i].kind, &result);
        int64_t took = kit_now_ms() - begin;
        rig_expect(&result, BH_OUTCOME_DIED);
        CHECK_INT(result.delivery, BH_DELIVERY_STARTED);
        check_death(&expectations[i], &result.death, BH_PHASE_REQUEST);
        printf("#   known after %lld ms\n", (long long)took);
        bh_result_deinit(&result);
        rig_check_echo(pool);
    }
    bh_pool_close(pool);
}

/* ---- between requests ---- */

struct notebook {
    HANDLE died; /* auto-reset */
    struct bh_death death;
};

static void on_event(void *context, const struct bh_event *event)
{
    struct notebook *notebook = context;

    if (event->type != BH_EVENT_DIED)
        return;
    bh_death_deinit(&notebook->death);
    bh_death_copy(&notebook->death, event->death);
    SetEvent(notebook->died);
}

TEST_TIMEOUT(a_death_between_requests_is_told_and_costs_no_request, 60)
{
    static const int which[] = {0, 3, 4, 5, 7};
    struct bh_pool_options options = rig_options(1);
    struct notebook notebook = {.died = CreateEventW(NULL, FALSE, FALSE, NULL)};

    options.on_event = on_event;
    options.event_context = &notebook;
    bh_pool *pool = rig_open_ready(&options);
    for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
        const struct expectation *expected = &expectations[which[i]];
        struct bh_result result;
        rig_call_text(pool, "later", expected->kind, &result);
        rig_expect(&result, BH_OUTCOME_REPLIED);
        bh_result_deinit(&result);
        CHECK_INT(WaitForSingleObject(notebook.died, 20000), WAIT_OBJECT_0);
        struct expectation adapted = *expected;
        if (adapted.cause == BH_CAUSE_FAULT)
            adapted.detail = "in thread";
        check_death(&adapted, &notebook.death, BH_PHASE_IDLE);
        rig_check_echo(pool);
    }
    bh_pool_close(pool);
    bh_death_deinit(&notebook.death);
    CloseHandle(notebook.died);
}

/* ---- during start-up ---- */

TEST_TIMEOUT(a_death_during_start_up_is_told, 60)
{
    static const int which[] = {0, 1, 2, 4, 5, 7, 8};

    for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
        const struct expectation *expected = &expectations[which[i]];
        struct bh_pool_options options = rig_options(1);
        struct bh_result result;
        char argument[64];
        const char *arguments[] = {argument, NULL};
        snprintf(argument, sizeof(argument), "--at-start=%s", expected->kind);
        options.arguments = arguments;
        options.crash_loop_limit = 2;
        options.backoff_initial_ms = 1;
        bh_pool *pool = rig_open(&options);
        bh_pool_invoke(pool, "echo", NULL, 0, &result);
        rig_expect(&result, BH_OUTCOME_REFUSED);
        CHECK_INT(result.refusal, BH_REFUSAL_CRASH_LOOP);
        CHECK(result.has_death);
        struct expectation adapted = *expected;
        if (adapted.cause == BH_CAUSE_EXIT) /* whether by exit() is known of ready workers only */
            adapted.detail = "code";
        check_death(&adapted, &result.death, BH_PHASE_START_UP);
        bh_result_deinit(&result);
        bh_pool_close(pool);
    }
}

TEST(a_start_up_that_hangs_is_killed)
{
    static const char *const arguments[] = {"--at-start=hang", NULL};
    struct bh_pool_options options = rig_options(1);
    struct bh_result result;

    options.arguments = arguments;
    options.start_timeout_ms = 500;
    options.crash_loop_limit = 1;
    bh_pool *pool = rig_open(&options);
    bh_pool_invoke(pool, "echo", NULL, 0, &result);
    rig_expect(&result, BH_OUTCOME_REFUSED);
    CHECK_INT(result.death.cause, BH_CAUSE_DEADLINE);
    CHECK_INT(result.death.phase, BH_PHASE_START_UP);
    CHECK_CONTAINS(result.text, "not ready within 500 ms");
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(a_program_that_is_no_worker_never_becomes_ready)
{
    static const char *const arguments[] = {"/c", "exit", "5", NULL};
    struct bh_pool_options options = rig_options(1);
    struct bh_result result;

    options.worker = "cmd";
    options.arguments = arguments;
    options.crash_loop_limit = 1;
    bh_pool *pool = rig_open(&options);
    bh_pool_invoke(pool, "echo", NULL, 0, &result);
    rig_expect(&result, BH_OUTCOME_REFUSED);
    CHECK_INT(result.death.cause, BH_CAUSE_EXIT);
    CHECK_INT(result.death.exit_code, 5);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(a_program_that_is_not_there_is_told)
{
    struct bh_pool_options options = rig_options(1);
    struct bh_result result;

    options.worker = "no/such/program";
    bh_pool *pool = rig_open(&options);
    bh_pool_invoke(pool, "echo", NULL, 0, &result);
    rig_expect(&result, BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_CANNOT_START);
    CHECK_INT(result.death.cause, BH_CAUSE_NOT_STARTED);
    CHECK(result.death.os_error != 0);
    printf("# %s\n", result.text);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

/* ---- what goes with it ---- */

TEST(a_request_that_was_sent_again_is_answered)
{
    struct bh_pool_options options = rig_options(1);
    struct bh_request request = BH_REQUEST_INIT;
    bh_value kind = bh_value_view("violation");
    struct bh_result result;

    bh_pool *pool = rig_open_ready(&options);
    request.method = "mishap";
    request.arguments = &kind;
    request.argument_count = 1;
    request.retries = 2;
    bh_pool_call(pool, &request, &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK_INT(result.attempts, 3);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(what_it_wrote_is_in_its_record)
{
    struct bh_pool_options options = rig_options(1);
    struct bh_result result;

    bh_pool *pool = rig_open_ready(&options);
    rig_call_text(pool, "print", "before the crash", &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    bh_result_deinit(&result);
    rig_call_text(pool, "mishap", "violation", &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK(result.death.output != NULL);
    CHECK_CONTAINS(result.death.output, "out: before the crash");
    CHECK_CONTAINS(result.death.output, "err: before the crash");
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(much_output_loses_only_its_beginning)
{
    struct bh_pool_options options = rig_options(1);
    bh_value lines = bh_value_int64(20000);
    struct bh_result result;

    bh_pool *pool = rig_open_ready(&options);
    bh_pool_invoke(pool, "flood", &lines, 1, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    bh_result_deinit(&result);
    rig_call_text(pool, "mishap", "violation", &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK_CONTAINS(result.death.output, "line 19999 of the flood");
    CHECK(result.death.output_dropped > 1000000);
    CHECK(result.death.output_length <= options.output_tail_bytes);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(times_and_memory_are_known)
{
    struct bh_pool_options options = rig_options(1);
    bh_value mib = bh_value_int64(64);
    struct bh_result result;

    bh_pool *pool = rig_open_ready(&options);
    bh_pool_invoke(pool, "keep", &mib, 1, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    bh_result_deinit(&result);
    rig_call_text(pool, "mishap", "violation", &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK(result.death.user_us + result.death.system_us > 0);
    printf("# peak %llu, sampled %llu, user %llu us, system %llu us\n",
           (unsigned long long)result.death.max_rss_bytes,
           (unsigned long long)result.death.peak_rss_bytes,
           (unsigned long long)result.death.user_us, (unsigned long long)result.death.system_us);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(a_worker_over_the_memory_limit_is_killed)
{
    struct bh_pool_options options = rig_options(1);
    bh_value mib = bh_value_int64(200);
    struct bh_result result;

    options.memory_limit_bytes = UINT64_C(64) << 20;
    bh_pool *pool = rig_open_ready(&options);
    bh_pool_invoke(pool, "keep", &mib, 1, &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK_INT(result.death.cause, BH_CAUSE_MEMORY_LIMIT);
    CHECK(result.death.peak_rss_bytes > options.memory_limit_bytes);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}
