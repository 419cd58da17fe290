/* SPDX-License-Identifier: MIT */
/**
 * @file worker.h
 * The worker's side: a program (or a plug-in for bulkhead-host) that serves one request at a time.
 *
 * A worker is a table of methods and a main() that hands it to bh_worker_main(). Handlers run one
 * at a time on the thread that called bh_worker_main(), which is the main thread. A worker may
 * crash, exit, hang or be killed at any moment: that is what it is for.
 *
 * Modelled on: FCGI_Accept() loops (one request at a time, the process is the unit of failure),
 * sd-bus vtables (a static table of methods).
 */
#ifndef BULKHEAD_WORKER_H
#define BULKHEAD_WORKER_H

#include <bulkhead/value.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bh_call bh_call;

/**
 * A handler. It answers with bh_call_reply() or bh_call_fail(); one that returns without an answer
 * has replied null.
 * @param call      the request; valid until the handler returns
 * @param arguments `count` values *in place*: strings, bytes and typed arrays point into memory
 * that this process can read but not write, valid until the handler returns. Strings are checked
 * UTF-8 but not NUL-terminated.
 * @param context   what init() made
 */
typedef void (*bh_method_fn)(bh_call *call, const bh_value *arguments, size_t count, void *context);

struct bh_method {
    const char *name; /**< NUL-terminated UTF-8, unique in the table */
    bh_method_fn call;
    const char *help; /**< one line, "match(pattern, subject) -> [start, end] or null"; or NULL */
};

/** What a worker is. Everything but `size` and `methods` may be NULL or 0. */
struct bh_worker {
    size_t size;                     /**< sizeof(struct bh_worker) */
    const struct bh_method *methods; /**< ends with an entry whose name is NULL */
    /** Runs once before the first request. argv is the program's without what Bulkhead added,
     * argv[0] included, NULL-terminated, on Windows in UTF-8. Non-zero: the start-up failed; the
     * process exits with that code. What it writes to stderr reaches the death record. */
    int (*init)(int argc, char **argv, void **context);
    /** Runs once when the worker quits in order; not after a crash. */
    void (*fini)(void *context);
    /** Runs after each request, when its reply is already on the way: trim caches here. */
    void (*idle)(void *context);
    uint32_t
        idle_exit_ms; /**< leave after this long without a request; 0: the dispatcher decides */
    /**
     * Linux: init() may run once in a *template*, a process that serves nothing, and workers are
     * forked from it: see bh_pool_options.templates. By this the worker promises that after init()
     *  - the process has one thread (with more, no template is made);
     *  - it holds no descriptor, socket, lock, timer or shared mapping that must not be in several
     *    processes at once: connect and open such things at the first request;
     *  - nothing depends on what init() learnt of its process: number, parent, session, cookie;
     *  - equal seeds of random generators and equal addresses in all workers do no harm: address
     *    randomisation is shared.
     * Fork handlers (pthread_atfork()) run. BULKHEAD_COOKIE is all zeros in a template. What init()
     * writes there shows in BH_EVENT_TEMPLATE if the template is lost, never as output of a worker.
     * fini() and atexit() functions run in each worker that leaves, never in the template. Memory
     * limits count shared pages in each worker. Elsewhere than on Linux it means nothing.
     */
    bool fork_safe;
};
#define BH_WORKER_INIT                                                                             \
    {                                                                                              \
        sizeof(struct bh_worker), NULL, NULL, NULL, NULL, 0, false                                 \
    }

/**
 * Serves until it is told to quit, then returns the exit status for main(). Without a dispatcher
 * (the program was started by hand) it says on stderr how to start it, and returns 2; `--help`,
 * `--version` and `--methods` alone are answered on stdout with status 0.
 *
 * In the process it installs handlers for fatal signals (kept out of the way of a library's own),
 * an alternate signal stack for this thread and an atexit hook; stdin is the null device, stdout
 * and stderr lead to the dispatcher.
 */
BH_API int bh_worker_main(int argc, char **argv, const struct bh_worker *worker);

/** Answers with a value, which is copied into shared memory before this returns: the caller keeps
 * *value. Only the first answer of a call counts.
 * @return BH_OK, BH_E_STATE (already answered), BH_E_TOO_LARGE, BH_E_UTF8, BH_E_DEPTH, BH_E_TYPE,
 *         BH_E_MEMORY; after a failure the call is still unanswered */
BH_API int bh_call_reply(bh_call *call, const bh_value *value);

/**
 * Memory in which to write a large reply where the dispatcher will read it: bytes, string or typed
 * array values whose payload lies inside a call's buffer are not copied by bh_call_reply().
 * Payloads of less than 512 bytes (on Windows of less than 8 KiB, and strings), and replies that
 * are small anyway, are copied all the same; so may be what does not begin at a multiple of 8
 * within the buffer. Values with and without buffer may be mixed in one reply. A buffer that the
 * reply does not use is simply given back.
 *
 * A call can ask for several buffers. The first is always such memory; a further one if there is
 * room for it beside the others, which there is when the worker's calls of late needed as much in
 * all. Otherwise it is ordinary memory, and what lies in it is copied: who cares asks once, for the
 * sum. In a small request (bh_request.small) and in a call nested in a callback it is ordinary
 * memory, too, unless an earlier call's is still there.
 *
 * The memory is kept for later calls, up to 64 MiB, and given back when calls of late needed far
 * less, and about a second after the last large one when the worker is idle. Its content is
 * undefined at first: it may be that of an earlier reply. What is written to it after
 * bh_call_reply(), the dispatcher may see or not. Only on the thread of the handler.
 * @param bytes   all buffers of a call together: at most the pool's max_reply_bytes
 * @param[out] at aligned to 64; valid until the handler returns. NULL on failure
 * @return BH_OK, BH_E_TOO_LARGE, BH_E_MEMORY, BH_E_SYSTEM, BH_E_STATE (already answered)
 */
BH_API int bh_call_buffer(bh_call *call, size_t bytes, void **at);

/** Answers that the request failed, with the worker's own number and a text (printf; cut to 4 KiB;
 * bytes that are not UTF-8 are replaced by U+FFFD). @return BH_OK, BH_E_STATE */
BH_API int bh_call_fail(bh_call *call, int32_t code, const char *format, ...) BH_PRINTF(3, 4);

/** Says that the handler is alive and how far it is (total 0: unknown). Resets the no-progress
 * deadline. A few nanoseconds; call it as often as you like. The dispatcher shows it in
 * bh_pool_snapshot(): bh_worker_info.progress_done and progress_total. */
BH_API void bh_call_progress(bh_call *call, uint64_t done, uint64_t total);

/** Publishes what there is of the reply so far, and says that the handler is alive. If the request
 * then ends without an answer (deadline, cancel, the worker's death), the caller gets the last
 * value that was published whole, marked as partial. An answer takes its place, but not one that
 * comes when the request has been taken away (bh_call_cancelled()): publish before that. The value
 * is copied before this returns. Only on the handler's thread. Costs about what bh_call_reply()
 * costs, without waking anybody.
 * @return BH_OK, BH_E_STATE (already answered), BH_E_TOO_LARGE (more than the pool's
 *         max_partial_bytes), BH_E_UTF8, BH_E_DEPTH, BH_E_TYPE, BH_E_MEMORY; after a failure the
 *         one before still counts */
BH_API int bh_call_partial(bh_call *call, const bh_value *value);

/** Whether the dispatcher wants this request to end (deadline or cancel). A handler that looks and
 * returns within the pool's grace saves its worker. Any thread. */
BH_API bool bh_call_cancelled(const bh_call *call);

/**
 * Calls a function that the caller lent this request (bh_request.callbacks), and waits for its
 * answer. While it waits, the caller's function may call methods of this worker: they run nested in
 * here, on this thread. Begin and end are signs of life, and what the caller's function takes is
 * not counted as silence. Only on the handler's thread, before the answer.
 * @param name      NUL-terminated UTF-8
 * @param[out] reply   owned by the caller; null unless BH_OK
 * @param[out] problem may be NULL
 * @return BH_OK; BH_E_FAILED (the function said so: its text is in `problem`, its number in
 *         os_error); BH_E_NOT_FOUND (the caller lent no function of this name); BH_E_DEPTH
 *         (callbacks nest deeper than the pool's max_callback_depth; or the values do);
 *         BH_E_CANCELLED (deadline or cancel: give up; it does not wait for the function);
 *         BH_E_TOO_LARGE (arguments: more than max_reply_bytes), BH_E_UTF8, BH_E_TYPE, BH_E_MEMORY;
 *         BH_E_STATE (another thread, already answered, or this call waits already); BH_E_SYSTEM
 *         (Windows: the way to the dispatcher is gone). After any of them the request goes on
 */
BH_API int bh_call_back(bh_call *call, const char *name, const bh_value *arguments, size_t count,
                        bh_value *reply, struct bh_problem *problem);

/** The request's serial, the same number that the dispatcher's result shows. */
BH_API uint64_t bh_call_serial(const bh_call *call);

/** The method's name. */
BH_API const char *bh_call_method(const bh_call *call);

/**
 * Gives the calling thread an alternate signal stack, so that a stack overflow in it is recorded
 * too. For threads that the worker's own code starts; undone by bh_worker_thread_leave(), which the
 * same thread calls before it ends. The main thread has one already.
 * @return BH_OK, BH_E_MEMORY, BH_E_SYSTEM
 */
BH_API int bh_worker_thread_enter(void);
BH_API void bh_worker_thread_leave(void);

/** A plug-in for bulkhead-host is a shared library that exports its table under this name:
 *     BH_EXPORT const struct bh_worker bulkhead_plugin = {sizeof(struct bh_worker), methods, …};
 * It includes this header, and finds the functions above in the host program. */
#define BH_PLUGIN_SYMBOL "bulkhead_plugin"

#ifdef __cplusplus
}
#endif
#endif
