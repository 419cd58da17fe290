/* SPDX-License-Identifier: MIT */
/*
 * Clients that know nothing of the library find a worker that keeps its entry, and call it by name:
 * a program in C, and scripts. timeout: 60
 */
#include "create_process.h"
#include "hand.h"
#include "rig.h"

#define PROBE BH_TEST_DIR "/probe_worker.exe"
#define CLIENT BH_TEST_DIR "/late_client.exe"

static void open_in(struct hand *hand, DWORD apartment)
{
    struct hand_options options = {.program = PROBE, .keep_registered = 1};

    CHECK(SUCCEEDED(CoInitializeEx(NULL, apartment)));
    hand_open(hand, &options);
}

static void open_lasting(struct hand *hand)
{
    open_in(hand, COINIT_MULTITHREADED);
}

static void close_lasting(struct hand *hand)
{
    hand_close(hand);
    CoUninitialize();
}

/* Runs a command to its end. @return its exit code; what it wrote is in `out` */
static DWORD run(const char *command, char *out, size_t size)
{
    SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
    STARTUPINFOA startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES};
    PROCESS_INFORMATION process;
    char line[1024];
    HANDLE end;
    DWORD code = 0, used = 0, got;

    CHECK(CreatePipe(&end, &startup.hStdOutput, &inherit, 1 << 16));
    SetHandleInformation(end, HANDLE_FLAG_INHERIT, 0);
    startup.hStdError = startup.hStdOutput;
    snprintf(line, sizeof line, "%s", command);
    if (!kit_create_process(NULL, line, TRUE, 0, &startup, &process))
        SKIP("cannot start %s: %lu", command, GetLastError());
    CloseHandle(startup.hStdOutput);
    if (WaitForSingleObject(process.hProcess, HAND_WAIT_MS) != WAIT_OBJECT_0) {
        TerminateProcess(process.hProcess, 1);
        FAIL("%s: does not end", command);
    }
    while (used < size - 1 && ReadFile(end, out + used, (DWORD)(size - 1 - used), &got, NULL) &&
           got > 0)
        used += got;
    out[used] = '\0';
    GetExitCodeProcess(process.hProcess, &code);
    CloseHandle(process.hProcess);
    CloseHandle(process.hThread);
    CloseHandle(end);
    return code;
}

static DWORD run_client(const struct hand *hand, const char *how, const char *rest, char *out,
                        size_t size)
{
    char command[1024];

    snprintf(command, sizeof command, "\"%s\" %s %ls %s", CLIENT, how,
             (const WCHAR *)hand->call->item, rest);
    return run(command, out, size);
}

TEST(a_client_finds_it_by_its_moniker)
{
    struct hand hand;
    char out[512];

    open_lasting(&hand);
    CHECK_INT(run_client(&hand, "by-item", "echo hello", out, sizeof out), 0);
    CHECK_CONTAINS(out, "hello");
    CHECK_INT(run_client(&hand, "by-item", "Echo 42", out, sizeof out), 0);
    CHECK_CONTAINS(out, "42");
    CHECK_INT(run_client(&hand, "by-item", "fail", out, sizeof out), 1);
    CHECK_CONTAINS(out, "failed: -2147023170 no");
    CHECK_INT(run_client(&hand, "by-item", "no-such-method", out, sizeof out), 2);
    CHECK_CONTAINS(out, "80020006");
    CHECK_INT(hand.box->started, 0);
    CHECK_INT(hand.box->committed, 0);
    close_lasting(&hand);
}

TEST(a_client_finds_it_by_its_display_name)
{
    struct hand hand;
    char out[512];
    DWORD status;

    open_lasting(&hand);
    status = run_client(&hand, "by-name", "echo hello", out, sizeof out);
    close_lasting(&hand);
    if (status != 0)
        SKIP("this system does not parse the name of an item: %s", out); /* Wine */
    CHECK_CONTAINS(out, "hello");
}

/* The dispatcher holds it still when it dies under a stranger's call. */
TEST(a_death_under_a_strangers_call_is_recorded)
{
    struct hand hand;
    char out[512];

    open_lasting(&hand);
    CHECK_INT(run_client(&hand, "by-item", "die write", out, sizeof out), 2);
    CHECK_CONTAINS(out, "Invoke");
    CHECK_INT(hand_end(&hand), EXCEPTION_ACCESS_VIOLATION);
    CHECK_INT(hand.box->fault.state, BHW_FAULT_COMPLETE);
    CHECK_INT(hand.box->started, 0);
    close_lasting(&hand);
}

/* ---- under a pool ---------------------------------------------------------------------------- */

struct notebook {
    HANDLE ready;     /* auto-reset */
    char moniker[96]; /* of the latest that became ready */
};

static void on_event(void *context, const struct bh_event *event)
{
    struct notebook *notebook = context;

    if (event->type != BH_EVENT_READY)
        return;
    snprintf(notebook->moniker, sizeof notebook->moniker, "%s", event->text ? event->text : "");
    SetEvent(notebook->ready);
}

static bh_pool *open_pool(struct notebook *notebook, bool keep_registered)
{
    struct bh_pool_options options = rig_options(1);
    bh_pool *pool;

    *notebook = (struct notebook){.ready = CreateEventW(NULL, FALSE, FALSE, NULL)};
    options.keep_registered = keep_registered;
    options.on_event = on_event;
    options.event_context = notebook;
    pool = rig_open_ready(&options);
    CHECK_INT(WaitForSingleObject(notebook->ready, RIG_READY_MS), WAIT_OBJECT_0);
    return pool;
}

static DWORD run_by_moniker(const struct notebook *notebook, const char *rest, char *out,
                            size_t size)
{
    char command[1024];

    CHECK_INT(notebook->moniker[0], '!');
    snprintf(command, sizeof command, "\"%s\" by-item %s %s", CLIENT, notebook->moniker + 1, rest);
    return run(command, out, size);
}

TEST_TIMEOUT(a_pools_workers_serve_others_beside_it, 60)
{
    struct notebook notebook;
    bh_pool *pool = open_pool(&notebook, true);
    struct bh_snapshot snapshot;
    char out[512];

    CHECK_INT(run_by_moniker(&notebook, "echo hello", out, sizeof out), 0);
    CHECK_CONTAINS(out, "hello");
    rig_check_echo(pool);
    CHECK_INT(run_by_moniker(&notebook, "Echo 42", out, sizeof out), 0);
    CHECK_CONTAINS(out, "42");
    rig_check_echo(pool);
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.submitted, 2); /* the others' are none of the pool's */
    CHECK_INT(snapshot.starts, 1);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(pool);
    CHECK_INT(run_by_moniker(&notebook, "echo hello", out, sizeof out), 2);
    CHECK_CONTAINS(out, "not in the table");
    CloseHandle(notebook.ready);
}

/* The worker dies of a stranger's call: between requests, as far as the pool is concerned, and the
 * next one has a moniker of its own. */
TEST_TIMEOUT(a_death_under_a_strangers_call_is_replaced, 60)
{
    struct notebook notebook;
    bh_pool *pool = open_pool(&notebook, true);
    char before[96], after[96], out[512];

    snprintf(before, sizeof before, "%s", notebook.moniker);
    CHECK_INT(run_by_moniker(&notebook, "mishap violation", out, sizeof out), 2);
    CHECK_INT(WaitForSingleObject(notebook.ready, RIG_READY_MS), WAIT_OBJECT_0);
    CHECK(strcmp(before, notebook.moniker) != 0);
    rig_check_echo(pool);
    /* A stale entry, if the table still has it, leads nowhere, and soon. */
    snprintf(after, sizeof after, "%s", notebook.moniker);
    snprintf(notebook.moniker, sizeof notebook.moniker, "%s", before);
    CHECK_INT(run_by_moniker(&notebook, "echo anybody", out, sizeof out), 2);
    snprintf(notebook.moniker, sizeof notebook.moniker, "%s", after);
    CHECK_INT(run_by_moniker(&notebook, "echo again", out, sizeof out), 0);
    CHECK_CONTAINS(out, "again");
    bh_pool_close(pool);
    CloseHandle(notebook.ready);
}

TEST(without_the_option_nobody_learns_a_moniker)
{
    struct notebook notebook;
    bh_pool *pool = open_pool(&notebook, false);

    CHECK_STR(notebook.moniker, "");
    bh_pool_close(pool);
    CloseHandle(notebook.ready);
}

/* ---- scripts --------------------------------------------------------------------------------- */

static HRESULT send(IDispatch *object, const WCHAR *name, WORD flags, VARIANT *arguments,
                    unsigned count, VARIANT *result)
{
    LPOLESTR names[] = {(LPOLESTR)(uintptr_t)name};
    DISPID put = DISPID_PROPERTYPUT;
    DISPPARAMS parameters = {arguments, NULL, count, 0};
    DISPID id;
    HRESULT error = IDispatch_GetIDsOfNames(object, &IID_NULL, names, 1, LOCALE_USER_DEFAULT, &id);

    if (flags == DISPATCH_PROPERTYPUT) {
        parameters.rgdispidNamedArgs = &put;
        parameters.cNamedArgs = 1;
    }
    return FAILED(error) ? error
                         : IDispatch_Invoke(object, id, &IID_NULL, LOCALE_USER_DEFAULT, flags,
                                            &parameters, result, NULL, NULL);
}

static VARIANT text_of(const WCHAR *text)
{
    VARIANT variant = {0};

    V_VT(&variant) = VT_BSTR;
    V_BSTR(&variant) = SysAllocString(text);
    return variant;
}

/* A script engine with the worker in it under the name "worker"; skips the test where there is none
 * (64-bit Windows has no such control). */
static IDispatch *open_engine(const WCHAR *language, IDispatch *worker)
{
    VARIANT arguments[3] = {text_of(language)}, name = text_of(L"worker");
    IDispatch *engine;
    CLSID class_id;

    if (FAILED(CLSIDFromProgID(L"MSScriptControl.ScriptControl", &class_id)) ||
        FAILED(CoCreateInstance(&class_id, NULL, CLSCTX_INPROC_SERVER, &IID_IDispatch,
                                (void **)&engine)))
        SKIP("no script control on this system");
    if (FAILED(send(engine, L"Language", DISPATCH_PROPERTYPUT, arguments, 1, NULL)))
        SKIP("no script language %ls", language);
    VariantClear(&arguments[0]);
    V_VT(&arguments[0]) = VT_BOOL; /* the last first */
    V_BOOL(&arguments[0]) = VARIANT_FALSE;
    V_VT(&arguments[1]) = VT_DISPATCH;
    V_DISPATCH(&arguments[1]) = worker;
    arguments[2] = name;
    CHECK_INT(send(engine, L"AddObject", DISPATCH_METHOD, arguments, 3, NULL), S_OK);
    VariantClear(&name);
    return engine;
}

static void check_script(IDispatch *engine, const WCHAR *program, const WCHAR *expression,
                         const WCHAR *expected)
{
    VARIANT argument = text_of(program), result = {0};

    CHECK_INT(send(engine, L"AddCode", DISPATCH_METHOD, &argument, 1, NULL), S_OK);
    VariantClear(&argument);
    argument = text_of(expression);
    CHECK_INT(send(engine, L"Eval", DISPATCH_METHOD, &argument, 1, &result), S_OK);
    VariantClear(&argument);
    CHECK_INT(VariantChangeType(&result, &result, 0, VT_BSTR), S_OK);
    if (wcscmp(V_BSTR(&result), expected) != 0)
        FAIL("%ls: %ls instead of %ls", program, V_BSTR(&result), expected);
    VariantClear(&result);
}

TEST(a_vbscript_calls_it)
{
    struct hand hand;
    IDispatch *engine;

    open_in(&hand, COINIT_APARTMENTTHREADED);
    engine = open_engine(L"VBScript", hand.object);
    check_script(engine, L"a = worker.Echo(\"hello\")", L"a", L"hello");
    check_script(engine, L"n = 20\nb = worker.echo(n) + 1", L"b", L"21");
    check_script(engine, L"d = 1.5\nc = worker.echo(1, d)", L"CStr(c(1) * 2)", L"3");
    check_script(engine, L"On Error Resume Next\nworker.fail\ne = Err.Description\nOn Error Goto 0",
                 L"e", L"no \x20ac left");
    IDispatch_Release(engine);
    close_lasting(&hand);
}

TEST(a_jscript_calls_it)
{
    struct hand hand;
    IDispatch *engine;

    open_in(&hand, COINIT_APARTMENTTHREADED);
    engine = open_engine(L"JScript", hand.object);
    check_script(engine, L"var a = worker.echo('hello');", L"a", L"hello");
    check_script(engine, L"var b = worker.echo(20) + 1;", L"b", L"21");
    check_script(engine, L"var e; try { worker.fail(); } catch (x) { e = x.description; }", L"e",
                 L"no \x20ac left");
    IDispatch_Release(engine);
    close_lasting(&hand);
}
