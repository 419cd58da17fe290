/* SPDX-License-Identifier: MIT */
/**
 * @file keep.h
 * How much shared memory is kept between requests: the rule that both ends of every lane follow.
 */
#ifndef BHI_KEEP_H
#define BHI_KEEP_H

#include <stdbool.h>
#include <stdint.h>

/** Memory larger than this goes after the request that needed it. */
#define BHI_KEEP_MOST (UINT64_C(64) << 20)

/** What requests of late needed. All zero: nothing yet. */
struct bhi_keep {
    uint64_t wanted; /**< the most, fading */
};

/** How much to make for `bytes`: enough that slightly larger ones fit too, at most an eighth more
 * from half a MiB on. @param step a power of two, at least a page */
uint64_t bhi_keep_room(uint64_t bytes, uint64_t step);

/** A request is over, which used so many bytes of memory of `room` bytes. @return whether the
 * memory should go: it is far larger than what requests of late needed, or than may be kept */
bool bhi_keep_settle(struct bhi_keep *keep, uint64_t used, uint64_t room);

#endif
