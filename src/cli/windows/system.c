/* SPDX-License-Identifier: MIT */
/*
 * What the program asks of Windows: streams of bytes, the console, paths, its command line.
 *
 * Model: the program speaks UTF-8, the system UTF-16; texts are translated here, on their way in
 * and out, so that neither the code page of the system nor that of the console matters.
 */
#include "../cli.h"

#include "text.h"

#include <windows.h>

#include <fcntl.h>
#include <io.h>
#include <shellapi.h>
#include <stdlib.h>
#include <string.h>

const char cli_plugin_suffix[] = ".dll";

/* ---- the command line and the streams ---------------------------------------------------- */

static UINT console_before; /* its code page */

static void restore_console(void)
{
    SetConsoleOutputCP(console_before);
}

/* The console belongs to the user: it gets its code page back. */
static void speak_utf8(void)
{
    console_before = GetConsoleOutputCP();
    if (console_before != 0 && console_before != CP_UTF8 && SetConsoleOutputCP(CP_UTF8))
        atexit(restore_console);
}

/* main() was given the command line in a code page that cannot say everything. */
static char **read_command_line(int *argc)
{
    WCHAR **words = CommandLineToArgvW(GetCommandLineW(), argc);
    char **argv = words != NULL ? calloc((size_t)*argc + 1, sizeof *argv) : NULL;

    if (argv == NULL)
        cli_no_memory();
    for (int i = 0; i < *argc; i++) {
        argv[i] = cli_narrow(words[i]);
        if (argv[i] == NULL) {
            cli_usage(NULL, "word %d of the command line is not valid Unicode", i + 1);
            return NULL;
        }
    }
    LocalFree(words);
    return argv;
}

char **cli_system_begin(int *argc, char **argv)
{
    (void)argv;
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
    /* A console wants characters, not bytes: whole lines, then. */
    setvbuf(stderr, NULL, _IOFBF, BUFSIZ);
    speak_utf8();
    return read_command_line(argc);
}

static HANDLE handle_of(FILE *stream)
{
    return (HANDLE)_get_osfhandle(_fileno(stream));
}

bool cli_is_terminal(FILE *stream)
{
    DWORD mode;

    return GetConsoleMode(handle_of(stream), &mode);
}

bool cli_takes_colour(FILE *stream)
{
    HANDLE console = handle_of(stream);
    DWORD mode;

    return GetConsoleMode(console, &mode) &&
           SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

void cli_survive_closed_pipes(void)
{
    /* Here it is a failed write anyway. */
}

/* ---- files ------------------------------------------------------------------------------- */

FILE *cli_open(const char *path)
{
    WCHAR *wide = cli_widen(path);
    FILE *file = _wfopen(wide, L"rbN"); /* N: not for worker processes */

    free(wide);
    return file;
}

char *cli_own_folder(void)
{
    static WCHAR path[32768]; /* as long as there is any */
    const DWORD room = sizeof path / sizeof *path;
    DWORD units = GetModuleFileNameW(NULL, path, room);

    if (units == 0 || units >= room)
        return NULL;
    while (units > 0 && path[units - 1] != L'\\')
        units--;
    path[units] = L'\0';
    return cli_narrow(path);
}

bool cli_is_program(const char *path)
{
    WCHAR *wide = cli_widen(path);
    DWORD found = SearchPathW(NULL, wide, L".exe", 0, NULL, NULL);

    free(wide);
    return found > 0;
}
