/* SPDX-License-Identifier: MIT */
/**
 * @file nursery.h
 * What the files of the dispatcher's side know together: the nursery, its workers, and who calls
 * whom.
 *
 *   nursery.c   open, close, forked           loop.c      epoll, the queue of events, timers
 *   spec.c      the start specification       link.c      messages from and to the launcher
 *   resolve.c   names in it, made absolute    life.c      a worker from start to free
 *   birth.c     the clone of a launcher       obituary.c  what the system says of it
 *   halves.c    the two shared memory files   hello.c     its greeting and its table of methods
 *   lane*.c     requests, replies, turns      box.c       what it wrote about itself
 *   memory.c    shared memory beside them     partial.c   what it had before its end
 *   template.c  the template
 *
 * Threads: everything belongs to the supervisor's thread, but the fields marked [any] (atomic or
 * fixed before the worker is handed out) and those marked [lane], which belong to whoever holds the
 * worker's lease.
 */
#ifndef BHL_NURSERY_H
#define BHL_NURSERY_H

#include "core/keep.h"
#include "core/methods.h"
#include "core/platform.h"
#include "protocol.h"

#include <sys/types.h>

/* ---- sources of epoll events ---- */

enum bhl_source_kind {
    BHL_SOURCE_KICK,
    BHL_SOURCE_LINK,     /* the launcher's socket */
    BHL_SOURCE_LAUNCHER, /* the launcher's pidfd */
    BHL_SOURCE_CONTROL,  /* a worker's control socket, until its greeting */
    BHL_SOURCE_OUTPUT,   /* a worker's output pipe */
    BHL_SOURCE_PIDFD,    /* a worker's pidfd */
    BHL_SOURCE_TEMPLATE  /* the template's output pipe */
};

/** Something that epoll watches; epoll's data points here. */
struct bhl_source {
    enum bhl_source_kind kind;
    bhp_worker *worker; /* or NULL */
    int fd;             /* while it is watched, else -1 */
};

/* ---- the nursery ---- */

/** Everything that is needed to start a launcher, again and again. */
struct bhl_birth {
    int spec;       /* sealed memory file */
    int image;      /* sealed memory file with the launcher's program, or -1: `path` */
    int dispatcher; /* this process's pidfd */
    char *path;     /* of a launcher program, or NULL: owned */
    char *program;  /* of the workers, for texts: owned */
    char pool[64];  /* name, fit for a command line */
    char outer[64]; /* "BULKHEAD_COOKIE=N" if this process is itself a worker, or "" */
};

enum bhl_launcher_state {
    BHL_LAUNCHER_DOWN,     /* none; another try at `due` */
    BHL_LAUNCHER_GREETING, /* started; must say HELLO until `due` */
    BHL_LAUNCHER_UP
};

struct bhl_launcher {
    enum bhl_launcher_state state;
    int socket;
    int pidfd;
    int64_t born;  /* when it was started */
    int64_t due;   /* BHP_FOREVER: nothing */
    int64_t delay; /* before the next try */
    struct bhl_source link_source;
    struct bhl_source pidfd_source;
    struct bh_problem problem; /* why it is down */
};

enum bhl_template_state {
    BHL_TEMPLATE_NONE,  /* none is asked for; another try at `due` */
    BHL_TEMPLATE_ASKED, /* must be ready until `due` */
    BHL_TEMPLATE_UP,
    BHL_TEMPLATE_DROPPED /* it is to end; the report of that is awaited */
};

/** The template that the launcher holds, as far as this side knows. */
struct bhl_template {
    enum bhl_template_state state;
    uint32_t number;   /* of the present one; those before it are forgotten */
    uint32_t drop;     /* this one is to be ended, and the order found no room yet; 0: none */
    int64_t due;       /* BHP_FOREVER: nothing */
    int64_t fork_due;  /* when to look for workers that it owes; BHP_FOREVER: there are none */
    unsigned failures; /* in a row, without a worker forked */
    int64_t pid;       /* while UP */
    int output;        /* our end of its pipe, or -1 */
    struct bhl_source output_source;
    size_t length;  /* of `tail` */
    char tail[144]; /* of what it wrote, on one line */
    char why[64];   /* it was dropped, or empty */
    size_t news_count;
    struct bhp_template_news news[4]; /* oldest first; the latest are dropped when it is full */
};

/** Events a worker has for the core, in the order in which they are handed out. */
enum {
    BHL_PENDING_STARTED = 1 << BHP_EVENT_STARTED,
    BHL_PENDING_READY = 1 << BHP_EVENT_READY,
    BHL_PENDING_OUTPUT = 1 << BHP_EVENT_OUTPUT,
    BHL_PENDING_EXITED = 1 << BHP_EVENT_EXITED
};

struct bhp_nursery {
    /* fixed at the opening [any] */
    const _Atomic uint32_t *own; /* a page that reads 0 in a forked child */
    size_t page_bytes;
    uint32_t half_bytes;
    uint64_t max_request_bytes;
    uint64_t max_reply_bytes;
    uint64_t max_partial_bytes;
    bool rearm;
    int kick; /* eventfd */
    struct bhl_birth birth;
    /* the supervisor's */
    int epoll;
    struct bhl_source kick_source;
    struct bhl_launcher launcher;
    bool templates;        /* the pool wants them */
    bool template_first;   /* before any worker; starts wait for it */
    int64_t start_timeout; /* nanoseconds */
    struct bhl_template template;
    bhp_worker *workers;      /* all */
    bhp_worker *first, *last; /* those with events pending, oldest first */
    _Atomic uint32_t overdue; /* [any] workers may have a `due`: look. Pairs with itself: a kill of
                                 a worker without a process raises it, the loop clears it */
    size_t waiting;           /* workers whose order waits for room in the socket */
    bool lost;                /* BHP_EVENT_LOST is pending */
};

/* ---- workers ---- */

/** A mapped memory file. */
struct bhl_mapping {
    void *at; /* NULL: none */
    size_t bytes;
};

/** Shared memory beside the halves: a segment, or a session's buffer. */
struct bhp_memory {
    _Atomic uint32_t users; /* pairs with itself: who takes the last one away frees */
    struct bhl_mapping map; /* none: it could not be mapped for lack of memory, and `fd` is open */
    int fd;                 /* until it was sent, or is mapped; else -1 */
    uint64_t id;            /* 0: no worker knows it yet */
    uint64_t bytes;
};

/** The dispatcher's side of the slots. Numbers count from 0 without end. */
struct bhl_slots {
    uint64_t put; /* slots ever filled; guarded as platform.h says of bhp_lane_put() */
    uint64_t serial[BHL_SLOTS]; /* of slot n at n % BHL_SLOTS; likewise */
    bool gone[BHL_SLOTS];       /* it was revoked in time; likewise */
    uint64_t taken;             /* up to here replies were taken [lane] */
    uint64_t rung;              /* up to here the worker was woken [lane] */
};

/** Descriptors for the worker, in the order of BHL_LAUNCH_START. */
enum { BHL_GIVEN_REQUEST, BHL_GIVEN_REPLY, BHL_GIVEN_CONTROL, BHL_GIVEN_OUTPUT, BHL_GIVEN_COUNT };

struct bhp_worker {
    bhp_nursery *nursery;
    void *owner;
    uint64_t cookie;
    bhp_worker *previous, *next; /* in nursery->workers */
    bhp_worker *queued;          /* next in the queue of pending events */
    bool in_queue;
    unsigned pending;
    bool waiting;               /* the order to start it found no room in the socket yet */
    int given[BHL_GIVEN_COUNT]; /* until the order is out, else -1 */

    struct bhl_mapping request_map; /* [any] */
    struct bhl_mapping reply_map;   /* [any] */
    struct bhl_mapping partial_map; /* [lane] both places; its pages may not be there */
    int control;                    /* supervisor until READY, then [lane] */
    int output;
    int statm;
    struct bhl_source control_source;
    struct bhl_source output_source;
    struct bhl_source pidfd_source;

    /* [any] */
    _Atomic int pidfd; /* -1 until STARTED; pairs with `unwanted`: whichever of killer and STARTED
                          comes second sees the other and kills */
    _Atomic bool unwanted; /* somebody wants it killed */
    _Atomic bool ended;    /* EXITED is on its way; lane calls end. Pairs with the lane's look */
    _Atomic int64_t pid;   /* 0 until STARTED */

    bool gone;        /* its pidfd says so */
    bool reported;    /* the launcher said EXITED or NOT_STARTED, or is lost itself */
    bool ready;       /* said a proper HELLO */
    int64_t due;      /* until when the launcher must have reported, or BHP_FOREVER */
    int64_t fork_due; /* until when the template must have forked it, or BHP_FOREVER */
    bool forked;      /* it did */
    struct bhp_obituary obituary;
    struct bhi_methods methods; /* fixed from READY on */

    /* [lane] */
    bhp_memory *segment;  /* for large requests; NULL: none */
    struct bhi_keep keep; /* what they needed of late */
    uint64_t segments;    /* sent so far, buffers too: the last one's id */
    uint64_t buffer;      /* the last buffer's id; 0: it has been told to let go of it */
    bhp_memory *view;     /* the segment of its replies; NULL: none */
    uint32_t mails;       /* control messages it says it had sent when they were last looked at */
    void *scratch;        /* for a reply out of the half: `half_bytes` */
    struct bhl_slots slots;
};

static inline struct bhl_request_half *bhl_request(const bhp_worker *worker)
{
    return worker->request_map.at;
}

static inline const struct bhl_reply_half *bhl_reply(const bhp_worker *worker)
{
    return worker->reply_map.at;
}

/* ---- partial.c ---- */

/** Maps the places for partial replies, `bytes` of the file from `offset` on. @return whether */
bool bhl_partial_map(bhp_worker *worker, int fd, size_t offset, size_t bytes);

/* ---- loop.c ---- */

/** Watches for reading. @return whether; else errno */
bool bhl_watch(bhp_nursery *nursery, struct bhl_source *source, int fd);
/** Stops watching, if it is watched. */
void bhl_unwatch(bhp_nursery *nursery, struct bhl_source *source);
/** Adds events (BHL_PENDING_…) to hand out for a worker. */
void bhl_queue(bhp_worker *worker, unsigned pending);
/** Forgets what is pending for a worker. */
void bhl_unqueue(bhp_worker *worker);

/* ---- nursery parts ---- */

/** Fills nursery->birth from the options; bhl_birth_deinit() frees it, also when half filled. */
int bhl_birth_init(struct bhl_birth *birth, const struct bh_pool_options *options,
                   struct bh_problem *problem);
void bhl_birth_deinit(struct bhl_birth *birth);
/** A memory file with these bytes, sealed against every change. @return -1 and errno on failure */
int bhl_sealed_copy(const char *name, const void *bytes, size_t size, bool executable);
/** Starts a launcher. @param socket, pidfd of the launcher, to be closed by the caller */
int bhl_birth_launch(const struct bhl_birth *birth, int *socket, int *pidfd,
                     struct bh_problem *problem);
/** The memory file for BHL_FD_SPEC. @param pool, program as in struct bhl_birth */
int bhl_spec_write(int *fd, const struct bh_pool_options *options, const char *pool,
                   const char *program, struct bh_problem *problem);

/** Starts the launcher; a greeting is still to come. */
int bhl_launcher_start(bhp_nursery *nursery, struct bh_problem *problem);
/** Reads what the launcher has to say; bounded. @return whether that was all for now */
bool bhl_link_read(bhp_nursery *nursery);
/** Its pidfd fired: reads its last words, then it is lost. */
void bhl_launcher_ended(bhp_nursery *nursery);
/** The launcher is of no use any more: ends it and all workers, and plans the next. */
void bhl_launcher_lose(bhp_nursery *nursery, const char *why);
/** Does what is due: a new launcher, or giving up one that does not answer. @return when to come
 * again */
int64_t bhl_launcher_tick(bhp_nursery *nursery, int64_t now);
/** Sends. @return whether it went; else errno */
bool bhl_link_send(bhp_nursery *nursery, const struct bhl_launch *message, const int *fds,
                   size_t fd_count);

/* ---- template.c ---- */

/** A template could be made: a worker says so, or the pool wants one first. */
void bhl_template_want(bhp_nursery *nursery);
/** The template from which a worker may be forked that is ordered now; 0: none. Notes the worker.
 */
uint32_t bhl_template_for(bhp_worker *worker);
/** A worker that has no process yet is to be killed. */
void bhl_template_hurry(bhp_worker *worker);
/** The worker has a process, forked from that template (0: none). */
void bhl_template_forked(bhp_worker *worker, uint32_t number);
/** What the launcher says of a template. @return whether it makes sense */
bool bhl_template_message(bhp_nursery *nursery, const struct bhl_launch *message);
/** Reads what the template writes. */
void bhl_template_output(bhp_nursery *nursery);
/** The launcher is lost, and the template with it; or all ends. */
void bhl_template_forget(bhp_nursery *nursery);
/** Does what is due. @return when to come again */
int64_t bhl_template_tick(bhp_nursery *nursery, int64_t now);

/* ---- worker parts ---- */

/** Makes both halves and maps them. @param fds the memory files for the worker: request, reply */
int bhl_halves_make(bhp_worker *worker, int fds[2], struct bh_problem *problem);
/** Makes a memory file, reserves its pages, maps it and seals it for good: one that we write so
 * that nobody else can, one that we read so that it keeps its size. @return its descriptor, or -1
 * and errno */
int bhl_memory_make(const char *name, size_t bytes, bool writable, struct bhl_mapping *map);
void bhl_unmap(struct bhl_mapping *map);

/** Maps a memory file that somebody else writes, whole, and makes sure of its pages.
 * @return whether; else errno */
bool bhl_memory_map(struct bhl_mapping *map, int fd, size_t bytes);

/* ---- memory.c ---- */

/** A memory with one user, all else zero, no descriptor. NULL when there is no memory for it. */
bhp_memory *bhl_memory_blank(uint64_t id, uint64_t bytes);
/** One user more. @return memory */
bhp_memory *bhl_memory_use(bhp_memory *memory);

/** Sends orders that found no room before. @return whether all are out */
bool bhl_workers_send_waiting(bhp_nursery *nursery);
/** What the launcher and the pidfd tell about a worker. */
void bhl_worker_started(bhp_worker *worker, int64_t pid, int pidfd);
void bhl_worker_reported(bhp_worker *worker, const struct bhl_launch *message);
void bhl_worker_gone(bhp_worker *worker);
void bhl_worker_orphaned(bhp_worker *worker);
/** Notes that it broke the protocol, and kills it. */
void bhl_worker_broke(bhp_worker *worker, const char *format, ...) BH_PRINTF(2, 3);

/** Translates a report into evidence. */
void bhl_note_not_started(struct bhp_obituary *obituary, const char *step, int error);
void bhl_note_exited(struct bhp_obituary *obituary, const struct bhl_launch *message);

/** Reads the control socket of a worker that has not greeted yet. */
void bhl_hello_read(bhp_worker *worker);

#endif
