/* SPDX-License-Identifier: MIT */
/*
 * Large data, in place and copied, against a plain function call: 1 MiB (W3) and 16 MiB (W4) sent
 * and summed by the worker, or made by the worker and summed by the caller.
 *
 * Model: every way in turn in every round, so that only ratios within a round count; the medians of
 * the rounds are compared. What is filled and summed is the same in every way. The caller fills
 * before, and sums after, the clock has run, but where the worker does it in the way compared.
 *
 * usage: bench-large [--rounds N] [--calls N]
 */
#include <bulkhead/bulkhead.h>

#include <bulkhead/session.h>
#include <bulkhead/worker.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 99
#define MIB ((size_t)1 << 20)

static double now_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-large: %s: %s\n", what, why);
    exit(1);
}

/* ---- the work: the same everywhere ---- */

static __attribute__((noinline)) uint64_t sum(const void *at, size_t size)
{
    const uint64_t *words = at;
    uint64_t total = 0;

    for (size_t i = 0; i < size / sizeof(*words); i++)
        total += words[i];
    return total;
}

static __attribute__((noinline)) void make(void *at, size_t size, uint64_t seed)
{
    uint64_t *words = at;

    for (size_t i = 0; i < size / sizeof(*words); i++)
        words[i] = seed + i;
}

/* ---- the worker ---- */

static void sum_method(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)count, (void)context;
    bh_value total = bh_value_uint64(sum(arguments[0].as.bytes, (size_t)arguments[0].length));
    bh_call_reply(call, &total);
}

static void make_method(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    size_t size = (size_t)arguments[0].as.uint64;
    void *at;

    (void)count, (void)context;
    if (bh_call_buffer(call, size, &at) != BH_OK)
        abort();
    make(at, size, arguments[1].as.uint64);
    bh_value reply = bh_value_view_bytes(at, size);
    bh_call_reply(call, &reply);
}

static void make_copied(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    static unsigned char *memory;
    size_t size = (size_t)arguments[0].as.uint64;

    (void)count, (void)context;
    if (memory == NULL && (memory = malloc(16 * MIB)) == NULL)
        abort();
    make(memory, size, arguments[1].as.uint64);
    bh_value reply = bh_value_view_bytes(memory, size);
    bh_call_reply(call, &reply);
}

static int serve(int argc, char **argv)
{
    static const struct bh_method methods[] = {{"sum", sum_method, NULL},
                                               {"make", make_method, NULL},
                                               {"copied", make_copied, NULL},
                                               {NULL, NULL, NULL}};
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    return bh_worker_main(argc, argv, &worker);
}

/* ---- the ways ---- */

struct bench {
    bh_session *session;
    size_t size;
    unsigned char *plain;  /* of this process */
    unsigned char *buffer; /* of the session */
    uint64_t seed;
    uint64_t sink; /* so that no work is in vain */
};

static uint64_t call(struct bench *bench, const char *method, const bh_value *arguments,
                     size_t count, bool borrow)
{
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_result result;
    uint64_t total;

    request.method = method;
    request.arguments = arguments;
    request.argument_count = count;
    request.borrow = borrow;
    if (bh_session_call(bench->session, &request, &result) != BH_OUTCOME_REPLIED)
        die(method, result.text != NULL ? result.text : bh_outcome_name(result.outcome));
    total = result.reply.type == BH_BYTES ? sum(result.reply.as.bytes, (size_t)result.reply.length)
                                          : result.reply.as.uint64;
    bh_result_deinit(&result);
    return total;
}

static uint64_t send_plain(struct bench *bench)
{
    return sum(bench->plain, bench->size);
}

static uint64_t send_in_place(struct bench *bench)
{
    bh_value value = bh_value_view_bytes(bench->buffer, bench->size);

    return call(bench, "sum", &value, 1, false);
}

static uint64_t send_copied(struct bench *bench)
{
    bh_value value = bh_value_view_bytes(bench->plain, bench->size);

    return call(bench, "sum", &value, 1, false);
}

static uint64_t receive_plain(struct bench *bench)
{
    make(bench->plain, bench->size, ++bench->seed);
    return sum(bench->plain, bench->size);
}

static uint64_t receive(struct bench *bench, const char *method, bool borrow)
{
    const bh_value arguments[] = {bh_value_uint64(bench->size), bh_value_uint64(++bench->seed)};

    return call(bench, method, arguments, 2, borrow);
}

static uint64_t receive_in_place(struct bench *bench)
{
    return receive(bench, "make", true);
}

static uint64_t receive_half(struct bench *bench)
{
    return receive(bench, "make", false);
}

static uint64_t receive_copied(struct bench *bench)
{
    return receive(bench, "copied", false);
}

static const struct way {
    const char *name;
    uint64_t (*run)(struct bench *bench);
    int plain; /* the way it is compared with */
} ways[] = {
    {"send: function call", send_plain, 0},
    {"send: in place", send_in_place, 0},
    {"send: copied", send_copied, 0},
    {"reply: function call", receive_plain, 3},
    {"reply: in place, borrowed", receive_in_place, 3},
    {"reply: in place, copied out", receive_half, 3},
    {"reply: copied in and out", receive_copied, 3},
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), compare);
    return values[count / 2];
}

static void measure(struct bench *bench, int rounds, int calls)
{
    static double times[WAYS][ROUNDS_MAX];
    double plain[WAYS];
    double each[1000];

    make(bench->plain, bench->size, 1);
    make(bench->buffer, bench->size, 1);
    for (int round = -1; round < rounds; round++) { /* the first warms up */
        for (size_t way = 0; way < WAYS; way++) {
            for (int i = 0; i < calls; i++) {
                double begin = now_us();
                bench->sink += ways[way].run(bench);
                each[i] = now_us() - begin;
            }
            if (round >= 0)
                times[way][round] = median(each, calls);
        }
    }
    printf("%zu MiB%28s  ratio\n", bench->size / MIB, "us");
    for (size_t way = 0; way < WAYS; way++) {
        plain[way] = median(times[way], rounds);
        printf("  %-27s %7.0f  %5.2f\n", ways[way].name, plain[way],
               plain[way] / plain[ways[way].plain]);
    }
}

static int number(int argc, char **argv, const char *name, int initial, int most)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            initial = atoi(argv[i + 1]);
    return initial < 1 ? 1 : initial > most ? most : initial;
}

static void open_all(struct bench *bench, bh_pool **pool, const char *self)
{
    struct bh_session_options options = BH_SESSION_INIT;
    struct bh_pool_options pool_options;
    struct bh_problem problem;
    void *at = NULL;

    bh_pool_options_init(&pool_options);
    pool_options.worker = self;
    pool_options.min_workers = pool_options.max_workers = 1;
    options.take_last = true;
    if (bh_pool_open(pool, &pool_options, &problem) ||
        bh_session_open(&bench->session, *pool, &options, &problem))
        die("cannot begin", problem.text);
    bench->plain = malloc(16 * MIB);
    if (bench->plain == NULL || bh_session_buffer(bench->session, 16 * MIB, &at) != BH_OK)
        die("cannot begin", "no memory");
    bench->buffer = at;
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    char self[4096] = "";
    bh_pool *pool;

    if (argc > 1 && strncmp(argv[argc - 1], "--bulkhead=", 11) == 0)
        return serve(argc, argv);
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        die("who am I", "no /proc");
    int rounds = number(argc, argv, "--rounds", 5, ROUNDS_MAX);
    int calls = number(argc, argv, "--calls", 100, 1000);
    open_all(&bench, &pool, self);
    bench.size = MIB;
    measure(&bench, rounds, calls);
    bench.size = 16 * MIB;
    measure(&bench, rounds, calls / 10 + 1);
    bh_session_close(bench.session);
    bh_pool_close(pool);
    free(bench.plain);
    return 0;
}
