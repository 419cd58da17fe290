/* SPDX-License-Identifier: MIT */
/*
 * flaky-worker: works, until it crashes. flaky starts it.
 *
 * Model: the worker may crash in each of the three phases of its life. In a request it crashes when
 * the request says so; at start-up and between requests its cookie and the number of requests
 * served decide, with the rate and the seed from the command line. How it crashes is each system's
 * own business.
 */
#include "crashes.h"

#include <bulkhead/worker.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed, rate, cookie, served;

static void crash(int kind)
{
    static void (*const crashes[])(void) = {
#define CRASH(name, cause) flaky_crash_##name,
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
    (void)context;
    if (argc != 3) {
        fprintf(stderr, "usage: flaky-worker SEED CRASHES-PER-MILLION (flaky starts it)\n");
        return 2;
    }
    seed = strtoull(argv[1], NULL, 10);
    rate = strtoull(argv[2], NULL, 10);
    crash(flaky_decide(seed, FLAKY_START, cookie, rate));
    return 0;
}

/* The last argument, which is Bulkhead's own, says "--bulkhead=POOL,COOKIE,...". */
static uint64_t find_cookie(int argc, char **argv)
{
    const char *comma = argc > 1 ? strchr(argv[argc - 1], ',') : NULL;

    return comma != NULL ? strtoull(comma + 1, NULL, 10) : 0;
}

int main(int argc, char **argv)
{
    static const struct bh_method methods[] = {
        {"work", work, "work(number, kind, bytes) -> [serial, hash]; crashes unless kind is -1"},
        {NULL, NULL, NULL},
    };
    struct bh_worker worker = BH_WORKER_INIT;

    cookie = find_cookie(argc, argv);
    worker.methods = methods;
    worker.init = init;
    worker.idle = idle;
    return bh_worker_main(argc, argv, &worker);
}
