/* SPDX-License-Identifier: MIT */
/*
 * A worker without windows: it never shows a dialog, and what it prints goes to its dispatcher.
 *
 * Model: three sources of dialogs are shut. The system's, about crashes and missing files (the
 * error mode, which children inherit); the C runtime's, about abort() and assert(), which it shows
 * because the program has no console; and that of the runtime's fault reporting. A process may hold
 * several C runtimes, one for each compiler whose libraries it loads, and each must be told.
 *
 * Invariants: nothing here fails. A function that a runtime lacks is not missed.
 */
#include "worker_end.h"

#include <fcntl.h>
#include <io.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* _OUT_TO_STDERR of <stdlib.h>, which not every one has. */
#define OUT_TO_STDERR 1

typedef void (*abort_handler)(int);
typedef int(__cdecl *set_error_mode_fn)(int);
typedef unsigned(__cdecl *set_abort_behavior_fn)(unsigned flags, unsigned mask);
typedef abort_handler(__cdecl *signal_fn)(int, abort_handler);

/* Those that bring their own abort(). The program's own, if linked in statically, is none of them.
 */
static const WCHAR *const runtimes[] = {L"msvcrt.dll",   L"ucrtbase.dll", L"msvcr120.dll",
                                        L"msvcr110.dll", L"msvcr100.dll", L"msvcr90.dll"};

void bhw_worker_quiet(void)
{
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
}

/* ---- C runtimes ------------------------------------------------------------------------------ */

/* A function of any type; the caller says which. */
typedef void (*any_fn)(void);

static any_fn find(HMODULE module, const char *name)
{
    return (any_fn)GetProcAddress(module, name);
}

static void quiet_runtime(HMODULE module)
{
    set_error_mode_fn set_mode = (set_error_mode_fn)find(module, "_set_error_mode");
    set_abort_behavior_fn set_behavior = (set_abort_behavior_fn)find(module, "_set_abort_behavior");
    signal_fn handle = (signal_fn)find(module, "signal");
    abort_handler before;

    if (set_mode != NULL)
        set_mode(OUT_TO_STDERR);
    if (set_behavior != NULL)
        set_behavior(0, ~0u);
    if (handle == NULL)
        return;
    before = handle(SIGABRT, bhw_worker_on_abort);
    if (before != SIG_DFL && before != SIG_ERR && before != bhw_worker_on_abort &&
        bhw_worker_end.call->rearm == 0)
        handle(SIGABRT, before); /* the library's own */
}

void bhw_worker_quiet_runtimes(void)
{
    for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++) {
        HMODULE module = GetModuleHandleW(runtimes[i]);

        if (module != NULL)
            quiet_runtime(module);
    }
#if defined(_MSC_VER) /* linked in statically, perhaps */
    _set_error_mode(OUT_TO_STDERR);
    _set_abort_behavior(0, ~0u);
    if (signal(SIGABRT, bhw_worker_on_abort) == SIG_ERR)
        return;
#endif
}

/* ---- output ---------------------------------------------------------------------------------- */

static bool is_bound(FILE *stream)
{
    int fd = _fileno(stream);

    return fd >= 0 && _get_osfhandle(fd) != -1 && _get_osfhandle(fd) != -2;
}

static bool is_usable(HANDLE handle)
{
    return handle != NULL && handle != INVALID_HANDLE_VALUE;
}

/* The console of whoever started the program by hand. */
static HANDLE open_console(void)
{
    AttachConsole(ATTACH_PARENT_PROCESS);
    return CreateFileW(L"CONOUT$", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE,
                       NULL, OPEN_EXISTING, 0, NULL);
}

static void bind(FILE *stream, DWORD which)
{
    HANDLE handle = GetStdHandle(which);
    int fd;

    if (is_bound(stream))
        return;
    if (!is_usable(handle))
        handle = open_console();
    if (!is_usable(handle) || freopen("NUL", "w", stream) == NULL)
        return;
    fd = _open_osfhandle((intptr_t)handle, _O_TEXT);
    if (fd < 0)
        return;
    _dup2(fd, _fileno(stream));
    SetStdHandle(which, handle);
}

void bhw_worker_bind_output(void)
{
    bind(stdout, STD_OUTPUT_HANDLE);
    bind(stderr, STD_ERROR_HANDLE);
    /* There is no line buffering here, and what a crash leaves in a buffer is lost. */
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stderr, NULL, _IONBF, 0);
}
