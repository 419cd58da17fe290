/* SPDX-License-Identifier: MIT */
/*
 * What a test leaves behind. kit_leaks_begin() takes a picture of the process, kit_leaks_check()
 * compares. Each kind of leak is a function that says on `out` what it found, or only counts when
 * `out` is negative; all of them are asked again until they are content or the grace is over: a
 * thread that was joined, or a process that was killed, takes a moment to leave /proc.
 */
#include "kit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GRACE_MS = 500, DESCRIPTORS_MAX = 1024 };

struct descriptor {
    int number;
    char target[160];
};

struct picture {
    struct descriptor descriptors[DESCRIPTORS_MAX];
    size_t descriptor_count;
    size_t threads;
    char *maps;
};

static struct picture before;

/* ---- descriptors ----------------------------------------------------------------------------- */

static void read_target(int number, char *target, size_t size)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", number);
    ssize_t length = readlink(path, target, size - 1);
    target[length > 0 ? length : 0] = '\0';
}

static size_t read_descriptors(struct descriptor *list)
{
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    while (directory && count < DESCRIPTORS_MAX && (entry = readdir(directory))) {
        int number = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || number == dirfd(directory))
            continue;
        list[count].number = number;
        read_target(number, list[count].target, sizeof list[count].target);
        count++;
    }
    if (directory)
        closedir(directory);
    return count;
}

static bool was_there(const struct descriptor *descriptor)
{
    for (size_t i = 0; i < before.descriptor_count; i++) {
        const struct descriptor *old = &before.descriptors[i];
        if (old->number == descriptor->number && strcmp(old->target, descriptor->target) == 0)
            return true;
    }
    return false;
}

static size_t find_descriptors(int out)
{
    static struct descriptor now[DESCRIPTORS_MAX];
    size_t count = read_descriptors(now), leaks = 0;
    for (size_t i = 0; i < count; i++) {
        if (was_there(&now[i]))
            continue;
        leaks++;
        if (out >= 0)
            dprintf(out, "leaked: descriptor %d -> %s\n", now[i].number, now[i].target);
    }
    return leaks;
}

/* ---- memory files, mapped -------------------------------------------------------------------- */

/* A line of /proc/self/maps is "from-to rights offset device inode   path". */
static size_t find_memory_files(int out)
{
    char *maps = kit_read_file("/proc/self/maps");
    size_t leaks = 0;
    for (char *rest = maps, *line; rest && (line = strsep(&rest, "\n"));) {
        const char *path = strstr(line, "/memfd:");
        if (!path || (before.maps && strstr(before.maps, line)))
            continue;
        leaks++;
        if (out >= 0)
            dprintf(out, "leaked: mapping of %s at %.*s\n", path, (int)strcspn(line, " "), line);
    }
    free(maps);
    return leaks;
}

/* ---- threads --------------------------------------------------------------------------------- */

static size_t count_threads(void)
{
    size_t count = 0;
    DIR *directory = opendir("/proc/self/task");
    struct dirent *entry;
    while (directory && (entry = readdir(directory)))
        count += entry->d_name[0] != '.';
    if (directory)
        closedir(directory);
    return count;
}

static size_t find_threads(int out)
{
    size_t now = count_threads();
    if (now <= before.threads)
        return 0;
    if (out >= 0)
        dprintf(out, "leaked: %zu threads\n", now - before.threads);
    return now - before.threads;
}

/* ---- processes ------------------------------------------------------------------------------- */

/* __WALL: also children whose end sends no signal. */
static size_t find_zombies(int out)
{
    siginfo_t info = {0};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0 || info.si_pid == 0)
        return 0;
    if (out >= 0)
        dprintf(out, "leaked: process %d, not reaped\n", (int)info.si_pid);
    return 1;
}

static const char *process_marker;

static size_t find_processes(int out)
{
    size_t count;
    struct kit_process *tree = kit_process_tree(kit_settings.supervisor, process_marker, &count);
    for (size_t i = 0; out >= 0 && i < count; i++)
        dprintf(out, "leaked: process %d (%s), child of %d\n", tree[i].pid, tree[i].name,
                tree[i].parent);
    free(tree);
    return count;
}

/* ---- all ------------------------------------------------------------------------------------- */

static size_t find_all(int out)
{
    return find_descriptors(out) + find_memory_files(out) + find_threads(out) + find_zombies(out) +
           find_processes(out);
}

static bool nothing_left(void *unused)
{
    (void)unused;
    return find_all(-1) == 0;
}

#ifdef __SANITIZE_THREAD__
static void *note_number(void *path)
{
    sprintf(path, "/proc/self/task/%d", (int)gettid());
    return NULL;
}

static bool is_absent(void *path)
{
    return access(path, F_OK) != 0;
}

/* ThreadSanitizer starts threads of its own beside the first one of a forked process. */
static void start_helper_threads(void)
{
    char path[40];
    pthread_t thread;
    if (pthread_create(&thread, NULL, note_number, path) != 0)
        return;
    pthread_join(thread, NULL);
    kit_wait_until(is_absent, path, GRACE_MS);
}
#else
static void start_helper_threads(void)
{
}
#endif

void kit_leaks_begin(void)
{
    start_helper_threads();
    before.descriptor_count = read_descriptors(before.descriptors);
    before.maps = kit_read_file("/proc/self/maps");
    before.threads = count_threads();
}

bool kit_leaks_check(const char *marker)
{
    process_marker = marker;
    bool clean = kit_wait_until(nothing_left, NULL, GRACE_MS) || find_all(STDERR_FILENO) == 0;
    free(before.maps);
    return clean;
}

/* ---- the temporary directory ----------------------------------------------------------------- */

static size_t removed;
static int name_removed_on;

/* ThreadSanitizer's start-up makes a file there, and leaves it when it is killed. */
static bool is_sanitizers(const char *name)
{
    return strncmp(name, "tsan.rodata.", 12) == 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    if (at->level > 0 && !is_sanitizers(path + at->base)) {
        removed++;
        if (name_removed_on >= 0)
            dprintf(name_removed_on, "leaked: file %s\n", path);
    }
    return remove(path);
}

size_t kit_remove_directory(const char *path, int out)
{
    removed = 0;
    name_removed_on = out;
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return removed;
}
