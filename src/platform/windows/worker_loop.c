/* SPDX-License-Identifier: MIT */
/*
 * The worker's loop: it waits for messages, because a call is one, for the bell and for the end of
 * its dispatcher.
 *
 * Model: COM calls into the worker while a message is dispatched; worker_call.c serves. The loop
 * sees afterwards that it has, and does what comes after a call. It leaves for one of four reasons:
 * the dispatcher's process has ended, the dispatcher said so, nobody outside holds the object any
 * more, or nobody has called for too long.
 *
 * Invariants: each word is looked at again after each ring. What may end the process (the idle
 * hook, leaving) begins only when the reply has arrived, or nobody says so in time: COM sends a
 * reply after the method has returned, on another thread.
 */
#include "worker_end.h"

#include "core/problem.h"

#define FOREVER UINT64_MAX
/* For a reply of which nobody says when it has arrived: a late-bound client's, or any once the
 * dispatcher has ended. */
#define UNTOLD_MS 20u

/* What the loop knows. */
struct loop {
    const struct bhi_channel_owner *owner;
    uint64_t served;  /* calls, as of the last look */
    uint64_t settled; /* calls whose reply was given its time */
    uint64_t until;   /* leave then; GetTickCount64() */
    bool orphaned;    /* the dispatcher's process has ended */
};

/* There are no templates here. */
int bhi_channel_settle(bool fork_safe, struct bh_problem *problem)
{
    (void)fork_safe, (void)problem;
    return BH_OK;
}

int bhi_channel_announce(const bh_value *methods, struct bh_problem *problem)
{
    int error = bhw_worker_methods_set(methods, problem);

    bhw_worker_quiet_runtimes(); /* init() may have loaded some */
    return error != BH_OK ? error : bhw_worker_table_enter(problem);
}

/* ---- after a call ---------------------------------------------------------------------------- */

static bool received(void)
{
    /* Pairs with the dispatcher's store after its Invoke. */
    return atomic_load_explicit(&bhw_worker_end.call->received, memory_order_acquire) ==
           bhw_worker_end.taken;
}

/* Waits a moment: until a message comes, since the next call means that the reply has arrived;
 * without that, for one that was there already, a tick of the clock. */
static void wait_for_receipt(struct loop *loop, bool message_pending)
{
    DWORD woken;

    if (message_pending)
        woken = WaitForSingleObject(bhw_worker_end.dispatcher, 1);
    else
        woken = MsgWaitForMultipleObjectsEx(1, &bhw_worker_end.dispatcher, 1, QS_ALLINPUT,
                                            MWMO_INPUTAVAILABLE);
    loop->orphaned = woken == WAIT_OBJECT_0;
}

/* Waits until the reply to the last call, which was the dispatcher's, has arrived. */
static void await_receipt(struct loop *loop)
{
    uint64_t until = GetTickCount64() + BHW_RECEIPT_MS;
    bool message_pending = false;

    while (!received() && !loop->orphaned && GetTickCount64() < until) {
        wait_for_receipt(loop, message_pending);
        message_pending = HIWORD(GetQueueStatus(QS_ALLINPUT)) != 0;
    }
}

/* Gives the reply to the last call the time to arrive, once. */
static void settle(struct loop *loop)
{
    bool own;
    uint64_t served = bhw_worker_calls_served(&own);

    if (served == loop->settled)
        return;
    loop->settled = served;
    if (own)
        await_receipt(loop);
    if (!own || (loop->orphaned && !received()))
        Sleep(UNTOLD_MS);
}

static void set_patience(struct loop *loop)
{
    uint32_t patience = loop->owner->idle_exit_ms;

    loop->until = patience == 0 ? FOREVER : GetTickCount64() + patience;
}

static void after_call(struct loop *loop)
{
    bool own;
    uint64_t served = bhw_worker_calls_served(&own);

    if (served == loop->served)
        return;
    loop->served = served;
    if (loop->owner->idle != NULL) {
        settle(loop);
        loop->owner->idle(loop->owner->context);
    }
    set_patience(loop);
}

/* ---- leaving --------------------------------------------------------------------------------- */

/* Takes the object out of the table once the dispatcher holds it. */
static void look_at_binding(void)
{
    const struct bhw_call_section *call = bhw_worker_end.call;

    /* Pairs with the dispatcher's store when it has bound the object. */
    if (call->keep_registered == 0 && bhw_worker_table_has() &&
        atomic_load_explicit(&call->bound, memory_order_acquire) != 0)
        bhw_worker_table_leave();
}

static bool wants_to_leave(const struct loop *loop)
{
    /* Pairs with the dispatcher's store in bhp_worker_quit(). */
    return loop->orphaned ||
           atomic_load_explicit(&bhw_worker_end.call->quit, memory_order_acquire) != 0 ||
           (!bhw_worker_table_has() && bhw_worker_object_alone()) ||
           (loop->until != FOREVER && GetTickCount64() >= loop->until);
}

/* From here on a call is not served; one that is on its way never starts, and will be sent
 * elsewhere. */
static void leave(struct loop *loop)
{
    settle(loop);
    bhw_worker_calls_for(NULL);
    /* Pairs with the dispatcher's load in bhp_worker_box(). */
    atomic_store_explicit(&bhw_worker_end.box->quitting, 1, memory_order_release);
    bhw_worker_table_leave();
    CoDisconnectObject((IUnknown *)bhw_worker_object(), 0);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static DWORD patience_ms(const struct loop *loop)
{
    uint64_t now = GetTickCount64();

    if (loop->until == FOREVER)
        return INFINITE;
    if (loop->until <= now)
        return 0;
    return loop->until - now < INFINITE ? (DWORD)(loop->until - now) : INFINITE - 1;
}

static void wait(struct loop *loop)
{
    HANDLE handles[] = {bhw_worker_end.dispatcher, bhw_worker_end.bell};
    DWORD woken = MsgWaitForMultipleObjectsEx(2, handles, patience_ms(loop), QS_ALLINPUT,
                                              MWMO_INPUTAVAILABLE);

    if (woken == WAIT_FAILED) /* a library has closed what it did not know */
        bhw_worker_die("cannot wait for the dispatcher: error %lu", (unsigned long)GetLastError());
    if (woken == WAIT_OBJECT_0)
        loop->orphaned = true;
}

void bhi_channel_serve(const struct bhi_channel_owner *owner)
{
    struct loop loop = {.owner = owner};
    MSG message;

    bhw_worker_calls_for(owner);
    set_patience(&loop);
    for (;;) {
        look_at_binding();
        bhw_worker_blobs_look();
        if (wants_to_leave(&loop))
            break;
        if (!PeekMessageW(&message, NULL, 0, 0, PM_REMOVE)) {
            wait(&loop);
            continue;
        }
        /* A library's PostQuitMessage() is not for this loop. */
        if (message.message != WM_QUIT) {
            TranslateMessage(&message);
            DispatchMessageW(&message);
        }
        after_call(&loop);
    }
    leave(&loop);
}
