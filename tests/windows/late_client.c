/* SPDX-License-Identifier: MIT */
/*
 * A late-bound client, in another process and without a header of Bulkhead's: it finds a worker
 * that stays in the Running Object Table, asks for a method by name and calls it with texts and
 * numbers.
 *
 *     late_client by-item|by-name ITEM METHOD [ARGUMENT...]
 *
 * Prints the reply as a text. An argument that begins with a digit is an integer. By item: it makes
 * the moniker itself; by name: it has the system parse "!ITEM", as scripts do. Status: 0, 1: the
 * method failed (prints its number and text), 2: no such object or method.
 */
#define COBJMACROS
#include <windows.h>
#include <objbase.h>
#include <oleauto.h>

#include <stdio.h>
#include <wchar.h>

#define ARGUMENTS_MAX 8

static int give_up(const char *what, HRESULT result)
{
    printf("%s: %08lx\n", what, (unsigned long)result);
    return 2;
}

static HRESULT find_by_item(const WCHAR *item, IUnknown **out)
{
    IRunningObjectTable *table = NULL;
    IMoniker *moniker = NULL;
    HRESULT result = CreateItemMoniker(L"!", item, &moniker);

    if (SUCCEEDED(result))
        result = GetRunningObjectTable(0, &table);
    if (SUCCEEDED(result))
        result = IRunningObjectTable_GetObject(table, moniker, out);
    if (table != NULL)
        IRunningObjectTable_Release(table);
    if (moniker != NULL)
        IMoniker_Release(moniker);
    return result;
}

static HRESULT find_by_name(const WCHAR *item, IUnknown **out)
{
    WCHAR name[300];
    IBindCtx *context = NULL;
    IMoniker *moniker = NULL;
    ULONG eaten;
    HRESULT result = CreateBindCtx(0, &context);

    swprintf(name, sizeof name / sizeof *name, L"!%ls", item);
    if (SUCCEEDED(result))
        result = MkParseDisplayName(context, name, &eaten, &moniker);
    if (SUCCEEDED(result))
        result = IMoniker_BindToObject(moniker, context, NULL, &IID_IUnknown, (void **)out);
    if (moniker != NULL)
        IMoniker_Release(moniker);
    if (context != NULL)
        IBindCtx_Release(context);
    return result;
}

/* The last comes first. */
static unsigned read_arguments(WCHAR **texts, int count, VARIANT *arguments)
{
    if (count > ARGUMENTS_MAX)
        count = ARGUMENTS_MAX;
    for (int i = 0; i < count; i++) {
        VARIANT *argument = &arguments[count - 1 - i];

        VariantInit(argument);
        if (texts[i][0] >= L'0' && texts[i][0] <= L'9') {
            V_VT(argument) = VT_I4;
            V_I4(argument) = (LONG)wcstol(texts[i], NULL, 10);
        } else {
            V_VT(argument) = VT_BSTR;
            V_BSTR(argument) = SysAllocString(texts[i]);
        }
    }
    return (unsigned)count;
}

static int show(HRESULT result, VARIANT *reply, const EXCEPINFO *exception)
{
    VARIANT text;

    VariantInit(&text);
    if (result == DISP_E_EXCEPTION) {
        printf("failed: %ld %ls\n", (long)exception->scode,
               exception->bstrDescription == NULL ? L"" : exception->bstrDescription);
        return 1;
    }
    if (FAILED(result))
        return give_up("Invoke", result);
    result = VariantChangeType(&text, reply, 0, VT_BSTR);
    if (FAILED(result))
        printf("type %u\n", V_VT(reply));
    else
        printf("%ls\n", V_BSTR(&text) == NULL ? L"" : V_BSTR(&text));
    return 0;
}

static int call(IDispatch *object, WCHAR *method, WCHAR **texts, int count)
{
    VARIANT arguments[ARGUMENTS_MAX], reply;
    DISPPARAMS parameters = {arguments, NULL, 0, 0};
    EXCEPINFO exception = {0};
    DISPID id;
    HRESULT result =
        IDispatch_GetIDsOfNames(object, &IID_NULL, &method, 1, LOCALE_USER_DEFAULT, &id);

    if (FAILED(result))
        return give_up("GetIDsOfNames", result);
    VariantInit(&reply);
    parameters.cArgs = read_arguments(texts, count, arguments);
    result = IDispatch_Invoke(object, id, &IID_NULL, LOCALE_USER_DEFAULT, DISPATCH_METHOD,
                              &parameters, &reply, &exception, NULL);
    return show(result, &reply, &exception);
}

int wmain(int argc, WCHAR **argv);
int wmain(int argc, WCHAR **argv)
{
    IUnknown *unknown = NULL;
    IDispatch *object = NULL;
    HRESULT result;
    int status;

    if (argc < 4)
        return 2;
    result = CoInitializeEx(NULL, COINIT_APARTMENTTHREADED);
    if (SUCCEEDED(result))
        result = wcscmp(argv[1], L"by-name") == 0 ? find_by_name(argv[2], &unknown)
                                                  : find_by_item(argv[2], &unknown);
    if (result != S_OK || unknown == NULL)
        return give_up("not in the table", result);
    result = IUnknown_QueryInterface(unknown, &IID_IDispatch, (void **)&object);
    IUnknown_Release(unknown);
    if (FAILED(result))
        return give_up("no IDispatch", result);
    status = call(object, argv[3], argv + 4, argc - 4);
    IDispatch_Release(object);
    CoUninitialize();
    return status;
}
