/* SPDX-License-Identifier: MIT */
/*
 * Loading a plug-in with LoadLibrary().
 *
 * Model: the loader finds what the plug-in needs in the plug-in's own folder, not the host's
 * (altered search path, which needs an absolute path). A plug-in that lacks something fails to
 * start, with the system's word for it. It is never unloaded: it may have threads and atexit hooks.
 *
 * Invariants: no dialog about a missing DLL, which nobody would see in a process without a desktop:
 * the error mode is set before anything is loaded.
 */
#include "plugin.h"

#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The path as main() got it, in the process's code page, made absolute. To be freed. */
static WCHAR *absolute(const char *path)
{
    int units = MultiByteToWideChar(CP_ACP, 0, path, -1, NULL, 0);
    WCHAR *wide = units <= 0 ? NULL : malloc((size_t)units * sizeof *wide);
    WCHAR *full = NULL;
    DWORD room;

    if (wide == NULL)
        return NULL;
    MultiByteToWideChar(CP_ACP, 0, path, -1, wide, units);
    room = GetFullPathNameW(wide, 0, NULL, NULL);
    if (room > 0)
        full = malloc(room * sizeof *full);
    if (full != NULL && GetFullPathNameW(wide, room, full, NULL) >= room) {
        free(full);
        full = NULL;
    }
    free(wide);
    return full;
}

static HMODULE open_library(const char *path)
{
    WCHAR *full = absolute(path);
    HMODULE library = NULL;

    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
    if (full == NULL)
        SetLastError(ERROR_BAD_PATHNAME);
    else
        library = LoadLibraryExW(full, NULL, LOAD_WITH_ALTERED_SEARCH_PATH);
    free(full);
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

const struct bh_worker *bhi_plugin_load(const char *program, const char *path)
{
    const size_t least = offsetof(struct bh_worker, methods) + sizeof(const struct bh_method *);
    const struct bh_worker *worker;
    HMODULE library = open_library(path);

    if (library == NULL) {
        say_why(program, path, GetLastError());
        return NULL;
    }
    worker = (const struct bh_worker *)(uintptr_t)GetProcAddress(library, BH_PLUGIN_SYMBOL);
    if (worker == NULL) {
        fprintf(stderr, "%s: %s is no plug-in: it does not export \"%s\"\n", program, path,
                BH_PLUGIN_SYMBOL);
        return NULL;
    }
    if (worker->size < least || worker->methods == NULL) {
        fprintf(stderr, "%s: %s: \"%s\" does not begin with sizeof(struct bh_worker) and a table\n",
                program, path, BH_PLUGIN_SYMBOL);
        return NULL;
    }
    return worker;
}
