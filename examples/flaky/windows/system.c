/* SPDX-License-Identifier: MIT */
/*
 * What flaky asks of Windows.
 */
#include "../system.h"

#include <windows.h>

#include <io.h>
#include <stdlib.h>
#include <string.h>

struct flaky_thread {
    HANDLE handle;
    void (*run)(void *context);
    void *context;
};

static DWORD WINAPI begin(void *context)
{
    struct flaky_thread *thread = context;

    thread->run(thread->context);
    return 0;
}

struct flaky_thread *flaky_thread_start(void (*run)(void *context), void *context)
{
    struct flaky_thread *thread = malloc(sizeof *thread);

    if (thread == NULL)
        return NULL;
    thread->run = run;
    thread->context = context;
    thread->handle = CreateThread(NULL, 0, begin, thread, 0, NULL);
    if (thread->handle != NULL)
        return thread;
    free(thread);
    return NULL;
}

void flaky_thread_join(struct flaky_thread *thread)
{
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
    free(thread);
}

double flaky_now(void)
{
    LARGE_INTEGER ticks, ticks_per_second;

    QueryPerformanceFrequency(&ticks_per_second);
    QueryPerformanceCounter(&ticks);
    return (double)ticks.QuadPart / (double)ticks_per_second.QuadPart;
}

void flaky_pause_ms(unsigned ms)
{
    Sleep(ms);
}

bool flaky_is_terminal(FILE *stream)
{
    HANDLE console = (HANDLE)_get_osfhandle(_fileno(stream));
    DWORD mode;

    return GetConsoleMode(console, &mode) &&
           SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

void flaky_find_beside(char *path, size_t size, const char *name)
{
    WCHAR wide[MAX_PATH];
    DWORD units = GetModuleFileNameW(NULL, wide, MAX_PATH);
    int room = (int)(size - strlen(name)) - 1;
    int length = 0;

    if (units < MAX_PATH) /* else it was cut */
        length = WideCharToMultiByte(CP_UTF8, 0, wide, (int)units, path, room, NULL, NULL);
    while (length > 0 && path[length - 1] != '\\')
        length--;
    strcpy(path + length, name);
}
