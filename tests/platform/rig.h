/* SPDX-License-Identifier: MIT */
/**
 * @file rig.h
 * What a core is to the platform, at its smallest: opens a nursery, starts raw_worker, counts the
 * events, sets the stop word when a worker has ended.
 */
#ifndef RIG_H
#define RIG_H

#include "check.h"

#include "core/platform.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RIG_WORKERS 8
#define RIG_DEADLINE_MS 10000

struct rig_worker {
    struct rig *rig;
    bhp_worker *worker; /* NULL: this place is free */
    uint64_t cookie;
    bhp_word stop;
    int started, ready, exited, outputs;
    char text[256]; /* the end of its output */
    size_t text_bytes;
    struct bhp_obituary obituary; /* after EXITED */
};

struct rig {
    struct bh_pool_options options;
    const char *arguments[2];
    bhp_nursery *nursery;
    struct rig_worker workers[RIG_WORKERS];
    uint64_t cookie;
    _Atomic uint64_t serial;
    int lost;
};

static inline void rig_init(struct rig *rig, const char *mode)
{
    *rig = (struct rig){0};
    bh_pool_options_init(&rig->options);
    rig->arguments[0] = mode;
    rig->options.worker = BH_TEST_DIR "/raw_worker";
    rig->options.arguments = rig->arguments;
    rig->options.name = "rig";
}

static inline void rig_open(struct rig *rig)
{
    struct bh_problem problem = {0};

    if (bhp_nursery_open(&rig->nursery, &rig->options, &problem) != BH_OK)
        FAIL("bhp_nursery_open: %s", problem.text);
}

/** Asks for a worker. */
static inline struct rig_worker *rig_start(struct rig *rig)
{
    struct bh_problem problem = {0};
    struct rig_worker *w = rig->workers;

    while (w->worker != NULL)
        w++;
    CHECK(w < rig->workers + RIG_WORKERS);
    memset(w, 0, sizeof(*w));
    w->rig = rig;
    w->cookie = ++rig->cookie;
    if (bhp_worker_start(rig->nursery, w->cookie, w, &w->worker, &problem) != BH_OK)
        FAIL("bhp_worker_start: %s", problem.text);
    return w;
}

static inline void rig_output(struct rig_worker *w)
{
    char piece[4096];
    size_t length;

    while ((length = bhp_worker_output(w->worker, piece, sizeof(piece))) > 0) {
        size_t kept = length < sizeof(w->text) - 1 ? length : sizeof(w->text) - 1;
        memcpy(w->text, piece + length - kept, kept);
        w->text[kept] = '\0';
        w->text_bytes += length;
    }
}

static inline void rig_event(struct rig *rig, const struct bhp_event *event)
{
    struct rig_worker *w = event->owner;

    if (event->type == BHP_EVENT_LOST) {
        CHECK(w == NULL);
        rig->lost++;
        return;
    }
    CHECK_INT(w->exited, 0);
    switch (event->type) {
    case BHP_EVENT_STARTED:
        w->started++;
        CHECK(bhp_worker_pid(w->worker) > 0);
        break;
    case BHP_EVENT_READY:
        CHECK_INT(w->started, 1);
        w->ready++;
        break;
    case BHP_EVENT_OUTPUT:
        w->outputs++;
        rig_output(w);
        break;
    default:
        w->exited++;
        bhp_worker_obituary(w->worker, &w->obituary);
        rig_output(w);
        atomic_store(&w->stop, 1);
        bhp_word_wake(&w->stop);
        break;
    }
}

/** One turn of the loop, of at most `ms`. @return events */
static inline size_t rig_turn(struct rig *rig, int ms)
{
    struct bhp_event events[3];
    size_t count = bhp_loop_wait(rig->nursery, bhp_now() + ms * INT64_C(1000000), events, 3);

    for (size_t i = 0; i < count; i++)
        rig_event(rig, &events[i]);
    return count;
}

/** Turns the loop until a counter has reached a number. */
static inline void rig_await(struct rig *rig, const int *counter, int number)
{
    int64_t until = kit_now_ms() + (int64_t)RIG_DEADLINE_MS * kit_slowdown();

    while (*counter < number) {
        if (kit_now_ms() > until)
            FAIL("waited in vain (worker 0: started %d, ready %d, exited %d, detail \"%s\")",
                 rig->workers[0].started, rig->workers[0].ready, rig->workers[0].exited,
                 rig->workers[0].obituary.detail);
        rig_turn(rig, 50);
    }
}

static inline struct rig_worker *rig_ready(struct rig *rig)
{
    struct rig_worker *w = rig_start(rig);

    rig_await(rig, &w->ready, 1);
    return w;
}

/** Waits for a worker's end and frees it. Its obituary and text stay. */
static inline void rig_bury(struct rig_worker *w)
{
    rig_await(w->rig, &w->exited, 1);
    bhp_worker_free(w->worker);
    w->worker = NULL;
}

static inline void rig_close(struct rig *rig)
{
    for (size_t i = 0; i < RIG_WORKERS; i++) {
        if (rig->workers[i].worker != NULL) {
            bhp_worker_kill(rig->workers[i].worker);
            rig_bury(&rig->workers[i]);
        }
    }
    bhp_nursery_close(rig->nursery);
}

/** A rig with one ready worker. */
static inline struct rig_worker *rig_one(struct rig *rig)
{
    rig_init(rig, "normal");
    rig_open(rig);
    return rig_ready(rig);
}

/* ---- calls ---- */

static inline enum bhp_lane_end rig_call(struct rig_worker *w, const char *method,
                                         const bh_value *argument, struct bhp_reply *reply)
{
    struct bhp_call call = {.serial = atomic_fetch_add(&w->rig->serial, 1) + 1,
                            .method = method,
                            .arguments = argument,
                            .argument_count = argument != NULL,
                            .stop = &w->stop};

    memset(reply, 0, sizeof(*reply));
    return bhp_lane_call(w->worker, &call, reply);
}

static inline void rig_drop(struct bhp_reply *reply)
{
    bh_value_deinit(&reply->value);
    bh_free(reply->text);
    reply->text = NULL;
}

struct rig_caller {
    struct rig_worker *w;
    const char *method;
    bh_value argument;
    struct bhp_reply reply;
    enum bhp_lane_end end;
    _Atomic int done;
    pthread_t thread;
};

static inline void *rig_caller_run(void *context)
{
    struct rig_caller *c = context;

    c->end = rig_call(c->w, c->method, &c->argument, &c->reply);
    atomic_store(&c->done, 1);
    bhp_loop_kick(c->w->rig->nursery);
    return NULL;
}

/** Begins a call on another thread. */
static inline void rig_call_begin(struct rig_caller *c, struct rig_worker *w, const char *method,
                                  int64_t argument)
{
    memset(c, 0, sizeof(*c));
    c->w = w;
    c->method = method;
    c->argument = bh_value_int64(argument);
    CHECK_INT(pthread_create(&c->thread, NULL, rig_caller_run, c), 0);
}

/** Turns the loop until the call ends. */
static inline enum bhp_lane_end rig_call_end(struct rig_caller *c)
{
    int64_t until = kit_now_ms() + (int64_t)RIG_DEADLINE_MS * kit_slowdown();

    while (!atomic_load(&c->done)) {
        if (kit_now_ms() > until)
            FAIL("the call of %s does not end", c->method);
        rig_turn(c->w->rig, 20);
    }
    CHECK_INT(pthread_join(c->thread, NULL), 0);
    return c->end;
}

/** Calls with an int64 and expects an int64. */
static inline int64_t rig_int(struct rig_worker *w, const char *method, int64_t argument)
{
    bh_value value = bh_value_int64(argument);
    struct bhp_reply reply;
    int64_t result = -1;

    enum bhp_lane_end end = rig_call(w, method, &value, &reply);
    if (end != BHP_LANE_REPLIED)
        FAIL("%s(%lld) ended with %d: %s", method, (long long)argument, (int)end,
             reply.text != NULL ? reply.text : "");
    CHECK_INT(bh_value_get_int64(&reply.value, &result), BH_OK);
    rig_drop(&reply);
    return result;
}

/** Whether a process has ended; for kit_wait_until(). */
static inline bool rig_is_gone(void *pid)
{
    return kill((pid_t)(intptr_t)pid, 0) != 0;
}

#endif
