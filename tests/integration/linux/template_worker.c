/* SPDX-License-Identifier: MIT */
/*
 * A fork-safe worker that tells what it is. Its argument says what is wrong with its init() in a
 * template, and nowhere else: fail, exit, hang, crash, thread. "threads": one thread more,
 * anywhere. "print": it leaves a text in stdout's buffer. self() -> [pid, parent, session, pid of
 * init()]     shown() -> [command line's last word, cookie in the environment block, getenv()]
 * fds() -> what is open cpu() -> whether libc knows where it runs            atfork() -> calls of
 * the fork handler say(text), on stdout                                 stray() -> pid die(how):
 * abort, segv
 */
#include "check.h"

#include <bulkhead/worker.h>

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pid_t made_by;
static int forks;

static void reply_text(bh_call *call, const char *text)
{
    bh_value reply = bh_value_view(text);

    bh_call_reply(call, &reply);
}

static void self(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t numbers[] = {getpid(), getppid(), getsid(0), made_by};
    bh_value reply = bh_value_view_i64(numbers, 4);

    (void)arguments, (void)count, (void)context;
    bh_call_reply(call, &reply);
}

/* A whole file of strings, as /proc has them. @return bytes */
static size_t read_strings(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(text, 1, size - 1, file) : 0;

    if (file)
        fclose(file);
    text[length] = '\0';
    return length;
}

/* "WORD COOKIE-IN-ENVIRON COOKIE-BY-GETENV" */
static void shown(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    static char text[1 << 16];
    char out[512];
    const char *word = "", *cookie = "";

    (void)arguments, (void)count, (void)context;
    size_t length = read_strings("/proc/self/cmdline", text, sizeof(text));
    for (const char *at = text; at < text + length; at += strlen(at) + 1)
        word = at;
    int used = snprintf(out, sizeof(out), "%s ", word);
    length = read_strings("/proc/self/environ", text, sizeof(text));
    for (const char *at = text; at < text + length; at += strlen(at) + 1)
        if (strncmp(at, "BULKHEAD_COOKIE=", 16) == 0)
            cookie = at + 16;
    snprintf(out + used, sizeof(out) - (size_t)used, "%s %s", cookie, getenv("BULKHEAD_COOKIE"));
    reply_text(call, out);
}

static void fds(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    char out[1024] = "";
    DIR *directory = opendir("/proc/self/fd");

    (void)arguments, (void)count, (void)context;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char target[200] = "", line[256];
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fd == dirfd(directory))
            continue;
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
        target[length > 0 ? length : 0] = '\0';
        target[strcspn(target, ":")] = '\0'; /* "socket:[4711]" */
        snprintf(line, sizeof(line), "%d %s\n", fd, target);
        strncat(out, line, sizeof(out) - strlen(out) - 1);
    }
    if (directory)
        closedir(directory);
    reply_text(call, out);
}

/* libc reads the processor from memory that the kernel keeps right, if it was told of it. */
static void cpu(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value reply = bh_value_bool(true);
    cpu_set_t all;

    (void)arguments, (void)count, (void)context;
    sched_getaffinity(0, sizeof(all), &all);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        cpu_set_t one;
        unsigned real;
        if (!CPU_ISSET(i, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        sched_setaffinity(0, sizeof(one), &one);
        syscall(SYS_getcpu, &real, NULL, NULL);
        if (sched_getcpu() != i || real != (unsigned)i)
            reply = bh_value_bool(false);
    }
    sched_setaffinity(0, sizeof(all), &all);
    bh_call_reply(call, &reply);
}

static void atfork(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value reply = bh_value_int64(forks);

    (void)arguments, (void)count, (void)context;
    bh_call_reply(call, &reply);
}

static void say(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)call, (void)context;
    if (count == 1)
        printf("%.*s", (int)arguments[0].length, arguments[0].as.string);
}

static void stray(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value reply;

    (void)arguments, (void)count, (void)context;
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        kit_hang();
    }
    reply = bh_value_int64(pid);
    bh_call_reply(call, &reply);
}

static void die(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)call, (void)context;
    if (count == 1 && arguments[0].length == 5)
        abort();
    *(volatile int *)0 = 1;
}

static void count_fork(void)
{
    forks++;
}

static void *sleep_long(void *context)
{
    (void)context;
    kit_hang();
}

static void start_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, sleep_long, NULL);
}

static int go_wrong(const char *how)
{
    fprintf(stderr, "in the template: %s\n", how);
    if (strcmp(how, "hang") == 0)
        kit_hang();
    if (strcmp(how, "crash") == 0)
        raise(SIGSEGV);
    if (strcmp(how, "exit") == 0)
        exit(6);
    if (strcmp(how, "thread") == 0)
        start_thread();
    return strcmp(how, "fail") == 0 ? 5 : 0;
}

static int init(int argc, char **argv, void **context)
{
    const char *how = argc > 1 ? argv[1] : "";
    bool in_template = strspn(getenv("BULKHEAD_COOKIE"), "0") == 20;

    (void)context;
    made_by = getpid();
    pthread_atfork(NULL, NULL, count_fork);
    if (strcmp(how, "threads") == 0)
        start_thread();
    else if (strcmp(how, "print") == 0)
        printf("made ");
    else if (in_template && how[0] != '\0')
        return go_wrong(how);
    return 0;
}

static const struct bh_method methods[] = {
    {"self", self, NULL},   {"shown", shown, NULL},   {"fds", fds, NULL},
    {"cpu", cpu, NULL},     {"atfork", atfork, NULL}, {"say", say, NULL},
    {"stray", stray, NULL}, {"die", die, NULL},       {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    worker.init = init;
    worker.fork_safe = true;
    return bh_worker_main(argc, argv, &worker);
}
