/* SPDX-License-Identifier: MIT */
/**
 * @file launcher.h
 * The launcher: parent and subreaper of a pool's workers. What its files know together.
 *
 * One thread, libc only. It reads BHL_FD_SOCKET for orders, watches its dispatcher
 * (BHL_FD_DISPATCHER), each worker's pidfd and SIGCHLD, and reports. It is the one process of a
 * pool that must not fail: it allocates only for a new worker, and a failure there is that worker's
 * NOT_STARTED.
 */
#ifndef BHL_LAUNCHER_H
#define BHL_LAUNCHER_H

#include "platform/linux/launch_spec.h"
#include "platform/linux/protocol.h"
#include "platform/linux/socket.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

/* ---- the specification: spec.c ---- */

/** struct bhl_spec with its tail found. All pointers lead into the mapped file, but for the arrays.
 */
struct spec {
    const struct bhl_spec *head;
    const struct bhl_spec_rlimit *rlimits;
    const uint64_t *cpus;
    const uint32_t *groups;
    const char *pool;
    const char *program;
    const char *directory;
    const char *cwd;
    char **arguments;   /* NULL-terminated, with one place before the end free for BHL_ARGUMENT */
    char **environment; /* likewise, for BHL_ENVIRONMENT */
};

/** Maps and checks the specification. @return whether it makes sense */
bool spec_read(struct spec *spec, int fd);

/* ---- workers ---- */

struct worker {
    struct worker *next, *previous;
    uint64_t cookie;
    pid_t pid; /* 0: it has no process (any more) */
    int pidfd;
    struct report {
        struct report *next;
        struct worker *worker;
        struct bhl_launch message;
        bool last;     /* the worker is forgotten when it is sent */
    } reports[2];      /* STARTED and EXITED, or NOT_STARTED */
    uint32_t template; /* it is this template (cookie 0), or was forked from it; 0: neither */
    bool ordered;      /* the template was asked to fork it; `fds` are kept until it has a pid */
    int fds[BHL_FDS_MAX];
};

/** The present template. */
struct template
{
    struct worker *worker; /* its process; NULL: there is none */
    int socket;
    bool ready;
};

struct launcher {
    struct spec spec;
    int epoll;
    int signals;
    struct rlimit descriptors; /* RLIMIT_NOFILE as we found it */
    struct worker *workers;
    struct template template;
    struct report *first, *last; /* reports that wait for room in the socket */
    int sweep_ms;                /* strays are looked for again after this; -1: there are none */
};

/** The worker with this process and no end yet, or NULL. */
struct worker *worker_by_pid(const struct launcher *launcher, pid_t pid);
/** The worker of this life, which runs or is about to be forked, or NULL. */
struct worker *worker_by_cookie(const struct launcher *launcher, uint64_t cookie);
/** Takes it off the list and frees it. */
void worker_forget(struct launcher *launcher, struct worker *worker);

/* ---- start.c ---- */

/** A worker that has no process yet, on the list. */
struct worker *worker_new(struct launcher *launcher, uint64_t cookie);
/** Starts its program and reports. @param fds request half, reply half, control, output; the
 * caller's. Of a template: null device twice, socket, output; success is not reported.
 * @return whether it runs */
bool worker_start(struct launcher *launcher, struct worker *worker, const int fds[4]);
/** Reports that a worker cannot be started, and why. */
void worker_refuse(struct launcher *launcher, struct worker *worker, int error, const char *step);

/** Watches a worker that runs, and tells the dispatcher of it. */
void worker_started(struct launcher *launcher, struct worker *worker);

/* ---- template.c ---- */

/** Makes a template, instead of the one there is. @param output the caller's */
void template_start(struct launcher *launcher, uint32_t number, int output);
/** Ends the template with this number, if it is the present one. */
void template_drop(struct launcher *launcher, uint32_t number);
/** Has a worker forked from the template with this number, when it is ready. @param fds taken, on
 * success
 * @return whether it took the order; else there is no such template, or it has no room */
bool template_fork(struct launcher *launcher, struct worker *worker, uint32_t number,
                   const int fds[4]);
/** Reads what the template and its workers have to say. */
void template_read(struct launcher *launcher);
/** A process that was or is a template has ended; it is not reaped yet. */
void template_ended(struct launcher *launcher, const struct worker *worker);

/* ---- reports.c ---- */

/** Sends a report now or when there is room. @param last the worker is forgotten afterwards
 * @return whether the dispatcher still listens */
bool report(struct launcher *launcher, struct worker *worker, const struct bhl_launch *message,
            bool last);
/** Sends what waits. Likewise. */
bool report_waiting(struct launcher *launcher);

/* ---- reap.c ---- */

/** A worker's pidfd fired: ends what it left, reaps it, reports. */
void reap_worker(struct launcher *launcher, struct worker *worker);
/** Reaps ended children, at most a bounded number of them. */
void reap_children(struct launcher *launcher);

/* ---- strays.c ---- */

/** Monotonic nanoseconds. */
int64_t now_ns(void);
/** Kills adopted processes that belong to no living worker, once, and reaps those that ended.
 * @param until now_ns() at which to stop looking, INT64_MAX: look at all
 * @return whether there were any, or may be some that were not looked at */
bool strays_kill(const struct launcher *launcher, int64_t until);
/** Kills and reaps every child there is until none is left, for about a second. */
void strays_kill_all(struct launcher *launcher);

/* ---- cgroup.c ---- */

/** Finds the counter of out-of-memory kills of this process's cgroup; absent, it never goes up. */
void oom_open(void);
/** Whether the counter went up since the last look. */
bool oom_happened(void);

#endif
