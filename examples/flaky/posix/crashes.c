/* SPDX-License-Identifier: MIT */
/*
 * Ways to crash on POSIX systems. Sanitizers would catch the faults themselves, so what faults is
 * not instrumented.
 */
#include "../crashes.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define UNCHECKED __attribute__((noinline, no_sanitize("address", "undefined")))

UNCHECKED void flaky_crash_segv(void)
{
    *(volatile int *)(volatile uintptr_t){0} = 1;
}

UNCHECKED void flaky_crash_fpe(void)
{
    volatile int zero = 0;
    volatile int result = 100;

    result = result / zero;
    raise(SIGFPE); /* a processor that does not mind */
}

/* Each call looks at the one before it, so that no compiler can make a loop of it. */
UNCHECKED static int descend(volatile const char *above)
{
    volatile char here[1024];

    here[0] = (char)(*above + 1);
    if (above == NULL)
        return 0;
    return descend(here) + here[0];
}

UNCHECKED void flaky_crash_stack(void)
{
    volatile char top = 0;

    descend(&top);
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

void flaky_crash_kill(void)
{
    kill(getpid(), SIGKILL);
}
