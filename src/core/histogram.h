/* SPDX-License-Identifier: MIT */
#ifndef BHI_HISTOGRAM_H
#define BHI_HISTOGRAM_H

#include <bulkhead/pool.h>

/** Counts one duration. The caller holds whatever guards the histogram. */
void bhi_histogram_add(struct bh_histogram *histogram, uint64_t us);

#endif
