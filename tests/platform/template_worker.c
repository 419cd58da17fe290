/* SPDX-License-Identifier: MIT */
/*
 * A worker like any other, whose template does to the launcher what its argument says.
 */
#include <bulkhead/worker.h>

#include "platform/linux/protocol.h"

#include "platform/linux/socket.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

static const char *how;

static bool is(const char *what)
{
    return strcmp(how, what) == 0;
}

static void say(uint32_t type, uint64_t cookie, int64_t pid)
{
    struct bhl_template_message message = {
        .magic = BHL_MAGIC, .type = type, .cookie = cookie, .pid = pid};

    bhl_send(BHL_FD_TEMPLATE, &message, sizeof message, NULL, 0);
}

/* Waits for an order. @return its cookie */
static uint64_t await_order(void)
{
    struct bhl_template_message order;
    struct pollfd p = {.fd = BHL_FD_TEMPLATE, .events = POLLIN};
    struct bhl_mail mail;

    poll(&p, 1, -1);
    bhl_receive(BHL_FD_TEMPLATE, &order, sizeof order, &mail);
    if (mail.bytes != sizeof order)
        _exit(0);
    return order.cookie;
}

/* The number of another child of the launcher: a worker. */
static int64_t find_sibling(void)
{
    DIR *proc = opendir("/proc");
    int64_t found = 0;

    for (struct dirent *entry; found == 0 && proc != NULL && (entry = readdir(proc)) != NULL;) {
        char path[300], text[300];
        int parent;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue;
        if (fgets(text, sizeof text, file) != NULL && strrchr(text, ')') != NULL &&
            sscanf(strrchr(text, ')'), ") %*c %d", &parent) == 1 && parent == getppid() &&
            atoi(entry->d_name) != getpid())
            found = atoi(entry->d_name);
        fclose(file);
    }
    if (proc != NULL)
        closedir(proc);
    return found;
}

/* A process that leads a session, but is not the launcher's child. */
static int64_t make_child(void)
{
    int64_t pid = fork();

    if (pid == 0) {
        setsid();
        pause();
    }
    usleep(20000); /* as long as it likes: the launcher must refuse it at any time */
    return pid;
}

/* A child of the launcher that leads no session. */
static int64_t make_orphan(void)
{
    int pipe_fds[2];
    pid_t pid = 0;

    if (pipe(pipe_fds) == 0 && fork() == 0) {
        pid = fork();
        if (pid == 0)
            pause();
        _exit(write(pipe_fds[1], &pid, sizeof pid) < 0);
    }
    while (wait(NULL) < 0)
        continue;
    return read(pipe_fds[0], &pid, sizeof pid) == sizeof pid ? pid : 0;
}

static void send_raw(const void *bytes, size_t size)
{
    send(BHL_FD_TEMPLATE, bytes, size, MSG_NOSIGNAL);
}

static void send_descriptors(void)
{
    const struct bhl_template_message message = {.magic = BHL_MAGIC, .type = BHL_TEMPLATE_READY};
    const int fds[] = {0, 1, 2};

    bhl_send(BHL_FD_TEMPLATE, &message, sizeof message, fds, 3);
}

/* Instead of READY, or after it. */
static void begin_badly(void)
{
    struct {
        struct bhl_template_message message;
        char more[8];
    } ready = {.message = {.magic = BHL_MAGIC, .type = BHL_TEMPLATE_READY}};

    if (is("garbage")) {
        ready.message.magic++;
        send_raw(&ready, sizeof ready.message);
    } else if (is("short")) {
        send_raw(&ready, sizeof ready.message - 1);
    } else if (is("long")) {
        send_raw(&ready, sizeof ready);
    } else if (is("descriptors")) {
        send_descriptors();
    } else if (is("closes")) {
        close(BHL_FD_TEMPLATE);
    } else if (is("early")) {
        say(BHL_TEMPLATE_FORKED, 1, getpid());
    } else {
        say(BHL_TEMPLATE_READY, 0, 0);
    }
    if (is("unasked"))
        say(BHL_TEMPLATE_FORKED, 1, getpid());
    if (is("failed"))
        say(BHL_TEMPLATE_FAILED, 1, 0);
    if (is("type"))
        say(BHL_TEMPLATE_FORK, 1, 0);
    if (is("twice"))
        say(BHL_TEMPLATE_READY, 0, 0);
    while (is("flood"))
        say(BHL_TEMPLATE_READY, 0, 0);
}

static void answer_badly(uint64_t cookie)
{
    if (is("itself"))
        say(BHL_TEMPLATE_FORKED, cookie, getpid());
    else if (is("launcher"))
        say(BHL_TEMPLATE_FORKED, cookie, getppid());
    else if (is("init"))
        say(BHL_TEMPLATE_FORKED, cookie, 1);
    else if (is("nobody"))
        say(BHL_TEMPLATE_FORKED, cookie, 0);
    else if (is("group"))
        say(BHL_TEMPLATE_FORKED, cookie, -1);
    else if (is("large"))
        say(BHL_TEMPLATE_FORKED, cookie, (INT64_C(1) << 32) + getpid());
    else if (is("sibling"))
        say(BHL_TEMPLATE_FORKED, cookie, find_sibling());
    else if (is("child"))
        say(BHL_TEMPLATE_FORKED, cookie, make_child());
    else if (is("orphan"))
        say(BHL_TEMPLATE_FORKED, cookie, make_orphan());
    else if (is("other"))
        say(BHL_TEMPLATE_FORKED, cookie + 1, getpid());
    else if (is("dies"))
        abort();
    else if (is("fails"))
        say(BHL_TEMPLATE_FAILED, cookie, 0);
}

static int init(int argc, char **argv, void **context)
{
    (void)context;
    how = argc > 1 ? argv[1] : "";
    if (strspn(getenv(BHL_ENVIRONMENT), "0") != BHL_COOKIE_DIGITS)
        return 0;
    begin_badly();
    for (;;)
        answer_badly(await_order());
}

static void add(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t n = 0;

    (void)context;
    if (count == 1)
        bh_value_get_int64(&arguments[0], &n);
    if (n < 0)
        abort();
    bh_value reply = bh_value_int64(n + 1);
    bh_call_reply(call, &reply);
}

int main(int argc, char **argv)
{
    static const struct bh_method methods[] = {{"add", add, NULL}, {NULL, NULL, NULL}};
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    worker.init = init;
    worker.fork_safe = true;
    return bh_worker_main(argc, argv, &worker);
}
