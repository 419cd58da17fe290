/* SPDX-License-Identifier: MIT */
/*
 * Does once what every use of COM between processes needs of Wine's services: a look into the
 * Running Object Table, and a call from one apartment into another. Nothing is changed by it. Exits
 * with 0 when that works; when a service hangs, so does this.
 */
#include <windows.h>
#include <objbase.h>

static IStream *parcel; /* an object of the other apartment, packed */
static HANDLE packed, done;

/* An apartment of its own, with an object in it. */
static DWORD WINAPI other_apartment(void *unused)
{
    IStream *object = NULL;
    MSG message;

    (void)unused;
    CoInitializeEx(NULL, COINIT_APARTMENTTHREADED);
    if (SUCCEEDED(CreateStreamOnHGlobal(NULL, TRUE, &object)))
        CoMarshalInterThreadInterfaceInStream(&IID_IStream, (IUnknown *)object, &parcel);
    SetEvent(packed);
    while (MsgWaitForMultipleObjects(1, &done, FALSE, INFINITE, QS_ALLINPUT) != WAIT_OBJECT_0) {
        while (PeekMessageW(&message, NULL, 0, 0, PM_REMOVE))
            DispatchMessageW(&message);
    }
    if (object != NULL)
        IStream_Release(object);
    CoUninitialize();
    return 0;
}

static HRESULT call_other_apartment(void)
{
    HANDLE thread = CreateThread(NULL, 0, other_apartment, NULL, 0, NULL);
    ULARGE_INTEGER size = {.QuadPart = 1};
    IStream *proxy;

    WaitForSingleObject(packed, INFINITE);
    HRESULT result = parcel == NULL
                         ? E_FAIL
                         : CoGetInterfaceAndReleaseStream(parcel, &IID_IStream, (void **)&proxy);
    if (SUCCEEDED(result)) {
        result = IStream_SetSize(proxy, size);
        IStream_Release(proxy);
    }
    SetEvent(done);
    WaitForSingleObject(thread, INFINITE);
    return result;
}

static HRESULT look_into_table(void)
{
    IRunningObjectTable *table;
    IMoniker *nobody;
    HRESULT result = GetRunningObjectTable(0, &table);

    if (SUCCEEDED(result))
        result = CreateItemMoniker(L"!", L"nobody is called so", &nobody);
    if (SUCCEEDED(result))
        result = IRunningObjectTable_IsRunning(table, nobody);
    return result == S_FALSE ? S_OK : E_FAIL;
}

int main(void)
{
    HRESULT result = CoInitializeEx(NULL, COINIT_MULTITHREADED);

    packed = CreateEventW(NULL, TRUE, FALSE, NULL);
    done = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (SUCCEEDED(result))
        result = look_into_table();
    if (SUCCEEDED(result))
        result = call_other_apartment();
    return SUCCEEDED(result) ? 0 : 1;
}
