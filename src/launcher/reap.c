/* SPDX-License-Identifier: MIT */
/*
 * What ends is reaped, and what it left behind is ended.
 *
 * Model: a worker's end is told by its pidfd, so that it is found among any number of dying strays;
 * SIGCHLD tells of everybody else. A dead worker is first looked at without reaping it (its number
 * stays taken), then its process group is killed by that number, then it is reaped and reported.
 * Strays, adopted because their parents died, are killed a few times over before the report, which
 * catches nearly all of them, and by a timer afterwards: a report never waits for a fork bomb.
 *
 * Invariant: no number is signalled that is not held by a child of ours that has not been reaped.
 */
#include "launcher.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Children reaped in one go. */
#define REAP_MAX 256
/* For how long, and with which pauses, strays are looked for before a report. */
#define SWEEP_NS 3000000
#define SWEEP_PAUSE_NS 200000
/* The timer after it. */
#define SWEEP_FIRST_MS 10

static uint64_t microseconds(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

static void sweep(struct launcher *launcher)
{
    const struct timespec pause = {0, SWEEP_PAUSE_NS};

    int64_t until = now_ns() + SWEEP_NS;
    do {
        if (!strays_kill(launcher, until))
            return;
        nanosleep(&pause, NULL);
    } while (now_ns() < until);
    launcher->sweep_ms = SWEEP_FIRST_MS;
}

void reap_worker(struct launcher *launcher, struct worker *worker)
{
    struct bhl_launch message = {.type = BHL_LAUNCH_EXITED, .pid = worker->pid};
    siginfo_t info = {0};
    struct rusage usage;

    if (waitid(P_PID, (id_t)worker->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid != worker->pid)
        return;
    if (worker->cookie == 0)
        template_ended(launcher, worker);
    kill(-worker->pid, SIGKILL);
    if (wait4(worker->pid, &message.value, 0, &usage) != worker->pid)
        return;
    epoll_ctl(launcher->epoll, EPOLL_CTL_DEL, worker->pidfd, NULL);
    worker->pid = 0;
    sweep(launcher);
    message.user_us = microseconds(&usage.ru_utime);
    message.system_us = microseconds(&usage.ru_stime);
    message.max_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
    message.oom = oom_happened();
    report(launcher, worker, &message, true);
}

void reap_children(struct launcher *launcher)
{
    for (int count = 0; count < REAP_MAX; count++) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0 || info.si_pid == 0)
            return;
        struct worker *worker = worker_by_pid(launcher, info.si_pid);
        if (worker == NULL) { /* or one just forked, whose word is still in the socket */
            template_read(launcher);
            worker = worker_by_pid(launcher, info.si_pid);
        }
        if (worker != NULL)
            reap_worker(launcher, worker);
        else
            waitpid(info.si_pid, NULL, __WALL);
    }
    raise(SIGCHLD); /* there may be more: come again, after the others had their turn */
}
