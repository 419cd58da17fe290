/* SPDX-License-Identifier: MIT */
/*
 * What does a template save? The start of a worker, from the wish for one more to its first reply:
 * started plainly, forked from a template, and what fork() costs a process of that size at least.
 *
 * Model: a pool that grows by one worker at a time, of which the youngest serves the next call.
 * Each round opens a pool of either kind, in turn; the medians over all starts are compared. The
 * worker is the dictionary of examples/, with a table of a few sizes; the limit is a fork of this
 * program with as much memory of the same kind, until the child has ended.
 *
 * usage: bench-template [--rounds N] [--starts N]
 */
#include <bulkhead/bulkhead.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT 0.5
#define ROUNDS_MAX 50
#define STARTS_MAX 100

static double now_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-template: %s: %s\n", what, why);
    exit(1);
}

struct figures {
    double us[ROUNDS_MAX * STARTS_MAX];
    int count;
};

static void note(struct figures *figures, double us)
{
    figures->us[figures->count++] = us;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(struct figures *figures)
{
    qsort(figures->us, (size_t)figures->count, sizeof(figures->us[0]), compare);
    return figures->us[figures->count / 2];
}

static void call(bh_pool *pool)
{
    struct bh_result result;

    if (bh_pool_invoke(pool, "entries", NULL, 0, &result) != BH_OUTCOME_REPLIED)
        die("a call did not reply", result.text ? result.text : "");
    bh_result_deinit(&result);
}

static void time_starts(const char *mib, bool templates, int starts, struct figures *figures)
{
    const char *const arguments[] = {mib, NULL};
    struct bh_pool_options options;
    struct bh_problem problem;
    bh_pool *pool;

    bh_pool_options_init(&options);
    options.worker = BH_BENCH_DIR "/../bin/dictionary-worker";
    options.arguments = arguments;
    options.min_workers = 1;
    options.max_workers = (uint32_t)starts + 1;
    options.templates = templates ? 2 : 0;
    options.start_timeout_ms = 120000;
    if (bh_pool_open(&pool, &options, &problem))
        die("cannot open the pool", problem.text);
    for (int i = 0; i <= starts; i++) {
        double begin = now_us();
        if (bh_pool_wait_ready(pool, (uint32_t)i + 1, 120000, &problem))
            die("a worker does not become ready", problem.text);
        call(pool);
        if (i > 0) /* the first one waits for the template */
            note(figures, now_us() - begin);
    }
    bh_pool_close(pool);
}

static void time_forks(size_t bytes, int forks, struct figures *figures)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        die("cannot have the memory", "mmap failed");
    madvise(memory, bytes, MADV_HUGEPAGE);
    memset(memory, 1, bytes);
    for (int i = 0; i < forks; i++) {
        double begin = now_us();
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        waitpid(pid, NULL, 0);
        note(figures, now_us() - begin);
    }
    munmap(memory, bytes);
}

static int number(const char *text, int most)
{
    int value = atoi(text);

    if (value < 1 || value > most)
        die("not a number in range", text);
    return value;
}

/* @return template to plain */
static double measure(const char *mib, int rounds, int starts)
{
    static struct figures plain, forked, forks;

    plain.count = forked.count = forks.count = 0;
    for (int i = 0; i < rounds; i++) {
        time_starts(mib, false, starts, &plain);
        time_starts(mib, true, starts, &forked);
        time_forks((size_t)atoi(mib) << 20, starts, &forks);
    }
    double plain_us = median(&plain), forked_us = median(&forked), fork_us = median(&forks);
    printf(
        "%3s MiB: plain %8.0f us   template %6.0f us (x %.3f)   fork() %5.0f us (x %.1f of it)\n",
        mib, plain_us, forked_us, forked_us / plain_us, fork_us, forked_us / fork_us);
    return forked_us / plain_us;
}

int main(int argc, char **argv)
{
    static const char *const sizes[] = {"1", "16", "64"};
    int rounds = 3, starts = 20;
    double worst = 0;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rounds") == 0)
            rounds = number(argv[i + 1], ROUNDS_MAX);
        else if (strcmp(argv[i], "--starts") == 0)
            starts = number(argv[i + 1], STARTS_MAX);
        else
            die("no such option", argv[i]);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        double ratio = measure(sizes[i], rounds, starts);
        worst = ratio > worst ? ratio : worst;
    }
    printf("start from a template: x %.2f of a plain one, at most x %.1f: %s\n", worst, LIMIT,
           worst <= LIMIT ? "met" : "NOT MET");
    return worst <= LIMIT ? 0 : 1;
}
