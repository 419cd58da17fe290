/* SPDX-License-Identifier: MIT */
/**
 * @file death.h
 * From evidence to a death record: the one place that names causes.
 */
#ifndef BHI_DEATH_H
#define BHI_DEATH_H

#include "platform.h"

/** What the pool itself knows of a worker that ended. */
struct bhi_known {
    uint64_t cookie;
    bool was_ready;  /* it shook hands once */
    uint64_t serial; /* of the request it held, 0 if none */
    uint64_t begun;  /* the latest request that it came back with before, 0 if none */
    uint64_t served; /* requests it came back with */
    uint64_t uptime_ms;
    uint64_t peak_rss_bytes;
    bool killed; /* we killed it, because of: */
    enum bh_cause kill_cause;
    const char *kill_detail; /* or "" */
    uint64_t limit_bytes;    /* the memory limit in force */
};

/** Names the system's number for an end and fills the record from the evidence. `death` is
 * overwritten; its output is empty. Pure. */
void bhi_death_write(struct bh_death *death, const struct bhi_known *known,
                     const struct bhp_obituary *obituary);

/** How far request `serial` came, as the box of an ended worker tells. That it never started needs
 * proof: `started` still says `begun`, the latest request the worker came back with before.
 * Anything else, nonsense included, is "started". Pure. */
enum bh_delivery bhi_delivery_of(const struct bhp_box *box, uint64_t serial, uint64_t begun);

#endif
