/* SPDX-License-Identifier: MIT */
/*
 * A dispatcher forked a child, which holds all its descriptors; then it is killed. Its workers end
 * all the same.
 */
#include "crowd.h"

#include <unistd.h>

/* The dispatcher, its launcher, the forked child, and two processes for each worker. */
#define PROCESSES (3 + 2 * 4)

static bool all_hang(void *context)
{
    (void)context;
    return kit_descendants(NULL, 0) >= PROCESSES;
}

static bool only_child_left(void *context)
{
    int pids[2] = {0};

    return kit_descendants(pids, 2) == 1 && pids[0] == *(int *)context;
}

TEST_TIMEOUT(a_forked_child_that_holds_every_descriptor_saves_nothing, 30)
{
    const char *const argv[] = {BH_TEST_DIR "/forking_worker", CROWD_WORKER, NULL};
    char line[16] = "";
    int ends[2];

    CHECK_INT(pipe(ends), 0);
    int pid = kit_spawn(argv, -1, ends[1], STDERR_FILENO);
    close(ends[1]);
    CHECK(read(ends[0], line, sizeof(line) - 1) > 0);
    int child = atoi(line);
    CHECK(kit_wait_until(all_hang, NULL, 10000));
    kit_end(pid);
    bool clean = kit_wait_until(only_child_left, &child, 1000);
    CHECK(kit_pid_kill(child));
    CHECK(clean);
    close(ends[0]);
}
