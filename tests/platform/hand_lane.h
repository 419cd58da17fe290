/* SPDX-License-Identifier: MIT */
/**
 * @file hand_lane.h
 * The dispatcher's part of the protocol, by hand: what worker_test.c and worker_fault_test.c stand
 * on. It uses protocol.h, libc and the values, nothing of the dispatcher's own code, so that a
 * mistake which both sides share cannot hide.
 *
 * hand_start() makes the halves and starts a worker program; hand_publish() sends a request and
 * hand_wait() waits for its answer or the worker's end. hand_end() takes everything back.
 */
#ifndef HAND_LANE_H
#define HAND_LANE_H

#include "check.h"

#include "platform/linux/protocol.h"

#include <bulkhead/value.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MISHAPS BH_TEST_BIN_DIR "/mishaps"
#define HOST BH_TEST_BIN_DIR "/bulkhead-host"
#define PLUGIN BH_TEST_BIN_DIR "/../lib/plugin.so"
#define ODD BH_TEST_DIR "/odd_worker"

#define HALF_BYTES 65536u
#define HAND_COOKIE 4711u
#define DEADLINE_MS 10000
#define ARGUMENTS_MAX 8

struct hand {
    /* chosen before hand_start() */
    uint64_t max_reply;
    uint32_t rearm;
    uint32_t version;        /* 0: the right one */
    uint64_t cookie_in_half; /* 0: the right one */
    uint64_t file_limit;     /* RLIMIT_FSIZE; 0: none */
    uint64_t memory_limit;   /* RLIMIT_AS; 0: none */
    /* the lane */
    struct bhl_request_half *request;
    const struct bhl_reply_half *reply;
    int request_fd, reply_fd, control, output;
    pid_t pid;
    uint64_t serial;
    uint64_t segments; /* made so far */
    /* what came of it */
    bh_value methods;
    void *methods_memory;
    bool ended;
    int status;      /* from waitpid() */
    char *text;      /* all it wrote, when it has ended */
    bh_value answer; /* of the last request: an array of one value */
    void *answer_memory;
};

static inline int hand_memory(const char *name, size_t bytes)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    CHECK(fd >= 0);
    CHECK_INT(ftruncate(fd, (off_t)bytes), 0);
    return fd;
}

static inline void hand_make_halves(struct hand *hand)
{
    struct bhl_request_half *request;
    void *reply;

    hand->request_fd = hand_memory("request", HALF_BYTES);
    hand->reply_fd = hand_memory("reply", HALF_BYTES);
    request = mmap(NULL, HALF_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, hand->request_fd, 0);
    reply = mmap(NULL, HALF_BYTES, PROT_READ, MAP_SHARED, hand->reply_fd, 0);
    CHECK(request != MAP_FAILED && reply != MAP_FAILED);
    CHECK_INT(fcntl(hand->request_fd, F_ADD_SEALS,
                    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL),
              0);
    CHECK_INT(fcntl(hand->reply_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    request->magic = BHL_MAGIC;
    request->version = hand->version != 0 ? hand->version : BHL_VERSION;
    request->bytes = HALF_BYTES;
    request->reply_bytes = HALF_BYTES;
    request->cookie = hand->cookie_in_half != 0 ? hand->cookie_in_half : HAND_COOKIE;
    request->max_request_bytes = (uint64_t)1 << 30;
    request->max_reply_bytes = hand->max_reply != 0 ? hand->max_reply : (uint64_t)1 << 30;
    request->rearm = hand->rearm;
    hand->request = request;
    hand->reply = reply;
}

/* In the child: descriptors 3, 4, 5, output, limits, exec. */
static inline void hand_become(const struct hand *hand, int control, int output, char **argv)
{
    struct rlimit limit = {hand->file_limit, hand->file_limit};
    struct rlimit memory = {hand->memory_limit, hand->memory_limit};
    int from[3] = {hand->request_fd, hand->reply_fd, control};

    for (int i = 0; i < 3; i++)
        from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 10);
    dup2(output, 1);
    dup2(output, 2);
    for (int i = 0; i < 3; i++)
        dup2(from[i], 3 + i);
    if (hand->file_limit != 0)
        setrlimit(RLIMIT_FSIZE, &limit);
    if (hand->memory_limit != 0)
        setrlimit(RLIMIT_AS, &memory);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    execv(argv[0], argv);
    _exit(127);
}

/**
 * Starts a worker. The descriptors that it inherits are exactly those of a launcher's child.
 * @param program and arguments, NULL-terminated; the ticket is added
 */
static inline void hand_start(struct hand *hand, const char *program, const char *const *arguments)
{
    char ticket[80];
    char *argv[ARGUMENTS_MAX + 2] = {(char *)(uintptr_t)program};
    int pair[2], tube[2], count = 1;

    for (; arguments != NULL && *arguments != NULL; arguments++)
        argv[count++] = (char *)(uintptr_t)*arguments;
    snprintf(ticket, sizeof ticket, BHL_ARGUMENT "test,%u,%d", HAND_COOKIE, getpid());
    argv[count] = ticket;
    hand_make_halves(hand);
    CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    CHECK_INT(pipe2(tube, O_CLOEXEC), 0);
    hand->pid = fork();
    CHECK(hand->pid >= 0);
    if (hand->pid == 0)
        hand_become(hand, pair[1], tube[1], argv);
    close(pair[1]);
    close(tube[1]);
    hand->control = pair[0];
    hand->output = tube[0];
    hand->methods = bh_value_null();
    hand->answer = bh_value_null();
}

/* ---- messages -------------------------------------------------------------------------------- */

/** Waits for a message from the worker. @return its descriptor or -1; false in *came: there is none
 */
static inline int hand_receive(const struct hand *hand, struct bhl_control *message, bool *came)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {message, sizeof *message};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    struct pollfd wait = {hand->control, POLLIN, 0};
    int fd = -1;

    CHECK(poll(&wait, 1, DEADLINE_MS * kit_slowdown()) == 1);
    *came = recvmsg(hand->control, &header, MSG_CMSG_CLOEXEC) == (ssize_t)sizeof *message;
    if (*came && CMSG_FIRSTHDR(&header) != NULL)
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof fd);
    return fd;
}

/** Sends a descriptor as segment `id`. */
static inline void hand_send_segment(const struct hand *hand, uint64_t id, uint64_t bytes, int fd)
{
    struct bhl_control message = {.magic = BHL_MAGIC,
                                  .type = BHL_CONTROL_SEGMENT,
                                  .version = BHL_VERSION,
                                  .id = id,
                                  .bytes = bytes};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.align = {CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {&message, sizeof message};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};

    memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
    CHECK(sendmsg(hand->control, &header, MSG_NOSIGNAL) == (ssize_t)sizeof message);
}

/** Waits for the worker's HELLO and reads its method table. */
static inline void hand_hello(struct hand *hand)
{
    struct bhl_control hello;
    bool came;

    CHECK_INT(hand_receive(hand, &hello, &came), -1);
    if (!came)
        FAIL("the worker ended before it was ready");
    CHECK_INT(hello.magic, BHL_MAGIC);
    CHECK_INT(hello.type, BHL_CONTROL_HELLO);
    CHECK_INT(hello.version, BHL_VERSION);
    CHECK_INT(hello.pid, hand->pid);
    CHECK(hello.length <= HALF_BYTES - BHL_HEADER_BYTES);
    hand->methods_memory = malloc(hello.length);
    memcpy(hand->methods_memory, (const char *)hand->reply + BHL_HEADER_BYTES, hello.length);
    CHECK_INT(bh_wire_view(&hand->methods, hand->methods_memory, hello.length, NULL, NULL), BH_OK);
    CHECK_INT(hand->methods.length, 1);
}

/** The number of a method. */
static inline uint32_t hand_method(const struct hand *hand, const char *name)
{
    const bh_value *table = &hand->methods.as.items[0];

    for (uint32_t i = 0; i < table->length; i++) {
        const bh_value *text = bh_map_get(&table->as.items[i], "name");
        CHECK(text != NULL);
        if (text->length == strlen(name) && memcmp(text->as.string, name, text->length) == 0)
            return i;
    }
    FAIL("no method %s", name);
}

/** Starts a worker and waits until it is ready. */
static inline void hand_ready(struct hand *hand, const char *program, const char *const *arguments)
{
    hand_start(hand, program, arguments);
    hand_hello(hand);
}

/* ---- requests -------------------------------------------------------------------------------- */

static inline void hand_ring(struct hand *hand)
{
    atomic_fetch_add_explicit(&hand->request->bell, 1, memory_order_release);
    syscall(SYS_futex, &hand->request->bell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/** Publishes what is in the head and the data. */
static inline void hand_publish_raw(struct hand *hand, uint32_t method, uint64_t length)
{
    hand->request->method = method;
    hand->request->length = length;
    atomic_store_explicit(&hand->request->serial, ++hand->serial, memory_order_release);
    hand_ring(hand);
}

/** Sends a request inline. */
static inline void hand_publish(struct hand *hand, const char *method, const bh_value *arguments,
                                size_t count)
{
    size_t size;

    CHECK_INT(bh_wire_size(arguments, count, NULL, &size), BH_OK);
    CHECK(size <= HALF_BYTES - BHL_HEADER_BYTES);
    bh_wire_write((char *)hand->request + BHL_HEADER_BYTES, size, arguments, count);
    hand->request->segment = 0;
    hand->request->segment_bytes = 0;
    hand->request->transient = 0;
    hand_publish_raw(hand, hand_method(hand, method), size);
}

/** Waits for the worker's end; reads all it wrote. */
static inline void hand_wait_end(struct hand *hand)
{
    size_t room = 1 << 16, used = 0;
    ssize_t got;

    CHECK(kit_pid_gone(hand->pid, DEADLINE_MS));
    CHECK_INT(waitpid(hand->pid, &hand->status, 0), hand->pid);
    hand->ended = true;
    hand->text = calloc(1, room + 1);
    fcntl(hand->output, F_SETFL, O_NONBLOCK);
    while (used < room && (got = read(hand->output, hand->text + used, room - used)) > 0)
        used += (size_t)got;
}

/** Waits until *word is not `seen` any more, a moment at most. */
static inline void hand_nap(const _Atomic uint32_t *word, uint32_t seen)
{
    struct timespec moment = {0, 50000000};

    syscall(SYS_futex, word, FUTEX_WAIT, seen, &moment, NULL, 0);
}

/** Waits for the answer to the last request. @return false when the worker ended instead */
static inline bool hand_wait(struct hand *hand)
{
    int64_t until = kit_now_ms() + (int64_t)DEADLINE_MS * kit_slowdown();
    siginfo_t end;

    for (;;) {
        uint32_t bell = atomic_load_explicit(&hand->reply->bell, memory_order_acquire);
        end.si_pid = 0;
        waitid(P_PID, (id_t)hand->pid, &end, WEXITED | WNOHANG | WNOWAIT);
        if (atomic_load_explicit(&hand->reply->committed, memory_order_acquire) == hand->serial)
            return true;
        if (end.si_pid != 0) {
            hand_wait_end(hand);
            return false;
        }
        CHECK(kit_now_ms() < until);
        hand_nap(&hand->reply->bell, bell);
    }
}

/** Copies the answer's bytes out of the half. */
static inline const bh_value *hand_answer(struct hand *hand)
{
    uint64_t length = hand->reply->length;

    CHECK_INT(hand->reply->status, BHL_REPLIED);
    CHECK_INT(hand->reply->segment, 0);
    CHECK(length <= HALF_BYTES - BHL_HEADER_BYTES);
    bh_value_deinit(&hand->answer);
    free(hand->answer_memory);
    hand->answer_memory = malloc(length + 1);
    memcpy(hand->answer_memory, (const char *)hand->reply + BHL_HEADER_BYTES, length);
    CHECK_INT(bh_wire_view(&hand->answer, hand->answer_memory, length, NULL, NULL), BH_OK);
    CHECK_INT(hand->answer.length, 1);
    return &hand->answer.as.items[0];
}

/** Calls and expects a reply. Valid until the next one. */
static inline const bh_value *hand_call(struct hand *hand, const char *method,
                                        const bh_value *arguments, size_t count)
{
    hand_publish(hand, method, arguments, count);
    if (!hand_wait(hand))
        FAIL("%s: the worker ended, status %#x: %s", method, (unsigned)hand->status, hand->text);
    return hand_answer(hand);
}

/** Calls and expects an integer. */
static inline int64_t hand_call_int64(struct hand *hand, const char *method,
                                      const bh_value *arguments, size_t count)
{
    int64_t number;

    CHECK_INT(bh_value_get_int64(hand_call(hand, method, arguments, count), &number), BH_OK);
    return number;
}

/** The text of a failure, NUL-terminated; valid until the next request. */
static inline const char *hand_failure(struct hand *hand, int32_t code)
{
    uint64_t length = hand->reply->length;

    CHECK_INT(hand->reply->status, BHL_FAILED);
    CHECK_INT(hand->reply->code, code);
    free(hand->answer_memory);
    bh_value_deinit(&hand->answer);
    hand->answer_memory = calloc(1, length + 1);
    return memcpy(hand->answer_memory, (const char *)hand->reply + BHL_HEADER_BYTES, length);
}

/** Calls and expects the worker's end. */
static inline void hand_die(struct hand *hand, const char *method, const bh_value *arguments,
                            size_t count)
{
    hand_publish(hand, method, arguments, count);
    CHECK(!hand_wait(hand));
}

/** mishaps' die(kind). */
static inline void hand_die_by(struct hand *hand, const char *kind)
{
    bh_value argument = bh_value_view(kind);

    hand_ready(hand, MISHAPS, NULL);
    hand_die(hand, "die", &argument, 1);
}

/** Ends the worker if it lives, and frees everything. */
static inline void hand_end(struct hand *hand)
{
    if (!hand->ended) {
        kill(hand->pid, SIGKILL);
        waitpid(hand->pid, NULL, 0);
    }
    bh_value_deinit(&hand->methods);
    bh_value_deinit(&hand->answer);
    free(hand->methods_memory);
    free(hand->answer_memory);
    free(hand->text);
    close(hand->control);
    close(hand->output);
    close(hand->request_fd);
    close(hand->reply_fd);
    munmap(hand->request, HALF_BYTES);
    munmap((void *)(uintptr_t)hand->reply, HALF_BYTES);
}

#endif
