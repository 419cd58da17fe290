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

enum { GRACE_MS = 300, HANDLES_MAX = 4096 };

struct handle {
    ULONG_PTR value;
    USHORT type;
};

struct picture {
    struct handle handles[HANDLES_MAX];
    size_t handle_count;
    size_t threads;
};

static struct picture before;

/* ---- handles --------------------------------------------------------------------------------- */

/* SystemExtendedHandleInformation. Not GetProcessHandleCount(): that answers 0 under Wine. */
enum { EXTENDED_HANDLES = 64 };

struct system_handle {
    void *object;
    ULONG_PTR pid, value;
    ULONG access;
    USHORT trace, type;
    ULONG attributes, reserved;
};

struct system_handles {
    ULONG_PTR count, reserved;
    struct system_handle handles[1];
};

/* All handles of the system, to be freed. */
static struct system_handles *read_system(void)
{
    for (ULONG size = 1 << 18;; size *= 2) {
        struct system_handles *all = malloc(size);
        ULONG length;
        if (!all || NT_SUCCESS(NtQuerySystemInformation((SYSTEM_INFORMATION_CLASS)EXTENDED_HANDLES,
                                                        all, size, &length)))
            return all;
        free(all);
    }
}

static size_t read_handles(struct handle *list)
{
    struct system_handles *all = read_system();
    size_t count = 0;
    for (ULONG_PTR i = 0; all && i < all->count && count < HANDLES_MAX; i++) {
        if (all->handles[i].pid == GetCurrentProcessId())
            list[count++] = (struct handle){all->handles[i].value, all->handles[i].type};
    }
    free(all);
    return count;
}

static bool was_there(const struct handle *handle)
{
    for (size_t i = 0; i < before.handle_count; i++) {
        if (before.handles[i].value == handle->value && before.handles[i].type == handle->type)
            return true;
    }
    return false;
}

/* The type of a handle's object (2) or its name (1). Empty: there is none, or the handle has been
 * closed since. */
static void describe(const struct handle *handle, int what, char *text, size_t size)
{
    union {
        UNICODE_STRING name;
        char room[2048];
    } said;
    ULONG length;
    *text = '\0';
    if (NT_SUCCESS(NtQueryObject((HANDLE)handle->value, (OBJECT_INFORMATION_CLASS)what, &said,
                                 sizeof said, &length)))
        snprintf(text, size, "%.*ls", said.name.Length / 2, said.name.Buffer);
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
        char type[64], name[300];
        if (was_there(&now[i]))
            continue;
        describe(&now[i], 2, type, sizeof type);
        describe(&now[i], 1, name, sizeof name);
        if (*type == '\0' || is_coms(type, name))
            continue;
        leaks++;
        if (!silent)
            fprintf(stderr, "leaked: handle 0x%llx (%s) %s\n", (unsigned long long)now[i].value,
                    type, name);
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
