/* SPDX-License-Identifier: MIT */
/*
 * Asks the service behind COM's Running Object Table a question that changes nothing. Exits with 0
 * when it answers; when it hangs, so does this.
 */
#include <windows.h>
#include <objbase.h>

int main(void)
{
    IRunningObjectTable *table;
    IMoniker *nobody;
    HRESULT result = CoInitializeEx(NULL, COINIT_MULTITHREADED);

    if (SUCCEEDED(result))
        result = GetRunningObjectTable(0, &table);
    if (SUCCEEDED(result))
        result = CreateItemMoniker(L"!", L"nobody is called so", &nobody);
    if (SUCCEEDED(result))
        result = IRunningObjectTable_IsRunning(table, nobody);
    return result == S_FALSE ? 0 : 1;
}
