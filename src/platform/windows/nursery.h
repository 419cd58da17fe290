/* SPDX-License-Identifier: MIT */
/**
 * @file nursery.h
 * What the files of the dispatcher's side know together: the nursery, its workers, and who calls
 * whom.
 *
 *   nursery.c   open, close                    loop.c      notes, the queue of events, waiting
 *   spec.c      options made ready to start    life.c      a worker from start to free
 *   sections.c  what it shares with a worker   process.c   CreateProcess and the job
 *   hello.c     moniker, greeting, methods     output.c    the pipe of stdout and stderr
 *   lane*.c     requests and replies           obituary.c  what the system says of it
 *   blobs.c     payloads in arenas             box.c       what it wrote about itself
 *   memory.c    memory beside the arenas
 *   deputy.c    calls for callers in other apartments
 *   dump.c      the time that a dump may take
 *   partial.c   what a worker had before its end
 *   callback.c  what a worker calls during its request
 *
 * Threads: everything belongs to the supervisor's thread, but the fields marked [any] (atomic, or
 * fixed before the worker is handed out), [midwife] (of the thread that brings the worker to its
 * first READY; the supervisor's once that thread is done) and [lane] (of whoever holds the worker's
 * lease).
 */
#ifndef BHW_NURSERY_H
#define BHW_NURSERY_H

#include "arena.h"
#include "core/keep.h"
#include "core/methods.h"
#include "core/platform.h"
#include "protocol.h"
#include "support.h"

#include <objbase.h>
#include <oleauto.h>

/* ---- the nursery ---- */

/** Everything that starting a worker needs, in the system's own form. */
struct bhw_spec {
    WCHAR *program;     /* absolute, or as given if it was not found: owned */
    WCHAR *command;     /* the command line without our own argument: owned */
    WCHAR *environment; /* a block, sorted: owned */
    size_t environment_units;
    size_t environment_split; /* where our own variable belongs */
    WCHAR *directory;         /* owned */
    WCHAR *dumps;             /* a directory: owned; NULL: no dumps */
    DWORD priority;           /* a creation flag, or 0 */
    DWORD_PTR affinity;       /* or 0 */
    char pool[64];            /* name, fit for a command line */
};

struct bhp_nursery {
    /* fixed at the opening [any] */
    struct bhw_spec spec;
    struct bhw_security security;
    uint64_t max_request_bytes;
    uint64_t max_reply_bytes;
    uint32_t arena_bytes; /* of the smallest arena */
    uint32_t max_partial_bytes;
    uint32_t callback_depth;
    bool rearm;
    bool keep_registered;
    uint32_t dump_timeout_ms;
    bool in_mta; /* `mta` keeps the multithreaded apartment alive */
    CO_MTA_USAGE_COOKIE mta;
    HANDLE bell; /* auto-reset: the loop has something to look at */
    /* [any] */
    _Atomic uint32_t kicked; /* pairs with itself: set by a kick, taken by the loop */
    _Atomic uint32_t noted;  /* a worker has notes; set after them, taken before they are read */
    /* the supervisor's */
    bhp_worker *workers;      /* all */
    bhp_worker *first, *last; /* those with events pending, oldest first */
};

/* ---- workers ---- */

/** Events a worker has for the core, in the order in which they are handed out. */
enum {
    BHW_PENDING_STARTED = 1 << BHP_EVENT_STARTED,
    BHW_PENDING_READY = 1 << BHP_EVENT_READY,
    BHW_PENDING_OUTPUT = 1 << BHP_EVENT_OUTPUT,
    BHW_PENDING_EXITED = 1 << BHP_EVENT_EXITED
};

/** What other threads tell the loop about a worker. */
enum {
    BHW_NOTE_STARTED = 1 << 0, /* its process runs */
    BHW_NOTE_READY = 1 << 1,   /* it greeted */
    BHW_NOTE_GONE = 1 << 2,    /* its process has ended */
    BHW_NOTE_BORN = 1 << 3     /* the midwife is done */
};

/** The reading end of a worker's stdout and stderr. */
struct bhw_output {
    OVERLAPPED overlapped; /* hEvent is ours: it points back to this */
    HANDLE pipe;
    bool reading; /* the system owns `bytes` */
    bool ended;   /* nobody can write any more */
    DWORD first;  /* what is held: bytes[first] … */
    DWORD held;
    bhp_worker *worker;
    char bytes[8192];
};

/** What a worker inherits, in the order of BULKHEAD_CHANNEL, then its standard handles. */
enum {
    BHW_GIVEN_CALL,
    BHW_GIVEN_BOX,
    BHW_GIVEN_BELL,
    BHW_GIVEN_DISPATCHER,
    BHW_GIVEN_DUMPING,
    BHW_GIVEN_CHANNEL,
    BHW_GIVEN_INPUT = BHW_GIVEN_CHANNEL,
    BHW_GIVEN_OUTPUT,
    BHW_GIVEN_COUNT
};

struct bhw_deputy;

/** Memory shared with a worker. */
struct bhp_memory {
    _Atomic uint32_t users; /* pairs with itself: who takes the last one away frees */
    void *at;               /* its view; NULL: none */
    HANDLE section;         /* or NULL */
    uint64_t bytes;
    uint32_t generation; /* under which the worker knows it; 0: it does not */
};

struct bhp_worker {
    bhp_nursery *nursery;
    void *owner;
    uint64_t cookie;
    bhp_worker *previous, *next; /* in nursery->workers */
    bhp_worker *queued;          /* next in the queue of pending events */
    bool in_queue;
    unsigned pending;
    bool started; /* STARTED was noted */
    bool gone;    /* GONE was */
    bool born;    /* BORN was */

    /* fixed before the midwife begins [any] */
    struct bhw_call_section *call;
    const struct bhw_box_section *box;
    HANDLE call_section;
    HANDLE box_section;
    HANDLE bell;
    HANDLE ready;
    HANDLE dumping; /* manual-reset: it writes a dump */
    HANDLE job;     /* dies with us, and takes along what the worker started */
    struct bhw_output output;
    bhp_thread *midwife;
    char moniker[BHW_NAME_CHARS + 1]; /* its display name */

    /* [midwife] */
    HANDLE client;    /* the pipe's writing end, until it was given */
    HANDLE wait;      /* of the system's thread pool, for the process */
    HANDLE dump_wait; /* likewise, for `dumping` */
    HANDLE late_wait; /* made by that: for the process once more, with a limit */
    DWORD main_thread;
    struct bhp_obituary obituary;
    IDispatch *object;          /* fixed from READY on [any] */
    struct bhi_methods methods; /* likewise */

    /* [any] */
    _Atomic uint32_t notes;    /* BHW_NOTE_…, taken by the loop */
    _Atomic(HANDLE) process;   /* NULL until it runs; pairs with `unwanted`: whichever of killer and
                                  midwife comes second sees the other and kills */
    _Atomic bool unwanted;     /* somebody wants it killed */
    _Atomic bool ended;        /* EXITED is on its way. Pairs with the lane's look */
    _Atomic int64_t pid;       /* 0 until STARTED */
    _Atomic bool lane_blamed;  /* the lane wanted the kill first: `lane_detail` says why */
    _Atomic uint64_t most_rss; /* peak working set as sampled */
    _Atomic uint64_t answered; /* serial of the latest call that came back with an answer. Pairs
                                  with itself, by way of the call's `received` */

    /* [lane] */
    char lane_detail[160]; /* fixed once lane_blamed */
    DISPID *dispids;       /* by position; 0: not looked up yet */
    struct bhw_deputy *deputy;
    struct bhw_arena request;
    struct bhw_arena_view reply;
    bhp_memory *lent; /* that the memory of `reply` belongs to, once it was borrowed */
    uint32_t buffer;  /* generation of the buffer that it was told of; 0: none is in use */
    uint32_t buffers; /* told of so far */
};

/* ---- loop.c ---- */

/** Tells the loop something about a worker (BHW_NOTE_…). Any thread. */
void bhw_note(bhp_worker *worker, unsigned note);
/** Adds events (BHW_PENDING_…) to hand out for a worker. */
void bhw_queue(bhp_worker *worker, unsigned pending);
/** Forgets what is pending for a worker. */
void bhw_unqueue(bhp_worker *worker);

/* ---- nursery parts ---- */

/** Fills it from the options; bhw_spec_deinit() frees it, also when half filled. */
int bhw_spec_init(struct bhw_spec *spec, const struct bh_pool_options *options,
                  struct bh_problem *problem);
void bhw_spec_deinit(struct bhw_spec *spec);
/** A new environment block with our own variable in it; NULL: no memory. */
WCHAR *bhw_spec_environment(const struct bhw_spec *spec, const WCHAR *variable);
/** A new command line with our own argument at its end; NULL: no memory. */
WCHAR *bhw_spec_command(const struct bhw_spec *spec, const WCHAR *argument);

/* ---- worker parts ---- */

/** Makes the sections, the events and the job. */
int bhw_sections_make(bhp_worker *worker, struct bh_problem *problem);
void bhw_sections_free(bhp_worker *worker);
/** Of one place for partial replies, in bytes; 0: there is none. */
uint64_t bhw_partial_room(const bhp_worker *worker);
/** A memory with one user, all else zero. NULL when there is no memory for it. */
bhp_memory *bhw_memory_blank(void);
/** One user more. @return memory */
bhp_memory *bhw_memory_use(bhp_memory *memory);

/** Unmaps its arenas. */
void bhw_blobs_free(bhp_worker *worker);

/** Makes the pipe. @param[out] client the end to write to, not inheritable */
int bhw_output_make(bhp_worker *worker, HANDLE *client, struct bh_problem *problem);
/** Begins to read, unless it does already or holds something. */
void bhw_output_read(struct bhw_output *output);
/** Stops reading, for good. */
void bhw_output_close(struct bhw_output *output);

/** Starts the process inside its job. @return whether; else the obituary says why. Midwife only. */
bool bhw_process_create(bhp_worker *worker);
/** Waits for the ready event. @return whether it came before the end */
bool bhw_hello_await(bhp_worker *worker);
/** Binds the object and learns the methods. @return whether; else it has ended, or broke the
 * protocol and is killed. Midwife only. */
bool bhw_hello(bhp_worker *worker);

/** Names the file of its dump, if the pool wants dumps. */
int bhw_dump_name(bhp_worker *worker, struct bh_problem *problem);
/** From now on a worker that takes too long to write its dump is ended. Midwife only. */
void bhw_dump_watch(bhp_worker *worker);
void bhw_dump_unwatch(bhp_worker *worker);
/** After its end: the dump's path, or what became of it, goes into the obituary. */
void bhw_dump_note(bhp_worker *worker);

/** Kills a worker whose call failed in transport: the first who wants it dead has the say. [lane]
 */
void bhw_worker_blame(bhp_worker *worker, const char *format, ...) BH_PRINTF(2, 3);

/** Its process has ended: asks the system everything. */
void bhw_obituary_write(bhp_worker *worker);
/** No process came to be. */
void bhw_obituary_not_started(struct bhp_obituary *obituary, const char *step, DWORD error);

#endif
