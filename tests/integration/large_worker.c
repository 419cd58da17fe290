/* SPDX-License-Identifier: MIT */
/*
 * A worker with large arguments and replies, in place and copied. The byte at i of what it makes is
 * large_byte(seed, i).
 */
#include "large.h"

#include <bulkhead/worker.h>

#include <stdlib.h>

static int64_t number(const bh_value *arguments, size_t count, size_t i)
{
    int64_t n = 0;

    if (i < count)
        bh_value_get_int64(&arguments[i], &n);
    return n;
}

static void reply_number(bh_call *call, int64_t n)
{
    bh_value value = bh_value_int64(n);

    bh_call_reply(call, &value);
}

/* The sum of all payloads' bytes, whatever their type. */
static void sum(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t total = 0;

    (void)context;
    for (size_t i = 0; i < count; i++) {
        size_t size = large_payload(&arguments[i]);
        for (size_t at = 0; at < size; at++)
            total += arguments[i].as.bytes[at];
    }
    reply_number(call, total);
}

/* Whether the last byte of its argument becomes 1 while it looks. */
static void watch(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const volatile uint8_t *bytes = arguments[0].as.bytes;
    int64_t until = kit_now_ms() + (int64_t)LARGE_DEADLINE_MS * kit_slowdown();
    bool seen = false;

    (void)context, (void)count;
    while (!seen && kit_now_ms() < until) {
        bh_call_progress(call, 1, 0);
        seen = bytes[arguments[0].length - 1] == 1;
        if (!seen)
            kit_pause_ms(1);
    }
    reply_number(call, seen);
}

/* make(size, seed): in a buffer. */
static void make(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    size_t size = (size_t)number(arguments, count, 0);
    void *at;

    (void)context;
    int code = bh_call_buffer(call, size, &at);
    if (code != BH_OK) {
        bh_call_fail(call, code, "%s", bh_error_text(code));
        return;
    }
    if ((uintptr_t)at % 64 != 0)
        bh_call_fail(call, 1, "not aligned");
    large_fill(at, size, (unsigned)number(arguments, count, 1));
    bh_value value = bh_value_view_bytes(at, size);
    bh_call_reply(call, &value);
}

/* copied(size, seed): from the heap. */
static void copied(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    size_t size = (size_t)number(arguments, count, 0);
    unsigned char *bytes = malloc(size + 1);

    (void)context;
    if (bytes == NULL)
        abort();
    large_fill(bytes, size, (unsigned)number(arguments, count, 1));
    bh_value value = bh_value_view_bytes(bytes, size);
    bh_call_reply(call, &value);
    free(bytes);
}

static void put(bh_value *map, const char *key, bh_value value)
{
    if (bh_map_set(map, key, &value) != BH_OK)
        abort();
}

/* mix(size): two buffers, one payload from elsewhere, a part of a buffer, and what cannot stay. */
static void mix(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    size_t size = (size_t)number(arguments, count, 0);
    unsigned char *other = malloc(size);
    bh_value map = bh_value_map();
    void *one, *two;

    (void)context;
    if (other == NULL || bh_call_buffer(call, size, &one) != BH_OK ||
        bh_call_buffer(call, size, &two) != BH_OK)
        abort();
    large_fill(one, size, 1);
    memset(two, 'z', size);
    large_fill(other, size, 3);
    put(&map, "one", bh_value_view_bytes(one, size));
    put(&map, "text", bh_value_view_string(two, size));
    put(&map, "other", bh_value_view_bytes(other, size));
    put(&map, "part", bh_value_view_i32((const int32_t *)one + 16, (size - 64) / 4));
    put(&map, "odd", bh_value_view_bytes((const char *)one + 1, size - 1));
    put(&map, "beyond", bh_value_view_bytes((const char *)one + 8, 16));
    put(&map, "number", bh_value_int64(7));
    bh_call_reply(call, &map);
    bh_value_deinit(&map);
    free(other);
}

/* many(count, size): an array of byte strings, each a little different. */
static void many(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    size_t items = (size_t)number(arguments, count, 0);
    size_t size = (size_t)number(arguments, count, 1);
    bh_value array = bh_value_array();
    void *block = malloc(size);

    (void)context;
    for (size_t i = 0; i < items; i++) {
        bh_value item;
        large_fill(block, size, (unsigned)i);
        if (bh_value_new_bytes(&item, block, size) != BH_OK ||
            bh_array_push(&array, &item) != BH_OK)
            abort();
    }
    bh_call_reply(call, &array);
    bh_value_deinit(&array);
    free(block);
}

static volatile unsigned char *scribbled;
static kit_thread *scribbler;

static void scribble_on(void *context)
{
    (void)context;
    for (;;) {
        scribbled[0]++;
        kit_pause_us(100);
    }
}

/* scribble(size): its reply goes on changing at its first byte. */
static void scribble(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    size_t size = (size_t)number(arguments, count, 0);
    void *at;

    (void)context;
    if (bh_call_buffer(call, size, &at) != BH_OK)
        abort();
    memset(at, 'a', size);
    bh_value value = bh_value_view_bytes(at, size);
    bh_call_reply(call, &value);
    scribbled = at;
    scribbler = kit_thread_start(scribble_on, NULL);
}

/* Takes a buffer, and then fails. */
static void abandon(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    void *at;

    (void)context;
    if (bh_call_buffer(call, (size_t)number(arguments, count, 0), &at) != BH_OK)
        abort();
    bh_call_fail(call, 9, "abandoned");
}

/* Takes a buffer, and replies without it; then it is too late for another. */
static void unused(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    void *at;

    (void)context;
    if (bh_call_buffer(call, (size_t)number(arguments, count, 0), &at) != BH_OK)
        abort();
    reply_number(call, 5);
    if (bh_call_buffer(call, 100, &at) != BH_E_STATE || at != NULL)
        abort();
}

static void pid(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    reply_number(call, kit_own_pid());
}

static const struct bh_method methods[] = {
    {"sum", sum, NULL},           {"watch", watch, NULL},     {"make", make, NULL},
    {"copied", copied, NULL},     {"mix", mix, NULL},         {"many", many, NULL},
    {"scribble", scribble, NULL}, {"abandon", abandon, NULL}, {"unused", unused, NULL},
    {"pid", pid, NULL},           {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    return bh_worker_main(argc, argv, &worker);
}
