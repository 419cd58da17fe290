/* SPDX-License-Identifier: MIT */
/*
 * Reading the box: the words that a worker writes about itself.
 *
 * Model: each word is loaded once into a private copy; what was loaded is then checked and
 * translated. The reply half is mapped read-only and cannot be truncated, so that reading it never
 * fails.
 *
 * Invariant: nothing in a struct bhp_box depends on a word that can still change, and no number in
 * it is used as an index or a length unchecked. It is hearsay all the same.
 */
#include "nursery.h"

#include <limits.h>
#include <signal.h>

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1
#endif

/* One load of a plain word that another process may write at this moment. */
#define ONCE(word) (*(const volatile __typeof__(word) *)&(word))

static enum bhp_fault_kind kind_of(const struct bhp_fault *fault, bool self)
{
    switch (fault->signal) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGTRAP:
        return fault->signal_code > 0 ? BHP_FAULT_FAULT : BHP_FAULT_SIGNAL;
    case SIGABRT:
        return self ? BHP_FAULT_ABORT : BHP_FAULT_SIGNAL;
    case SIGSYS:
        return fault->signal_code == SYS_SECCOMP ? BHP_FAULT_SANDBOX : BHP_FAULT_SIGNAL;
    default:
        return BHP_FAULT_SIGNAL;
    }
}

static void copy_registers(struct bhp_fault *out, const struct bhl_fault *in)
{
    uint32_t count = ONCE(in->register_count);

    out->register_count = count <= BHL_REGISTERS_MAX ? count : 0;
    for (uint32_t i = 0; i < out->register_count; i++)
        out->registers[i] = ONCE(in->registers[i]);
}

static void copy_fault(struct bhp_fault *out, const struct bhl_fault *in)
{
    /* Pairs with the release store that ends the worker's fault handler. */
    if (atomic_load_explicit(&in->state, memory_order_acquire) != BHL_FAULT_COMPLETE)
        return;
    out->signal = ONCE(in->signal);
    if (out->signal < 1 || out->signal > 64)
        return;
    out->signal_code = ONCE(in->signal_code);
    out->kind = kind_of(out, ONCE(in->self) == 1);
    out->thread_id = ONCE(in->thread_id);
    out->address = ONCE(in->address);
    out->instruction = ONCE(in->instruction);
    out->stack_pointer = ONCE(in->stack_pointer);
    out->stack_overflow = out->kind == BHP_FAULT_FAULT && ONCE(in->stack_overflow) == 1;
    if (out->kind == BHP_FAULT_SANDBOX)
        out->syscall = ONCE(in->syscall);
    int32_t sender = ONCE(in->sender_pid);
    if (out->kind == BHP_FAULT_SIGNAL && sender > 0) {
        out->sender_pid = sender;
        out->sender_uid = ONCE(in->sender_uid);
    }
    copy_registers(out, in);
}

/** See platform.h. */
void bhp_worker_box(const bhp_worker *worker, struct bhp_box *box)
{
    const struct bhl_reply_half *half = bhl_reply(worker);

    /* Acquire: pairs with the worker's release stores, so that `committed` is not older than
     * `started` makes it look. */
    *box = (struct bhp_box){.fault = {.kind = BHP_FAULT_NONE, .syscall = -1}};
    box->committed = atomic_load_explicit(&half->committed, memory_order_acquire);
    box->started = atomic_load_explicit(&half->started, memory_order_acquire);
    box->progress = atomic_load_explicit(&half->progress, memory_order_relaxed);
    box->progress_done = atomic_load_explicit(&half->progress_done, memory_order_relaxed);
    box->progress_total = atomic_load_explicit(&half->progress_total, memory_order_relaxed);
    box->exiting = atomic_load_explicit(&half->exiting, memory_order_relaxed) == 1;
    box->quitting = atomic_load_explicit(&half->quitting, memory_order_relaxed) == 1;
    copy_fault(&box->fault, &half->fault);
}
