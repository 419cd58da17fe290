/* SPDX-License-Identifier: MIT */
/**
 * @file apartment.h
 * A second apartment in this process: a thread with a message loop and an object whose Invoke gives
 * its arguments back. Who calls it from the multithreaded apartment goes through the proxy that
 * Windows has for IDispatch, which marshals all VARIANTs both ways.
 */
#ifndef APARTMENT_H
#define APARTMENT_H

#include "check.h"

#include "platform/windows/variant.h"

#include <objbase.h>

/** What Invoke does. */
enum apartment_method {
    APARTMENT_VALUES = 1, /**< reads all arguments as values, and answers an array of them */
    APARTMENT_COPY = 2,   /**< answers with a copy of the last argument, whatever it is */
};

struct apartment {
    IDispatch object;
    HANDLE thread;
    DWORD thread_id;
    HANDLE ready;
    IStream *stream;
    IDispatch *proxy; /**< for the caller, who is in the multithreaded apartment */
    long calls;       /**< on the apartment's own thread */
};

static inline HRESULT STDMETHODCALLTYPE apartment_query(IDispatch *object, REFIID id, void **out)
{
    bool known = IsEqualIID(id, &IID_IUnknown) || IsEqualIID(id, &IID_IDispatch);

    *out = known ? object : NULL;
    return known ? S_OK : E_NOINTERFACE;
}

static inline ULONG STDMETHODCALLTYPE apartment_reference(IDispatch *object)
{
    (void)object;
    return 1;
}

static inline HRESULT STDMETHODCALLTYPE apartment_count(IDispatch *object, UINT *count)
{
    (void)object;
    *count = 0;
    return S_OK;
}

static inline HRESULT STDMETHODCALLTYPE apartment_info(IDispatch *object, UINT index, LCID locale,
                                                       ITypeInfo **out)
{
    (void)object;
    (void)index;
    (void)locale;
    *out = NULL;
    return E_NOTIMPL;
}

static inline HRESULT STDMETHODCALLTYPE apartment_names(IDispatch *object, REFIID id,
                                                        LPOLESTR *names, UINT count, LCID locale,
                                                        DISPID *out)
{
    (void)object;
    (void)id;
    (void)names;
    (void)count;
    (void)locale;
    (void)out;
    return E_NOTIMPL;
}

static inline HRESULT apartment_echo(const DISPPARAMS *given, VARIANT *result)
{
    const struct bh_value_limits limits = {256, 0, 0};
    bh_value values;

    int rc = bhw_values_from_arguments(&values, given->rgvarg, given->cArgs, &limits, NULL, NULL);
    if (rc == BH_OK)
        rc = bhw_variant_from_value(result, &values, NULL, NULL);
    bh_value_deinit(&values);
    return rc == BH_OK ? S_OK : E_FAIL;
}

static inline HRESULT STDMETHODCALLTYPE apartment_invoke(IDispatch *object, DISPID method,
                                                         REFIID id, LCID locale, WORD flags,
                                                         DISPPARAMS *given, VARIANT *result,
                                                         EXCEPINFO *exception, UINT *wrong)
{
    struct apartment *apartment = (struct apartment *)object;

    (void)id;
    (void)locale;
    (void)flags;
    (void)exception;
    (void)wrong;
    if (GetCurrentThreadId() == apartment->thread_id)
        apartment->calls++;
    return method == APARTMENT_VALUES ? apartment_echo(given, result)
                                      : VariantCopy(result, &given->rgvarg[0]);
}

static IDispatchVtbl apartment_vtbl = {
    .QueryInterface = apartment_query,
    .AddRef = apartment_reference,
    .Release = apartment_reference,
    .GetTypeInfoCount = apartment_count,
    .GetTypeInfo = apartment_info,
    .GetIDsOfNames = apartment_names,
    .Invoke = apartment_invoke,
};

static inline DWORD WINAPI apartment_main(void *argument)
{
    struct apartment *apartment = argument;
    MSG message;

    CoInitializeEx(NULL, COINIT_APARTMENTTHREADED);
    apartment->thread_id = GetCurrentThreadId();
    (void)CoMarshalInterThreadInterfaceInStream(&IID_IDispatch, (IUnknown *)&apartment->object,
                                                &apartment->stream);
    SetEvent(apartment->ready);
    while (GetMessageW(&message, NULL, 0, 0) > 0)
        DispatchMessageW(&message);
    CoUninitialize();
    return 0;
}

/** Opens it; the calling thread joins the multithreaded apartment. */
static inline void apartment_open(struct apartment *apartment)
{
    *apartment = (struct apartment){.object = {&apartment_vtbl}};
    CHECK(SUCCEEDED(CoInitializeEx(NULL, COINIT_MULTITHREADED)));
    apartment->ready = CreateEventW(NULL, FALSE, FALSE, NULL);
    apartment->thread = CreateThread(NULL, 0, apartment_main, apartment, 0, NULL);
    CHECK(apartment->thread != NULL);
    CHECK_INT(WaitForSingleObject(apartment->ready, 10000 * (DWORD)kit_slowdown()), WAIT_OBJECT_0);
    CHECK(apartment->stream != NULL);
    CHECK_INT(CoGetInterfaceAndReleaseStream(apartment->stream, &IID_IDispatch,
                                             (void **)&apartment->proxy),
              S_OK);
    CHECK(apartment->proxy != &apartment->object);
}

static inline void apartment_close(struct apartment *apartment)
{
    IDispatch_Release(apartment->proxy);
    PostThreadMessageW(apartment->thread_id, WM_QUIT, 0, 0);
    WaitForSingleObject(apartment->thread, INFINITE);
    CloseHandle(apartment->thread);
    CloseHandle(apartment->ready);
    CoUninitialize();
}

static inline HRESULT apartment_call(struct apartment *apartment, enum apartment_method method,
                                     VARIANT *arguments, UINT count, VARIANT *result)
{
    static const IID none; /* IID_NULL, which not every import library has */
    DISPPARAMS given = {arguments, NULL, count, 0};

    VariantInit(result);
    return IDispatch_Invoke(apartment->proxy, method, &none, LOCALE_NEUTRAL, DISPATCH_METHOD,
                            &given, result, NULL, NULL);
}

#endif
