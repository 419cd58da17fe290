/* SPDX-License-Identifier: MIT */
/**
 * @file partial.h
 * Partial replies: written by a worker, read by its dispatcher. The places' data lie one after the
 * other in shared memory, `room` bytes each.
 */
#ifndef BHI_PARTIAL_H
#define BHI_PARTIAL_H

#include "partial_words.h"

#include <bulkhead/value.h>

/** Worker: publishes a value as what there is of the reply to `serial`. The memory of both places
 * must be writable. One thread. @param most bytes, not above `room` @return BH_OK, BH_E_TOO_LARGE
 * (more than `most`), BH_E_UTF8, BH_E_DEPTH, BH_E_TYPE */
int bhi_partial_put(struct bhi_partial_words *words, void *data, size_t room, size_t most,
                    uint64_t serial, const bh_value *value);

/** Dispatcher: whether there is one for this serial. Only a hint: the worker may still write. */
bool bhi_partial_has(const struct bhi_partial_words *words, uint64_t serial);

/** Dispatcher: copies the last complete one, if there is one for this serial; everything is hostile
 * input. @param[out] value owned by the caller @return false: there is none, or it makes no sense,
 * or there is no memory for it */
bool bhi_partial_take(const struct bhi_partial_words *words, const void *data, size_t room,
                      uint64_t serial, bh_value *value);

#endif
