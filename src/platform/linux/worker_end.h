/* SPDX-License-Identifier: MIT */
/**
 * @file worker_end.h
 * The worker's end of the lane: what the worker_*.c files share. Nothing here is used by a
 * dispatcher.
 */
#ifndef BHL_WORKER_END_H
#define BHL_WORKER_END_H

#include "protocol.h"

#include <bulkhead/value.h>

#include <sys/types.h>

/** Exit status of a worker that finds its dispatcher (or itself) breaking the protocol. */
#define BHL_STATUS_PROTOCOL 70

/**
 * The process's one end. `pid` is 0 until it is open. Fixed after that, but for `taken`,
 * `slots_done` and `slot`, which belong to the serving thread.
 */
struct bhl_worker_end {
    const struct bhl_request_half *request;
    const unsigned char *request_data;
    size_t request_room;
    struct bhl_reply_half *reply;
    unsigned char *reply_data;
    size_t reply_room;
    uint64_t max_reply;
    pid_t pid;
    pid_t parent;                        /* the launcher */
    const volatile uint32_t *not_forked; /* 1; the kernel makes it 0 in a forked child */
    dev_t control_device;                /* of the control socket: its number may get into */
    ino_t control_inode;                 /* other hands */
    uint64_t taken;                      /* the last serial that came alone */
    uint64_t slots_done;                 /* slots that it is done with */
    struct bhl_reply_slot *slot;         /* where the answer goes; NULL: into the header */
};
extern struct bhl_worker_end bhl_worker_end;

/* ---- worker_attach.c ------------------------------------------------------------------------- */

/** Ends the process: text to stderr, the exiting mark (it does leave on purpose), status 70. */
_Noreturn void bhl_worker_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Whether descriptor 5 still is the control socket. */
bool bhl_worker_control_ours(void);

/** Sends one message on the control socket, with a descriptor unless fd is -1. @return 0 or errno
 */
int bhl_worker_send(const struct bhl_control *message, int fd);

/** Has the kernel kill the worker with its launcher. A change of credentials undoes it.
 * @return whether the launcher still is the parent */
bool bhl_worker_bind(pid_t launcher);

/* ---- worker_segment.c ------------------------------------------------------------------------ */

/**
 * Maps the segment that a request names, or finds it still mapped. A dispatcher that never sent it
 * ends the process.
 * @param once it is for this request alone: bhl_worker_segment_drop() follows
 * @return its memory, or NULL when there is no memory to map it
 */
const void *bhl_worker_segment_map(uint64_t id, uint64_t bytes, bool once);
/** Unmaps the segment that was for one request alone, if there is one. */
void bhl_worker_segment_drop(void);
/** Puts a value of `size` bytes in wire form into a new segment and sends it under the serial. */
int bhl_worker_segment_send(uint64_t serial, const bh_value *value, size_t size,
                            struct bh_problem *problem);

/* ---- worker_slots.c -------------------------------------------------------------------------- */

struct bhi_channel_owner;
struct bhi_request;
/** Has a request answered, well or badly: in worker_channel.c. */
void bhl_worker_handle(const struct bhi_channel_owner *owner, const bh_value *arguments,
                       struct bhi_request *request);
/** Serves the requests in the slots, as long as there are. @return whether there were any */
bool bhl_worker_slots_serve(const struct bhi_channel_owner *owner);
/** bhi_channel_reply() and bhi_channel_fail() for the request in the slot at hand. */
int bhl_worker_slot_reply(const bh_value *value, struct bh_problem *problem);
void bhl_worker_slot_fail(int32_t code, const char *text, size_t length);

/* ---- worker_fault.c -------------------------------------------------------------------------- */

/** Installs the handlers for fatal signals. One that somebody else handles already is left to him
 * unless `take_over`; an ignored one is left alone. */
void bhl_worker_fault_install(bool take_over);
/** Puts the handlers for faults back where they were replaced. */
void bhl_worker_fault_rearm(void);

/* ---- worker_stack.c -------------------------------------------------------------------------- */

/** Gives the calling thread an alternate signal stack and remembers the bounds of its stack. Twice
 * is fine. @return BH_OK, BH_E_MEMORY, BH_E_SYSTEM */
int bhl_worker_stack_enter(void);
/** Undoes it. */
void bhl_worker_stack_leave(void);
/** Whether a fault of the calling thread at `address` was the end of its stack. Async-signal-safe.
 */
bool bhl_worker_stack_overflowed(uintptr_t address, uintptr_t stack_pointer);

#endif
