/* SPDX-License-Identifier: MIT */
/**
 * @file by_hand.h
 * What a worker says to a person who started it without a dispatcher.
 */
#ifndef BHI_BY_HAND_H
#define BHI_BY_HAND_H

#include <bulkhead/worker.h>

/** Answers --help, --version and --methods, when one of them is the only argument, on stdout; says
 * how to start the worker on stderr otherwise. @return the exit status: 0, or 2 */
int bhi_by_hand(int argc, char **argv, const struct bh_method *methods, uint32_t method_count);

/** The last part of the program's path, or "worker". */
const char *bhi_program_name(int argc, char **argv);

#endif
