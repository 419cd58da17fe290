/* SPDX-License-Identifier: MIT */
/**
 * @file kinds.h
 * Ways to crash on Windows. TerminateProcess() leaves an exit code and nothing else, whoever calls
 * it: `terminate` is an exit, one that did not go through exit().
 */
#ifndef FLAKY_KINDS_H
#define FLAKY_KINDS_H

/** X(name, cause that the dispatcher must find) */
#define FLAKY_KINDS(X)                                                                             \
    X(segv, BH_CAUSE_FAULT)                                                                        \
    X(fpe, BH_CAUSE_FAULT)                                                                         \
    X(stack, BH_CAUSE_FAULT)                                                                       \
    X(raise, BH_CAUSE_FAULT)                                                                       \
    X(fail_fast, BH_CAUSE_FAULT)                                                                   \
    X(abort, BH_CAUSE_ABORT)                                                                       \
    X(exit, BH_CAUSE_EXIT)                                                                         \
    X(_exit, BH_CAUSE_EXIT)                                                                        \
    X(terminate, BH_CAUSE_EXIT)

#endif
