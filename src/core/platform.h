/* SPDX-License-Identifier: MIT */
/**
 * @file platform.h
 * The platform contract: everything the core asks of an operating system. Three implementations:
 * src/platform/linux (sealed memory, futexes, pidfds), src/platform/windows (COM),
 * src/platform/fake (in memory, virtual clock, failing on demand; the unit tests run on it). One is
 * linked in.
 *
 * Laws:
 *  1. A platform reports evidence, never outcomes. Queue, deadlines, policy, classification: core.
 *  2. After BHP_EVENT_EXITED for a worker every lane operation on it returns BHP_LANE_LOST in
 *     bounded time.
 *  3. Cookies and serials come from the core, never from a worker.
 *  4. No operation takes a process number: a worker is a handle from its start to its free.
 *  5. Whatever a worker can write is copied once, validated, then used, on this side of the
 * contract: the core never sees a byte that can still change. The one exception is for who asks
 * for it: the payload of bytes and typed arrays in a borrowed reply, which nobody here looks at.
 *  6. Nothing here blocks but bhp_loop_wait(), bhp_word_wait(), bhp_lane_call(), bhp_lane_nested(),
 *     bhp_lane_next() and bhp_nursery_close(), and each of these ends in bounded time once it is
 * told to; but bhp_lane_call() not before a callback that it runs has returned.
 *
 * Threads: a nursery, its loop and the life of its workers (start, kill, quit, output, sample,
 * obituary, free) belong to one thread, the pool's supervisor, but where a function says otherwise.
 */
#ifndef BHI_PLATFORM_H
#define BHI_PLATFORM_H

#include <bulkhead/pool.h>

#include <stdatomic.h>

/* ---- time -------------------------------------------------------------------------------------
 */

#define BHP_FOREVER INT64_MAX

/** Monotonic nanoseconds. Any thread. */
int64_t bhp_now(void);
/** UTC milliseconds since 1970. Any thread. */
int64_t bhp_utc_ms(void);
/** Number of processors this process may use, at least 1. */
uint32_t bhp_processors(void);
/** Process-wide unique number, never 0, different in every process (also a forked one) and after
 * every restart for practical purposes: for names that must not collide. */
int64_t bhp_process_id(void);

/* ---- threads and words --------------------------------------------------------------------------
 */

/** A word that a thread of this process waits on. Private: no worker can see it. */
typedef _Atomic uint32_t bhp_word;

/** Waits while *word == expected, until woken or `until` (bhp_now() scale). May return early for no
 * reason: the caller looks again. Any thread. */
void bhp_word_wait(bhp_word *word, uint32_t expected, int64_t until);
/** Wakes everyone who waits on the word. The caller changed it before. Any thread. */
void bhp_word_wake(bhp_word *word);

/** A plain mutex: never held across a call into a platform's lane or a callback. */
typedef struct bhp_mutex {
    _Alignas(8) unsigned char opaque[48];
} bhp_mutex;
void bhp_mutex_init(bhp_mutex *mutex);
void bhp_mutex_lock(bhp_mutex *mutex);
void bhp_mutex_unlock(bhp_mutex *mutex);
void bhp_mutex_deinit(bhp_mutex *mutex);

/** Something that a foreign event loop can wait for: readable, or signalled, while it is raised. */
typedef struct bhp_beacon bhp_beacon;
/** BH_OK, BH_E_MEMORY, BH_E_SYSTEM. Not raised. */
int bhp_beacon_new(bhp_beacon **beacon);
/** Idempotent. The caller orders raising and clearing. */
void bhp_beacon_raise(bhp_beacon *beacon);
void bhp_beacon_clear(bhp_beacon *beacon);
/** The file descriptor, or the HANDLE. */
intptr_t bhp_beacon_native(const bhp_beacon *beacon);
/** NULL is fine. */
void bhp_beacon_free(bhp_beacon *beacon);

typedef struct bhp_thread bhp_thread;
/** Starts a thread that runs body(context) with every signal blocked. BH_OK, BH_E_MEMORY,
 * BH_E_SYSTEM. (The fake has none: it hands the body to the test that drives it.) */
int bhp_thread_start(bhp_thread **thread, void (*body)(void *), void *context, const char *name);
/** Waits for its end and frees it. NULL is fine. */
void bhp_thread_join(bhp_thread *thread);
/** A pointer of the calling thread's own, whoever made that thread; NULL before it is set. (Not the
 * language's own: some compilers keep a handle and memory for each thread that touches one.) */
const void *bhp_thread_own(void);
/** Sets it. Without memory for that, which Windows may lack once, it stays NULL. */
void bhp_thread_set_own(const void *own);

/* ---- nursery: what workers are born in and die with ---------------------------------------------
 */

typedef struct bhp_nursery bhp_nursery;
typedef struct bhp_worker bhp_worker;

/** Opens a nursery: on Linux a launcher process, on Windows a kill-on-close job. Copies what it
 * needs of the options. The nursery's workers all end when it closes or this process ends, however
 * it ends. */
int bhp_nursery_open(bhp_nursery **nursery, const struct bh_pool_options *options,
                     struct bh_problem *problem);
/** Kills what is left and waits until it is gone. Every worker must have been freed. NULL is fine.
 */
void bhp_nursery_close(bhp_nursery *nursery);
/** Workers that are asked for from now on are of a new generation: nothing that was prepared for
 * starting workers before is used for them. */
void bhp_nursery_renew(bhp_nursery *nursery);

/** What happened to the template, from which a nursery may fork workers. */
struct bhp_template_news {
    bool ready;     /* it can fork; else it was lost */
    int64_t pid;    /* 0: there was no process */
    char text[232]; /* lost: why, and the end of what it wrote, fit to print */
};
/** Takes the oldest piece of news. @return whether there was one */
bool bhp_nursery_template(bhp_nursery *nursery, struct bhp_template_news *news);

/** Whether this process is not the one that opened the nursery but a forked child of it. Costs a
 * load. Any thread. In a child nothing else of the contract may be called. */
bool bhp_nursery_forked(const bhp_nursery *nursery);

/* ---- evidence -----------------------------------------------------------------------------------
 */

/** What a fault record is about. */
enum bhp_fault_kind {
    BHP_FAULT_NONE,    /* no record */
    BHP_FAULT_FAULT,   /* the processor refused an instruction or an address */
    BHP_FAULT_ABORT,   /* the process aborted itself */
    BHP_FAULT_SANDBOX, /* a forbidden system call */
    BHP_FAULT_SIGNAL   /* somebody sent a signal; sender_pid says who */
};

/** A fault record as the worker wrote it while it died; copied and validated, still hearsay. */
struct bhp_fault {
    enum bhp_fault_kind kind;
    int signal;
    int signal_code;
    uint32_t exception;
    uint64_t thread_id;
    uint64_t address;
    uint64_t instruction;
    uint64_t stack_pointer;
    bool stack_overflow;
    int syscall;        /* -1: none */
    int64_t sender_pid; /* 0: none */
    uint32_t sender_uid;
    uint32_t register_count;
    uint32_t first_register; /* registers[i] is bhp_register_name(first_register + i) */
    uint64_t registers[BH_REGISTERS_MAX];
};

/** The words that a worker writes, equal on both systems; a copy. Serials as the worker wrote them.
 */
struct bhp_box {
    uint64_t started;   /* serial that the worker has begun */
    uint64_t committed; /* serial whose reply is complete */
    uint64_t progress;  /* changes with each sign of life */
    uint64_t progress_done;
    uint64_t progress_total;
    bool exiting;  /* the atexit hook ran */
    bool quitting; /* it leaves in order: quit request, disconnect or idle exit */
    struct bhp_fault fault;
};

/** How the process ended, as the operating system says it. */
enum bhp_end_kind {
    BHP_END_UNKNOWN,    /* the system could not say (launcher lost) */
    BHP_END_EXIT,       /* `code` is the exit code */
    BHP_END_SIGNAL,     /* `code` is the signal (Windows: only SIGABRT, from abort()) */
    BHP_END_EXCEPTION,  /* `code` is an exception code (Windows) */
    BHP_END_NOT_STARTED /* `os_error` and `detail`: no process came to be */
};

/** Everything a platform knows about a worker's end. */
struct bhp_obituary {
    enum bhp_end_kind end;
    uint32_t code;
    int os_error;
    bool by_kill;      /* the end is of the kind that bhp_worker_kill() makes */
    bool needs_record; /* an end of this kind is believed only with a fault record: our handlers
                          would have written one, unless the library took them away */
    bool system_fault; /* the system ended it for being broken, in a way that no handler in it could
                          have recorded (Windows: fail fast, heap corruption): `detail` */
    bool permanent;    /* NOT_STARTED: trying again cannot help (no such file, not allowed, …) */
    bool nursery_lost; /* it died because the nursery was lost */
    bool cgroup_oom;   /* the system's counter of out-of-memory kills went up around its end */
    bool protocol;     /* the platform saw it break the protocol: `detail` */
    int64_t pid;
    uint64_t user_us;
    uint64_t system_us;
    uint64_t max_rss_bytes; /* most memory of all kinds it ever had; 0: not known */
    char detail[160];
    char dump[sizeof(((struct bh_death *)0)->dump)]; /* path of what it dumped; or empty */
    struct bhp_box box;                              /* read after the end: final */
};

/** Name of a signal ("SIGSEGV") or "" when `signal` is none. Static. */
const char *bhp_signal_name(int signal);
/** Name of a system call, or NULL. Static. */
const char *bhp_syscall_name(int number);
/** Name of register i in a fault record, or NULL. Static. */
const char *bhp_register_name(unsigned i);

/* ---- a worker's life ---- */

/**
 * Begins to start a worker; never blocks. What comes of it arrives as events: STARTED, then READY,
 * then EXITED, of which only EXITED is certain to come, exactly once, and last.
 * @param owner handed back in the events
 * @return BH_OK; or BH_E_MEMORY, BH_E_SYSTEM, BH_E_STATE (the nursery was lost and is not back yet:
 * try again soon): then there is no worker and no event
 */
int bhp_worker_start(bhp_nursery *nursery, uint64_t cookie, void *owner, bhp_worker **worker,
                     struct bh_problem *problem);
/** Kills it, now and surely. Also for a worker that is still starting. Idempotent. Any thread,
 * until bhp_worker_free(). */
void bhp_worker_kill(bhp_worker *worker);
/** Asks an idle or a busy worker to leave after the request at hand; EXITED follows if it obeys.
 * Any thread. */
void bhp_worker_quit(bhp_worker *worker);
/** Raises the cooperative cancel flag for this serial; a later request is not touched. Any thread.
 */
void bhp_worker_nudge(bhp_worker *worker, uint64_t serial);
/** 0 until STARTED. */
int64_t bhp_worker_pid(const bhp_worker *worker);
/** Whether a worker that was STARTED was forked from a template. */
bool bhp_worker_forked(const bhp_worker *worker);
/** The announced methods of a READY worker: an array of {name, help} maps that belongs to the
 * worker. */
const bh_value *bhp_worker_methods(const bhp_worker *worker);
/** The name by which others than the pool find a READY worker, if the pool keeps it registered;
 * else NULL. Belongs to the worker. */
const char *bhp_worker_moniker(const bhp_worker *worker);
/** Copies what the worker wrote to stdout and stderr, without blocking. @return bytes, 0: nothing
 * now */
size_t bhp_worker_output(bhp_worker *worker, char *buffer, size_t size);
/** Anonymous memory of the process now, pages that it shares with a template included; 0 when it
 * cannot be told. */
uint64_t bhp_worker_rss(bhp_worker *worker);
/** Copies the box. Any thread, until bhp_worker_free(). */
void bhp_worker_box(const bhp_worker *worker, struct bhp_box *box);
/** Copies the last complete partial reply that it published for this serial. For who holds its
 * lease, after bhp_lane_call() or bhp_lane_next() for it. @param[out] value owned by the caller
 * @return whether there is one
 */
bool bhp_worker_partial(bhp_worker *worker, uint64_t serial, bh_value *value);
/** After EXITED: the evidence. */
void bhp_worker_obituary(bhp_worker *worker, struct bhp_obituary *obituary);
/** After EXITED, when no thread is in a lane call on it: frees everything. NULL is fine. */
void bhp_worker_free(bhp_worker *worker);

/* ---- the loop ---- */

enum bhp_event_type {
    BHP_EVENT_STARTED, /* the process runs; bhp_worker_pid() is known */
    BHP_EVENT_READY,   /* it shook hands and can serve */
    BHP_EVENT_OUTPUT,  /* bhp_worker_output() has something */
    BHP_EVENT_EXITED,  /* it has ended and been reaped */
    BHP_EVENT_LOST, /* the nursery itself was lost (owner NULL); EXITED follows for each worker */
    BHP_EVENT_TEMPLATE /* bhp_nursery_template() has something (owner NULL) */
};

struct bhp_event {
    enum bhp_event_type type;
    void *owner;
};

/** Waits for events until `until`; at most `capacity` at once. Returns their number, 0 for a kick
 * or the time. Output is level-triggered; the others come once. */
size_t bhp_loop_wait(bhp_nursery *nursery, int64_t until, struct bhp_event *events,
                     size_t capacity);
/** Makes bhp_loop_wait() return soon, once. Any thread; async-signal-safe. */
void bhp_loop_kick(bhp_nursery *nursery);

/* ---- memory shared with a worker ---- */

/** A piece of memory shared with a worker, with a count of its users. It outlives the worker and
 * the pool, and no access to it fails, whatever the worker does. */
typedef struct bhp_memory bhp_memory;
/** Memory that this process writes and workers read, for arguments that are not copied.
 * @return BH_OK, BH_E_MEMORY. Any thread */
int bhp_memory_new(bhp_memory **memory, uint64_t bytes);
/** Its first byte, at a multiple of 64, and its size, at least as large as was asked for. */
void *bhp_memory_at(const bhp_memory *memory);
uint64_t bhp_memory_bytes(const bhp_memory *memory);
/** One user less. NULL is fine. Any thread. */
void bhp_memory_free(bhp_memory *memory);

/* ---- the lane: one request to one worker ---- */

/** How a callback ended. */
enum bhp_callback_end {
    BHP_CALLBACK_REPLIED, /* value */
    BHP_CALLBACK_FAILED,  /* code, text: the caller's function said so */
    BHP_CALLBACK_REFUSED  /* code (an enum bh_error), text: there is none, or it was not called */
};

/** One callback of a request's, as a worker asked for it: private copies, decoded. */
struct bhp_callback {
    const char *name;          /* NUL-terminated UTF-8 */
    const bh_value *arguments; /* `count` of them */
    size_t count;
    uint32_t depth; /* from 1 */
    void *lane;     /* the platform's own: for bhp_lane_nested() */
    /* the answer; owned by the platform once the hook has returned */
    enum bhp_callback_end end;
    bh_value value;
    int32_t code;
    char *text; /* bhi_free(); NULL: none */
};

/** Answers a callback. Called on any thread, one at a time for a call, while bhp_lane_call() is
 * under way; the answer is null when it comes. May take any time, and use bhp_lane_nested(). */
typedef void (*bhp_callback_fn)(void *context, struct bhp_callback *callback);

/** A request as the platform sees it. */
struct bhp_call {
    uint64_t serial;
    const char *method;
    const bh_value *arguments;
    size_t argument_count;
    bhp_callback_fn callback; /* NULL: the worker may not call back */
    void *callback_context;
    uint32_t callback_depth; /* how deep callbacks may nest; the platform holds the worker to it */
    bhp_word *stop;     /* private: becomes non-zero (and is woken) when the worker has EXITED */
    bhp_memory *memory; /* payloads that lie in it are not copied; NULL: none. Always with the same
                           worker */
    bool borrow;        /* the reply's payloads may stay where the worker wrote them */
};

enum bhp_lane_end {
    BHP_LANE_REPLIED,    /* reply->value */
    BHP_LANE_FAILED,     /* reply->code, reply->text: the handler said so */
    BHP_LANE_NO_METHOD,  /* the worker has no such method; nothing was sent */
    BHP_LANE_TOO_LARGE,  /* the arguments do not fit; nothing was sent; reply->text says why */
    BHP_LANE_INVALID,    /* the arguments cannot be marshalled; nothing was sent; reply->text */
    BHP_LANE_MEMORY,     /* no memory to send; nothing was sent */
    BHP_LANE_BROKEN,     /* a reply that breaks the protocol: reply->text; the worker must die */
    BHP_LANE_UNREADABLE, /* a committed reply for which the dispatcher lacks the memory:
                           reply->text; the worker is blameless */
    BHP_LANE_LOST,       /* the worker ended without a reply, or (COM) its lane did and the
                            core kills it: the obituary then says what is known */
    BHP_LANE_GIVEN_BACK  /* from a slot: it was revoked, and never started */
};

struct bhp_reply {
    bh_value value; /* owned */
    bool unsent;    /* BROKEN: before the request was published; no handler can have seen it */
    int32_t code;
    char *text;           /* owned (bh_free) */
    bhp_memory *borrowed; /* owned; where payloads of `value` lie. NULL: it was copied. The worker
                             must not get another call before this is freed */
    bool large;           /* the call used memory that is made for large ones */
    bool kept; /* which this process or the worker keeps for the next: see bhp_lane_trim() */
};

/**
 * Sends the request and waits for its end on the calling thread, which holds the worker's lease:
 * never two at once for a worker. On Linux it marshals into the shared half and waits on the
 * worker's words and on the stop word; with COM it is Invoke. A reply that was committed before the
 * worker's end is found even if the end was noticed first. @param reply zeroed by the caller,
 * filled according to the end
 */
enum bhp_lane_end bhp_lane_call(bhp_worker *worker, const struct bhp_call *call,
                                struct bhp_reply *reply);

/**
 * Calls a method of the worker that waits for this callback, and waits for the answer; deeper
 * callbacks may come meanwhile. On the callback's own thread, before it returns.
 * @param reply zeroed by the caller @return REPLIED, FAILED, NO_METHOD, TOO_LARGE, INVALID, MEMORY,
 * UNREADABLE; or LOST: no answer will come, and bhp_lane_call() will say why
 */
enum bhp_lane_end bhp_lane_nested(struct bhp_callback *callback, const char *method,
                                  const bh_value *arguments, size_t argument_count,
                                  struct bhp_reply *reply);

/* ---- what is kept for large requests ---- */

/** What bhp_lane_trim() leaves to be freed with bhp_memory_free(), or NULLs. */
#define BHP_TRIMMED 2

/**
 * Lets go of the memory that was kept for large requests, on both sides. For a worker that nobody
 * has leased, or whose lease rests. Does not block: what takes its time, giving back the memory, is
 * left to the caller.
 * @param in_use the memory that further calls may use, which stays known to the worker; or NULL
 */
void bhp_lane_trim(bhp_worker *worker, const bhp_memory *in_use, bhp_memory *trimmed[BHP_TRIMMED]);

/* ---- slots: small requests that wait in the lane of one worker ----------------------------------
 *
 * A capability. Whoever holds a worker's lease may put small requests into its slots instead of
 * calling; the worker serves them one after the other in that order, without waiting for anybody in
 * between. Serials ascend. Nothing may be called while a slot is not yet done with.
 */

/** How many requests a lane holds at once; 1: it has no slots, and the functions below are never
 * called. Fixed. Any thread. */
uint32_t bhp_lane_slots(void);

enum bhp_put {
    BHP_PUT_DONE, /* the worker may start it from now on */
    BHP_PUT_FULL, /* not now */
    BHP_PUT_UNFIT /* not this way: too large for a slot, or there is something to say about it */
};
/** Puts a request into the next slot. Does not wait, and reads call->arguments now. May be called
 * with a lock held; never at the same time as itself or bhp_lane_revoke() for the same worker. */
enum bhp_put bhp_lane_put(bhp_worker *worker, const struct bhp_call *call);

/** Waits for the end of the request in a slot as bhp_lane_call() does: the oldest one that was not
 * revoked and whose end was not told yet. */
enum bhp_lane_end bhp_lane_next(bhp_worker *worker, const struct bhp_call *call,
                                struct bhp_reply *reply);

enum bhp_revoke {
    BHP_REVOKED,      /* it never starts; bhp_lane_next() is not called for it */
    BHP_REVOKE_LATE,  /* it has started, or is about to be given back: bhp_lane_next() tells */
    BHP_REVOKE_BROKEN /* the worker says that it came to it without those before: it must die */
};
/** Takes a request back out of its slot, one of a lease that is held. As to threads and locks: see
 * bhp_lane_put(). */
enum bhp_revoke bhp_lane_revoke(bhp_worker *worker, uint64_t serial);

#endif
