/* SPDX-License-Identifier: MIT */
/*
 * A dispatcher that is there to be killed: it opens a pool of three workers, has one hang in a
 * request and one start a child, writes their process numbers to a file and waits.
 *
 * Usage: orphan_worker WORKER FILE
 */
#include <bulkhead/bulkhead.h>

#include <windows.h>

#include <stdio.h>
#include <stdlib.h>

static bh_pool *pool;

static DWORD WINAPI hang(void *nothing)
{
    bh_value kind = bh_value_view("hang");
    struct bh_result result;

    (void)nothing;
    bh_pool_invoke(pool, "mishap", &kind, 1, &result);
    return 0;
}

static int64_t spawn(void)
{
    struct bh_result result;
    int64_t pid = 0;

    bh_pool_invoke(pool, "spawn", NULL, 0, &result);
    bh_value_get_int64(&result.reply, &pid);
    bh_result_deinit(&result);
    return pid;
}

static bool is_busy(void)
{
    struct bh_snapshot snapshot;
    bool busy = false;

    if (bh_pool_snapshot(pool, &snapshot) == BH_OK)
        busy = snapshot.worker_state[BH_WORKER_BUSY] == 1;
    bh_snapshot_deinit(&snapshot);
    return busy;
}

static void tell(const char *path)
{
    struct bh_snapshot snapshot;
    char other[1024];

    snprintf(other, sizeof(other), "%s.part", path);
    FILE *file = fopen(other, "w");
    if (file == NULL || bh_pool_snapshot(pool, &snapshot) != BH_OK)
        exit(3);
    for (size_t i = 0; i < snapshot.worker_count; i++)
        fprintf(file, "%lld\n", (long long)snapshot.workers[i].pid);
    fprintf(file, "%lld\n", (long long)spawn());
    fclose(file);
    MoveFileA(other, path); /* all of it or nothing */
}

int main(int argc, char **argv)
{
    struct bh_pool_options options;
    struct bh_problem problem;

    if (argc != 3)
        return 2;
    bh_pool_options_init(&options);
    options.worker = argv[1];
    options.min_workers = options.max_workers = 3;
    options.start_timeout_ms = 30000;
    if (bh_pool_open(&pool, &options, &problem) != BH_OK ||
        bh_pool_wait_ready(pool, 3, 30000, &problem) != BH_OK) {
        fprintf(stderr, "%s\n", problem.text);
        return 1;
    }
    CreateThread(NULL, 0, hang, NULL, 0, NULL);
    while (!is_busy())
        Sleep(1);
    tell(argv[2]);
    Sleep(INFINITE);
}
