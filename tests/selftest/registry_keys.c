/* SPDX-License-Identifier: MIT */
/*
 * Prints the registry's COM keys and their values, a line each, sorted. For registry.sh.
 *
 * usage: registry_keys         prints them
 *        registry_keys --com   uses COM as an empty program does, and prints nothing
 *        registry_keys --plant, --unplant  a key that a registration would leave
 */
#include "keys.h"

#include <windows.h>

#include <objbase.h>
#include <stdio.h>
#include <string.h>

#define PLANTED L"Software\\Classes\\CLSID\\{5D6A2B0E-5E1F-4E5C-9E0B-0C0FFEE0BEEF}"

static int use_com(void)
{
    IRunningObjectTable *table = NULL;
    HRESULT result = CoInitializeEx(NULL, COINIT_APARTMENTTHREADED);

    if (SUCCEEDED(result))
        result = GetRunningObjectTable(0, &table);
    if (table != NULL)
        table->lpVtbl->Release(table);
    CoUninitialize();
    return FAILED(result);
}

static int plant(void)
{
    HKEY key;

    if (RegCreateKeyW(HKEY_LOCAL_MACHINE, PLANTED, &key) != ERROR_SUCCESS)
        return 1;
    RegCloseKey(key);
    return 0;
}

static int print(void)
{
    struct keys keys;

    keys_read(&keys, true);
    for (size_t i = 0; i < keys.count; i++) {
        char line[4096];
        if (WideCharToMultiByte(CP_UTF8, 0, keys.names[i], -1, line, sizeof line, NULL, NULL) == 0)
            line[0] = '\0';
        puts(line);
    }
    bool good = keys.count > 0 && !keys.failed;
    keys_deinit(&keys);
    return good && fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return print();
    if (strcmp(argv[1], "--com") == 0)
        return use_com();
    if (strcmp(argv[1], "--plant") == 0)
        return plant();
    if (strcmp(argv[1], "--unplant") == 0)
        return RegDeleteKeyW(HKEY_LOCAL_MACHINE, PLANTED) != ERROR_SUCCESS;
    fprintf(stderr, "registry_keys: wrong argument %s\n", argv[1]);
    return 2;
}
