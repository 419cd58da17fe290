/* SPDX-License-Identifier: MIT */
/*
 * Ctrl-C and its like.
 *
 * Model: the signals are blocked in every thread and one thread waits for them, so that what they
 * lead to is ordinary code. The first one asks politely; the second leaves at once, and the pool's
 * launcher sees to the workers.
 */
#include "../cli.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static struct {
    bool running;
    pthread_t thread;
    sigset_t set;
    sigset_t before;
    _Atomic int signal; /* the first that came; 0: none */
    void (*act)(void *context);
    void *context;
} interrupt;

static void *wait_for_signals(void *nothing)
{
    int signal;

    for (;;) {
        if (sigwait(&interrupt.set, &signal) != 0)
            continue;
        if (atomic_load(&interrupt.signal) != 0)
            _Exit(CLI_SIGNAL + signal);
        atomic_store(&interrupt.signal, signal);
        interrupt.act(interrupt.context);
    }
    return nothing;
}

/* A signal that our parent had us ignore (a background job, nohup) stays ignored. */
static void add_unless_ignored(int signal)
{
    struct sigaction action;

    if (sigaction(signal, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
        sigaddset(&interrupt.set, signal);
}

void cli_interrupt_begin(void (*act)(void *context), void *context)
{
    memset(&interrupt, 0, sizeof interrupt);
    interrupt.act = act;
    interrupt.context = context;
    sigemptyset(&interrupt.set);
    add_unless_ignored(SIGINT);
    add_unless_ignored(SIGTERM);
    add_unless_ignored(SIGHUP);
    pthread_sigmask(SIG_BLOCK, &interrupt.set, &interrupt.before);
    interrupt.running = pthread_create(&interrupt.thread, NULL, wait_for_signals, NULL) == 0;
    if (!interrupt.running)
        pthread_sigmask(SIG_SETMASK, &interrupt.before, NULL);
}

int cli_interrupt_end(void)
{
    if (!interrupt.running)
        return 0;
    pthread_cancel(interrupt.thread);
    pthread_join(interrupt.thread, NULL);
    pthread_sigmask(SIG_SETMASK, &interrupt.before, NULL);
    interrupt.running = false;
    return atomic_load(&interrupt.signal);
}

const char *cli_signal_name(int signal)
{
    switch (signal) {
    case SIGINT:
        return "SIGINT";
    case SIGTERM:
        return "SIGTERM";
    case SIGHUP:
        return "SIGHUP";
    default:
        return "a signal";
    }
}
