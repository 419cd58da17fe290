/* SPDX-License-Identifier: MIT */
/*
 * Classification of a worker's end.
 *
 * Model: the platform hands over evidence (how the process ended, what the worker wrote while it
 * died), the pool what it did itself. The rules below are tried in order; each demands the evidence
 * that the table of causes in docs/ARCHITECTURE.md demands, and the last one is "unknown". What the
 * worker wrote is hearsay: it counts only where it agrees with how the system says the process
 * ended.
 */
#include "death.h"

#include "alloc.h"

#include <stdio.h>
#include <string.h>

enum bh_delivery bhi_delivery_of(const struct bhp_box *box, uint64_t serial, uint64_t begun)
{
    if (box->committed == serial)
        return BH_DELIVERY_COMMITTED;
    return box->started == begun ? BH_DELIVERY_NEVER_STARTED : BH_DELIVERY_STARTED;
}

/* The record speaks of the very signal or exception that ended the process, and of one that leaves
 * time to write: a kill does not. */
static bool record_agrees(const struct bhp_obituary *obituary)
{
    const struct bhp_fault *fault = &obituary->box.fault;

    if (fault->kind == BHP_FAULT_NONE || obituary->by_kill)
        return false;
    if (obituary->end == BHP_END_SIGNAL)
        return (uint32_t)fault->signal == obituary->code;
    if (obituary->end == BHP_END_EXCEPTION)
        return fault->exception == obituary->code;
    return false;
}

static enum bh_cause cause_of_record(const struct bhp_fault *fault)
{
    switch (fault->kind) {
    case BHP_FAULT_FAULT:
        return BH_CAUSE_FAULT;
    case BHP_FAULT_ABORT:
        return BH_CAUSE_ABORT;
    case BHP_FAULT_SANDBOX:
        return BH_CAUSE_SANDBOX;
    case BHP_FAULT_SIGNAL:
        return BH_CAUSE_KILLED;
    case BHP_FAULT_NONE:
        break;
    }
    return BH_CAUSE_UNKNOWN;
}

static enum bh_cause cause_of_signal(const struct bhp_obituary *obituary)
{
    if (record_agrees(obituary))
        return cause_of_record(&obituary->box.fault);
    if (obituary->system_fault)
        return BH_CAUSE_FAULT;
    if (obituary->needs_record)
        return BH_CAUSE_UNKNOWN;
    if (obituary->by_kill && obituary->cgroup_oom)
        return BH_CAUSE_MEMORY_LIMIT;
    return BH_CAUSE_KILLED;
}

/* Left in order: not from inside a request. */
static bool has_quit(const struct bhi_known *known, const struct bhp_obituary *obituary)
{
    const struct bhp_box *box = &obituary->box;

    return box->quitting && obituary->code == 0 &&
           (!known->serial ||
            bhi_delivery_of(box, known->serial, known->begun) != BH_DELIVERY_STARTED);
}

static enum bh_cause cause_of(const struct bhi_known *known, const struct bhp_obituary *obituary)
{
    /* a kill shows as a signal on one system, as an exit code on the other, and not at all when
     * nobody is left to say how it ended */
    bool by_kill = obituary->by_kill || obituary->end == BHP_END_UNKNOWN;

    if (obituary->protocol)
        return BH_CAUSE_PROTOCOL;
    if (by_kill && known->killed)
        return known->kill_cause;
    if (obituary->nursery_lost && (by_kill || obituary->end == BHP_END_NOT_STARTED))
        return BH_CAUSE_LAUNCHER_LOST;
    switch (obituary->end) {
    case BHP_END_NOT_STARTED:
        return BH_CAUSE_NOT_STARTED;
    case BHP_END_EXIT:
        return has_quit(known, obituary) ? BH_CAUSE_QUIT : BH_CAUSE_EXIT;
    case BHP_END_SIGNAL:
    case BHP_END_EXCEPTION:
        return cause_of_signal(obituary);
    case BHP_END_UNKNOWN:
        break;
    }
    return BH_CAUSE_UNKNOWN;
}

static enum bh_phase phase_of(const struct bhi_known *known, const struct bhp_obituary *obituary)
{
    if (!known->was_ready)
        return BH_PHASE_START_UP;
    enum bh_delivery delivery = bhi_delivery_of(&obituary->box, known->serial, known->begun);
    bool bad_reply = known->killed && known->kill_cause == BH_CAUSE_PROTOCOL;
    if (known->serial && (delivery == BH_DELIVERY_STARTED || bad_reply))
        return BH_PHASE_REQUEST;
    return BH_PHASE_IDLE;
}

static void write_end(struct bh_death *death, const struct bhp_obituary *obituary)
{
    death->exit_code = -1;
    if (obituary->end == BHP_END_EXIT)
        death->exit_code = (int)obituary->code;
    if (obituary->end == BHP_END_SIGNAL) {
        death->signal = (int)obituary->code;
        snprintf(death->signal_name, sizeof(death->signal_name), "%s",
                 bhp_signal_name(death->signal));
    }
    if (obituary->end == BHP_END_EXCEPTION)
        death->exception = obituary->code;
    if (obituary->end == BHP_END_NOT_STARTED)
        death->os_error = obituary->os_error;
    death->exiting = obituary->box.exiting;
}

static void write_fault(struct bh_death *death, const struct bhp_fault *fault)
{
    death->has_fault = true;
    death->stack_overflow = fault->kind == BHP_FAULT_FAULT && fault->stack_overflow;
    death->signal_code = fault->signal_code;
    death->thread_id = fault->thread_id;
    death->address = fault->address;
    death->instruction = fault->instruction;
    death->stack_pointer = fault->stack_pointer;
    death->register_count = fault->register_count;
    death->first_register = fault->first_register;
    memcpy(death->registers, fault->registers, sizeof(death->registers));
    death->sender_pid = fault->kind == BHP_FAULT_SIGNAL ? fault->sender_pid : 0;
    death->sender_uid = fault->sender_uid;
    if (fault->kind == BHP_FAULT_SANDBOX) {
        const char *name = bhp_syscall_name(fault->syscall);
        death->syscall = fault->syscall;
        snprintf(death->syscall_name, sizeof(death->syscall_name), "%s", name ? name : "");
    }
}

static void write_detail(struct bh_death *death, const struct bhi_known *known,
                         const struct bhp_obituary *obituary)
{
    const char *detail = obituary->detail;

    if (!*detail && known->killed && death->cause == known->kill_cause)
        detail = known->kill_detail;
    snprintf(death->detail, sizeof(death->detail), "%s", detail);
}

void bhi_death_write(struct bh_death *death, const struct bhi_known *known,
                     const struct bhp_obituary *obituary)
{
    memset(death, 0, sizeof(*death));
    death->cookie = known->cookie;
    death->pid = obituary->pid;
    death->cause = cause_of(known, obituary);
    death->phase = phase_of(known, obituary);
    death->serial = death->phase == BH_PHASE_REQUEST ? known->serial : 0;
    death->served = known->served;
    if (known->serial && obituary->box.committed == known->serial)
        death->served++; /* its caller has yet to say so */
    death->uptime_ms = known->uptime_ms;
    death->peak_rss_bytes = known->peak_rss_bytes;
    death->max_rss_bytes = obituary->max_rss_bytes;
    death->user_us = obituary->user_us;
    death->system_us = obituary->system_us;
    death->syscall = -1;
    write_end(death, obituary);
    if (record_agrees(obituary))
        write_fault(death, &obituary->box.fault);
    if (death->cause == BH_CAUSE_MEMORY_LIMIT && known->killed)
        death->limit_bytes = known->limit_bytes;
    write_detail(death, known, obituary);
    memcpy(death->dump, obituary->dump, sizeof(death->dump));
}

void bh_death_deinit(struct bh_death *death)
{
    if (!death)
        return;
    bhi_free(death->output);
    bhi_free(death->chunks);
    memset(death, 0, sizeof(*death));
}

int bh_death_copy(struct bh_death *out, const struct bh_death *death)
{
    size_t chunk_bytes = death->chunk_count * sizeof(*death->chunks);

    *out = *death;
    out->output = NULL;
    out->chunks = NULL;
    if (!death->output)
        return BH_OK;
    out->output = bhi_alloc(death->output_length + 1);
    out->chunks = bhi_alloc(chunk_bytes ? chunk_bytes : 1);
    if (!out->output || !out->chunks) {
        bh_death_deinit(out);
        return BH_E_MEMORY;
    }
    memcpy(out->output, death->output, death->output_length + 1);
    memcpy(out->chunks, death->chunks, chunk_bytes);
    return BH_OK;
}
