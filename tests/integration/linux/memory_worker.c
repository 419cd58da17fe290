/* SPDX-License-Identifier: MIT */
/*
 * A worker that looks, from inside its handlers, how much memory it and its dispatcher have.
 */
#include "memory.h"

#include <bulkhead/worker.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t seen;

static int64_t number(const bh_value *value)
{
    int64_t n = 0;

    bh_value_get_int64(value, &n);
    return n;
}

static void look(int64_t dispatcher)
{
    int64_t now = memory_pss(getpid()) + memory_pss((int)dispatcher);

    if (now > seen)
        seen = now;
}

static void reply_number(bh_call *call, int64_t n)
{
    bh_value value = bh_value_int64(n);

    bh_call_reply(call, &value);
}

/* read(bytes, dispatcher): their sum. */
static void read_all(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t total = 0;

    (void)count, (void)context;
    for (size_t i = 0; i < arguments[0].length; i++)
        total += arguments[0].as.bytes[i];
    look(number(&arguments[1]));
    reply_number(call, total);
}

/* make(size, dispatcher) */
static void make(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    size_t size = (size_t)number(&arguments[0]);
    void *at;

    (void)count, (void)context;
    if (bh_call_buffer(call, size, &at) != BH_OK)
        abort();
    memset(at, 1, size);
    bh_value value = bh_value_view_bytes(at, size);
    bh_call_reply(call, &value);
    look(number(&arguments[1]));
}

/* copied(size, dispatcher) */
static void copied(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    size_t size = (size_t)number(&arguments[0]);
    void *bytes = malloc(size);

    (void)count, (void)context;
    if (bytes == NULL)
        abort();
    memset(bytes, 1, size);
    bh_value value = bh_value_view_bytes(bytes, size);
    bh_call_reply(call, &value);
    look(number(&arguments[1]));
    free(bytes);
}

static void get_seen(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    reply_number(call, seen);
}

static void pid(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    reply_number(call, getpid());
}

static const struct bh_method methods[] = {
    {"read", read_all, NULL}, {"make", make, NULL}, {"copied", copied, NULL},
    {"seen", get_seen, NULL}, {"pid", pid, NULL},   {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    return bh_worker_main(argc, argv, &worker);
}
