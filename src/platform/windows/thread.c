/* SPDX-License-Identifier: MIT */
/*
 * Threads, mutexes, and waiting on a private word.
 *
 * Model: WaitOnAddress for words, a slim lock for mutexes. The system's waits count in
 * milliseconds; a time that is not over yet is rounded up, so that nobody wakes early and spins.
 *
 * Invariant: threads of the library are in no apartment of their own: they belong to the
 * multithreaded one, which the open nurseries keep alive.
 */
#include "core/platform.h"

#include "core/alloc.h"
#include "support.h"

#include <process.h>

/* Callbacks of the host's run on our threads, too. */
#define STACK_BYTES (1024 * 1024)

/* ---- words ---- */

/** See support.h. */
DWORD bhw_milliseconds(int64_t until)
{
    if (until == BHP_FOREVER)
        return INFINITE;
    int64_t left = until - bhp_now();
    if (left <= 0)
        return 0;
    left = (left + BHW_MS - 1) / BHW_MS;
    return left < INT32_MAX ? (DWORD)left : INT32_MAX;
}

/** See platform.h. */
void bhp_word_wait(bhp_word *word, uint32_t expected, int64_t until)
{
    WaitOnAddress((volatile void *)word, &expected, sizeof(expected), bhw_milliseconds(until));
}

/** See platform.h. */
void bhp_word_wake(bhp_word *word)
{
    WakeByAddressAll((void *)word);
}

/* ---- mutexes ---- */

_Static_assert(sizeof(SRWLOCK) <= sizeof(bhp_mutex), "a bhp_mutex holds an SRWLOCK");

static SRWLOCK *inside(bhp_mutex *mutex)
{
    return (SRWLOCK *)(void *)mutex->opaque;
}

/** See platform.h. */
void bhp_mutex_init(bhp_mutex *mutex)
{
    InitializeSRWLock(inside(mutex));
}

/** See platform.h. */
void bhp_mutex_lock(bhp_mutex *mutex)
{
    AcquireSRWLockExclusive(inside(mutex));
}

/** See platform.h. */
void bhp_mutex_unlock(bhp_mutex *mutex)
{
    ReleaseSRWLockExclusive(inside(mutex));
}

/** See platform.h. */
void bhp_mutex_deinit(bhp_mutex *mutex)
{
    (void)mutex; /* nothing hangs on a slim lock */
}

/* ---- threads ---- */

struct bhp_thread {
    HANDLE handle;
    void (*body)(void *);
    void *context;
    WCHAR name[32];
};

/* The name shows in debuggers; the function is younger than what else we need. */
static void show_name(const WCHAR *name)
{
    typedef HRESULT(WINAPI * describe)(HANDLE, PCWSTR);
    FARPROC function = GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "SetThreadDescription");

    if (function != NULL)
        ((describe)(void (*)(void))function)(GetCurrentThread(), name);
}

static unsigned __stdcall run(void *argument)
{
    struct bhp_thread *thread = argument;

    show_name(thread->name);
    thread->body(thread->context);
    return 0;
}

/** See platform.h. Windows has no signals to block. */
int bhp_thread_start(bhp_thread **thread, void (*body)(void *), void *context, const char *name)
{
    struct bhp_thread *made = bhi_alloc(sizeof(*made));

    *thread = NULL;
    if (made == NULL)
        return BH_E_MEMORY;
    *made = (struct bhp_thread){.body = body, .context = context};
    bhw_widen(made->name, BHW_COUNT(made->name), name);
    made->handle = (HANDLE)_beginthreadex(NULL, STACK_BYTES, run, made,
                                          STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (made->handle == NULL) {
        bhi_free(made);
        return BH_E_SYSTEM;
    }
    *thread = made;
    return BH_OK;
}

/* ---- what is a thread's own ---- */

static INIT_ONCE slot_made = INIT_ONCE_STATIC_INIT;
static DWORD slot;

static BOOL CALLBACK make_slot(INIT_ONCE *once, void *parameter, void **context)
{
    (void)once, (void)parameter, (void)context;
    slot = TlsAlloc();
    return TRUE;
}

/* TLS_OUT_OF_INDEXES: there is none. */
static DWORD own_slot(void)
{
    InitOnceExecuteOnce(&slot_made, make_slot, NULL, NULL);
    return slot;
}

/** See platform.h. */
const void *bhp_thread_own(void)
{
    return own_slot() != TLS_OUT_OF_INDEXES ? TlsGetValue(slot) : NULL;
}

/** See platform.h. */
void bhp_thread_set_own(const void *value)
{
    if (own_slot() != TLS_OUT_OF_INDEXES)
        TlsSetValue(slot, (void *)(uintptr_t)value);
}

/** See platform.h. */
void bhp_thread_join(bhp_thread *thread)
{
    if (thread == NULL)
        return;
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
    bhi_free(thread);
}
