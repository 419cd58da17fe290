/* SPDX-License-Identifier: MIT */
/*
 * The worker of the tests of small requests:
 *   note(n, mode) -> n, having written n to a file of this process in the directory of the command
 *                    line; mode is "reply", or "crash": a null pointer instead of the reply
 *   hang()        -> never; gives up when cancelled if mode "politely" is given
 *   text(count)   -> a string of so many characters
 *   fail(count)   -> a failure whose text has so many
 */
#include "check.h"

#include <bulkhead/worker.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *notes;

static bool is(const bh_value *value, const char *text)
{
    return value->type == BH_STRING && strcmp(value->as.string, text) == 0;
}

static void note(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t n = 0;

    (void)context;
    if (count != 2 || bh_value_get_int64(&arguments[0], &n) ||
        fwrite(&n, sizeof(n), 1, notes) != 1) {
        bh_call_fail(call, 1, "note(n, mode) cannot be done");
        return;
    }
    if (is(&arguments[1], "crash"))
        *(volatile int *)0 = 1;
    bh_call_reply(call, &arguments[0]);
}

static void hang(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)context;
    if (count == 0 || !is(&arguments[0], "politely"))
        kit_hang();
    while (!bh_call_cancelled(call))
        kit_pause_ms(1);
    bh_call_fail(call, 125, "cancelled");
}

static char *characters(const bh_value *arguments, size_t count)
{
    int64_t length = 0;

    if (count > 0)
        bh_value_get_int64(&arguments[0], &length);
    char *text = malloc((size_t)length + 1);
    if (!text)
        abort();
    memset(text, 'x', (size_t)length);
    text[length] = '\0';
    return text;
}

static void say(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    char *text = characters(arguments, count);
    bh_value reply = bh_value_view(text);

    (void)context;
    bh_call_reply(call, &reply);
    free(text);
}

static void fail(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    char *text = characters(arguments, count);

    (void)context;
    bh_call_fail(call, 7, "%s", text);
    free(text);
}

/* Asks for a buffer, and has nothing to put into it. */
static void waste(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    void *at;

    (void)arguments, (void)count, (void)context;
    bh_call_fail(call, bh_call_buffer(call, 1 << 20, &at), "wasted");
}

static int init(int argc, char **argv, void **context)
{
    char path[4096];

    (void)context;
    if (argc != 2)
        return 0;
    snprintf(path, sizeof(path), "%s/%d", argv[1], kit_own_pid());
    notes = fopen(path, "ab");
    if (!notes)
        return 3;
    setvbuf(notes, NULL, _IONBF, 0);
    return 0;
}

static const struct bh_method methods[] = {
    {"note", note, NULL}, {"hang", hang, NULL},   {"text", say, NULL},
    {"fail", fail, NULL}, {"waste", waste, NULL}, {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    worker.init = init;
    return bh_worker_main(argc, argv, &worker);
}
