/* SPDX-License-Identifier: MIT */
/* Tests that must not pass: what only Linux has to leave behind. */
#include "check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(raise_abort)
{
    abort();
}

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
