/* SPDX-License-Identifier: MIT */
/**
 * @file worker_end.h
 * The worker's end of the lane: what the worker_*.c files share. Nothing here is used by a
 * dispatcher.
 */
#ifndef BHL_WORKER_END_H
#define BHL_WORKER_END_H

#include "core/wire.h"
#include "protocol.h"

#include <sys/types.h>

/** Exit status of a worker that finds its dispatcher (or itself) breaking the protocol. */
#define BHL_STATUS_PROTOCOL 70

/**
 * The process's one end. `pid` is 0 until it is open. Fixed after that, but for what belongs to the
 * serving thread: `taken` and what follows it, and `reply_room`, which is smaller after a turn that
 * nobody waited for.
 */
struct bhl_worker_end {
    const struct bhl_request_half *request;
    const unsigned char *request_data;
    size_t request_room;
    struct bhl_reply_half *reply;
    unsigned char *reply_data;
    size_t reply_room;
    uint64_t max_reply;
    unsigned char *partial_data; /* two places for partial replies */
    pid_t pid;
    pid_t parent;                        /* the launcher */
    const volatile uint32_t *not_forked; /* 1; the kernel makes it 0 in a forked child */
    dev_t control_device;                /* of the control socket: its number may get into */
    ino_t control_inode;                 /* other hands */
    uint64_t taken;                      /* the last serial that came alone */
    uint64_t slots_done;                 /* slots that it is done with */
    struct bhl_reply_slot *slot;         /* where the answer goes; NULL: into the header */
    uint32_t depth;                      /* callbacks that the handler waits for */
    uint64_t heard;                      /* number of the dispatcher's last turn */
    bool fork_safe;                      /* a template could be made of this program */
};
extern struct bhl_worker_end bhl_worker_end;

/** The last word of the command line, where the kernel shows it. */
extern char *bhl_worker_ticket;

/* ---- worker_attach.c ------------------------------------------------------------------------- */

/** Ends the process: text to stderr, the exiting mark (it does leave on purpose), status 70. */
_Noreturn void bhl_worker_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Fills in and publishes bhl_worker_end from the two halves, which are closed, and the control
 * socket, which is at its place. `parent` is set already. From here on a crash leaves evidence, if
 * the fault handlers are there. @return BH_OK, or another code with `problem` filled */
int bhl_worker_attach(struct bhl_worker_end *end, int request, int reply, uint64_t cookie,
                      struct bh_problem *problem);

/** Whether descriptor 5 still is the control socket. */
bool bhl_worker_control_ours(void);

/** Sends one message on the control socket, with a descriptor unless fd is -1. @return 0 or errno
 */
int bhl_worker_send(const struct bhl_control *message, int fd);

/** Has the kernel kill the worker with its launcher. A change of credentials undoes it.
 * @return whether the launcher still is the parent */
bool bhl_worker_bind(pid_t launcher);

/* ---- worker_channel.c ------------------------------------------------------------------------ */

/** Waits for the bell to change, for a while. Ends the process when its launcher is gone. */
void bhl_worker_wait(uint32_t bell);

/* ---- worker_turn.c --------------------------------------------------------------------------- */

struct bhi_channel_owner;

/** From now on nested requests go to this owner. */
void bhl_worker_turns_for(const struct bhi_channel_owner *owner);
/** A request begins. */
void bhl_worker_turns_begin(void);
/** Whether the request at hand is a nested one: its answer goes to the next two. */
bool bhl_worker_nested(void);
int bhl_worker_nested_reply(const bh_value *value, struct bh_problem *problem);
void bhl_worker_nested_fail(int32_t code, const char *text, size_t length);

/* ---- worker_template.c ------------------------------------------------------------------------
 */

/** Makes this process a template: what it inherited is checked. @return BH_OK, BH_E_START */
int bhl_template_open(pid_t launcher, struct bh_problem *problem);

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
/** Likewise, the buffer in which payloads beside a request lie.
 * @return false: there is no memory to map it */
bool bhl_worker_buffer_map(uint64_t id, uint64_t bytes, struct bhi_wire_side *side);
/** Lets go of what the dispatcher has dropped. */
void bhl_worker_segment_tidy(void);

/* ---- worker_arena.c -------------------------------------------------------------------------- */

/** Memory for the reply at hand: see bh_call_buffer(). @return BH_OK, BH_E_TOO_LARGE, BH_E_MEMORY,
 * BH_E_SYSTEM, with problem */
int bhl_worker_arena_buffer(size_t bytes, void **at, struct bh_problem *problem);
/** Answers with a value that does not fit into the half: `size` bytes in wire form. */
int bhl_worker_arena_reply(const bh_value *value, size_t size, struct bh_problem *problem);
/** Whether the handler at hand has asked for a buffer. */
bool bhl_worker_arena_used(void);
/** Names a segment that was made for this call in a reply that does without it, so that the
 * dispatcher gets to know it. */
void bhl_worker_arena_show(void);
/** The answer is complete, but not yet committed: decides what is kept, and says so. @param is_told
 * the dispatcher will read that; else what it knows of stays */
void bhl_worker_arena_settle(bool is_told);
/** The answer is committed: lets go of what is not kept. */
void bhl_worker_arena_end(void);
/** Lets go of what the dispatcher does not need any more. */
void bhl_worker_arena_tidy(void);

/** The buffers that there are before a nested call; its own go with its handler. */
struct bhl_arena_mark {
    uint64_t used;
    uint64_t wanted;
    void *spares;
};
struct bhl_arena_mark bhl_worker_arena_mark(void);
void bhl_worker_arena_reset(const struct bhl_arena_mark *mark);

/** Both: before a request that could use what has been dropped. In worker_channel.c. */
void bhl_worker_tidy(void);

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
/** Answers as to a single request, with all of it in a segment: in worker_channel.c. */
int bhl_worker_reply_outside(const bh_value *value, size_t size, struct bh_problem *problem);

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
/** Another number for each thread. */
uintptr_t bhl_worker_stack_owner(void);
/** Whether a fault of the calling thread at `address` was the end of its stack. Async-signal-safe.
 */
bool bhl_worker_stack_overflowed(uintptr_t address, uintptr_t stack_pointer);

#endif
