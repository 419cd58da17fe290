/* SPDX-License-Identifier: MIT */
/*
 * Reports to the dispatcher.
 *
 * Model: a report is sent at once if there is room in the socket, else it waits its turn in a queue
 * whose nodes are part of the workers: nothing is allocated for it. The main loop watches for room
 * while the queue is not empty.
 *
 * Invariants: reports go out in the order in which they were made. A worker is forgotten when its
 * last report is out, not before.
 */
#include "launcher.h"

/* @return 1: it is out; 0: no room now; -1: nobody listens any more */
static int send_one(const struct report *r)
{
    bool has_pidfd = r->message.type == BHL_LAUNCH_STARTED;

    if (bhl_send(BHL_FD_SOCKET, &r->message, sizeof(r->message), &r->worker->pidfd, has_pidfd))
        return 1;
    switch (errno) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
    case ETOOMANYREFS:
        return 0;
    default:
        return -1;
    }
}

bool report_waiting(struct launcher *launcher)
{
    while (launcher->first != NULL) {
        struct report *r = launcher->first;
        int sent = send_one(r);
        if (sent <= 0)
            return sent == 0;
        launcher->first = r->next;
        if (launcher->first == NULL)
            launcher->last = NULL;
        if (r->last)
            worker_forget(launcher, r->worker);
    }
    return true;
}

bool report(struct launcher *launcher, struct worker *worker, const struct bhl_launch *message,
            bool last)
{
    struct report *r = &worker->reports[last];

    *r = (struct report){.worker = worker, .message = *message, .last = last};
    r->message.magic = BHL_MAGIC;
    r->message.version = BHL_VERSION;
    r->message.cookie = worker->cookie;
    r->message.template = worker->template;
    if (launcher->last != NULL)
        launcher->last->next = r;
    else
        launcher->first = r;
    launcher->last = r;
    return report_waiting(launcher);
}
