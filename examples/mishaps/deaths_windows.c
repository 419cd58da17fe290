/* SPDX-License-Identifier: MIT */
/*
 * Ways to die on Windows.
 *
 * Model: as on Linux, by the same names where the same happens; `kill` is TerminateProcess(), which
 * runs no handler either, and which leaves nothing but an exit code. What only Windows has comes
 * last.
 *
 * The heap: Windows' own ends the process when it notices (STATUS_HEAP_CORRUPTION). Wine's takes no
 * harm from a block that is freed twice, and says so to who asks. There the last word is abort(),
 * as glibc's: a kind must not be survived.
 */
#include "deaths.h"

#include <bulkhead/worker.h>

#include <windows.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(_MSC_VER)
#include <intrin.h>
#define ILLEGAL() __ud2()
#define FAIL_FAST() __fastfail(FAST_FAIL_FATAL_APP_EXIT)
#define NOINLINE __declspec(noinline)
#else
#define ILLEGAL() __asm__ volatile("ud2")
#define FAIL_FAST() __asm__ volatile("int $0x29" : : "c"(FAST_FAIL_FATAL_APP_EXIT))
#define NOINLINE __attribute__((noinline))
#endif

#ifndef FAST_FAIL_FATAL_APP_EXIT
#define FAST_FAIL_FATAL_APP_EXIT 7
#endif

const char deaths_help[] =
    "die(kind): segv fpe ill thread stack abort double-free exit _exit kill oom "
    "fork hang spin stop flood fail-fast raise breakpoint corrupt-heap";

void sleep_ms(int64_t ms)
{
    Sleep((DWORD)ms);
}

int64_t process_id(void)
{
    return GetCurrentProcessId();
}

NOINLINE static void die_segv(void)
{
    *(volatile int *)(volatile uintptr_t){0} = 1;
}

NOINLINE static void die_fpe(void)
{
    volatile int zero = 0;
    volatile int result = 1;

    result = result / zero;
    (void)result;
}

static void die_ill(void)
{
    ILLEGAL();
}

static DWORD WINAPI fault_in_thread(void *unused)
{
    (void)unused;
    bh_worker_thread_enter();
    die_segv();
    bh_worker_thread_leave();
    return 0;
}

static void die_thread(void)
{
    HANDLE thread = CreateThread(NULL, 0, fault_in_thread, NULL, 0, NULL);

    if (thread != NULL)
        WaitForSingleObject(thread, INFINITE);
}

/* Each call looks at the one before it, so that no compiler can make a loop of it. */
NOINLINE static int descend(volatile const char *above)
{
    volatile char here[256];

    here[0] = (char)(*above + 1);
    if (above == NULL)
        return 0;
    return descend(here) + here[0];
}

static void die_stack(void)
{
    volatile char top = 0;

    descend(&top);
}

/* For when the heap has noticed and did nothing about it. Not with stdio, which may need it. */
static void give_up(const char *line)
{
    DWORD written;

    WriteFile(GetStdHandle(STD_ERROR_HANDLE), line, (DWORD)strlen(line), &written, NULL);
    abort();
}

/* The second time is what free() does, which keeps to itself what came of it. */
NOINLINE static void die_double_free(void)
{
    HANDLE heap = (HANDLE)_get_heap_handle();
    char *volatile block = malloc(24);
    char *volatile again = block;

    free(block);
    if (!HeapFree(heap, 0, again))
        give_up("mishaps: double free, which this heap only refuses\n");
}

/* Overwrites what lies between the blocks. */
NOINLINE static void die_corrupt_heap(void)
{
    enum { COUNT = 64, SIZE = 24 };
    HANDLE heap = (HANDLE)_get_heap_handle();
    char *volatile blocks[COUNT];

    HeapSetInformation(NULL, HeapEnableTerminationOnCorruption, NULL, 0);
    for (int i = 0; i < COUNT; i++)
        blocks[i] = malloc(SIZE);
    for (int i = 0; i < COUNT; i++)
        memset(blocks[i] - SIZE, 0x5a, 3 * SIZE);
    for (int i = 0; i < COUNT; i++) {
        if (!HeapFree(heap, 0, blocks[i]))
            give_up("mishaps: corrupted heap, which refuses to free a block\n");
    }
}

static void die_exit(void)
{
    exit(3);
}

static void die_exit_at_once(void)
{
    _exit(4);
}

static void die_kill(void)
{
    TerminateProcess(GetCurrentProcess(), 9);
}

/* Takes memory until somebody stops it. Gives up, and returns, when nobody has at 4 GiB. */
static void die_oom(void)
{
    enum { STEP = 16 << 20, STEPS = 256 };
    char *blocks[STEPS];
    int count = 0;

    while (count < STEPS && (blocks[count] = malloc(STEP)) != NULL)
        memset(blocks[count++], 0x5a, STEP);
    while (count > 0)
        free(blocks[--count]);
}

/* Leaves a process behind that holds on to everything and will not go: it never begins. */
static void die_fork(void)
{
    STARTUPINFOW start = {.cb = sizeof start};
    PROCESS_INFORMATION child;
    WCHAR path[MAX_PATH];

    GetModuleFileNameW(NULL, path, MAX_PATH);
    CreateProcessW(path, GetCommandLineW(), NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &start,
                   &child);
    die_segv();
}

static void die_stop(void)
{
    SuspendThread(GetCurrentThread());
}

static void die_hang(void)
{
    for (;;)
        Sleep(INFINITE);
}

static void die_spin(void)
{
    for (volatile unsigned turns = 0;; turns++)
        continue;
}

static void die_flood(void)
{
    for (;;)
        fputs("mishaps: this line is one of very many\n", stderr);
}

static void die_fail_fast(void)
{
    FAIL_FAST();
}

static void die_raise(void)
{
    RaiseException(0xE0424831, EXCEPTION_NONCONTINUABLE, 0, NULL);
}

static void die_breakpoint(void)
{
    DebugBreak();
}

const struct death deaths[] = {
    {"segv", die_segv},
    {"fpe", die_fpe},
    {"ill", die_ill},
    {"thread", die_thread},
    {"stack", die_stack},
    {"abort", abort},
    {"double-free", die_double_free},
    {"exit", die_exit},
    {"_exit", die_exit_at_once},
    {"kill", die_kill},
    {"oom", die_oom}, /* returns at 4 GiB */
    {"fork", die_fork},
    {"hang", die_hang},
    {"spin", die_spin},
    {"stop", die_stop}, /* returns when resumed */
    {"flood", die_flood},
    {"fail-fast", die_fail_fast},
    {"raise", die_raise},
    {"breakpoint", die_breakpoint},
    {"corrupt-heap", die_corrupt_heap},
    {NULL, NULL},
};
