/* SPDX-License-Identifier: MIT */
/*
 * Does starting a worker cost more in a large dispatcher? It must not: workers are started by a
 * small process of their own, never by a fork of the dispatcher.
 *
 * Model: a pool of one worker that leaves after each request, so that every call pays one whole
 * start. The same calls are timed with 10 MiB and with 4 GiB resident, in turn, in every round; the
 * medians of the rounds are compared. Beside them, what opening a whole pool costs, and what fork()
 * itself costs.
 *
 * usage: bench-start [--rounds N] [--starts N] [--gib N]
 */
#include <bulkhead/bulkhead.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT 1.5
#define ROUNDS_MAX 99

enum { SMALL, LARGE, SIZES };

static double now_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-start: %s: %s\n", what, why);
    exit(1);
}

static void set_options(struct bh_pool_options *options, const char *worker)
{
    bh_pool_options_init(options);
    options->worker = worker;
    options->min_workers = options->max_workers = 1;
    options->recycle_requests = 1;
    options->recycle_jitter_percent = 0;
    options->templates = 0; /* bench-template is about those */
}

static bh_pool *open_pool(const char *worker)
{
    struct bh_pool_options options;
    struct bh_problem problem;
    bh_pool *pool;

    set_options(&options, worker);
    if (bh_pool_open(&pool, &options, &problem))
        die("cannot open the pool", problem.text);
    return pool;
}

static double time_starts(bh_pool *pool, int starts)
{
    double begin = now_us();

    for (int i = 0; i < starts; i++) {
        struct bh_result result;
        if (bh_pool_invoke(pool, "pid", NULL, 0, &result) != BH_OUTCOME_REPLIED)
            die("a call did not reply", result.text ? result.text : "");
        bh_result_deinit(&result);
    }
    return (now_us() - begin) / starts;
}

static double time_open(const char *worker)
{
    struct bh_problem problem;
    double begin = now_us();
    bh_pool *pool = open_pool(worker);

    if (bh_pool_wait_ready(pool, 1, 10000, &problem))
        die("the worker did not become ready", problem.text);
    double took = now_us() - begin;
    bh_pool_close(pool);
    return took;
}

static double time_fork(void)
{
    double begin = now_us();
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    return now_us() - begin;
}

static void *touch(size_t bytes)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        die("cannot have the memory", "mmap failed");
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < bytes; i += 4096)
        memory[i] = 1;
    return memory;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *figures, int count)
{
    qsort(figures, (size_t)count, sizeof(*figures), compare);
    return figures[count / 2];
}

static long number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (*end || value < 1)
        die("not a whole number above 0", text);
    return value;
}

static void report(const char *what, double small, double large)
{
    printf("%-28s %10.0f us %10.0f us   x %.2f\n", what, small, large, large / small);
}

int main(int argc, char **argv)
{
    static double starts_us[SIZES][ROUNDS_MAX], opens_us[SIZES][ROUNDS_MAX],
        forks_us[SIZES][ROUNDS_MAX];
    long rounds = 5, starts = 100, gib = 4;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rounds") == 0)
            rounds = number(argv[i + 1]);
        else if (strcmp(argv[i], "--starts") == 0)
            starts = number(argv[i + 1]);
        else if (strcmp(argv[i], "--gib") == 0)
            gib = number(argv[i + 1]);
        else
            die("no such option", argv[i]);
    }
    if (rounds > ROUNDS_MAX)
        rounds = ROUNDS_MAX;
    const char *worker = BH_BENCH_DIR "/../bin/mishaps";
    void *base = touch((size_t)10 << 20);
    bh_pool *pool = open_pool(worker);
    time_starts(pool, 10);
    for (int round = 0; round < rounds; round++) {
        for (int size = SMALL; size < SIZES; size++) {
            void *memory = size == LARGE ? touch((size_t)gib << 30) : NULL;
            starts_us[size][round] = time_starts(pool, (int)starts);
            opens_us[size][round] = time_open(worker);
            forks_us[size][round] = time_fork();
            if (memory)
                munmap(memory, (size_t)gib << 30);
        }
    }
    bh_pool_close(pool);
    munmap(base, (size_t)10 << 20);

    char large[32];
    int count = (int)rounds;
    snprintf(large, sizeof(large), "%ld GiB", gib);
    printf("%-28s %13s %13s\n", "resident in the dispatcher", "10 MiB", large);
    double ratio = median(starts_us[LARGE], count) / median(starts_us[SMALL], count);
    report("start of a worker", median(starts_us[SMALL], count), median(starts_us[LARGE], count));
    report("open a pool of one", median(opens_us[SMALL], count), median(opens_us[LARGE], count));
    report("fork() of the dispatcher", median(forks_us[SMALL], count),
           median(forks_us[LARGE], count));
    printf("start of a worker: x %.2f, at most x %.1f: %s\n", ratio, LIMIT,
           ratio <= LIMIT ? "met" : "NOT MET");
    return ratio <= LIMIT ? 0 : 1;
}
