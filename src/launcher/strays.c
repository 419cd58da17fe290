/* SPDX-License-Identifier: MIT */
/*
 * Strays: processes that became our children because their parents died.
 *
 * Model: our children are listed in /proc (task/TID/children, or, where the kernel lacks that, by
 * looking at every process's parent). One that is no worker is a stray. It belongs to a living
 * worker if its session is that worker's, or if its environment says so (BHL_ENVIRONMENT; a daemon
 * keeps that even if it makes a session of its own). A stray that belongs to nobody alive is
 * killed; when it is dead, its own children become ours and are found the next time.
 *
 * Invariants: only unreaped children of ours are signalled, so that a number cannot mean somebody
 * else. A round looks at a bounded number of children. A stray of a living worker is left alone.
 */
#include "launcher.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Children looked at in one round. */
#define ROUND_MAX 4096
/* The effort to kill everything before we go. */
#define LAST_ROUNDS 1000
#define LAST_PAUSE_NS 1000000

/* ---- our children ---- */

struct children {
    pid_t pids[ROUND_MAX];
    size_t count;
};

static void add(struct children *children, pid_t pid)
{
    if (pid > 0 && children->count < ROUND_MAX)
        children->pids[children->count++] = pid;
}

/* "123 456 …". @return whether the kernel has the list */
static bool list_by_kernel(struct children *children)
{
    char path[64];
    int pid;

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    while (children->count < ROUND_MAX && fscanf(file, "%d", &pid) == 1)
        add(children, pid);
    fclose(file);
    return true;
}

/* The parent in /proc/PID/stat: "PID (NAME) STATE PPID …", where NAME can hold anything. */
static pid_t parent_of(const char *pid)
{
    char path[64];
    char text[512];
    int parent = 0;

    snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    if (fd >= 0)
        close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *name_end = strrchr(text, ')');
    if (name_end == NULL || sscanf(name_end, ") %*c %d", &parent) != 1)
        return 0;
    return parent;
}

static void list_by_parent(struct children *children)
{
    DIR *proc = opendir("/proc");

    for (struct dirent *entry; proc != NULL && (entry = readdir(proc)) != NULL;) {
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            parent_of(entry->d_name) == getpid())
            add(children, atoi(entry->d_name));
    }
    if (proc != NULL)
        closedir(proc);
}

static const struct children *list(void)
{
    static struct children children;

    children.count = 0;
    if (!list_by_kernel(&children))
        list_by_parent(&children);
    return &children;
}

/* ---- whose they are ---- */

/* Finds "BULKHEAD_COOKIE=NUMBER" in an environment that comes in pieces. */
struct finder {
    size_t matched; /* characters of the name; NO_MATCH: not this variable */
    uint64_t cookie;
    bool found;
};

static const char wanted[] = BHL_ENVIRONMENT "=";
#define NO_MATCH SIZE_MAX

static void feed(struct finder *f, char c)
{
    if (c == '\0') {
        f->found = f->matched == sizeof(wanted) - 1 && f->cookie > 0;
        f->matched = 0;
    } else if (f->matched == sizeof(wanted) - 1 && c >= '0' && c <= '9') {
        f->cookie = f->cookie * 10 + (uint64_t)(c - '0');
    } else if (f->matched < sizeof(wanted) - 1 && c == wanted[f->matched]) {
        f->matched++;
        f->cookie = 0;
    } else {
        f->matched = NO_MATCH;
    }
}

/* The cookie in a process's environment, 0 if there is none to be read. */
static uint64_t cookie_of(pid_t pid)
{
    struct finder f = {0};
    char piece[4096];
    char path[64];
    ssize_t length;

    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    while (!f.found && (length = read(fd, piece, sizeof(piece))) > 0) {
        for (ssize_t i = 0; i < length && !f.found; i++)
            feed(&f, piece[i]);
    }
    close(fd);
    return f.found ? f.cookie : 0;
}

static bool belongs_to_living(const struct launcher *launcher, pid_t pid)
{
    pid_t session = getsid(pid);

    if (session > 0 && worker_by_pid(launcher, session) != NULL)
        return true;
    uint64_t cookie = cookie_of(pid);
    return cookie != 0 && worker_by_cookie(launcher, cookie) != NULL;
}

/* ---- killing ---- */

static void kill_and_reap(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, WNOHANG | __WALL);
}

int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

bool strays_kill(const struct launcher *launcher, int64_t until)
{
    const struct children *children = list();
    bool any = false;

    for (size_t i = 0; i < children->count; i++) {
        pid_t pid = children->pids[i];
        if (worker_by_pid(launcher, pid) != NULL)
            continue;
        if (until != INT64_MAX && now_ns() >= until)
            return true;
        if (!belongs_to_living(launcher, pid)) {
            kill_and_reap(pid);
            any = true;
        }
    }
    return any;
}

void strays_kill_all(struct launcher *launcher)
{
    const struct timespec pause = {0, LAST_PAUSE_NS};

    for (struct worker *w = launcher->workers; w != NULL; w = w->next) {
        if (w->pid != 0) {
            kill(-w->pid, SIGKILL);
            kill(w->pid, SIGKILL);
        }
    }
    for (int round = 0; round < LAST_ROUNDS; round++) {
        const struct children *children = list();
        for (size_t i = 0; i < children->count; i++)
            kill_and_reap(children->pids[i]);
        if (waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD)
            return;
        nanosleep(&pause, NULL);
    }
}
