/* SPDX-License-Identifier: MIT */
/*
 * The supervisor's loop: epoll in, events out.
 *
 * Model: what epoll says is handled at once and turned into bits in worker->pending; workers with
 * such bits stand in a queue, which is emptied into the caller's array. So an array that is too
 * small loses nothing, and nothing is allocated.
 *
 * Invariants: a worker is in the queue exactly when it has pending bits; its EXITED is the last of
 * its events. Sources are level-triggered and epoll takes turns among them; each handler reads a
 * bounded amount: so no worker can starve another or the launcher. A source that cannot be read any
 * more (end of file) is not watched any more: it cannot spin the loop. A source that was unwatched
 * while its event already lay in the batch is skipped by its fd of -1.
 */
#include "nursery.h"

#include "support.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BATCH 64

/* ---- what is watched ---- */

/** See nursery.h. */
bool bhl_watch(bhp_nursery *nursery, struct bhl_source *source, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = source}};

    if (epoll_ctl(nursery->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return false;
    source->fd = fd;
    return true;
}

/** See nursery.h. */
void bhl_unwatch(bhp_nursery *nursery, struct bhl_source *source)
{
    if (source->fd >= 0)
        epoll_ctl(nursery->epoll, EPOLL_CTL_DEL, source->fd, NULL);
    source->fd = -1;
}

/* ---- the queue ---- */

/** See nursery.h. */
void bhl_queue(bhp_worker *worker, unsigned pending)
{
    bhp_nursery *nursery = worker->nursery;

    worker->pending |= pending;
    if (worker->in_queue)
        return;
    worker->in_queue = true;
    worker->queued = NULL;
    if (nursery->last != NULL)
        nursery->last->queued = worker;
    else
        nursery->first = worker;
    nursery->last = worker;
}

static bhp_worker *dequeue(bhp_nursery *nursery)
{
    bhp_worker *worker = nursery->first;

    nursery->first = worker->queued;
    if (nursery->first == NULL)
        nursery->last = NULL;
    worker->in_queue = false;
    return worker;
}

/** See nursery.h. */
void bhl_unqueue(bhp_worker *worker)
{
    bhp_nursery *nursery = worker->nursery;
    bhp_worker *first = nursery->first;

    worker->pending = 0;
    nursery->first = nursery->last = NULL;
    while (first != NULL) {
        bhp_worker *next = first->queued;
        first->in_queue = false;
        if (first != worker)
            bhl_queue(first, 0);
        first = next;
    }
}

/* Hands out a worker's events in the order of its life. @return how many */
static size_t hand_out(bhp_worker *worker, struct bhp_event *events, size_t capacity)
{
    size_t count = 0;

    for (int type = BHP_EVENT_STARTED; type <= BHP_EVENT_EXITED && count < capacity; type++) {
        if ((worker->pending & 1u << type) == 0)
            continue;
        worker->pending &= ~(1u << type);
        events[count++] = (struct bhp_event){.type = type, .owner = worker->owner};
    }
    return count;
}

static size_t take_events(bhp_nursery *nursery, struct bhp_event *events, size_t capacity)
{
    size_t count = 0;

    if (nursery->lost && capacity > 0) {
        nursery->lost = false;
        events[count++] = (struct bhp_event){.type = BHP_EVENT_LOST, .owner = NULL};
    }
    if (nursery->template.news_count > 0 && count < capacity)
        events[count++] = (struct bhp_event){.type = BHP_EVENT_TEMPLATE, .owner = NULL};
    while (nursery->first != NULL && count < capacity) {
        bhp_worker *worker = dequeue(nursery);
        count += hand_out(worker, events + count, capacity - count);
        if (worker->pending != 0)
            bhl_queue(worker, 0);
    }
    return count;
}

/* ---- what epoll says ---- */

/* Output that nobody can read any more but for an end of file has nothing to say. */
static void on_output(bhp_worker *worker, uint32_t what)
{
    if (what & EPOLLIN)
        bhl_queue(worker, BHL_PENDING_OUTPUT);
    else
        bhl_unwatch(worker->nursery, &worker->output_source);
}

/* @return whether it was a kick */
static bool dispatch(bhp_nursery *nursery, const struct epoll_event *event)
{
    struct bhl_source *source = event->data.ptr;
    uint64_t kicks;

    if (source->fd < 0)
        return false;
    switch (source->kind) {
    case BHL_SOURCE_KICK:
        return read(nursery->kick, &kicks, sizeof(kicks)) == sizeof(kicks);
    case BHL_SOURCE_LINK:
        bhl_link_read(nursery);
        break;
    case BHL_SOURCE_LAUNCHER:
        bhl_launcher_ended(nursery);
        break;
    case BHL_SOURCE_CONTROL:
        bhl_hello_read(source->worker);
        break;
    case BHL_SOURCE_OUTPUT:
        on_output(source->worker, event->events);
        break;
    case BHL_SOURCE_PIDFD:
        bhl_worker_gone(source->worker);
        break;
    case BHL_SOURCE_TEMPLATE:
        bhl_template_output(nursery);
        break;
    }
    return false;
}

static int wait_until(int epoll, struct epoll_event *batch, int64_t until)
{
    struct timespec t;
    int64_t now = until == BHP_FOREVER ? 0 : bhp_now();
    int64_t left = until == BHP_FOREVER ? BHP_FOREVER : until > now ? until - now : 0;

    return (int)syscall(SYS_epoll_pwait2, epoll, batch, BATCH, bhl_timespec(left, &t), NULL, 0);
}

/* Waits once and handles what came. @return whether there was a kick */
static bool turn(bhp_nursery *nursery, int64_t until)
{
    struct epoll_event batch[BATCH];
    bool kicked = false;

    int count = wait_until(nursery->epoll, batch, until);
    for (int i = 0; i < count; i++) {
        if (dispatch(nursery, &batch[i]))
            kicked = true;
    }
    return kicked;
}

/** See platform.h. */
size_t bhp_loop_wait(bhp_nursery *nursery, int64_t until, struct bhp_event *events, size_t capacity)
{
    size_t count;
    bool kicked;

    do {
        int64_t due = bhl_launcher_tick(nursery, bhp_now());
        bool pending = nursery->first != NULL || nursery->lost || nursery->template.news_count > 0;
        kicked = turn(nursery, pending ? 0 : due < until ? due : until);
        count = take_events(nursery, events, capacity);
    } while (count == 0 && !kicked && (until == BHP_FOREVER || bhp_now() < until));
    return count;
}

/** See platform.h. */
void bhp_loop_kick(bhp_nursery *nursery)
{
    static const uint64_t one = 1;
    int error = errno;

    /* A full counter is a kick that is still to be seen. */
    if (write(nursery->kick, &one, sizeof(one)) < 0)
        errno = error;
}
