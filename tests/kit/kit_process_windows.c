/* SPDX-License-Identifier: MIT */
/*
 * Threads, processes and files for the kit and for tests. Everything waits on a handle with a
 * deadline; the one loop that looks again and again is kit_wait_until().
 *
 * Processes are known by their numbers, as on Linux. A number stays a process's own as long as
 * somebody has a handle on it; for those that kit_start() makes the kit keeps one until kit_end().
 */
#include "create_process.h"
#include "kit.h"

#include <windows.h>
#include <winternl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STARTED_MAX = 16, COMMAND_MAX = 8192, PROCESSES_MAX = 1024 };

/* ---- time ------------------------------------------------------------------------------------ */

int64_t kit_now_ms(void)
{
    return (int64_t)GetTickCount64();
}

bool kit_wait_until(bool (*condition)(void *argument), void *argument, int deadline_ms)
{
    int64_t until = kit_now_ms() + (int64_t)deadline_ms * kit_slowdown();
    while (!condition(argument)) {
        if (kit_now_ms() >= until)
            return condition(argument);
        Sleep(1);
    }
    return true;
}

/* ---- threads --------------------------------------------------------------------------------- */

struct kit_thread {
    HANDLE system;
    void (*run)(void *context);
    void *context;
};

static DWORD WINAPI run_thread(void *context)
{
    kit_thread *thread = context;
    thread->run(thread->context);
    return 0;
}

kit_thread *kit_thread_start(void (*run)(void *context), void *context)
{
    kit_thread *thread = malloc(sizeof *thread);
    if (!thread)
        FAIL("no memory");
    thread->run = run;
    thread->context = context;
    thread->system = CreateThread(NULL, 0, run_thread, thread, 0, NULL);
    if (!thread->system)
        FAIL("no thread: error %lu", GetLastError());
    return thread;
}

void kit_thread_join(kit_thread *thread)
{
    WaitForSingleObject(thread->system, INFINITE);
    CloseHandle(thread->system);
    free(thread);
}

/* The event itself is the gate: it resets when it lets a thread pass. */
kit_gate *kit_gate_new(void)
{
    HANDLE event = CreateEventA(NULL, FALSE, FALSE, NULL);
    if (!event)
        FAIL("no gate: error %lu", GetLastError());
    return event;
}

void kit_gate_free(kit_gate *gate)
{
    CloseHandle(gate);
}

void kit_gate_open(kit_gate *gate)
{
    SetEvent(gate);
}

void kit_gate_pass(kit_gate *gate)
{
    WaitForSingleObject(gate, INFINITE);
}

/* ---- this process ---------------------------------------------------------------------------- */

uint64_t kit_peak_kib(void)
{
    return 0; /* Wine does not tell */
}

bool kit_is_ready(intptr_t waitable, int ms)
{
    return WaitForSingleObject((HANDLE)waitable, (DWORD)ms) == WAIT_OBJECT_0;
}

int kit_own_pid(void)
{
    return (int)GetCurrentProcessId();
}

void kit_set_environment(const char *name, const char *value)
{
    _putenv_s(name, value); /* the C library's copy, and the system's with it */
}

void kit_get_directory(char *path, size_t size)
{
    DWORD length = GetCurrentDirectoryA((DWORD)size, path);
    if (length == 0 || length >= size)
        FAIL("no working directory: error %lu", GetLastError());
}

void kit_pause_ms(int64_t ms)
{
    Sleep((DWORD)ms);
}

void kit_pause_us(int64_t us)
{
    Sleep((DWORD)(us / 1000));
}

void kit_hang(void)
{
    for (;;)
        Sleep(INFINITE);
}

#define STRAY_OPTION "--stray"

/* There is no fork(): the program starts itself. */
void kit_start_stray(void)
{
    char program[MAX_PATH], line[MAX_PATH + 20];
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION made;
    GetModuleFileNameA(NULL, program, sizeof program);
    snprintf(line, sizeof line, "\"%s\" " STRAY_OPTION, program);
    if (!kit_create_process(NULL, line, FALSE, DETACHED_PROCESS, &startup, &made))
        FAIL("no stray: error %lu", GetLastError());
    CloseHandle(made.hThread);
    CloseHandle(made.hProcess);
}

void kit_stray_main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], STRAY_OPTION) == 0)
        kit_hang();
}

void kit_kill_self(void)
{
    TerminateProcess(GetCurrentProcess(), 9);
    kit_hang();
}

/* ---- files ----------------------------------------------------------------------------------- */

void *kit_nameless_file(void)
{
    SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
    char directory[MAX_PATH - 14], path[MAX_PATH];
    if (!GetTempPathA(sizeof directory, directory) || !GetTempFileNameA(directory, "bh", 0, path))
        return INVALID_HANDLE_VALUE;
    return CreateFileA(path, GENERIC_READ | GENERIC_WRITE | DELETE,
                       FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, &inherited,
                       CREATE_ALWAYS, FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, NULL);
}

void *kit_null_device(void)
{
    SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
    return CreateFileA("NUL", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE,
                       &inherited, OPEN_EXISTING, 0, NULL);
}

char *kit_read_file(void *file)
{
    DWORD size = SetFilePointer(file, 0, NULL, FILE_END), got = 0;
    char *text = malloc((size_t)size + 1);
    SetFilePointer(file, 0, NULL, FILE_BEGIN);
    if (text && !ReadFile(file, text, size, &got, NULL))
        got = 0;
    if (text)
        text[got] = '\0';
    return text;
}

/* ---- starting -------------------------------------------------------------------------------- */

static LPPROC_THREAD_ATTRIBUTE_LIST make_attributes(HANDLE *handles, size_t count, HANDLE *job)
{
    SIZE_T size = 0;
    InitializeProcThreadAttributeList(NULL, 2, 0, &size);
    LPPROC_THREAD_ATTRIBUTE_LIST list = malloc(size);
    if (!list || !InitializeProcThreadAttributeList(list, 2, 0, &size)) {
        free(list);
        return NULL;
    }
    UpdateProcThreadAttribute(list, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles,
                              count * sizeof *handles, NULL, NULL);
    if (*job)
        UpdateProcThreadAttribute(list, 0, PROC_THREAD_ATTRIBUTE_JOB_LIST, job, sizeof *job, NULL,
                                  NULL);
    return list;
}

void *kit_create(const char *command, const struct kit_streams *streams, void *job, int *pid)
{
    HANDLE handles[3] = {streams->in, streams->out, streams->err};
    size_t count = streams->out == streams->err ? 2 : 3; /* none may be in the list twice */
    STARTUPINFOEXA startup = {.StartupInfo = {.cb = sizeof startup}};
    PROCESS_INFORMATION made;
    char line[COMMAND_MAX];
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    startup.StartupInfo.hStdInput = streams->in;
    startup.StartupInfo.hStdOutput = streams->out;
    startup.StartupInfo.hStdError = streams->err;
    startup.lpAttributeList = make_attributes(handles, count, &job);
    for (size_t i = 0; i < count; i++)
        SetHandleInformation(handles[i], HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    snprintf(line, sizeof line, "%s", command); /* it is written to */
    BOOL good = startup.lpAttributeList &&
                kit_create_process(NULL, line, TRUE, EXTENDED_STARTUPINFO_PRESENT,
                                   &startup.StartupInfo, &made);
    if (startup.lpAttributeList)
        DeleteProcThreadAttributeList(startup.lpAttributeList);
    free(startup.lpAttributeList);
    if (!good)
        return NULL;
    CloseHandle(made.hThread);
    *pid = (int)made.dwProcessId;
    return made.hProcess;
}

/* Good for the arguments that tests have: a quote or a backslash at an end is not among them. */
static void write_command(const char *const argv[], char *line, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; argv[i]; i++) {
        if (strchr(argv[i], '"'))
            FAIL("kit: no quotes in arguments, please: %s", argv[i]);
        used += (size_t)snprintf(line + used, size - used, "%s\"%s\"", i ? " " : "", argv[i]);
        if (used >= size)
            FAIL("kit: more arguments than fit");
    }
}

static HANDLE create(const char *const argv[], const struct kit_streams *streams, int *pid)
{
    char line[COMMAND_MAX];
    write_command(argv, line, sizeof line);
    HANDLE process = kit_create(line, streams, NULL, pid);
    if (!process)
        FAIL("cannot run %s: error %lu", line, GetLastError());
    return process;
}

/* ---- for tests ------------------------------------------------------------------------------- */

static struct {
    int pid;
    HANDLE process;
} started[STARTED_MAX];

int kit_start(const char *const argv[])
{
    struct kit_streams streams = {kit_null_device(), GetStdHandle(STD_OUTPUT_HANDLE),
                                  GetStdHandle(STD_ERROR_HANDLE)};
    size_t i = 0;
    while (i < STARTED_MAX && started[i].process)
        i++;
    if (i == STARTED_MAX)
        FAIL("kit: no more than %d processes at once", STARTED_MAX);
    started[i].process = create(argv, &streams, &started[i].pid);
    CloseHandle(streams.in);
    return started[i].pid;
}

void kit_end(int pid)
{
    for (size_t i = 0; i < STARTED_MAX; i++) {
        if (!started[i].process || started[i].pid != pid)
            continue;
        TerminateProcess(started[i].process, 9);
        WaitForSingleObject(started[i].process, INFINITE);
        CloseHandle(started[i].process);
        started[i].process = NULL;
    }
}

bool kit_pid_gone(int pid, int deadline_ms)
{
    HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)pid);
    if (!process)
        return GetLastError() == ERROR_INVALID_PARAMETER;
    DWORD said = WaitForSingleObject(process, (DWORD)(deadline_ms * kit_slowdown()));
    CloseHandle(process);
    return said == WAIT_OBJECT_0;
}

bool kit_pid_kill(int pid)
{
    HANDLE process = OpenProcess(PROCESS_TERMINATE, FALSE, (DWORD)pid);
    BOOL killed = process && TerminateProcess(process, 9);
    if (process)
        CloseHandle(process);
    return killed;
}

NTSTATUS NTAPI NtSuspendProcess(HANDLE process);
NTSTATUS NTAPI NtResumeProcess(HANDLE process);

bool kit_pid_stop(int pid)
{
    HANDLE process = OpenProcess(PROCESS_SUSPEND_RESUME, FALSE, (DWORD)pid);
    bool stopped = process && NT_SUCCESS(NtSuspendProcess(process));
    if (process)
        CloseHandle(process);
    return stopped;
}

void kit_pid_continue(int pid)
{
    HANDLE process = OpenProcess(PROCESS_SUSPEND_RESUME, FALSE, (DWORD)pid);
    if (!process)
        return;
    NtResumeProcess(process);
    CloseHandle(process);
}

/* The desktop and consoles: the system starts them in the name of whoever is the first to need one,
 * and ends them by itself. And under Wine what is left of a process whose maker was killed while it
 * made it: it never ran, has no program, is in no list of processes, and stays in its job for ever.
 */
static bool is_systems(DWORD pid)
{
    HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid);
    char path[MAX_PATH] = "";
    DWORD size = sizeof path;
    if (process) {
        QueryFullProcessImageNameA(process, 0, path, &size);
        CloseHandle(process);
    }
    const char *name = strrchr(path, '\\');
    return !name || (_stricmp(name, "\\explorer.exe") == 0 || _stricmp(name, "\\conhost.exe") == 0);
}

size_t kit_job_processes(void *job, int *pids, size_t max)
{
    union {
        JOBOBJECT_BASIC_PROCESS_ID_LIST list;
        char room[sizeof(JOBOBJECT_BASIC_PROCESS_ID_LIST) + PROCESSES_MAX * sizeof(ULONG_PTR)];
    } *all = malloc(sizeof *all);
    size_t count = 0;
    if (!all ||
        !QueryInformationJobObject(job, JobObjectBasicProcessIdList, all, sizeof *all, NULL))
        FAIL("kit: the job's processes cannot be listed: error %lu", GetLastError());
    for (DWORD i = 0; i < all->list.NumberOfProcessIdsInList; i++) {
        DWORD pid = (DWORD)all->list.ProcessIdList[i];
        if (pid == GetCurrentProcessId() || is_systems(pid))
            continue;
        if (count < max)
            pids[count] = (int)pid;
        count++;
    }
    free(all);
    return count;
}

size_t kit_descendants(int *pids, size_t max)
{
    HANDLE job = kit_open_job();
    if (!job)
        return 0;
    size_t count = kit_job_processes(job, pids, max);
    CloseHandle(job);
    return count;
}

static HANDLE file_with(const char *text)
{
    if (!text)
        return kit_null_device();
    HANDLE file = kit_nameless_file();
    DWORD written = 0;
    WriteFile(file, text, (DWORD)strlen(text), &written, NULL);
    if (written != strlen(text))
        FAIL("cannot write %zu bytes: error %lu", strlen(text), GetLastError());
    SetFilePointer(file, 0, NULL, FILE_BEGIN);
    return file;
}

/* The output of a finished program. */
static void hand_over(HANDLE file, char **text)
{
    if (text)
        *text = kit_read_file(file);
    CloseHandle(file);
}

bool kit_run(const char *const argv[], const char *input, char **out, char **err, int *status,
             int deadline_ms)
{
    struct kit_streams streams = {file_with(input), kit_nameless_file(), kit_nameless_file()};
    DWORD code = 0;
    int pid;
    HANDLE process = create(argv, &streams, &pid);
    bool in_time = WaitForSingleObject(process, (DWORD)(deadline_ms * kit_slowdown())) == 0;
    if (!in_time) {
        TerminateProcess(process, 9);
        WaitForSingleObject(process, INFINITE);
    }
    GetExitCodeProcess(process, &code);
    if (status)
        *status = in_time ? (int)code : -9;
    CloseHandle(process);
    CloseHandle(streams.in);
    hand_over(streams.out, out);
    hand_over(streams.err, err);
    return in_time;
}
