/* SPDX-License-Identifier: MIT */
/*
 * A worker's greeting: the moniker in the Running Object Table, the proof of whose it is, the
 * table of methods.
 *
 * Model: runs on the midwife's thread and may block: a call to a hung worker ends when the worker
 * is killed. The worker's entry can be looked up by anybody in the session, and anybody can make
 * one of the same name; so the greeting carries a random number, and only the process that was
 * given the box section can store it there.
 *
 * Invariants: a worker is READY with a proven object and with a table in which every name is a
 * non-empty string and stands once; or it broke the protocol and is killed; or it has ended, and
 * its end says how.
 */
#include "nursery.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "variant.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* A worker that crashes in its greeting fails the call a little before it is gone. */
#define DYING_MS 1000
/* The table is there before the event is set; a system that starts up may still refuse to look. */
#define TRIES 20
#define PAUSE_MS 50

/* ---- flaws ---- */

/* It did not greet as it must. If it is on its way out, or was killed, that says nothing. */
static bool broke(bhp_worker *worker, const char *format, ...) BH_PRINTF(2, 3);
static bool broke(bhp_worker *worker, const char *format, ...)
{
    struct bh_problem text; /* makes the bytes fit to print */
    va_list arguments;

    if (WaitForSingleObject(atomic_load(&worker->process), DYING_MS) == WAIT_OBJECT_0 ||
        atomic_load(&worker->unwanted))
        return false;
    va_start(arguments, format);
    bhi_problem_setv(&text, BH_E_SYNTAX, 0, format, arguments);
    va_end(arguments);
    worker->obituary.protocol = true;
    bhw_copy_text(worker->obituary.detail, sizeof(worker->obituary.detail), text.text);
    bhp_worker_kill(worker);
    return false;
}

static bool broke_with(bhp_worker *worker, const char *what, HRESULT result)
{
    char text[120];

    return broke(worker, "%s: %s", what, bhw_result_text(result, text, sizeof(text)));
}

/* ---- the object ---- */

static HRESULT look_up(const WCHAR *item, IUnknown **object)
{
    IRunningObjectTable *table = NULL;
    IMoniker *moniker = NULL;

    HRESULT result = CreateItemMoniker(L"!", item, &moniker);
    if (SUCCEEDED(result))
        result = GetRunningObjectTable(0, &table);
    if (SUCCEEDED(result))
        result = IRunningObjectTable_GetObject(table, moniker, object);
    if (table != NULL)
        IRunningObjectTable_Release(table);
    if (moniker != NULL)
        IMoniker_Release(moniker);
    return SUCCEEDED(result) && *object == NULL ? MK_E_UNAVAILABLE : result;
}

/* Until the table answers, the worker ends, or it is no use. */
static HRESULT bind(bhp_worker *worker)
{
    IUnknown *object = NULL;
    HRESULT result = E_FAIL;

    for (int i = 0; i < TRIES && FAILED(result); i++) {
        if (i > 0 && WaitForSingleObject(atomic_load(&worker->process), PAUSE_MS) != WAIT_TIMEOUT)
            return result;
        result = look_up((const WCHAR *)worker->call->item, &object);
    }
    if (FAILED(result))
        return result;
    result = IUnknown_QueryInterface(object, &IID_IDispatch, (void **)&worker->object);
    IUnknown_Release(object);
    return result;
}

static HRESULT ask(IDispatch *object, uint64_t number, VARIANT *answer)
{
    VARIANT argument = {.vt = VT_UI8, .ullVal = number};
    DISPPARAMS parameters = {.rgvarg = &argument, .cArgs = 1};

    return IDispatch_Invoke(object, BHW_DISPID_METHODS, &IID_NULL, LOCALE_NEUTRAL, DISPATCH_METHOD,
                            &parameters, answer, NULL, NULL);
}

static bool learn(bhp_worker *worker, const VARIANT *answer)
{
    struct bh_value_limits limits = {.depth = 4, .bytes = worker->nursery->max_reply_bytes};
    struct bhi_methods *methods = &worker->methods;
    struct bh_problem problem;

    int rc = bhw_value_from_variant(&methods->list, answer, &limits, NULL, &problem);
    if (rc == BH_OK)
        rc = bhi_methods_index(methods, &problem);
    if (rc == BH_OK) {
        size_t bytes = (methods->list.length + 1) * sizeof(worker->dispids[0]);
        worker->dispids = bhi_alloc(bytes);
        if (worker->dispids == NULL)
            return broke(worker, "its table of methods needs more memory than there is");
        memset(worker->dispids, 0, bytes);
        return true;
    }
    bhi_methods_deinit(methods);
    return broke(worker, "its table of methods %s", problem.text);
}

static bool greet(bhp_worker *worker)
{
    uint64_t number = bhw_random();
    VARIANT answer;

    VariantInit(&answer);
    HRESULT result = ask(worker->object, number, &answer);
    if (FAILED(result))
        return broke_with(worker, "it does not name its methods", result);
    /* Pairs with the worker's release store. */
    bool proven = atomic_load_explicit(&worker->box->greeted, memory_order_acquire) == number;
    bool learnt = proven ? learn(worker, &answer)
                         : broke(worker, "another process's object is registered under its name");
    VariantClear(&answer);
    return learnt;
}

/** See nursery.h. */
bool bhw_hello(bhp_worker *worker)
{
    HRESULT result = bind(worker);
    if (FAILED(result))
        return broke_with(worker, "its object cannot be bound", result);
    if (!greet(worker))
        return false;
    /* Pairs with the worker's load: it takes its entry out of the table. */
    atomic_store_explicit(&worker->call->bound, 1, memory_order_release);
    SetEvent(worker->bell);
    return true;
}

/** See nursery.h. */
bool bhw_hello_await(bhp_worker *worker)
{
    HANDLE either[] = {atomic_load(&worker->process), worker->ready};

    return WaitForMultipleObjects(BHW_COUNT(either), either, FALSE, INFINITE) == WAIT_OBJECT_0 + 1;
}
