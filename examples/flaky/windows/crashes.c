/* SPDX-License-Identifier: MIT */
/*
 * Ways to crash on Windows.
 */
#include "../crashes.h"

#include <windows.h>

#include <stdlib.h>

#if defined(_MSC_VER)
#include <intrin.h>
#define FAIL_FAST(code) __fastfail(code)
#define NOINLINE __declspec(noinline)
#else
#define FAIL_FAST(code) __asm__ volatile("int $0x29" : : "c"(code))
#define NOINLINE __attribute__((noinline))
#endif

#define FATAL_APP_EXIT 7 /* of <winnt.h>, which not every version has */

NOINLINE void flaky_crash_segv(void)
{
    *(volatile int *)(volatile uintptr_t){0} = 1;
}

NOINLINE void flaky_crash_fpe(void)
{
    volatile int zero = 0;
    volatile int result = 100;

    result = result / zero;
}

/* Each call looks at the one before it, so that no compiler can make a loop of it. */
NOINLINE static int descend(volatile const char *above)
{
    volatile char here[1024];

    here[0] = (char)(*above + 1);
    if (above == NULL)
        return 0;
    return descend(here) + here[0];
}

void flaky_crash_stack(void)
{
    volatile char top = 0;

    descend(&top);
}

/* What a C++ exception is, or an error of another runtime's own. */
void flaky_crash_raise(void)
{
    RaiseException(0xE0424831, EXCEPTION_NONCONTINUABLE, 0, NULL);
}

void flaky_crash_fail_fast(void)
{
    FAIL_FAST(FATAL_APP_EXIT);
}

void flaky_crash_abort(void)
{
    abort();
}

void flaky_crash_exit(void)
{
    exit(3);
}

void flaky_crash__exit(void)
{
    _exit(4);
}

void flaky_crash_terminate(void)
{
    TerminateProcess(GetCurrentProcess(), 9);
}
