/* SPDX-License-Identifier: MIT */
/*
 * Loading a plug-in with LoadLibrary().
 *
 * Model: the loader finds what the plug-in needs in the plug-in's own folder, not the host's
 * (altered search path, which needs an absolute path). A plug-in that lacks something fails to
 * start, with the system's word for it. It is never unloaded: it may have threads and atexit hooks.
 * Its path is taken from the command line itself: main() got it in a code page that cannot say
 * everything.
 *
 * Invariants: no dialog about a missing DLL, which nobody would see in a process without a desktop:
 * the error mode is set before anything is loaded.
 */
#include "plugin.h"

#include <windows.h>

#include <shellapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The program's first argument, the plug-in, made absolute. To be freed; NULL: there is none. */
static WCHAR *find_path(void)
{
    int count;
    WCHAR **words = CommandLineToArgvW(GetCommandLineW(), &count);
    DWORD room = words != NULL && count > 1 ? GetFullPathNameW(words[1], 0, NULL, NULL) : 0;
    WCHAR *path = room > 0 ? malloc(room * sizeof *path) : NULL;

    if (path != NULL)
        GetFullPathNameW(words[1], room, path, NULL);
    LocalFree(words);
    return path;
}

static HMODULE open_library(void)
{
    WCHAR *path = find_path();
    HMODULE library = NULL;

    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
    if (path == NULL)
        SetLastError(ERROR_BAD_PATHNAME);
    else
        library = LoadLibraryExW(path, NULL, LOAD_WITH_ALTERED_SEARCH_PATH);
    free(path);
    return library;
}

static void say_why(const char *program, const char *path, DWORD error)
{
    char text[256];
    DWORD length = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
                                  error, 0, text, sizeof text, NULL);

    while (length > 0 && (unsigned char)text[length - 1] <= ' ')
        length--;
    fprintf(stderr, "%s: cannot load %s: %.*s (error %lu)\n", program, path, (int)length, text,
            (unsigned long)error);
}

bool bhi_plugin_open(const char *program, const char *path, const struct bh_worker **table)
{
    HMODULE library = open_library();

    if (library == NULL) {
        say_why(program, path, GetLastError());
        return false;
    }
    *table = (const struct bh_worker *)(uintptr_t)GetProcAddress(library, BH_PLUGIN_SYMBOL);
    return true;
}
