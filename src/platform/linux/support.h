/* SPDX-License-Identifier: MIT */
/**
 * @file support.h
 * Small things that several files of the dispatcher's side need: descriptors, times, texts.
 */
#ifndef BHL_SUPPORT_H
#define BHL_SUPPORT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

struct bh_problem;

#define BHL_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/** What vfork-like children run: no instrumentation may touch the memory they share. */
#if defined(__clang__)
#define BHL_BARE __attribute__((noinline, no_sanitize("address", "thread", "undefined")))
#else
#define BHL_BARE                                                                                   \
    __attribute__((noinline, no_sanitize("address"), no_sanitize("thread"),                        \
                   no_sanitize("undefined")))
#endif

/** Nanoseconds. */
#define BHL_MS INT64_C(1000000)

/* ---- descriptors: errno survives the closing ---- */

/** Closes *fd unless it is -1, and makes it -1. */
void bhl_close(int *fd);
/** Moves a new descriptor out of 0, 1, 2, which a host may have closed but still writes to. -1
 * stays. */
int bhl_lift(int fd);
/** A connected SOCK_SEQPACKET pair; pair[0] does not block. @return whether; else errno, and both
 * -1 */
bool bhl_socket_pair(int pair[2]);
/** A pipe; the reading end does not block. Likewise. */
bool bhl_pipe(int ends[2]);
/** A memory file that can be sealed, `size` bytes long. @return -1 and errno on failure */
int bhl_memory_file(const char *name, uint64_t size, bool executable);
/** Reserves the pages of a memory file. @return whether; else errno */
bool bhl_reserve(int fd, uint64_t size);
/** Whether a descriptor can be read now; for a pidfd: whether the process has ended. */
bool bhl_readable(int fd);

/* ---- processes ---- */

int bhl_pidfd_open(int64_t pid);
/** Kills; the process may have ended already. Async-signal-safe. */
void bhl_pidfd_kill(int pidfd);
/** Kills the process group that the process leads, where the kernel can (6.9); else does nothing.
 */
void bhl_pidfd_kill_group(int pidfd);

/** Removes an ended launcher's remains if it became this process's child, because the host is a
 * subreaper or the first process of a container; else does nothing. */
void bhl_pidfd_reap(int pidfd);

/* ---- time, signals, texts ---- */

/** The absolute time of CLOCK_MONOTONIC for `until`, or NULL for BHP_FOREVER. */
struct timespec *bhl_timespec(int64_t until, struct timespec *t);
/** Blocks every signal for the calling thread. @param old its mask, for bhl_signals_restore() */
void bhl_signals_block(sigset_t *old);
void bhl_signals_restore(const sigset_t *old);
/** Copies as much of a text as fits with its NUL, cut at a character if it is UTF-8. */
void bhl_copy_text(char *out, size_t size, const char *text, size_t length);
/** The system's text for an errno, in no particular locale. Static. */
const char *bhl_error_text(int error);
/** bhi_problem_set() with BH_E_SYSTEM and errno: "WHAT: TEXT OF ERRNO". @return BH_E_SYSTEM */
int bhl_problem_errno(struct bh_problem *problem, const char *what);

/** Whether this kernel has what the platform needs. @return BH_OK, BH_E_UNSUPPORTED */
int bhl_kernel_check(struct bh_problem *problem);

#endif
