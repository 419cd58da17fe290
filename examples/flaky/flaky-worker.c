/* SPDX-License-Identifier: MIT */
/*
 * flaky-worker: works, until it crashes. flaky starts it.
 *
 * Model: the worker may crash in each of the three phases of its life. In a request it crashes when
 * the request says so; at start-up and between requests its cookie and the number of requests
 * served decide, with the rate and the seed from the command line.
 */
#include "flaky.h"

#include <bulkhead/worker.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNCHECKED __attribute__((noinline, no_sanitize("address", "undefined")))

static uint64_t seed, rate, cookie, served;

UNCHECKED static void crash_segv(void)
{
    *(volatile int *)(volatile uintptr_t){0} = 1;
}

UNCHECKED static void crash_fpe(void)
{
    volatile int zero = 0;
    volatile int result = 100;

    result = result / zero;
    raise(SIGFPE); /* a processor that does not mind */
}

/* Each call looks at the one before it, so that no compiler can make a loop of it. */
UNCHECKED static int descend(volatile const char *above)
{
    volatile char here[1024];

    here[0] = (char)(*above + 1);
    if (above == NULL)
        return 0;
    return descend(here) + here[0];
}

UNCHECKED static void crash_stack(void)
{
    volatile char top = 0;

    descend(&top);
}

static void crash_abort(void)
{
    abort();
}

static void crash_exit(void)
{
    exit(3);
}

static void crash__exit(void)
{
    _exit(4);
}

static void crash_kill(void)
{
    kill(getpid(), SIGKILL);
}

static void crash(int kind)
{
    static void (*const crashes[])(void) = {
#define CRASH(name, cause) crash_##name,
        FLAKY_KINDS(CRASH)
#undef CRASH
    };

    if (kind >= 0 && kind < FLAKY_KIND_COUNT)
        crashes[kind]();
}

/* work(number, kind, bytes) -> [serial, hash] */
static void work(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t number, kind;
    const void *bytes;
    size_t length;
    int64_t reply[2];
    bh_value value;

    (void)context;
    if (count != 3 || bh_value_get_int64(&arguments[0], &number) != BH_OK ||
        bh_value_get_int64(&arguments[1], &kind) != BH_OK ||
        bh_value_get_bytes(&arguments[2], &bytes, &length) != BH_OK) {
        bh_call_fail(call, 1, "work needs a number, a kind and bytes");
        return;
    }
    crash((int)kind);
    reply[0] = (int64_t)bh_call_serial(call);
    reply[1] = (int64_t)flaky_answer((uint64_t)number, bytes, length);
    value = bh_value_view_i64(reply, 2);
    bh_call_reply(call, &value);
}

static void idle(void *context)
{
    (void)context;
    crash(flaky_decide(seed, FLAKY_IDLE, cookie << 32 | ++served, rate));
}

static int init(int argc, char **argv, void **context)
{
    const char *life = getenv("BULKHEAD_COOKIE");

    (void)context;
    if (argc != 3) {
        fprintf(stderr, "usage: flaky-worker SEED CRASHES-PER-MILLION (flaky starts it)\n");
        return 2;
    }
    seed = strtoull(argv[1], NULL, 10);
    rate = strtoull(argv[2], NULL, 10);
    cookie = life != NULL ? strtoull(life, NULL, 10) : (uint64_t)getpid();
    crash(flaky_decide(seed, FLAKY_START, cookie, rate));
    return 0;
}

int main(int argc, char **argv)
{
    static const struct bh_method methods[] = {
        {"work", work, "work(number, kind, bytes) -> [serial, hash]; crashes unless kind is -1"},
        {NULL, NULL, NULL},
    };
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    worker.init = init;
    worker.idle = idle;
    return bh_worker_main(argc, argv, &worker);
}
