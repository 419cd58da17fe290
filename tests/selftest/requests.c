/* SPDX-License-Identifier: MIT */
/*
 * Requests and what may become of them besides an answer and a death: failures, deadlines, cancel;
 * faults that COM would swallow, output, large payloads.
 */
#include "selftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)
#define SHORT_MS 500
#define CHILD_MS 15000

static char words[800];

#define DESCRIBE(result) pool_describe(result, words, sizeof words)

/* ---- answers --------------------------------------------------------------------------------- */

static void check_types(bh_pool *pool)
{
    static const double f64[] = {-0.0, 1e300};
    static const int32_t i32[] = {INT32_MIN, 0, INT32_MAX};
    const bh_value all[] = {
        bh_value_null(),
        bh_value_bool(true),
        bh_value_int64(INT64_MIN),
        bh_value_uint64(UINT64_MAX),
        bh_value_double(0.1),
        bh_value_timestamp(-1),
        bh_value_view("t\xc3\xbcr \xf0\x9f\x9a\xaa"),
        bh_value_view_bytes("\0\xff", 2),
        bh_value_view_error(-5, "text"),
        bh_value_view_i32(i32, 3),
        bh_value_view_f64(f64, 2),
    };
    bh_value sent = bh_value_view_array(all, sizeof all / sizeof all[0]);
    struct bh_result result;

    bh_pool_invoke(pool, "echo", &sent, 1, &result);
    report_check(result.outcome == BH_OUTCOME_REPLIED && bh_value_equal(&result.reply, &sent),
                 "values come back as they went", "%s", DESCRIBE(&result));
    bh_result_deinit(&result);
}

/* With a number that COM itself uses. */
static void check_failure(bh_pool *pool)
{
    bh_value code = bh_value_int64((int32_t)0x800706BE);
    struct bh_result result;

    bh_pool_invoke(pool, "fail", &code, 1, &result);
    report_check(result.outcome == BH_OUTCOME_FAILED && result.code == (int32_t)0x800706BE,
                 "a handler may fail with a number of COM's", "%s", DESCRIBE(&result));
    bh_result_deinit(&result);
}

static void check_unknown_method(bh_pool *pool)
{
    struct bh_result result;

    bh_pool_invoke(pool, "no-such-method", NULL, 0, &result);
    report_check(result.outcome == BH_OUTCOME_REFUSED && result.refusal == BH_REFUSAL_NO_METHOD,
                 "an unknown method is refused", "%s", DESCRIBE(&result));
    bh_result_deinit(&result);
}

/* ---- faults that somebody could swallow ------------------------------------------------------ */

static bool is_alive(int64_t pid)
{
    HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)pid);
    bool alive = process != NULL && WaitForSingleObject(process, 0) == WAIT_TIMEOUT;

    if (process != NULL)
        CloseHandle(process);
    return alive;
}

static void check_swallowed(bh_pool *pool, const char *method, const char *name)
{
    struct bh_result result;

    pool_call_text(pool, method, "segv", &result);
    report_check(result.outcome == BH_OUTCOME_DIED && result.death.cause == BH_CAUSE_FAULT &&
                     result.death.has_fault && !is_alive(result.death.pid),
                 name, "%s", DESCRIBE(&result));
    bh_result_deinit(&result);
}

static void check_handled(bh_pool *pool)
{
    struct bh_result result;
    bool bad = false;

    bh_pool_invoke(pool, "handled-fault", NULL, 0, &result);
    report_check(result.outcome == BH_OUTCOME_REPLIED &&
                     bh_value_get_bool(&result.reply, &bad) == BH_OK && bad,
                 "a fault that the code itself handles is no death", "%s", DESCRIBE(&result));
    bh_result_deinit(&result);
}

/* What a worker has started goes with it. */
static void check_child(bh_pool *pool)
{
    static const char name[] = "what a dying worker has started is ended";
    struct bh_result result;
    int64_t pid = 0;

    bh_pool_invoke(pool, "spawn", NULL, 0, &result);
    bh_value_get_int64(&result.reply, &pid);
    HANDLE child = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)pid);
    if (pid == 0 || child == NULL) {
        report_check(false, name, "nothing was started: %s", DESCRIBE(&result));
        bh_result_deinit(&result);
        return;
    }
    bh_result_deinit(&result);
    pool_call_text(pool, "die", "segv", &result);
    report_check(WaitForSingleObject(child, CHILD_MS) == WAIT_OBJECT_0, name, NULL);
    bh_result_deinit(&result);
    CloseHandle(child);
}

static void check_output(bh_pool *pool)
{
    struct bh_result result;

    pool_call_text(pool, "print", "the last words", &result);
    bh_result_deinit(&result);
    pool_call_text(pool, "die", "segv", &result);
    const char *output = result.death.output != NULL ? result.death.output : "";
    report_check(strstr(output, "out: the last words") != NULL &&
                     strstr(output, "err: the last words") != NULL,
                 "what a worker wrote is in its death record", "%zu bytes",
                 result.death.output_length);
    bh_result_deinit(&result);
}

/* ---- deadlines and cancel -------------------------------------------------------------------- */

/* The time is the handler's: the worker that ended before has its successor. */
static void await_worker(bh_pool *pool)
{
    struct bh_problem problem;

    bh_pool_wait_ready(pool, 1, 30000, &problem);
}

static void check_deadline(bh_pool *pool, const char *method, const char *text, bool dies,
                           const char *name)
{
    struct bh_request request = BH_REQUEST_INIT;
    bh_value argument = bh_value_view(text);
    struct bh_result result;

    request.method = method;
    request.arguments = &argument;
    request.argument_count = 1;
    request.deadline_ms = SHORT_MS;
    await_worker(pool);
    bh_pool_call(pool, &request, &result);
    report_check(result.outcome == BH_OUTCOME_DEADLINE &&
                     result.delivery != BH_DELIVERY_NEVER_STARTED && result.has_death == dies &&
                     (!dies || result.death.cause == BH_CAUSE_DEADLINE),
                 name, "%s", DESCRIBE(&result));
    bh_result_deinit(&result);
}

static void check_no_progress(bh_pool *pool)
{
    struct bh_request request = BH_REQUEST_INIT;
    bh_value argument = bh_value_view("hang");
    struct bh_result result;

    request.method = "die";
    request.arguments = &argument;
    request.argument_count = 1;
    request.no_progress_ms = SHORT_MS;
    await_worker(pool);
    bh_pool_call(pool, &request, &result);
    report_check(result.outcome == BH_OUTCOME_DEADLINE && result.has_death &&
                     result.death.cause == BH_CAUSE_NO_PROGRESS,
                 "a silent handler is ended", "%s", DESCRIBE(&result));
    bh_result_deinit(&result);
}

static DWORD WINAPI raise_later(void *cancel)
{
    Sleep(SHORT_MS);
    bh_cancel_raise(cancel);
    return 0;
}

static void check_cancel(bh_pool *pool, const char *method, bool dies, const char *name)
{
    struct bh_request request = BH_REQUEST_INIT;
    bh_value argument = bh_value_view("hang");
    bh_cancel *cancel = bh_cancel_new();
    struct bh_result result;

    request.method = method;
    request.arguments = &argument;
    request.argument_count = 1;
    request.cancel = cancel;
    await_worker(pool);
    HANDLE thread = CreateThread(NULL, 0, raise_later, cancel, 0, NULL);
    bh_pool_call(pool, &request, &result);
    report_check(result.outcome == BH_OUTCOME_CANCELLED &&
                     result.delivery != BH_DELIVERY_NEVER_STARTED && result.has_death == dies &&
                     (!dies || result.death.cause == BH_CAUSE_CANCELLED),
                 name, "%s", DESCRIBE(&result));
    bh_result_deinit(&result);
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
    bh_cancel_free(cancel);
}

/* ---- large payloads -------------------------------------------------------------------------- */

static void check_echo(bh_pool *pool, const uint8_t *bytes, size_t size)
{
    bh_value value = bh_value_view_bytes(bytes, size);
    struct bh_result result;
    char name[80];

    snprintf(name, sizeof name, "%zu bytes there and back", size);
    bh_pool_invoke(pool, "echo", &value, 1, &result);
    report_check(result.outcome == BH_OUTCOME_REPLIED && bh_value_equal(&result.reply, &value),
                 name, "%s", DESCRIBE(&result));
    bh_result_deinit(&result);
}

static void check_large(bh_pool *pool)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, MIB, 16 * MIB + 1, 64 * MIB};
    uint8_t *bytes = malloc(64 * MIB);

    if (bytes == NULL) {
        report_untestable("large payloads", "no memory for 64 MiB");
        return;
    }
    for (size_t i = 0; i < 64 * MIB; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 4096);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        check_echo(pool, bytes, sizes[i]);
    free(bytes);
}

void requests_run(void)
{
    struct bh_pool_options options = pool_options(1, NULL);

    report_part("Requests");
    bh_pool *pool = pool_open(&options, "requests");
    if (pool == NULL)
        return;
    check_types(pool);
    check_failure(pool);
    check_unknown_method(pool);
    check_swallowed(pool, "die", "a fault that COM could swallow is a death");
    check_swallowed(pool, "die-without-filter",
                    "a fault after a library took the exception filter away is one too");
    check_handled(pool);
    check_output(pool);
    check_child(pool);
    check_deadline(pool, "patience", "", false, "a handler that gives up at its deadline lives");
    check_deadline(pool, "die", "hang", true, "a handler that hangs past its deadline is ended");
    check_no_progress(pool);
    check_cancel(pool, "patience", false, "a handler that gives up when cancelled lives");
    check_cancel(pool, "die", true, "a handler that hangs when cancelled is ended");
    check_large(pool);
    bh_pool_close(pool);
}
