/* SPDX-License-Identifier: MIT */
/*
 * What a test leaves behind. kit_leaks_begin() takes a picture of the process, kit_leaks_check()
 * compares. Each kind of leak is a function that says on stderr what it found, or only counts when
 * it is told to be silent; all of them are asked again until they are content or the grace is over.
 */
#include "kit.h"

#include <windows.h>
#include <tlhelp32.h>
#include <winternl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRACE_MS = 300, HANDLES_MAX = 4096, LONGEST_GAP = 512 };

/* What NtQueryObject() can tell of an object. */
enum { OBJECT_NAME = 1, OBJECT_TYPE = 2 };

struct handle {
    ULONG_PTR value;
    char type[24];
};

struct picture {
    struct handle handles[HANDLES_MAX];
    size_t handle_count;
    size_t threads;
};

static struct picture before;

/* ---- handles --------------------------------------------------------------------------------- */

/* @return whether the handle is open; *text is empty where its object has no name */
static bool describe(ULONG_PTR handle, int what, char *text, size_t size)
{
    union {
        UNICODE_STRING name;
        char room[2048];
    } said;
    ULONG length;
    *text = '\0';
    if (!NT_SUCCESS(NtQueryObject((HANDLE)handle, (OBJECT_INFORMATION_CLASS)what, &said,
                                  sizeof said, &length)))
        return false;
    snprintf(text, size, "%.*ls", said.name.Length / 2, said.name.Buffer);
    return true;
}

/* Tries the numbers that handles have, which are given out from below, until there has been none
 * for long. Not by the system's list of all handles: Wine 8's server dies when it meets a process
 * that has none yet, or none any more. Not GetProcessHandleCount() either: that says 0 under Wine.
 */
static size_t read_handles(struct handle *list)
{
    size_t count = 0;
    for (ULONG_PTR value = 4, last = 0; count < HANDLES_MAX && value - last < 4 * LONGEST_GAP;
         value += 4) {
        DWORD flags;
        if (!GetHandleInformation((HANDLE)value, &flags))
            continue;
        last = value;
        list[count].value = value;
        count += describe(value, OBJECT_TYPE, list[count].type, sizeof list->type);
    }
    return count;
}

size_t kit_own_handles(void)
{
    static struct handle now[HANDLES_MAX];
    return read_handles(now);
}

static bool was_there(const struct handle *handle)
{
    for (size_t i = 0; i < before.handle_count; i++) {
        if (before.handles[i].value == handle->value &&
            strcmp(before.handles[i].type, handle->type) == 0)
            return true;
    }
    return false;
}

/* COM keeps what it once made: events, keys, threads; Wine also the pipes of its RPC runtime, some
 * for each server that ended before its last proxy. In a program with COM only the kinds are looked
 * at that COM does not keep; tests/windows/process_test.c checks that the others do not grow. */
static bool is_coms(const char *type, const char *name)
{
    static const char *const kept_by_nobody[] = {"Process", "Job", "Section"};
    if (!GetModuleHandleA("ole32.dll"))
        return false;
    for (size_t i = 0; i < sizeof kept_by_nobody / sizeof *kept_by_nobody; i++) {
        if (strcmp(type, kept_by_nobody[i]) == 0)
            return false;
    }
    return strcmp(type, "File") != 0 || *name == '\0' || strstr(name, "\\lrpc\\");
}

static size_t find_handles(bool silent)
{
    static struct handle now[HANDLES_MAX];
    size_t count = read_handles(now), leaks = 0;
    for (size_t i = 0; i < count; i++) {
        char name[300];
        if (was_there(&now[i]) || !describe(now[i].value, OBJECT_NAME, name, sizeof name) ||
            is_coms(now[i].type, name))
            continue;
        leaks++;
        if (!silent)
            fprintf(stderr, "leaked: handle 0x%llx (%s) %s\n", (unsigned long long)now[i].value,
                    now[i].type, name);
    }
    return leaks;
}

/* ---- threads --------------------------------------------------------------------------------- */

static bool starts_in(HMODULE module, void *address)
{
    HMODULE holder;
    return module &&
           GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                                  GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                              address, &holder) &&
           holder == module;
}

/* Started by the program, itself or through the C runtime. COM and the system keep threads of their
 * own for as long as they please. */
static bool is_programs(DWORD id)
{
    void *address = NULL;
    HANDLE thread = OpenThread(THREAD_QUERY_INFORMATION, FALSE, id);
    if (!thread)
        return false;
    NtQueryInformationThread(thread, (THREADINFOCLASS)9, &address, sizeof address, NULL);
    CloseHandle(thread);
    return starts_in(GetModuleHandleA(NULL), address) ||
           starts_in(GetModuleHandleA("msvcrt.dll"), address) ||
           starts_in(GetModuleHandleA("ucrtbase.dll"), address);
}

static size_t count_threads(void)
{
    THREADENTRY32 entry = {.dwSize = sizeof entry};
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
    size_t count = 0;
    for (BOOL more = Thread32First(all, &entry); more; more = Thread32Next(all, &entry)) {
        if (entry.th32OwnerProcessID == GetCurrentProcessId() && is_programs(entry.th32ThreadID))
            count++;
    }
    CloseHandle(all);
    return count;
}

static size_t find_threads(bool silent)
{
    size_t now = count_threads();
    if (now <= before.threads)
        return 0;
    if (!silent)
        fprintf(stderr, "leaked: %zu threads\n", now - before.threads);
    return now - before.threads;
}

/* ---- processes ------------------------------------------------------------------------------- */

static size_t find_processes(bool silent)
{
    int pids[64];
    size_t count = kit_descendants(pids, 64);
    for (size_t i = 0; !silent && i < count && i < 64; i++)
        fprintf(stderr, "leaked: process %d\n", pids[i]);
    return count;
}

/* ---- all ------------------------------------------------------------------------------------- */

static size_t find_all(bool silent)
{
    return find_handles(silent) + find_threads(silent) + find_processes(silent);
}

static bool nothing_left(void *unused)
{
    (void)unused;
    return find_all(true) == 0;
}

/* What the system opens once per process, at its first use, is there before the picture is taken:
 * the directory of named objects. */
static void use_once(void)
{
    static _Thread_local volatile unsigned uses;

    uses++; /* this compiler's runtime keeps a handle from the first such variable on */
    kit_descendants(NULL, 0);
}

void kit_leaks_begin(void)
{
    use_once();
    before.threads = count_threads();
    before.handle_count = read_handles(before.handles);
}

bool kit_leaks_check(const char *marker)
{
    (void)marker;
    return kit_wait_until(nothing_left, NULL, GRACE_MS) || find_all(false) == 0;
}
