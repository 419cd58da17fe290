/* SPDX-License-Identifier: MIT */
/*
 * One CreateProcess, with everything a worker is given.
 *
 * Model: the things that the worker shall have are duplicated as inheritable handles with the least
 * access, listed, inherited by this one process, and closed at once. Windows inherits by flag and
 * not by order: another process that the host starts in this moment, itself without a list, gets
 * them too. It could then hold the output pipe open, which nobody waits for, or read the worker's
 * box.
 *
 * Invariant: the process is in its job before it runs. A system that refuses the job at creation
 * gets a process that is suspended until it is inside.
 */
#include "nursery.h"

#include "text16.h"

#include "core/alloc.h"

#include <stdio.h>
#include <string.h>

struct birth {
    bhp_worker *worker;
    HANDLE given[BHW_GIVEN_COUNT];
    WCHAR *command;
    WCHAR *environment;
    LPPROC_THREAD_ATTRIBUTE_LIST list;
    bool listed; /* `list` is initialised */
    DWORD flags;
    PROCESS_INFORMATION made;
    const char *step; /* that failed */
    char *path;       /* the step, where it is the path that was refused: owned */
};

static bool fails(struct birth *birth, const char *step)
{
    birth->step = step;
    return false;
}

/* ---- what it is given ---- */

static HANDLE inheritable(HANDLE from, DWORD access)
{
    HANDLE self = GetCurrentProcess();
    HANDLE made = NULL;

    DuplicateHandle(self, from, self, &made, access, TRUE, 0);
    return made;
}

static HANDLE null_device(void)
{
    SECURITY_ATTRIBUTES attributes = {.nLength = sizeof(attributes), .bInheritHandle = TRUE};
    HANDLE made = CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, &attributes,
                              OPEN_EXISTING, 0, NULL);

    return made != INVALID_HANDLE_VALUE ? made : NULL;
}

static bool make_given(struct birth *birth)
{
    bhp_worker *worker = birth->worker;
    HANDLE *given = birth->given;

    given[BHW_GIVEN_CALL] = inheritable(worker->call_section, FILE_MAP_READ);
    given[BHW_GIVEN_BOX] = inheritable(worker->box_section, FILE_MAP_READ | FILE_MAP_WRITE);
    given[BHW_GIVEN_BELL] = inheritable(worker->bell, SYNCHRONIZE);
    given[BHW_GIVEN_DISPATCHER] = inheritable(GetCurrentProcess(), SYNCHRONIZE);
    given[BHW_GIVEN_DUMPING] = inheritable(worker->dumping, EVENT_MODIFY_STATE);
    given[BHW_GIVEN_INPUT] = null_device();
    given[BHW_GIVEN_OUTPUT] =
        inheritable(worker->client, FILE_GENERIC_WRITE | FILE_READ_ATTRIBUTES);
    for (size_t i = 0; i < BHW_GIVEN_COUNT; i++) {
        if (given[i] == NULL)
            return fails(birth, "a handle for the worker");
    }
    return true;
}

static bool make_texts(struct birth *birth)
{
    const struct bhw_spec *spec = &birth->worker->nursery->spec;
    const HANDLE *given = birth->given;
    WCHAR text[160];

    bhw_print(text, BHW_COUNT(text), BHW_ARGUMENT "%s,%llu,%lu", spec->pool,
              (unsigned long long)birth->worker->cookie, (unsigned long)GetCurrentProcessId());
    birth->command = bhw_spec_command(spec, text);
    bhw_print(text, BHW_COUNT(text), BHW_ENVIRONMENT "=%llx,%llx,%llx,%llx,%llx",
              (unsigned long long)(uintptr_t)given[BHW_GIVEN_CALL],
              (unsigned long long)(uintptr_t)given[BHW_GIVEN_BOX],
              (unsigned long long)(uintptr_t)given[BHW_GIVEN_BELL],
              (unsigned long long)(uintptr_t)given[BHW_GIVEN_DISPATCHER],
              (unsigned long long)(uintptr_t)given[BHW_GIVEN_DUMPING]);
    birth->environment = bhw_spec_environment(spec, text);
    if (birth->command != NULL && birth->environment != NULL)
        return true;
    SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    return fails(birth, "the command line");
}

static void drop_list(struct birth *birth)
{
    if (birth->listed)
        DeleteProcThreadAttributeList(birth->list);
    birth->listed = false;
    bhi_free(birth->list);
    birth->list = NULL;
}

/* @param with_job whether the process is created inside its job */
static bool make_list(struct birth *birth, bool with_job)
{
    DWORD count = with_job ? 2 : 1;
    SIZE_T bytes = 0;

    InitializeProcThreadAttributeList(NULL, count, 0, &bytes);
    birth->list = bhi_alloc(bytes > 0 ? bytes : 1);
    if (birth->list == NULL) {
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return false;
    }
    birth->listed = InitializeProcThreadAttributeList(birth->list, count, 0, &bytes);
    return birth->listed &&
           UpdateProcThreadAttribute(birth->list, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
                                     birth->given, sizeof(birth->given), NULL, NULL) &&
           (!with_job ||
            UpdateProcThreadAttribute(birth->list, 0, PROC_THREAD_ATTRIBUTE_JOB_LIST,
                                      &birth->worker->job, sizeof(HANDLE), NULL, NULL));
}

/* ---- the process ---- */

static bool call_system(struct birth *birth)
{
    const struct bhw_spec *spec = &birth->worker->nursery->spec;
    STARTUPINFOEXW startup = {
        .StartupInfo = {.cb = sizeof(startup),
                        .dwFlags = STARTF_USESTDHANDLES,
                        .hStdInput = birth->given[BHW_GIVEN_INPUT],
                        .hStdOutput = birth->given[BHW_GIVEN_OUTPUT],
                        .hStdError = birth->given[BHW_GIVEN_OUTPUT]},
        .lpAttributeList = birth->list,
    };

    return CreateProcessW(spec->program, birth->command, NULL, NULL, TRUE, birth->flags,
                          birth->environment, spec->directory, &startup.StartupInfo, &birth->made);
}

/* Names what was refused: nobody can mend "CreateProcess". */
static bool refuses(struct birth *birth)
{
    const struct bhw_spec *spec = &birth->worker->nursery->spec;
    DWORD error = GetLastError();

    birth->path = bhw_text16_new_utf8(error == ERROR_DIRECTORY ? spec->directory : spec->program);
    SetLastError(error);
    return fails(birth, birth->path != NULL ? birth->path : "CreateProcess");
}

/* Whether a refusal may be one of the job list, which Windows 10 brought. */
static bool may_be_the_list(DWORD error)
{
    return error == ERROR_NOT_SUPPORTED || error == ERROR_INVALID_PARAMETER ||
           error == ERROR_CALL_NOT_IMPLEMENTED || error == ERROR_BAD_LENGTH;
}

static bool create(struct birth *birth)
{
    const struct bhw_spec *spec = &birth->worker->nursery->spec;

    birth->flags = CREATE_NO_WINDOW | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT |
                   spec->priority | (spec->affinity != 0 ? CREATE_SUSPENDED : 0);
    if (make_list(birth, true) && call_system(birth))
        return true;
    if (!may_be_the_list(GetLastError()))
        return refuses(birth);
    drop_list(birth);
    birth->flags |= CREATE_SUSPENDED;
    return (make_list(birth, false) && call_system(birth)) || refuses(birth);
}

/* Puts it into its job if it is not there, sets what can be set from outside, and lets it run. */
static bool release(struct birth *birth)
{
    HANDLE process = birth->made.hProcess;
    HANDLE job = birth->worker->job;
    DWORD_PTR affinity = birth->worker->nursery->spec.affinity;
    DWORD priority = birth->worker->nursery->spec.priority;
    BOOL inside = FALSE;

    if (!IsProcessInJob(process, job, &inside) || !inside) {
        if (!AssignProcessToJobObject(job, process))
            return fails(birth, "AssignProcessToJobObject");
    }
    if (affinity != 0 && !SetProcessAffinityMask(process, affinity))
        return fails(birth, "SetProcessAffinityMask");
    /* Wine does not look at the creation flag. */
    if (priority != 0 && !SetPriorityClass(process, priority))
        return fails(birth, "SetPriorityClass");
    if ((birth->flags & CREATE_SUSPENDED) && ResumeThread(birth->made.hThread) == (DWORD)-1)
        return fails(birth, "ResumeThread");
    return true;
}

static void hand_over(struct birth *birth)
{
    bhp_worker *worker = birth->worker;

    worker->main_thread = birth->made.dwThreadId;
    worker->obituary.pid = (int64_t)birth->made.dwProcessId;
    atomic_store(&worker->pid, worker->obituary.pid);
    atomic_store(&worker->process, birth->made.hProcess); /* pairs with bhp_worker_kill() */
    birth->made.hProcess = NULL;
    if (atomic_load(&worker->unwanted)) /* pairs with the store in bhp_worker_kill() */
        bhp_worker_kill(worker);
}

static void clean_up(struct birth *birth)
{
    if (birth->made.hProcess != NULL)
        TerminateProcess(birth->made.hProcess, BHW_KILLED);
    bhw_close(&birth->made.hProcess);
    bhw_close(&birth->made.hThread);
    for (size_t i = 0; i < BHW_GIVEN_COUNT; i++)
        bhw_close(&birth->given[i]);
    drop_list(birth);
    bhi_free(birth->command);
    bhi_free(birth->environment);
    bhi_free(birth->path);
}

/** See nursery.h. */
bool bhw_process_create(bhp_worker *worker)
{
    struct birth birth = {.worker = worker};

    if (atomic_load(
            &worker->unwanted)) { /* nobody says how it ended: whoever wanted it dead does */
        worker->obituary.end = BHP_END_UNKNOWN;
        return false;
    }
    bool made = make_given(&birth) && make_texts(&birth) && create(&birth) && release(&birth);
    if (made)
        hand_over(&birth);
    else
        bhw_obituary_not_started(&worker->obituary, birth.step, GetLastError());
    clean_up(&birth);
    /* Nothing of these is ours to give again. */
    bhw_close(&worker->call_section);
    bhw_close(&worker->box_section);
    return made;
}
