/* SPDX-License-Identifier: MIT */
/* timeout: 60 */
/*
 * A dispatcher that ends, however it ends, takes its workers along.
 */
#include "rig.h"

#define PROCESSES 4 /* three workers, one of them hung, and a child of one */

static bool is_there(void *path)
{
    return GetFileAttributesA(path) != INVALID_FILE_ATTRIBUTES;
}

static void open_processes(const char *path, HANDLE *processes)
{
    FILE *file = fopen(path, "r");
    long long pid;

    CHECK(file != NULL);
    for (int i = 0; i < PROCESSES; i++) {
        CHECK_INT(fscanf(file, "%lld", &pid), 1);
        processes[i] = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)pid);
        CHECK(processes[i] != NULL);
        CHECK_INT(WaitForSingleObject(processes[i], 0), WAIT_TIMEOUT);
    }
    fclose(file);
}

TEST(workers_end_with_a_dispatcher_that_is_terminated)
{
    char dispatcher[1024], worker[1024], path[1024], command[3072];
    STARTUPINFOA startup = {.cb = sizeof(startup)};
    HANDLE processes[PROCESSES];
    PROCESS_INFORMATION made;

    rig_path(dispatcher, sizeof(dispatcher), "orphan_worker");
    rig_path(worker, sizeof(worker), "mishap_worker");
    snprintf(path, sizeof(path), "%s/orphans-%lu", BH_TEST_DIR, GetCurrentProcessId());
    snprintf(command, sizeof(command), "\"%s\" \"%s\" \"%s\"", dispatcher, worker, path);
    CHECK(CreateProcessA(NULL, command, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &made));
    CHECK(kit_wait_until(is_there, path, 15000));
    open_processes(path, processes);
    int64_t begin = kit_now_ms();
    TerminateProcess(made.hProcess, 1);
    CHECK(WaitForMultipleObjects(PROCESSES, processes, TRUE, 10000) < PROCESSES);
    printf("# all gone after %lld ms\n", (long long)(kit_now_ms() - begin));
    for (int i = 0; i < PROCESSES; i++)
        CloseHandle(processes[i]);
    CloseHandle(made.hProcess);
    CloseHandle(made.hThread);
    remove(path);
}
