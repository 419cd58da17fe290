/* SPDX-License-Identifier: MIT */
/*
 * Reading what a worker had before its end.
 *
 * Model: core/partial.c reads, from behind the box in its section. The system has promised that
 * memory when the section was made, and gives pages when they are touched.
 */
#include "nursery.h"

#include "core/partial.h"

/** See nursery.h. */
uint64_t bhw_partial_room(const bhp_worker *worker)
{
    return BHW_PARTIAL_ROOM(worker->nursery->max_partial_bytes);
}

/** See platform.h. */
bool bhp_worker_partial(bhp_worker *worker, uint64_t serial, bh_value *value)
{
    return bhi_partial_take(&worker->box->partial, worker->box + 1,
                            (size_t)bhw_partial_room(worker), serial, value);
}
