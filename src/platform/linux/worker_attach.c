/* SPDX-License-Identifier: MIT */
/*
 * The worker's end of the lane is put up here: what was inherited is checked and mapped, the
 * process is bound to its launcher, and the hooks that leave evidence are installed.
 *
 * Model: three inherited descriptors, a cookie to compare, and then a struct bhl_worker_end that
 * does not change any more. The halves' descriptors are closed once mapped; the control socket
 * stays.
 *
 * Invariants: nothing is believed because it has the right number: files are measured, the socket
 * is asked what it is, and remembered by its inode, since libraries close and reuse what they do
 * not know. Whatever speaks for the worker first asks whether it is the worker, not a forked child.
 */
#include "worker_end.h"

#include "core/problem.h"
#include "worker/channel.h"
#include "worker/ticket.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof BHI_TICKET_PREFIX == sizeof BHL_ARGUMENT, "one argument, two names");

struct bhl_worker_end bhl_worker_end;
char *bhl_worker_ticket;

/* ---- the end of it --------------------------------------------------------------------------- */

static void write_stderr(const char *text, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDERR_FILENO, text, length);

        if (written < 0 && errno != EINTR)
            return;
        if (written > 0) {
            text += written;
            length -= (size_t)written;
        }
    }
}

void bhl_worker_die(const char *format, ...)
{
    char text[256] = "bulkhead: ";
    size_t length = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + length, sizeof text - length - 1, format, arguments);
    va_end(arguments);
    length = strlen(text);
    text[length++] = '\n';
    write_stderr(text, length);
    /* Pairs with the dispatcher's load in bhp_worker_box(). */
    if (getpid() == bhl_worker_end.pid)
        atomic_store_explicit(&bhl_worker_end.reply->exiting, 1, memory_order_release);
    _exit(BHL_STATUS_PROTOCOL);
}

/* The atexit hook. A forked child that exits says nothing about the worker. */
static void mark_exiting(void)
{
    /* Pairs with the dispatcher's load in bhp_worker_box(). */
    if (getpid() == bhl_worker_end.pid)
        atomic_store_explicit(&bhl_worker_end.reply->exiting, 1, memory_order_release);
}

/* ---- the control socket ---------------------------------------------------------------------- */

bool bhl_worker_control_ours(void)
{
    struct stat status;

    return fstat(BHL_FD_CONTROL, &status) == 0 && S_ISSOCK(status.st_mode) &&
           status.st_dev == bhl_worker_end.control_device &&
           status.st_ino == bhl_worker_end.control_inode;
}

int bhl_worker_send(const struct bhl_control *message, int fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = sizeof *message};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t sent;

    if (fd >= 0) {
        memset(&control, 0, sizeof control);
        control.align.cmsg_len = CMSG_LEN(sizeof fd);
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        header.msg_control = &control;
        header.msg_controllen = sizeof control;
        memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
    }
    do
        sent = sendmsg(BHL_FD_CONTROL, &header, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? errno : 0;
}

/* ---- attaching ------------------------------------------------------------------------------- */

static int refuse(struct bh_problem *problem, int fd, const char *what)
{
    return bhi_problem_set(problem, BH_E_START, 0,
                           "descriptor %d: %s (a Bulkhead dispatcher starts this program)", fd,
                           what);
}

/* Maps a whole half. NULL when the descriptor is no memory of at least a header. */
static void *map_half(int fd, int protection, uint64_t *bytes)
{
    struct stat status;
    void *memory;

    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size < BHL_HEADER_BYTES)
        return NULL;
    *bytes = (uint64_t)status.st_size;
    memory = mmap(NULL, *bytes, protection, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static int map_request(struct bhl_worker_end *end, int fd, uint64_t cookie,
                       struct bh_problem *problem)
{
    const struct bhl_request_half *half;
    uint64_t bytes;

    half = map_half(fd, PROT_READ, &bytes);
    if (half == NULL || half->magic != BHL_MAGIC || half->bytes != bytes)
        return refuse(problem, BHL_FD_REQUEST, "not the request half of a lane");
    if (half->version != BHL_VERSION)
        return bhi_problem_set(problem, BH_E_START, 0,
                               "the dispatcher speaks version %" PRIu32
                               " of the protocol, this worker version %u",
                               half->version, BHL_VERSION);
    if (half->cookie != cookie)
        return refuse(problem, BHL_FD_REQUEST, "the lane of another worker");
    end->request = half;
    end->request_data = (const unsigned char *)half + BHL_HEADER_BYTES;
    end->request_room = bytes - BHL_HEADER_BYTES;
    end->max_reply = half->max_reply_bytes;
    return BH_OK;
}

static int map_reply(struct bhl_worker_end *end, int fd, struct bh_problem *problem)
{
    struct bhl_reply_half *half;
    uint64_t bytes;

    half = map_half(fd, PROT_READ | PROT_WRITE, &bytes);
    if (half == NULL || bytes != end->request->reply_bytes + 2 * end->request->partial_bytes)
        return refuse(problem, BHL_FD_REPLY, "not the reply half of a lane");
    end->reply = half;
    end->reply_data = (unsigned char *)half + BHL_HEADER_BYTES;
    end->reply_room = end->request->reply_bytes - BHL_HEADER_BYTES;
    end->partial_data = (unsigned char *)half + end->request->reply_bytes;
    return BH_OK;
}

static int look_at_control(struct bhl_worker_end *end, struct bh_problem *problem)
{
    struct stat status;
    int type = 0;
    socklen_t size = sizeof type;

    if (getsockopt(BHL_FD_CONTROL, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
        type != SOCK_SEQPACKET || fstat(BHL_FD_CONTROL, &status) != 0)
        return refuse(problem, BHL_FD_CONTROL, "not the control socket of a lane");
    end->control_device = status.st_dev;
    end->control_inode = status.st_ino;
    return BH_OK;
}

/* A page that reads 1 here and 0 in a forked child. */
static int make_fork_page(struct bhl_worker_end *end, struct bh_problem *problem)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    uint32_t *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED || madvise(page, size, MADV_WIPEONFORK) != 0)
        return bhi_problem_set(problem, BH_E_MEMORY, errno, "no memory to start");
    *page = 1;
    end->not_forked = page;
    return BH_OK;
}

bool bhl_worker_bind(pid_t launcher)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getppid() == launcher;
}

int bhl_worker_attach(struct bhl_worker_end *end, int request, int reply, uint64_t cookie,
                      struct bh_problem *problem)
{
    int error = map_request(end, request, cookie, problem);

    if (error == BH_OK)
        error = map_reply(end, reply, problem);
    if (error == BH_OK)
        error = look_at_control(end, problem);
    if (error == BH_OK)
        error = make_fork_page(end, problem);
    if (error != BH_OK)
        return error;
    /* The mappings are enough: nothing of ours to write to by a stray descriptor, nor to inherit.
     */
    close(request);
    close(reply);
    fcntl(BHL_FD_CONTROL, F_SETFD, FD_CLOEXEC);
    end->pid = getpid();
    bhl_worker_end = *end;
    return BH_OK;
}

void bhi_channel_prepare(void)
{
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* what a crash leaves in a buffer is lost */
}

char **bhi_channel_words(int argc, char **argv)
{
    bhl_worker_ticket = argc > 0 ? argv[argc - 1] : NULL;
    return argv;
}

/* What the process needs before any code of the worker's author runs. */
static int install(bool take_over, struct bh_problem *problem)
{
    if (bhl_worker_stack_enter() != BH_OK || atexit(mark_exiting) != 0)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory to start");
    bhl_worker_fault_install(take_over);
    return BH_OK;
}

int bhi_channel_open(uint64_t cookie, int64_t dispatcher_pid, struct bh_problem *problem)
{
    struct bhl_worker_end end = {.parent = getppid()};
    int error;

    (void)
        dispatcher_pid; /* it is the launcher that must outlive us, and it watches the dispatcher */
    if (!bhl_worker_bind(end.parent))
        return bhi_problem_set(problem, BH_E_START, 0, "the launcher is gone");
    if (cookie == 0) {
        error = bhl_template_open(end.parent, problem);
        return error == BH_OK ? install(false, problem) : error;
    }
    error = bhl_worker_attach(&end, BHL_FD_REQUEST, BHL_FD_REPLY, cookie, problem);
    return error == BH_OK ? install(end.request->rearm != 0, problem) : error;
}

int bhi_channel_announce(const bh_value *methods, struct bh_problem *problem)
{
    struct bhl_worker_end *end = &bhl_worker_end;
    struct bhl_control hello = {
        .magic = BHL_MAGIC, .type = BHL_CONTROL_HELLO, .version = BHL_VERSION, .pid = end->pid};
    size_t size;
    int error = bh_wire_size(methods, 1, NULL, &size);

    if (error != BH_OK)
        return bhi_problem_set(problem, error, 0, "cannot announce the methods: %s",
                               bh_error_text(error));
    if (size > end->reply_room)
        return bhi_problem_set(problem, BH_E_TOO_LARGE, 0,
                               "the method table has %zu bytes, the lane has room for %zu", size,
                               end->reply_room);
    bh_wire_write(end->reply_data, end->reply_room, methods, 1);
    hello.length = size;
    hello.flags = end->fork_safe ? BHL_HELLO_FORK_SAFE : 0;
    if (!bhl_worker_control_ours())
        return refuse(problem, BHL_FD_CONTROL, "init() closed the control socket");
    if (!bhl_worker_bind(end->parent)) /* again: init() may have changed the credentials */
        return bhi_problem_set(problem, BH_E_START, 0, "the launcher is gone");
    error = bhl_worker_send(&hello, -1);
    if (error != 0)
        return bhi_problem_set(problem, BH_E_SYSTEM, error, "cannot reach the dispatcher: %s",
                               strerror(error));
    return BH_OK;
}
