/* SPDX-License-Identifier: MIT */
/*
 * A worker that tells about its own process, and takes its time.
 *   environment(name) -> string or null     directory() -> string
 *   arguments() -> [string]                 wait(ms) -> null, gives up when cancelled
 *   beat(count, ms) -> null, a sign of life every ms                    pid() -> number
 *   say(text) -> null, on stdout            grow(mib, ms) -> bytes, and keeps the memory
 *   flood(lines) -> null, on stderr         crash(): a null pointer
 */
#include "check.h"

#include <bulkhead/worker.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int own_argc;
static char **own_argv;

static int64_t number(const bh_value *arguments, size_t count, size_t i)
{
    int64_t result = 0;

    if (i < count)
        bh_value_get_int64(&arguments[i], &result);
    return result;
}

static void reply_number(bh_call *call, int64_t value)
{
    bh_value reply = bh_value_int64(value);

    bh_call_reply(call, &reply);
}

static void reply_text(bh_call *call, const char *text)
{
    bh_value reply = text ? bh_value_view(text) : bh_value_null();

    bh_call_reply(call, &reply);
}

static void environment(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    char name[64] = "";

    (void)context;
    if (count == 1)
        snprintf(name, sizeof(name), "%.*s", (int)arguments[0].length, arguments[0].as.string);
    reply_text(call, getenv(name));
}

static void directory(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    char path[4096];

    (void)arguments, (void)count, (void)context;
    kit_get_directory(path, sizeof(path));
    reply_text(call, path);
}

static void arguments_of(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value list[16];
    int length = own_argc < 16 ? own_argc : 16;

    (void)arguments, (void)count, (void)context;
    for (int i = 0; i < length; i++)
        list[i] = bh_value_view(own_argv[i]);
    bh_value reply = bh_value_view_array(list, (size_t)length);
    bh_call_reply(call, &reply);
}

static void wait_ms(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)context;
    for (int64_t ms = number(arguments, count, 0); ms > 0; ms--) {
        if (bh_call_cancelled(call)) {
            bh_call_fail(call, 125, "cancelled");
            return;
        }
        kit_pause_ms(1);
    }
}

static void beat(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t beats = number(arguments, count, 0);

    (void)context;
    for (int64_t i = 0; i < beats; i++) {
        bh_call_progress(call, (uint64_t)i, (uint64_t)beats);
        kit_pause_ms(number(arguments, count, 1));
    }
}

static void get_pid(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    reply_number(call, kit_own_pid());
}

static void say(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)call, (void)context;
    if (count == 1)
        fwrite(arguments[0].as.string, 1, arguments[0].length, stdout);
    fflush(stdout);
}

static void grow(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    static char *kept;
    size_t bytes = (size_t)number(arguments, count, 0) << 20;

    (void)context;
    kept = realloc(kept, bytes);
    if (kept)
        memset(kept, 1, bytes);
    kit_pause_ms(number(arguments, count, 1));
    reply_number(call, kept ? (int64_t)bytes : 0);
}

static void flood(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    static char buffer[1 << 16];
    int64_t lines = number(arguments, count, 0);

    (void)call, (void)context;
    setvbuf(stderr, buffer, _IOFBF, sizeof(buffer));
    for (int64_t i = 0; i < lines; i++)
        fprintf(stderr, "line %lld of the flood %040d\n", (long long)i, 0);
    fflush(stderr);
}

static void crash(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)call, (void)arguments, (void)count, (void)context;
    *(volatile int *)0 = 1;
}

static int init(int argc, char **argv, void **context)
{
    (void)context;
    own_argc = argc;
    own_argv = argv;
    if (argc > 1 && strcmp(argv[1], "--never-ready") == 0)
        kit_hang();
    return 0;
}

static const struct bh_method methods[] = {
    {"environment", environment, NULL},
    {"directory", directory, NULL},
    {"arguments", arguments_of, NULL},
    {"wait", wait_ms, NULL},
    {"beat", beat, NULL},
    {"pid", get_pid, NULL},
    {"say", say, NULL},
    {"grow", grow, NULL},
    {"flood", flood, NULL},
    {"crash", crash, NULL},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    worker.fork_safe = true;
    worker.init = init;
    return bh_worker_main(argc, argv, &worker);
}
