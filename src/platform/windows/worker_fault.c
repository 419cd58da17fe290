/* SPDX-License-Identifier: MIT */
/*
 * The fault record: what a dying worker says about its death.
 *
 * Model: one filter in two places. Around each method it is the outermost frame of the worker's
 * own, just inside COM, which would catch the exception and go on with a broken process. For
 * everything else, other threads first of all, it is the filter for unhandled exceptions. It hears
 * only of what nobody further in has handled: a library's own handlers, IsBadReadPtr(), a
 * debugger's breakpoints in their __try are none of its business, which is why nothing here is a
 * vectored handler. It copies what the system says into the box, which outlives the process, and
 * ends the process with the exception's code. What passes all filters by (fail-fast, /GS, a
 * corrupted heap) leaves that code alone.
 *
 * Invariants: the filter takes no lock, allocates nothing and needs less than a page of stack: at
 * the end of a stack there may be no more (Wine keeps two pages, whatever is asked for). The first
 * thread to fault writes the record; others wait, because their end would come before it is
 * complete. What a filter before ours resolves (the C runtime's, which calls the handlers of
 * signal()) is resolved, unless the pool says "rearm".
 */
#include "registers.h"
#include "worker_end.h"

/* What the filter may use at the end of a stack. */
#define RESERVE_BYTES (64u << 10)
#define PAGE_BYTES 4096u
/* How long a second faulting thread waits for the end that the first one brings. */
#define OTHERS_WAIT_MS 1000

/* C++ of gcc: raised to look for a catch; going on means that there is none, and then it calls
 * std::terminate(), which says what was thrown. */
#define IS_GCC_THROW(code) (((code)&0x20ffffffu) == 0x20474343u)

/* NtQueryVirtualMemory(): a mapped file's name without the loader's lock. */
#define MEMORY_MAPPED_FILE_NAME 2
typedef LONG(NTAPI *query_memory_fn)(HANDLE process, PVOID address, int what, PVOID out,
                                     SIZE_T size, SIZE_T *length);

/* UNICODE_STRING, followed by its text. */
struct mapped_name {
    USHORT bytes;
    USHORT room;
    WCHAR *text;
    WCHAR room_for_text[1024];
};

static query_memory_fn query_memory;
static LPTOP_LEVEL_EXCEPTION_FILTER before_us;
static struct mapped_name module_name; /* the recorder's; not on its stack */

/* The thread that writes the record; 0: none yet. Pairs with itself: all threads of this process.
 */
static _Atomic DWORD recorder;

/* ---- the record ------------------------------------------------------------------------------ */

static void record_registers(struct bhw_fault *fault, const CONTEXT *machine)
{
    uint32_t count = 0;

#define TAKE(name, field) fault->registers[count++] = machine->field;
    BHW_REGISTER_LIST(TAKE)
#undef TAKE
    fault->register_count = count;
    fault->machine = BHW_MACHINE;
    fault->instruction = machine->BHW_REGISTER_PC;
    fault->stack_pointer = machine->BHW_REGISTER_SP;
}

/* The part of the module's path after its last backslash. */
static void record_module_name(struct bhw_fault *fault)
{
    const WCHAR *text = module_name.text;
    size_t length = module_name.bytes / sizeof *text;
    size_t first = length;
    size_t used = 0;

    while (first > 0 && text[first - 1] != L'\\')
        first--;
    for (; first < length && used < sizeof fault->module / sizeof *fault->module - 1; first++)
        fault->module[used++] = text[first];
    fault->module[used] = 0;
}

static void record_module(struct bhw_fault *fault, const void *instruction)
{
    MEMORY_BASIC_INFORMATION memory;

    if (VirtualQuery(instruction, &memory, sizeof memory) == 0 || memory.Type != MEM_IMAGE)
        return;
    fault->module_base = (uintptr_t)memory.AllocationBase;
    if (query_memory != NULL &&
        query_memory(GetCurrentProcess(), memory.AllocationBase, MEMORY_MAPPED_FILE_NAME,
                     &module_name, sizeof module_name, NULL) >= 0)
        record_module_name(fault);
}

/* Whether the exception's second parameter is an address that was touched. */
static bool has_address(const EXCEPTION_RECORD *exception)
{
    return exception->NumberParameters >= 2 &&
           (exception->ExceptionCode == EXCEPTION_ACCESS_VIOLATION ||
            exception->ExceptionCode == EXCEPTION_IN_PAGE_ERROR ||
            exception->ExceptionCode == EXCEPTION_GUARD_PAGE ||
            exception->ExceptionCode == EXCEPTION_STACK_OVERFLOW);
}

static void complete(struct bhw_fault *fault)
{
    /* Pairs with the dispatcher's load in bhp_worker_box(). */
    atomic_store_explicit(&fault->state, BHW_FAULT_COMPLETE, memory_order_release);
}

static void record(struct bhw_fault *fault, const EXCEPTION_RECORD *exception,
                   const CONTEXT *machine)
{
    fault->exception = exception->ExceptionCode;
    fault->thread_id = GetCurrentThreadId();
    fault->stack_overflow = exception->ExceptionCode == EXCEPTION_STACK_OVERFLOW;
    fault->address = has_address(exception) ? exception->ExceptionInformation[1]
                                            : (uintptr_t)exception->ExceptionAddress;
    record_registers(fault, machine);
    record_module(fault, exception->ExceptionAddress);
    complete(fault);
}

/* ---- the filter ------------------------------------------------------------------------------ */

/* Whether this thread is the one that records. Another one comes back late, or not at all. */
static bool first_to_fault(void)
{
    DWORD nobody = 0;
    DWORD self = GetCurrentThreadId();

    if (atomic_compare_exchange_strong(&recorder, &nobody, self))
        return true;
    if (nobody == self) /* the recorder itself has faulted: what there is must do */
        complete(&bhw_worker_end.box->fault);
    else
        Sleep(OTHERS_WAIT_MS + bhw_worker_dump_ms());
    return false;
}

static bool goes_on(EXCEPTION_POINTERS *pointers)
{
    const EXCEPTION_RECORD *exception = pointers->ExceptionRecord;

    if (IS_GCC_THROW(exception->ExceptionCode) &&
        (exception->ExceptionFlags & EXCEPTION_NONCONTINUABLE) == 0)
        return true;
    /* No room for somebody else's code at the end of a stack. */
    return before_us != NULL && bhw_worker_end.call->rearm == 0 &&
           exception->ExceptionCode != EXCEPTION_STACK_OVERFLOW &&
           before_us(pointers) == EXCEPTION_CONTINUE_EXECUTION;
}

static LONG WINAPI on_fault(EXCEPTION_POINTERS *pointers)
{
    if (goes_on(pointers))
        return EXCEPTION_CONTINUE_EXECUTION;
    if (bhw_worker_dump_is_mine()) /* what was to be written is too broken to be looked at */
        bhw_worker_dump_fail();
    if (first_to_fault()) {
        record(&bhw_worker_end.box->fault, pointers->ExceptionRecord, pointers->ContextRecord);
        bhw_worker_dump(pointers);
    }
    TerminateProcess(GetCurrentProcess(), pointers->ExceptionRecord->ExceptionCode);
    return EXCEPTION_CONTINUE_SEARCH;
}

BHW_DEFINE_FRAME_FILTER(guard_frame, on_fault)

void bhw_worker_guard(void (*body)(void *), void *context)
{
    guard_frame(body, context);
}

/* ---- installing ------------------------------------------------------------------------------ */

static void install_filter(void)
{
    LPTOP_LEVEL_EXCEPTION_FILTER before = SetUnhandledExceptionFilter(on_fault);

    if (before != on_fault)
        before_us = before;
}

void bhw_worker_fault_install(void)
{
    FARPROC query = GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "NtQueryVirtualMemory");

    query_memory = (query_memory_fn)(void (*)(void))query;
    install_filter();
}

void bhw_worker_fault_rearm(void)
{
    if (bhw_worker_end.call->rearm == 0)
        return;
    install_filter();
    bhw_worker_quiet();
    bhw_worker_quiet_runtimes();
}

/*
 * Wine takes what SetThreadStackGuarantee() asks for, but its guard page lies at the very end of
 * the stack from the beginning, and what comes after the fault has one page at most: not enough for
 * any handler. Where the guard is hit earlier, it keeps the promise.
 */
static bool raise_guard(void)
{
    MEMORY_BASIC_INFORMATION stack;
    char *guard;
    DWORD before;

    if (GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") == NULL)
        return true;
    if (VirtualQuery(&stack, &stack, sizeof stack) == 0)
        return false;
    guard = (char *)stack.AllocationBase + RESERVE_BYTES + PAGE_BYTES;
    if ((char *)&stack < guard + RESERVE_BYTES) /* a thread with hardly any stack keeps it */
        return true;
    return VirtualProtect(guard, PAGE_BYTES, PAGE_READWRITE | PAGE_GUARD, &before);
}

int bhw_worker_stack_reserve(void)
{
    ULONG bytes = RESERVE_BYTES;

    return SetThreadStackGuarantee(&bytes) && raise_guard() ? BH_OK : BH_E_SYSTEM;
}
