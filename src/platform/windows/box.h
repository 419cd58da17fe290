/* SPDX-License-Identifier: MIT */
/**
 * @file box.h
 * What an obituary asks of a worker's box beside bhp_worker_box().
 */
#ifndef BHW_BOX_H
#define BHW_BOX_H

#include "nursery.h"

/** Whether the SIGABRT handler ran and exit() did not: abort() ends a process without it. */
bool bhw_box_aborted(const bhp_worker *worker);

/** The exception of a complete fault record, if it is an error's; else 0. */
uint32_t bhw_box_exception(const bhp_worker *worker);

/** "in NAME.dll+0x12" if there is a complete record of this exception that names a module; else
 * "". */
void bhw_box_place(const bhp_worker *worker, uint32_t exception, char *text, size_t size);

#endif
