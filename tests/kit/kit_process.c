/* SPDX-License-Identifier: MIT */
/*
 * Processes and files for the kit and for tests. Everything waits on a descriptor with a deadline;
 * the one loop that looks again and again is kit_wait_until().
 *
 * The tree of processes is read from /proc. The supervisor of a test is a subreaper, so that
 * orphans of a test become its children: the tree below it is complete, however a process was
 * daemonised.
 */
#include "kit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- time ------------------------------------------------------------------------------------ */

int64_t kit_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

bool kit_wait_until(bool (*condition)(void *argument), void *argument, int deadline_ms)
{
    const struct timespec pause = {0, 1000000};
    int64_t until = kit_now_ms() + (int64_t)deadline_ms * kit_slowdown();
    while (!condition(argument)) {
        if (kit_now_ms() >= until)
            return condition(argument);
        ppoll(NULL, 0, &pause, NULL);
    }
    return true;
}

bool kit_readable(int fd, int64_t until)
{
    for (;;) {
        int64_t left = until - kit_now_ms();
        struct timespec timeout = {left > 0 ? left / 1000 : 0,
                                   left > 0 ? left % 1000 * 1000000 : 0};
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        int ready = ppoll(&entry, 1, &timeout, NULL);
        if (ready >= 0 || errno != EINTR)
            return ready > 0;
    }
}

/* ---- threads --------------------------------------------------------------------------------- */

struct kit_thread {
    pthread_t system;
    void (*run)(void *context);
    void *context;
};

static void *run_thread(void *context)
{
    kit_thread *thread = context;
    thread->run(thread->context);
    return NULL;
}

kit_thread *kit_thread_start(void (*run)(void *context), void *context)
{
    kit_thread *thread = malloc(sizeof *thread);
    if (!thread)
        FAIL("no memory");
    thread->run = run;
    thread->context = context;
    int error = pthread_create(&thread->system, NULL, run_thread, thread);
    if (error)
        FAIL("no thread: %s", strerror(error));
    return thread;
}

void kit_thread_join(kit_thread *thread)
{
    pthread_join(thread->system, NULL);
    free(thread);
}

struct kit_gate {
    sem_t system;
};

kit_gate *kit_gate_new(void)
{
    kit_gate *gate = malloc(sizeof *gate);
    if (!gate || sem_init(&gate->system, 0, 0) != 0)
        FAIL("no gate: %s", strerror(errno));
    return gate;
}

void kit_gate_free(kit_gate *gate)
{
    sem_destroy(&gate->system);
    free(gate);
}

void kit_gate_open(kit_gate *gate)
{
    sem_post(&gate->system);
}

void kit_gate_pass(kit_gate *gate)
{
    while (sem_wait(&gate->system) != 0)
        continue;
}

/* ---- this process ---------------------------------------------------------------------------- */

uint64_t kit_peak_kib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss;
}

bool kit_is_ready(intptr_t waitable, int ms)
{
    struct pollfd ready = {.fd = (int)waitable, .events = POLLIN};

    return poll(&ready, 1, ms) == 1;
}

int kit_own_pid(void)
{
    return getpid();
}

void kit_set_environment(const char *name, const char *value)
{
    setenv(name, value, 1);
}

void kit_get_directory(char *path, size_t size)
{
    if (!getcwd(path, size))
        FAIL("no working directory: %s", strerror(errno));
}

void kit_pause_ms(int64_t ms)
{
    kit_pause_us(ms * 1000);
}

void kit_pause_us(int64_t us)
{
    const struct timespec time = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&time, NULL);
}

void kit_hang(void)
{
    for (;;)
        pause();
}

void kit_start_stray(void)
{
    signal(SIGTERM, SIG_IGN);
    if (fork() != 0)
        return;
    setsid();
    kit_hang();
}

void kit_stray_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
}

void kit_kill_self(void)
{
    kill(getpid(), SIGKILL);
    kit_hang();
}

/* ---- files ----------------------------------------------------------------------------------- */

char *kit_read_descriptor(int fd)
{
    size_t length = 0, room = 4096;
    char *text = malloc(room);
    ssize_t got = 0;
    while (text && (got = pread(fd, text + length, room - length - 1, (off_t)length)) > 0) {
        length += (size_t)got;
        if (length + 1 == room) {
            char *larger = realloc(text, room *= 2);
            if (!larger)
                free(text);
            text = larger;
        }
    }
    if (text)
        text[length] = '\0';
    return text;
}

char *kit_read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *text = kit_read_descriptor(fd);
    close(fd);
    return text;
}

int kit_nameless_file(void)
{
    const char *directory = getenv("TMPDIR");
    int fd = open(directory ? directory : "/tmp", O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        FAIL("no temporary file: %s", strerror(errno));
    return fd;
}

/* ---- the tree -------------------------------------------------------------------------------- */

/* The name in /proc/PID/stat is in parentheses and may hold any character, ')' included. */
static bool read_stat(int pid, struct kit_process *process)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    char *text = kit_read_file(path);
    char *name = text ? strchr(text, '(') : NULL;
    char *end = text ? strrchr(text, ')') : NULL;
    bool good = name && end && sscanf(end + 1, " %c %d", &process->state, &process->parent) == 2;
    if (good) {
        process->pid = pid;
        snprintf(process->name, sizeof process->name, "%.*s", (int)(end - name - 1), name + 1);
    }
    free(text);
    return good;
}

static struct kit_process *read_all(size_t *count)
{
    size_t room = 512;
    struct kit_process *all = malloc(room * sizeof *all);
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    *count = 0;
    while (all && proc && (entry = readdir(proc))) {
        int pid = atoi(entry->d_name);
        if (pid <= 0 || !read_stat(pid, &all[*count]) || ++*count < room)
            continue;
        struct kit_process *larger = realloc(all, (room *= 2) * sizeof *all);
        if (!larger)
            break;
        all = larger;
    }
    if (proc)
        closedir(proc);
    return all;
}

/* /proc/PID/environ is a row of NUL-terminated strings. */
static bool carries(int pid, const char *marker)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    char text[65536];
    ssize_t length = 0, got;
    while ((got = read(fd, text + length, sizeof text - (size_t)length)) > 0)
        length += got;
    close(fd);
    return memmem(text, (size_t)length, marker, strlen(marker)) != NULL;
}

static bool is_listed(const struct kit_process *list, size_t count, int pid)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].pid == pid)
            return true;
    }
    return false;
}

/* Moves the processes below `root` to the front, generation by generation. @return how many */
static size_t gather_below(int root, struct kit_process *all, size_t total)
{
    size_t found = 0, before;
    do {
        before = found;
        for (size_t i = found; i < total; i++) {
            if (all[i].parent != root && !is_listed(all, found, all[i].parent))
                continue;
            struct kit_process process = all[i];
            all[i] = all[found];
            all[found++] = process;
        }
    } while (found != before);
    return found;
}

struct kit_process *kit_process_tree(int root, const char *marker, size_t *count)
{
    size_t total;
    struct kit_process *all = read_all(&total);
    size_t below = gather_below(root, all, total);
    *count = 0;
    for (size_t i = 0; i < total; i++) {
        bool ours = i < below || (marker && carries(all[i].pid, marker));
        bool alive = all[i].state != 'Z' && all[i].state != 'X';
        if (ours && alive && all[i].pid != root && all[i].pid != getpid())
            all[(*count)++] = all[i];
    }
    return all;
}

/* ---- for tests ------------------------------------------------------------------------------- */

int kit_pidfd(int pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

bool kit_pid_gone(int pid, int deadline_ms)
{
    int fd = kit_pidfd(pid);
    if (fd < 0)
        return errno == ESRCH;
    bool gone = kit_readable(fd, kit_now_ms() + (int64_t)deadline_ms * kit_slowdown());
    close(fd);
    return gone;
}

bool kit_pid_kill(int pid)
{
    return kill(pid, SIGKILL) == 0;
}

static bool is_stopped(void *pid)
{
    struct kit_process process;
    return !read_stat(*(int *)pid, &process) || strchr("TZX", process.state);
}

/* The signal is on its way when kill() returns; the state tells when it has arrived. */
bool kit_pid_stop(int pid)
{
    if (kill(pid, SIGSTOP) != 0)
        return false;
    CHECK(kit_wait_until(is_stopped, &pid, 5000));
    return true;
}

void kit_pid_continue(int pid)
{
    kill(pid, SIGCONT);
}

size_t kit_descendants(int *pids, size_t max)
{
    size_t count;
    struct kit_process *tree = kit_process_tree(kit_settings.supervisor, NULL, &count);
    for (size_t i = 0; i < count && i < max; i++)
        pids[i] = tree[i].pid;
    free(tree);
    return count;
}

static void redirect(posix_spawn_file_actions_t *actions, int from, int to)
{
    if (from < 0)
        posix_spawn_file_actions_addopen(actions, to, "/dev/null", O_RDWR, 0);
    else
        posix_spawn_file_actions_adddup2(actions, from, to);
}

int kit_spawn(const char *const argv[], int in_fd, int out_fd, int err_fd)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    redirect(&actions, in_fd, 0);
    redirect(&actions, out_fd, 1);
    redirect(&actions, err_fd, 2);
    pid_t pid;
    int error =
        posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        FAIL("cannot run %s: %s", argv[0], strerror(error));
    return pid;
}

int kit_start(const char *const argv[])
{
    return kit_spawn(argv, -1, STDOUT_FILENO, STDERR_FILENO);
}

void kit_end(int pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static int file_with(const char *text)
{
    if (!text)
        return -1;
    int fd = kit_nameless_file();
    size_t length = strlen(text);
    if (write(fd, text, length) != (ssize_t)length)
        FAIL("cannot write %zu bytes: %s", length, strerror(errno));
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* The output of a finished program. */
static void hand_over(int fd, char **text)
{
    if (text)
        *text = kit_read_descriptor(fd);
    close(fd);
}

bool kit_run(const char *const argv[], const char *input, char **out, char **err, int *status,
             int deadline_ms)
{
    int in_fd = file_with(input), out_fd = kit_nameless_file(), err_fd = kit_nameless_file();
    int pid = kit_spawn(argv, in_fd, out_fd, err_fd);
    bool in_time = kit_pid_gone(pid, deadline_ms);
    if (!in_time)
        kill(pid, SIGKILL);
    int ended = 0;
    waitpid(pid, &ended, 0);
    if (status)
        *status = WIFEXITED(ended) ? WEXITSTATUS(ended) : -WTERMSIG(ended);
    if (in_fd >= 0)
        close(in_fd);
    hand_over(out_fd, out);
    hand_over(err_fd, err);
    return in_time;
}
