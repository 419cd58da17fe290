/* SPDX-License-Identifier: MIT */
/*
 * The worker's entry in the Running Object Table, by which its dispatcher finds it.
 *
 * Model: an item moniker whose item the dispatcher chose, unguessable, and a strong entry: the
 * object stays reachable until the entry is revoked. When it is in, the ready event is set. A
 * system that has just come up refuses an entry for a while (its service is still starting), so it
 * is tried again for as long as somebody waits for it; how long that is, the dispatcher decides.
 *
 * Invariants: never ROTFLAGS_ALLOWANYCLIENT, which needs entries in the registry and would let
 * other users in. Entered at most once, left at most once.
 */
#include "support.h"
#include "worker_end.h"

#include "core/problem.h"

#define FIRST_WAIT_MS 5u
#define LONGEST_WAIT_MS 200u

static IRunningObjectTable *table;
static DWORD entry; /* 0: none */

static HRESULT make_moniker(IMoniker **out)
{
    return CreateItemMoniker(L"!", (const WCHAR *)bhw_worker_end.call->item, out);
}

static HRESULT try_to_enter(void)
{
    IMoniker *moniker = NULL;
    HRESULT result = make_moniker(&moniker);

    if (SUCCEEDED(result) && table == NULL)
        result = GetRunningObjectTable(0, &table);
    if (SUCCEEDED(result))
        result = IRunningObjectTable_Register(table, ROTFLAGS_REGISTRATIONKEEPSALIVE,
                                              (IUnknown *)bhw_worker_object(), moniker, &entry);
    if (moniker != NULL)
        IMoniker_Release(moniker);
    return result;
}

/* Waits before the next try. @return whether anybody still wants it */
static bool wait_a_little(DWORD ms)
{
    /* Pairs with the dispatcher's store in bhp_worker_quit(). */
    return WaitForSingleObject(bhw_worker_end.dispatcher, ms) == WAIT_TIMEOUT &&
           atomic_load_explicit(&bhw_worker_end.call->quit, memory_order_acquire) == 0;
}

static int refuse(struct bh_problem *problem, const char *what, DWORD error)
{
    char text[160];

    return bhi_problem_set(problem, BH_E_SYSTEM, (int)error, "%s: %s", what,
                           bhw_error_text(error, text, sizeof text));
}

static int say_ready(struct bh_problem *problem)
{
    const WCHAR *name = (const WCHAR *)bhw_worker_end.call->ready_event;
    HANDLE ready = OpenEventW(EVENT_MODIFY_STATE, FALSE, name);
    int error = BH_OK;

    if (ready == NULL)
        return refuse(problem, "the ready event", GetLastError());
    if (!SetEvent(ready))
        error = refuse(problem, "the ready event", GetLastError());
    CloseHandle(ready);
    return error;
}

int bhw_worker_table_enter(struct bh_problem *problem)
{
    DWORD wait = FIRST_WAIT_MS;
    HRESULT result = try_to_enter();

    while (FAILED(result) && wait_a_little(wait)) {
        wait = wait * 2 < LONGEST_WAIT_MS ? wait * 2 : LONGEST_WAIT_MS;
        result = try_to_enter();
    }
    if (FAILED(result))
        return refuse(problem, "the Running Object Table", (DWORD)result);
    return say_ready(problem);
}

void bhw_worker_table_leave(void)
{
    if (entry == 0)
        return;
    IRunningObjectTable_Revoke(table, entry);
    IRunningObjectTable_Release(table);
    table = NULL;
    entry = 0;
}

bool bhw_worker_table_has(void)
{
    return entry != 0;
}
