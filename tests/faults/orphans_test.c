/* SPDX-License-Identifier: MIT */
/*
 * The dispatcher is killed at any moment of its life: a second later none of its processes is left,
 * not even grandchildren in sessions of their own, though every worker is inside code that never
 * returns and ignores SIGTERM.
 *
 * timeout: 120
 */
#include "crowd.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 4
#define MOMENTS 60

static bool all_gone(void *context)
{
    (void)context;
    return kit_descendants(NULL, 0) == 0;
}

static bool all_hang(void *context)
{
    (void)context;
    /* the dispatcher, its launcher, and two processes for each worker */
    return kit_descendants(NULL, 0) >= 2 + 2 * WORKERS;
}

static int start_dispatcher(const char *option, int *out)
{
    const char *argv[] = {BH_TEST_DIR "/dispatcher_worker", CROWD_WORKER, option, NULL};
    int ends[2];

    CHECK_INT(pipe(ends), 0);
    int pid = kit_spawn(argv, -1, ends[1], STDERR_FILENO);
    close(ends[1]);
    *out = ends[0];
    return pid;
}

static void kill_and_check(int pid)
{
    CHECK_INT(kill(pid, SIGKILL), 0);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    if (!kit_wait_until(all_gone, NULL, 1000)) {
        int left[16] = {0};
        size_t count = kit_descendants(left, 16);
        FAIL("%zu processes left after a second, the first is %d", count, left[0]);
    }
}

TEST_TIMEOUT(nothing_outlives_a_killed_dispatcher_in_full_work, 60)
{
    for (int i = 0; i < 5; i++) {
        int out;
        int pid = start_dispatcher(NULL, &out);
        CHECK(kit_wait_until(all_hang, NULL, 10000));
        kill_and_check(pid);
        close(out);
    }
}

/* Waits for the end of a time, or of the dispatcher. */
static void let_run(int out, int us)
{
    struct pollfd never = {.fd = out, .events = 0};
    struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L};

    ppoll(&never, 1, &time, NULL);
}

TEST_TIMEOUT(nothing_outlives_a_dispatcher_killed_at_any_moment, 100)
{
    for (int i = 0; i < MOMENTS; i++) {
        int out;
        int pid = start_dispatcher(NULL, &out);
        let_run(out, i * 500); /* from before the launcher to after the last worker */
        kill_and_check(pid);
        close(out);
    }
}

static bool only_child_left(void *context)
{
    int pids[2] = {0};

    return kit_descendants(pids, 2) == 1 && pids[0] == *(int *)context;
}

TEST_TIMEOUT(a_forked_child_that_holds_every_descriptor_saves_nothing, 30)
{
    char line[16] = "";
    int out;
    int pid = start_dispatcher("fork", &out);

    CHECK(read(out, line, sizeof(line) - 1) > 0);
    int child = atoi(line);
    CHECK(kit_wait_until(all_hang, NULL, 10000));
    CHECK_INT(kill(pid, SIGKILL), 0);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    bool clean = kit_wait_until(only_child_left, &child, 1000);
    CHECK_INT(kill(child, SIGKILL), 0);
    CHECK(clean);
    close(out);
}
