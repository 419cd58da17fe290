/* SPDX-License-Identifier: MIT */
/**
 * @file lane.h
 * What the files of the lane share: one request to one worker, on a thread of the multithreaded
 * apartment.
 */
#ifndef BHW_LANE_H
#define BHW_LANE_H

#include "nursery.h"
#include "variant.h"

/** Ends a call with a text. @return end */
enum bhp_lane_end bhw_lane_say(struct bhp_reply *reply, enum bhp_lane_end end, const char *format,
                               ...) BH_PRINTF(3, 4);

/** The call itself; the calling thread is in the multithreaded apartment. */
enum bhp_lane_end bhw_lane_call(bhp_worker *worker, const struct bhp_call *call,
                                struct bhp_reply *reply);

/** The DISPID of a method, asked for once. @return REPLIED, or what ends a call */
enum bhp_lane_end bhw_lane_find(bhp_worker *worker, const char *method, DISPID *id,
                                struct bhp_reply *reply);
/** What a handler failed with. @return FAILED, or UNREADABLE without memory */
enum bhp_lane_end bhw_lane_read_failure(const EXCEPINFO *info, struct bhp_reply *reply);
/** Frees what is in it. */
void bhw_lane_clear_failure(EXCEPINFO *info);

/* ---- lane_end.c: what an HRESULT means ---- */

/** Whether it is one of those by which COM says that the server is gone, bare or wrapped. */
bool bhw_lane_is_transport(HRESULT result);

/* ---- blobs.c ---- */

/** The payloads of one call. */
struct bhw_blob_run {
    bhp_worker *worker;
    bool fetched;           /* the worker's arena was fetched for this call's reply */
    bool found;             /* the reply named a payload */
    bool large;             /* a payload went beside the call, or came */
    bhp_memory *memory;     /* in which payloads are named; or NULL */
    bhp_memory *loan;       /* blank: the reply may be borrowed; NULL: not */
    struct bhw_blobs blobs; /* to be handed to the translation */
};

void bhw_blobs_begin(struct bhw_blob_run *run, bhp_worker *worker, const struct bhp_call *call);
/** Whether memory for payloads is kept, here or in the worker. */
bool bhw_blobs_kept(const bhp_worker *worker);
/** The reply has been read, or there is none. */
void bhw_blobs_end(struct bhw_blob_run *run, enum bhp_lane_end end, struct bhp_reply *reply);

#endif
