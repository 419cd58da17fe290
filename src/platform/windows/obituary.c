/* SPDX-License-Identifier: MIT */
/*
 * Evidence: what the system says about a worker's memory while it lives, and about its end.
 *
 * Model: Windows has one number for every kind of end, the exit code. A code with the shape of an
 * exception's (severity "error", the reserved bit clear, or one of the four warnings that
 * processors raise) is taken for an exception unless exit() was gone through; others are exits.
 * abort() shows as its own exit code together with the mark that the SIGABRT handler left. What a
 * filter in the worker would have recorded is believed only with that record; what no filter can
 * see (fail fast, heap corruption, the loader) is named by its code.
 *
 * Invariant: an obituary holds what was reported, never what it may mean; what was not reported is
 * 0.
 */
#include "box.h"
#include "names.h"

#include <psapi.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* abort() of the C library: code 3, or with the younger one a fail-fast. */
#define ABORT_CODE 3
#define FAIL_FAST 0xC0000409u

/* Numbers that older headers lack. */
#ifndef ERROR_ELEVATION_REQUIRED
#define ERROR_ELEVATION_REQUIRED 740
#endif
#ifndef ERROR_VIRUS_INFECTED
#define ERROR_VIRUS_INFECTED 225
#endif

/* ---- a process that did not come to be ---- */

/* Errors that the next try will not heal. */
static bool is_permanent(DWORD error)
{
    switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_ACCESS_DENIED:
    case ERROR_BAD_FORMAT:
    case ERROR_BAD_EXE_FORMAT:
    case ERROR_EXE_MACHINE_TYPE_MISMATCH:
    case ERROR_INVALID_NAME:
    case ERROR_INVALID_PARAMETER:
    case ERROR_DIRECTORY:
    case ERROR_FILENAME_EXCED_RANGE:
    case ERROR_ELEVATION_REQUIRED:
    case ERROR_VIRUS_INFECTED:
        return true;
    default:
        return false;
    }
}

/** See nursery.h. */
void bhw_obituary_not_started(struct bhp_obituary *obituary, const char *step, DWORD error)
{
    char text[120];

    obituary->end = BHP_END_NOT_STARTED;
    obituary->os_error = (int)error;
    obituary->permanent = is_permanent(error);
    snprintf(obituary->detail, sizeof(obituary->detail), "%s: %s", step,
             bhw_error_text(error, text, sizeof(text)));
}

/* ---- memory ---- */

/* @return private bytes, 0: not known. Two names for one number: old systems have only the first,
 * Wine only the second. */
static uint64_t look_at_memory(bhp_worker *worker)
{
    PROCESS_MEMORY_COUNTERS_EX counters = {.cb = sizeof(counters)};
    HANDLE process = atomic_load(&worker->process);

    if (process == NULL ||
        !K32GetProcessMemoryInfo(process, (PROCESS_MEMORY_COUNTERS *)&counters, sizeof(counters)))
        return 0;
    /* Only the supervisor writes it. */
    if (counters.PeakWorkingSetSize > atomic_load_explicit(&worker->most_rss, memory_order_relaxed))
        atomic_store_explicit(&worker->most_rss, counters.PeakWorkingSetSize, memory_order_relaxed);
    return counters.PrivateUsage != 0 ? counters.PrivateUsage : counters.PagefileUsage;
}

/** See platform.h. */
uint64_t bhp_worker_rss(bhp_worker *worker)
{
    return atomic_load(&worker->ended) ? 0 : look_at_memory(worker);
}

/* ---- the end ---- */

static bool has_shape_of_exception(uint32_t code)
{
    return (code & 0xD0000000u) == 0xC0000000u || (code >= 0x80000001u && code <= 0x80000004u);
}

static void note_exception(bhp_worker *worker, uint32_t code)
{
    struct bhp_obituary *obituary = &worker->obituary;
    const struct bhw_status *status = bhw_status_of(code);
    const char *name = bhw_exception_name(code);
    char place[sizeof(obituary->detail)];

    obituary->end = BHP_END_EXCEPTION;
    obituary->system_fault = status != NULL && status->kind == BHW_STATUS_FAULT;
    obituary->needs_record = !obituary->system_fault;
    obituary->permanent = status != NULL && status->kind == BHW_STATUS_LOADER;
    bhw_box_place(worker, code, place, sizeof(place));
    const char *what = status != NULL ? status->text : name != NULL ? name : "";
    snprintf(obituary->detail, sizeof(obituary->detail), "%s%s%s", what,
             *what != '\0' && *place != '\0' ? " " : "", place);
}

/* @return whether it was our kill, or looks like it and nobody knows better */
static bool note_kill(bhp_worker *worker, uint32_t code)
{
    struct bhp_obituary *obituary = &worker->obituary;

    if (code != BHW_KILLED || !atomic_load(&worker->unwanted))
        return false;
    obituary->end = BHP_END_UNKNOWN; /* the code is ours and says nothing of the worker */
    obituary->by_kill = true;
    if (atomic_load(&worker->lane_blamed)) /* pairs with bhw_worker_blame() */
        memcpy(obituary->detail, worker->lane_detail, sizeof(obituary->detail));
    return true;
}

static void note_code(bhp_worker *worker, uint32_t code)
{
    struct bhp_obituary *obituary = &worker->obituary;
    bool through_exit = atomic_load_explicit(&worker->box->exiting, memory_order_relaxed) == 1;

    obituary->code = code;
    if (note_kill(worker, code))
        return;
    if ((code == ABORT_CODE || code == FAIL_FAST) && bhw_box_aborted(worker)) {
        obituary->end = BHP_END_SIGNAL;
        obituary->code = SIGABRT;
    } else if (has_shape_of_exception(code) && !through_exit) {
        note_exception(worker, code);
    } else {
        obituary->end = BHP_END_EXIT;
    }
}

/** See nursery.h. */
void bhw_obituary_write(bhp_worker *worker)
{
    struct bhp_obituary *obituary = &worker->obituary;
    HANDLE process = atomic_load(&worker->process);
    FILETIME created, ended, kernel, user;
    DWORD code = 0;

    look_at_memory(worker);
    obituary->max_rss_bytes = atomic_load_explicit(&worker->most_rss, memory_order_relaxed);
    if (GetProcessTimes(process, &created, &ended, &kernel, &user)) {
        obituary->user_us = bhw_filetime(&user) / 10;
        obituary->system_us = bhw_filetime(&kernel) / 10;
    }
    if (GetExitCodeProcess(process, &code))
        note_code(worker, code);
    bhw_dump_note(worker);
    TerminateJobObject(worker->job, BHW_KILLED); /* what it left behind */
}

/** See platform.h. */
void bhp_worker_obituary(bhp_worker *worker, struct bhp_obituary *obituary)
{
    *obituary = worker->obituary;
    bhp_worker_box(worker, &obituary->box);
    /* Complete, but its end came before COM had sent it. */
    if (obituary->box.committed != atomic_load(&worker->answered))
        obituary->box.committed = 0;
    if (obituary->end == BHP_END_SIGNAL) {
        obituary->box.fault = (struct bhp_fault){.kind = BHP_FAULT_ABORT,
                                                 .signal = SIGABRT,
                                                 .thread_id = (uint64_t)obituary->pid,
                                                 .syscall = -1};
    }
}
