/* SPDX-License-Identifier: MIT */
/**
 * @file kinds.h
 * Ways to crash on POSIX systems.
 */
#ifndef FLAKY_KINDS_H
#define FLAKY_KINDS_H

/** X(name, cause that the dispatcher must find) */
#define FLAKY_KINDS(X)                                                                             \
    X(segv, BH_CAUSE_FAULT)                                                                        \
    X(fpe, BH_CAUSE_FAULT)                                                                         \
    X(stack, BH_CAUSE_FAULT)                                                                       \
    X(abort, BH_CAUSE_ABORT)                                                                       \
    X(exit, BH_CAUSE_EXIT)                                                                         \
    X(_exit, BH_CAUSE_EXIT)                                                                        \
    X(kill, BH_CAUSE_KILLED)

#endif
