/* SPDX-License-Identifier: MIT */
/*
 * mishaps: a worker that dies in every way there is, on demand. For tests, demonstrations and for
 * trying out what a dispatcher does about it.
 *
 * Model: two tables. `methods` is what a dispatcher calls; `deaths`, which each system has its own
 * of, is how to die. A kind's function does not return, but where it says so. die(KIND) dies in a
 * request, --die-at-start KIND before the worker is ready, --die-idle KIND after the first
 * request's reply has gone out.
 */
#include "deaths.h"

#include <bulkhead/worker.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CODE_USAGE 1
#define CODE_SURVIVED 2
#define STATUS_USAGE 2

/* What is left to do when the first request has been answered. */
static const struct death *die_idle;

/* ---- kinds ---------------------------------------------------------------------------------- */

static const struct death *find_kind(const char *name, size_t length)
{
    for (const struct death *kind = deaths; kind->name != NULL; kind++) {
        if (strlen(kind->name) == length && memcmp(kind->name, name, length) == 0)
            return kind;
    }
    return NULL;
}

/* All kinds, for messages. */
static const char *kind_names(void)
{
    static char names[256];

    names[0] = '\0';
    for (const struct death *kind = deaths; kind->name != NULL; kind++)
        snprintf(names + strlen(names), sizeof names - strlen(names), " %s", kind->name);
    return names;
}

/* ---- arguments ------------------------------------------------------------------------------- */

/* The integer argument `i`. @return false, and the call has failed, when it is none or negative */
static bool take_number(bh_call *call, const bh_value *arguments, size_t count, size_t i,
                        int64_t *out)
{
    if (i < count && bh_value_get_int64(&arguments[i], out) == BH_OK && *out >= 0)
        return true;
    bh_call_fail(call, CODE_USAGE, "%s: argument %zu must be an integer, not negative",
                 bh_call_method(call), i + 1);
    return false;
}

static bool take_text(bh_call *call, const bh_value *arguments, size_t count, size_t i,
                      const char **text, size_t *length)
{
    if (i < count && bh_value_get_string(&arguments[i], text, length) == BH_OK)
        return true;
    bh_call_fail(call, CODE_USAGE, "%s: argument %zu must be a string", bh_call_method(call),
                 i + 1);
    return false;
}

static void reply_int64(bh_call *call, int64_t number)
{
    bh_value value = bh_value_int64(number);

    bh_call_reply(call, &value);
}

/* ---- methods --------------------------------------------------------------------------------- */

static void echo(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value all = bh_value_view_array(arguments, count);

    (void)context;
    bh_call_reply(call, count == 1 ? &arguments[0] : &all);
}

/* A sum so far. Integers wrap around. */
struct sum {
    uint64_t whole;
    double real;
    bool is_real;
};

static void add_integer(struct sum *sum, int64_t number)
{
    sum->whole += (uint64_t)number;
}

static void add_real(struct sum *sum, double number)
{
    sum->real += number;
    sum->is_real = true;
}

static bool add_value(struct sum *sum, const bh_value *value)
{
    uint64_t i;

    switch (value->type) {
    case BH_INT64:
    case BH_UINT64:
        sum->whole += value->as.uint64;
        return true;
    case BH_DOUBLE:
        add_real(sum, value->as.real);
        return true;
    case BH_BYTES:
        for (i = 0; i < value->length; i++)
            sum->whole += value->as.bytes[i];
        return true;
    case BH_I32_ARRAY:
        for (i = 0; i < value->length; i++)
            add_integer(sum, value->as.i32[i]);
        return true;
    case BH_I64_ARRAY:
        for (i = 0; i < value->length; i++)
            add_integer(sum, value->as.i64[i]);
        return true;
    case BH_F32_ARRAY:
        for (i = 0; i < value->length; i++)
            add_real(sum, (double)value->as.f32[i]);
        return true;
    case BH_F64_ARRAY:
        for (i = 0; i < value->length; i++)
            add_real(sum, value->as.f64[i]);
        return true;
    default:
        return false;
    }
}

static void sum_all(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    struct sum sum = {0};
    bh_value total;

    (void)context;
    for (size_t i = 0; i < count; i++) {
        if (!add_value(&sum, &arguments[i])) {
            bh_call_fail(call, CODE_USAGE, "sum: cannot add a value of type %s",
                         bh_type_name(arguments[i].type));
            return;
        }
    }
    total = sum.is_real ? bh_value_double(sum.real + (double)(int64_t)sum.whole)
                        : bh_value_int64((int64_t)sum.whole);
    bh_call_reply(call, &total);
}

/* Sleeps in small steps. @return false when it was cancelled meanwhile */
static bool sleep_watchfully(bh_call *call, int64_t ms)
{
    for (; ms > 0; ms -= 5) {
        if (bh_call_cancelled(call))
            return false;
        sleep_ms(ms < 5 ? ms : 5);
    }
    return !bh_call_cancelled(call);
}

static void sleep_some(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t ms;

    (void)context;
    if (!take_number(call, arguments, count, 0, &ms))
        return;
    if (sleep_watchfully(call, ms))
        reply_int64(call, ms);
    else
        bh_call_fail(call, CODE_SURVIVED, "sleep: cancelled");
}

static void blob(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    unsigned char *bytes;
    bh_value reply;
    int64_t size;

    (void)context;
    if (!take_number(call, arguments, count, 0, &size))
        return;
    bytes = malloc(size == 0 ? 1 : (size_t)size);
    if (bytes == NULL) {
        bh_call_fail(call, BH_E_MEMORY, "blob: no memory for %lld bytes", (long long)size);
        return;
    }
    for (int64_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i ^ i >> 8 ^ i >> 16);
    reply = bh_value_view_bytes(bytes, (size_t)size);
    bh_call_reply(call, &reply);
    free(bytes);
}

static void progress(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t steps, ms;

    (void)context;
    if (!take_number(call, arguments, count, 0, &steps) ||
        !take_number(call, arguments, count, 1, &ms))
        return;
    for (int64_t step = 0; step < steps; step++) {
        bh_call_progress(call, (uint64_t)step, (uint64_t)steps);
        if (!sleep_watchfully(call, ms)) {
            bh_call_fail(call, CODE_SURVIVED, "progress: cancelled at step %lld", (long long)step);
            return;
        }
    }
    bh_call_progress(call, (uint64_t)steps, (uint64_t)steps);
    reply_int64(call, steps);
}

static void pid(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    reply_int64(call, process_id());
}

static void write_stderr(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const char *text;
    size_t length;

    (void)context;
    if (take_text(call, arguments, count, 0, &text, &length))
        fwrite(text, 1, length, stderr);
}

static void fail(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const char *text;
    size_t length;
    int64_t code;

    (void)context;
    if (count < 1 || bh_value_get_int64(&arguments[0], &code) != BH_OK || code < INT32_MIN ||
        code > INT32_MAX)
        bh_call_fail(call, CODE_USAGE, "fail: argument 1 must be an integer of 32 bits");
    else if (take_text(call, arguments, count, 1, &text, &length))
        bh_call_fail(call, (int32_t)code, "%.*s", (int)length, text);
}

static void die(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const struct death *kind;
    const char *name;
    size_t length;

    (void)context;
    if (!take_text(call, arguments, count, 0, &name, &length))
        return;
    kind = find_kind(name, length);
    if (kind == NULL) {
        bh_call_fail(call, CODE_USAGE, "die: no such kind \"%.*s\"; there are:%s", (int)length,
                     name, kind_names());
        return;
    }
    kind->die();
    bh_call_fail(call, CODE_SURVIVED, "die: survived \"%s\"", kind->name);
}

static const struct bh_method methods[] = {
    {"echo", echo, "echo(value...) -> the value; an array unless it is exactly one"},
    {"sum", sum_all, "sum(bytes, typed arrays or numbers...) -> their sum"},
    {"sleep", sleep_some, "sleep(ms) -> ms; gives up when cancelled"},
    {"blob", blob, "blob(size) -> bytes; byte i is (i ^ i >> 8 ^ i >> 16) & 255"},
    {"progress", progress, "progress(steps, ms-per-step) -> steps; says how far it is"},
    {"pid", pid, "pid() -> number of the worker's process"},
    {"stderr", write_stderr, "stderr(text) -> null; writes it to stderr"},
    {"fail", fail, "fail(code, text): fails with them"},
    {"die", die, deaths_help},
    {NULL, NULL, NULL},
};

/* ---- the worker ------------------------------------------------------------------------------ */

/* The value of `--name VALUE` or `--name=VALUE` at argv[*i], stepping over it; NULL when it is not
 * there. */
static const char *option(char **argv, int *i, const char *name)
{
    size_t length = strlen(name);

    if (strncmp(argv[*i], name, length) != 0)
        return NULL;
    if (argv[*i][length] == '=')
        return argv[*i] + length + 1;
    if (argv[*i][length] != '\0')
        return NULL;
    return argv[*i + 1] == NULL ? "" : argv[++*i];
}

/* Reads one option. @return whether it was one and made sense */
static bool take_option(char **argv, int *i, const struct death **at_start)
{
    const char *text = argv[*i];
    const struct death **kind = at_start;
    const char *value = option(argv, i, "--die-at-start");

    if (value == NULL) {
        kind = &die_idle;
        value = option(argv, i, "--die-idle");
    }
    if (value == NULL) {
        fprintf(stderr, "mishaps: unknown argument \"%s\"\n", text);
        return false;
    }
    *kind = find_kind(value, strlen(value));
    if (*kind == NULL)
        fprintf(stderr, "mishaps: no such kind \"%s\"; there are:%s\n", value, kind_names());
    return *kind != NULL;
}

static int init(int argc, char **argv, void **context)
{
    const struct death *at_start = NULL;

    (void)context;
    for (int i = 1; i < argc; i++) {
        if (!take_option(argv, &i, &at_start))
            return STATUS_USAGE;
    }
    if (at_start != NULL)
        at_start->die();
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

int main(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    worker.fork_safe = true;
    worker.init = init;
    worker.idle = idle;
    return bh_worker_main(argc, argv, &worker);
}
