/* SPDX-License-Identifier: MIT */
/*
 * What `bulkhead map` asks of Windows: the inputs, files, their names and sizes, a clock.
 */
#include "../map.h"

#include "text.h"

#include <windows.h>

#include <errno.h>
#include <fcntl.h>
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

/* ---- reading ----------------------------------------------------------------------------------
 */

/* What comes from a pipe or a console, of which nobody can ask whether there is something: a thread
 * reads ahead, a piece at a time. It ends with the program. */
static struct {
    SRWLOCK lock;
    CONDITION_VARIABLE changed;
    bool begun;
    size_t held; /* bytes that nobody has taken; the thread fills when there are none */
    size_t taken;
    bool over;
    bool failed;
    unsigned char bytes[65536];
} ahead = {.lock = SRWLOCK_INIT, .changed = CONDITION_VARIABLE_INIT};

/* @return 0: the end; -1: it cannot be read */
static int64_t read_piece(HANDLE from, void *bytes, size_t size)
{
    DWORD got = 0;

    while (ReadFile(from, bytes, (DWORD)size, &got, NULL)) {
        /* Into a pipe one can also write nothing; but a pipe that cannot be looked into, as Wine
         * has them, ends so. */
        if (got > 0 || GetFileType(from) != FILE_TYPE_PIPE ||
            !PeekNamedPipe(from, NULL, 0, NULL, NULL, NULL))
            return got;
    }
    return GetLastError() == ERROR_BROKEN_PIPE || GetLastError() == ERROR_HANDLE_EOF ? 0 : -1;
}

static DWORD WINAPI read_ahead(void *from)
{
    int64_t got = 1;

    AcquireSRWLockExclusive(&ahead.lock);
    while (got > 0) {
        while (ahead.held > 0)
            SleepConditionVariableSRW(&ahead.changed, &ahead.lock, INFINITE, 0);
        ReleaseSRWLockExclusive(&ahead.lock);
        got = read_piece(from, ahead.bytes, sizeof ahead.bytes);
        AcquireSRWLockExclusive(&ahead.lock);
        ahead.taken = 0;
        ahead.held = got > 0 ? (size_t)got : 0;
        ahead.over = got <= 0;
        ahead.failed = got < 0;
        WakeAllConditionVariable(&ahead.changed);
    }
    ReleaseSRWLockExclusive(&ahead.lock);
    return 0;
}

/* Begins to read ahead. @return false: no thread */
static bool begin(HANDLE from)
{
    if (ahead.begun)
        return true;
    HANDLE thread = CreateThread(NULL, 0, read_ahead, from, 0, NULL);
    if (thread == NULL)
        return false;
    CloseHandle(thread);
    ahead.begun = true;
    return true;
}

int64_t map_read_some(FILE *file, void *bytes, size_t size)
{
    int64_t got = -1;

    errno = EIO;
    if (GetFileType(handle_of(file)) == FILE_TYPE_DISK || !begin(handle_of(file)))
        return read_piece(handle_of(file), bytes, size);
    AcquireSRWLockExclusive(&ahead.lock);
    while (ahead.held == 0 && !ahead.over)
        SleepConditionVariableSRW(&ahead.changed, &ahead.lock, INFINITE, 0);
    if (!ahead.failed) {
        got = (int64_t)(ahead.held < size ? ahead.held : size);
        memcpy(bytes, ahead.bytes + ahead.taken, (size_t)got);
        ahead.taken += (size_t)got;
        ahead.held -= (size_t)got;
    }
    WakeAllConditionVariable(&ahead.changed);
    ReleaseSRWLockExclusive(&ahead.lock);
    return got;
}

bool map_can_read(FILE *file, unsigned wait_ms)
{
    if (GetFileType(handle_of(file)) == FILE_TYPE_DISK || !begin(handle_of(file)))
        return true;
    AcquireSRWLockExclusive(&ahead.lock);
    if (ahead.held == 0 && !ahead.over)
        SleepConditionVariableSRW(&ahead.changed, &ahead.lock, wait_ms, 0);
    bool can = ahead.held > 0 || ahead.over;
    ReleaseSRWLockExclusive(&ahead.lock);
    return can;
}

/* ---- files ------------------------------------------------------------------------------------
 */

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
    HANDLE handle = INVALID_HANDLE_VALUE;
    int fd;

    errno = EBUSY;
    for (int tries = 0; handle == INVALID_HANDLE_VALUE && errno == EBUSY && tries < 20; tries++) {
        if (tries > 0) /* who had it may just have been ended */
            Sleep(50);
        handle = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL, OPEN_ALWAYS,
                             FILE_ATTRIBUTE_NORMAL, NULL);
        errno = GetLastError() == ERROR_SHARING_VIOLATION ? EBUSY : EACCES;
    }
    free(wide);
    if (handle == INVALID_HANDLE_VALUE)
        return NULL;
    fd = _open_osfhandle((intptr_t)handle, _O_RDWR | _O_BINARY);
    return fd >= 0 ? _fdopen(fd, "r+b") : NULL;
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
