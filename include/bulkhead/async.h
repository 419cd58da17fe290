/* SPDX-License-Identifier: MIT */
/**
 * @file async.h
 * Requests that nobody waits for: submit now, be told later.
 *
 * A submitted request has the same life as one of bh_pool_call(): it waits in the same queue, has
 * the same deadline, retries, cancel token and promise, and ends in exactly one outcome. That is
 * its completion, and it comes exactly once, in one of two ways:
 *
 *  - to a callback, on a thread of the library's. A pool's callbacks run one at a time, in the
 *    order of the requests' ends. They must not wait, and must not call what pool.h forbids to
 *    callbacks; they may submit and cancel.
 *  - into the pool's completion queue, from which bh_pool_take() takes it. For event loops:
 *    bh_pool_waitable() is readable (signalled) while something is in it.
 *
 * Backpressure: a pool that cannot take a request refuses it on the spot (queue-length), and no
 * completion follows. Completions that nobody takes, or that wait for a slow callback, do not
 * count: whoever submits without looking at completions bounds them himself. The memory of a
 * request that waits is that of its arguments and about half a kibibyte.
 *
 * Small requests. Between two requests a worker waits for the dispatcher's thread to hear of the
 * first and to give it the second. A request that is marked bh_request.small may be given to a
 * worker before its turn has come, so that this wait is no more; worth it for many requests that
 * take a worker microseconds. It runs there when those before it, small ones all, have ended: one
 * at a time, as ever. Promises stay what they are:
 *
 *  - When the worker dies, the one that had started is charged. Those behind it, which provably
 *    never started, go to other workers, uncharged. (Only behind a reply that breaks the protocol
 *    all are in doubt, and count as started.)
 *  - Deadline and cancel end at once what has not started, whatever the one before it does.
 *  - None waits for one that takes long while another worker has nothing to do, nor for the grace
 *    of one that was told to give up: it goes elsewhere.
 *
 * Arguments and reply should fit into half a kibibyte, and the text of a failure is cut to that;
 * larger ones go the ordinary way. Where the platform has no such waiting places (Windows), the
 * mark means nothing. Requests in them count as waiting, but not towards queue-length.
 *
 * Modelled on: io_uring and I/O completion ports (submission and completion, a waitable for event
 * loops), gRPC's completion queues.
 */
#ifndef BULKHEAD_ASYNC_H
#define BULKHEAD_ASYNC_H

#include <bulkhead/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Told of a request's end. @param result belongs to the callback, which frees it with
 * bh_result_deinit(), at once or later: the struct may be copied away. */
typedef void (*bh_done_fn)(void *context, struct bh_result *result);

/**
 * Sends a request and returns without waiting. Everything in *request is copied, but for the cancel
 * token and the callbacks, which must live until the completion was received.
 * @param done    told of the end; NULL: the completion goes into the pool's queue
 * @param context for `done`, or handed out with the completion
 * @return BH_REFUSAL_NONE: accepted, the completion will come; else why not, and it will not
 */
BH_API enum bh_refusal bh_pool_submit(bh_pool *pool, const struct bh_request *request,
                                      bh_done_fn done, void *context);

/** What came of a submitted request. */
struct bh_completion {
    void *context;           /**< as given to bh_pool_submit() */
    struct bh_result result; /**< owned: bh_result_deinit() */
};

/** bh_pool_take() waits as long as it takes. */
#define BH_WAIT_FOREVER UINT32_MAX

/**
 * Takes completions out of the pool's queue, oldest first. Waits for the first one up to
 * `timeout_ms` (0: does not wait), but not when no request is outstanding whose completion could
 * still come, and not within a callback of this pool's request, which would wait for itself. Any
 * number of threads may take.
 * @param[out] completions room for `capacity` of them
 * @return how many were taken
 */
BH_API size_t bh_pool_take(bh_pool *pool, struct bh_completion *completions, size_t capacity,
                           uint32_t timeout_ms);

/**
 * What an event loop waits for: on Linux a file descriptor that is readable (poll, epoll), on
 * Windows the HANDLE of an event that is signalled (WaitForMultipleObjects), as long as
 * completions lie in the queue. It belongs to the pool and lives until bh_pool_close(): do not
 * read, reset or close it.
 * @return -1 in a forked child
 */
BH_API intptr_t bh_pool_waitable(const bh_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
