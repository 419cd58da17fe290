/* SPDX-License-Identifier: MIT */
/*
 * The worker's end of the lane: src/worker/channel.h on two shared halves and a futex.
 *
 * Model: protocol.h describes the wake-up protocol; serve() below is its right-hand column. Waiting
 * costs two system calls for a request, the wait and the wake; everything else is loads and stores.
 *
 * Invariants: the bell is read before what it announces. `started` is stored before any handler can
 * run, `committed` after the whole answer. A serial is taken once. Only the worker itself answers:
 * a forked child that comes back out of a handler is ended. The dispatcher is trusted, but a
 * request that makes no sense means that one of the two is broken, and then the worker says so and
 * goes.
 */
#include "worker_end.h"

#include "core/problem.h"
#include "worker/channel.h"
#include "worker/ticket.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <signal.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof BHI_TICKET_PREFIX == sizeof BHL_ARGUMENT, "one argument, two names");

struct bhl_worker_end bhl_worker_end;

#define SECOND INT64_C(1000000000)
#define FOREVER INT64_MAX
/* How often an idle worker looks whether its launcher still is its parent. The kernel's own notice
 * (the parent-death signal) is lost when a library changes the process's credentials. */
#define LOOK_NS (30 * SECOND)

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

static int map_request(struct bhl_worker_end *end, uint64_t cookie, struct bh_problem *problem)
{
    const struct bhl_request_half *half;
    uint64_t bytes;

    half = map_half(BHL_FD_REQUEST, PROT_READ, &bytes);
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

static int map_reply(struct bhl_worker_end *end, struct bh_problem *problem)
{
    struct bhl_reply_half *half;
    uint64_t bytes;

    half = map_half(BHL_FD_REPLY, PROT_READ | PROT_WRITE, &bytes);
    if (half == NULL || bytes != end->request->reply_bytes)
        return refuse(problem, BHL_FD_REPLY, "not the reply half of a lane");
    end->reply = half;
    end->reply_data = (unsigned char *)half + BHL_HEADER_BYTES;
    end->reply_room = bytes - BHL_HEADER_BYTES;
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

/* Has the kernel kill the worker with its launcher. @return whether the launcher still is there */
static bool bind_to_launcher(pid_t launcher)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getppid() == launcher;
}

static int attach(struct bhl_worker_end *end, uint64_t cookie, struct bh_problem *problem)
{
    int error = map_request(end, cookie, problem);

    if (error == BH_OK)
        error = map_reply(end, problem);
    if (error == BH_OK)
        error = look_at_control(end, problem);
    if (error == BH_OK)
        error = make_fork_page(end, problem);
    if (error != BH_OK)
        return error;
    /* The mappings are enough: nothing of ours to write to by a stray descriptor, nor to inherit.
     */
    close(BHL_FD_REQUEST);
    close(BHL_FD_REPLY);
    fcntl(BHL_FD_CONTROL, F_SETFD, FD_CLOEXEC);
    return BH_OK;
}

int bhi_channel_open(uint64_t cookie, int64_t dispatcher_pid, struct bh_problem *problem)
{
    struct bhl_worker_end end = {.parent = getppid()};
    int error;

    (void)
        dispatcher_pid; /* it is the launcher that must outlive us, and it watches the dispatcher */
    if (!bind_to_launcher(end.parent))
        return bhi_problem_set(problem, BH_E_START, 0, "the launcher is gone");
    error = attach(&end, cookie, problem);
    if (error != BH_OK)
        return error;
    end.pid = getpid();
    bhl_worker_end = end;
    if (bhl_worker_stack_enter() != BH_OK || atexit(mark_exiting) != 0)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory to start");
    bhl_worker_fault_install(end.request->rearm != 0);
    return BH_OK;
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
    if (!bhl_worker_control_ours())
        return refuse(problem, BHL_FD_CONTROL, "init() closed the control socket");
    if (!bind_to_launcher(end->parent)) /* again: init() may have changed the credentials */
        return bhi_problem_set(problem, BH_E_START, 0, "the launcher is gone");
    error = bhl_worker_send(&hello, -1);
    if (error != 0)
        return bhi_problem_set(problem, BH_E_SYSTEM, error, "cannot reach the dispatcher: %s",
                               strerror(error));
    return BH_OK;
}

/* ---- answering ------------------------------------------------------------------------------- */

static void set_answer(uint32_t status, int32_t code, uint64_t length)
{
    struct bhl_reply_half *reply = bhl_worker_end.reply;

    reply->status = status;
    reply->code = code;
    reply->length = length;
    reply->segment = 0;
    reply->segment_bytes = 0;
}

static int too_large(size_t size, struct bh_problem *problem)
{
    return bhi_problem_set(problem, BH_E_TOO_LARGE, 0,
                           "%zu bytes are more than the pool's limit of %" PRIu64, size,
                           bhl_worker_end.max_reply);
}

int bhi_channel_reply(const bh_value *value, struct bh_problem *problem)
{
    struct bhl_worker_end *end = &bhl_worker_end;
    const struct bh_value_limits limits = {.bytes = UINT64_MAX};
    size_t size;
    int error = bh_wire_size(value, 1, &limits, &size);

    if (error != BH_OK)
        return bhi_problem_set(problem, error, 0, "%s", bh_error_text(error));
    if (size > end->max_reply)
        return too_large(size, problem);
    if (size <= end->reply_room) {
        error = bh_wire_write(end->reply_data, size, value, 1);
        if (error == BH_OK)
            set_answer(BHL_REPLIED, 0, size);
        return error;
    }
    error = bhl_worker_segment_send(end->taken, value, size, problem);
    if (error != BH_OK)
        return error;
    set_answer(BHL_REPLIED, 0, size);
    end->reply->segment = end->taken;
    end->reply->segment_bytes = size;
    return BH_OK;
}

void bhi_channel_fail(int32_t code, const char *text, size_t length)
{
    struct bhl_worker_end *end = &bhl_worker_end;

    if (length > end->reply_room) {
        length = end->reply_room;
        while (length > 0 && (text[length] & 0xc0) == 0x80)
            length--;
    }
    memcpy(end->reply_data, text, length);
    set_answer(BHL_FAILED, code, length);
}

void bhi_channel_progress(uint64_t done, uint64_t total)
{
    struct bhl_reply_half *reply = bhl_worker_end.reply;

    atomic_store_explicit(&reply->progress_done, done, memory_order_relaxed);
    atomic_store_explicit(&reply->progress_total, total, memory_order_relaxed);
    /* Pairs with the dispatcher's load in bhp_worker_box(): it sees at least these two. */
    atomic_fetch_add_explicit(&reply->progress, 1, memory_order_release);
}

bool bhi_channel_cancelled(uint64_t serial)
{
    /* Pairs with the dispatcher's store in bhp_worker_nudge(); nothing else hangs on it. */
    return atomic_load_explicit(&bhl_worker_end.request->cancel, memory_order_relaxed) == serial;
}

bool bhi_channel_forked(void)
{
    return *bhl_worker_end.not_forked == 0;
}

int bhi_channel_thread_enter(void)
{
    return bhl_worker_stack_enter();
}

void bhi_channel_thread_leave(void)
{
    bhl_worker_stack_leave();
}

/* ---- serving --------------------------------------------------------------------------------- */

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

/* Where the arguments are. NULL: no memory. */
static const void *find_arguments(const struct bhl_request_half *request)
{
    if (request->segment == 0) {
        if (request->length > bhl_worker_end.request_room)
            bhl_worker_die("arguments of %" PRIu64 " bytes do not fit into the lane",
                           request->length);
        return bhl_worker_end.request_data;
    }
    if (request->length > request->segment_bytes)
        bhl_worker_die("arguments of %" PRIu64 " bytes do not fit into their segment",
                       request->length);
    return bhl_worker_segment_map(request->segment, request->segment_bytes);
}

/* Decodes the arguments. @return whether there was the memory to do it */
static bool view_arguments(const struct bhl_request_half *request, bh_value *arguments)
{
    const struct bh_value_limits limits = {.bytes = UINT64_MAX};
    const void *memory = find_arguments(request);
    struct bh_problem problem;
    int error;

    *arguments = bh_value_null();
    if (memory == NULL)
        return false;
    error = bh_wire_view(arguments, memory, request->length, &limits, &problem);
    if (error != BH_OK && error != BH_E_MEMORY)
        bhl_worker_die("malformed arguments: %s", problem.text);
    return error == BH_OK;
}

/* Has the request answered, well or badly. */
static void handle(const struct bhi_channel_owner *owner, const bh_value *arguments)
{
    const struct bhl_worker_end *end = &bhl_worker_end;
    struct bhi_request request = {.serial = end->taken, .method = end->request->method};

    if (request.method >= owner->method_count)
        bhl_worker_die("there is no method number %" PRIu32, request.method);
    bh_value_get_array(arguments, &request.arguments, &request.count);
    owner->request(owner->context, &request);
    if (bhi_channel_forked())
        bhl_worker_die("a forked child of the worker returned from a handler");
}

static void commit(uint64_t serial)
{
    struct bhl_reply_half *reply = bhl_worker_end.reply;

    /* Both pair with the loads in bhp_lane_call(), bell first; `committed` carries the whole
     * answer. */
    atomic_store_explicit(&reply->committed, serial, memory_order_release);
    atomic_fetch_add_explicit(&reply->bell, 1, memory_order_release);
    syscall(SYS_futex, &reply->bell, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void serve_one(const struct bhi_channel_owner *owner, uint64_t serial)
{
    static const char no_memory[] = "no memory for the arguments";
    struct bhl_worker_end *end = &bhl_worker_end;
    bool transient = end->request->transient != 0 && end->request->segment != 0;
    bh_value arguments;

    if (end->request->rearm != 0)
        bhl_worker_fault_rearm();
    end->taken = serial;
    atomic_store_explicit(&end->reply->progress_done, 0, memory_order_relaxed);
    atomic_store_explicit(&end->reply->progress_total, 0, memory_order_relaxed);
    /* Pairs with the dispatcher's load in bhp_worker_box(), after the worker's end. */
    atomic_store_explicit(&end->reply->started, serial, memory_order_release);

    if (view_arguments(end->request, &arguments))
        handle(owner, &arguments);
    else
        bhi_channel_fail(BH_E_MEMORY, no_memory, sizeof no_memory - 1);
    commit(serial);
    bh_value_deinit(&arguments);
    if (transient)
        bhl_worker_segment_drop();
    owner->idle(owner->context);
}

/* Waits for the bell to change, until `until` at most. */
static void wait_for_bell(uint32_t bell, int64_t until)
{
    struct bhl_worker_end *end = &bhl_worker_end;
    int64_t look = now() + LOOK_NS;
    int64_t end_of_wait = until < look ? until : look;
    struct timespec time = {.tv_sec = end_of_wait / SECOND, .tv_nsec = end_of_wait % SECOND};
    /* The half is mapped read-only; the kernel only reads the word. */
    uint32_t *word = (uint32_t *)(uintptr_t)&end->request->bell;

    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, bell, &time, NULL, FUTEX_BITSET_MATCH_ANY) !=
            0 &&
        errno == ETIMEDOUT && !bind_to_launcher(end->parent))
        bhl_worker_die("the launcher is gone");
}

void bhi_channel_serve(const struct bhi_channel_owner *owner)
{
    const struct bhl_request_half *request = bhl_worker_end.request;
    int64_t patience = owner->idle_exit_ms == 0 ? FOREVER : owner->idle_exit_ms * INT64_C(1000000);
    int64_t until = patience == FOREVER ? FOREVER : now() + patience;

    for (;;) {
        /* Each pairs with the dispatcher's release in bhp_lane_call() or bhp_worker_quit(). */
        uint32_t bell = atomic_load_explicit(&request->bell, memory_order_acquire);
        uint64_t serial = atomic_load_explicit(&request->serial, memory_order_acquire);

        if (serial != bhl_worker_end.taken) {
            serve_one(owner, serial);
            until = patience == FOREVER ? FOREVER : now() + patience;
        } else if (atomic_load_explicit(&request->quit, memory_order_acquire) != 0 ||
                   (until != FOREVER && now() >= until)) {
            break; /* in vain for a request that comes now: it never starts, and will be sent
                      elsewhere */
        } else {
            wait_for_bell(bell, until);
        }
    }
    /* Pairs with the dispatcher's load in bhp_worker_box(). */
    atomic_store_explicit(&bhl_worker_end.reply->quitting, 1, memory_order_release);
}
