/* SPDX-License-Identifier: MIT */
/*
 * A worker's life, from the request to start it to the last close.
 *
 * Model: starting takes a thread, the worker's midwife, because it may take long: it creates the
 * process, waits for {ready event, process}, binds the worker's object and asks for its methods,
 * and is done. The end of the process is seen by the system's thread pool. Both leave notes for the
 * loop.
 *
 * Invariants: EXITED comes exactly once, when the process is gone and the midwife is done. The
 * process handle stays open until the free, so that a kill from any thread hits this process or
 * nothing. A midwife that is stuck in a call to a hung worker is freed by the worker's kill. A
 * failed start leaves nothing behind: it is undone by the destructor of a living worker.
 */
#include "nursery.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "deputy.h"

#include <stdarg.h>
#include <string.h>

/* ---- start ---- */

/* On a thread of the system's pool, which must not be held up. */
static void CALLBACK on_end(void *context, BOOLEAN timed_out)
{
    (void)timed_out;
    bhw_note(context, BHW_NOTE_GONE);
}

/* Without the thread pool the midwife stays until the end. */
static bool watch_end(bhp_worker *worker)
{
    return RegisterWaitForSingleObject(&worker->wait, atomic_load(&worker->process), on_end, worker,
                                       INFINITE, WT_EXECUTEONLYONCE | WT_EXECUTEINWAITTHREAD);
}

/* The midwife's thread. */
static void give_birth(void *context)
{
    bhp_worker *worker = context;
    bool created = bhw_process_create(worker);
    bool watched = created && watch_end(worker);

    bhw_close(&worker->client);
    if (created) {
        bhw_dump_watch(worker);
        bhw_note(worker, BHW_NOTE_STARTED);
        if (bhw_hello_await(worker) && bhw_hello(worker))
            bhw_note(worker, BHW_NOTE_READY);
    }
    if (created && !watched) {
        WaitForSingleObject(atomic_load(&worker->process), INFINITE);
        bhw_note(worker, BHW_NOTE_GONE);
    }
    bhw_note(worker, BHW_NOTE_BORN);
}

static int prepare(bhp_worker *worker, struct bh_problem *problem)
{
    int rc = bhw_sections_make(worker, problem);
    if (rc == BH_OK)
        rc = bhw_output_make(worker, &worker->client, problem);
    if (rc != BH_OK)
        return rc;
    rc = bhp_thread_start(&worker->midwife, give_birth, worker, "bulkhead start");
    return rc == BH_OK ? BH_OK
                       : bhi_problem_set(problem, rc, 0, "a thread to start a worker: %s",
                                         bh_error_text(rc));
}

static void init(bhp_worker *worker, bhp_nursery *nursery, uint64_t cookie, void *owner)
{
    *worker = (bhp_worker){.nursery = nursery, .owner = owner, .cookie = cookie};
    worker->methods.list = bh_value_null();
    worker->next = nursery->workers;
    if (worker->next != NULL)
        worker->next->previous = worker;
    nursery->workers = worker;
}

/** See platform.h. There are no templates here. */
bool bhp_worker_forked(const bhp_worker *worker)
{
    (void)worker;
    return false;
}

/** See platform.h. */
int bhp_worker_start(bhp_nursery *nursery, uint64_t cookie, void *owner, bhp_worker **worker,
                     struct bh_problem *problem)
{
    bhp_worker *made = bhi_alloc(sizeof(*made));

    *worker = NULL;
    if (made == NULL)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a worker");
    init(made, nursery, cookie, owner);
    int rc = prepare(made, problem);
    if (rc != BH_OK) {
        bhp_worker_free(made);
        return rc;
    }
    *worker = made;
    return BH_OK;
}

/* ---- free ---- */

static void unlink_worker(bhp_worker *worker)
{
    bhp_nursery *nursery = worker->nursery;

    if (worker->in_queue)
        bhw_unqueue(worker);
    if (worker->previous != NULL)
        worker->previous->next = worker->next;
    else
        nursery->workers = worker->next;
    if (worker->next != NULL)
        worker->next->previous = worker->previous;
}

/** See platform.h. The job's last handle takes along what the worker left running. */
void bhp_worker_free(bhp_worker *worker)
{
    HANDLE process;

    if (worker == NULL)
        return;
    if (worker->wait != NULL)
        UnregisterWaitEx(worker->wait, INVALID_HANDLE_VALUE);
    bhw_dump_unwatch(worker);
    bhw_deputy_free(worker->deputy);
    bhw_output_close(&worker->output);
    unlink_worker(worker);
    if (worker->object != NULL)
        IDispatch_Release(worker->object);
    process = atomic_load(&worker->process);
    bhw_close(&process);
    bhw_close(&worker->client);
    bhw_blobs_free(worker);
    bhw_sections_free(worker);
    bhi_methods_deinit(&worker->methods);
    bhi_free(worker->dispids);
    bhi_free(worker);
}

/* ---- what is done to it ---- */

/** See platform.h. */
void bhp_worker_kill(bhp_worker *worker)
{
    atomic_store(&worker->unwanted, true); /* pairs with the load in bhw_process_create() */
    HANDLE process = atomic_load(&worker->process);
    if (process != NULL)
        TerminateProcess(process, BHW_KILLED);
    /* And what it has started: it may have put an object of such a process under its name, to
     * which the midwife would speak for ever. */
    TerminateJobObject(worker->job, BHW_KILLED);
}

/** See nursery.h. */
void bhw_worker_blame(bhp_worker *worker, const char *format, ...)
{
    struct bh_problem text; /* makes the bytes fit to print */
    va_list arguments;

    va_start(arguments, format);
    bhi_problem_setv(&text, BH_E_SYSTEM, 0, format, arguments);
    va_end(arguments);
    if (!atomic_exchange(&worker->unwanted, true)) { /* pairs with bhp_worker_kill() */
        bhw_copy_text(worker->lane_detail, sizeof(worker->lane_detail), text.text);
        atomic_store(&worker->lane_blamed, true); /* pairs with bhw_obituary_write() */
    }
    bhp_worker_kill(worker);
}

/** See platform.h. */
void bhp_worker_quit(bhp_worker *worker)
{
    atomic_store_explicit(&worker->call->quit, 1, memory_order_release);
    SetEvent(worker->bell);
}

/** See platform.h. */
void bhp_worker_nudge(bhp_worker *worker, uint64_t serial)
{
    atomic_store_explicit(&worker->call->cancel, serial, memory_order_release);
    SetEvent(worker->bell);
}

/* ---- what is asked about it ---- */

/** See platform.h. */
int64_t bhp_worker_pid(const bhp_worker *worker)
{
    return atomic_load(&worker->pid);
}

/** See platform.h. */
const bh_value *bhp_worker_methods(const bhp_worker *worker)
{
    return &worker->methods.list;
}

/** See platform.h. */
const char *bhp_worker_moniker(const bhp_worker *worker)
{
    return worker->nursery->keep_registered ? worker->moniker : NULL;
}
