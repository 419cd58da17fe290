/* SPDX-License-Identifier: MIT */
/*
 * Ends that are no faults, and the marks they leave in the box: abort(), and leaving in order.
 *
 * Model: an exit code says little, since everybody may give any code to any process. So a process
 * that ends itself says so. abort() raises a signal first. exit() runs our atexit hook; but there
 * may be several C runtimes in the process, and _exit() runs no hook: all of them come to
 * ExitProcess(), which tells the modules (by their TLS callbacks) and the thread's own storage
 * (FLS). TerminateProcess() tells nobody, wherever it comes from: no mark.
 *
 * Invariants: marks are stores into mapped memory, safe at any time. Wine tells no program's TLS
 * callbacks, only libraries'; there the slot of the serving thread helps, unless it is another
 * thread that calls ExitProcess() itself.
 */
#include "worker_end.h"

#include <signal.h>
#include <stdlib.h>

void bhw_worker_on_abort(int signal)
{
    (void)signal;
    /* Pairs with the dispatcher's load in bhp_worker_box(). */
    atomic_store_explicit(&bhw_worker_end.box->aborted, 1, memory_order_release);
    bhw_worker_dump(NULL);
    TerminateProcess(GetCurrentProcess(), BHW_STATUS_ABORT);
}

static void mark_exiting(void)
{
    /* Pairs with the dispatcher's load in bhp_worker_box(). */
    if (bhw_worker_end.box != NULL)
        atomic_store_explicit(&bhw_worker_end.box->exiting, 1, memory_order_release);
}

static void NTAPI on_slot(void *unused)
{
    (void)unused;
    mark_exiting();
}

static void NTAPI on_module(void *module, DWORD reason, void *process_ends)
{
    (void)module;
    if (reason == DLL_PROCESS_DETACH && process_ends != NULL)
        mark_exiting();
}

BHW_TLS_CALLBACK(exit_callback, on_module);

int bhw_worker_exit_install(void)
{
    DWORD slot = FlsAlloc(on_slot);

    if (slot == FLS_OUT_OF_INDEXES || !FlsSetValue(slot, &bhw_worker_end) ||
        atexit(mark_exiting) != 0)
        return BH_E_MEMORY;
    bhw_worker_quiet_runtimes();
    return BH_OK;
}
