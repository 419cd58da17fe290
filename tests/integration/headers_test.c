/* SPDX-License-Identifier: MIT */
/*
 * A program may be dispatcher and worker at once: both headers go together, in either order, and
 * each can be included twice.
 */
#include <bulkhead/worker.h>
#include <bulkhead/bulkhead.h>
#include <bulkhead/worker.h>

#include "check.h"

TEST(both_sides_fit_into_one_file)
{
    struct bh_worker worker = BH_WORKER_INIT;
    struct bh_request request = BH_REQUEST_INIT;

    CHECK_INT(worker.size, sizeof(struct bh_worker));
    CHECK_INT(request.size, sizeof(struct bh_request));
    CHECK_STR(bh_version(), BH_VERSION);
}
