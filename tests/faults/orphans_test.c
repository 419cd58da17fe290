/* SPDX-License-Identifier: MIT */
/*
 * The dispatcher is killed at any moment of its life: a second later none of its processes is left,
 * not even grandchildren in sessions of their own, though every worker is inside code that never
 * returns and ignores SIGTERM.
 *
 * timeout: 120
 */
#include "crowd.h"

/* The dispatcher, its launcher on Linux, and two processes for each worker. */
#define PROCESSES (KIT_WINDOWS ? 1 + 2 * 4 : 2 + 2 * 4)

static bool all_gone(void *context)
{
    (void)context;
    return kit_descendants(NULL, 0) == 0;
}

static bool all_hang(void *context)
{
    (void)context;
    return kit_descendants(NULL, 0) >= PROCESSES;
}

static int start_dispatcher(void)
{
    const char *const argv[] = {BH_TEST_DIR "/dispatcher_worker", CROWD_WORKER, NULL};

    return kit_start(argv);
}

static void kill_and_check(int pid)
{
    kit_end(pid);
    if (!kit_wait_until(all_gone, NULL, 1000)) {
        int left[16] = {0};
        size_t count = kit_descendants(left, 16);
        FAIL("%zu processes left after a second, the first is %d", count, left[0]);
    }
}

TEST_TIMEOUT(nothing_outlives_a_killed_dispatcher_in_full_work, 60)
{
    int rounds = KIT_WINDOWS ? 2 : 5;

    for (int i = 0; i < rounds; i++) {
        int pid = start_dispatcher();
        CHECK(kit_wait_until(all_hang, NULL, 10000));
        kill_and_check(pid);
    }
}

/* From before the first process of its own to after the last: that many microseconds in between. */
TEST_TIMEOUT(nothing_outlives_a_dispatcher_killed_at_any_moment, 100)
{
    int moments = KIT_WINDOWS ? 12 : 60;
    int step_us = KIT_WINDOWS ? 40000 : 500;

    for (int i = 0; i < moments; i++) {
        int pid = start_dispatcher();
        kit_pause_us(i * step_us);
        kill_and_check(pid);
    }
}
