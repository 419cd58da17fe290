/* SPDX-License-Identifier: MIT */
/*
 * bulkhead-launcher: parent and subreaper of a pool's workers.
 *
 * Model: one thread around epoll. Its dispatcher's orders come by socket; its dispatcher's end by
 * pidfd (the socket alone would not tell: a forked child of the dispatcher may hold it open). When
 * the dispatcher has ended, or says CLOSE, or the socket ends, everything that descends from this
 * process is killed and it exits.
 *
 * Invariants: no worker outlives this process (each has PR_SET_PDEATHSIG, should this code never
 * get to run). One event is handled at a time: handling it may free a worker, and an event of that
 * worker that was fetched before would lead nowhere. It is in a session of its own and ignores what
 * a terminal or a careless kill may send; SIGTERM and SIGKILL end it, and the dispatcher takes that
 * as lost.
 */
#include "launcher.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>

/* How long the timer for strays sleeps at most. */
#define SWEEP_MOST_MS 1000

/* What epoll's data point to, beside workers. */
static char on_socket, on_dispatcher, on_signal;

/* ---- workers ---- */

struct worker *worker_by_pid(const struct launcher *launcher, pid_t pid)
{
    struct worker *w = launcher->workers;

    while (w != NULL && w->pid != pid)
        w = w->next;
    return w;
}

struct worker *worker_by_cookie(const struct launcher *launcher, uint64_t cookie)
{
    struct worker *w = launcher->workers;

    while (w != NULL && (w->cookie != cookie || (w->pid == 0 && !w->ordered)))
        w = w->next;
    return w;
}

void worker_forget(struct launcher *launcher, struct worker *worker)
{
    if (worker->previous != NULL)
        worker->previous->next = worker->next;
    else
        launcher->workers = worker->next;
    if (worker->next != NULL)
        worker->next->previous = worker->previous;
    if (worker->pidfd >= 0)
        close(worker->pidfd);
    free(worker);
}

/* ---- orders ---- */

/* Everything that was started ends, and so do we. _exit: nothing is to be flushed or checked. */
static _Noreturn void leave(struct launcher *launcher)
{
    strays_kill_all(launcher);
    _exit(0);
}

static void on_start(struct launcher *launcher, const struct bhl_launch *message,
                     struct bhl_mail *mail)
{
    if (mail->fd_count == 4) {
        struct worker *worker = worker_new(launcher, message->cookie);
        if (template_fork(launcher, worker, message->template, mail->fds))
            mail->fd_count = 0;
        else
            worker_start(launcher, worker, mail->fds);
    } else if (mail->fds_cut)
        worker_refuse(launcher, worker_new(launcher, message->cookie), EMFILE,
                      "receiving the worker's descriptors");
    else
        leave(launcher);
}

static void on_kill(struct launcher *launcher, uint64_t cookie)
{
    struct worker *worker = worker_by_cookie(launcher, cookie);

    if (worker != NULL && worker->pid > 0) /* 0: reaped, its report waits */
        kill(worker->pid, SIGKILL);
}

static void on_template(struct launcher *launcher, const struct bhl_launch *message,
                        const struct bhl_mail *mail)
{
    if (mail->fd_count == 1)
        template_start(launcher, message->template, mail->fds[0]);
    else
        leave(launcher);
}

/* An order that makes no sense means that this launcher serves nobody any more. */
static void on_order(struct launcher *launcher)
{
    struct bhl_launch message;
    struct bhl_mail mail;

    bhl_receive(BHL_FD_SOCKET, &message, sizeof(message), &mail);
    if (mail.bytes < 0 && errno == EAGAIN)
        return;
    if (mail.bytes != sizeof(message) || mail.cut || message.magic != BHL_MAGIC ||
        message.version != BHL_VERSION)
        leave(launcher);
    if (message.type == BHL_LAUNCH_START)
        on_start(launcher, &message, &mail);
    else if (message.type == BHL_LAUNCH_KILL)
        on_kill(launcher, message.cookie);
    else if (message.type == BHL_LAUNCH_TEMPLATE)
        on_template(launcher, &message, &mail);
    else if (message.type == BHL_LAUNCH_TEMPLATE_DROP)
        template_drop(launcher, message.template);
    else
        leave(launcher);
    bhl_mail_drop(&mail);
}

/* ---- the loop ---- */

/* The timer: strays that are still there, or came since. */
static void sweep_again(struct launcher *launcher)
{
    int next = launcher->sweep_ms * 2;

    launcher->sweep_ms = -1;
    if (strays_kill(launcher, INT64_MAX))
        launcher->sweep_ms = next < SWEEP_MOST_MS ? next : SWEEP_MOST_MS;
}

static void on_children(struct launcher *launcher)
{
    struct signalfd_siginfo info[16];

    while (read(launcher->signals, info, sizeof(info)) > 0)
        continue;
    reap_children(launcher);
    if (launcher->sweep_ms >= 0)
        sweep_again(launcher);
}

static void watch_socket(struct launcher *launcher, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data = {.ptr = &on_socket}};

    if (epoll_ctl(launcher->epoll, operation, BHL_FD_SOCKET, &event) != 0)
        leave(launcher);
}

static void handle(struct launcher *launcher, const struct epoll_event *event)
{
    void *what = event->data.ptr;

    if (what == &on_dispatcher)
        leave(launcher);
    else if (what == &on_signal)
        on_children(launcher);
    else if (what == &launcher->template)
        template_read(launcher);
    else if (what != &on_socket)
        reap_worker(launcher, what);
    else if (event->events & ~(uint32_t)EPOLLOUT)
        on_order(launcher);
    else
        report_waiting(launcher);
}

static _Noreturn void run(struct launcher *launcher)
{
    bool waiting = false;

    for (;;) {
        struct epoll_event event;
        if (waiting != (launcher->first != NULL)) {
            waiting = !waiting;
            watch_socket(launcher, EPOLL_CTL_MOD, waiting ? EPOLLIN | EPOLLOUT : EPOLLIN);
        }
        int count = epoll_wait(launcher->epoll, &event, 1, launcher->sweep_ms);
        if (count > 0)
            handle(launcher, &event);
        else if (count == 0)
            sweep_again(launcher);
    }
}

/* ---- beginning ---- */

static bool watch(struct launcher *launcher, int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = what}};

    return fd >= 0 && epoll_ctl(launcher->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void set_signals(struct launcher *launcher)
{
    static const int ignored[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGPIPE, SIGUSR1,
                                  SIGUSR2, SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU};
    sigset_t set;

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    launcher->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Each worker costs a descriptor: as many as we may have. The workers get the limit we came with.
 */
static void raise_limit(struct launcher *launcher)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &launcher->descriptors) != 0)
        launcher->descriptors = (struct rlimit){1024, 1024};
    limit = launcher->descriptors;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static bool set_up(struct launcher *launcher)
{
    raise_limit(launcher);
    set_signals(launcher);
    setsid(); /* fails only if we lead a group already, which is as good */
    prctl(PR_SET_NAME, "bulkhead-launch");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return false;
    if (launcher->spec.cwd[0] != '\0' && chdir(launcher->spec.cwd) != 0)
        launcher->spec.cwd = ""; /* it is gone; the directory we inherited must do */
    oom_open();
    launcher->epoll = epoll_create1(EPOLL_CLOEXEC);
    return launcher->epoll >= 0 && watch(launcher, launcher->signals, &on_signal) &&
           watch(launcher, BHL_FD_DISPATCHER, &on_dispatcher) &&
           watch(launcher, BHL_FD_SOCKET, &on_socket);
}

int main(void)
{
    static struct launcher launcher = {.sweep_ms = -1};
    const struct bhl_launch hello = {
        .magic = BHL_MAGIC, .type = BHL_LAUNCH_HELLO, .version = BHL_VERSION};

    if (!spec_read(&launcher.spec, BHL_FD_SPEC)) {
        static const char text[] = "bulkhead-launcher is started by the library, not by hand\n";
        return write(STDERR_FILENO, text, sizeof(text) - 1) < 0 ? 127 : 2;
    }
    if (!set_up(&launcher) || !bhl_send(BHL_FD_SOCKET, &hello, sizeof(hello), NULL, 0))
        _exit(3);
    run(&launcher);
}
