/* SPDX-License-Identifier: MIT */
/**
 * @file session.h
 * Sessions: a worker leased to one caller, for libraries that keep state between calls (a document
 * that is open, a connection, a database in memory).
 *
 * All calls of a session go to the same process. When that process ends, at whatever moment, the
 * session is lost: the call that was running has died, and every later call is refused at once as
 * "session lost", with the record of the death. No call is ever answered by another worker.
 *
 * A session takes its worker away from the pool's requests. It waits in the same queue for it, and
 * never takes the last one that max-workers allows, unless it is told that it may.
 *
 * Threads. A session is used by one thread at a time; which thread does not matter. Sessions may
 * outlive their pool: then they are lost, and only to be closed. But no function of a session may
 * run at the same time as bh_pool_close().
 *
 * Modelled on: connection pools (lease, time limit, return), PostgreSQL's one process per session.
 */
#ifndef BULKHEAD_SESSION_H
#define BULKHEAD_SESSION_H

#include <bulkhead/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bh_session bh_session;

/** How a session shall be. Initialise with BH_SESSION_INIT. */
struct bh_session_options {
    size_t size;       /**< sizeof(struct bh_session_options) */
    uint32_t wait_ms;  /**< for a worker; 0: the pool's deadline_ms */
    uint32_t lease_ms; /**< from then on to its end, whatever it does; 0: no limit. A call that
                            runs then ends by deadline */
    bool take_last;    /**< it may take the last worker that max-workers allows */
    bool keep_worker;  /**< its worker serves others after it; else it quits, and its state with it
                        */
    bh_cancel *cancel; /**< ends the waiting for a worker; may be NULL */
};
#define BH_SESSION_INIT                                                                            \
    {                                                                                              \
        sizeof(struct bh_session_options), 0, 0, false, false, NULL                                \
    }

/**
 * Leases a worker; waits until one is free.
 * @param options NULL: as BH_SESSION_INIT
 * @param[out] session to be closed with bh_session_close(); NULL on failure
 * @return BH_OK; BH_E_STATE: no worker became free in time, the waiting was cancelled, the queue is
 *         full, or only the last worker is left; BH_E_START (the worker cannot be started),
 *         BH_E_CLOSED, BH_E_FORKED, BH_E_INVALID, BH_E_MEMORY
 */
BH_API int bh_session_open(bh_session **session, bh_pool *pool,
                           const struct bh_session_options *options, struct bh_problem *problem);

/** As bh_pool_call(), by the session's worker. Retries do not apply: the state that the next
 * attempt would need went with the worker. @return the outcome; of a lost session
 * BH_OUTCOME_REFUSED with BH_REFUSAL_SESSION_LOST */
BH_API enum bh_outcome bh_session_call(bh_session *session, const struct bh_request *request,
                                       struct bh_result *result);

/**
 * The session's buffer: memory that this process writes and the worker reads. Bytes, string and
 * typed array values of the session's calls whose payload lies inside the buffer are not copied.
 * (Payloads of less than 512 bytes are, on Windows of less than 8 KiB, and strings; so may be what
 * does not begin at a multiple of 8 within the buffer.) The worker cannot write to it, but sees
 * what is written to it during a call.
 *
 * A session has one buffer, for any number of values in any number of calls. Asking again makes it
 * larger, or smaller by far; where it is and what is in it stays as it is if it is large enough
 * already, otherwise the old one is gone and the new one's content is undefined. It lives until
 * then or until bh_session_close(), also when the session is lost or its pool has closed. A forked
 * child does not have it.
 * @param bytes   at most the pool's max_request_bytes; 0: gives the buffer back
 * @param[out] at aligned to 64; NULL on failure, and for 0, when it may be NULL itself
 * @return BH_OK, BH_E_TOO_LARGE (the old one stays), BH_E_MEMORY (the old one is gone), BH_E_STATE
 *         (the session is lost), BH_E_FORKED
 */
BH_API int bh_session_buffer(bh_session *session, size_t bytes, void **at);

/** Whether it is lost: a call would be refused. */
BH_API bool bh_session_lost(const bh_session *session);

/** Gives the worker back. A call that another thread is making goes on to its end; its session is
 * gone then. NULL is fine. */
BH_API void bh_session_close(bh_session *session);

#ifdef __cplusplus
}
#endif
#endif
