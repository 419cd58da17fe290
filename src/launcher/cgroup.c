/* SPDX-License-Identifier: MIT */
/*
 * The cgroup's counter of out-of-memory kills.
 *
 * Model: /proc/self/cgroup says which memory cgroup this process is in, /proc/self/mountinfo where
 * that hierarchy is mounted and which part of it. The file there (v2: memory.events, v1:
 * memory.oom_control) has a line "oom_kill N". It is opened once and read again and again.
 *
 * Invariant: when any of this is not there or not readable, the counter stands still. It is counted
 * for the whole cgroup, so that it says "something was killed", not who.
 */
#include "launcher.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int counter = -1;
static unsigned long long last_seen;

/* Whether a comma-separated list has a word. */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length) {
        if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

/* The path of the cgroup in /proc/self/cgroup: of "memory" (v1), or of the unified hierarchy (v2).
 */
static bool find_cgroup(bool unified, char *path, size_t size)
{
    char line[4096];
    bool found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");

    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *where = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (where == NULL)
            continue;
        *controllers++ = '\0';
        *where++ = '\0';
        found = unified ? strcmp(line, "0") == 0 : has_word(controllers, "memory");
        if (found)
            snprintf(path, size, "%s", where);
    }
    if (file != NULL)
        fclose(file);
    return found;
}

/* The cgroup's path below a mount that shows the hierarchy from `root` on; NULL: not below it. */
static const char *below(const char *cgroup, const char *root)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);

    if (strncmp(cgroup, root, length) != 0 || (cgroup[length] != '/' && cgroup[length] != '\0'))
        return NULL;
    return cgroup + length;
}

/* One line of mountinfo: "id parent dev ROOT POINT options … - TYPE source SUPEROPTIONS". */
static int open_below(char *line, bool unified, const char *cgroup, const char *name)
{
    char root[1024];
    char point[1024];
    char type[64];
    char options[1024];
    char path[8192];

    const char *tail = strstr(line, " - ");
    if (tail == NULL || sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) != 2 ||
        sscanf(tail, " - %63s %*s %1023s", type, options) != 2)
        return -1;
    if (strcmp(type, unified ? "cgroup2" : "cgroup") != 0 ||
        (!unified && !has_word(options, "memory")))
        return -1;
    const char *rest = below(cgroup, root);
    if (rest == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s%s/%s", point, rest, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static int open_counter(bool unified, const char *name)
{
    char cgroup[4096];
    char line[4096];
    int fd = -1;

    if (!find_cgroup(unified, cgroup, sizeof(cgroup)))
        return -1;
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    while (mounts != NULL && fd < 0 && fgets(line, sizeof(line), mounts) != NULL)
        fd = open_below(line, unified, cgroup, name);
    if (mounts != NULL)
        fclose(mounts);
    return fd;
}

/* The number now; the last one when it cannot be read. */
static unsigned long long read_counter(void)
{
    char text[512];
    ssize_t length = counter >= 0 ? pread(counter, text, sizeof(text) - 1, 0) : 0;

    if (length <= 0)
        return last_seen;
    text[length] = '\0';
    const char *line = strstr(text, "oom_kill ");
    return line != NULL ? strtoull(line + strlen("oom_kill "), NULL, 10) : last_seen;
}

void oom_open(void)
{
    counter = open_counter(true, "memory.events");
    if (counter < 0)
        counter = open_counter(false, "memory.oom_control");
    last_seen = read_counter();
}

bool oom_happened(void)
{
    unsigned long long now = read_counter();
    bool went_up = now > last_seen;

    last_seen = now;
    return went_up;
}
