/* SPDX-License-Identifier: MIT */
/*
 * The worker that the tests look at: every way to die that leaves different evidence, and some ways
 * to look dead and not be.
 */
#include "handles.h"

#include <bulkhead/worker.h>

#include <windows.h>
#include <objbase.h>

#undef NDEBUG
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAD_ADDRESS 0x1234

static int idles;
static int idle_dies;
static int fini_dies;
static int pumps; /* messages seen inside a method */

static void reply_number(bh_call *call, int64_t number)
{
    bh_value value = bh_value_int64(number);

    bh_call_reply(call, &value);
}

/* ---- well-behaved ---------------------------------------------------------------------------- */

static void echo(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value all = bh_value_view_array(arguments, count);

    (void)context;
    bh_call_reply(call, count == 1 ? &arguments[0] : &all);
}

static void handles(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    reply_number(call, rig_own_handles());
}

/* Where the argument's bytes lie. */
static void place(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)context;
    reply_number(call, count == 1 && arguments[0].type == BH_BYTES
                           ? (int64_t)(uintptr_t)arguments[0].as.bytes
                           : 0);
}

/* How the memory is protected in which the argument's bytes lie. */
static void protection(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    MEMORY_BASIC_INFORMATION memory = {0};

    (void)context;
    if (count == 1 && arguments[0].type == BH_BYTES)
        VirtualQuery(arguments[0].as.bytes, &memory, sizeof memory);
    reply_number(call, memory.Protect);
}

static void serial(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    reply_number(call, (int64_t)bh_call_serial(call));
}

static void fail(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    bh_call_fail(call, -2147023170,
                 "no \xe2\x82\xac left"); /* 0x800706BE: looks like a lost server */
}

static void print(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const char *text = "";
    size_t length = 0;

    (void)count, (void)context;
    bh_value_get_string(&arguments[0], &text, &length);
    printf("out:%.*s\n", (int)length, text);
    fprintf(stderr, "err:%.*s\n", (int)length, text);
    reply_number(call, 0);
}

/* What is left of the way the worker was started. */
static void inherited(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    char text[16];

    (void)arguments, (void)count, (void)context;
    reply_number(call, getenv("BULKHEAD_CHANNEL") != NULL ||
                           GetEnvironmentVariableA("BULKHEAD_CHANNEL", text, sizeof text) != 0);
}

static void progress(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    bh_call_progress(call, 3, 7);
    reply_number(call, 0);
}

static void idle_count(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    reply_number(call, idles);
}

static void die_next_idle(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    idle_dies = 1;
    reply_number(call, 0);
}

/* Waits for the cancel flag. */
static void until_cancelled(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    while (!bh_call_cancelled(call))
        Sleep(1);
    reply_number(call, 1);
}

/* Handles messages for as long as a modal dialog would. */
static void pump(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    ULONGLONG until = GetTickCount64() + 1000;
    MSG message;

    (void)arguments, (void)count, (void)context;
    while (GetTickCount64() < until && pumps == 0) {
        MsgWaitForMultipleObjectsEx(0, NULL, 10, QS_ALLINPUT, MWMO_INPUTAVAILABLE);
        while (PeekMessageW(&message, NULL, 0, 0, PM_REMOVE))
            DispatchMessageW(&message);
    }
    PostQuitMessage(0); /* no business of the worker's loop */
    reply_number(call, 5);
}

/* ---- faults that somebody handles ------------------------------------------------------------ */

static void bad_read_pointer(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    reply_number(call, IsBadReadPtr((const void *)BAD_ADDRESS, 4) != 0);
}

static void debug_string(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    OutputDebugStringA("an exception that is handled\n");
    reply_number(call, 0);
}

static void on_segv(int number)
{
    (void)number;
    exit(42);
}

/* A library that turns a fault into an exit, as old ones do. */
static void own_handler(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    signal(SIGSEGV, on_segv);
    *(volatile int *)BAD_ADDRESS = 1;
    reply_number(call, 0);
}

static LONG WINAPI swallow(EXCEPTION_POINTERS *pointers)
{
    (void)pointers;
    ExitProcess(43);
}

/* A library that brings its own crash reporter; takes effect in other threads. */
static void own_filter(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    SetUnhandledExceptionFilter(swallow);
    reply_number(call, 0);
}

static LONG CALLBACK step_over(EXCEPTION_POINTERS *pointers)
{
    if (pointers->ExceptionRecord->ExceptionCode != 0xE0000001)
        return EXCEPTION_CONTINUE_SEARCH;
    return EXCEPTION_CONTINUE_EXECUTION;
}

/* A vectored handler of the library's resolves its exception. */
static void handled_first(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    void *handler = AddVectoredExceptionHandler(1, step_over);

    (void)arguments, (void)count, (void)context;
    RaiseException(0xE0000001, 0, 0, NULL);
    RemoveVectoredExceptionHandler(handler);
    reply_number(call, 1);
}

/* As gcc's C++ throws when nobody catches: it expects to be told to go on, and then terminates. */
static void thrown_by_gcc(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    RaiseException(0x20474343, 0, 0, NULL);
    reply_number(call, 1);
}

/* ---- ways to die ----------------------------------------------------------------------------- */

static void die_write(void)
{
    *(volatile int *)BAD_ADDRESS = 1;
}

static void die_divide(void)
{
    volatile int zero = 0, one = 1;

    one = one / zero;
}

static void die_instruction(void)
{
    __asm__ volatile("ud2");
}

static void die_breakpoint(void)
{
    __asm__ volatile("int3");
}

__attribute__((noinline)) static int descend(volatile const char *above)
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

static void die_raise(void)
{
    RaiseException(0xE0001234, EXCEPTION_NONCONTINUABLE, 0, NULL);
}

static DWORD WINAPI write_in_thread(void *unused)
{
    (void)unused;
    die_write();
    return 0;
}

static DWORD WINAPI overflow_in_thread(void *unused)
{
    (void)unused;
    bh_worker_thread_enter();
    die_stack();
    bh_worker_thread_leave();
    return 0;
}

static void wait_for_thread(LPTHREAD_START_ROUTINE body)
{
    HANDLE thread = CreateThread(NULL, 0, body, NULL, 0, NULL);

    WaitForSingleObject(thread, INFINITE);
}

static void die_thread(void)
{
    wait_for_thread(write_in_thread);
}

static void die_thread_stack(void)
{
    wait_for_thread(overflow_in_thread);
}

static void die_in_two_threads(void)
{
    CreateThread(NULL, 0, write_in_thread, NULL, 0, NULL);
    die_write();
}

static void die_assert(void)
{
    assert(!"what must not be");
}

static void die_library(void)
{
    memcpy((void *)BAD_ADDRESS, "0123456789abcdef", 16);
    lstrlenW(NULL);
    /* In a module that is not ours. */
    RaiseException(0xE0001235, 0, 0, NULL);
}

static void die_fast(void)
{
    __asm__ volatile("int $0x29" : : "c"(7));
}

static void die_exit(void)
{
    exit(3);
}

static void die_exit_at_once(void)
{
    _exit(4);
}

static void die_exit_process(void)
{
    ExitProcess(5);
}

static void die_terminate(void)
{
    TerminateProcess(GetCurrentProcess(), 6);
}

static const struct {
    const char *name;
    void (*die)(void);
} kinds[] = {
    {"write", die_write},
    {"divide", die_divide},
    {"instruction", die_instruction},
    {"breakpoint", die_breakpoint},
    {"stack", die_stack},
    {"raise", die_raise},
    {"thread", die_thread},
    {"thread-stack", die_thread_stack},
    {"two-threads", die_in_two_threads},
    {"assert", die_assert},
    {"library", die_library},
    {"fast", die_fast},
    {"abort", abort},
    {"exit", die_exit},
    {"_exit", die_exit_at_once},
    {"ExitProcess", die_exit_process},
    {"TerminateProcess", die_terminate},
};

static void die_by_name(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i].name) == length && memcmp(kinds[i].name, name, length) == 0)
            kinds[i].die();
    }
}

static void die(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const char *name;
    size_t length;

    (void)context;
    if (count == 1 && bh_value_get_string(&arguments[0], &name, &length) == BH_OK)
        die_by_name(name, length);
    bh_call_fail(call, 1, "no such kind");
}

/* ---- the worker ------------------------------------------------------------------------------ */

static const struct bh_method methods[] = {
    {"echo", echo, "echo(value...) -> the value"},
    {"handles", handles, NULL},
    {"place", place, NULL},
    {"protection", protection, NULL},
    {"serial", serial, NULL},
    {"fail", fail, NULL},
    {"print", print, NULL},
    {"inherited", inherited, NULL},
    {"progress", progress, NULL},
    {"idles", idle_count, NULL},
    {"die-next-idle", die_next_idle, NULL},
    {"until-cancelled", until_cancelled, NULL},
    {"pump", pump, NULL},
    {"bad-read-pointer", bad_read_pointer, NULL},
    {"debug-string", debug_string, NULL},
    {"own-handler", own_handler, NULL},
    {"own-filter", own_filter, NULL},
    {"handled-first", handled_first, NULL},
    {"thrown-by-gcc", thrown_by_gcc, NULL},
    {"die", die, "die(kind)"},
    {NULL, NULL, NULL},
};

static int init(int argc, char **argv, void **context)
{
    (void)context;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--fail") == 0) {
            fprintf(stderr, "init: no\n");
            return 9;
        }
        if (strcmp(argv[i], "--die-in-fini") == 0)
            fini_dies = 1;
        if (strncmp(argv[i], "--die=", 6) == 0)
            die_by_name(argv[i] + 6, strlen(argv[i] + 6));
    }
    return 0;
}

static void fini(void *context)
{
    (void)context;
    printf("fini\n");
    if (fini_dies)
        die_write();
}

static void idle(void *context)
{
    (void)context;
    idles++;
    if (idle_dies)
        die_write();
}

int main(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    worker.init = init;
    worker.fini = fini;
    worker.idle = idle;
    if (argc > 1 && strcmp(argv[1], "--wait") == 0) { /* stands in for a dispatcher */
        Sleep(INFINITE);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--impatient") == 0)
        worker.idle_exit_ms = 300;
    return bh_worker_main(argc, argv, &worker);
}
