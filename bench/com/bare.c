/* SPDX-License-Identifier: MIT */
/*
 * The bare design, as a reader would write it down: a process, an item moniker in the Running
 * Object Table, a named event, and IDispatch::Invoke with VARIANTs. Nothing of the library's. It is
 * what the library is measured against, so it does nothing that a call does not need.
 *
 * Model: the dispatcher makes a cookie and an event whose name contains it, starts the worker with
 * cookie and its own process number on the command line, and waits for event or process. The
 * worker registers its object under the cookie, sets the event and runs a message loop until the
 * dispatcher's process ends. Bytes travel as a SAFEARRAY of VT_UI1. A call that fails in transport
 * ends the worker, because COM may have swallowed its fault.
 */
#define COBJMACROS
#include "side.h"

#include <objbase.h>
#include <oleauto.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define MARK "--bare-worker"
#define NAME_CHARS 64
#define START_MS 30000

enum method { METHOD_SMALL = 1, METHOD_SUM, METHOD_ECHO, METHOD_FAULT, METHOD_HANG };

static const IID no_interface;

/* Of the event, and of the moniker's item. */
static void name_of(WCHAR *out, const WCHAR *what, unsigned long long cookie)
{
    swprintf(out, NAME_CHARS, L"%lsbench-com-bare-%llx", what, cookie);
}

/* ---- values ---------------------------------------------------------------------------------- */

static VARIANT bytes_of(const uint8_t *bytes, size_t size)
{
    VARIANT variant;
    void *room;

    VariantInit(&variant);
    SAFEARRAY *array = SafeArrayCreateVector(VT_UI1, 0, (ULONG)size);
    if (array != NULL && SUCCEEDED(SafeArrayAccessData(array, &room))) {
        memcpy(room, bytes, size);
        SafeArrayUnaccessData(array);
        V_VT(&variant) = VT_ARRAY | VT_UI1;
        V_ARRAY(&variant) = array;
    }
    return variant;
}

/* The bytes in there, until bytes_done(). */
static const uint8_t *bytes_in(const VARIANT *variant, size_t *size)
{
    void *bytes;

    if (V_VT(variant) != (VT_ARRAY | VT_UI1) ||
        FAILED(SafeArrayAccessData(V_ARRAY(variant), &bytes)))
        return NULL;
    *size = V_ARRAY(variant)->rgsabound[0].cElements;
    return bytes;
}

static void bytes_done(const VARIANT *variant)
{
    SafeArrayUnaccessData(V_ARRAY(variant));
}

/* ---- the worker ------------------------------------------------------------------------------ */

static HRESULT do_small(VARIANT *last, VARIANT *result)
{
    SAFEARRAY *array;
    VARIANT *items;

    if (V_VT(&last[2]) != VT_I8 || V_VT(&last[1]) != VT_R8 || V_VT(&last[0]) != VT_BSTR)
        return DISP_E_TYPEMISMATCH;
    array = SafeArrayCreateVector(VT_VARIANT, 0, 2);
    if (array == NULL || FAILED(SafeArrayAccessData(array, (void **)&items)))
        return E_OUTOFMEMORY;
    V_VT(&items[0]) = VT_I8;
    V_I8(&items[0]) = V_I8(&last[2]) + (LONGLONG)V_R8(&last[1]);
    VariantCopy(&items[1], &last[0]);
    SafeArrayUnaccessData(array);
    V_VT(result) = VT_ARRAY | VT_VARIANT;
    V_ARRAY(result) = array;
    return S_OK;
}

static HRESULT do_sum(const VARIANT *argument, VARIANT *result)
{
    size_t size;
    const uint8_t *bytes = bytes_in(argument, &size);

    if (bytes == NULL)
        return DISP_E_TYPEMISMATCH;
    V_VT(result) = VT_I8;
    V_I8(result) = (LONGLONG)side_sum(bytes, size);
    bytes_done(argument);
    return S_OK;
}

static HRESULT do_hang(const VARIANT *argument)
{
    char name[NAME_CHARS] = "";

    if (V_VT(argument) == VT_BSTR)
        snprintf(name, sizeof name, "%ls", V_BSTR(argument));
    side_hang(name);
    return S_OK;
}

static int *volatile nowhere;

static HRESULT STDMETHODCALLTYPE invoke(IDispatch *self, DISPID id, REFIID reserved, LCID locale,
                                        WORD flags, DISPPARAMS *parameters, VARIANT *result,
                                        EXCEPINFO *exception, UINT *bad_argument)
{
    VARIANT *arguments = parameters->rgvarg;

    (void)self, (void)reserved, (void)locale, (void)flags, (void)exception, (void)bad_argument;
    if (parameters->cArgs != (id == METHOD_SMALL ? 3u : id == METHOD_FAULT ? 0u : 1u))
        return DISP_E_BADPARAMCOUNT;
    switch (id) {
    case METHOD_SMALL:
        return do_small(arguments, result);
    case METHOD_SUM:
        return do_sum(arguments, result);
    case METHOD_ECHO:
        return VariantCopy(result, arguments);
    case METHOD_FAULT:
        *nowhere = 1;
        return S_OK;
    case METHOD_HANG:
        return do_hang(arguments);
    default:
        return DISP_E_MEMBERNOTFOUND;
    }
}

static HRESULT STDMETHODCALLTYPE query(IDispatch *self, REFIID id, void **out)
{
    bool known = IsEqualIID(id, &IID_IUnknown) || IsEqualIID(id, &IID_IDispatch);

    *out = known ? self : NULL;
    return known ? S_OK : E_NOINTERFACE;
}

/* It lives as long as the process. */
static ULONG STDMETHODCALLTYPE count(IDispatch *self)
{
    (void)self;
    return 1;
}

static HRESULT STDMETHODCALLTYPE get_count(IDispatch *self, UINT *out)
{
    (void)self;
    *out = 0;
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE get_info(IDispatch *self, UINT index, LCID locale, ITypeInfo **out)
{
    (void)self, (void)index, (void)locale;
    *out = NULL;
    return DISP_E_BADINDEX;
}

/* The numbers are known to both sides. */
static HRESULT STDMETHODCALLTYPE get_ids(IDispatch *self, REFIID reserved, LPOLESTR *names,
                                         UINT name_count, LCID locale, DISPID *ids)
{
    (void)self, (void)reserved, (void)names, (void)locale;
    for (UINT i = 0; i < name_count; i++)
        ids[i] = DISPID_UNKNOWN;
    return DISP_E_UNKNOWNNAME;
}

static IDispatchVtbl methods = {query, count, count, get_count, get_info, get_ids, invoke};
static IDispatch object = {&methods};

static HRESULT enter_table(unsigned long long cookie, DWORD *entry)
{
    WCHAR item[NAME_CHARS];
    IRunningObjectTable *table = NULL;
    IMoniker *moniker = NULL;
    HRESULT result;

    name_of(item, L"", cookie);
    result = CreateItemMoniker(L"!", item, &moniker);
    if (SUCCEEDED(result))
        result = GetRunningObjectTable(0, &table);
    if (SUCCEEDED(result))
        result = IRunningObjectTable_Register(table, ROTFLAGS_REGISTRATIONKEEPSALIVE,
                                              (IUnknown *)&object, moniker, entry);
    if (table != NULL)
        IRunningObjectTable_Release(table);
    if (moniker != NULL)
        IMoniker_Release(moniker);
    return result;
}

static void pump(HANDLE dispatcher)
{
    MSG message;

    while (MsgWaitForMultipleObjects(1, &dispatcher, FALSE, INFINITE, QS_ALLINPUT) !=
           WAIT_OBJECT_0) {
        while (PeekMessageW(&message, NULL, 0, 0, PM_REMOVE)) {
            TranslateMessage(&message);
            DispatchMessageW(&message);
        }
    }
}

static int serve(unsigned long long cookie, DWORD dispatcher_pid)
{
    HANDLE dispatcher = OpenProcess(SYNCHRONIZE, FALSE, dispatcher_pid), ready;
    WCHAR name[NAME_CHARS];
    DWORD entry;

    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
    name_of(name, L"Local\\", cookie);
    ready = OpenEventW(EVENT_MODIFY_STATE, FALSE, name);
    if (dispatcher == NULL || ready == NULL ||
        FAILED(CoInitializeEx(NULL, COINIT_APARTMENTTHREADED)) ||
        FAILED(enter_table(cookie, &entry)))
        return 1;
    SetEvent(ready);
    CloseHandle(ready);
    pump(dispatcher);
    return 0;
}

static int main_if_worker(int argc, char **argv)
{
    if (argc != 4 || strcmp(argv[1], MARK) != 0)
        return -1;
    return serve(strtoull(argv[2], NULL, 16), (DWORD)strtoul(argv[3], NULL, 10));
}

/* ---- the dispatcher -------------------------------------------------------------------------- */

static HANDLE process;
static DWORD process_id;
static IDispatch *proxy;

static bool fails(const char *what, HRESULT result)
{
    char why[40];

    snprintf(why, sizeof why, "0x%08lx", (unsigned long)result);
    return side_complain("bare design", what, why);
}

static bool create(unsigned long long cookie)
{
    char path[MAX_PATH], command[MAX_PATH + 100];
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION made;

    if (!side_own_path(path, sizeof path))
        return fails("own path", 0);
    snprintf(command, sizeof command, "\"%s\" " MARK " %llx %lu", path, cookie,
             (unsigned long)GetCurrentProcessId());
    if (!CreateProcessA(path, command, NULL, NULL, FALSE, CREATE_NO_WINDOW, NULL, NULL, &startup,
                        &made))
        return fails("CreateProcess", HRESULT_FROM_WIN32(GetLastError()));
    CloseHandle(made.hThread);
    process = made.hProcess;
    process_id = made.dwProcessId;
    return true;
}

static bool find_object(unsigned long long cookie)
{
    WCHAR item[NAME_CHARS];
    IRunningObjectTable *table = NULL;
    IMoniker *moniker = NULL;
    IUnknown *unknown = NULL;
    HRESULT result;

    name_of(item, L"", cookie);
    result = CreateItemMoniker(L"!", item, &moniker);
    if (SUCCEEDED(result))
        result = GetRunningObjectTable(0, &table);
    if (SUCCEEDED(result))
        result = IRunningObjectTable_GetObject(table, moniker, &unknown);
    if (SUCCEEDED(result))
        result = IUnknown_QueryInterface(unknown, &IID_IDispatch, (void **)&proxy);
    if (unknown != NULL)
        IUnknown_Release(unknown);
    if (table != NULL)
        IRunningObjectTable_Release(table);
    if (moniker != NULL)
        IMoniker_Release(moniker);
    return SUCCEEDED(result) || fails("the worker's object", result);
}

static bool start(void)
{
    static unsigned count_of_starts;
    unsigned long long cookie = (unsigned long long)GetCurrentProcessId() << 32 | ++count_of_starts;
    WCHAR name[NAME_CHARS];
    HANDLE either[2];
    bool started = false;

    name_of(name, L"Local\\", cookie);
    either[1] = CreateEventW(NULL, TRUE, FALSE, name);
    if (either[1] != NULL && create(cookie)) {
        either[0] = process;
        started = WaitForMultipleObjects(2, either, FALSE, START_MS) == WAIT_OBJECT_0 + 1 &&
                  find_object(cookie);
    }
    CloseHandle(either[1]);
    return started || fails("the worker does not start", 0);
}

/* Ends what is left of it. */
static void stop(void)
{
    if (proxy != NULL)
        IDispatch_Release(proxy);
    if (process != NULL) {
        TerminateProcess(process, 0);
        WaitForSingleObject(process, INFINITE);
        CloseHandle(process);
    }
    proxy = NULL;
    process = NULL;
}

static HRESULT call(enum method id, VARIANT *arguments, UINT argument_count, VARIANT *result)
{
    DISPPARAMS parameters = {.rgvarg = arguments, .cArgs = argument_count};
    EXCEPINFO exception = {0};

    VariantInit(result);
    return IDispatch_Invoke(proxy, (DISPID)id, &no_interface, 0, DISPATCH_METHOD, &parameters,
                            result, &exception, NULL);
}

static bool is_reply(const VARIANT *result)
{
    bool good = false;
    VARIANT *items;

    if (V_VT(result) != (VT_ARRAY | VT_VARIANT) ||
        FAILED(SafeArrayAccessData(V_ARRAY(result), (void **)&items)))
        return false;
    if (V_ARRAY(result)->rgsabound[0].cElements == 2 && V_VT(&items[0]) == VT_I8 &&
        V_VT(&items[1]) == VT_BSTR)
        good =
            V_I8(&items[0]) == SIDE_W1_REPLY && SysStringLen(V_BSTR(&items[1])) == SIDE_W1_LENGTH;
    SafeArrayUnaccessData(V_ARRAY(result));
    return good;
}

static bool small_call(void)
{
    VARIANT arguments[3], result;

    V_VT(&arguments[2]) = VT_I8;
    V_I8(&arguments[2]) = SIDE_W1_NUMBER;
    V_VT(&arguments[1]) = VT_R8;
    V_R8(&arguments[1]) = SIDE_W1_REAL;
    V_VT(&arguments[0]) = VT_BSTR;
    V_BSTR(&arguments[0]) = SysAllocString(L"" SIDE_W1_TEXT);
    HRESULT end = call(METHOD_SMALL, arguments, 3, &result);
    bool good = end == S_OK && is_reply(&result);
    VariantClear(&arguments[0]);
    VariantClear(&result);
    return good || fails("a small call", end);
}

static bool send_bytes(const uint8_t *bytes, size_t size, uint64_t sum)
{
    VARIANT argument = bytes_of(bytes, size), result;
    HRESULT end = call(METHOD_SUM, &argument, 1, &result);
    bool good = end == S_OK && V_VT(&result) == VT_I8 && (uint64_t)V_I8(&result) == sum;

    VariantClear(&argument);
    VariantClear(&result);
    return good || fails("sending bytes", end);
}

static bool echo(const uint8_t *bytes, size_t size)
{
    VARIANT argument = bytes_of(bytes, size), result;
    HRESULT end = call(METHOD_ECHO, &argument, 1, &result);
    size_t length = 0;
    const uint8_t *back = end == S_OK ? bytes_in(&result, &length) : NULL;
    bool good = back != NULL && length == size && side_same(back, bytes, size);

    if (back != NULL)
        bytes_done(&result);
    VariantClear(&argument);
    VariantClear(&result);
    return good || fails("an echo", end);
}

static double die(enum side_death how)
{
    struct side_killer killer = {0};
    VARIANT argument, result;
    double begin, end;

    VariantInit(&argument);
    if (how == SIDE_KILLED) {
        WCHAR name[NAME_CHARS];
        if (!side_killer_start(&killer, process_id)) {
            fails("the killer", 0);
            return -1;
        }
        swprintf(name, NAME_CHARS, L"%hs", killer.name);
        V_VT(&argument) = VT_BSTR;
        V_BSTR(&argument) = SysAllocString(name);
    }
    begin = side_now_us();
    HRESULT status = how == SIDE_KILLED ? call(METHOD_HANG, &argument, 1, &result)
                                        : call(METHOD_FAULT, NULL, 0, &result);
    if (FAILED(status)) {
        TerminateProcess(process, 1); /* it may have outlived its fault */
        WaitForSingleObject(process, INFINITE);
    }
    end = side_now_us();
    if (how == SIDE_KILLED)
        begin = side_killer_join(&killer);
    VariantClear(&argument);
    VariantClear(&result);
    stop();
    if (!FAILED(status))
        fails("a death", status);
    return FAILED(status) && start() ? end - begin : -1;
}

static bool begin_to_serve(void)
{
    return start() && small_call();
}

const struct side side_bare = {
    .name = "bare design",
    .main_if_worker = main_if_worker,
    .open = begin_to_serve,
    .close = stop,
    .small_call = small_call,
    .send = send_bytes,
    .echo = echo,
    .die = die,
};
