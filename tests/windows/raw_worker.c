/* SPDX-License-Identifier: MIT */
/*
 * A worker made by hand from protocol.h, which breaks it as its first argument says. Nothing of the
 * library's own worker side is in it.
 *
 * "--script=NAME" or "--script=NAME:HEX". It has one method, "call".
 */
#include "handles.h"

#include "platform/windows/protocol.h"

#include <windows.h>
#include <objbase.h>
#include <oleauto.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct bhw_call_section *call_section;
static struct bhw_box_section *box;
static HANDLE bell, dispatcher, dumping;
static char script[64];
static unsigned long number;

static bool is_script(const char *name)
{
    return strcmp(script, name) == 0;
}

/* ---- VARIANTs -------------------------------------------------------------------------------- */

static VARIANT text(const WCHAR *content)
{
    VARIANT made = {.vt = VT_BSTR, .bstrVal = SysAllocString(content)};

    return made;
}

static VARIANT array_of(const VARIANT *items, ULONG count)
{
    VARIANT made = {.vt = VT_ARRAY | VT_VARIANT,
                    .parray = SafeArrayCreateVector(VT_VARIANT, 0, count)};

    for (LONG i = 0; i < (LONG)count; i++)
        SafeArrayPutElement(made.parray, &i, (void *)(uintptr_t)&items[i]);
    return made;
}

static VARIANT map_of(const WCHAR *key, VARIANT value)
{
    SAFEARRAYBOUND bounds[2] = {{1, 0}, {2, 0}};
    VARIANT made = {.vt = VT_ARRAY | VT_VARIANT, .parray = SafeArrayCreate(VT_VARIANT, 2, bounds)};
    VARIANT key_text = text(key);
    LONG at[2] = {0, 0};

    SafeArrayPutElement(made.parray, at, &key_text);
    at[1] = 1;
    SafeArrayPutElement(made.parray, at, &value);
    return made;
}

static VARIANT reference(ULONG type, ULONGLONG bytes, ULONGLONG name)
{
    SAFEARRAYBOUND bounds[3] = {{1, 0}, {1, 0}, {3, 0}};
    VARIANT made = {.vt = VT_ARRAY | VT_VARIANT, .parray = SafeArrayCreate(VT_VARIANT, 3, bounds)};
    VARIANT parts[3] = {{.vt = VT_UI1, .bVal = (BYTE)type},
                        {.vt = VT_UI8, .ullVal = bytes},
                        {.vt = VT_UI8, .ullVal = name}};
    LONG at[3] = {0, 0, 0};

    for (at[2] = 0; at[2] < 3; at[2]++)
        SafeArrayPutElement(made.parray, at, &parts[at[2]]);
    return made;
}

/* ---- what it answers ------------------------------------------------------------------------- */

static HRESULT answer_methods(const DISPPARAMS *parameters, VARIANT *result)
{
    VARIANT entry = map_of(L"name", text(L"call"));

    if (is_script("methods-hang"))
        Sleep(INFINITE);
    if (is_script("methods-crash"))
        TerminateProcess(GetCurrentProcess(), 0xC0000374);
    if (is_script("methods-fail"))
        return (HRESULT)number;
    if (!is_script("no-proof"))
        atomic_store(&box->greeted, parameters->rgvarg[0].ullVal);
    if (is_script("methods-number")) {
        result->vt = VT_I8;
    } else if (is_script("methods-nameless")) {
        entry = map_of(L"nome", text(L"call"));
        *result = array_of(&entry, 1);
    } else if (is_script("methods-twice")) {
        VARIANT two[] = {entry, entry};
        *result = array_of(two, 2);
    } else {
        *result = array_of(&entry, 1);
    }
    return S_OK;
}

/* A handle that is no plain memory. */
static HANDLE odd_handle(void)
{
    WCHAR path[MAX_PATH];

    if (is_script("blob-event"))
        return CreateEventW(NULL, FALSE, FALSE, NULL);
    if (is_script("blob-reserved"))
        return CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE | SEC_RESERVE, 0,
                                  1 << 20, NULL);
    if (is_script("blob-small"))
        return CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 4096, NULL);
    if (is_script("blob-file")) {
        GetModuleFileNameW(NULL, path, MAX_PATH);
        HANDLE file =
            CreateFileW(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
        return CreateFileMappingW(file, NULL, PAGE_READONLY, 0, 0, NULL);
    }
    if (is_script("blob-self"))
        return GetCurrentProcess();
    return (HANDLE)(uintptr_t)0x7ff0;
}

/* A reference into an arena that is announced as it should be, but for what the script says. */
static VARIANT blob(void)
{
    bool plain = is_script("blob-good") || is_script("blob-place") || is_script("blob-end") ||
                 is_script("blob-crooked") || is_script("blob-generation");
    ULONGLONG bytes = 1 << 20;
    ULONGLONG name = 1ULL << 40;
    HANDLE handle =
        plain ? CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 1 << 20, NULL)
              : odd_handle();

    if (is_script("blob-huge")) /* all right but for its size */
        handle = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 2, 0, NULL);
    if (is_script("blob-place"))
        name += 1ULL << 39;
    if (is_script("blob-end"))
        name += 64;
    if (is_script("blob-crooked"))
        name++, bytes -= 64;
    if (is_script("blob-generation"))
        name += 1ULL << 40;
    atomic_store(&box->reply.handle, (ULONGLONG)(uintptr_t)handle);
    atomic_store(&box->reply.generation, 1);
    return reference(7 /* bytes */, bytes, name);
}

/* One arena, then an answer that lies half in that and half in the next. */
static VARIANT two_blobs(void)
{
    static ULONGLONG calls;
    HANDLE handle =
        CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 1 << 20, NULL);
    VARIANT blobs[2] = {reference(7, 1 << 20, 1ULL << 40), reference(7, 1 << 20, 2ULL << 40)};

    atomic_store(&box->reply.handle, (ULONGLONG)(uintptr_t)handle);
    atomic_store(&box->reply.generation, (uint32_t)++calls);
    return array_of(blobs, calls == 1 ? 1 : 2);
}

/* As one whose dump is never done. */
static void hang_in_dump(void)
{
    box->fault.exception = EXCEPTION_ACCESS_VIOLATION;
    atomic_store(&box->fault.state, BHW_FAULT_COMPLETE);
    atomic_store(&box->dump, BHW_DUMP_BEGUN);
    SetEvent(dumping);
    Sleep(INFINITE);
}

/* ---- callbacks ------------------------------------------------------------------------------- */

static IDispatch *kept; /* of an earlier request */
static IGlobalInterfaceTable *interfaces;
static DWORD shared;
static LONG answered;

/* Calls back with these, the first last. */
static HRESULT call_back(IDispatch *lane, DISPID id, VARIANT *arguments, UINT count,
                         VARIANT *result)
{
    DISPPARAMS parameters = {.rgvarg = arguments, .cArgs = count};
    EXCEPINFO info = {0};

    VariantInit(result);
    return IDispatch_Invoke(lane, id, &IID_NULL, 0, DISPATCH_METHOD, &parameters, result, &info,
                            NULL);
}

static HRESULT call_by_name(IDispatch *lane, const WCHAR *name)
{
    VARIANT arguments[2] = {{.vt = VT_I8, .llVal = 7}, text(name)};
    VARIANT result;

    return call_back(lane, BHW_DISPID_CALLBACK, arguments, 2, &result);
}

/* Another apartment's thread. */
static DWORD WINAPI call_elsewhere(void *context)
{
    IDispatch *lane;

    CoInitializeEx(NULL, COINIT_MULTITHREADED);
    if (SUCCEEDED(IGlobalInterfaceTable_GetInterfaceFromGlobal(interfaces, shared, &IID_IDispatch,
                                                               (void **)&lane)))
        for (int i = 0; i < 10; i++)
            if (call_by_name(lane, context) == S_OK)
                InterlockedIncrement(&answered);
    return 0;
}

static void start_elsewhere(IDispatch *lane, const WCHAR *name, HANDLE threads[], int count)
{
    CoCreateInstance(&CLSID_StdGlobalInterfaceTable, NULL, CLSCTX_INPROC_SERVER,
                     &IID_IGlobalInterfaceTable, (void **)&interfaces);
    IGlobalInterfaceTable_RegisterInterfaceInGlobal(interfaces, (IUnknown *)lane, &IID_IDispatch,
                                                    &shared);
    for (int i = 0; i < count; i++)
        threads[i] = CreateThread(NULL, 0, call_elsewhere, (void *)(uintptr_t)name, 0, NULL);
}

/* What came of it, as a number. */
static LONGLONG use_lane(IDispatch *lane)
{
    VARIANT odd[2] = {{.vt = VT_I8, .llVal = 7}, {.vt = VT_I8, .llVal = 8}};
    VARIANT result;
    HANDLE threads[4];

    if (is_script("cb-number"))
        return call_back(lane, BHW_DISPID_CALLBACK, odd, 2, &result);
    if (is_script("cb-nothing"))
        return call_back(lane, BHW_DISPID_CALLBACK, NULL, 0, &result);
    if (is_script("cb-money")) {
        odd[0] = (VARIANT){.vt = VT_CY, .cyVal.int64 = 11000};
        odd[1] = text(L"echo");
        return call_back(lane, BHW_DISPID_CALLBACK, odd, 2, &result);
    }
    if (is_script("cb-other-id"))
        return call_back(lane, BHW_DISPID_CALLBACK + 1, odd, 2, &result);
    if (is_script("cb-endless"))
        for (;;)
            call_by_name(lane, L"echo");
    if (is_script("cb-late")) {
        LONGLONG late = kept != NULL ? call_by_name(kept, L"echo") : S_OK;
        for (int i = 0; i < 1000; i++)
            IDispatch_AddRef(lane);
        kept = lane;
        return late;
    }
    if (is_script("cb-threads")) {
        start_elsewhere(lane, L"echo", threads, 4);
        WaitForMultipleObjects(4, threads, TRUE, INFINITE);
        return answered;
    }
    if (is_script("cb-leave")) {
        start_elsewhere(lane, L"slow", threads, 1);
        while (!atomic_load(&call_section->nested)) /* the callback runs, and has called us */
            Sleep(1);
        return 5;
    }
    return call_by_name(lane, L"echo");
}

static HRESULT answer_call(const DISPPARAMS *parameters, VARIANT *result)
{
    uint64_t serial = atomic_load(&call_section->serial);

    if (is_script("unstarted"))
        return (HRESULT)number;
    atomic_store(&box->started, serial);
    if (is_script("fail"))
        return (HRESULT)number;
    if (is_script("dump-hangs"))
        hang_in_dump();
    if (is_script("reply-dispatch")) {
        result->vt = VT_CY;
        result->cyVal.int64 = 11000; /* 1.10: no value is exactly that */
    } else if (is_script("blob-two")) {
        *result = two_blobs();
    } else if (strncmp(script, "blob-", 5) == 0) {
        *result = blob();
    } else if (strncmp(script, "cb-", 3) == 0 && parameters->cArgs > 0 &&
               parameters->rgvarg[0].vt == VT_DISPATCH) {
        result->vt = VT_I8;
        result->llVal = use_lane(parameters->rgvarg[0].pdispVal);
    } else {
        result->vt = VT_I8;
        result->llVal = is_script("count-handles") ? rig_own_handles() : 42;
    }
    atomic_store(&box->committed, serial);
    return S_OK;
}

/* ---- the object ------------------------------------------------------------------------------ */

static HRESULT STDMETHODCALLTYPE query_interface(IDispatch *self, REFIID iid, void **out)
{
    bool known = IsEqualIID(iid, &IID_IUnknown) || IsEqualIID(iid, &IID_IDispatch);

    *out = known ? self : NULL;
    return known ? S_OK : E_NOINTERFACE;
}

static ULONG STDMETHODCALLTYPE count_reference(IDispatch *self)
{
    (void)self;
    return 2;
}

static HRESULT STDMETHODCALLTYPE get_count(IDispatch *self, UINT *count)
{
    (void)self;
    *count = 0;
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE get_info(IDispatch *self, UINT i, LCID locale, ITypeInfo **out)
{
    (void)self, (void)i, (void)locale;
    *out = NULL;
    return E_NOTIMPL;
}

static HRESULT STDMETHODCALLTYPE get_ids(IDispatch *self, REFIID reserved, LPOLESTR *names,
                                         UINT count, LCID locale, DISPID *ids)
{
    (void)self, (void)reserved, (void)names, (void)count, (void)locale;
    ids[0] = is_script("ids-other") ? 2 : 1;
    return is_script("ids-fail") ? (HRESULT)number : S_OK;
}

static HRESULT STDMETHODCALLTYPE invoke(IDispatch *self, DISPID id, REFIID reserved, LCID locale,
                                        WORD flags, DISPPARAMS *parameters, VARIANT *result,
                                        EXCEPINFO *exception, UINT *bad)
{
    (void)self, (void)reserved, (void)locale, (void)flags, (void)exception, (void)bad;
    return id == BHW_DISPID_METHODS ? answer_methods(parameters, result)
                                    : answer_call(parameters, result);
}

static IDispatchVtbl table = {query_interface, count_reference, count_reference, get_count,
                              get_info,        get_ids,         invoke};
static IDispatch object = {&table};

/* ---- the program ----------------------------------------------------------------------------- */

static void enter(const WCHAR *item)
{
    IRunningObjectTable *running;
    IMoniker *moniker;
    DWORD entry;

    if (FAILED(CreateItemMoniker(L"!", item, &moniker)) ||
        FAILED(GetRunningObjectTable(0, &running)) ||
        FAILED(IRunningObjectTable_Register(running, ROTFLAGS_REGISTRATIONKEEPSALIVE,
                                            (IUnknown *)&object, moniker, &entry)))
        exit(91);
}

static void pump(void)
{
    MSG message;

    while (GetMessageW(&message, NULL, 0, 0) > 0)
        DispatchMessageW(&message);
}

/* Another process, which is there first. */
static int squat(const char *item, const char *event)
{
    WCHAR wide[BHW_NAME_CHARS] = {0};
    HANDLE there = (HANDLE)(uintptr_t)strtoull(event, NULL, 16);
    static struct bhw_box_section nobodys;

    box = &nobodys;
    for (size_t i = 0; item[i] != '\0' && i + 1 < BHW_NAME_CHARS; i++)
        wide[i] = (unsigned char)item[i];
    CoInitializeEx(NULL, COINIT_APARTMENTTHREADED);
    enter(wide);
    SetEvent(there);
    pump();
    return 0;
}

static void let_squat(const char *self)
{
    SECURITY_ATTRIBUTES inheritable = {.nLength = sizeof(inheritable), .bInheritHandle = TRUE};
    HANDLE there = CreateEventW(&inheritable, TRUE, FALSE, NULL);
    STARTUPINFOA startup = {.cb = sizeof(startup)};
    PROCESS_INFORMATION made;
    char command[1024];

    snprintf(command, sizeof(command), "\"%s\" --squat %ls %llx", self,
             (const WCHAR *)call_section->item, (unsigned long long)(uintptr_t)there);
    if (!CreateProcessA(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &made) ||
        WaitForSingleObject(there, 20000) != WAIT_OBJECT_0)
        exit(92);
}

static void attach(void)
{
    unsigned long long handles[5];
    const char *channel = getenv(BHW_ENVIRONMENT);

    if (channel == NULL || sscanf(channel, "%llx,%llx,%llx,%llx,%llx", &handles[0], &handles[1],
                                  &handles[2], &handles[3], &handles[4]) != 5)
        exit(93);
    call_section = MapViewOfFile((HANDLE)(uintptr_t)handles[0], FILE_MAP_READ, 0, 0, 0);
    box = MapViewOfFile((HANDLE)(uintptr_t)handles[1], FILE_MAP_WRITE, 0, 0, 0);
    bell = (HANDLE)(uintptr_t)handles[2];
    dispatcher = (HANDLE)(uintptr_t)handles[3];
    dumping = (HANDLE)(uintptr_t)handles[4];
    if (call_section == NULL || box == NULL || call_section->magic != BHW_MAGIC)
        exit(94);
}

static void serve(void)
{
    HANDLE handles[] = {dispatcher, bell};
    MSG message;

    for (;;) {
        DWORD what = MsgWaitForMultipleObjects(2, handles, FALSE, INFINITE, QS_ALLINPUT);
        if (what == WAIT_OBJECT_0)
            exit(0);
        if (atomic_load(&call_section->quit)) {
            atomic_store(&box->quitting, 1);
            exit(0);
        }
        while (PeekMessageW(&message, NULL, 0, 0, PM_REMOVE))
            DispatchMessageW(&message);
    }
}

int main(int argc, char **argv)
{
    SetErrorMode(SEM_NOGPFAULTERRORBOX | SEM_FAILCRITICALERRORS);
    if (argc == 4 && strcmp(argv[1], "--squat") == 0)
        return squat(argv[2], argv[3]);
    if (argc < 3 || sscanf(argv[1], "--script=%63[^:]:%lx", script, &number) < 1)
        return 95;
    attach();
    CoInitializeEx(NULL, COINIT_APARTMENTTHREADED);
    if (is_script("squat"))
        let_squat(argv[0]);
    if (!is_script("no-object"))
        enter((const WCHAR *)call_section->item);
    if (is_script("exit-zero"))
        return 0;
    SetEvent(OpenEventW(EVENT_MODIFY_STATE, FALSE, (const WCHAR *)call_section->ready_event));
    if (is_script("exit-ready"))
        return 6;
    serve();
}
