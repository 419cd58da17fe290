/* SPDX-License-Identifier: MIT */
/*
 * Starting a worker.
 *
 * Model: a child that runs in our memory (CLONE_VM) while we wait (CLONE_VFORK), so that it costs
 * the same whatever anybody's size; it makes itself what the specification says and executes the
 * program. A step that fails leaves its name and errno in the struct child that we share.
 *
 * Invariants: the child calls the system directly, allocates nothing, and writes to nothing but its
 * stack, errno and the struct child. The order of its steps: what needs privileges before they are
 * dropped, PR_SET_PDEATHSIG after that (a change of credentials clears it), signals last. The
 * program finds 0 (null device), 1 and 2 (output), 3, 4, 5 and nothing else.
 */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#if defined(__clang__)
#define BARE __attribute__((noinline, no_sanitize("address", "undefined")))
#else
#define BARE __attribute__((noinline, no_sanitize("address"), no_sanitize("undefined")))
#endif

#define SIGNALS 64
/* First descriptor that nothing has to be put at. */
#define CLEAR_FD 16
/* 0, 1, 2, request half, reply half, control */
#define TARGETS 6

struct child {
    const struct spec *spec;
    struct rlimit64 descriptors;
    int sources[TARGETS];
    pid_t parent;
    int error; /* errno of the step that failed, or 0 */
    const char *step;
    const char *object; /* what it failed on, or "" */
};

/* ---- in the child ---- */

BARE static bool failed(struct child *c, const char *step, const char *object)
{
    c->step = step;
    c->object = object;
    c->error = errno;
    return false;
}

BARE static bool arrange(struct child *c)
{
    long moved[TARGETS];

    for (int i = 0; i < TARGETS; i++) {
        moved[i] = syscall(SYS_fcntl, c->sources[i], F_DUPFD_CLOEXEC, CLEAR_FD);
        if (moved[i] < 0)
            return failed(c, "arranging descriptors", "");
    }
    for (int i = 0; i < TARGETS; i++) {
        if (syscall(SYS_dup3, moved[i], i, 0) < 0)
            return failed(c, "arranging descriptors", "");
    }
    if (syscall(SYS_close_range, TARGETS, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
        return failed(c, "closing descriptors", "");
    return true;
}

/* 1, not 0: a core_pattern with a pipe ignores 0, and dumps. */
BARE static bool forbid_cores(struct child *c)
{
    const struct rlimit64 one = {1, 1};

    if (syscall(SYS_prlimit64, 0, RLIMIT_CORE, &one, NULL) == 0)
        return true;
    struct rlimit64 now; /* a hard limit of 0 cannot be raised by everyone, and is as good */
    if (syscall(SYS_prlimit64, 0, RLIMIT_CORE, NULL, &now) == 0 && now.rlim_max == 0)
        return true;
    return failed(c, "setting RLIMIT_CORE", "");
}

BARE static bool limit(struct child *c)
{
    const struct bhl_spec *head = c->spec->head;

    if ((head->flags & BHL_SPEC_ALLOW_CORES) == 0 && !forbid_cores(c))
        return false;
    if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &c->descriptors, NULL) != 0)
        return failed(c, "setting RLIMIT_NOFILE", "");
    for (uint32_t i = 0; i < head->rlimits; i++) {
        const struct bhl_spec_rlimit *l = &c->spec->rlimits[i];
        const struct rlimit64 wanted = {l->soft, l->hard};
        if (syscall(SYS_prlimit64, 0, l->resource, &wanted, NULL) != 0)
            return failed(c, "setting a resource limit", "");
    }
    if ((head->flags & BHL_SPEC_NICE) != 0 &&
        syscall(SYS_setpriority, PRIO_PROCESS, 0, head->nice) != 0)
        return failed(c, "setting the niceness", "");
    if (head->cpu_words > 0 &&
        syscall(SYS_sched_setaffinity, 0, head->cpu_words * sizeof(c->spec->cpus[0]),
                c->spec->cpus) < 0 &&
        (head->flags & BHL_SPEC_AFFINITY) != 0)
        return failed(c, "setting the affinity", "");
    return true;
}

BARE static bool become_user(struct child *c)
{
    const struct bhl_spec *head = c->spec->head;

    if ((head->flags & BHL_SPEC_USER) == 0)
        return true;
    /* Who has no privileges may still become what he is. */
    bool same =
        (uint32_t)syscall(SYS_geteuid) == head->uid && (uint32_t)syscall(SYS_getuid) == head->uid;
    if (same && head->uid != 0)
        return true;
    if (syscall(SYS_setgroups, head->groups, c->spec->groups) != 0)
        return failed(c, "setting the groups", "");
    if (syscall(SYS_setresgid, head->gid, head->gid, head->gid) != 0)
        return failed(c, "setting the group", "");
    if (syscall(SYS_setresuid, head->uid, head->uid, head->uid) != 0)
        return failed(c, "setting the user", "");
    return true;
}

BARE static void reset_signals(void)
{
    unsigned long action[8] = {0}; /* the kernel's struct sigaction: SIG_DFL */
    unsigned long none = 0;

    for (int signal = 1; signal <= SIGNALS; signal++)
        syscall(SYS_rt_sigaction, signal, action, NULL, sizeof(none));
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

BARE static bool prepare(struct child *c)
{
    const struct spec *spec = c->spec;

    if (syscall(SYS_setsid) < 0)
        return failed(c, "setsid", "");
    if (!arrange(c) || !limit(c) || !become_user(c))
        return false;
    if (spec->directory[0] != '\0' && syscall(SYS_chdir, spec->directory) != 0)
        return failed(c, "chdir", spec->directory);
    if (syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return failed(c, "PR_SET_PDEATHSIG", "");
    if (syscall(SYS_getppid) != c->parent) { /* it died before PDEATHSIG was set */
        errno = ESRCH;
        return failed(c, "finding the launcher", "");
    }
    reset_signals();
    return true;
}

BARE static int child_body(void *argument)
{
    struct child *c = argument;

    if (prepare(c)) {
        syscall(SYS_execve, c->spec->program, c->spec->arguments, c->spec->environment);
        failed(c, "exec", c->spec->program);
    }
    syscall(SYS_exit_group, 127);
    return 127;
}

/* ---- in the launcher ---- */

static void report_failure(struct launcher *launcher, struct worker *worker, int error,
                           const char *step, const char *object)
{
    struct bhl_launch message = {.type = BHL_LAUNCH_NOT_STARTED, .value = error};

    snprintf(message.step, sizeof(message.step), "%s%s%s", step, object[0] != '\0' ? " " : "",
             object);
    report(launcher, worker, &message, true);
}

/* The two places in the specification's arrays that differ from worker to worker. */
static void name_worker(const struct spec *spec, uint64_t cookie)
{
    int digits = cookie == 0 ? BHL_COOKIE_DIGITS : 1; /* a template leaves room for others */
    static char argument[256];
    static char variable[64];

    snprintf(argument, sizeof(argument), BHL_ARGUMENT "%s,%0*llu,%lld", spec->pool, digits,
             (unsigned long long)cookie, (long long)spec->head->dispatcher);
    snprintf(variable, sizeof(variable), BHL_ENVIRONMENT "=%0*llu", digits,
             (unsigned long long)cookie);
    spec->arguments[spec->head->arguments] = argument;
    spec->environment[spec->head->environment] = variable;
}

struct worker *worker_new(struct launcher *launcher, uint64_t cookie)
{
    struct worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL)
        abort(); /* without memory to report, losing the launcher is the report */
    worker->cookie = cookie;
    worker->pidfd = -1;
    worker->next = launcher->workers;
    if (worker->next != NULL)
        worker->next->previous = worker;
    launcher->workers = worker;
    return worker;
}

static bool watch(struct launcher *launcher, struct worker *worker)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = worker}};

    return epoll_ctl(launcher->epoll, EPOLL_CTL_ADD, worker->pidfd, &event) == 0;
}

/* @return whether the program runs; else c->error */
static bool clone_worker(struct worker *worker, struct child *c)
{
    static _Alignas(64) char stack[64 * 1024];
    siginfo_t info;

    int pid = clone(child_body, stack + sizeof(stack),
                    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, c, &worker->pidfd);
    if (pid < 0) {
        worker->pidfd = -1;
        return failed(c, "clone", "");
    }
    if (c->error == 0) {
        worker->pid = pid;
        return true;
    }
    while (waitid((idtype_t)P_PIDFD, (id_t)worker->pidfd, &info, WEXITED) != 0 && errno == EINTR)
        continue;
    return false;
}

void worker_started(struct launcher *launcher, struct worker *worker)
{
    struct bhl_launch message = {.type = BHL_LAUNCH_STARTED, .pid = worker->pid};

    report(launcher, worker, &message, false);
    watch(launcher, worker); /* else SIGCHLD tells */
}

bool worker_start(struct launcher *launcher, struct worker *worker, const int fds[4])
{
    struct child c = {
        .spec = &launcher->spec,
        .descriptors = {launcher->descriptors.rlim_cur, launcher->descriptors.rlim_max},
        .sources = {STDIN_FILENO, fds[3], fds[3], fds[0], fds[1], fds[2]},
        .parent = getpid(),
        .object = ""};

    name_worker(&launcher->spec, worker->cookie);
    oom_happened(); /* what happened before is not this worker's */
    if (!clone_worker(worker, &c)) {
        report_failure(launcher, worker, c.error, c.step, c.object);
        return false;
    }
    if (worker->cookie != 0)
        worker_started(launcher, worker);
    else
        watch(launcher, worker);
    return true;
}

void worker_refuse(struct launcher *launcher, struct worker *worker, int error, const char *step)
{
    report_failure(launcher, worker, error, step, "");
}
