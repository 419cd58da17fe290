/* SPDX-License-Identifier: MIT */
/*
 * A worker's minidump, as its dispatcher sees it: the file's name, and the time that it may take.
 *
 * Model: the worker writes it itself (worker_dump.c says why) and sets `dumping` when it begins.
 * The system's thread pool waits for that, and from then on for the process, with a limit: one that
 * is still there is ended with the code of its own exception, so that its record holds.
 *
 * Invariants: the dispatcher never reads a dump. The path in a death record is the one that was
 * made here, and a file is there.
 */
#include "box.h"

#include "core/problem.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>

/** See nursery.h. */
int bhw_dump_name(bhp_worker *worker, struct bh_problem *problem)
{
    const struct bhw_spec *spec = &worker->nursery->spec;
    WCHAR *path = (WCHAR *)worker->call->dump_path;
    WCHAR name[BHW_NAME_CHARS + sizeof(spec->pool)];

    if (spec->dumps == NULL)
        return BH_OK;
    bhw_print(name, BHW_COUNT(name), "\\%s-%lu-%llu.dmp", spec->pool,
              (unsigned long)GetCurrentProcessId(), (unsigned long long)worker->cookie);
    for (WCHAR *at = name + 1; *at != L'\0'; at++) {
        if (wcschr(L"<>:\"/\\|?*", *at) != NULL)
            *at = L'_';
    }
    if (wcslen(spec->dumps) + wcslen(name) >= BHW_PATH_CHARS)
        return bhi_problem_set(problem, BH_E_RANGE, 0, "dump-directory: its path is too long");
    wcscpy(path, spec->dumps);
    wcscat(path, name);
    return BH_OK;
}

/* ---- the time it takes ---- */

/* On a thread of the system's pool. */
static void CALLBACK on_late(void *context, BOOLEAN timed_out)
{
    bhp_worker *worker = context;
    uint32_t exception = bhw_box_exception(worker);

    if (!timed_out)
        return;
    if (exception != 0)
        TerminateProcess(atomic_load(&worker->process), exception);
    else
        bhp_worker_kill(worker);
}

static void CALLBACK on_dumping(void *context, BOOLEAN timed_out)
{
    bhp_worker *worker = context;

    (void)timed_out;
    RegisterWaitForSingleObject(&worker->late_wait, atomic_load(&worker->process), on_late, worker,
                                worker->nursery->dump_timeout_ms + BHW_DUMP_GRACE_MS,
                                WT_EXECUTEONLYONCE);
}

/** See nursery.h. Without a wait the worker's own limit holds, and the request's deadline. */
void bhw_dump_watch(bhp_worker *worker)
{
    if (worker->nursery->spec.dumps != NULL)
        RegisterWaitForSingleObject(&worker->dump_wait, worker->dumping, on_dumping, worker,
                                    INFINITE, WT_EXECUTEONLYONCE);
}

/** See nursery.h. The first wait makes the second. */
void bhw_dump_unwatch(bhp_worker *worker)
{
    if (worker->dump_wait != NULL)
        UnregisterWaitEx(worker->dump_wait, INVALID_HANDLE_VALUE);
    if (worker->late_wait != NULL)
        UnregisterWaitEx(worker->late_wait, INVALID_HANDLE_VALUE);
    worker->dump_wait = NULL;
    worker->late_wait = NULL;
}

/* ---- what came of it ---- */

static void add_detail(struct bhp_obituary *obituary, const char *text)
{
    size_t length = strlen(obituary->detail);

    snprintf(obituary->detail + length, sizeof(obituary->detail) - length, "%s%s",
             length > 0 ? "; " : "", text);
}

/** See nursery.h. */
void bhw_dump_note(bhp_worker *worker)
{
    const WCHAR *path = (const WCHAR *)worker->call->dump_path;
    struct bhp_obituary *obituary = &worker->obituary;
    uint32_t state = atomic_load_explicit(&worker->box->dump, memory_order_acquire);

    if (worker->nursery->spec.dumps == NULL || state == BHW_DUMP_NONE)
        return;
    if (state == BHW_DUMP_WRITTEN && GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES)
        bhw_narrow(obituary->dump, sizeof(obituary->dump), path, BHW_PATH_CHARS);
    if (obituary->dump[0] != '\0')
        return;
    DeleteFileW(path); /* what there is of it */
    add_detail(obituary, state == BHW_DUMP_BEGUN ? "its dump was not finished in time"
                                                 : "its dump could not be written");
}
