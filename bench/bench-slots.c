/* SPDX-License-Identifier: MIT */
/*
 * What do slots gain? Small requests, submitted and taken as fast as it goes, with bh_request.small
 * and without.
 *
 * Model: W1, (int64, double, 32 characters) -> (int64, 32 characters), whose handler does nothing
 * else. Submitters keep WINDOW requests each outstanding, two workers serve them. Both ways are
 * timed in turn, in every round; the medians of the rounds are compared. The workers are this
 * program itself.
 *
 * usage: bench-slots [--rounds N] [--requests N]
 */
#include <bulkhead/bulkhead.h>
#include <bulkhead/worker.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIMIT 3.0
#define ROUNDS_MAX 99
#define WORKERS 2
#define WINDOW 1000
#define SUBMITTERS_MOST 4

enum { PLAIN, SLOTS, WAYS };

static const char text[] = "thirty-two characters, not more.";

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-slots: %s: %s\n", what, why);
    exit(1);
}

/* ---- the worker ---- */

static void w1(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value items[2];

    (void)context;
    if (count != 3) {
        bh_call_fail(call, 1, "three arguments are wanted");
        return;
    }
    items[0] = arguments[0];
    items[1] = arguments[2];
    bh_value reply = bh_value_view_array(items, 2);
    bh_call_reply(call, &reply);
}

static int work(int argc, char **argv)
{
    static const struct bh_method methods[] = {{"w1", w1, NULL}, {NULL, NULL, NULL}};
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    return bh_worker_main(argc, argv, &worker);
}

/* ---- the dispatcher ---- */

struct load {
    bh_pool *pool;
    bool small;
    long requests; /* of each submitter */
    _Atomic long outstanding;
    long window;
};

static void send_one(struct load *load)
{
    const bh_value arguments[] = {bh_value_int64(1), bh_value_double(0.5), bh_value_view(text)};
    struct bh_request request = BH_REQUEST_INIT;

    request.method = "w1";
    request.arguments = arguments;
    request.argument_count = 3;
    request.small = load->small;
    if (bh_pool_submit(load->pool, &request, NULL, NULL))
        die("a request was refused", "bh_pool_submit");
}

/* Takes what lies there, or waits for it. @return whether there was anything to wait for */
static bool take(struct load *load)
{
    struct bh_completion completions[64];
    size_t count = bh_pool_take(load->pool, completions, 64, BH_WAIT_FOREVER);

    for (size_t i = 0; i < count; i++) {
        if (completions[i].result.outcome != BH_OUTCOME_REPLIED)
            die("a request was not replied", bh_outcome_name(completions[i].result.outcome));
        bh_result_deinit(&completions[i].result);
    }
    load->outstanding -= (long)count;
    return count > 0;
}

/* Submits, and takes while the windows are full; whose completions they are is all one. */
static void *submit_all(void *context)
{
    struct load *load = context;

    for (long sent = 0; sent < load->requests; sent++) {
        while (load->outstanding >= load->window)
            take(load);
        send_one(load);
        load->outstanding++;
    }
    while (take(load))
        continue;
    return NULL;
}

static double now_s(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* @return requests per second */
static double time_way(bh_pool *pool, bool small, int submitters, long requests)
{
    struct load load = {.pool = pool,
                        .small = small,
                        .requests = requests / submitters,
                        .window = (long)submitters * WINDOW};
    pthread_t threads[SUBMITTERS_MOST];
    double begin = now_s();

    for (int i = 0; i < submitters; i++)
        if (pthread_create(&threads[i], NULL, submit_all, &load))
            die("no thread", "pthread_create");
    for (int i = 0; i < submitters; i++)
        pthread_join(threads[i], NULL);
    return (double)(load.requests * submitters) / (now_s() - begin);
}

static bh_pool *open_pool(void)
{
    struct bh_pool_options options;
    struct bh_problem problem;
    bh_pool *pool;

    bh_pool_options_init(&options);
    options.worker = BH_BENCH_DIR "/bench-slots";
    options.min_workers = options.max_workers = WORKERS;
    options.queue_length = 2 * SUBMITTERS_MOST * WINDOW;
    if (bh_pool_open(&pool, &options, &problem) ||
        bh_pool_wait_ready(pool, WORKERS, 10000, &problem))
        die("no pool", problem.text);
    return pool;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *figures, long count)
{
    qsort(figures, (size_t)count, sizeof(*figures), compare);
    return figures[count / 2];
}

/* @return the ratio */
static double measure(bh_pool *pool, int submitters, long rounds, long requests)
{
    double rates[WAYS][ROUNDS_MAX];

    for (long round = 0; round < rounds; round++)
        for (int way = PLAIN; way < WAYS; way++)
            rates[way][round] = time_way(pool, way == SLOTS, submitters, requests);
    double plain = median(rates[PLAIN], rounds), slots = median(rates[SLOTS], rounds);
    printf("%d submitters, %d workers %12.0f/s %12.0f/s   x %.2f\n", submitters, WORKERS, plain,
           slots, slots / plain);
    return slots / plain;
}

static long number(const char *digits)
{
    char *end;
    long value = strtol(digits, &end, 10);

    if (*end || value < 1)
        die("not a whole number above 0", digits);
    return value;
}

int main(int argc, char **argv)
{
    long rounds = 5, requests = 100000;

    if (argc > 1 && strncmp(argv[argc - 1], "--bulkhead=", 11) == 0)
        return work(argc, argv);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rounds") == 0)
            rounds = number(argv[i + 1]);
        else if (strcmp(argv[i], "--requests") == 0)
            requests = number(argv[i + 1]);
        else
            die("no such option", argv[i]);
    }
    if (rounds > ROUNDS_MAX)
        rounds = ROUNDS_MAX;
    printf("%-23s %14s %14s\n", "small requests", "one by one", "in slots");
    bh_pool *pool = open_pool();
    measure(pool, 1, rounds, requests);
    double ratio = measure(pool, SUBMITTERS_MOST, rounds, requests);
    bh_pool_close(pool);
    printf("slots: x %.2f, at least x %.1f: %s\n", ratio, LIMIT,
           ratio >= LIMIT ? "met" : "NOT MET");
    return ratio >= LIMIT ? 0 : 1;
}
