/* SPDX-License-Identifier: MIT */
/*
 * The worker of the fault tests. It does as the request says:
 *   answer(n, mode) -> 3n + 1, where mode is one of
 *     "reply"      nothing else
 *     "crash"      a null pointer instead of the reply
 *     "crash idle" the reply, then a null pointer between the requests
 *     "kill idle"  the reply, then its end without a word between the requests
 *   hang()         never returns, nor heeds polite requests to end; so does a process that it
 * starts and sets free as far as the system lets it pid()          the process's number With
 * --start-crash N, one start in N crashes, chosen by the worker's cookie.
 */
#include "check.h"

#include <bulkhead/worker.h>

#include <stdlib.h>
#include <string.h>

enum after { NOTHING, CRASH, KILL };
static enum after after;

static void crash(void)
{
    *(volatile int *)0 = 1;
}

static bool is(const bh_value *value, const char *text)
{
    const char *string;
    size_t length;

    return bh_value_get_string(value, &string, &length) == BH_OK && length == strlen(text) &&
           memcmp(string, text, length) == 0;
}

static void answer(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t n;
    bh_value reply;

    (void)context;
    if (count != 2 || bh_value_get_int64(&arguments[0], &n)) {
        bh_call_fail(call, 1, "answer(n, mode) got %zu arguments", count);
        return;
    }
    if (is(&arguments[1], "crash"))
        crash();
    if (is(&arguments[1], "crash idle"))
        after = CRASH;
    if (is(&arguments[1], "kill idle"))
        after = KILL;
    reply = bh_value_int64(3 * n + 1);
    bh_call_reply(call, &reply);
}

static void hang(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)call, (void)arguments, (void)count, (void)context;
    kit_start_stray();
    kit_hang();
}

static void get_pid(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value reply = bh_value_int64(kit_own_pid());

    (void)arguments, (void)count, (void)context;
    bh_call_reply(call, &reply);
}

static void idle(void *context)
{
    (void)context;
    if (after == CRASH)
        crash();
    if (after == KILL)
        kit_kill_self();
}

/* Numbers are given out in order or in fours, and may come again: their bits are mixed. */
static bool is_one_in(int n)
{
    return ((uint32_t)kit_own_pid() * UINT32_C(2654435769) >> 16) % (unsigned)n == 0;
}

static int init(int argc, char **argv, void **context)
{
    (void)context;
    if (argc == 3 && strcmp(argv[1], "--start-crash") == 0 && is_one_in(atoi(argv[2])))
        crash();
    return 0;
}

static const struct bh_method methods[] = {
    {"answer", answer, NULL},
    {"hang", hang, NULL},
    {"pid", get_pid, NULL},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    kit_stray_main(argc, argv);
    worker.methods = methods;
    worker.fork_safe = argc < 3 || strcmp(argv[1], "--start-crash") != 0; /* goes by its number */
    worker.init = init;
    worker.idle = idle;
    return bh_worker_main(argc, argv, &worker);
}
