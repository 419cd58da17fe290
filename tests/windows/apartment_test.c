/* SPDX-License-Identifier: MIT */
/* timeout: 60 */
/*
 * Callers of every kind: without COM, in the multithreaded apartment, in a single-threaded one.
 */
#include "rig.h"

#include <objbase.h>

#define NO_COM 0xffffffffu

struct caller {
    bh_pool *pool;
    DWORD model; /* COINIT_…, or NO_COM */
    HRESULT after;
    APTTYPE type_after;
    bool good;
    bool ran_loop; /* the window procedure was entered during the call */
    volatile bool inside;
};

static struct caller *current;

static LRESULT CALLBACK window(HWND handle, UINT message, WPARAM w, LPARAM l)
{
    if (message == WM_USER && current != NULL && current->inside)
        current->ran_loop = true;
    return DefWindowProcW(handle, message, w, l);
}

static HWND make_window(void)
{
    WNDCLASSW class = {.lpfnWndProc = window, .lpszClassName = L"bh-test"};

    class.hInstance = GetModuleHandleW(NULL);
    RegisterClassW(&class);
    return CreateWindowW(L"bh-test", L"", 0, 0, 0, 0, 0, HWND_MESSAGE, NULL, class.hInstance, NULL);
}

static DWORD WINAPI call_from(void *context)
{
    struct caller *caller = context;
    APTTYPEQUALIFIER qualifier;
    HWND handle = NULL;

    if (caller->model != NO_COM)
        CHECK_INT(CoInitializeEx(NULL, caller->model), S_OK);
    if (caller->model == COINIT_APARTMENTTHREADED) {
        current = caller;
        handle = make_window();
        PostMessageW(handle, WM_USER, 0, 0);
    }
    caller->good = true;
    caller->inside = true;
    for (int64_t i = 0; i < 20; i++) {
        bh_value argument = bh_value_int64(i);
        struct bh_result result;
        bh_pool_invoke(caller->pool, "echo", &argument, 1, &result);
        caller->good = caller->good && result.outcome == BH_OUTCOME_REPLIED &&
                       bh_value_equal(&result.reply, &argument);
        bh_result_deinit(&result);
    }
    caller->inside = false;
    caller->after = CoGetApartmentType(&caller->type_after, &qualifier);
    if (handle != NULL)
        DestroyWindow(handle);
    if (caller->model != NO_COM)
        CoUninitialize();
    return 0;
}

static void run(struct caller *caller)
{
    HANDLE thread = CreateThread(NULL, 0, call_from, caller, 0, NULL);

    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
    CHECK(caller->good);
}

TEST(a_caller_needs_no_com)
{
    struct bh_pool_options options = rig_options(1);
    struct caller caller = {.pool = rig_open_ready(&options), .model = NO_COM};

    run(&caller);
    bh_pool_close(caller.pool);
}

TEST(a_caller_may_be_in_the_multithreaded_apartment)
{
    struct bh_pool_options options = rig_options(1);
    struct caller caller = {.pool = rig_open_ready(&options), .model = COINIT_MULTITHREADED};

    run(&caller);
    CHECK_INT(caller.type_after, APTTYPE_MTA);
    bh_pool_close(caller.pool);
}

TEST(the_message_loop_of_a_caller_is_not_run)
{
    struct bh_pool_options options = rig_options(1);
    struct caller caller = {.pool = rig_open_ready(&options), .model = COINIT_APARTMENTTHREADED};

    run(&caller);
    CHECK(!caller.ran_loop);
    CHECK(caller.type_after == APTTYPE_STA || caller.type_after == APTTYPE_MAINSTA);
    bh_pool_close(caller.pool);
}

TEST(a_pool_may_be_opened_and_closed_in_any_apartment)
{
    struct bh_pool_options options = rig_options(1);

    CHECK_INT(CoInitializeEx(NULL, COINIT_APARTMENTTHREADED), S_OK);
    bh_pool *pool = rig_open_ready(&options);
    struct caller caller = {.pool = pool, .model = NO_COM};
    run(&caller);
    rig_check_echo(pool);
    bh_pool_close(pool);
    CoUninitialize();
}

TEST(a_deputys_call_to_a_hung_worker_ends_at_the_deadline)
{
    struct bh_pool_options options = rig_options(1);
    bh_value kind = bh_value_view("hang");
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_result result;

    CHECK_INT(CoInitializeEx(NULL, COINIT_APARTMENTTHREADED), S_OK);
    options.grace_ms = 20;
    bh_pool *pool = rig_open_ready(&options);
    request.method = "mishap";
    request.arguments = &kind;
    request.argument_count = 1;
    request.deadline_ms = 100;
    bh_pool_call(pool, &request, &result);
    rig_expect(&result, BH_OUTCOME_DEADLINE);
    bh_result_deinit(&result);
    rig_check_echo(pool);
    bh_pool_close(pool);
    CoUninitialize();
}

/* Nothing of ours stays behind in the host. */
TEST(the_apartment_ends_with_the_last_pool)
{
    struct bh_pool_options options = rig_options(1);
    APTTYPEQUALIFIER qualifier;
    APTTYPE type;

    CHECK_INT(CoGetApartmentType(&type, &qualifier), CO_E_NOTINITIALIZED);
    bh_pool *pool = rig_open_ready(&options);
    CHECK_INT(CoGetApartmentType(&type, &qualifier), S_OK);
    CHECK_INT(type, APTTYPE_MTA);
    CHECK_INT(qualifier, APTTYPEQUALIFIER_IMPLICIT_MTA);
    bh_pool_close(pool);
    CHECK_INT(CoGetApartmentType(&type, &qualifier), CO_E_NOTINITIALIZED);
}
