/* SPDX-License-Identifier: MIT */
/*
 * What both sides of the comparison share: the clock, the work, the killer.
 */
#include "side.h"

#include <stdio.h>
#include <string.h>

bool side_complain(const char *who, const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", who, what, why);
    return false;
}

double side_now_us(void)
{
    LARGE_INTEGER frequency, count;

    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&count);
    return (double)count.QuadPart * 1e6 / (double)frequency.QuadPart;
}

uint64_t side_sum(const uint8_t *bytes, size_t size)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum += bytes[i];
    return sum;
}

bool side_own_path(char *path, size_t size)
{
    DWORD length = GetModuleFileNameA(NULL, path, (DWORD)size);

    return length > 0 && length < size;
}

/* All of it would be a good part of the time. */
bool side_same(const uint8_t *a, const uint8_t *b, size_t size)
{
    for (size_t i = 0; i < size; i += 4093) {
        if (a[i] != b[i])
            return false;
    }
    return size == 0 || a[size - 1] == b[size - 1];
}

/* ---- a worker that is killed in a call ---- */

static DWORD WINAPI kill_when_told(void *context)
{
    struct side_killer *killer = context;

    WaitForSingleObject(killer->in_call, INFINITE);
    killer->killed_us = side_now_us();
    TerminateProcess(killer->process, 9);
    return 0;
}

bool side_killer_start(struct side_killer *killer, DWORD pid)
{
    static unsigned count;

    memset(killer, 0, sizeof *killer);
    snprintf(killer->name, sizeof killer->name, "Local\\bench-com-%lu-%u",
             (unsigned long)GetCurrentProcessId(), ++count);
    killer->process = OpenProcess(PROCESS_TERMINATE, FALSE, pid);
    killer->in_call = CreateEventA(NULL, TRUE, FALSE, killer->name);
    if (killer->process != NULL && killer->in_call != NULL)
        killer->thread = CreateThread(NULL, 0, kill_when_told, killer, 0, NULL);
    return killer->thread != NULL;
}

double side_killer_join(struct side_killer *killer)
{
    if (killer->thread != NULL) {
        SetEvent(killer->in_call); /* also when the call never came so far */
        WaitForSingleObject(killer->thread, INFINITE);
        CloseHandle(killer->thread);
    }
    if (killer->in_call != NULL)
        CloseHandle(killer->in_call);
    if (killer->process != NULL)
        CloseHandle(killer->process);
    return killer->killed_us;
}

void side_hang(const char *name)
{
    HANDLE in_call = OpenEventA(EVENT_MODIFY_STATE, FALSE, name);

    if (in_call != NULL)
        SetEvent(in_call);
    Sleep(INFINITE);
}
