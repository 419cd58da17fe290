/* SPDX-License-Identifier: MIT */
/*
 * Every way to die that the example `mishaps` has on this system, at start-up, in a request and
 * between requests: what the library must say of it.
 *
 * Model: a table of expectations by the kind's name. What is only noticed by somebody else (a hung
 * worker, one that takes memory) comes with the limit that notices it. A kind that the table does
 * not know fails, so that none is forgotten.
 */
#include "selftest.h"

#include "deaths.h"

#include <stdio.h>
#include <string.h>

#define KILL_MS 1500
#define MEMORY_LIMIT ((uint64_t)192 << 20)
#define DEATH_MS 30000
#define ANY_CODE (-1000)

enum how {
    BY_ITSELF,   /* the process ends */
    BY_THE_HEAP, /* it ends where the heap ends it; else by abort(), or not at all */
    STUCK,       /* it goes on until a deadline ends it */
    TAKES_MEMORY
};

struct expectation {
    const char *kind;
    enum bh_cause cause;
    uint32_t exception;
    int exit_code;
    enum how how;
    bool recorded; /* caught in the act */
};

static const struct expectation expectations[] = {
    {"segv", BH_CAUSE_FAULT, 0xC0000005, -1, BY_ITSELF, true},
    {"fpe", BH_CAUSE_FAULT, 0xC0000094, -1, BY_ITSELF, true},
    {"ill", BH_CAUSE_FAULT, 0xC000001D, -1, BY_ITSELF, true},
    {"thread", BH_CAUSE_FAULT, 0xC0000005, -1, BY_ITSELF, true},
    {"stack", BH_CAUSE_FAULT, 0xC00000FD, -1, BY_ITSELF, true},
    {"abort", BH_CAUSE_ABORT, 0, -1, BY_ITSELF, true},
    {"double-free", BH_CAUSE_FAULT, 0xC0000374, -1, BY_THE_HEAP, false},
    {"exit", BH_CAUSE_EXIT, 0, 3, BY_ITSELF, false},
    {"_exit", BH_CAUSE_EXIT, 0, 4, BY_ITSELF, false},
    {"kill", BH_CAUSE_EXIT, 0, 9, BY_ITSELF, false},
    {"oom", BH_CAUSE_MEMORY_LIMIT, 0, ANY_CODE, TAKES_MEMORY, false},
    {"fork", BH_CAUSE_FAULT, 0xC0000005, -1, BY_ITSELF, true},
    {"hang", BH_CAUSE_DEADLINE, 0, ANY_CODE, STUCK, false},
    {"spin", BH_CAUSE_DEADLINE, 0, ANY_CODE, STUCK, false},
    {"stop", BH_CAUSE_DEADLINE, 0, ANY_CODE, STUCK, false},
    {"flood", BH_CAUSE_DEADLINE, 0, ANY_CODE, STUCK, false},
    {"fail-fast", BH_CAUSE_FAULT, 0xC0000409, -1, BY_ITSELF, false},
    {"raise", BH_CAUSE_FAULT, 0xE0424831, -1, BY_ITSELF, true},
    {"breakpoint", BH_CAUSE_FAULT, 0x80000003, -1, BY_ITSELF, true},
    {"corrupt-heap", BH_CAUSE_FAULT, 0xC0000374, -1, BY_THE_HEAP, false},
};

static const struct expectation *expectation_of(const char *kind)
{
    for (size_t i = 0; i < sizeof expectations / sizeof expectations[0]; i++) {
        if (strcmp(expectations[i].kind, kind) == 0)
            return &expectations[i];
    }
    return NULL;
}

static bool is_as_expected(const struct expectation *expected, const struct bh_death *death,
                           enum bh_phase phase)
{
    return death->phase == phase && death->cause == expected->cause &&
           death->exception == expected->exception &&
           (expected->exit_code == ANY_CODE || death->exit_code == expected->exit_code) &&
           (!expected->recorded || death->has_fault) &&
           death->stack_overflow == (strcmp(expected->kind, "stack") == 0);
}

static void judge(const char *name, const struct expectation *expected,
                  const struct bh_death *death, enum bh_phase phase)
{
    char text[600];

    bh_death_describe(death, text, sizeof text);
    if (expected->how == BY_THE_HEAP && death->cause == BH_CAUSE_ABORT && death->phase == phase)
        report_untestable(name, "this system's heap refuses, and does not end the process");
    else if (!report_check(is_as_expected(expected, death, phase), name, "%s", text))
        pool_show_output(death);
}

/* No death came of it. */
static void judge_survivor(const char *name, const struct expectation *expected,
                           const struct bh_result *result)
{
    char text[700];

    if (expected->how == BY_THE_HEAP)
        report_untestable(name, "this system's heap does not notice");
    else
        report_check(false, name, "no death: %s", pool_describe(result, text, sizeof text));
}

static struct bh_pool_options options_for(const struct expectation *expected, const char *argument)
{
    struct bh_pool_options options = pool_options(1, argument);

    if (expected->how == STUCK)
        options.deadline_ms = KILL_MS;
    if (expected->how == TAKES_MEMORY)
        options.memory_limit_bytes = MEMORY_LIMIT;
    options.drain_timeout_ms = KILL_MS;
    return options;
}

/* ---- in a request ---------------------------------------------------------------------------- */

static void die_in_request(const struct expectation *expected)
{
    struct bh_pool_options options = options_for(expected, NULL);
    struct bh_problem problem;
    struct bh_result result;
    char name[80];

    snprintf(name, sizeof name, "%s in a request", expected->kind);
    bh_pool *pool = pool_open(&options, name);
    if (pool == NULL)
        return;
    bh_pool_wait_ready(pool, 1, POOL_READY_MS, &problem); /* the deadline shall not count it */
    pool_call_text(pool, "die", expected->kind, &result);
    if (!result.has_death)
        judge_survivor(name, expected, &result);
    else if (result.delivery != BH_DELIVERY_STARTED || result.death.serial != result.serial)
        report_check(false, name, "the request is said to have %s",
                     bh_delivery_name(result.delivery));
    else
        judge(name, expected, &result.death, BH_PHASE_REQUEST);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

/* ---- at start-up ----------------------------------------------------------------------------- */

static void die_at_start(const struct expectation *expected)
{
    struct bh_pool_options options;
    struct bh_result result;
    char name[80], argument[80];

    snprintf(name, sizeof name, "%s at start-up", expected->kind);
    snprintf(argument, sizeof argument, "--die-at-start=%s", expected->kind);
    options = options_for(expected, argument);
    options.deadline_ms = 0;
    options.crash_loop_limit = 1;
    if (expected->how == STUCK)
        options.start_timeout_ms = KILL_MS;
    bh_pool *pool = pool_open(&options, name);
    if (pool == NULL)
        return;
    bh_pool_invoke(pool, "echo", NULL, 0, &result);
    if (!result.has_death)
        judge_survivor(name, expected, &result);
    else if (result.outcome != BH_OUTCOME_REFUSED)
        report_check(false, name, "the request was not refused but %s",
                     bh_outcome_name(result.outcome));
    else
        judge(name, expected, &result.death, BH_PHASE_START_UP);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

/* ---- between requests ------------------------------------------------------------------------ */

struct notebook {
    HANDLE written;
    struct bh_death death;
};

static void on_death(void *context, const struct bh_event *event)
{
    struct notebook *notebook = context;

    if (event->type != BH_EVENT_DIED || WaitForSingleObject(notebook->written, 0) == WAIT_OBJECT_0)
        return;
    bh_death_copy(&notebook->death, event->death);
    SetEvent(notebook->written);
}

/* The reply has gone out, the worker is at it. What is stuck is only noticed by the next request.
 */
static void await_idle_death(bh_pool *pool, const char *name, const struct expectation *expected,
                             struct notebook *notebook)
{
    struct bh_result result = {0};

    if (expected->how == STUCK)
        bh_pool_invoke(pool, "echo", NULL, 0, &result);
    /* One that no heap has ended has a moment to show that. */
    DWORD patience = expected->how == BY_THE_HEAP ? KILL_MS : DEATH_MS;
    if (WaitForSingleObject(notebook->written, patience) == WAIT_OBJECT_0)
        judge(name, expected, &notebook->death, BH_PHASE_IDLE);
    else
        judge_survivor(name, expected, &result);
    bh_result_deinit(&result);
}

static void die_idle(const struct expectation *expected)
{
    struct notebook notebook = {.written = CreateEventW(NULL, TRUE, FALSE, NULL)};
    struct bh_pool_options options = options_for(expected, NULL);
    struct bh_problem problem;
    struct bh_result result;
    char name[80];

    snprintf(name, sizeof name, "%s between requests", expected->kind);
    options.on_event = on_death;
    options.event_context = &notebook;
    bh_pool *pool = pool_open(&options, name);
    if (pool == NULL)
        return;
    bh_pool_wait_ready(pool, 1, POOL_READY_MS, &problem);
    if (pool_call_text(pool, "later", expected->kind, &result) == BH_OUTCOME_REPLIED)
        await_idle_death(pool, name, expected, &notebook);
    else
        judge_survivor(name, expected, &result);
    bh_result_deinit(&result);
    bh_pool_close(pool);
    CloseHandle(notebook.written);
    bh_death_deinit(&notebook.death);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void run_all(const char *title, void (*run)(const struct expectation *expected))
{
    report_part(title);
    for (const struct death *kind = deaths; kind->name != NULL; kind++) {
        const struct expectation *expected = expectation_of(kind->name);
        if (expected != NULL)
            run(expected);
        else
            report_check(false, kind->name, "this program does not know what to expect of it");
    }
}

void deaths_run(void)
{
    run_all("Deaths at start-up", die_at_start);
    run_all("Deaths in a request", die_in_request);
    run_all("Deaths between requests", die_idle);
}
