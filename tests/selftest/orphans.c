/* SPDX-License-Identifier: MIT */
/*
 * A dispatcher that is killed takes its workers along: idle ones, one that hangs in its handler,
 * and what a worker has started.
 *
 * Model: the dispatcher is this program again. It writes the numbers of the processes into a
 * section whose name it is given, sets an event and waits to be killed.
 */
#include "selftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "--orphans"
#define WORKERS 3
#define PROCESSES (WORKERS + 1)
#define TELL_MS 60000
#define GONE_MS 15000

struct list {
    int64_t pid[PROCESSES];
    char problem[200];
};

static void name_of(char *name, size_t size, const char *what, const char *mark)
{
    snprintf(name, size, "Local\\bulkhead-selftest-%s-%s", what, mark);
}

/* ---- the dispatcher -------------------------------------------------------------------------- */

static bh_pool *pool;

static DWORD WINAPI hang(void *nothing)
{
    struct bh_result result;

    (void)nothing;
    pool_call_text(pool, "die", "hang", &result);
    return 0;
}

static bool is_busy(void)
{
    struct bh_snapshot snapshot;
    bool busy =
        bh_pool_snapshot(pool, &snapshot) == BH_OK && snapshot.worker_state[BH_WORKER_BUSY] == 1;

    bh_snapshot_deinit(&snapshot);
    return busy;
}

static int64_t spawn(void)
{
    struct bh_result result;
    int64_t pid = 0;

    bh_pool_invoke(pool, "spawn", NULL, 0, &result);
    bh_value_get_int64(&result.reply, &pid);
    bh_result_deinit(&result);
    return pid;
}

static void fill(struct list *list)
{
    struct bh_pool_options options = pool_options(WORKERS, NULL);
    struct bh_snapshot snapshot = {0};
    struct bh_problem problem;

    if (bh_pool_open(&pool, &options, &problem) != BH_OK ||
        bh_pool_wait_ready(pool, WORKERS, POOL_READY_MS, &problem) != BH_OK) {
        snprintf(list->problem, sizeof list->problem, "%.199s", problem.text);
        return;
    }
    CloseHandle(CreateThread(NULL, 0, hang, NULL, 0, NULL));
    while (!is_busy())
        Sleep(1);
    if (bh_pool_snapshot(pool, &snapshot) == BH_OK) {
        for (size_t i = 0; i < snapshot.worker_count && i < WORKERS; i++)
            list->pid[i] = snapshot.workers[i].pid;
    }
    bh_snapshot_deinit(&snapshot);
    list->pid[WORKERS] = spawn();
}

int orphans_main_if_dispatcher(int argc, char **argv)
{
    char name[100];

    if (argc == 2 && strcmp(argv[1], "--sleep") == 0)
        Sleep(INFINITE);
    if (argc != 3 || strcmp(argv[1], MARK) != 0)
        return -1;
    name_of(name, sizeof name, "list", argv[2]);
    HANDLE section = OpenFileMappingA(FILE_MAP_WRITE, FALSE, name);
    name_of(name, sizeof name, "told", argv[2]);
    HANDLE told = OpenEventA(EVENT_MODIFY_STATE, FALSE, name);
    struct list *list =
        section != NULL ? MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, sizeof *list) : NULL;
    if (list == NULL || told == NULL)
        return 1;
    fill(list);
    SetEvent(told);
    Sleep(INFINITE);
    return 0;
}

/* ---- who kills it ---------------------------------------------------------------------------- */

struct scene {
    HANDLE section;
    HANDLE told;
    struct list *list;
    HANDLE dispatcher;
    HANDLE processes[PROCESSES];
    DWORD count;
};

static bool set_scene(struct scene *scene)
{
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION made;
    char mark[32], name[100], command[MAX_PATH + 64];

    snprintf(mark, sizeof mark, "%lu", (unsigned long)GetCurrentProcessId());
    name_of(name, sizeof name, "list", mark);
    scene->section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0,
                                        sizeof *scene->list, name);
    name_of(name, sizeof name, "told", mark);
    scene->told = CreateEventA(NULL, TRUE, FALSE, name);
    if (scene->section == NULL || scene->told == NULL)
        return false;
    scene->list = MapViewOfFile(scene->section, FILE_MAP_READ, 0, 0, sizeof *scene->list);
    snprintf(command, sizeof command, "\"%s\" " MARK " %s", pool_own_path(), mark);
    if (scene->list == NULL || !CreateProcessA(NULL, command, NULL, NULL, FALSE, CREATE_NO_WINDOW,
                                               NULL, NULL, &startup, &made))
        return false;
    CloseHandle(made.hThread);
    scene->dispatcher = made.hProcess;
    return WaitForSingleObject(scene->told, TELL_MS) == WAIT_OBJECT_0;
}

static bool open_processes(struct scene *scene)
{
    for (int i = 0; i < PROCESSES; i++) {
        HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)scene->list->pid[i]);
        if (process == NULL)
            return false;
        scene->processes[scene->count++] = process;
        if (WaitForSingleObject(process, 0) != WAIT_TIMEOUT)
            return false;
    }
    return true;
}

static void judge(struct scene *scene)
{
    static const char name[] = "a killed dispatcher takes its workers along";
    ULONGLONG begin = GetTickCount64();

    TerminateProcess(scene->dispatcher, 1);
    bool gone = WaitForMultipleObjects(scene->count, scene->processes, TRUE, GONE_MS) <
                WAIT_OBJECT_0 + scene->count;
    report_check(gone, name, "%d workers, one of them hung, and a child of one; %s after %llu ms",
                 WORKERS, gone ? "all gone" : "not all gone",
                 (unsigned long long)(GetTickCount64() - begin));
}

static void strike_scene(struct scene *scene)
{
    if (scene->dispatcher != NULL) {
        TerminateProcess(scene->dispatcher, 1);
        CloseHandle(scene->dispatcher);
    }
    for (DWORD i = 0; i < scene->count; i++)
        CloseHandle(scene->processes[i]);
    if (scene->list != NULL)
        UnmapViewOfFile(scene->list);
    CloseHandle(scene->section);
    CloseHandle(scene->told);
}

void orphans_run(void)
{
    struct scene scene = {0};

    report_part("Orphans");
    if (!set_scene(&scene) || scene.list->problem[0] != '\0' || !open_processes(&scene))
        report_check(false, "a dispatcher with workers", "%s",
                     scene.list != NULL ? scene.list->problem : "cannot be started");
    else
        judge(&scene);
    strike_scene(&scene);
}
