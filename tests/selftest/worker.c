/* SPDX-License-Identifier: MIT */
/*
 * The worker's half of the selftest. How to die is what the example `mishaps` has a table of.
 *
 * Arguments: --die-at-start=KIND in init(), --die-idle=KIND after the first reply,
 * --sometimes=PERCENT at start-up, by chance.
 */
#include "selftest.h"

#include "deaths.h"

#include <bulkhead/worker.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is left to do when the request at hand has been answered. */
static const struct death *die_idle;

static const struct death *find_kind(const char *name, size_t length)
{
    for (const struct death *kind = deaths; kind->name != NULL; kind++) {
        if (strlen(kind->name) == length && memcmp(kind->name, name, length) == 0)
            return kind;
    }
    return NULL;
}

static const struct death *take_kind(const bh_value *arguments, size_t count)
{
    const char *name;
    size_t length;

    return count > 0 && bh_value_get_string(&arguments[0], &name, &length) == BH_OK
               ? find_kind(name, length)
               : NULL;
}

/* ---- methods --------------------------------------------------------------------------------- */

static void on_echo(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value all = bh_value_view_array(arguments, count);

    (void)context;
    bh_call_reply(call, count == 1 ? &arguments[0] : &all);
}

static void on_die(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const struct death *kind = take_kind(arguments, count);

    (void)context;
    if (kind != NULL)
        kind->die();
    bh_call_fail(call, 1, kind != NULL ? "survived" : "no such kind");
}

/* Answers, and dies afterwards. */
static void on_later(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)call, (void)context;
    die_idle = take_kind(arguments, count);
}

/* What a library may do to its host: the filter for unhandled exceptions is gone. */
static void on_die_without_filter(bh_call *call, const bh_value *arguments, size_t count,
                                  void *context)
{
    SetUnhandledExceptionFilter(NULL);
    on_die(call, arguments, count, context);
}

/* A fault that is expected where it happens. */
static void on_handled_fault(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value bad = bh_value_bool(IsBadReadPtr((void *)(uintptr_t)16, 16) != FALSE);

    (void)arguments, (void)count, (void)context;
    bh_call_reply(call, &bad);
}

static void on_print(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const char *text;
    size_t length;

    (void)call, (void)context;
    if (count == 0 || bh_value_get_string(&arguments[0], &text, &length) != BH_OK)
        return;
    printf("out: %.*s\n", (int)length, text);
    fprintf(stderr, "err: %.*s\n", (int)length, text);
}

static void on_fail(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t code = 0;

    (void)context;
    if (count > 0)
        bh_value_get_int64(&arguments[0], &code);
    bh_call_fail(call, (int32_t)code, "failed on purpose");
}

/* Gives up when it is asked to. */
static void on_patience(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    while (!bh_call_cancelled(call))
        Sleep(1);
    bh_call_fail(call, 2, "gave up");
}

static void on_sum(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const void *bytes = NULL;
    const uint8_t *at;
    size_t length = 0;
    uint64_t sum = 0;

    (void)context;
    if (count > 0)
        bh_value_get_bytes(&arguments[0], &bytes, &length);
    for (at = bytes; length > 0; length--)
        sum += *at++;
    bh_value value = bh_value_uint64(sum);
    bh_call_reply(call, &value);
}

static void on_pid(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value value = bh_value_int64(process_id());

    (void)arguments, (void)count, (void)context;
    bh_call_reply(call, &value);
}

/* Starts a process that would outlive everybody. */
static void on_spawn(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION made;
    char command[MAX_PATH + 32];

    (void)arguments, (void)count, (void)context;
    snprintf(command, sizeof command, "\"%s\" --sleep", pool_own_path());
    if (!CreateProcessA(NULL, command, NULL, NULL, FALSE, CREATE_NO_WINDOW, NULL, NULL, &startup,
                        &made)) {
        bh_call_fail(call, (int32_t)GetLastError(), "cannot start %s", command);
        return;
    }
    bh_value pid = bh_value_int64(made.dwProcessId);
    bh_call_reply(call, &pid);
    CloseHandle(made.hProcess);
    CloseHandle(made.hThread);
}

static const struct bh_method methods[] = {
    {"echo", on_echo, "echo(value...) -> the value"},
    {"die", on_die, "die(kind)"},
    {"later", on_later, "later(kind): after the reply"},
    {"die-without-filter", on_die_without_filter, NULL},
    {"handled-fault", on_handled_fault, NULL},
    {"print", on_print, "print(text): on stdout and stderr"},
    {"fail", on_fail, "fail(code)"},
    {"patience", on_patience, NULL},
    {"sum", on_sum, "sum(bytes) -> their sum"},
    {"pid", on_pid, NULL},
    {"spawn", on_spawn, NULL},
    {NULL, NULL, NULL},
};

/* ---- the worker ------------------------------------------------------------------------------ */

static const char *value_of(const char *argument, const char *name)
{
    size_t length = strlen(name);

    return strncmp(argument, name, length) == 0 ? argument + length : NULL;
}

static const struct death *kind_of(const char *name)
{
    return name != NULL ? find_kind(name, strlen(name)) : NULL;
}

/* By chance, but never the same twice in a row for long. */
static bool is_unlucky(const char *percent)
{
    LARGE_INTEGER now;
    uint64_t mixed;

    QueryPerformanceCounter(&now);
    mixed = (uint64_t)now.QuadPart ^ (uint64_t)GetCurrentProcessId() << 20;
    mixed *= UINT64_C(0x9e3779b97f4a7c15);
    return percent != NULL && mixed >> 32 < (uint64_t)atoi(percent) * (UINT32_MAX / 100);
}

static int init(int argc, char **argv, void **context)
{
    (void)context;
    for (int i = 1; i < argc; i++) {
        const struct death *at_start = kind_of(value_of(argv[i], "--die-at-start="));
        if (value_of(argv[i], "--die-idle=") != NULL)
            die_idle = kind_of(value_of(argv[i], "--die-idle="));
        if (is_unlucky(value_of(argv[i], "--sometimes=")))
            at_start = kind_of("segv");
        if (at_start != NULL)
            at_start->die();
    }
    return 0;
}

static void idle(void *context)
{
    const struct death *kind = die_idle;

    (void)context;
    die_idle = NULL;
    if (kind != NULL)
        kind->die();
}

int worker_main_if_worker(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    if (argc < 2 || strcmp(argv[1], WORKER_MARK) != 0)
        return -1;
    worker.methods = methods;
    worker.init = init;
    worker.idle = idle;
    return bh_worker_main(argc, argv, &worker);
}
