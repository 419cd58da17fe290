/* SPDX-License-Identifier: MIT */
/*
 * The event sink. One function, so that nobody calls back with the lock held or with a half-filled
 * event.
 */
#include "pool_internal.h"

bool bhi_event_wanted(const bh_pool *pool, enum bh_event_type type)
{
    uint32_t mask = pool->options.event_mask;

    if (!pool->options.on_event)
        return false;
    if (mask == 0)
        mask = ~(UINT32_C(1) << BH_EVENT_OUTPUT);
    return mask >> type & 1;
}

void bhi_event_emit(bh_pool *pool, enum bh_event_type type, struct bh_event *event)
{
    if (!bhi_event_wanted(pool, type))
        return;
    event->type = type;
    event->time_ms = bhp_utc_ms();
    pool->options.on_event(pool->options.event_context, event);
}
