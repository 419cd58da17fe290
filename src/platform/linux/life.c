/* SPDX-License-Identifier: MIT */
/*
 * A worker's life, from the request to start it to the last close.
 *
 * Model: asked for → STARTED (pid and pidfd known) → READY (it greeted) → ended. Its end needs two
 * witnesses: the launcher's report, which says how, and its pidfd, which says that nothing of it
 * runs any more. If the launcher is lost, the pidfd is enough, and nobody says how. Only then
 * EXITED.
 *
 * Invariants: EXITED comes exactly once, whatever order the witnesses come in. The pidfd stays open
 * until the free, so that a kill from any thread hits this process or nothing. A failed start
 * leaves nothing behind: it is undone by the destructor of a living worker.
 */
#include "nursery.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- start ---- */

static int prepare(bhp_worker *worker, struct bh_problem *problem)
{
    bhp_nursery *nursery = worker->nursery;
    int *given = worker->given;
    int pair[2];

    worker->scratch = bhi_alloc(nursery->half_bytes);
    if (worker->scratch == NULL)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a worker");
    int rc = bhl_halves_make(worker, given, problem);
    if (rc != BH_OK)
        return rc;
    if (!bhl_socket_pair(pair))
        return bhl_problem_errno(problem, "a control socket");
    worker->control = pair[0];
    given[BHL_GIVEN_CONTROL] = pair[1];
    if (!bhl_pipe(pair))
        return bhl_problem_errno(problem, "an output pipe");
    worker->output = pair[0];
    given[BHL_GIVEN_OUTPUT] = pair[1];
    if (!bhl_watch(nursery, &worker->control_source, worker->control) ||
        !bhl_watch(nursery, &worker->output_source, worker->output))
        return bhl_problem_errno(problem, "watching a worker");
    return BH_OK;
}

static void close_given(bhp_worker *worker)
{
    for (size_t i = 0; i < BHL_GIVEN_COUNT; i++)
        bhl_close(&worker->given[i]);
    if (worker->waiting)
        worker->nursery->waiting--;
    worker->waiting = false;
}

/* @return whether the launcher has the order; else errno */
static bool send_order(bhp_worker *worker)
{
    struct bhl_launch message = {.magic = BHL_MAGIC,
                                 .type = BHL_LAUNCH_START,
                                 .version = BHL_VERSION,
                                 .cookie = worker->cookie,
                                 .template = bhl_template_for(worker)};

    if (!bhl_link_send(worker->nursery, &message, worker->given, BHL_GIVEN_COUNT))
        return false;
    close_given(worker);
    return true;
}

/* Whether it is enough to wait: for room in the socket, or for the notice that the launcher is
 * lost. */
static bool passes(int error)
{
    return error == EAGAIN || error == ENOBUFS || error == ETOOMANYREFS || error == EPIPE ||
           error == ECONNRESET;
}

static int ask_for(bhp_worker *worker, struct bh_problem *problem)
{
    bhp_nursery *nursery = worker->nursery;

    if (nursery->launcher.state == BHL_LAUNCHER_DOWN) {
        if (problem != NULL)
            *problem = nursery->launcher.problem;
        return BH_E_STATE;
    }
    if (nursery->waiting == 0 && send_order(worker))
        return BH_OK;
    if (nursery->waiting == 0 && !passes(errno))
        return bhl_problem_errno(problem, "asking the launcher for a worker");
    worker->waiting = true;
    nursery->waiting++;
    return BH_OK;
}

/** See nursery.h. */
bool bhl_workers_send_waiting(bhp_nursery *nursery)
{
    for (bhp_worker *w = nursery->workers; w != NULL && nursery->waiting > 0; w = w->next) {
        if (w->waiting && !send_order(w))
            return false;
    }
    return true;
}

static void init(bhp_worker *worker, bhp_nursery *nursery, uint64_t cookie, void *owner)
{
    *worker = (bhp_worker){.nursery = nursery,
                           .owner = owner,
                           .cookie = cookie,
                           .control = -1,
                           .output = -1,
                           .statm = -1,
                           .pidfd = -1,
                           .due = BHP_FOREVER,
                           .fork_due = BHP_FOREVER,
                           .given = {-1, -1, -1, -1}};
    worker->control_source = (struct bhl_source){BHL_SOURCE_CONTROL, worker, -1};
    worker->output_source = (struct bhl_source){BHL_SOURCE_OUTPUT, worker, -1};
    worker->pidfd_source = (struct bhl_source){BHL_SOURCE_PIDFD, worker, -1};
    worker->next = nursery->workers;
    if (worker->next != NULL)
        worker->next->previous = worker;
    nursery->workers = worker;
}

/** See platform.h. */
int bhp_worker_start(bhp_nursery *nursery, uint64_t cookie, void *owner, bhp_worker **worker,
                     struct bh_problem *problem)
{
    bhp_worker *made = bhi_alloc(sizeof(*made));

    *worker = NULL;
    if (made == NULL)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a worker");
    init(made, nursery, cookie, owner);
    int rc = prepare(made, problem);
    if (rc == BH_OK)
        rc = ask_for(made, problem);
    if (rc != BH_OK) {
        bhp_worker_free(made);
        return rc;
    }
    *worker = made;
    return BH_OK;
}

/** See platform.h. */
void bhp_worker_free(bhp_worker *worker)
{
    if (worker == NULL)
        return;
    bhp_nursery *nursery = worker->nursery;
    if (worker->in_queue)
        bhl_unqueue(worker);
    if (worker->previous != NULL)
        worker->previous->next = worker->next;
    else
        nursery->workers = worker->next;
    if (worker->next != NULL)
        worker->next->previous = worker->previous;
    bhl_unwatch(nursery, &worker->control_source);
    bhl_unwatch(nursery, &worker->output_source);
    bhl_unwatch(nursery, &worker->pidfd_source);
    int pidfd = atomic_load(&worker->pidfd);
    close_given(worker);
    bhl_close(&pidfd);
    bhl_close(&worker->control);
    bhl_close(&worker->output);
    bhl_close(&worker->statm);
    bhl_unmap(&worker->request_map);
    bhl_unmap(&worker->reply_map);
    bhl_unmap(&worker->partial_map);
    bhp_memory_free(worker->segment);
    bhp_memory_free(worker->view);
    bhi_methods_deinit(&worker->methods);
    bhi_free(worker->scratch);
    bhi_free(worker);
}

/* ---- what happens to it ---- */

/* statm, by its number: the process must still live after the opening, or the number could be
 * another's. */
static void open_statm(bhp_worker *worker, int64_t pid, int pidfd)
{
    char path[40];

    snprintf(path, sizeof(path), "/proc/%lld/statm", (long long)pid);
    worker->statm = bhl_lift(open(path, O_RDONLY | O_CLOEXEC));
    if (worker->statm >= 0 && bhl_readable(pidfd))
        bhl_close(&worker->statm);
}

/** The launcher made its process. @param pidfd is taken; -1: there was no descriptor left for it */
void bhl_worker_started(bhp_worker *worker, int64_t pid, int pidfd)
{
    worker->obituary.pid = pid;
    atomic_store(&worker->pid, pid);
    if (pidfd >= 0) {
        open_statm(worker, pid, pidfd);
        bhl_watch(worker->nursery, &worker->pidfd_source, pidfd);
        atomic_store(&worker->pidfd, pidfd); /* pairs with the load in bhp_worker_kill() */
    }
    if (atomic_load(&worker->unwanted)) /* pairs with the store in bhp_worker_kill() */
        bhp_worker_kill(worker);
    bhl_queue(worker, BHL_PENDING_STARTED | (worker->ready ? BHL_PENDING_READY : 0));
}

static void finish(bhp_worker *worker)
{
    bhp_nursery *nursery = worker->nursery;

    bhl_unwatch(nursery, &worker->control_source);
    bhl_unwatch(nursery, &worker->output_source);
    bhl_unwatch(nursery, &worker->pidfd_source);
    atomic_store(&worker->ended, true); /* pairs with the look in bhp_lane_call() */
    bhl_queue(worker, BHL_PENDING_EXITED);
}

/* Ends it when both witnesses have spoken. One without a watched pidfd cannot say more than it
 * does. */
static void finish_if_over(bhp_worker *worker)
{
    if (atomic_load(&worker->ended) || !worker->reported)
        return;
    if (worker->gone || worker->pidfd_source.fd < 0 || bhl_readable(worker->pidfd_source.fd))
        finish(worker);
}

/** Its pidfd says that it has ended. */
void bhl_worker_gone(bhp_worker *worker)
{
    worker->gone = true;
    bhl_unwatch(worker->nursery, &worker->pidfd_source);
    if (!worker->reported)
        atomic_store(&worker->nursery->overdue, 1);
    finish_if_over(worker);
}

/** The launcher reports its end, or that it never began. */
void bhl_worker_reported(bhp_worker *worker, const struct bhl_launch *message)
{
    worker->reported = true;
    worker->due = BHP_FOREVER;
    if (message->type == BHL_LAUNCH_NOT_STARTED)
        bhl_note_not_started(&worker->obituary, message->step, message->value);
    else
        bhl_note_exited(&worker->obituary, message);
    finish_if_over(worker);
}

/** The launcher is lost: the worker must follow, and nobody will report. */
void bhl_worker_orphaned(bhp_worker *worker)
{
    struct bhp_obituary *obituary = &worker->obituary;
    int pidfd = atomic_load(&worker->pidfd);

    if (worker->reported)
        return;
    close_given(worker);
    worker->reported = true;
    worker->due = BHP_FOREVER;
    obituary->nursery_lost = true;
    obituary->end = BHP_END_UNKNOWN;
    if (atomic_load(&worker->pid) == 0) {
        obituary->end = BHP_END_NOT_STARTED;
        strcpy(obituary->detail, "the launcher was lost");
    }
    if (pidfd >= 0) {
        bhl_pidfd_kill(pidfd);
        bhl_pidfd_kill_group(pidfd);
    }
    finish_if_over(worker);
}

/** Notes that it broke the protocol, and kills it. */
void bhl_worker_broke(bhp_worker *worker, const char *format, ...)
{
    struct bh_problem text;
    va_list arguments;

    va_start(arguments, format);
    bhi_problem_setv(&text, BH_E_SYNTAX, 0, format, arguments);
    va_end(arguments);
    worker->obituary.protocol = true;
    bhl_copy_text(worker->obituary.detail, sizeof(worker->obituary.detail), text.text,
                  strlen(text.text));
    bhp_worker_kill(worker);
}

/* ---- what is done to it ---- */

/** See platform.h. */
void bhp_worker_kill(bhp_worker *worker)
{
    atomic_store(&worker->unwanted, true); /* pairs with the load in bhl_worker_started() */
    int pidfd = atomic_load(&worker->pidfd);
    if (pidfd >= 0) {
        bhl_pidfd_kill(pidfd);
        return;
    }
    atomic_store(&worker->nursery->overdue, 1); /* pairs with look_for_overdue() */
    bhp_loop_kick(worker->nursery);
}

static void ring(bhp_worker *worker)
{
    struct bhl_request_half *half = bhl_request(worker);

    atomic_fetch_add_explicit(&half->bell, 1,
                              memory_order_release); /* pairs with the worker's load */
    syscall(SYS_futex, &half->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/** See platform.h. */
void bhp_worker_quit(bhp_worker *worker)
{
    atomic_store_explicit(&bhl_request(worker)->quit, 1, memory_order_release);
    ring(worker);
}

/** See platform.h. */
void bhp_worker_nudge(bhp_worker *worker, uint64_t serial)
{
    atomic_store_explicit(&bhl_request(worker)->cancel, serial, memory_order_release);
    ring(worker);
}

/* ---- what is asked about it ---- */

/** See platform.h. */
int64_t bhp_worker_pid(const bhp_worker *worker)
{
    return atomic_load(&worker->pid);
}

/** See platform.h. */
bool bhp_worker_forked(const bhp_worker *worker)
{
    return worker->forked;
}

/** See platform.h. */
const bh_value *bhp_worker_methods(const bhp_worker *worker)
{
    return &worker->methods.list;
}

/** See platform.h. There is no table of running objects here. */
const char *bhp_worker_moniker(const bhp_worker *worker)
{
    (void)worker;
    return NULL;
}

/** See platform.h. */
size_t bhp_worker_output(bhp_worker *worker, char *buffer, size_t size)
{
    size_t length = 0;

    while (length < size) {
        ssize_t got = read(worker->output, buffer + length, size - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            bhl_unwatch(worker->nursery, &worker->output_source);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    return length;
}
