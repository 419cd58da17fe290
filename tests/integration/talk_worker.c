/* SPDX-License-Identifier: MIT */
/*
 * A worker that says something before it answers: partial replies and callbacks.
 */
#include "check.h"

#include <bulkhead/worker.h>

#include <stdlib.h>
#include <string.h>

static void fail(bh_call *call, int code)
{
    bh_call_fail(call, code, "%s", bh_error_text(code));
}

static void reply_int(bh_call *call, int64_t number)
{
    bh_value value = bh_value_int64(number);

    bh_call_reply(call, &value);
}

static bool is(const bh_value *value, const char *text)
{
    return value->type == BH_STRING && value->length == strlen(text) &&
           memcmp(value->as.string, text, value->length) == 0;
}

static int64_t number_of(const bh_value *arguments, size_t count, size_t i)
{
    int64_t number = 0;

    if (i < count)
        bh_value_get_int64(&arguments[i], &number);
    return number;
}

static void get_pid(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    reply_int(call, kit_own_pid());
}

/* ---- partial replies ---- */

static int publish(bh_call *call, int64_t number)
{
    bh_value value = bh_value_int64(number);

    return bh_call_partial(call, &value);
}

static void publish_too_large(bh_call *call)
{
    static unsigned char bytes[4096]; /* with its header it is more than 4096 */
    bh_value value = bh_value_null();

    bh_value_new_bytes(&value, bytes, sizeof(bytes));
    publish(call, bh_call_partial(call, &value));
    bh_call_partial(call, &value);
    bh_value_deinit(&value);
    kit_kill_self();
}

/* count(n, then): publishes 1 … n */
static void count_up(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const bh_value *then = &arguments[1];

    (void)context;
    for (int64_t i = 1; i <= number_of(arguments, count, 0); i++)
        publish(call, i);
    bh_call_progress(call, 1, 1);
    if (is(then, "die later")) {
        publish(call, (int64_t)bh_call_serial(call));
        kit_kill_self();
    }
    if (is(then, "too large"))
        publish_too_large(call);
    if (is(then, "die"))
        kit_kill_self();
    if (is(then, "hang"))
        kit_hang();
    while (is(then, "obey") && !bh_call_cancelled(call))
        kit_pause_ms(1);
    if (is(then, "fail"))
        fail(call, BH_E_RANGE);
    else
        reply_int(call, 0);
}

static void murmur(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t until = kit_now_ms() + number_of(arguments, count, 0);

    (void)context;
    while (kit_now_ms() < until) {
        publish(call, 1);
        kit_pause_ms(5);
    }
}

static void babble(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    static char text[60000];

    (void)arguments, (void)count, (void)context;
    for (unsigned i = 0;; i++) {
        bh_value value;
        size_t length = 1 + i * 7919u % (sizeof(text) - 1);
        memset(text, 'a' + (int)(i % 26), length);
        if (bh_value_new_string(&value, text, length) == BH_OK)
            bh_call_partial(call, &value);
        bh_value_deinit(&value);
    }
}

static const struct bh_method methods[] = {
    {"pid", get_pid, NULL},   {"count", count_up, NULL}, {"murmur", murmur, NULL},
    {"babble", babble, NULL}, {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    return bh_worker_main(argc, argv, &worker);
}
