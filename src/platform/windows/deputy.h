/* SPDX-License-Identifier: MIT */
/**
 * @file deputy.h
 * A thread that makes a worker's calls for callers that must not make them themselves.
 */
#ifndef BHW_DEPUTY_H
#define BHW_DEPUTY_H

#include "nursery.h"

/** Has the worker's deputy, which is made when it is first needed, make the call, and waits without
 * running the calling thread's message loop. The caller holds the worker's lease. */
enum bhp_lane_end bhw_deputy_call(bhp_worker *worker, const struct bhp_call *call,
                                  struct bhp_reply *reply);

/** Ends the thread. No call is under way. NULL is fine. */
void bhw_deputy_free(struct bhw_deputy *deputy);

#endif
