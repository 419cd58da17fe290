/* SPDX-License-Identifier: MIT */
/*
 * The library, through its public interface: a pool of one worker, which is this program.
 */
#include "side.h"

#include <bulkhead/bulkhead.h>
#include <bulkhead/worker.h>

#include <stdio.h>
#include <string.h>

#define MARK "bench-com-worker"
#define START_MS 30000

/* ---- the worker ------------------------------------------------------------------------------ */

static void on_small(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    double real = 0;
    int64_t number = 0;

    (void)context;
    if (count != 3 || bh_value_get_int64(&arguments[0], &number) != BH_OK ||
        bh_value_get_double(&arguments[1], &real) != BH_OK || arguments[2].type != BH_STRING) {
        bh_call_fail(call, 1, "not the arguments of a small call");
        return;
    }
    const bh_value items[] = {bh_value_int64(number + (int64_t)real), arguments[2]};
    bh_value reply = bh_value_view_array(items, 2);
    bh_call_reply(call, &reply);
}

static void on_sum(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const void *bytes = NULL;
    size_t size = 0;

    (void)context;
    if (count != 1 || bh_value_get_bytes(&arguments[0], &bytes, &size) != BH_OK) {
        bh_call_fail(call, 1, "not bytes");
        return;
    }
    bh_value sum = bh_value_int64((int64_t)side_sum(bytes, size));
    bh_call_reply(call, &sum);
}

static void on_echo(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)context;
    if (count == 1)
        bh_call_reply(call, &arguments[0]);
}

static void on_pid(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value pid = bh_value_int64(GetCurrentProcessId());

    (void)arguments, (void)count, (void)context;
    bh_call_reply(call, &pid);
}

static int *volatile nowhere;

static void on_fault(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)call, (void)arguments, (void)count, (void)context;
    *nowhere = 1;
}

static void on_hang(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    char name[64] = "";
    const char *text;
    size_t length;

    (void)call, (void)context;
    if (count == 1 && bh_value_get_string(&arguments[0], &text, &length) == BH_OK)
        snprintf(name, sizeof name, "%.*s", (int)length, text);
    side_hang(name);
}

static const struct bh_method methods[] = {
    {"small", on_small, NULL}, {"sum", on_sum, NULL},     {"echo", on_echo, NULL},
    {"pid", on_pid, NULL},     {"fault", on_fault, NULL}, {"hang", on_hang, NULL},
    {NULL, NULL, NULL},
};

static int main_if_worker(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    if (argc < 2 || strcmp(argv[1], MARK) != 0)
        return -1;
    worker.methods = methods;
    return bh_worker_main(argc, argv, &worker);
}

/* ---- the dispatcher -------------------------------------------------------------------------- */

static bh_pool *pool;

static bool fails(const char *what, const struct bh_result *result)
{
    char why[400] = "";

    if (result->text != NULL)
        snprintf(why, sizeof why, "%s", result->text);
    else if (result->has_death)
        bh_death_describe(&result->death, why, sizeof why);
    side_complain("bulkhead", what, *why != '\0' ? why : bh_outcome_name(result->outcome));
    if (result->death.output != NULL)
        fprintf(stderr, "%s\n", result->death.output);
    return false;
}

static bool small_call(void)
{
    const bh_value arguments[] = {
        bh_value_int64(SIDE_W1_NUMBER),
        bh_value_double(SIDE_W1_REAL),
        bh_value_view(SIDE_W1_TEXT),
    };
    const bh_value *items;
    struct bh_result result;
    size_t count;

    bool good = bh_pool_invoke(pool, "small", arguments, 3, &result) == BH_OUTCOME_REPLIED &&
                bh_value_get_array(&result.reply, &items, &count) == BH_OK && count == 2 &&
                items[0].as.int64 == SIDE_W1_REPLY && items[1].length == SIDE_W1_LENGTH;
    good = good || fails("a small call", &result);
    bh_result_deinit(&result);
    return good;
}

static bool send_bytes(const uint8_t *bytes, size_t size, uint64_t sum)
{
    bh_value argument = bh_value_view_bytes(bytes, size);
    struct bh_result result;
    uint64_t back = 0;

    bool good = bh_pool_invoke(pool, "sum", &argument, 1, &result) == BH_OUTCOME_REPLIED &&
                bh_value_get_uint64(&result.reply, &back) == BH_OK && back == sum;
    good = good || fails("sending bytes", &result);
    bh_result_deinit(&result);
    return good;
}

static bool echo(const uint8_t *bytes, size_t size)
{
    bh_value argument = bh_value_view_bytes(bytes, size);
    struct bh_result result;
    const void *back;
    size_t length;

    bool good = bh_pool_invoke(pool, "echo", &argument, 1, &result) == BH_OUTCOME_REPLIED &&
                bh_value_get_bytes(&result.reply, &back, &length) == BH_OK && length == size &&
                side_same(back, bytes, size);
    good = good || fails("an echo", &result);
    bh_result_deinit(&result);
    return good;
}

static DWORD pid_of_worker(void)
{
    struct bh_result result;
    int64_t pid = 0;

    bh_pool_invoke(pool, "pid", NULL, 0, &result);
    bh_value_get_int64(&result.reply, &pid);
    bh_result_deinit(&result);
    return (DWORD)pid;
}

static double die(enum side_death how)
{
    struct side_killer killer = {0};
    bh_value name = bh_value_null();
    struct bh_problem problem;
    struct bh_result result;
    double begin, end;

    if (how == SIDE_KILLED) {
        if (!side_killer_start(&killer, pid_of_worker())) {
            side_complain("bulkhead", "the killer", "does not start");
            return -1;
        }
        name = bh_value_view(killer.name);
    }
    begin = side_now_us();
    bh_pool_invoke(pool, how == SIDE_KILLED ? "hang" : "fault", &name, 1, &result);
    end = side_now_us();
    if (how == SIDE_KILLED)
        begin = side_killer_join(&killer);
    bool died = result.outcome == BH_OUTCOME_DIED || fails("a death", &result);
    bh_result_deinit(&result);
    if (died && bh_pool_wait_ready(pool, 1, START_MS, &problem) != BH_OK)
        died = side_complain("bulkhead", "the next worker", problem.text);
    return died && small_call() ? end - begin : -1;
}

static bool open_pool(void)
{
    static const char *const arguments[] = {MARK, NULL};
    struct bh_pool_options options;
    struct bh_problem problem;
    char path[MAX_PATH];

    bh_pool_options_init(&options);
    if (!side_own_path(path, sizeof path))
        return side_complain("bulkhead", "own path", "too long");
    options.name = "bench";
    options.worker = path;
    options.arguments = arguments;
    options.min_workers = options.max_workers = 1;
    options.start_timeout_ms = START_MS;
    if (bh_pool_open(&pool, &options, &problem) != BH_OK)
        return side_complain("bulkhead", "cannot open the pool", problem.text);
    return small_call();
}

static void close_pool(void)
{
    bh_pool_close(pool);
    pool = NULL;
}

const struct side side_ours = {
    .name = "bulkhead",
    .main_if_worker = main_if_worker,
    .open = open_pool,
    .close = close_pool,
    .small_call = small_call,
    .send = send_bytes,
    .echo = echo,
    .die = die,
};
