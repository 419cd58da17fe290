/* SPDX-License-Identifier: MIT */
/**
 * @file fake.h
 * The fake platform's other side: what a test says should happen, and how it makes it happen.
 *
 * A test installs a driver. The fake calls it whenever a thread of the core would block, so that
 * the driver can let another one run or move the clock; and it asks it, per start and per request,
 * what becomes of it. Nothing here knows of a real clock, a thread or an operating system: with the
 * same driver everything happens again in the same order.
 *
 * Times in plans are virtual milliseconds after the start or the request; BHF_NEVER is never.
 */
#ifndef BHF_FAKE_H
#define BHF_FAKE_H

#include "core/platform.h"

#define BHF_MS INT64_C(1000000)
#define BHF_NEVER INT64_MAX

/** A piece of output, at a time after the start. The text is not copied. */
struct bhf_output {
    int64_t at_ms;
    const char *text;
    size_t length; /* 0: the text is NUL-terminated */
};

/** What becomes of a start. */
struct bhf_start {
    int refused; /* bhp_worker_start() itself fails with this code; 0: it does not */
    int64_t started_ms;
    int64_t ready_ms;
    int64_t exit_ms;         /* it ends by itself, as `end` says, whatever it does */
    struct bhp_obituary end; /* NOT_STARTED: then there never is a process */
    int64_t kill_ms;         /* from bhp_worker_kill() to its end */
    int64_t quit_ms;         /* from bhp_worker_quit(), when it is idle, to its end */
    uint64_t rss_bytes;
    uint64_t rss_per_request; /* it leaks */
    const struct bhf_output *output;
    size_t output_count;
    bool endless_output;        /* a grandchild holds its pipe and never stops writing */
    const char *const *methods; /* NULL-terminated */
    const char *problem;        /* of `refused` */
    bool forked;                /* from a template */
};

/** What a worker does with a request. */
enum bhf_deed {
    BHF_REPLY,         /* replies with its first argument */
    BHF_FAIL,          /* fails with `code` and `text` */
    BHF_DIE,           /* ends, as `end` says, after it began */
    BHF_DIE_UNSTARTED, /* ends before it began */
    BHF_DIE_COMMITTED, /* ends when the reply was complete, but told nobody */
    BHF_HANG,          /* never ends */
    BHF_COOPERATE,     /* never ends, but fails `nudged_ms` after it is nudged */
    BHF_BROKEN,        /* a reply that breaks the protocol: `text` */
    BHF_UNREADABLE,    /* a reply for which there is no memory */
    BHF_NO_METHOD,     /* these four are never sent */
    BHF_TOO_LARGE,
    BHF_INVALID,
    BHF_MEMORY
};

struct bhf_request {
    enum bhf_deed deed;
    int64_t begin_ms;
    int64_t end_ms; /* not before begin_ms */
    int64_t nudged_ms;
    int64_t progress_ms; /* between two signs of life; BHF_NEVER: none */
    uint64_t progress_total;
    struct bhp_obituary end;
    int32_t code;
    const char *text;
    const char *output;   /* when it begins; may be NULL */
    const char *callback; /* that it calls when it begins, with its first argument; or NULL */
    uint32_t callbacks;   /* so many times */
    const char *partial;  /* it publishes this text when it begins; may be NULL */
    uint64_t rss_bytes;   /* on top, from its beginning to its end */
    bool lends;           /* its reply, "borrowed", can be borrowed */
    bool large;           /* it needs memory that is kept */
    bool silent;          /* it wakes nobody at its end: only the worker's own end does */
    bool lies;            /* in a slot: the worker says that it is there before it can be */
};

/** The test's side. Every function may be NULL but `broken`. */
struct bhf_driver {
    void *context;
    /** Lets the world go on until *done or the clock reaches `until`; may return early. @return
     * false: nothing will ever happen again */
    bool (*wait)(void *context, const bool *done, int64_t until);
    /** A point where another thread may come between; no lock is held. */
    void (*pause)(void *context);
    /** A thread was started: run(argument) is its life. Without this it never runs. */
    void (*spawn)(void *context, void (*run)(void *), void *argument);
    /** The nth start, from 1; the plan comes filled in for a healthy worker. */
    void (*plan_start)(void *context, uint64_t nth, uint64_t cookie, struct bhf_start *plan);
    /** A request; the plan comes filled in for a quick reply. */
    void (*plan_request)(void *context, uint64_t cookie, const struct bhp_call *call,
                         struct bhf_request *plan);
    /** A worker begins a request: from here on it is started. */
    void (*begun)(void *context, const struct bhp_call *call);
    /** The core broke a law of the contract. Must not return. */
    void (*broken)(void *context, const char *law);
};

/** Begins anew: nothing exists, the clock shows BHF_EPOCH. */
void bhf_reset(const struct bhf_driver *driver);
#define BHF_EPOCH (INT64_C(1000000) * BHF_MS)

/** When the next thing will happen by itself; BHP_FOREVER: nothing. */
int64_t bhf_next(void);
/** Moves the clock to `until` and lets happen what is due on the way. */
void bhf_advance(int64_t until);
/** Locks that are held now. */
unsigned bhf_locks_held(void);
/** Processes that exist now. */
unsigned bhf_processes(void);
/** How often a worker was told to give back what it keeps. */
unsigned bhf_trims(void);
/** What the core has not given back, as text; NULL: it is clean. */
const char *bhf_left_over(void);
/** Every launcher dies, and with it every worker. */
void bhf_lose_nurseries(void);
/** Something happens to every nursery's template. */
void bhf_tell_template(const struct bhp_template_news *news);
/** How often the only nursery was renewed. */
uint64_t bhf_renewals(void);
/** Makes the next bhp_nursery_open() or bhp_thread_start() fail with this code. */
void bhf_refuse_nursery(int code);
void bhf_refuse_thread(int code);
/** From now on this process is a forked child, in which the contract allows nothing. */
void bhf_fork(bool child);
void bhf_set_processors(uint32_t count);
/** Lanes have so many slots, BHF_SLOTS at most; 1, as at the beginning: none. */
#define BHF_SLOTS 8u
void bhf_set_slots(uint32_t count);

/* ---- ends, for plans ---- */

/** Caught in the act: signal 11 at `address`, with a record. */
struct bhp_obituary bhf_end_fault(uint64_t address);
/** exit(code) or, without `exiting`, _exit(code). */
struct bhp_obituary bhf_end_exit(uint32_t code, bool exiting);
/** A signal without a record. */
struct bhp_obituary bhf_end_signal(uint32_t signal);
/** No process came to be. */
struct bhp_obituary bhf_end_not_started(int os_error, const char *detail, bool permanent);

#endif
