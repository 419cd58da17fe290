/* SPDX-License-Identifier: MIT */
/**
 * @file callback.h
 * The object by which a worker calls back during a request.
 */
#ifndef BHW_CALLBACK_H
#define BHW_CALLBACK_H

#include "lane.h"

struct bhw_talk;

/** Makes the object of a request, and it one more of its arguments, the last. On a thread of the
 * multithreaded apartment. @param parameters its array is made anew; to be freed as before, with
 * its new count. @return BH_OK or BH_E_MEMORY */
int bhw_talk_begin(struct bhw_talk **talk, bhp_worker *worker, const struct bhp_call *call,
                   DISPPARAMS *parameters);

/** The request has ended: waits for the callback that runs, and lets nobody in any more. The object
 * is gone afterwards. @param[out] flaw what was wrong with what the worker sent; or empty
 * @return whether nothing was */
bool bhw_talk_end(struct bhw_talk *talk, char *flaw, size_t size);

#endif
