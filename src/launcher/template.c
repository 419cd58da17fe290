/* SPDX-License-Identifier: MIT */
/*
 * The template: a child that has run init() and forks workers.
 *
 * Model: it is started like a worker, but with cookie 0 and a socket to us instead of a lane, and
 * is a struct worker too: so it is reaped, its group is killed and its end is reported as any
 * other's. An order to it is the worker's cookie and its four descriptors, of which we keep our own
 * until the worker has come; it may be given before the template is ready. The worker says FORKED
 * itself, as a child of ours, before it touches its lane. Whatever is wrong with a template ends
 * it, and everything it owes is started plainly.
 *
 * Invariants: nothing that it says is believed but for a process that is our own unreaped child,
 * leads a session, and is known as nobody else; by that number we take a pidfd ourselves. When we
 * give up waiting for a worker, none of that life can begin any more: nobody can send into the
 * socket after its SHUT_RD, what was sent before it is read, and a worker that cannot say FORKED
 * ends. We never wait for a template: a full socket means that the worker is started plainly.
 */
#include "launcher.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Messages read in one go. */
#define READ_MAX 64

/* ---- orders ---- */

static void keep_nothing(struct worker *worker)
{
    for (int i = 0; i < BHL_FDS_MAX; i++)
        close(worker->fds[i]);
    worker->ordered = false;
}

static void start_plainly(struct launcher *launcher, struct worker *worker)
{
    int fds[BHL_FDS_MAX];

    memcpy(fds, worker->fds, sizeof(fds));
    worker->ordered = false;
    worker->template = 0;
    worker_start(launcher, worker, fds); /* which may forget the worker */
    for (int i = 0; i < BHL_FDS_MAX; i++)
        close(fds[i]);
}

bool template_fork(struct launcher *launcher, struct worker *worker, uint32_t number,
                   const int fds[4])
{
    const struct template *t = &launcher->template;
    const struct bhl_template_message order = {
        .magic = BHL_MAGIC, .type = BHL_TEMPLATE_FORK, .cookie = worker->cookie};

    if (t->worker == NULL || t->worker->template != number)
        return false;
    oom_happened(); /* what happened before is not this worker's */
    if (!bhl_send(t->socket, &order, sizeof(order), fds, BHL_FDS_MAX))
        return false;
    memcpy(worker->fds, fds, sizeof(worker->fds));
    worker->ordered = true;
    worker->template = number;
    return true;
}

static struct worker *find_ordered(const struct launcher *launcher, uint64_t cookie)
{
    struct worker *w = launcher->workers;

    while (w != NULL && (w->cookie != cookie || !w->ordered))
        w = w->next;
    return w;
}

static struct worker *first_ordered(const struct launcher *launcher)
{
    struct worker *w = launcher->workers;

    while (w != NULL && !w->ordered)
        w = w->next;
    return w;
}

/* ---- what it says ---- */

/* Whether this number is that of a child of ours that could be a new worker. */
static bool is_new_child(const struct launcher *launcher, int64_t pid)
{
    siginfo_t info;

    return pid > 0 && pid == (pid_t)pid && worker_by_pid(launcher, (pid_t)pid) == NULL &&
           waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           getsid((pid_t)pid) == (pid_t)pid;
}

/* A worker has come. @return whether that can be */
static bool on_forked(struct launcher *launcher, const struct bhl_template_message *message)
{
    struct worker *worker = find_ordered(launcher, message->cookie);

    if (worker == NULL || !is_new_child(launcher, message->pid))
        return false;
    int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)message->pid, 0);
    if (pidfd < 0) { /* no descriptor is left: a plain start will say so */
        kill((pid_t)message->pid, SIGKILL);
        start_plainly(launcher, worker);
        return true;
    }
    keep_nothing(worker);
    worker->pid = (pid_t)message->pid;
    worker->pidfd = pidfd;
    worker_started(launcher, worker);
    return true;
}

static bool on_ready(struct launcher *launcher)
{
    struct template *t = &launcher->template;
    struct bhl_launch message = {.type = BHL_LAUNCH_TEMPLATE_READY, .pid = t->worker->pid};

    t->ready = true;
    report(launcher, t->worker, &message, false);
    return true;
}

static bool on_failed(struct launcher *launcher, uint64_t cookie)
{
    struct worker *worker = find_ordered(launcher, cookie);

    if (worker != NULL)
        start_plainly(launcher, worker);
    return worker != NULL;
}

/* @return whether the message makes sense */
static bool on_message(struct launcher *launcher, const struct bhl_template_message *message,
                       const struct bhl_mail *mail)
{
    if (mail->bytes != sizeof(*message) || mail->cut || mail->fds_cut || mail->fd_count != 0 ||
        message->magic != BHL_MAGIC)
        return false;
    bool ready = launcher->template.ready;
    switch (message->type) {
    case BHL_TEMPLATE_READY:
        return !ready && on_ready(launcher);
    case BHL_TEMPLATE_FORKED:
        return ready && on_forked(launcher, message);
    case BHL_TEMPLATE_FAILED:
        return ready && on_failed(launcher, message->cookie);
    default:
        return false;
    }
}

enum reading { NOTHING_MORE, MORE, NONSENSE };

static enum reading read_one(struct launcher *launcher)
{
    struct bhl_template_message message;
    struct bhl_mail mail;

    bhl_receive(launcher->template.socket, &message, sizeof(message), &mail);
    if (mail.bytes < 0 && errno == EAGAIN)
        return NOTHING_MORE;
    bool sane = mail.bytes > 0 && on_message(launcher, &message, &mail);
    bhl_mail_drop(&mail);
    return sane ? MORE : NONSENSE;
}

/* ---- its end ---- */

/* Nothing is expected of it any more. Its process is on its way to reap_worker(). */
static void give_up(struct launcher *launcher)
{
    struct template *t = &launcher->template;
    struct worker *worker = t->worker;
    struct worker *owed;

    if (worker == NULL)
        return;
    shutdown(t->socket, SHUT_RD);
    while (read_one(launcher) == MORE)
        continue;
    close(t->socket);
    *t = (struct template){.socket = -1};
    kill(-worker->pid, SIGKILL);
    kill(worker->pid, SIGKILL);
    while ((owed = first_ordered(launcher)) != NULL) /* from the top: reporting forgets workers */
        start_plainly(launcher, owed);
}

void template_read(struct launcher *launcher)
{
    enum reading reading = MORE;

    if (launcher->template.worker == NULL)
        return;
    for (int i = 0; i < READ_MAX && reading == MORE; i++)
        reading = read_one(launcher);
    if (reading == NONSENSE)
        give_up(launcher);
}

void template_ended(struct launcher *launcher, const struct worker *worker)
{
    if (worker == launcher->template.worker)
        give_up(launcher);
}

void template_drop(struct launcher *launcher, uint32_t number)
{
    const struct worker *worker = launcher->template.worker;

    if (worker != NULL && worker->template == number)
        give_up(launcher);
}

/* ---- its beginning ---- */

static bool watch(struct launcher *launcher, int socket)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = &launcher->template}};

    return epoll_ctl(launcher->epoll, EPOLL_CTL_ADD, socket, &event) == 0;
}

void template_start(struct launcher *launcher, uint32_t number, int output)
{
    int pair[2];

    give_up(launcher);
    struct worker *worker = worker_new(launcher, 0);
    worker->template = number;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        worker_refuse(launcher, worker, errno, "a socket for the template");
        return;
    }
    const int fds[] = {STDIN_FILENO, STDIN_FILENO, pair[1], output};
    bool runs = worker_start(launcher, worker, fds);
    close(pair[1]);
    if (!runs) {
        close(pair[0]);
        return;
    }
    launcher->template = (struct template){.worker = worker, .socket = pair[0]};
    if (!watch(launcher, pair[0]))
        give_up(launcher);
}
