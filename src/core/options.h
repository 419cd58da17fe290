/* SPDX-License-Identifier: MIT */
#ifndef BHI_OPTIONS_H
#define BHI_OPTIONS_H

#include <bulkhead/pool.h>

/**
 * Makes the pool's own options from the caller's, which may come from an older header, and checks
 * them. Pointers are copied as they are: whoever needs them longer copies what they lead to.
 * @return BH_OK, BH_E_INVALID, BH_E_RANGE; problem names the option and the allowed values
 */
int bhi_options_take(struct bh_pool_options *out, const struct bh_pool_options *given,
                     struct bh_problem *problem);

#endif
