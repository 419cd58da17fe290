/* SPDX-License-Identifier: MIT */
/*
 * Ctrl-C and its like.
 *
 * Model: the system tells of them on a thread that it makes for the purpose. The first one asks
 * politely; the second leaves at once, and job objects see to the workers. They have the numbers
 * that the C runtime gives them.
 *
 * Invariant: act() is called with the lock held, so that what it needs may go when
 * cli_interrupt_end() has returned.
 */
#include "../cli.h"

#include <windows.h>

#include <signal.h>
#include <stdlib.h>

static struct {
    SRWLOCK lock;
    int signal; /* the first that came; 0: none */
    void (*act)(void *context);
    void *context;
} interrupt = {.lock = SRWLOCK_INIT};

static int signal_of(DWORD event)
{
    switch (event) {
    case CTRL_C_EVENT:
        return SIGINT;
    case CTRL_BREAK_EVENT:
        return SIGBREAK;
    default:
        return SIGTERM;
    }
}

/* @return whether somebody waits for it */
static bool take(int signal)
{
    bool taken;

    AcquireSRWLockExclusive(&interrupt.lock);
    taken = interrupt.act != NULL;
    if (taken && interrupt.signal != 0)
        _Exit(CLI_SIGNAL + signal);
    if (taken) {
        interrupt.signal = signal;
        interrupt.act(interrupt.context);
    }
    ReleaseSRWLockExclusive(&interrupt.lock);
    return taken;
}

static BOOL WINAPI on_event(DWORD event)
{
    int signal = signal_of(event);

    if (!take(signal))
        return FALSE;
    /* When this returns, the system ends the program, which is about to end by itself. */
    if (signal == SIGTERM)
        Sleep(INFINITE);
    return TRUE;
}

void cli_interrupt_begin(void (*act)(void *context), void *context)
{
    AcquireSRWLockExclusive(&interrupt.lock);
    interrupt.signal = 0;
    interrupt.act = act;
    interrupt.context = context;
    ReleaseSRWLockExclusive(&interrupt.lock);
    SetConsoleCtrlHandler(on_event, TRUE);
}

int cli_interrupt_end(void)
{
    SetConsoleCtrlHandler(on_event, FALSE);
    AcquireSRWLockExclusive(&interrupt.lock);
    interrupt.act = NULL;
    ReleaseSRWLockExclusive(&interrupt.lock);
    return interrupt.signal;
}

const char *cli_signal_name(int signal)
{
    switch (signal) {
    case SIGINT:
        return "Ctrl-C";
    case SIGBREAK:
        return "Ctrl-Break";
    default:
        return "the end of its console or session";
    }
}
