/* SPDX-License-Identifier: MIT */
/**
 * @file call.h
 * The call object: one request in its handler's hands.
 */
#ifndef BHI_CALL_H
#define BHI_CALL_H

#include "worker/channel.h"

#include <bulkhead/worker.h>

struct bh_call {
    uint64_t serial;
    const char *method;
    bool answered;
    bool waits;                /**< inside bh_call_back() */
    uintptr_t thread;          /**< the handler's: bhi_channel_thread() */
    struct bh_problem refused; /**< why the last reply did not go; `code` is BH_OK if none failed */
};

/** Makes the call object of a request. */
void bhi_call_init(bh_call *call, uint64_t serial, const char *method);

/** The handler has returned: sees to it that there is an answer. Null stands for none; but a reply
 * that could not be sent is not taken for none, the request then fails with the reason. */
void bhi_call_finish(bh_call *call);

#endif
