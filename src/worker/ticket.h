/* SPDX-License-Identifier: MIT */
/**
 * @file ticket.h
 * The argument that a dispatcher puts last on a worker's command line. It says whose the worker is,
 * also to people who look at a list of processes.
 */
#ifndef BHI_TICKET_H
#define BHI_TICKET_H

#include <stdbool.h>
#include <stdint.h>

/** "--bulkhead=POOL,COOKIE,DISPATCHER_PID", POOL free of commas. */
#define BHI_TICKET_PREFIX "--bulkhead="

struct bhi_ticket {
    uint64_t cookie;
    int64_t dispatcher_pid;
};

/** Whether the text is meant to be a ticket, well-formed or not. NULL is none. */
bool bhi_ticket_is(const char *argument);

/** Reads one. @return false when it is malformed */
bool bhi_ticket_parse(const char *argument, struct bhi_ticket *ticket);

#endif
