/* SPDX-License-Identifier: MIT */
/*
 * The launcher as the dispatcher sees it: its start, its messages, its loss.
 *
 * Model: DOWN → GREETING (its process runs) → UP (it said HELLO) → lost → DOWN or GREETING again. A
 * worker can be asked for from GREETING on: the request waits in the socket. Lost means that its
 * socket or its pidfd ended, that it sent what we cannot read, or that it owes an answer for too
 * long; what remains of it is killed, so that a lost launcher never comes back.
 *
 * Invariants: when the launcher is lost, every worker of it is on its way to EXITED. A launcher
 * that dies young is not started again at once, however often it does that.
 */
#include "nursery.h"

#include "core/problem.h"
#include "socket.h"
#include "support.h"

#include <errno.h>

/* Messages read at once; the rest waits for the next turn. */
#define READ_MAX 64
/* How long a launcher may take to greet, or to report what it must have seen. */
#define PATIENCE (5000 * BHL_MS)
/* Between tries to send what found no room in the socket. */
#define ROOM_PAUSE BHL_MS
/* Pauses between tries to start a launcher that does not stay. */
#define DELAY_FIRST (50 * BHL_MS)
#define DELAY_MOST (1000 * BHL_MS)
#define GROWN_UP (100 * BHL_MS)

/* ---- start ---- */

static void forget(bhp_nursery *nursery)
{
    struct bhl_launcher *launcher = &nursery->launcher;

    bhl_unwatch(nursery, &launcher->link_source);
    bhl_unwatch(nursery, &launcher->pidfd_source);
    bhl_close(&launcher->socket);
    if (launcher->pidfd >= 0)
        bhl_pidfd_reap(launcher->pidfd);
    bhl_close(&launcher->pidfd);
    bhl_template_forget(nursery);
    launcher->state = BHL_LAUNCHER_DOWN;
    launcher->due = BHP_FOREVER;
}

/** See nursery.h. */
int bhl_launcher_start(bhp_nursery *nursery, struct bh_problem *problem)
{
    struct bhl_launcher *launcher = &nursery->launcher;

    int rc = bhl_birth_launch(&nursery->birth, &launcher->socket, &launcher->pidfd, problem);
    if (rc != BH_OK)
        return rc;
    if (!bhl_watch(nursery, &launcher->link_source, launcher->socket) ||
        !bhl_watch(nursery, &launcher->pidfd_source, launcher->pidfd)) {
        rc = bhl_problem_errno(problem, "watching the launcher");
        forget(nursery);
        return rc;
    }
    launcher->state = BHL_LAUNCHER_GREETING;
    launcher->born = bhp_now();
    launcher->due = launcher->born + PATIENCE;
    return BH_OK;
}

/* ---- loss ---- */

static int64_t next_delay(const struct bhl_launcher *launcher, bool greeted, int64_t now)
{
    if (greeted && now - launcher->born >= GROWN_UP)
        return 0;
    int64_t delay = launcher->delay == 0 ? DELAY_FIRST : launcher->delay * 2;
    return delay < DELAY_MOST ? delay : DELAY_MOST;
}

/* Starts another, or plans the next try. */
static void try_again(bhp_nursery *nursery, int64_t now)
{
    struct bhl_launcher *launcher = &nursery->launcher;

    if (bhl_launcher_start(nursery, &launcher->problem) == BH_OK)
        return;
    launcher->delay = next_delay(launcher, false, now);
    launcher->due = now + launcher->delay;
}

/** See nursery.h. */
void bhl_launcher_lose(bhp_nursery *nursery, const char *why)
{
    struct bhl_launcher *launcher = &nursery->launcher;
    bool greeted = launcher->state == BHL_LAUNCHER_UP;
    int64_t now = bhp_now();

    if (launcher->state == BHL_LAUNCHER_DOWN)
        return;
    bhi_problem_set(&launcher->problem, BH_E_SYSTEM, 0, "the launcher was lost: %s", why);
    bhl_pidfd_kill(launcher->pidfd);
    forget(nursery);
    nursery->lost = true;
    for (bhp_worker *w = nursery->workers; w != NULL; w = w->next)
        bhl_worker_orphaned(w);
    launcher->delay = next_delay(launcher, greeted, now);
    if (launcher->delay == 0)
        try_again(nursery, now);
    else
        launcher->due = now + launcher->delay;
}

/* ---- what is due ---- */

static bool owes_report(const bhp_worker *worker)
{
    return !worker->reported &&
           (worker->gone ||
            (atomic_load(&worker->unwanted) && atomic_load(&worker->pid) == 0 && !worker->waiting));
}

/* When the launcher's patience with its reports ends; BHP_FOREVER if it owes none. */
static int64_t look_for_overdue(bhp_nursery *nursery, int64_t now)
{
    int64_t due = BHP_FOREVER;

    if (atomic_exchange(&nursery->overdue, 0) == 0)
        return due;
    for (bhp_worker *w = nursery->workers; w != NULL; w = w->next) {
        if (!owes_report(w))
            continue;
        bhl_template_hurry(w);
        if (w->due == BHP_FOREVER)
            w->due = now + PATIENCE;
        due = w->due < due ? w->due : due;
    }
    if (due != BHP_FOREVER)
        atomic_store(&nursery->overdue, 1);
    return due;
}

/** See nursery.h. */
int64_t bhl_launcher_tick(bhp_nursery *nursery, int64_t now)
{
    struct bhl_launcher *launcher = &nursery->launcher;
    int64_t report_due = look_for_overdue(nursery, now);

    if (report_due <= now) {
        bhl_launcher_lose(nursery, "it does not report the end of a worker");
        report_due = BHP_FOREVER;
    }
    if (launcher->due <= now) {
        if (launcher->state == BHL_LAUNCHER_DOWN)
            try_again(nursery, now);
        else
            bhl_launcher_lose(nursery, "it does not greet");
    }
    int64_t due = launcher->due < report_due ? launcher->due : report_due;
    int64_t template_due = bhl_template_tick(nursery, now);
    due = template_due < due ? template_due : due;
    if (!bhl_workers_send_waiting(nursery) && now + ROOM_PAUSE < due)
        due = now + ROOM_PAUSE;
    return due;
}

/* ---- messages ---- */

/** See nursery.h. */
bool bhl_link_send(bhp_nursery *nursery, const struct bhl_launch *message, const int *fds,
                   size_t fd_count)
{
    return bhl_send(nursery->launcher.socket, message, sizeof(*message), fds, fd_count);
}

static bhp_worker *find_worker(bhp_nursery *nursery, uint64_t cookie)
{
    bhp_worker *w = nursery->workers;

    while (w != NULL && w->cookie != cookie)
        w = w->next;
    return w;
}

static bool on_hello(bhp_nursery *nursery)
{
    struct bhl_launcher *launcher = &nursery->launcher;

    if (launcher->state != BHL_LAUNCHER_GREETING)
        return false;
    launcher->state = BHL_LAUNCHER_UP;
    launcher->due = BHP_FOREVER;
    if (nursery->template_first)
        bhl_template_want(nursery);
    return true;
}

static bool on_started(bhp_worker *worker, const struct bhl_launch *message, struct bhl_mail *mail)
{
    struct bhl_launch kill = {.magic = BHL_MAGIC,
                              .type = BHL_LAUNCH_KILL,
                              .version = BHL_VERSION,
                              .cookie = worker->cookie};
    int pidfd = -1;

    if (atomic_load(&worker->pid) != 0 || worker->reported || message->pid <= 0)
        return false;
    if (mail->fd_count > 0)
        pidfd = bhl_lift(bhl_mail_take(mail, 0));
    bhl_template_forked(worker, message->template);
    bhl_worker_started(worker, message->pid, pidfd);
    return pidfd >= 0 || bhl_link_send(worker->nursery, &kill, NULL, 0);
}

static bool on_report(bhp_worker *worker, const struct bhl_launch *message)
{
    bool started = atomic_load(&worker->pid) != 0;

    if (worker->reported || started != (message->type == BHL_LAUNCH_EXITED))
        return false;
    bhl_worker_reported(worker, message);
    return true;
}

/* @return whether the message makes sense */
static bool on_message(bhp_nursery *nursery, struct bhl_launch *message, struct bhl_mail *mail)
{
    if (mail->cut || mail->bytes != sizeof(*message) || message->magic != BHL_MAGIC ||
        message->version != BHL_VERSION)
        return false;
    message->step[sizeof(message->step) - 1] = '\0';
    if (message->type == BHL_LAUNCH_HELLO)
        return on_hello(nursery);
    if (message->cookie == 0)
        return bhl_template_message(nursery, message);
    bhp_worker *worker = find_worker(nursery, message->cookie);
    if (worker == NULL)
        return false;
    switch (message->type) {
    case BHL_LAUNCH_STARTED:
        return on_started(worker, message, mail);
    case BHL_LAUNCH_NOT_STARTED:
    case BHL_LAUNCH_EXITED:
        return on_report(worker, message);
    default:
        return false;
    }
}

/** See nursery.h. */
bool bhl_link_read(bhp_nursery *nursery)
{
    struct bhl_launch message;
    struct bhl_mail mail;

    for (int i = 0; i < READ_MAX; i++) {
        bhl_receive(nursery->launcher.socket, &message, sizeof(message), &mail);
        if (mail.bytes < 0 && errno == EAGAIN)
            return true;
        bool sane = mail.bytes > 0 && on_message(nursery, &message, &mail);
        bhl_mail_drop(&mail);
        if (!sane) {
            bhl_launcher_lose(nursery, mail.bytes > 0 ? "it sent what makes no sense" : "it ended");
            return false;
        }
    }
    return false;
}

/** See nursery.h. */
void bhl_launcher_ended(bhp_nursery *nursery)
{
    /* The event may be of a launcher that was lost since; and the end of the socket may never come
     * if a child that the host forked at the wrong moment holds it open. */
    if (bhl_readable(nursery->launcher.pidfd) && bhl_link_read(nursery))
        bhl_launcher_lose(nursery, "it ended");
}
