/* SPDX-License-Identifier: MIT */
/*
 * Slots are a capability, and COM has none: a call is on its way when Invoke is called, and in the
 * worker's hands from then on.
 *
 * Invariant: nothing here but bhp_lane_slots() is ever called.
 */
#include "core/platform.h"

/** See platform.h. */
uint32_t bhp_lane_slots(void)
{
    return 1;
}

/** See platform.h. */
enum bhp_put bhp_lane_put(bhp_worker *worker, const struct bhp_call *call)
{
    (void)worker, (void)call;
    return BHP_PUT_UNFIT;
}

/** See platform.h. */
enum bhp_lane_end bhp_lane_next(bhp_worker *worker, const struct bhp_call *call,
                                struct bhp_reply *reply)
{
    return bhp_lane_call(worker, call, reply);
}

/** See platform.h. */
enum bhp_revoke bhp_lane_revoke(bhp_worker *worker, uint64_t serial)
{
    (void)worker, (void)serial;
    return BHP_REVOKE_LATE;
}
