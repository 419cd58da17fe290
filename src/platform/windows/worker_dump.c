/* SPDX-License-Identifier: MIT */
/*
 * The minidump: what a debugger can make of a dying worker.
 *
 * Model: dbghelp.dll writes it, loaded when the worker starts, on a thread that is started then
 * too: the one that has faulted may have no stack left, or hold the loader's lock. It is written in
 * here and not by the dispatcher, because dbghelp believes the memory that it walks, and only a
 * process that is lost anyway may fall for that.
 *
 * Invariants: whatever goes wrong costs the dump alone: without dbghelp, or a thread, there is
 * none; if writing faults, the dump has failed; if it hangs, the process is ended by its own
 * waiting thread or, since dbghelp suspends that one, by the dispatcher. Nothing is loaded or
 * allocated here after the fault.
 */
#include "worker_end.h"

#include <dbghelp.h>

typedef BOOL(WINAPI *write_fn)(HANDLE process, DWORD pid, HANDLE file, MINIDUMP_TYPE type,
                               PMINIDUMP_EXCEPTION_INFORMATION exception,
                               PMINIDUMP_USER_STREAM_INFORMATION streams,
                               PMINIDUMP_CALLBACK_INFORMATION callback);

/* What is asked for, and what every dbghelp knows. */
#define RICH (MiniDumpWithThreadInfo | MiniDumpWithIndirectlyReferencedMemory)

static write_fn write_dump;               /* NULL: no dumps */
static HANDLE wanted, done;               /* events */
static DWORD writer;                      /* thread */
static MINIDUMP_EXCEPTION_INFORMATION of; /* ExceptionPointers NULL: no exception */
static _Atomic bool begun;                /* pairs with itself: whoever sets it writes */

static void say(uint32_t state)
{
    /* Pairs with the dispatcher's load when the process has ended. */
    atomic_store_explicit(&bhw_worker_end.box->dump, state, memory_order_release);
}

static bool write_to(HANDLE file, MINIDUMP_TYPE type)
{
    SetFilePointer(file, 0, NULL, FILE_BEGIN);
    return write_dump(GetCurrentProcess(), GetCurrentProcessId(), file, type,
                      of.ExceptionPointers != NULL ? &of : NULL, NULL, NULL);
}

static uint32_t write_file(void)
{
    HANDLE file = CreateFileW((const WCHAR *)bhw_worker_end.call->dump_path, GENERIC_WRITE, 0, NULL,
                              CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    bool written;

    if (file == INVALID_HANDLE_VALUE)
        return BHW_DUMP_FAILED;
    written = write_to(file, RICH) || write_to(file, MiniDumpNormal);
    CloseHandle(file);
    return written ? BHW_DUMP_WRITTEN : BHW_DUMP_FAILED;
}

static DWORD WINAPI wait_and_write(void *unused)
{
    (void)unused;
    WaitForSingleObject(wanted, INFINITE);
    say(write_file());
    SetEvent(done);
    return 0;
}

void bhw_worker_dump_install(void)
{
    HMODULE library;
    HANDLE thread;

    if (bhw_worker_end.call->dump_path[0] == 0)
        return;
    library = LoadLibraryExW(L"dbghelp.dll", NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
    wanted = CreateEventW(NULL, TRUE, FALSE, NULL);
    done = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (library == NULL || wanted == NULL || done == NULL)
        return;
    thread = CreateThread(NULL, 0, wait_and_write, NULL, 0, &writer);
    if (thread == NULL)
        return;
    CloseHandle(thread);
    write_dump = (write_fn)(void (*)(void))GetProcAddress(library, "MiniDumpWriteDump");
}

void bhw_worker_dump(EXCEPTION_POINTERS *pointers)
{
    if (write_dump == NULL || atomic_exchange(&begun, true))
        return;
    of = (MINIDUMP_EXCEPTION_INFORMATION){.ThreadId = GetCurrentThreadId(),
                                          .ExceptionPointers = pointers};
    say(BHW_DUMP_BEGUN);
    SetEvent(bhw_worker_end.dumping);
    SetEvent(wanted);
    WaitForSingleObject(done, bhw_worker_dump_ms());
}

DWORD bhw_worker_dump_ms(void)
{
    return write_dump == NULL ? 0 : bhw_worker_end.call->dump_timeout_ms;
}

bool bhw_worker_dump_is_mine(void)
{
    return write_dump != NULL && GetCurrentThreadId() == writer;
}

void bhw_worker_dump_fail(void)
{
    say(BHW_DUMP_FAILED);
    TerminateProcess(GetCurrentProcess(), bhw_worker_end.box->fault.exception);
    for (;;)
        Sleep(INFINITE);
}
