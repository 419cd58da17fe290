/* SPDX-License-Identifier: MIT */
/*
 * What a worker and its dispatcher share, and the job that it lives in. protocol.h has the layout.
 *
 * Invariants: the worker's handles never allow more than it needs: the call section is read-only
 * for it, the bell can only be waited for. What has a name has an unguessable one, and is open to
 * this process's user only.
 */
#include "nursery.h"

/* A section of its own, mapped here. @return its view, or NULL and the last error */
static void *make_section(HANDLE *section, DWORD bytes, DWORD access)
{
    *section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, bytes, NULL);
    return *section != NULL ? MapViewOfFile(*section, access, 0, 0, bytes) : NULL;
}

static void write_call(bhp_worker *worker)
{
    const bhp_nursery *nursery = worker->nursery;
    struct bhw_call_section *call = worker->call;
    unsigned long pid = GetCurrentProcessId();
    unsigned long long chance[2] = {bhw_random(), bhw_random()};

    call->magic = BHW_MAGIC;
    call->version = BHW_VERSION;
    call->cookie = worker->cookie;
    call->dispatcher_pid = pid;
    call->max_request_bytes = nursery->max_request_bytes;
    call->max_reply_bytes = nursery->max_reply_bytes;
    call->partial_bytes = nursery->max_partial_bytes;
    call->callback_depth = nursery->callback_depth;
    call->rearm = nursery->rearm;
    call->keep_registered = nursery->keep_registered;
    call->dump_timeout_ms = nursery->dump_timeout_ms;
    call->blob_bytes = BHW_BLOB_BYTES;
    call->arena_bytes = nursery->arena_bytes;
    bhw_print((WCHAR *)call->ready_event, BHW_NAME_CHARS, "Local\\bulkhead-%lu-%llu-%016llx%016llx",
              pid, (unsigned long long)worker->cookie, chance[0], chance[1]);
    bhw_print((WCHAR *)call->item, BHW_NAME_CHARS, "bulkhead-%lu-%llu-%016llx%016llx", pid,
              (unsigned long long)worker->cookie, chance[1], chance[0]);
    worker->moniker[0] = '!';
    bhw_narrow(worker->moniker + 1, sizeof(worker->moniker) - 1, (const WCHAR *)call->item,
               BHW_NAME_CHARS);
}

static int make_events(bhp_worker *worker, struct bh_problem *problem)
{
    worker->bell = CreateEventW(NULL, FALSE, FALSE, NULL);
    worker->dumping = CreateEventW(NULL, TRUE, FALSE, NULL);
    worker->ready = CreateEventW(&worker->nursery->security.attributes, TRUE, FALSE,
                                 (const WCHAR *)worker->call->ready_event);
    if (worker->bell == NULL || worker->dumping == NULL || worker->ready == NULL)
        return bhw_problem_last(problem, "an event for a worker");
    if (GetLastError() == ERROR_ALREADY_EXISTS)
        return bhw_problem_last(problem, "the name of the ready event is taken");
    return BH_OK;
}

/* No dialog for an unhandled exception, also before the worker's own code runs. */
static int make_job(bhp_worker *worker, struct bh_problem *problem)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {.BasicLimitInformation.LimitFlags =
                                                       JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE |
                                                       JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION};

    worker->job = CreateJobObjectW(NULL, NULL);
    if (worker->job == NULL ||
        !SetInformationJobObject(worker->job, JobObjectExtendedLimitInformation, &limits,
                                 sizeof(limits)))
        return bhw_problem_last(problem, "a job for a worker");
    return BH_OK;
}

/** See nursery.h. */
int bhw_sections_make(bhp_worker *worker, struct bh_problem *problem)
{
    worker->call = make_section(&worker->call_section, sizeof(*worker->call), FILE_MAP_WRITE);
    worker->box =
        make_section(&worker->box_section,
                     (DWORD)(sizeof(*worker->box) + 2 * bhw_partial_room(worker)), FILE_MAP_READ);
    if (worker->call == NULL || worker->box == NULL)
        return bhw_problem_last(problem, "memory shared with a worker");
    write_call(worker);
    int rc = bhw_dump_name(worker, problem);
    if (rc == BH_OK)
        rc = make_events(worker, problem);
    return rc == BH_OK ? make_job(worker, problem) : rc;
}

/** See nursery.h. */
void bhw_sections_free(bhp_worker *worker)
{
    if (worker->call != NULL)
        UnmapViewOfFile(worker->call);
    if (worker->box != NULL)
        UnmapViewOfFile(worker->box);
    worker->call = NULL;
    worker->box = NULL;
    bhw_close(&worker->call_section);
    bhw_close(&worker->box_section);
    bhw_close(&worker->bell);
    bhw_close(&worker->ready);
    bhw_close(&worker->dumping);
    bhw_close(&worker->job);
}
