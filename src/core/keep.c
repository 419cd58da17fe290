/* SPDX-License-Identifier: MIT */
/*
 * When to let go of memory that a large request needed.
 *
 * Model: making, mapping and filling fresh memory costs far more than the copy into it, so it is
 * used again; but one large request must not cost its memory for ever. What requests needed fades
 * with each further one, and memory goes that is far larger than that. How long an idle worker
 * keeps its memory is the supervisor's business.
 */
#include "keep.h"

/* Memory that is so many times as large as requests of late needed goes, unless it is small. */
#define FAR_LARGER 8
#define SMALL (UINT64_C(1) << 20)
/* What a request needed fades with each further one, to an eighth within about 33. */
#define FADING 16

/** See keep.h. */
uint64_t bhi_keep_room(uint64_t bytes, uint64_t step)
{
    uint64_t grain = step;

    while (bytes / grain > 16)
        grain *= 2;
    if (bytes > BHI_KEEP_MOST) /* goes soon: no room to spare */
        grain = step;
    return bytes == 0 ? step : (bytes + grain - 1) / grain * grain;
}

/** See keep.h. */
bool bhi_keep_settle(struct bhi_keep *keep, uint64_t used, uint64_t room)
{
    keep->wanted -= keep->wanted / FADING;
    if (used > keep->wanted)
        keep->wanted = used;
    return room > BHI_KEEP_MOST || (room > SMALL && room / FAR_LARGER > keep->wanted);
}
