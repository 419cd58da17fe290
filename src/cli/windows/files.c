/* SPDX-License-Identifier: MIT */
/*
 * What `bulkhead map` asks of Windows: files, their names and sizes, a clock.
 */
#include "../map.h"

#include "text.h"

#include <windows.h>

#include <errno.h>
#include <io.h>
#include <stdlib.h>
#include <string.h>

int64_t map_now_ms(void)
{
    return (int64_t)GetTickCount64();
}

static HANDLE handle_of(FILE *stream)
{
    return (HANDLE)_get_osfhandle(_fileno(stream));
}

unsigned map_columns(FILE *stream)
{
    CONSOLE_SCREEN_BUFFER_INFO about;

    if (!GetConsoleScreenBufferInfo(handle_of(stream), &about))
        return 80;
    return (unsigned)(about.srWindow.Right - about.srWindow.Left + 1);
}

int64_t map_read_some(FILE *file, void *bytes, size_t size)
{
    DWORD got = 0;

    while (ReadFile(handle_of(file), bytes, (DWORD)size, &got, NULL)) {
        if (got > 0 || GetFileType(handle_of(file)) != FILE_TYPE_PIPE)
            return got; /* into a pipe one can also write nothing */
    }
    if (GetLastError() == ERROR_BROKEN_PIPE || GetLastError() == ERROR_HANDLE_EOF)
        return 0;
    errno = EIO;
    return -1;
}

/* Of what is no pipe nobody knows; a file is always ready. A pipe cannot be waited for. */
bool map_can_read(FILE *file, unsigned wait_ms)
{
    int64_t until = map_now_ms() + wait_ms;
    DWORD waiting = 1;

    while (PeekNamedPipe(handle_of(file), NULL, 0, NULL, &waiting, NULL) && waiting == 0) {
        if (map_now_ms() >= until)
            return false;
        Sleep(10);
    }
    return true;
}

uint64_t map_file_size(FILE *file)
{
    LARGE_INTEGER size;

    return GetFileType(handle_of(file)) == FILE_TYPE_DISK && GetFileSizeEx(handle_of(file), &size)
               ? (uint64_t)size.QuadPart
               : 0;
}

bool map_cut_file(FILE *file, uint64_t size)
{
    return _fseeki64(file, (int64_t)size, SEEK_SET) == 0 && fflush(file) == 0 &&
           _chsize_s(_fileno(file), (int64_t)size) == 0;
}

FILE *map_open_to_extend(const char *path)
{
    WCHAR *wide = cli_widen(path);
    FILE *made = _wfopen(wide, L"abN"); /* so that it is there */
    FILE *file = made != NULL ? _wfopen(wide, L"r+bN") : NULL;

    if (made != NULL)
        fclose(made);
    free(wide);
    return file;
}

/* The folder of the pattern, with its separator, and the name of a match. */
static char *join(const char *pattern, const char *name)
{
    size_t folder = strlen(pattern);

    while (folder > 0 && strchr("\\/:", pattern[folder - 1]) == NULL)
        folder--;
    char *path = malloc(folder + strlen(name) + 1);
    if (path == NULL)
        cli_no_memory();
    memcpy(path, pattern, folder);
    strcpy(path + folder, name);
    return path;
}

bool map_find_files(const char *pattern, void (*found)(void *context, const char *path),
                    void *context)
{
    WCHAR *wide = cli_widen(pattern);
    WIN32_FIND_DATAW match;
    HANDLE search = FindFirstFileW(wide, &match);
    bool more = search != INVALID_HANDLE_VALUE;

    free(wide);
    for (; more; more = FindNextFileW(search, &match)) {
        char *name =
            match.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? NULL : cli_narrow(match.cFileName);
        if (name == NULL)
            continue;
        char *path = join(pattern, name);
        found(context, path);
        free(path);
        free(name);
    }
    if (search != INVALID_HANDLE_VALUE)
        FindClose(search);
    return true;
}
