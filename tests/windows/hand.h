/* SPDX-License-Identifier: MIT */
/**
 * @file hand.h
 * A dispatcher made by hand: it starts one worker, talks protocol.h with it and looks at what it
 * leaves behind. For tests of the worker's side alone; nothing of the dispatcher's is in it.
 */
#ifndef BH_TEST_HAND_H
#define BH_TEST_HAND_H

#ifndef COBJMACROS
#define COBJMACROS
#endif

#include "create_process.h"
#include "check.h"

#include "platform/windows/protocol.h"

#include <windows.h>
#include <objbase.h>
#include <oleauto.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define HAND_COOKIE 4711u
#define HAND_WAIT_MS 20000u

struct hand_options {
    const char *program;      /* "probe_worker.exe", in the tests' directory */
    const char *arguments;    /* between the program and the ticket; "" for none */
    HANDLE dispatcher;        /* a process that stands in for this one; NULL: this one */
    uint64_t max_reply_bytes; /* 0: 64 MiB */
    uint32_t keep_registered;
    uint32_t rearm;
    uint32_t blob_bytes;
    const WCHAR *dump_path;
    bool wrong_cookie; /* in the call section */
    bool wrong_version;
};

struct hand {
    HANDLE call_section, box_section, bell, ready, dumping, process, job, output;
    struct bhw_call_section *call;
    volatile struct bhw_box_section *box;
    IDispatch *object;
    DWORD pid;
    uint64_t serial;
};

/* What a call came to. */
struct hand_reply {
    HRESULT result;
    VARIANT value;
    EXCEPINFO exception;
};

/* ---- starting -------------------------------------------------------------------------------- */

static inline HANDLE hand_inherit(HANDLE handle, DWORD access)
{
    HANDLE copy = NULL;

    CHECK(
        DuplicateHandle(GetCurrentProcess(), handle, GetCurrentProcess(), &copy, access, TRUE, 0));
    return copy;
}

static inline HANDLE hand_section(size_t size, void **view)
{
    HANDLE section =
        CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, (DWORD)size, NULL);

    CHECK(section != NULL);
    *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, size);
    CHECK(*view != NULL);
    return section;
}

static inline void hand_make_sections(struct hand *hand, const struct hand_options *options)
{
    static unsigned count;
    WCHAR name[BHW_NAME_CHARS];
    void *view;

    hand->call_section = hand_section(sizeof *hand->call, &view);
    hand->call = view;
    hand->box_section = hand_section(sizeof *hand->box, &view);
    hand->box = view;
    hand->call->magic = BHW_MAGIC;
    hand->call->version = options->wrong_version ? BHW_VERSION + 1 : BHW_VERSION;
    hand->call->cookie = options->wrong_cookie ? HAND_COOKIE + 1 : HAND_COOKIE;
    hand->call->dispatcher_pid =
        options->dispatcher == NULL ? GetCurrentProcessId() : GetProcessId(options->dispatcher);
    hand->call->max_request_bytes = 64 << 20;
    hand->call->max_reply_bytes =
        options->max_reply_bytes == 0 ? 64 << 20 : options->max_reply_bytes;
    hand->call->keep_registered = options->keep_registered;
    hand->call->rearm = options->rearm;
    hand->call->blob_bytes = options->blob_bytes;
    if (options->dump_path != NULL)
        memcpy(hand->call->dump_path, options->dump_path,
               (wcslen(options->dump_path) + 1) * sizeof(WCHAR));
    swprintf(name, BHW_NAME_CHARS, L"bulkhead-test-%lu-%u-%lu", GetCurrentProcessId(), ++count,
             GetTickCount());
    memcpy(hand->call->item, name, sizeof name);
    swprintf(name, BHW_NAME_CHARS, L"Local\\bulkhead-test-%lu-%u-%lu", GetCurrentProcessId(), count,
             GetTickCount());
    memcpy(hand->call->ready_event, name, sizeof name);
    hand->ready = CreateEventW(NULL, TRUE, FALSE, name);
    hand->bell = CreateEventW(NULL, FALSE, FALSE, NULL);
    hand->dumping = CreateEventW(NULL, TRUE, FALSE, NULL);
    CHECK(hand->ready != NULL && hand->bell != NULL);
}

static inline HANDLE hand_stand_in(const struct hand_options *options)
{
    HANDLE self = options->dispatcher;

    return hand_inherit(self == NULL ? GetCurrentProcess() : self, SYNCHRONIZE);
}

/* The child's standard handles: nothing to read, all output into one pipe. */
static inline HANDLE hand_pipe(struct hand *hand, STARTUPINFOA *startup)
{
    SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
    HANDLE end;

    CHECK(CreatePipe(&hand->output, &end, &inherit, 1 << 16));
    SetHandleInformation(hand->output, HANDLE_FLAG_INHERIT, 0);
    startup->cb = sizeof *startup;
    startup->dwFlags = STARTF_USESTDHANDLES;
    startup->hStdInput = CreateFileA("NUL", GENERIC_READ, 0, &inherit, OPEN_EXISTING, 0, NULL);
    startup->hStdOutput = end;
    startup->hStdError = end;
    return end;
}

/* Starts the worker; returns when its process runs. */
static inline void hand_start(struct hand *hand, const struct hand_options *options)
{
    HANDLE call, box, bell, dispatcher, dumping, end;
    STARTUPINFOA startup = {0};
    PROCESS_INFORMATION process;
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    char text[160], command[1024];

    memset(hand, 0, sizeof *hand);
    hand_make_sections(hand, options);
    call = hand_inherit(hand->call_section, FILE_MAP_READ);
    box = hand_inherit(hand->box_section, FILE_MAP_READ | FILE_MAP_WRITE);
    bell = hand_inherit(hand->bell, SYNCHRONIZE);
    dispatcher = hand_stand_in(options);
    dumping = hand_inherit(hand->dumping, EVENT_MODIFY_STATE);
    snprintf(text, sizeof text, "%llx,%llx,%llx,%llx,%llx", (unsigned long long)(uintptr_t)call,
             (unsigned long long)(uintptr_t)box, (unsigned long long)(uintptr_t)bell,
             (unsigned long long)(uintptr_t)dispatcher, (unsigned long long)(uintptr_t)dumping);
    CHECK(SetEnvironmentVariableA(BHW_ENVIRONMENT, text));
    end = hand_pipe(hand, &startup);
    snprintf(command, sizeof command, "\"%s\" %s " BHW_ARGUMENT "test,%u,%llu", options->program,
             options->arguments == NULL ? "" : options->arguments, HAND_COOKIE,
             (unsigned long long)hand->call->dispatcher_pid);
    if (!kit_create_process(options->program, command, TRUE, CREATE_SUSPENDED, &startup, &process))
        FAIL("cannot start %s: %lu", options->program, GetLastError());
    hand->job = CreateJobObjectW(NULL, NULL);
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    SetInformationJobObject(hand->job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
    AssignProcessToJobObject(hand->job, process.hProcess);
    ResumeThread(process.hThread);
    CloseHandle(process.hThread);
    CloseHandle(startup.hStdInput);
    CloseHandle(end);
    CloseHandle(call);
    CloseHandle(box);
    CloseHandle(bell);
    CloseHandle(dispatcher);
    CloseHandle(dumping);
    SetEnvironmentVariableA(BHW_ENVIRONMENT, NULL);
    hand->process = process.hProcess;
    hand->pid = process.dwProcessId;
}

/* ---- binding --------------------------------------------------------------------------------- */

static inline HRESULT hand_find(const struct hand *hand, IDispatch **object)
{
    IRunningObjectTable *table = NULL;
    IMoniker *moniker = NULL;
    IUnknown *unknown = NULL;
    HRESULT result = CreateItemMoniker(L"!", (const WCHAR *)hand->call->item, &moniker);

    *object = NULL;
    if (SUCCEEDED(result))
        result = GetRunningObjectTable(0, &table);
    if (SUCCEEDED(result))
        result = IRunningObjectTable_GetObject(table, moniker, &unknown);
    if (result != S_OK)
        unknown = NULL;
    if (unknown != NULL) {
        result = IUnknown_QueryInterface(unknown, &IID_IDispatch, (void **)object);
        IUnknown_Release(unknown);
    }
    if (table != NULL)
        IRunningObjectTable_Release(table);
    if (moniker != NULL)
        IMoniker_Release(moniker);
    return result;
}

/* Waits until the worker is ready. @return whether that came before its end */
static inline bool hand_is_ready(struct hand *hand)
{
    HANDLE handles[] = {hand->ready, hand->process};
    DWORD woken = WaitForMultipleObjects(2, handles, FALSE, HAND_WAIT_MS);

    CHECK(woken != WAIT_TIMEOUT);
    return woken == WAIT_OBJECT_0;
}

/* Takes the object, and lets the worker leave the table if it wants to. */
static inline void hand_bind(struct hand *hand)
{
    CHECK(hand_is_ready(hand));
    CHECK_INT(hand_find(hand, &hand->object), S_OK);
    CHECK(hand->object != NULL);
    atomic_store(&hand->call->bound, 1);
    SetEvent(hand->bell);
}

/* Starts a worker and takes its object. */
static inline void hand_open(struct hand *hand, const struct hand_options *options)
{
    hand_start(hand, options);
    hand_bind(hand);
}

/* ---- calling --------------------------------------------------------------------------------- */

/* An Invoke as anybody would make it. `arguments` in DISPPARAMS order: the last first. */
static inline void hand_invoke(IDispatch *object, DISPID id, LCID locale, VARIANT *arguments,
                               unsigned count, struct hand_reply *reply)
{
    DISPPARAMS parameters = {arguments, NULL, count, 0};

    memset(reply, 0, sizeof *reply);
    reply->result = IDispatch_Invoke(object, id, &IID_NULL, locale, DISPATCH_METHOD, &parameters,
                                     &reply->value, &reply->exception, NULL);
}

static inline DISPID hand_id(IDispatch *object, const WCHAR *name)
{
    LPOLESTR names[] = {(LPOLESTR)(uintptr_t)name};
    DISPID id = DISPID_UNKNOWN;

    return IDispatch_GetIDsOfNames(object, &IID_NULL, names, 1, LOCALE_NEUTRAL, &id) == S_OK
               ? id
               : DISPID_UNKNOWN;
}

/* A request with a serial of its own. */
static inline void hand_call_all(struct hand *hand, const WCHAR *method, VARIANT *arguments,
                                 unsigned count, struct hand_reply *reply)
{
    DISPID id = hand_id(hand->object, method);

    CHECK(id != DISPID_UNKNOWN);
    atomic_store(&hand->call->serial, ++hand->serial);
    hand_invoke(hand->object, id, BHW_LCID, arguments, count, reply);
    atomic_store(&hand->call->received, hand->serial);
}

static inline void hand_call(struct hand *hand, const WCHAR *method, struct hand_reply *reply)
{
    hand_call_all(hand, method, NULL, 0, reply);
}

/* With one text as its argument. */
static inline void hand_call_text(struct hand *hand, const WCHAR *method, const WCHAR *text,
                                  struct hand_reply *reply)
{
    VARIANT argument = {0};

    V_VT(&argument) = VT_BSTR;
    V_BSTR(&argument) = SysAllocString(text);
    hand_call_all(hand, method, &argument, 1, reply);
    VariantClear(&argument);
}

static inline void hand_reply_free(struct hand_reply *reply)
{
    VariantClear(&reply->value);
    SysFreeString(reply->exception.bstrSource);
    SysFreeString(reply->exception.bstrDescription);
    SysFreeString(reply->exception.bstrHelpFile);
    memset(reply, 0, sizeof *reply);
}

/* The worker answers a call, and it is this number. */
static inline void hand_check_number(struct hand_reply *reply, int64_t number)
{
    VARIANT wide = {0};

    CHECK_INT(reply->result, S_OK);
    CHECK_INT(VariantChangeType(&wide, &reply->value, 0, VT_I8), S_OK);
    CHECK_INT(V_I8(&wide), number);
    hand_reply_free(reply);
}

/* ---- ending ---------------------------------------------------------------------------------- */

/* Waits for the worker's end. @return its exit code */
static inline DWORD hand_end(struct hand *hand)
{
    DWORD code = 0;

    CHECK_INT(WaitForSingleObject(hand->process, HAND_WAIT_MS), WAIT_OBJECT_0);
    CHECK(GetExitCodeProcess(hand->process, &code));
    return code;
}

static inline void hand_quit(struct hand *hand)
{
    atomic_store(&hand->call->quit, 1);
    SetEvent(hand->bell);
}

/* What the worker has written, after its end; NUL-terminated, cut to fit. */
static inline const char *hand_output(struct hand *hand)
{
    static char text[8192];
    DWORD used = 0, got;

    while (used < sizeof text - 1 &&
           ReadFile(hand->output, text + used, (DWORD)(sizeof text - 1 - used), &got, NULL) &&
           got > 0)
        used += got;
    text[used] = '\0';
    return text;
}

static inline void hand_release(struct hand *hand)
{
    if (hand->object != NULL)
        IDispatch_Release(hand->object);
    hand->object = NULL;
}

/* Ends what is left. */
static inline void hand_close(struct hand *hand)
{
    TerminateProcess(hand->process, 1);
    WaitForSingleObject(hand->process, HAND_WAIT_MS);
    hand_release(hand);
    UnmapViewOfFile(hand->call);
    UnmapViewOfFile((void *)(uintptr_t)hand->box);
    CloseHandle(hand->call_section);
    CloseHandle(hand->box_section);
    CloseHandle(hand->bell);
    CloseHandle(hand->ready);
    CloseHandle(hand->dumping);
    CloseHandle(hand->process);
    CloseHandle(hand->job);
    CloseHandle(hand->output);
}

#endif
