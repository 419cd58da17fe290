/* SPDX-License-Identifier: MIT */
/*
 * The kit on Windows: one process per test, and its supervisor.
 *
 *     supervisor ── CreateProcess of itself, --test=NAME ──> test: in a job of its own, with a TEMP
 *                   of its own, its output in a file; runs, looks for leaks, exits
 *
 * The job holds the test and all that comes of it, however deep, and ends them with its last
 * handle, which is the supervisor's: neither a hang nor the end of the supervisor leaves anything.
 * The test finds the job by its name, which is in its environment. A test passes only if it came to
 * its end (an event; `exit(0)` in its middle is no pass), ended with status 0 and left nothing
 * behind.
 */
#include "kit.h"

#include <windows.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_S = 20, GRACE_MS = 5000 };

#define MARKER "BH_TEST_ID"
#define TEST_OPTION "--test="
#define LEAST_EXCEPTION 0x80000000ul /* as an exit code */

/* One run of one test. */
struct run {
    const struct kit_test *test;
    HANDLE process, job, output;
    HANDLE done;              /* the test came to its end */
    char directory[MAX_PATH]; /* its TEMP */
    char marker[64];          /* in its environment; also the name of the job */
};

static void name_of_event(const char *marker, char *name, size_t size)
{
    snprintf(name, size, "%s-done", marker);
}

static void say(HANDLE out, const char *format, ...)
{
    if (!out)
        return;
    char text[400];
    DWORD written;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof text)
        length = sizeof text - 1;
    WriteFile(out, text, (DWORD)length, &written, NULL);
}

/* Empties and removes a directory. What was in it is named on `out` unless that is NULL.
 * @return how many things */
static size_t remove_directory(HANDLE out, const char *path)
{
    char pattern[MAX_PATH + 2], inside[2 * MAX_PATH];
    WIN32_FIND_DATAA entry;
    size_t count = 0;
    snprintf(pattern, sizeof pattern, "%s\\*", path);
    HANDLE search = FindFirstFileA(pattern, &entry);
    for (BOOL more = search != INVALID_HANDLE_VALUE; more; more = FindNextFileA(search, &entry)) {
        if (strcmp(entry.cFileName, ".") == 0 || strcmp(entry.cFileName, "..") == 0)
            continue;
        count++;
        snprintf(inside, sizeof inside, "%s\\%s", path, entry.cFileName);
        say(out, "leaked: file %s\n", inside);
        if (entry.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)
            remove_directory(out, inside);
        else
            DeleteFileA(inside);
    }
    if (search != INVALID_HANDLE_VALUE)
        FindClose(search);
    RemoveDirectoryA(path);
    return count;
}

/* ---- in the test's process ------------------------------------------------------------------- */

/* Not ExitProcess(): that waits for locks which the other threads may hold. */
void kit_end_process(enum kit_verdict verdict)
{
    TerminateProcess(GetCurrentProcess(), verdict == KIT_SKIPPED ? KIT_SKIP_STATUS : 1);
    for (;;)
        Sleep(INFINITE);
}

const char *kit_temp_dir(void)
{
    return getenv("TEMP");
}

size_t kit_clear_temp_dir(void)
{
    size_t count = remove_directory(NULL, kit_temp_dir());
    CreateDirectoryA(kit_temp_dir(), NULL);
    return count;
}

void *kit_open_job(void)
{
    const char *marker = getenv(MARKER);
    return marker ? OpenJobObjectA(JOB_OBJECT_QUERY, FALSE, marker) : NULL;
}

/* Instead of a dialog that nobody answers. It is not inherited, as an error mode would be. */
static LONG WINAPI end_at_fault(EXCEPTION_POINTERS *fault)
{
    TerminateProcess(GetCurrentProcess(), fault->ExceptionRecord->ExceptionCode);
    return EXCEPTION_EXECUTE_HANDLER;
}

static void mark_done(void)
{
    char name[80];
    name_of_event(getenv(MARKER), name, sizeof name);
    HANDLE done = OpenEventA(EVENT_MODIFY_STATE, FALSE, name);
    SetEvent(done);
    CloseHandle(done);
}

_Noreturn static void run_test(const struct kit_test *test)
{
    SetUnhandledExceptionFilter(end_at_fault);
    setvbuf(stdout, NULL, _IONBF, 0); /* so that a crash loses nothing */
    kit_leaks_begin();
    test->run();
    fflush(NULL);
    bool clean = kit_leaks_check(getenv(MARKER));
    mark_done();
    exit(clean ? 0 : 1);
}

void kit_take_over(int argc, char **argv)
{
    if (argc == 2 && strncmp(argv[1], TEST_OPTION, strlen(TEST_OPTION)) == 0)
        run_test(kit_find(argv[1] + strlen(TEST_OPTION)));
}

/* ---- in the supervisor ----------------------------------------------------------------------- */

_Noreturn static void give_up(const char *what)
{
    fprintf(stderr, "kit: %s: error %lu\n", what, GetLastError());
    exit(2);
}

static void make_job(struct run *run)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limit = {0};
    char name[80];
    name_of_event(run->marker, name, sizeof name);
    limit.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    run->job = CreateJobObjectA(NULL, run->marker);
    run->done = CreateEventA(NULL, TRUE, FALSE, name);
    if (!run->job || !run->done ||
        !SetInformationJobObject(run->job, JobObjectExtendedLimitInformation, &limit, sizeof limit))
        give_up("no job");
}

static const char *temp_parent(void)
{
    static char parent[MAX_PATH - 70];
    if (!*parent && !GetTempPathA(sizeof parent, parent))
        give_up("no temporary directory");
    return parent;
}

/* In the environment and in the C library's copy of it, since tests run in this process too. */
static void set_environment(const char *marker, const char *directory)
{
    _putenv_s(MARKER, marker);
    _putenv_s("TEMP", directory);
    _putenv_s("TMP", directory);
}

static void make_directory(struct run *run)
{
    static int number;
    snprintf(run->marker, sizeof run->marker, "bh-test-%lu-%d-%lld", GetCurrentProcessId(),
             ++number, (long long)kit_now_ms());
    snprintf(run->directory, sizeof run->directory, "%s%s", temp_parent(), run->marker);
    if (!CreateDirectoryA(run->directory, NULL))
        give_up("no temporary directory");
    set_environment(run->marker, run->directory);
}

static void start(struct run *run)
{
    char program[MAX_PATH], command[MAX_PATH + 200];
    struct kit_streams streams = {kit_null_device(), run->output, run->output};
    int pid;
    if (kit_settings.verbose) {
        streams.out = GetStdHandle(STD_OUTPUT_HANDLE);
        streams.err = GetStdHandle(STD_ERROR_HANDLE);
    }
    GetModuleFileNameA(NULL, program, sizeof program);
    snprintf(command, sizeof command, "\"%s\" " TEST_OPTION "%s", program, run->test->name);
    fflush(NULL);
    run->process = kit_create(command, &streams, run->job, &pid);
    if (!run->process)
        give_up("cannot start the test");
    CloseHandle(streams.in);
    set_environment("", temp_parent());
}

/* @return whether the test ended by itself; in either case it has ended */
static bool wait_for_end(const struct run *run)
{
    int seconds = run->test->timeout_s ? run->test->timeout_s : TIMEOUT_S;
    int64_t left = seconds * INT64_C(1000) * kit_slowdown();
    if (left > kit_settings.until - kit_now_ms())
        left = kit_settings.until - kit_now_ms();
    bool in_time = WaitForSingleObject(run->process, left > 0 ? (DWORD)left : 0) == WAIT_OBJECT_0;
    if (!in_time) {
        say(run->output, "timed out after %d s\n", seconds * kit_slowdown());
        TerminateProcess(run->process, 1);
        WaitForSingleObject(run->process, INFINITE);
    }
    return in_time;
}

static bool is_empty(void *job)
{
    return kit_job_processes(job, NULL, 0) == 0;
}

/* Ends all that is left of the test. @return how many were still alive */
static size_t clear_processes(const struct run *run)
{
    size_t count = kit_job_processes(run->job, NULL, 0);
    TerminateJobObject(run->job, 1);
    if (!kit_wait_until(is_empty, run->job, GRACE_MS))
        say(run->output, "processes of the test cannot be ended\n");
    return count;
}

static enum kit_verdict judge(const struct run *run, bool in_time)
{
    DWORD status = 1;
    GetExitCodeProcess(run->process, &status);
    bool done = WaitForSingleObject(run->done, 0) == WAIT_OBJECT_0;
    if (!in_time)
        return KIT_FAILED;
    if (status == KIT_SKIP_STATUS)
        return KIT_SKIPPED;
    if (status >= LEAST_EXCEPTION)
        say(run->output, "killed by exception 0x%08lx\n", status);
    else if (status > 1)
        say(run->output, "exited with status %lu\n", status);
    else if (status == 0 && !done)
        say(run->output, "exited in the middle of the test\n");
    return status == 0 && done ? KIT_PASSED : KIT_FAILED;
}

/* @return the verdict, worse if there is something to clean up that a test must not leave */
static enum kit_verdict clean_up(const struct run *run, enum kit_verdict verdict)
{
    size_t processes = clear_processes(run);
    size_t files = remove_directory(run->output, run->directory);
    if (processes && verdict == KIT_PASSED)
        say(run->output, "leaked: %zu processes, seen after its end\n", processes);
    return verdict == KIT_PASSED && (processes || files) ? KIT_FAILED : verdict;
}

static enum kit_verdict run_here(struct run *run)
{
    make_directory(run);
    enum kit_verdict verdict = kit_run_in_process(run->test);
    remove_directory(NULL, run->directory);
    set_environment("", temp_parent());
    return verdict;
}

enum kit_verdict kit_supervise(const struct kit_test *test, char **said)
{
    struct run run = {.test = test};
    *said = NULL;
    if (kit_settings.in_process)
        return run_here(&run);
    run.output = kit_nameless_file();
    if (run.output == INVALID_HANDLE_VALUE)
        give_up("no temporary file");
    make_directory(&run);
    make_job(&run);
    start(&run);
    bool in_time = wait_for_end(&run);
    enum kit_verdict verdict = clean_up(&run, judge(&run, in_time));
    *said = kit_read_file(run.output);
    CloseHandle(run.output);
    CloseHandle(run.process);
    CloseHandle(run.done);
    CloseHandle(run.job);
    return verdict;
}
