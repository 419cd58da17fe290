/* SPDX-License-Identifier: MIT */
/*
 * A worker that does what it is asked to, mostly harm. "--at-start=KIND" does it in init().
 */
#include "handles.h"

#include <bulkhead/worker.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile int sink;

static int *volatile nowhere = (int *)8;

/* @param depth never reaches 0 */
static int overflow(int depth)
{
    volatile char room[4096];

    room[0] = (char)depth;
    return depth == 0 ? 0 : overflow(depth + 1) + room[0];
}

static DWORD WINAPI crash_thread(void *nothing)
{
    (void)nothing;
    *nowhere = 1;
    return 0;
}

/* Does what `kind` says; returns if it is nothing of that sort. */
static void mishap(const char *kind)
{
    if (strcmp(kind, "violation") == 0)
        *nowhere = 1;
    else if (strcmp(kind, "overflow") == 0)
        sink += overflow(1);
    else if (strcmp(kind, "raise") == 0)
        RaiseException(0xE0001234, 0, 0, NULL);
    else if (strcmp(kind, "abort") == 0)
        abort();
    else if (strcmp(kind, "exit") == 0)
        exit(7);
    else if (strcmp(kind, "exit-negative") == 0)
        exit(-2);
    else if (strcmp(kind, "fail-fast") == 0)
        TerminateProcess(GetCurrentProcess(), 0xC0000409);
    else if (strcmp(kind, "heap") == 0)
        TerminateProcess(GetCurrentProcess(), 0xC0000374);
    else if (strcmp(kind, "violation-unrecorded") == 0)
        TerminateProcess(GetCurrentProcess(), 0xC0000005);
    else if (strcmp(kind, "thread") == 0)
        WaitForSingleObject(CreateThread(NULL, 0, crash_thread, NULL, 0, NULL), INFINITE);
    else if (strcmp(kind, "hang") == 0)
        Sleep(INFINITE);
}

static void on_echo(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value all = bh_value_view_array(arguments, count);

    (void)context;
    bh_call_reply(call, count == 1 ? &arguments[0] : &all);
}

static void text_of(const bh_value *value, char *out, size_t size)
{
    const char *text;
    size_t length;

    *out = '\0';
    if (bh_value_get_string(value, &text, &length) == BH_OK && length < size) {
        memcpy(out, text, length);
        out[length] = '\0';
    }
}

static void on_mishap(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    char kind[64] = "";

    (void)context;
    if (count > 0)
        text_of(&arguments[0], kind, sizeof(kind));
    mishap(kind);
    bh_call_fail(call, 1, "nothing of that sort: %s", kind);
}

static void reply_text(bh_call *call, const char *text)
{
    bh_value value = text != NULL ? bh_value_view(text) : bh_value_null();

    bh_call_reply(call, &value);
}

static void on_environment(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    char name[128] = "";

    (void)context;
    if (count > 0)
        text_of(&arguments[0], name, sizeof(name));
    reply_text(call, getenv(name));
}

static void on_facts(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value map = bh_value_map();
    DWORD_PTR mine = 0;
    DWORD_PTR all = 0;
    BOOL in_job = FALSE;

    (void)arguments, (void)count, (void)context;
    GetProcessAffinityMask(GetCurrentProcess(), &mine, &all);
    IsProcessInJob(GetCurrentProcess(), NULL, &in_job);
    bh_value item = bh_value_int64((int64_t)mine);
    bh_map_set(&map, "affinity", &item);
    item = bh_value_int64(GetPriorityClass(GetCurrentProcess()));
    bh_map_set(&map, "priority", &item);
    item = bh_value_int64(rig_own_handles());
    bh_map_set(&map, "handles", &item);
    item = bh_value_bool(in_job);
    bh_map_set(&map, "in_job", &item);
    item = bh_value_int64(GetCurrentProcessId());
    bh_map_set(&map, "pid", &item);
    bh_call_reply(call, &map);
    bh_value_deinit(&map);
}

/* Starts a program that outlives us, and says which process it is. */
static void on_spawn(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    STARTUPINFOA startup = {.cb = sizeof(startup)};
    PROCESS_INFORMATION made;
    char program[MAX_PATH], command[MAX_PATH + 32];

    (void)arguments, (void)count, (void)context;
    GetModuleFileNameA(NULL, program, sizeof(program));
    snprintf(command, sizeof(command), "\"%s\" --sleep", program);
    if (!CreateProcessA(NULL, command, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &made)) {
        bh_call_fail(call, (int32_t)GetLastError(), "cannot start %s", command);
        return;
    }
    bh_value pid = bh_value_int64(made.dwProcessId);
    bh_call_reply(call, &pid);
}

static void on_keep(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t mib = 0;

    (void)call, (void)context;
    if (count > 0)
        bh_value_get_int64(&arguments[0], &mib);
    char *memory = malloc((size_t)mib << 20);
    if (memory != NULL)
        memset(memory, 1, (size_t)mib << 20);
    sink += memory != NULL ? memory[0] : 0;
    Sleep(300); /* so that it can be looked at */
}

static const struct bh_method methods[] = {
    {"echo", on_echo, "echo(value) -> value"},
    {"mishap", on_mishap, "mishap(kind)"},
    {"environment", on_environment, NULL},
    {"facts", on_facts, NULL},
    {"spawn", on_spawn, NULL},
    {"keep", on_keep, NULL},
    {NULL, NULL, NULL},
};

static int begin(int argc, char **argv, void **context)
{
    (void)context;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--at-start=", 11) == 0)
            mishap(argv[i] + 11);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    if (argc == 2 && strcmp(argv[1], "--sleep") == 0) {
        Sleep(INFINITE);
        return 0;
    }
    worker.methods = methods;
    worker.init = begin;
    return bh_worker_main(argc, argv, &worker);
}
