/* SPDX-License-Identifier: MIT */
/*
 * Reading the box: the words that a worker writes about itself.
 *
 * Model: each word is loaded once into a private copy; what was loaded is then checked and
 * translated. The section is mapped read-only and cannot shrink, so that reading it never fails.
 *
 * Invariant: nothing in a struct bhp_box depends on a word that can still change, and no number in
 * it is used as an index or a length unchecked. It is hearsay all the same.
 */
#include "box.h"
#include "names.h"

#include <signal.h>
#include <stdio.h>

/* One load of a plain word that another process may write at this moment. */
#define ONCE(type, word) (*(const volatile type *)&(word))

static void copy_registers(struct bhp_fault *out, const struct bhw_fault *in)
{
    uint32_t count = ONCE(uint32_t, in->register_count);

    uint32_t first = bhw_registers_of(ONCE(uint32_t, in->machine));

    if (count > BHW_REGISTERS_MAX || first == BHW_REGISTERS_UNKNOWN)
        return;
    out->first_register = first;
    out->register_count = count;
    for (uint32_t i = 0; i < out->register_count; i++)
        out->registers[i] = ONCE(uint64_t, in->registers[i]);
}

/* For people the main thread has the number of its process. */
static uint64_t thread_of(const bhp_worker *worker, uint64_t thread)
{
    return thread == worker->main_thread ? (uint64_t)atomic_load(&worker->pid) : thread;
}

static void copy_fault(const bhp_worker *worker, struct bhp_fault *out)
{
    const struct bhw_fault *in = &worker->box->fault;

    /* Pairs with the release store that ends the worker's fault filter. */
    if (atomic_load_explicit(&in->state, memory_order_acquire) != BHW_FAULT_COMPLETE)
        return;
    out->exception = ONCE(uint32_t, in->exception);
    if (out->exception == 0)
        return;
    out->kind = BHP_FAULT_FAULT;
    out->thread_id = thread_of(worker, ONCE(uint64_t, in->thread_id));
    out->address = ONCE(uint64_t, in->address);
    out->instruction = ONCE(uint64_t, in->instruction);
    out->stack_pointer = ONCE(uint64_t, in->stack_pointer);
    out->stack_overflow = ONCE(uint32_t, in->stack_overflow) == 1;
    copy_registers(out, in);
}

/** See box.h. */
bool bhw_box_aborted(const bhp_worker *worker)
{
    return atomic_load_explicit(&worker->box->aborted, memory_order_relaxed) != 0 &&
           atomic_load_explicit(&worker->box->exiting, memory_order_relaxed) != 1;
}

/** See box.h. */
uint32_t bhw_box_exception(const bhp_worker *worker)
{
    const struct bhw_fault *in = &worker->box->fault;
    uint32_t exception = ONCE(uint32_t, in->exception);

    return atomic_load_explicit(&in->state, memory_order_acquire) == BHW_FAULT_COMPLETE &&
                   exception >> 31
               ? exception
               : 0;
}

/** See box.h. */
void bhw_box_place(const bhp_worker *worker, uint32_t exception, char *text, size_t size)
{
    const struct bhw_fault *in = &worker->box->fault;
    WCHAR module[BHW_COUNT(in->module)];
    char name[3 * BHW_COUNT(in->module) + 1];
    uint64_t base = ONCE(uint64_t, in->module_base);
    uint64_t at = ONCE(uint64_t, in->instruction);

    *text = '\0';
    for (size_t i = 0; i < BHW_COUNT(module); i++)
        module[i] = ONCE(uint16_t, in->module[i]);
    if (base == 0 || at < base || ONCE(uint32_t, in->exception) != exception ||
        atomic_load_explicit(&in->state, memory_order_acquire) != BHW_FAULT_COMPLETE)
        return;
    bhw_narrow(name, sizeof(name), module, BHW_COUNT(module));
    snprintf(text, size, "in %s+0x%llx", name, (unsigned long long)(at - base));
}

/** See platform.h. */
void bhp_worker_box(const bhp_worker *worker, struct bhp_box *box)
{
    const struct bhw_box_section *words = worker->box;

    /* Acquire: pairs with the worker's release stores, so that `committed` is not older than
     * `started` makes it look. */
    *box = (struct bhp_box){.fault = {.kind = BHP_FAULT_NONE, .syscall = -1}};
    box->committed = atomic_load_explicit(&words->committed, memory_order_acquire);
    box->started = atomic_load_explicit(&words->started, memory_order_acquire);
    box->progress = atomic_load_explicit(&words->progress, memory_order_relaxed);
    box->progress_done = atomic_load_explicit(&words->progress_done, memory_order_relaxed);
    box->progress_total = atomic_load_explicit(&words->progress_total, memory_order_relaxed);
    box->exiting = atomic_load_explicit(&words->exiting, memory_order_relaxed) == 1;
    box->quitting = atomic_load_explicit(&words->quitting, memory_order_relaxed) == 1;
    copy_fault(worker, &box->fault);
}
