/* SPDX-License-Identifier: MIT */
/*
 * Callers in each kind of apartment: a thread that knows nothing of COM, one in the multithreaded
 * apartment, and one in an apartment of its own, whose windows must not be served from inside a
 * call.
 */
#include "selftest.h"

#include <objbase.h>
#include <stdio.h>

#define CALLS 20

struct caller {
    const char *name;
    bool initialise;
    DWORD apartment;
    bh_pool *pool;
    unsigned replied;
    unsigned messages_inside; /* that a window got during a call */
    APTTYPE type_after;
    bool has_type;
};

static struct caller *at_hand; /* one after the other */

static LRESULT CALLBACK on_message(HWND window, UINT message, WPARAM first, LPARAM second)
{
    at_hand->messages_inside += message == WM_APP;
    return DefWindowProcW(window, message, first, second);
}

/* A window that nobody sees; NULL where there are none. */
static HWND make_window(void)
{
    WNDCLASSW class = {.lpfnWndProc = on_message, .lpszClassName = L"bulkhead-selftest"};

    RegisterClassW(&class); /* the second time it is there */
    return CreateWindowExW(0, class.lpszClassName, NULL, 0, 0, 0, 0, 0, HWND_MESSAGE, NULL, NULL,
                           NULL);
}

static void call_many(struct caller *caller)
{
    HWND window = make_window();

    for (int i = 0; i < CALLS; i++) {
        bh_value number = bh_value_int64(i);
        struct bh_result result;
        PostMessageW(window, WM_APP, 0, 0);
        bh_pool_invoke(caller->pool, "echo", &number, 1, &result);
        caller->replied +=
            result.outcome == BH_OUTCOME_REPLIED && bh_value_equal(&result.reply, &number);
        bh_result_deinit(&result);
    }
    if (window != NULL)
        DestroyWindow(window);
}

static DWORD WINAPI run(void *context)
{
    struct caller *caller = context;
    APTTYPEQUALIFIER qualifier;

    if (caller->initialise && FAILED(CoInitializeEx(NULL, caller->apartment)))
        return 1;
    call_many(caller);
    caller->has_type = SUCCEEDED(CoGetApartmentType(&caller->type_after, &qualifier));
    if (caller->initialise)
        CoUninitialize();
    return 0;
}

static void check_caller(struct caller *caller)
{
    at_hand = caller;
    HANDLE thread = CreateThread(NULL, 0, run, caller, 0, NULL);
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
    bool stays = !caller->initialise ||
                 (caller->has_type && (caller->type_after == APTTYPE_MTA) ==
                                          (caller->apartment == COINIT_MULTITHREADED));
    report_check(caller->replied == CALLS && caller->messages_inside == 0 && stays, caller->name,
                 "%u of %u calls replied, %u messages were dispatched meanwhile", caller->replied,
                 CALLS, caller->messages_inside);
}

void callers_run(void)
{
    struct caller callers[] = {
        {.name = "a caller that never initialised COM"},
        {.name = "a caller in the multithreaded apartment",
         .initialise = true,
         .apartment = COINIT_MULTITHREADED},
        {.name = "a caller in an apartment of its own",
         .initialise = true,
         .apartment = COINIT_APARTMENTTHREADED},
    };
    struct bh_pool_options options = pool_options(1, NULL);

    report_part("Callers");
    bh_pool *pool = pool_open(&options, "callers");
    for (size_t i = 0; pool != NULL && i < sizeof callers / sizeof callers[0]; i++) {
        callers[i].pool = pool;
        check_caller(&callers[i]);
    }
    bh_pool_close(pool);
}
