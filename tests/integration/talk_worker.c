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
        size_t length = 30000 + i / 256 * 7919u % 30000; /* mostly as long as the one before */
        memset(text, 'a' + (int)(i % 26), length);
        if (bh_value_new_string(&value, text, length) == BH_OK)
            bh_call_partial(call, &value);
        bh_value_deinit(&value);
    }
}

/* ---- callbacks ---- */

static const char *name_of(const bh_value *arguments, size_t count)
{
    return count > 0 && arguments[0].type == BH_STRING ? arguments[0].as.string : "";
}

/* A NUL-terminated copy of a string in place; valid until the next one at this depth. */
static void copy_name(char name[64], const bh_value *arguments, size_t count)
{
    size_t length = count > 0 ? arguments[0].length : 0;

    length = length < 63 ? length : 63;
    memcpy(name, name_of(arguments, count), length);
    name[length] = '\0';
}

/* What the callback said, or why it did not: "CODE/NUMBER: text". */
static void pass_on(bh_call *call, int error, bh_value *reply, const struct bh_problem *problem)
{
    if (error == BH_OK)
        bh_call_reply(call, reply);
    else
        bh_call_fail(call, error, "%s/%d: %s", bh_error_name(error), problem->os_error,
                     problem->text);
    bh_value_deinit(reply);
}

/* ask(name, …): calls back with the rest */
static void ask(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    struct bh_problem problem;
    bh_value reply;
    char name[64];

    (void)context;
    copy_name(name, arguments, count);
    int error = bh_call_back(call, name, arguments + 1, count - 1, &reply, &problem);
    pass_on(call, error, &reply, &problem);
}

/* keep(bytes, name, …): ask(name, …), and replies whether `bytes` are what they were */
static void keep(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    struct bh_problem problem;
    bh_value reply, before;
    char name[64];

    (void)context;
    copy_name(name, arguments + 1, count - 1);
    if (bh_value_copy(&before, &arguments[0]))
        kit_kill_self();
    int error = bh_call_back(call, name, arguments + 2, count - 2, &reply, &problem);
    if (error != BH_OK) {
        pass_on(call, error, &reply, &problem);
    } else {
        bh_value same = bh_value_bool(bh_value_equal(&before, &arguments[0]));
        bh_call_reply(call, &same);
    }
    bh_value_deinit(&reply);
    bh_value_deinit(&before);
}

/* ask_many(name, n): calls back with 0 … n - 1, or without end if n is 0; the sum of the answers */
static void ask_many(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t most = number_of(arguments, count, 1);
    int64_t sum = 0;
    char name[64];

    (void)context;
    copy_name(name, arguments, count);
    for (int64_t i = 0; most == 0 || i < most; i++) {
        bh_value argument = bh_value_int64(i);
        struct bh_problem problem;
        bh_value reply;
        int error = bh_call_back(call, name, &argument, 1, &reply, &problem);
        if (error != BH_OK) {
            pass_on(call, error, &reply, &problem);
            return;
        }
        sum += number_of(&reply, 1, 0);
        bh_value_deinit(&reply);
    }
    reply_int(call, sum);
}

/* stubborn(name, n): calls back for ever, whatever it is told */
static void stubborn(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    char name[64];

    (void)context;
    copy_name(name, arguments, count);
    for (;;) {
        bh_value reply;
        bh_call_back(call, name, NULL, 0, &reply, NULL);
        bh_value_deinit(&reply);
    }
}

/* ask_in_vain(name, value): calls back, and replies the value whatever came of it */
static void ask_in_vain(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value reply;
    char name[64];

    (void)context;
    copy_name(name, arguments, count);
    bh_call_back(call, name, NULL, 0, &reply, NULL);
    bh_value_deinit(&reply);
    bh_call_reply(call, &arguments[1]);
}

static void echo(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)context;
    if (count > 0)
        bh_call_reply(call, &arguments[0]);
}

/* room(bytes): the code of asking for so large a buffer */
static void room(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    void *at;

    (void)context;
    reply_int(call, bh_call_buffer(call, (size_t)number_of(arguments, count, 0), &at));
}

static void die(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)call, (void)arguments, (void)count, (void)context;
    kit_kill_self();
}

static void hang(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)call, (void)arguments, (void)count, (void)context;
    kit_hang();
}

static void refuse(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)context;
    bh_call_fail(call, (int)number_of(arguments, count, 0), "as it was told");
}

/* The codes of what must not be done, in this order. */
struct wrongs {
    bh_call *call;
    int64_t elsewhere; /* on another thread */
    int64_t answered;  /* after the answer */
};

static void ask_elsewhere(void *context)
{
    struct wrongs *wrongs = context;
    bh_value reply;

    wrongs->elsewhere = bh_call_back(wrongs->call, "echo", NULL, 0, &reply, NULL);
}

static bh_call *outer;

/* wrongs(): [elsewhere, answer from inside, answered], by way of the callback "nested" */
static void do_wrong(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    struct wrongs wrongs = {.call = call};
    bh_value reply, list = bh_value_array(), item;

    (void)arguments, (void)count, (void)context;
    kit_thread_join(kit_thread_start(ask_elsewhere, &wrongs));
    item = bh_value_int64(wrongs.elsewhere);
    bh_array_push(&list, &item);
    outer = call;
    bh_call_back(call, "nested", NULL, 0, &reply, NULL);
    bh_array_push(&list, &reply);
    bh_call_reply(call, &list);
    bh_value_deinit(&list);
    if (bh_call_back(call, "nested", NULL, 0, &reply, NULL) != BH_E_STATE)
        kit_kill_self();
}

/* answer_outer(): answers for the handler that waits */
static void answer_outer(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)count, (void)context;
    reply_int(call, bh_call_reply(outer, arguments));
}

static const struct bh_method methods[] = {
    {"ask", ask, NULL},
    {"keep", keep, NULL},
    {"ask_many", ask_many, NULL},
    {"stubborn", stubborn, NULL},
    {"echo", echo, NULL},
    {"room", room, NULL},
    {"ask_in_vain", ask_in_vain, NULL},
    {"die", die, NULL},
    {"hang", hang, NULL},
    {"refuse", refuse, NULL},
    {"wrongs", do_wrong, NULL},
    {"answer_outer", answer_outer, NULL},
    {"pid", get_pid, NULL},
    {"count", count_up, NULL},
    {"murmur", murmur, NULL},
    {"babble", babble, NULL},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    return bh_worker_main(argc, argv, &worker);
}
