/* SPDX-License-Identifier: MIT */
/*
 * The object that clients hold: an IDispatch, no more.
 *
 * Model: one object, as old as the process. Its count starts at one, for itself; COM's stub adds
 * its own while somebody outside holds a reference or the Running Object Table has an entry. So a
 * count of one means that nobody does.
 *
 * Invariants: every method but AddRef and Release runs on the serving thread. No type information:
 * a client asks for names, and calls.
 */
#include "worker_end.h"

struct object {
    IDispatch base; /* first */
    LONG count;     /* interlocked */
};

static HRESULT STDMETHODCALLTYPE query_interface(IDispatch *self, REFIID interface_id, void **out)
{
    if (out == NULL)
        return E_POINTER;
    *out = NULL;
    if (!IsEqualIID(interface_id, &IID_IUnknown) && !IsEqualIID(interface_id, &IID_IDispatch))
        return E_NOINTERFACE;
    IDispatch_AddRef(self);
    *out = self;
    return S_OK;
}

static ULONG STDMETHODCALLTYPE add_reference(IDispatch *self)
{
    return (ULONG)InterlockedIncrement(&((struct object *)self)->count);
}

static ULONG STDMETHODCALLTYPE release(IDispatch *self)
{
    return (ULONG)InterlockedDecrement(&((struct object *)self)->count);
}

static HRESULT STDMETHODCALLTYPE get_type_info_count(IDispatch *self, UINT *count)
{
    (void)self;
    if (count == NULL)
        return E_POINTER;
    *count = 0;
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE get_type_info(IDispatch *self, UINT index, LCID locale,
                                               ITypeInfo **out)
{
    (void)self, (void)index, (void)locale;
    if (out != NULL)
        *out = NULL;
    return DISP_E_BADINDEX;
}

/* The first name is a method's; those after it would be its parameters', which have none. */
static HRESULT STDMETHODCALLTYPE get_ids(IDispatch *self, REFIID reserved, LPOLESTR *names,
                                         UINT count, LCID locale, DISPID *ids)
{
    int32_t position;

    (void)self, (void)reserved, (void)locale;
    if (names == NULL || ids == NULL || count == 0)
        return E_INVALIDARG;
    for (UINT i = 0; i < count; i++)
        ids[i] = DISPID_UNKNOWN;
    position = names[0] == NULL ? -1 : bhw_worker_methods_find(names[0]);
    if (position >= 0)
        ids[0] = position + 1;
    return position < 0 || count > 1 ? DISP_E_UNKNOWNNAME : S_OK;
}

static HRESULT STDMETHODCALLTYPE invoke(IDispatch *self, DISPID id, REFIID reserved, LCID locale,
                                        WORD flags, DISPPARAMS *parameters, VARIANT *result,
                                        EXCEPINFO *exception, UINT *bad_argument)
{
    struct bhw_worker_invocation invocation = {
        .id = id,
        .locale = locale,
        .flags = flags,
        .parameters = parameters,
        .result = result,
        .exception = exception,
    };

    (void)self, (void)reserved, (void)bad_argument;
    return parameters == NULL ? E_INVALIDARG : bhw_worker_invoke(&invocation);
}

static IDispatchVtbl methods = {
    .QueryInterface = query_interface,
    .AddRef = add_reference,
    .Release = release,
    .GetTypeInfoCount = get_type_info_count,
    .GetTypeInfo = get_type_info,
    .GetIDsOfNames = get_ids,
    .Invoke = invoke,
};

static struct object the_object = {.base = {.lpVtbl = &methods}, .count = 1};

IDispatch *bhw_worker_object(void)
{
    return &the_object.base;
}

bool bhw_worker_object_alone(void)
{
    return InterlockedCompareExchange(&the_object.count, 0, 0) <= 1;
}
