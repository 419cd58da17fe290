/* SPDX-License-Identifier: MIT */
/*
 * dictionary: what a template is good for.
 *
 * Model: the same worker twice, first started plainly each time, then forked from a template that
 * comes first (templates = 2). Of each it is measured how long a call takes that needs a new
 * worker, and how much memory several workers hold that run at once; each belongs to a session, so
 * that each is asked. What is shared counts once, in parts (Pss).
 *
 * usage: dictionary [--mib N] WORKER
 */
#include <bulkhead/bulkhead.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORKERS 4

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "dictionary: %s: %s\n", what, why != NULL ? why : "");
    exit(1);
}

static double now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static bh_pool *open_pool(const char *worker, const char *mib, bool templates, bool recycle)
{
    const char *const arguments[] = {mib, NULL};
    struct bh_pool_options options;
    struct bh_problem problem;
    bh_pool *pool;

    bh_pool_options_init(&options);
    options.worker = worker;
    options.arguments = arguments;
    options.templates = templates ? 2 : 0;
    options.start_timeout_ms = 120000;
    options.min_workers = options.max_workers = recycle ? 1 : WORKERS;
    if (recycle) { /* each call needs a new worker */
        options.recycle_requests = 1;
        options.recycle_jitter_percent = 0;
    }
    if (bh_pool_open(&pool, &options, &problem) != BH_OK)
        die("cannot open the pool", problem.text);
    if (bh_pool_wait_ready(pool, 0, 120000, &problem) != BH_OK)
        die("no worker becomes ready", problem.text);
    return pool;
}

static bool knows(bh_pool *pool, const char *text, bool *known)
{
    bh_value word = bh_value_view(text);
    struct bh_result result;

    if (bh_pool_invoke(pool, "lookup", &word, 1, &result) != BH_OUTCOME_REPLIED)
        die("a call did not reply", result.text);
    *known = result.reply.type == BH_INT64;
    bh_result_deinit(&result);
    return true;
}

/* The time of a call to a worker that has to be started first. @return the answers, as bits */
static unsigned time_starts(const char *worker, const char *mib, bool templates, double *ms)
{
    static const char *const words[] = {"ban", "bulkhead", "bebebebebeban", "nan"};
    bh_pool *pool = open_pool(worker, mib, templates, true);
    int calls = templates ? 40 : 4;
    unsigned answers = 0;
    bool known;

    knows(pool, words[0], &known);
    double begin = now_ms();
    for (int i = 0; i < calls; i++) {
        knows(pool, words[i % 4], &known);
        answers |= (unsigned)known << i % 4;
    }
    *ms = (now_ms() - begin) / calls;
    bh_pool_close(pool);
    return answers;
}

static void add_memory(bh_session *session, int64_t sums[3])
{
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_result result;
    const int64_t *figures;
    size_t count;

    request.method = "memory";
    if (bh_session_call(session, &request, &result) != BH_OUTCOME_REPLIED ||
        bh_value_get_i64(&result.reply, &figures, &count) != BH_OK || count != 3)
        die("cannot ask for the memory", result.text);
    for (int i = 0; i < 3; i++)
        sums[i] += figures[i];
    bh_result_deinit(&result);
}

/* What all workers hold: resident in each, proportional, their own; in KiB. */
static void measure_memory(const char *worker, const char *mib, bool templates, int64_t sums[3])
{
    struct bh_session_options options = BH_SESSION_INIT;
    bh_session *sessions[WORKERS];
    struct bh_problem problem;
    bh_pool *pool = open_pool(worker, mib, templates, false);

    options.take_last = true;
    options.lease_ms = 600000;
    for (int i = 0; i < WORKERS; i++)
        if (bh_session_open(&sessions[i], pool, &options, &problem) != BH_OK)
            die("cannot open a session", problem.text);
    for (int i = 0; i < WORKERS; i++)
        add_memory(sessions[i], sums);
    for (int i = 0; i < WORKERS; i++)
        bh_session_close(sessions[i]);
    bh_pool_close(pool);
}

int main(int argc, char **argv)
{
    const char *mib = "64";
    int64_t plain[3] = {0}, forked[3] = {0};
    double plain_ms, forked_ms;

    if (argc == 4 && strcmp(argv[1], "--mib") == 0 && atoi(argv[2]) > 0) {
        mib = argv[2];
        argv += 2;
        argc -= 2;
    }
    if (argc != 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: dictionary [--mib N] WORKER\n");
        return 2;
    }
    unsigned plain_answers = time_starts(argv[1], mib, false, &plain_ms);
    unsigned forked_answers = time_starts(argv[1], mib, true, &forked_ms);
    measure_memory(argv[1], mib, false, plain);
    measure_memory(argv[1], mib, true, forked);

    printf("a dictionary of %s MiB                 plain     template\n", mib);
    printf("a call that needs a new worker   %8.2f ms  %8.2f ms   %.0f times as fast\n", plain_ms,
           forked_ms, plain_ms / forked_ms);
    printf("%d workers: resident, each         %6lld MiB %6lld MiB\n", WORKERS,
           (long long)plain[0] / WORKERS / 1024, (long long)forked[0] / WORKERS / 1024);
    printf("%d workers: their own              %6lld MiB %6lld MiB\n", WORKERS,
           (long long)plain[2] / 1024, (long long)forked[2] / 1024);
    printf("%d workers: with their parts       %6lld MiB %6lld MiB   a %.1fth\n", WORKERS,
           (long long)plain[1] / 1024, (long long)forked[1] / 1024,
           (double)plain[1] / (double)forked[1]);
    if (plain_answers != forked_answers || plain_answers == 0)
        die("the answers differ", NULL);
    printf("the answers agree\n");
    return 0;
}
