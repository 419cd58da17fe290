/* SPDX-License-Identifier: MIT */
/**
 * @file pool.h
 * The dispatcher's side: a pool of identical worker processes, requests, outcomes and deaths.
 *
 * A pool starts workers, gives each request to one worker, one request at a time, notices every
 * death, says what it was and goes on. A request ends in exactly one outcome.
 *
 * Threads. Every function may be called from any thread at any time, but bh_pool_close(), after
 * which nothing may use the pool. One supervisor thread per pool belongs to the library; it blocks
 * all signals. The event sink runs on that thread or on the thread of the caller concerned, never
 * with a lock held; it must not wait: no bh_pool_call(), bh_pool_wait_ready(), bh_pool_methods() or
 * bh_pool_close() from it. A request's callbacks (callback.h) may take their time and call other
 * pools, but must not wait for the pool that they run for; a call that would is refused at once.
 *
 * Guest manners. The library never prints, never exits, installs no signal handler, and its
 * processes are invisible to the host's SIGCHLD and waitpid(-1), unless the host is the first
 * process of a container or a subreaper: then the pool's launcher is its child, and one SIGCHLD
 * comes when the pool closes. All times are milliseconds of a monotonic clock unless the name says
 * otherwise.
 *
 * Modelled on: the process managers of FastCGI and Apache's prefork (min/spare/max), systemd
 * (restart back-off, start limit), Erlang/OTP supervisors (a death is data), gRPC (deadline,
 * cancellation).
 */
#ifndef BULKHEAD_POOL_H
#define BULKHEAD_POOL_H

#include <bulkhead/callback.h>
#include <bulkhead/value.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bh_pool bh_pool;
typedef struct bh_cancel bh_cancel;

/* ---- outcomes ---------------------------------------------------------------------------------
 */

/** How a request ended. X(name, text) */
#define BH_OUTCOME_LIST(X)                                                                         \
    X(BH_OUTCOME_REPLIED, "replied") /* the handler's value is in `reply` */                       \
    X(BH_OUTCOME_FAILED, "failed")   /* the handler said so: `code` and `text` */                  \
    X(BH_OUTCOME_DIED, "died")       /* the worker died of it or under it: `death` */              \
    X(BH_OUTCOME_DEADLINE,                                                                         \
      "deadline") /* too slow (also: no progress); `death` if it was killed */                     \
    X(BH_OUTCOME_CANCELLED, "cancelled") /* by bh_cancel_raise() */                                \
    X(BH_OUTCOME_REFUSED, "refused")     /* by the pool: `refusal` and `text` */

/** How far a request came. When in doubt: started. X(name, text) */
#define BH_DELIVERY_LIST(X)                                                                        \
    X(BH_DELIVERY_NEVER_STARTED, "never started") /* no handler saw it: safe to send again */      \
    X(BH_DELIVERY_STARTED, "started")             /* a handler may have begun */                   \
    X(BH_DELIVERY_COMMITTED,                                                                       \
      "reply committed") /* the handler was done (also of deadline, cancelled) */

/** Why the pool refused. X(name, text) */
#define BH_REFUSAL_LIST(X)                                                                         \
    X(BH_REFUSAL_NONE, "none")                                                                     \
    X(BH_REFUSAL_QUEUE_FULL, "queue full")                                                         \
    X(BH_REFUSAL_CLOSING, "closing")                                                               \
    X(BH_REFUSAL_CRASH_LOOP, "crash loop")                                                         \
    X(BH_REFUSAL_QUARANTINED, "quarantined")                                                       \
    X(BH_REFUSAL_CANNOT_START, "cannot start the worker")                                          \
    X(BH_REFUSAL_TOO_LARGE, "too large")                                                           \
    X(BH_REFUSAL_NO_METHOD, "no such method")                                                      \
    X(BH_REFUSAL_MEMORY, "no memory")                                                              \
    X(BH_REFUSAL_FORKED, "pool used in a forked child")                                            \
    X(BH_REFUSAL_INVALID, "invalid argument")                                                      \
    X(BH_REFUSAL_SESSION_LOST, "session lost")                                                     \
    X(BH_REFUSAL_WOULD_DEADLOCK, "would deadlock")

/* ---- deaths -----------------------------------------------------------------------------------
 */

/** When a worker died. X(name, text) */
#define BH_PHASE_LIST(X)                                                                           \
    X(BH_PHASE_START_UP, "start-up")                                                               \
    X(BH_PHASE_REQUEST, "request")                                                                 \
    X(BH_PHASE_IDLE, "between requests") /* also while it was quitting */

/** Why a worker died. X(name, text) */
#define BH_CAUSE_LIST(X)                                                                           \
    X(BH_CAUSE_UNKNOWN, "unknown")         /* everything without evidence: never a guess */        \
    X(BH_CAUSE_FAULT, "fault")             /* caught in the act: signal, address, registers */     \
    X(BH_CAUSE_ABORT, "abort")             /* SIGABRT that it raised itself */                     \
    X(BH_CAUSE_EXIT, "exit")               /* exit code; `exiting` tells exit() from _exit() */    \
    X(BH_CAUSE_DEADLINE, "deadline")       /* our kill: request, start-up or quit took too long */ \
    X(BH_CAUSE_NO_PROGRESS, "no progress") /* our kill */                                          \
    X(BH_CAUSE_CANCELLED, "cancelled")     /* our kill: cancel, or the end of a drain */           \
    X(BH_CAUSE_MEMORY_LIMIT,                                                                       \
      "memory limit")              /* our kill, or the kernel's, counted by the cgroup */          \
    X(BH_CAUSE_KILLED, "killed")   /* by a signal; by whom only where it is known */               \
    X(BH_CAUSE_SANDBOX, "sandbox") /* SIGSYS: `syscall` */                                         \
    X(BH_CAUSE_PROTOCOL, "broke the protocol") /* our kill: `detail` says what was wrong */        \
    X(BH_CAUSE_LAUNCHER_LOST, "launcher lost")                                                     \
    X(BH_CAUSE_NOT_STARTED, "not started") /* no process came to be: `detail`, `os_error` */       \
    X(BH_CAUSE_QUIT, "quit")               /* no death at all: it left when asked or when idle */

#define BH_ENUM_MEMBER(name, text) name,
enum bh_outcome { BH_OUTCOME_LIST(BH_ENUM_MEMBER) BH_OUTCOME_COUNT };
enum bh_delivery { BH_DELIVERY_LIST(BH_ENUM_MEMBER) BH_DELIVERY_COUNT };
enum bh_refusal { BH_REFUSAL_LIST(BH_ENUM_MEMBER) BH_REFUSAL_COUNT };
enum bh_phase { BH_PHASE_LIST(BH_ENUM_MEMBER) BH_PHASE_COUNT };
enum bh_cause { BH_CAUSE_LIST(BH_ENUM_MEMBER) BH_CAUSE_COUNT };

/** The text of each, as in the lists above; "?" for an unknown number. Static strings. */
BH_API const char *bh_outcome_name(unsigned outcome);
BH_API const char *bh_delivery_name(unsigned delivery);
BH_API const char *bh_refusal_name(unsigned refusal);
BH_API const char *bh_phase_name(unsigned phase);
BH_API const char *bh_cause_name(unsigned cause);

/** Registers that a fault record can hold. */
#define BH_REGISTERS_MAX 40

/** The name of register `i` in bh_death.registers on the architecture the library was built for
 * ("rax", …); NULL past the last. From bh_death.first_register on: those of a worker of another
 * architecture (Windows: 32 bits, "eax", …). Static string. */
BH_API const char *bh_register_name(unsigned i);

/** A piece of a dead worker's output and the requests that could have written it. */
struct bh_output_chunk {
    uint64_t first_serial; /**< 0: it may have been written before the first request */
    uint64_t last_serial;  /**< equal to first_serial: it was exactly this one */
    size_t offset;         /**< into bh_death.output */
    size_t length;         /**< bytes */
};

/**
 * The record of how a worker ended. What is not known is 0 (numbers), empty (text) or false. The
 * record owns `output` and `chunks`: free it with bh_death_deinit() unless it came inside a
 * `const struct bh_death *` that somebody else owns.
 */
struct bh_death {
    uint64_t cookie; /**< of the worker's life, unique in the dispatcher's process */
    int64_t pid;     /**< for people; the number may serve another process by now */
    enum bh_phase phase;
    enum bh_cause cause;
    uint64_t serial;         /**< of the request it was serving, 0 if none */
    uint64_t served;         /**< requests that it had finished before */
    uint64_t uptime_ms;      /**< from its start to the notice of its end */
    uint64_t peak_rss_bytes; /**< highest anonymous memory that was sampled; 0: never sampled */
    uint64_t max_rss_bytes;  /**< most memory of all kinds, as the system counted; 0: not known */
    uint64_t user_us;        /**< processor time spent in user mode */
    uint64_t system_us;

    int signal;           /**< it ended by this signal; 0 if it did not */
    char signal_name[16]; /**< "SIGSEGV" */
    int exit_code;        /**< it ended by exit with this code; -1 if it did not */
    bool exiting;       /**< it went through exit(): our atexit hook ran. (Windows: also by _exit(),
                             which ends in the same system call) */
    uint32_t exception; /**< Windows: exception code; 0 elsewhere */
    int os_error;       /**< BH_CAUSE_NOT_STARTED: errno or GetLastError() */

    bool has_fault;       /**< the fields down to `registers` were caught in the act */
    bool stack_overflow;  /**< the address lies at the end of the faulting thread's stack */
    int signal_code;      /**< si_code */
    uint64_t thread_id;   /**< the faulting thread; equal to pid for the main thread */
    uint64_t address;     /**< that was touched (SIGSEGV, SIGBUS) or executed (SIGILL, SIGFPE) */
    uint64_t instruction; /**< program counter */
    uint64_t stack_pointer;
    uint32_t register_count;
    uint32_t first_register; /**< registers[i] is bh_register_name(first_register + i) */
    uint64_t registers[BH_REGISTERS_MAX];

    int64_t sender_pid;   /**< who sent the signal; 0 when nobody knows */
    uint32_t sender_uid;  /**< meaningful with sender_pid */
    uint64_t limit_bytes; /**< BH_CAUSE_MEMORY_LIMIT: the limit; 0 when it was the cgroup's */
    int syscall;          /**< BH_CAUSE_SANDBOX: its number; -1 otherwise */
    char syscall_name[32];
    char detail[160]; /**< one line for a person, may be empty */
    char dump[780];   /**< path of its minidump (bh_pool_options.dump_directory); or empty */

    char *output;         /**< the tail of stdout and stderr, NUL-terminated; NULL when empty. Bytes
                               as written: not promised to be UTF-8 */
    size_t output_length; /**< bytes, without the NUL */
    uint64_t output_dropped;        /**< bytes before the tail that were not kept */
    struct bh_output_chunk *chunks; /**< in order; together they cover `output` */
    size_t chunk_count;
};

/** Copies deeply. @return BH_OK or BH_E_MEMORY (then *out is empty) */
BH_API int bh_death_copy(struct bh_death *out, const struct bh_death *death);
/** Frees what the record owns and zeroes it. NULL is fine. */
BH_API void bh_death_deinit(struct bh_death *death);
/** One line for a person: "worker 7 (pid 4711) died during a request: fault, SIGSEGV at address
 * 0x0". Always NUL-terminated within `size` bytes. @return `text` */
BH_API char *bh_death_describe(const struct bh_death *death, char *text, size_t size);
/** The whole record as a map, with the names that the JSON outputs use. @return BH_OK, BH_E_MEMORY
 */
BH_API int bh_death_to_value(const struct bh_death *death, bh_value *out);

/* ---- requests ---------------------------------------------------------------------------------
 */

/** What a caller asks for. Initialise with BH_REQUEST_INIT; nothing is kept after the call. */
struct bh_request {
    size_t size;               /**< sizeof(struct bh_request) */
    const char *method;        /**< NUL-terminated UTF-8 */
    const bh_value *arguments; /**< `argument_count` values; only read */
    size_t argument_count;
    uint32_t deadline_ms;    /**< from now to the end, queueing included; 0: the pool's */
    uint32_t no_progress_ms; /**< longest silence of a running handler; 0: the pool's */
    uint32_t retries;        /**< the caller declares it repeatable: how often it may be sent again
                                  after a death; 0: never */
    bh_cancel *cancel;       /**< raised by another thread to end the request; may be NULL */
    void *user;              /**< handed back in events */
    const struct bh_callback *callbacks; /**< that the handler may call, up to an entry without a
                                              name; must live until the request has ended. NULL:
                                              none. See callback.h */
    void *callback_context;              /**< for them */
    bool borrow; /**< bytes and typed arrays of a large reply may stay in the worker's memory: see
                      bh_result.borrowed */
    bool small;  /**< bh_pool_submit() only: it may wait behind others in one worker, see async.h */
};
#define BH_REQUEST_INIT                                                                            \
    {                                                                                              \
        sizeof(struct bh_request), NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, NULL, false, false    \
    }

/** How a request ended, and what came of it. */
struct bh_result {
    enum bh_outcome outcome;
    enum bh_delivery delivery;
    enum bh_refusal refusal; /**< BH_OUTCOME_REFUSED */
    uint64_t serial;         /**< of the last attempt; 0 if it never got one */
    bh_value reply;          /**< BH_OUTCOME_REPLIED, or `partial`; owned */
    int32_t code;            /**< BH_OUTCOME_FAILED: the handler's */
    char *text; /**< failed: the handler's; refused: why, for a person. Owned; or NULL */
    bool has_death;
    struct bh_death death; /**< died, deadline, cancelled: of the worker, if it ended; of the
                                   last attempt, when the next one was not given out; refused as
                                crash loop or cannot start: of the last failed start */
    uint32_t attempts;     /**< times it was given to a worker and charged */
    uint64_t elapsed_us;   /**< from the call to its end */
    uint64_t queued_us;    /**< of which waiting for a worker */
    bool partial; /**< died, deadline, cancelled: `reply` holds the last partial reply that the
                       handler of the last attempt published (bh_call_partial()); owned all the same
                   */

    /**
     * Payloads of `reply` lie in the worker's memory (bh_request.borrow). Everything else of it is
     * a copy that was checked, strings too; but a payload is only as good as its worker: a
     * corrupted one may go on writing there, so that the bytes can change from one look to the
     * next. No access to them fails, and their number stays.
     *
     * The worker gets no further request before bh_result_deinit(): a thread that borrows and calls
     * on can wait for itself. The request has ended: no deadline applies to the borrowing, and a
     * worker that dies now, or is told to leave, takes nothing away. A pool that closes does not
     * wait: the reply outlives it. A forked child must not touch a borrowed payload. A copy by
     * bh_value_copy() borrows nothing.
     */
    bool borrowed;
    struct bh_loan *loan; /**< the library's, with `borrowed` */
};
/** Frees what the result owns, gives back what it borrowed, and zeroes it. Any thread. NULL is
 * fine.
 */
BH_API void bh_result_deinit(struct bh_result *result);
/** The result as a map with the members of `bulkhead call --json`. @return BH_OK, BH_E_MEMORY */
BH_API int bh_result_to_value(const struct bh_result *result, bh_value *out);

/**
 * Sends a request and waits for its end, on the caller's thread.
 * @param[out] result always filled; to be freed with bh_result_deinit() whatever the outcome
 * @return the outcome
 */
BH_API enum bh_outcome bh_pool_call(bh_pool *pool, const struct bh_request *request,
                                    struct bh_result *result);

/** The short form: method and arguments, the pool's own deadline. */
BH_API enum bh_outcome bh_pool_invoke(bh_pool *pool, const char *method, const bh_value *arguments,
                                      size_t argument_count, struct bh_result *result);

/** A cancel token: any number of requests may carry it, one after the other or at once. */
BH_API bh_cancel *bh_cancel_new(void); /* NULL: no memory */
/** Ends every request that carries the token, now and from now on: a queued one at once, a running
 * one cooperatively first, and after the pool's grace_ms by killing its worker. Any thread. */
BH_API void bh_cancel_raise(bh_cancel *cancel);
/** Only when no request uses it any more. NULL is fine. */
BH_API void bh_cancel_free(bh_cancel *cancel);

/* ---- events -----------------------------------------------------------------------------------
 */

/** What happens in a pool. X(name, text) */
#define BH_EVENT_LIST(X)                                                                           \
    X(BH_EVENT_STARTED, "started") /* a worker's process runs: cookie, pid */                      \
    X(BH_EVENT_READY, "ready")     /* it can serve; `text`: its moniker, with keep_registered */   \
    X(BH_EVENT_DIED, "died")       /* `death`, which belongs to the library */                     \
    X(BH_EVENT_QUIT, "quit") /* it left as asked: idle, recycled, replaced or closing; `death` */  \
    X(BH_EVENT_RECYCLE, "recycle")   /* it was asked to leave: `text` says which rule */           \
    X(BH_EVENT_REFUSED, "refused")   /* a request was refused: `refusal`, `text`, `user` */        \
    X(BH_EVENT_OUTPUT, "output")     /* a worker wrote: `text`, `text_length` bytes, raw */        \
    X(BH_EVENT_BREAKER, "breaker")   /* the crash-loop breaker opened or closed: `text` */         \
    X(BH_EVENT_LAUNCHER, "launcher") /* the launcher was lost or is back: `text` */                \
    X(BH_EVENT_REPLACED, "replaced") /* every worker is of the current generation */               \
    X(BH_EVENT_SESSION_LOST,                                                                       \
      "session lost") /* its worker ended, or its time was over: cookie, `text`; `death` if any */ \
    X(BH_EVENT_TEMPLATE,                                                                           \
      "template") /* workers can be forked from one: pid; or it was lost: `text` says how */

enum bh_event_type { BH_EVENT_LIST(BH_ENUM_MEMBER) BH_EVENT_COUNT };
BH_API const char *bh_event_name(unsigned type);

/** One event. Pointers are valid during the callback only. */
struct bh_event {
    enum bh_event_type type;
    int64_t time_ms; /**< UTC, since 1970 */
    uint64_t cookie; /**< 0 when no worker is concerned */
    int64_t pid;
    uint64_t serial;
    enum bh_refusal refusal;
    const char *text; /**< or NULL */
    size_t text_length;
    const struct bh_death *death; /**< or NULL */
    void *user;                   /**< bh_request.user, of the request concerned */
};
/** @param context bh_pool_options.event_context */
typedef void (*bh_event_fn)(void *context, const struct bh_event *event);

/* ---- options ----------------------------------------------------------------------------------
 */

/** A resource limit of the worker processes. `resource` is the system's RLIMIT_ number. */
struct bh_rlimit {
    int resource;
    uint64_t soft; /**< UINT64_MAX: unlimited */
    uint64_t hard;
};

/**
 * Numeric policy options: X(field, type, default, minimum, maximum, "option-name", scale, "help").
 * `type` is u32 or u64; the option's text is multiplied by `scale`. The struct below, its defaults,
 * bh_pool_options_set(), the command line and the documentation are made from this one list. (The
 * default of max_workers here stands in where the number of processors is not known.)
 */
#define BH_POOL_OPTION_LIST(X)                                                                     \
    X(min_workers, u32, 1, 0, 1024, "min-workers", 1, "workers kept even when idle")               \
    X(max_workers, u32, 4, 1, 1024, "max-workers", 1, "workers at most")                           \
    X(standby_workers, u32, 0, 0, 1024, "standby-workers", 1,                                      \
      "idle workers kept ready beside the busy ones, inside max-workers")                          \
    X(queue_length, u32, 1024, 0, 1000000, "queue-length", 1,                                      \
      "requests that may wait for a worker")                                                       \
    X(start_timeout_ms, u32, 10000, 1, 86400000, "start-timeout-ms", 1,                            \
      "time a worker has to become ready")                                                         \
    X(deadline_ms, u32, 0, 0, 2147483647, "deadline-ms", 1,                                        \
      "time a request has from call to end; 0: no limit")                                          \
    X(no_progress_ms, u32, 0, 0, 2147483647, "no-progress-ms", 1,                                  \
      "longest silence of a running handler; 0: no limit")                                         \
    X(grace_ms, u32, 100, 0, 86400000, "grace-ms", 1,                                              \
      "between the cooperative cancel flag and the kill")                                          \
    X(idle_timeout_ms, u32, 60000, 0, 2147483647, "idle-timeout-ms", 1,                            \
      "idle workers above min-workers leave after this; 0: never")                                 \
    X(recycle_requests, u64, 0, 0, 1000000000000, "recycle-requests", 1,                           \
      "a worker leaves after this many requests; 0: never")                                        \
    X(recycle_seconds, u64, 0, 0, 1000000000, "recycle-seconds", 1,                                \
      "a worker leaves after this time; 0: never")                                                 \
    X(recycle_rss_bytes, u64, 0, 0, 1099511627776, "recycle-rss-mib", 1048576,                     \
      "a worker leaves when its anonymous memory is above this after a request; 0: never")         \
    X(recycle_jitter_percent, u32, 10, 0, 100, "recycle-jitter-percent", 1,                        \
      "spread of the recycle limits, so that workers do not leave together")                       \
    X(backoff_initial_ms, u32, 50, 1, 86400000, "backoff-initial-ms", 1,                           \
      "pause after a start-up that failed; doubles with each further one")                         \
    X(backoff_max_ms, u32, 5000, 1, 86400000, "backoff-max-ms", 1, "longest such pause")           \
    X(crash_loop_limit, u32, 5, 1, 1000000, "crash-loop-limit", 1,                                 \
      "failed start-ups in a row after which requests are refused")                                \
    X(drain_timeout_ms, u32, 5000, 0, 86400000, "drain-timeout-ms", 1,                             \
      "time that running requests have when the pool closes, and a worker has to quit")            \
    X(memory_limit_bytes, u64, 0, 0, 1099511627776, "memory-limit-mib", 1048576,                   \
      "a worker with more anonymous memory is killed; 0: no limit")                                \
    X(lane_bytes, u32, 65536, 16384, 16777216, "lane-kib", 1024,                                   \
      "memory shared with each worker, each way; larger messages make more of it")                 \
    X(max_request_bytes, u64, 268435456, 4096, 4294967296, "max-request-mib", 1048576,             \
      "largest arguments of one request")                                                          \
    X(max_reply_bytes, u64, 268435456, 4096, 4294967296, "max-reply-mib", 1048576,                 \
      "largest reply of one request")                                                              \
    X(output_tail_bytes, u32, 16384, 0, 16777216, "output-tail-kib", 1024,                         \
      "end of a worker's output that is kept for its death record")                                \
    X(dump_timeout_ms, u32, 30000, 100, 600000, "dump-timeout-ms", 1,                              \
      "time a dying worker has to write its minidump, if dumps are wanted (Windows)")              \
    X(templates, u32, 1, 0, 2, "templates", 1,                                                     \
      "fork-safe workers from a warm template, on Linux: 0 never, 1 once there is one, 2 first")   \
    X(max_partial_bytes, u32, 65536, 0, 16777216, "max-partial-kib", 1024,                         \
      "largest partial reply that a handler may publish before its answer; 0: none")               \
    X(max_callback_depth, u32, 8, 1, 64, "max-callback-depth", 1,                                  \
      "how deep callbacks may nest in one request")

#define BH_OPTION_TYPE_u32 uint32_t
#define BH_OPTION_TYPE_u64 uint64_t

/** Everything about a pool. Initialise with bh_pool_options_init(); pointers need to live only
 * until bh_pool_open() returns (the pool keeps copies), but for the callback's context. */
struct bh_pool_options {
    size_t size;        /**< sizeof(struct bh_pool_options) */
    const char *name;   /**< shows in process lists and events; NULL: the program's file name */
    const char *worker; /**< path of the worker program; looked up in PATH without a '/' */
    const char *const
        *arguments; /**< for the worker, without argv[0]; NULL-terminated; may be NULL */
    const char *const *environment; /**< "NAME=value" to set, "NAME" to remove; NULL-terminated; may
                                         be NULL. The rest is the dispatcher's environment */
    bool clear_environment;         /**< begin with an empty environment */
    const char *directory; /**< working directory; NULL: the dispatcher's at bh_pool_open() */
    const char *user;      /**< user name or number to run as (needs the privilege); NULL: same */
    int nice;              /**< added to the dispatcher's niceness, -20 … 19 */
    const char *affinity;  /**< CPU list "0-3,8"; NULL: the dispatcher's */
    const struct bh_rlimit *rlimits; /**< `rlimit_count` of them; may be NULL */
    size_t rlimit_count;
    bool allow_cores;     /**< let dying workers dump core; delays every death notice */
    bool rearm_handlers;  /**< put our fault handlers back before each request when a library
                               replaced them */
    bool keep_registered; /**< Windows: workers stay in the Running Object Table, where late-bound
                               clients of the same user (scripts) find them by the item moniker
                             whose display name is the text of BH_EVENT_READY: "!" and its item.
                             Their calls wait and are waited for like the pool's. Elsewhere it means
                               nothing */
    const char *dump_directory; /**< Windows: an existing directory; a worker that faults or aborts
                                     writes a minidump there first, which delays the notice of its
                                     death, by dump_timeout_ms + 2000 at most: bh_death.dump. NULL:
                                     no dumps. Linux refuses it: see allow_cores */
    const char *launcher;       /**< path of a launcher program; NULL: the one inside the library */
    bh_event_fn on_event;       /**< may be NULL */
    void *event_context;
    uint32_t event_mask; /**< bit 1 << type; 0: everything but BH_EVENT_OUTPUT */
#define BH_OPTION_FIELD(field, type, ...) BH_OPTION_TYPE_##type field;
    BH_POOL_OPTION_LIST(BH_OPTION_FIELD)
#undef BH_OPTION_FIELD
};

/** Fills in the defaults. max_workers becomes the number of processors. */
BH_API void bh_pool_options_init(struct bh_pool_options *options);

/** One numeric option, for a command line or a manual page. */
struct bh_option_info {
    const char *name; /**< "memory-limit-mib" */
    uint64_t initial; /**< the default; like min and max in the unit of the name */
    uint64_t minimum;
    uint64_t maximum;
    const char *help;
};
/** Option number i, or NULL past the last. Static. */
BH_API const struct bh_option_info *bh_pool_option_info(size_t i);
/** Sets a numeric option by its name from text ("1500").
 * @return BH_OK, BH_E_NOT_FOUND (no such option), BH_E_SYNTAX, BH_E_RANGE; problem names the
 * allowed values */
BH_API int bh_pool_options_set(struct bh_pool_options *options, const char *name, const char *text,
                               struct bh_problem *problem);

/* ---- the pool ---------------------------------------------------------------------------------
 */

/**
 * Opens a pool: checks the options and the system (Linux 5.16 or later), starts the launcher and
 * begins to start min_workers. Returns before they are ready: a worker that cannot be started shows
 * in the first request's result and in the events.
 * @param[out] pool to be closed with bh_pool_close(); NULL on failure
 * @return BH_OK, BH_E_INVALID, BH_E_MEMORY, BH_E_SYSTEM, BH_E_UNSUPPORTED
 */
BH_API int bh_pool_open(bh_pool **pool, const struct bh_pool_options *options,
                        struct bh_problem *problem);

/** Waits until `count` workers are ready (0: min_workers), the pool finds that it cannot start any,
 * or the time is over. @return BH_OK, BH_E_START, BH_E_CLOSED, BH_E_FORKED, BH_E_STATE (time over)
 */
BH_API int bh_pool_wait_ready(bh_pool *pool, uint32_t count, uint32_t timeout_ms,
                              struct bh_problem *problem);

/** Begins to close, without waiting: new and queued requests are refused as closing, running ones
 * have drain_timeout_ms. Idempotent. */
BH_API void bh_pool_drain(bh_pool *pool);

/** Drains, waits until every worker has ended and every caller has its result, and frees the pool.
 * In a forked child it frees nothing and returns. NULL is fine. Must not be called from a callback.
 */
BH_API void bh_pool_close(bh_pool *pool);

/** Overlapped replacement: workers of a new generation start first, and as each becomes ready an
 * old one leaves after its request; at no moment can fewer serve than before. Returns at once;
 * BH_EVENT_REPLACED tells the end. @return BH_OK, BH_E_CLOSED, BH_E_FORKED */
BH_API int bh_pool_replace(bh_pool *pool);

/** The methods that a ready worker announced: an array of maps {name, help}, in the worker's order.
 * Starts a worker if none ever became ready. @param[out] methods owned by the caller
 * @return BH_OK, BH_E_START, BH_E_STATE (time over), BH_E_CLOSED, BH_E_FORKED, BH_E_MEMORY */
BH_API int bh_pool_methods(bh_pool *pool, uint32_t timeout_ms, bh_value *methods,
                           struct bh_problem *problem);

/* ---- introspection ----------------------------------------------------------------------------
 */

/** Buckets of a histogram: eight per power of two, relative error at most 1/8. */
#define BH_HISTOGRAM_BUCKETS 320

/** A histogram of durations in microseconds, up to 2^40. */
struct bh_histogram {
    uint64_t count;
    uint64_t sum_us;
    uint64_t max_us;
    uint64_t bucket[BH_HISTOGRAM_BUCKETS];
};
/** The duration below which `percent` (0 … 100) of the entries lie; 0 when empty. */
BH_API uint64_t bh_histogram_percentile(const struct bh_histogram *histogram, double percent);
/** The largest duration that bucket i counts, for exporters. */
BH_API uint64_t bh_histogram_limit(unsigned i);

/** What a worker is doing. X(name, text). The order is that of a life. */
#define BH_WORKER_STATE_LIST(X)                                                                    \
    X(BH_WORKER_STARTING, "starting") /* asked for; not ready yet */                               \
    X(BH_WORKER_IDLE, "idle")                                                                      \
    X(BH_WORKER_LEASED,                                                                            \
      "leased") /* belongs to a session, which is between its calls; or its reply is borrowed */   \
    X(BH_WORKER_BUSY, "busy")         /* serves `serial` */                                        \
    X(BH_WORKER_STOPPING, "stopping") /* told to give up its request; the grace runs */            \
    X(BH_WORKER_QUITTING, "quitting") /* told to leave */                                          \
    X(BH_WORKER_KILLED, "killed")     /* we killed it; its end is awaited */                       \
    X(BH_WORKER_DEAD, "dead")         /* gone; somebody still reads its record */
enum bh_worker_state { BH_WORKER_STATE_LIST(BH_ENUM_MEMBER) BH_WORKER_STATE_COUNT };
BH_API const char *bh_worker_state_name(unsigned state);

/** One worker in a snapshot. */
struct bh_worker_info {
    uint64_t cookie;
    int64_t pid; /**< 0 until its process runs */
    enum bh_worker_state state;
    uint64_t generation; /**< counts bh_pool_replace() */
    uint64_t served;
    uint64_t uptime_ms;
    uint64_t rss_bytes; /**< anonymous, last sample; 0: none */
    bool in_session;    /**< it belongs to a session */
    uint64_t serial;    /**< current request; 0: none */
    uint64_t request_age_ms;
    uint64_t progress_done; /**< as the worker said; hostile input, clamped to progress_total */
    uint64_t progress_total;
    char method[64]; /**< current request's, cut to fit at a character */
};

/** A pool at one moment. Counters only grow. */
struct bh_snapshot {
    uint64_t generation;
    uint64_t queued;    /**< requests that wait now */
    uint64_t submitted; /**< requests ever = sum of outcome[] + queued + running */
    uint64_t running;
    uint64_t outcome[BH_OUTCOME_COUNT];
    uint64_t refusal[BH_REFUSAL_COUNT];
    uint64_t death[BH_PHASE_COUNT]
                  [BH_CAUSE_COUNT]; /**< BH_CAUSE_QUIT is counted in `quits` instead */
    uint64_t quits;
    uint64_t starts;        /**< workers asked for */
    uint64_t ready;         /**< workers that ever became ready */
    uint64_t requeued;      /**< requests that went back because they provably never started */
    uint64_t retried;       /**< further attempts of repeatable requests */
    uint64_t sessions;      /**< open now and not lost */
    uint64_t sessions_lost; /**< ever */
    bool closing;
    bool breaker_open;      /**< requests are refused as crash loop */
    uint32_t failed_starts; /**< in a row */
    uint32_t worker_state[BH_WORKER_STATE_COUNT];
    struct bh_histogram latency;    /**< of replied and failed requests, call to end */
    struct bh_histogram wait;       /**< of requests that got a worker: in the queue */
    struct bh_worker_info *workers; /**< `worker_count` of them, by cookie; owned */
    size_t worker_count;
    uint64_t template_starts; /**< workers that were forked from a template */
};
/** Fills *snapshot. @return BH_OK, BH_E_MEMORY, BH_E_FORKED */
BH_API int bh_pool_snapshot(bh_pool *pool, struct bh_snapshot *snapshot);
/** Frees what it owns and zeroes it. NULL is fine. */
BH_API void bh_snapshot_deinit(struct bh_snapshot *snapshot);

#ifdef __cplusplus
}
#endif
#endif
