/* SPDX-License-Identifier: MIT */
/*
 * Tests that must not pass: each breaks one promise. kit_test runs them one at a time and reads
 * what the kit says.
 */
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- checks ---------------------------------------------------------------------------------- */

TEST(wrong_condition)
{
    CHECK(1 + 1 == 3);
}

TEST(wrong_int)
{
    CHECK_INT(6 * 7, 41);
}

TEST(wrong_string)
{
    CHECK_STR("left", "right");
}

TEST(wrong_part)
{
    CHECK_CONTAINS("haystack", "needle");
}

TEST(wrong_bytes)
{
    CHECK_BYTES("abc", "abd", 3);
}

static void *check_elsewhere(void *unused)
{
    CHECK(!"on a thread");
    return unused;
}

TEST(wrong_on_thread)
{
    pthread_t thread;
    pthread_create(&thread, NULL, check_elsewhere, NULL);
    pthread_join(thread, NULL);
}

/* ---- ends ------------------------------------------------------------------------------------ */

TEST(crash)
{
    abort();
}

TEST(early_exit)
{
    exit(0);
}

TEST_TIMEOUT(stuck, 1)
{
    puts("about to be stuck");
    pause();
}

TEST(hang_for_long)
{
    pause();
}

TEST(skipped)
{
    SKIP("no %s here", "luck");
}

TEST(harmless)
{
    puts("nothing to see");
}

/* ---- leaks ----------------------------------------------------------------------------------- */

TEST(leak_descriptor)
{
    CHECK(open("/dev/null", O_RDONLY) >= 0);
}

TEST(leak_memory_file)
{
    CHECK(memfd_create("forgotten", 0) >= 0);
}

TEST(leak_memory_mapping)
{
    int fd = memfd_create("mapped", 0);
    CHECK_INT(ftruncate(fd, 4096), 0);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
    close(fd);
}

static void *sleep_on(void *unused)
{
    pause();
    return unused;
}

TEST(leak_thread)
{
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, sleep_on, NULL), 0);
}

TEST(leak_zombie)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    siginfo_t info;
    CHECK_INT(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

TEST(leak_child)
{
    if (fork() == 0)
        pause();
}

TEST(leak_daemon)
{
    pid_t middle = fork();
    if (middle == 0) {
        setsid();
        if (fork() == 0)
            pause();
        _exit(0);
    }
    CHECK(waitpid(middle, NULL, 0) == middle);
}

TEST(leak_program)
{
    const char *const argv[] = {"sleep", "1000", NULL};
    kit_spawn(argv, -1, -1, -1);
}

TEST(leak_file)
{
    char path[300];
    snprintf(path, sizeof path, "%s/forgotten", kit_temp_dir());
    close(open(path, O_CREAT | O_WRONLY, 0600));
}
