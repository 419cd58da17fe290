/* SPDX-License-Identifier: MIT */
/**
 * @file channel.h
 * What the neutral half of a worker asks of the operating system: the worker's end of the path to
 * its dispatcher, and the evidence it leaves when it dies. One implementation is linked in:
 * src/platform/linux/worker_*.c (shared halves), on Windows an IDispatch object and a message loop.
 *
 * The channel drives: bhi_channel_serve() waits and calls back for each request, because COM calls
 * into the worker too. Inside that callback the neutral half answers exactly once, with
 * bhi_channel_reply() or bhi_channel_fail(); the channel sends the answer when the callback
 * returns.
 *
 * There is one channel in a process: its descriptors, its fault handlers and its atexit hook are
 * the process's too. Everything but bhi_channel_progress(), bhi_channel_cancelled() and the thread
 * functions belongs to the thread that opened it.
 */
#ifndef BHI_CHANNEL_H
#define BHI_CHANNEL_H

#include <bulkhead/value.h>

/** A request as the channel hands it over. Valid until the callback returns. */
struct bhi_request {
    uint64_t serial;
    uint32_t method;           /**< index into the announced table; checked */
    const bh_value *arguments; /**< in place, read-only */
    size_t count;
};

/** What bhi_channel_serve() works for. */
struct bhi_channel_owner {
    void *context;
    uint32_t method_count;
    uint32_t idle_exit_ms; /**< leave after this long without a request; 0: never */
    /** Serves one request; has answered when it returns. */
    void (*request)(void *context, const struct bhi_request *request);
    /** Runs when the answer is on its way, before the next wait; or NULL. */
    void (*idle)(void *context);
};

/** Makes the process fit to be a worker, also one that a person started: no dialogs, and output
 * that leads somewhere before a crash can lose it. Cannot fail; before anything else happens. */
void bhi_channel_prepare(void);

/** The words of the command line as UTF-8: `argv` itself where main() is given that, else a new
 * list of as many, which lives as long as the process. */
char **bhi_channel_words(int argc, char **argv);

/**
 * Attaches to the dispatcher: checks what was inherited, installs the fault handlers (with an
 * alternate stack for this thread) and the atexit hook. From here on a crash leaves evidence.
 * @param cookie as on the command line; what was inherited must carry the same one. 0: this is to
 * be a template, which has no dispatcher yet
 * @param dispatcher_pid as on the command line
 * @return BH_OK, or another code with `problem` filled: the worker cannot serve
 */
int bhi_channel_open(uint64_t cookie, int64_t dispatcher_pid, struct bh_problem *problem);

/**
 * Settles what this process is, after init() and before the announcement: a worker, or a template
 * for workers. In a template it returns in each worker that was forked, never in the template.
 * @param fork_safe as the worker's author says
 * @return BH_OK, or another code with `problem` filled: the process cannot go on
 */
int bhi_channel_settle(bool fork_safe, struct bh_problem *problem);

/** Tells the dispatcher which methods there are, an array of maps {name, help}, and that the worker
 * is ready. Once, after bhi_channel_open(). @return BH_OK, or another code with `problem` filled */
int bhi_channel_announce(const bh_value *methods, struct bh_problem *problem);

/** Serves requests until the dispatcher wants the worker to leave or it has been idle for long
 * enough. A dispatcher that breaks the protocol ends the process with a text on stderr. */
void bhi_channel_serve(const struct bhi_channel_owner *owner);

/** Encodes the answer to the request at hand; the value is not needed afterwards. On failure
 * nothing was answered. @return BH_OK, or another code with `problem` filled */
int bhi_channel_reply(const bh_value *value, struct bh_problem *problem);

/** Memory in which the answer to the request at hand can be written: see bh_call_buffer(). Valid
 * until the request callback returns. @return BH_OK, or another code with `problem` filled */
int bhi_channel_buffer(size_t bytes, void **at, struct bh_problem *problem);

/** Answers that the request at hand failed. @param text valid UTF-8; may be cut at a character */
void bhi_channel_fail(int32_t code, const char *text, size_t length);

/** A callback that a handler asks for. */
struct bhi_question {
    uint64_t serial; /**< of the request at hand */
    const char *name;
    const bh_value *arguments;
    size_t count;
};

/** Calls a function of the dispatcher's and waits for its answer; requests of this serial that come
 * meanwhile go to the owner's callback, nested. Serving thread, inside that callback.
 * @param[out] reply owned by the caller, null on entry @return as bh_call_back() */
int bhi_channel_call_back(const struct bhi_question *question, bh_value *reply,
                          struct bh_problem *problem);

/** A sign of life. Any thread. */
void bhi_channel_progress(uint64_t done, uint64_t total);

/** Publishes what there is of the reply to this serial, so far. Serving thread.
 * @return BH_OK, BH_E_TOO_LARGE, BH_E_UTF8, BH_E_DEPTH, BH_E_TYPE, BH_E_MEMORY */
int bhi_channel_partial(uint64_t serial, const bh_value *value);

/** Counts a sign of life that says nothing of how far it is. Any thread. */
void bhi_channel_alive(void);

/** Whether the dispatcher wants this request to end. Any thread. */
bool bhi_channel_cancelled(uint64_t serial);

/** Whether this process is a forked child of the worker: it may not speak for it. Costs a load. */
bool bhi_channel_forked(void);

/** A number that no other living thread of this process has. Any thread. */
uintptr_t bhi_channel_thread(void);

/** Gives the calling thread what the fault handlers need; and takes it back. */
int bhi_channel_thread_enter(void);
void bhi_channel_thread_leave(void);

#endif
