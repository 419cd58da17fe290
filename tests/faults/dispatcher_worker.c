/* SPDX-License-Identifier: MIT */
/*
 * A dispatcher to be killed: opens a pool of crowd_workers and keeps each of them in hang(), for
 * ever. Writes a line on stdout once the pool is open and another when every worker hangs.
 */
#include <bulkhead/bulkhead.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WORKERS 4

static void *call_hang(void *context)
{
    struct bh_result result;

    bh_pool_invoke(context, "hang", NULL, 0, &result);
    bh_result_deinit(&result);
    return NULL;
}

static unsigned busy(bh_pool *pool)
{
    struct bh_snapshot snapshot;
    unsigned count;

    bh_pool_snapshot(pool, &snapshot);
    count = snapshot.worker_state[BH_WORKER_BUSY];
    bh_snapshot_deinit(&snapshot);
    return count;
}

static void fork_child(void)
{
    pid_t pid = fork();

    if (pid == 0)
        for (;;)
            pause();
    printf("%d\n", (int)pid);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct bh_pool_options options;
    struct bh_problem problem;
    bh_pool *pool;
    pthread_t threads[WORKERS];

    bh_pool_options_init(&options);
    options.worker = argc > 1 ? argv[1] : "crowd_worker";
    options.min_workers = options.max_workers = WORKERS;
    if (bh_pool_open(&pool, &options, &problem)) {
        fprintf(stderr, "%s\n", problem.text);
        return 1;
    }
    if (argc > 2)
        fork_child();
    for (int i = 0; i < WORKERS; i++)
        if (pthread_create(&threads[i], NULL, call_hang, pool))
            return 1;
    while (busy(pool) < WORKERS)
        usleep(1000);
    pause();
    return 0;
}
