/* SPDX-License-Identifier: MIT */
/*
 * A template: the process in which init() runs once, and from which workers are forked.
 *
 * Model: it is started like a worker, with cookie 0 and a socket to the launcher where a worker has
 * its control socket. When init() is done it says READY and waits for orders: a cookie and four
 * descriptors. For each it has a child that becomes, in this order, a process of that cookie by its
 * command line and its environment, the leader of a session, a child of the launcher, bound to it,
 * known to it (FORKED), and then attaches to its lane as every worker does.
 *
 * The fork. The worker has to be the launcher's child, and libc has to know of the fork (its cache
 * of the thread's number, by which raise() and abort() go, fork handlers, locks): so an
 * intermediate calls fork() and ends, which leaves the worker to the launcher, the nearest
 * subreaper. The intermediate is made by vfork(): page tables, the whole cost of forking a large
 * process, are then copied once, not twice. The kernel takes the restartable sequences from a child
 * that shares its parent's memory: the intermediate asks for them again (this thread is suspended),
 * so that the worker inherits them.
 *
 * Invariants: descriptors have the same numbers as in a worker that was started plainly. A worker
 * that cannot say FORKED was given up by the launcher, and ends without a trace. Everything that
 * belongs to a life (the lane, the page that tells forked children, the process number) is made in
 * the worker; what it keeps of the template is the fault handlers, the alternate stack and the
 * atexit hook, which go by bhl_worker_end.
 */
#include "worker_end.h"

#include "socket.h"

#include "core/problem.h"
#include "worker/channel.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#if defined(__has_include) && __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#define HAS_RSEQ 1
#endif

/* How long a new worker waits until it is the launcher's child. */
#define ADOPTION_NS INT64_C(2000000000)
#define ADOPTION_YIELDS 100 /* it is about to end */
#define ADOPTION_PAUSE_NS 20000

static struct {
    bool open;
    pid_t launcher;
    volatile pid_t intermediate; /* the parent of a worker, at first */
    char *cookies[2];            /* BHL_COOKIE_DIGITS in the command line, and in the environment */
} template;

/* ---- what the system shows of a process ---- */

/* Where the kernel shows arguments and environment: between the first argument and the name of the
 * program, which follows both. */
static bool is_shown(const char *text)
{
    return (uintptr_t)text >= (uintptr_t)bhl_worker_ticket &&
           (uintptr_t)text < (uintptr_t)getauxval(AT_EXECFN);
}

/* The place for a cookie at the start of a text, or NULL. */
static char *cookie_place(char *text, char end)
{
    if (text == NULL || !is_shown(text) || strspn(text, "0") != BHL_COOKIE_DIGITS ||
        text[BHL_COOKIE_DIGITS] != end)
        return NULL;
    return text;
}

static bool find_cookies(void)
{
    char *comma = bhl_worker_ticket != NULL ? strchr(bhl_worker_ticket, ',') : NULL;

    template.cookies[0] = comma != NULL ? cookie_place(comma + 1, ',') : NULL;
    template.cookies[1] = cookie_place(getenv(BHL_ENVIRONMENT), '\0');
    return template.cookies[0] != NULL && template.cookies[1] != NULL;
}

static void show_cookie(uint64_t cookie)
{
    char digits[BHL_COOKIE_DIGITS + 1];

    snprintf(digits, sizeof digits, "%0*llu", BHL_COOKIE_DIGITS, (unsigned long long)cookie);
    for (int i = 0; i < 2; i++)
        memcpy(template.cookies[i], digits, BHL_COOKIE_DIGITS);
}

/* ---- opening ---- */

/* Whether the process has this thread and no other; false when it cannot be told. */
static bool has_one_thread(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;

    while (tasks != NULL) {
        const struct dirent *entry = readdir(tasks);
        if (entry == NULL)
            break;
        count += entry->d_name[0] != '.';
    }
    if (tasks != NULL)
        closedir(tasks);
    return count == 1;
}

int bhl_template_open(pid_t launcher, struct bh_problem *problem)
{
    int type = 0;
    socklen_t size = sizeof type;

    if (getsockopt(BHL_FD_TEMPLATE, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
        type != SOCK_SEQPACKET)
        return bhi_problem_set(problem, BH_E_START, 0, "descriptor %d: not a launcher's socket",
                               BHL_FD_TEMPLATE);
    if (!find_cookies())
        return bhi_problem_set(problem, BH_E_START, 0,
                               "a template finds no room for cookies in what it inherited");
    close(BHL_FD_REQUEST);
    close(BHL_FD_REPLY);
    fcntl(BHL_FD_TEMPLATE, F_SETFD, FD_CLOEXEC);
    template.launcher = launcher;
    template.open = true;
    return BH_OK;
}

/* ---- the fork ---- */

#if defined(HAS_RSEQ) && defined(SYS_rseq)
static struct rseq *sequences(void)
{
    char *thread;

#if defined(__x86_64__)
    __asm__("mov %%fs:0, %0" : "=r"(thread)); /* not every compiler has the builtin here */
#else
    thread = __builtin_thread_pointer();
#endif
    return (struct rseq *)(void *)(thread + __rseq_offset);
}

static bool register_sequences(void)
{
    unsigned size = __rseq_size < 32 ? 32 : __rseq_size; /* as libc registered it */

    return __rseq_size == 0 || syscall(SYS_rseq, sequences(), size, 0, RSEQ_SIG) == 0;
}

/* So that libc asks the kernel for what it would read there. */
static void disown_sequences(void)
{
    sequences()->cpu_id = (uint32_t)RSEQ_CPU_ID_REGISTRATION_FAILED;
}
#else
static bool register_sequences(void)
{
    return true;
}

static void disown_sequences(void)
{
}
#endif

enum side { SIDE_FAILED, SIDE_TEMPLATE, SIDE_WORKER };

/* A child of the launcher to be. Its stack and this function's frame in it are its own copy. */
static enum side fork_worker(void)
{
    int status = 0;

    fflush(NULL); /* what is in a buffer now would be written by each of them */
    pid_t intermediate = vfork();
    if (intermediate == 0) {
        bool registered = register_sequences();
        template.intermediate = getpid();
        pid_t worker = fork();
        if (worker != 0)
            _exit(worker < 0);
        if (!registered)
            disown_sequences();
        return SIDE_WORKER;
    }
    if (intermediate < 0)
        return SIDE_FAILED;
    while (waitpid(intermediate, &status, __WALL) < 0 && errno == EINTR)
        continue;
    return status == 0 ? SIDE_TEMPLATE : SIDE_FAILED;
}

/* ---- the worker ---- */

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The intermediate may not have ended yet. @return whether the launcher is the parent now */
static bool await_adoption(void)
{
    const struct timespec pause = {0, ADOPTION_PAUSE_NS};
    int64_t until = now_ns() + ADOPTION_NS;

    for (int tries = 0; getppid() == template.intermediate && now_ns() < until; tries++) {
        if (tries < ADOPTION_YIELDS)
            sched_yield();
        else
            nanosleep(&pause, NULL);
    }
    return bhl_worker_bind(template.launcher);
}

/* Becomes the worker of that cookie. What keeps it from saying so ends it; what comes after is the
 * worker's own failure, and `problem` says it to whoever reads its output. */
static int become(uint64_t cookie, struct bhl_mail *given, struct bh_problem *problem)
{
    struct bhl_template_message forked = {
        .magic = BHL_MAGIC, .type = BHL_TEMPLATE_FORKED, .cookie = cookie, .pid = getpid()};
    struct bhl_worker_end end = {.parent = template.launcher, .fork_safe = true};

    show_cookie(cookie);
    if (setsid() < 0 || dup2(given->fds[3], STDOUT_FILENO) < 0 ||
        dup2(given->fds[3], STDERR_FILENO) < 0 || !await_adoption() ||
        !bhl_send(BHL_FD_TEMPLATE, &forked, sizeof forked, NULL, 0) ||
        dup3(given->fds[2], BHL_FD_CONTROL, O_CLOEXEC) < 0)
        _exit(BHL_STATUS_PROTOCOL);
    close(given->fds[2]);
    close(given->fds[3]);
    int error = bhl_worker_attach(&end, given->fds[0], given->fds[1], cookie, problem);
    if (error == BH_OK && end.request->rearm != 0)
        bhl_worker_fault_rearm();
    return error;
}

/* ---- the template ---- */

static bool say(enum bhl_template_type type, uint64_t cookie)
{
    const struct bhl_template_message message = {
        .magic = BHL_MAGIC, .type = (uint32_t)type, .cookie = cookie};

    return bhl_send(BHL_FD_TEMPLATE, &message, sizeof message, NULL, 0);
}

/* Waits for an order. A launcher that says nothing more, or anything else, ends the process. */
static uint64_t await_order(struct bhl_mail *given)
{
    struct bhl_template_message order;
    struct pollfd p = {.fd = BHL_FD_TEMPLATE, .events = POLLIN};

    do {
        while (poll(&p, 1, -1) < 0 && errno == EINTR)
            continue;
        bhl_receive(BHL_FD_TEMPLATE, &order, sizeof order, given);
    } while (given->bytes < 0 && errno == EAGAIN);
    if (given->bytes != sizeof order || given->fd_count != BHL_FDS_MAX ||
        order.magic != BHL_MAGIC || order.type != BHL_TEMPLATE_FORK)
        _exit(given->bytes == 0 ? 0 : BHL_STATUS_PROTOCOL);
    return order.cookie;
}

static int serve_orders(struct bh_problem *problem)
{
    struct bhl_mail given;

    if (!bhl_worker_bind(template.launcher) || !say(BHL_TEMPLATE_READY, 0))
        return bhi_problem_set(problem, BH_E_START, 0, "the launcher is gone");
    for (;;) {
        uint64_t cookie = await_order(&given);
        enum side side = fork_worker();
        if (side == SIDE_WORKER)
            return become(cookie, &given, problem);
        if (side == SIDE_FAILED && !say(BHL_TEMPLATE_FAILED, cookie))
            _exit(BHL_STATUS_PROTOCOL);
        bhl_mail_drop(&given);
    }
}

int bhi_channel_settle(bool fork_safe, struct bh_problem *problem)
{
    bool fit = fork_safe && has_one_thread();

    if (!template.open) {
        bhl_worker_end.fork_safe = fit;
        return BH_OK;
    }
    if (!fit)
        return bhi_problem_set(problem, BH_E_START, 0,
                               fork_safe ? "init() left more than one thread: no template"
                                         : "it is not fork-safe: no template");
    return serve_orders(problem);
}
