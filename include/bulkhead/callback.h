/* SPDX-License-Identifier: MIT */
/**
 * @file callback.h
 * Callbacks: during a request its worker may call functions of the dispatcher's.
 *
 * A caller lends a request a table of functions (bh_request.callbacks); while the request runs, its
 * handler may call them with bh_call_back(), one at a time, and waits for each. A callback may in
 * turn call a method of the very worker that waits for it, with bh_callback_invoke(): that runs
 * nested in the handler's thread, and may call back again, up to the pool's max_callback_depth. It
 * is all one request: one serial, one deadline, one outcome.
 *
 * Threads. A request's callbacks run one at a time, on the thread that called bh_pool_call() or
 * bh_session_call(), on a thread of the library's (bh_pool_submit()), or on a thread of the
 * system's (Windows): be ready for any. No lock of the library's is held.
 *
 * What goes wrong. A callback that fails is an error code in the worker, which goes on. One that
 * hangs holds its request: the deadline still takes it away from the worker, which is told and then
 * killed, and the pool goes on with others; but the request's end is told only when the callback
 * has returned, and bh_pool_close() waits for it. bh_callback_cancelled() says when nobody needs
 * the answer any more. A worker that dies while its callback runs ends the request as died, once;
 * the answer goes nowhere. Time that is spent in a callback does not count as silence of the
 * worker's (no_progress_ms).
 *
 * A callback must not wait for the pool it runs for, whose worker waits for it: bh_pool_call(),
 * bh_pool_invoke() and bh_session_call() are then refused as BH_REFUSAL_WOULD_DEADLOCK, and
 * bh_session_open(), bh_pool_wait_ready() and bh_pool_methods() return BH_E_STATE. This is seen as
 * far as one waits for the other on one thread or through requests that wait: also when pool A's
 * callback calls pool B, whose callback calls A. Other pools may be called, and bh_pool_submit()
 * always. bh_pool_close() must not be called.
 *
 * Modelled on: connection points and callback interfaces of COM, the reverse calls of Lua and
 * Tcl's C interfaces; a nested call is a coroutine's resume.
 */
#ifndef BULKHEAD_CALLBACK_H
#define BULKHEAD_CALLBACK_H

#include <bulkhead/value.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bh_callback_call bh_callback_call;

/**
 * A callback. It answers with bh_callback_reply() or bh_callback_fail(); one that returns without
 * an answer has replied null.
 * @param call      valid until the callback returns, and only for its own thread but where a
 *                  function says otherwise
 * @param arguments `count` values that belong to the library: private copies of what the worker
 *                  sent, valid until the callback returns. They come from the worker: check them
 * @param context   bh_request.callback_context
 */
typedef void (*bh_callback_fn)(bh_callback_call *call, const bh_value *arguments, size_t count,
                               void *context);

/** An entry of a table of callbacks. */
struct bh_callback {
    const char *name; /**< NUL-terminated UTF-8, unique in the table; NULL ends it */
    bh_callback_fn call;
    const char *help; /**< one line for a person; may be NULL */
};

/** Answers with a value, which is copied: the callback keeps *value. Only the first answer counts.
 * @return BH_OK, BH_E_STATE (already answered), BH_E_TOO_LARGE (more than the pool's
 *         max_request_bytes), BH_E_UTF8, BH_E_DEPTH, BH_E_TYPE, BH_E_MEMORY; after a failure the
 *         call is still unanswered */
BH_API int bh_callback_reply(bh_callback_call *call, const bh_value *value);

/** Answers that the callback failed, with a number of its own and a text (printf; cut to what a
 * struct bh_problem holds). @return BH_OK, BH_E_STATE */
BH_API int bh_callback_fail(bh_callback_call *call, int32_t code, const char *format, ...)
    BH_PRINTF(3, 4);

/** Whether the request has been taken away (deadline, cancel) or its worker has ended, so that
 * nobody waits for the answer. Any thread, until the callback returns. */
BH_API bool bh_callback_cancelled(const bh_callback_call *call);

/** The request's serial. */
BH_API uint64_t bh_callback_serial(const bh_callback_call *call);

/** The name it was called by. */
BH_API const char *bh_callback_name(const bh_callback_call *call);

/** 1 when the request's own handler called; one more for each callback that is under way below it.
 */
BH_API uint32_t bh_callback_depth(const bh_callback_call *call);

/**
 * Calls a method of the worker that waits for this callback, and waits for its answer.
 * @param[out] reply   owned by the caller; null unless BH_OK
 * @param[out] problem may be NULL
 * @return BH_OK; BH_E_FAILED (the handler said so: its text is in `problem`, and its number in
 *         os_error); BH_E_NOT_FOUND (no such method); BH_E_TOO_LARGE, BH_E_UTF8, BH_E_DEPTH,
 *         BH_E_TYPE (the arguments); BH_E_MEMORY; BH_E_CANCELLED (the request was taken away);
 *         BH_E_LOST (the worker has ended, or broke the protocol); BH_E_STATE (not on the thread of
 *         the innermost callback)
 */
BH_API int bh_callback_invoke(bh_callback_call *call, const char *method, const bh_value *arguments,
                              size_t count, bh_value *reply, struct bh_problem *problem);

#ifdef __cplusplus
}
#endif
#endif
