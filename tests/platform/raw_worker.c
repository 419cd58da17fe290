/* SPDX-License-Identifier: MIT */
/*
 * A worker made by hand from protocol.h, which knows how to misbehave. raw_worker MODE; the mode is
 * how it greets, the methods are what it does afterwards. Nothing of the library's worker side is
 * in it; one method is a dispatcher itself.
 */
#include "core/platform.h"
#include "platform/linux/protocol.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PLENTY ((uint64_t)1 << 30)

static const struct bhl_request_half *request;
static struct bhl_reply_half *reply;
static unsigned char *reply_data;
static uint64_t room;

/* ---- the path to the dispatcher ---- */

static void say(struct bhl_control *message, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {message, sizeof(*message)};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    message->magic = BHL_MAGIC;
    message->version = message->version != 0 ? message->version : BHL_VERSION;
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    if (fd >= 0) {
        header.msg_control = &control;
        header.msg_controllen = sizeof(control);
    }
    if (sendmsg(BHL_FD_CONTROL, &header, MSG_NOSIGNAL) != (ssize_t)sizeof(*message))
        _exit(90);
}

static void ring(void)
{
    atomic_fetch_add(&reply->bell, 1);
    syscall(SYS_futex, &reply->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void commit(uint64_t serial)
{
    atomic_store(&reply->committed, serial);
    ring();
}

static uint64_t put(void *at, uint64_t size, const bh_value *value, size_t count)
{
    size_t needed = 0;

    if (bh_wire_size(value, count, NULL, &needed) != BH_OK || needed > size ||
        bh_wire_write(at, needed, value, count) != BH_OK)
        _exit(91);
    return needed;
}

static int memory_file(uint64_t size, const bh_value *value, int seals)
{
    int fd = memfd_create("reply", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
        _exit(92);
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        _exit(93);
    if (value != NULL)
        reply->length = put(at, size, value, 1);
    munmap(at, size);
    if (seals != 0 && fcntl(fd, F_ADD_SEALS, seals) != 0)
        _exit(94);
    return fd;
}

/* ---- what it can do ---- */

struct job {
    uint64_t serial;
    const bh_value *arguments; /* may be empty */
    size_t count;
};

static int64_t number(const struct job *job)
{
    int64_t n = 0;

    if (job->count > 0)
        bh_value_get_int64(&job->arguments[0], &n);
    return n;
}

static void answer(const bh_value *value)
{
    reply->status = BHL_REPLIED;
    reply->segment = 0;
    reply->length = put(reply_data, room, value, 1);
}

static void answer_int(int64_t n)
{
    bh_value value = bh_value_int64(n);

    answer(&value);
}

static void echo(const struct job *job)
{
    answer(&job->arguments[0]);
}

static void sum(const struct job *job)
{
    const void *bytes = NULL;
    size_t length = 0;
    int64_t total = 0;

    if (job->count > 0 && bh_value_get_bytes(&job->arguments[0], &bytes, &length) == BH_OK) {
        for (size_t i = 0; i < length; i++)
            total += ((const unsigned char *)bytes)[i];
    }
    answer_int(total);
}

#define PROPER (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

static void send_segment(const struct job *job, int fd, uint64_t bytes)
{
    struct bhl_control message = {.type = BHL_CONTROL_SEGMENT, .id = job->serial, .bytes = bytes};

    reply->status = BHL_REPLIED;
    reply->segment = job->serial;
    reply->segment_bytes = bytes;
    say(&message, fd);
    if (fd >= 0)
        close(fd);
}

static void big(const struct job *job)
{
    size_t size = (size_t)number(job);
    void *bytes = malloc(size);
    bh_value value = bh_value_view_bytes(bytes, size);

    if (bytes == NULL)
        _exit(95);
    memset(bytes, 7, size);
    send_segment(job, memory_file(size + 64, &value, PROPER), size + 64);
    free(bytes);
}

static void flood(const struct job *job)
{
    struct bhl_control junk = {.type = BHL_CONTROL_SEGMENT, .id = 999999};

    for (int i = 0; i < number(job); i++)
        say(&junk, STDIN_FILENO);
    bh_value value = bh_value_int64(5);
    send_segment(job, memory_file(4096, &value, PROPER), 4096);
}

static void pipe_segment(const struct job *job)
{
    int ends[2];

    if (pipe(ends) != 0)
        _exit(96);
    reply->length = 64;
    send_segment(job, ends[0], 4096);
}

static void file_segment(const struct job *job)
{
    reply->length = 64;
    send_segment(job, open("/proc/self/exe", O_RDONLY), 4096);
}

static void unsealed_segment(const struct job *job)
{
    bh_value value = bh_value_int64(5);

    send_segment(job, memory_file(4096, &value, 0), 4096);
}

static void short_segment(const struct job *job)
{
    bh_value value = bh_value_int64(5);
    int fd = memory_file(4096, &value, PROPER);

    reply->length = 5000;
    send_segment(job, fd, 8192);
}

static void tight_segment(const struct job *job)
{
    bh_value value = bh_value_int64(5);
    int fd = memory_file(4096, &value, PROPER);

    reply->length = 5000;
    send_segment(job, fd, 4096);
}

static void foreign_segment(const struct job *job)
{
    bh_value value = bh_value_int64(5);

    send_segment(job, memory_file(4096, &value, PROPER), 4096);
    reply->segment = job->serial + 1;
}

static void no_segment(const struct job *job)
{
    reply->status = BHL_REPLIED;
    reply->length = 64;
    reply->segment = job->serial;
    reply->segment_bytes = 4096;
}

static void bare_segment(const struct job *job)
{
    reply->length = 64;
    send_segment(job, -1, 4096);
}

/* ---- payloads beside the message ---- */

#define ASIDE 0x10000u
#define SIDE 8192u

static unsigned char *side; /* the segment of the latest aside(), still mapped */

/* A segment of `size` bytes, all of it there. */
static int side_file(uint64_t size, unsigned flags, int seals)
{
    int fd = memfd_create("side", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

    if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
        return -1;
    side = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (side == MAP_FAILED)
        return -1;
    for (uint64_t i = 0; i < size; i++)
        side[i] = (unsigned char)i;
    return fcntl(fd, F_ADD_SEALS, seals) == 0 ? fd : -1;
}

/* Puts a reference behind what is in the message. */
static void refer(uint32_t type, uint32_t length, uint64_t offset)
{
    uint32_t header[2] = {type | ASIDE, length};

    memcpy(reply_data + reply->length, header, 8);
    memcpy(reply_data + reply->length + 8, &offset, 8);
    reply->length += 16;
}

static void head(uint32_t type, uint32_t length)
{
    uint32_t header[2] = {type, length};

    memcpy(reply_data + reply->length, header, 8);
    reply->length += 8;
}

static void send_side(const struct job *job, int fd, uint64_t bytes)
{
    if (fd < 0)
        _exit(85);
    send_segment(job, fd, bytes);
    reply->place = BHL_IN_HALF;
}

/* What lies beside the message, in all ways that there are. */
static void aside(const struct job *job)
{
    reply->length = 0;
    switch (number(job)) {
    case 0:
        refer(BH_BYTES, 1000, 100);
        break;
    case 1:
        refer(BH_BYTES, 1, SIDE);
        break;
    case 2:
        refer(BH_BYTES, 1000, SIDE - 999);
        break;
    case 3:
        refer(BH_BYTES, 1000, UINT64_MAX - 500);
        break;
    case 4:
        refer(BH_I32_ARRAY, 10, 2);
        break;
    case 5:
        refer(BH_F64_ARRAY, UINT32_MAX, 0);
        break;
    case 6:
        refer(BH_INT64, 8, 0);
        break;
    case 7:
        refer(BH_ERROR, 8, 0);
        break;
    case 8:
        refer(BH_ARRAY, 1, 0);
        break;
    case 9:
        head(BH_MAP, 1);
        refer(BH_STRING, 8, 64);
        head(BH_NULL, 0);
        break;
    case 10:
        refer(BH_BYTES, 8, 64);
        reply->length -= 8;
        break;
    case 11:
        refer(BH_STRING, 8, 'a');
        break;
    case 12: /* not UTF-8 */
        refer(BH_STRING, 8, 200);
        break;
    case 13:
        head(BH_ARRAY, 3000);
        for (int i = 0; i < 3000; i++)
            refer(BH_BYTES, SIDE, 0);
        break;
    default:
        refer(BH_HANDLE, 8, 0);
        break;
    }
    send_side(job, side_file(SIDE, 0, PROPER), SIDE);
}

/* A message that refers to a segment which there is not. */
static void aside_nothing(const struct job *job)
{
    aside(&(struct job){.serial = job->serial});
    reply->segment = 0;
}

/* Proper but for one thing that is wrong with the file. */
static void odd_side(const struct job *job)
{
    uint64_t bytes = SIDE;
    int fd = -1;

    reply->length = 0;
    refer(BH_BYTES, 1000, 100);
    switch (number(job)) {
    case 0:
        fd = side_file(SIDE, 0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
        break;
    case 1:
        fd = side_file(SIDE, 0, F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
        if (ftruncate(fd, 4096) != 0)
            fd = -1;
        break;
    case 2:
        bytes = 100 * SIDE; /* of which the last 99 are a hole */
        fd = memfd_create("side", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (ftruncate(fd, 100 * SIDE) != 0 || pwrite(fd, "x", 1, 0) != 1 ||
            fcntl(fd, F_ADD_SEALS, PROPER) != 0)
            fd = -1;
        break;
    case 3:
        bytes = PLENTY * 4;
        fd = side_file(SIDE, 0, PROPER);
        break;
    case 4:
        bytes = 0;
        fd = side_file(SIDE, 0, PROPER);
        break;
    case 5: /* there may be no huge pages here: then it need not be filled */
        bytes = 2 << 20;
        fd = memfd_create("side", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
        if (ftruncate(fd, 2 << 20) != 0 || fcntl(fd, F_ADD_SEALS, PROPER) != 0)
            fd = -1;
        break;
    default:
        break;
    }
    send_side(job, fd, bytes);
}

/* Names the segment of an earlier reply, or pretends to. */
static void old_side(const struct job *job)
{
    static uint64_t first;

    if (first == 0) {
        first = job->serial;
        aside(&(struct job){.serial = job->serial});
        return;
    }
    reply->status = BHL_REPLIED;
    reply->length = 0;
    refer(BH_BYTES, 1000, 100);
    reply->segment = first;
    reply->segment_bytes = SIDE;
    reply->place = BHL_IN_HALF;
    if (number(job) == 1)
        reply->segment_bytes = SIDE * 2;
    if (number(job) == 2)
        reply->segment = first + 1000;
    if (number(job) == 3)
        reply->segment_dropped = first;
    if (number(job) == 4)
        reply->place = SIDE - 8;
}

/* Says that it has sent many messages, and has. */
static void many_mails(const struct job *job)
{
    struct bhl_control junk = {.type = BHL_CONTROL_SEGMENT, .id = 999999};

    for (int i = 0; i < number(job); i++)
        say(&junk, STDIN_FILENO);
    answer_int(5);
    reply->mails++;
}

/* From now on its reply changes all the time, from good text to bad and back. */
static void restless(const struct job *job)
{
    reply->length = 0;
    refer(BH_STRING, SIDE, 0);
    send_side(job, side_file(SIDE, 0, PROPER), SIDE);
    memset(side, 'a', SIDE);
    if (fork() != 0) {
        for (uint64_t i = 0; i < 1000; i++)
            side[i % SIDE] = i % 2 == 0 ? 0xff : 'a';
        return;
    }
    for (;;) {
        memset(side, 0xff, SIDE);
        memset(side, 'a', SIDE);
    }
}

static void fail(const struct job *job)
{
    static const char text[] = "no such thing";

    reply->status = BHL_FAILED;
    reply->code = (int32_t)number(job);
    reply->segment = 0;
    reply->length = sizeof(text) - 1;
    memcpy(reply_data, text, sizeof(text));
}

static void fail_bytes(const struct job *job)
{
    fail(job);
    reply_data[2] = 0xff;
}

static void fail_long(const struct job *job)
{
    fail(job);
    memset(reply_data, 'x', room);
    reply->length = 5000;
}

static void odd_status(const struct job *job)
{
    answer_int(number(job));
    reply->status = 77;
}

static void too_long(const struct job *job)
{
    answer_int(number(job));
    reply->length = PLENTY * PLENTY;
}

static void past_half(const struct job *job)
{
    answer_int(number(job));
    reply->length = room + 8;
}

static void nothing(const struct job *job)
{
    answer_int(number(job));
    reply->length = 0;
}

static void two_values(const struct job *job)
{
    bh_value values[2] = {bh_value_int64(number(job)), bh_value_int64(2)};

    reply->status = BHL_REPLIED;
    reply->segment = 0;
    reply->length = put(reply_data, room, values, 2);
}

static void garbage(const struct job *job)
{
    answer_int(number(job));
    memset(reply_data, 0xee, 64);
    reply->length = 64;
}

/* Claims to have answered the request that comes next. */
static void early(const struct job *job)
{
    answer_int(number(job));
    commit(job->serial);
    usleep(20000); /* the caller has taken it */
    commit(job->serial + 1);
    pause();
}

static void rings(const struct job *job)
{
    for (int64_t i = 0; i < number(job); i++)
        ring();
    answer_int(1);
}

static void crash(const struct job *job)
{
    raise(number(job) != 0 ? (int)number(job) : SIGSEGV);
}

static void leave(const struct job *job)
{
    exit((int)number(job));
}

static void hang(const struct job *job)
{
    (void)job;
    for (;;)
        pause();
}

static void fill(struct bhl_fault *fault, int signal)
{
    *fault = (struct bhl_fault){.signal = signal,
                                .signal_code = 1,
                                .syscall = 5,
                                .stack_overflow = 1,
                                .address = 0x1234,
                                .register_count = 3,
                                .registers = {10, 20, 30}};
}

/* Forges a fault record, variant by variant. */
static void forge(const struct job *job)
{
    uint32_t state = BHL_FAULT_COMPLETE;

    fill(&reply->fault, SIGSEGV);
    switch (number(job)) {
    case 1:
        reply->fault.register_count = 1000000;
        break;
    case 2:
        reply->fault.signal = 1000;
        break;
    case 3:
        state = 1;
        break;
    case 4:
        reply->fault.signal_code = 0;
        reply->fault.sender_pid = 42;
        reply->fault.sender_uid = 43;
        break;
    case 5:
        reply->fault.signal = SIGABRT;
        reply->fault.self = 1;
        break;
    case 6:
        reply->fault.signal = SIGSYS;
        break;
    default:
        break;
    }
    atomic_store(&reply->fault.state, state);
    answer_int(0);
}

/* A daemon by the book, with this worker's output still open. */
static void stray(const struct job *job)
{
    int ends[2];
    int pid = 0;

    (void)job;
    if (pipe(ends) != 0)
        _exit(97);
    if (fork() == 0) {
        setsid();
        pid = fork();
        if (pid == 0) {
            for (;;)
                pause();
        }
        _exit(write(ends[1], &pid, sizeof(pid)) != sizeof(pid));
    }
    if (read(ends[0], &pid, sizeof(pid)) != sizeof(pid))
        _exit(98);
    answer_int(pid);
}

/* As many processes as it says, each in a session of its own, each a child of the one before. */
static void brood(const struct job *job)
{
    int64_t left = number(job);

    if (fork() == 0) {
        while (left-- > 0 && fork() == 0)
            setsid();
        for (;;)
            pause();
    }
    answer_int(0);
}

/* ---- conversations ---- */

static uint64_t heard;

static void speak(const struct job *job, struct bhl_turn turn)
{
    turn.serial = turn.serial == 0 ? job->serial : turn.serial;
    reply->said = turn;
    atomic_fetch_add(&reply->turn, 1);
    ring();
}

static void await_turn(void)
{
    uint32_t bell = atomic_load(&request->bell);

    while (atomic_load(&request->turn) == heard) {
        syscall(SYS_futex, &request->bell, FUTEX_WAIT, bell, NULL, NULL, 0);
        bell = atomic_load(&request->bell);
    }
    heard = atomic_load(&request->turn);
}

/* A proper callback of this name with one argument, in the midst of the data. */
static struct bhl_turn callback(const char *name, size_t length)
{
    bh_value values[2] = {bh_value_view_string(name, length), bh_value_int64(7)};
    uint64_t size = put(reply_data + 4096, room - 4096, values, 2);

    return (struct bhl_turn){.kind = BHL_TURN_CALLBACK,
                             .depth = 1,
                             .length = size,
                             .piece = size,
                             .at = BHL_HEADER_BYTES + 4096};
}

/* Nonsense at full speed, and then an end as if nothing had been. */
static void shout(const struct job *job)
{
    for (uint64_t i = 1; i < 20000; i++) {
        uint64_t noise = i * UINT64_C(0x9e3779b97f4a7c15);
        speak(job, (struct bhl_turn){.kind = (uint32_t)(noise >> 60) % 8,
                                     .depth = (uint32_t)(noise >> 50) % 3,
                                     .length = noise >> (noise % 64),
                                     .piece = noise >> (noise / 64 % 64),
                                     .at = noise >> (noise / 4096 % 64)});
    }
}

/* Answers a CALL that came out of the callback "nest". */
static void answer_badly(const struct job *job, int64_t how)
{
    struct bhl_turn turn = callback("deep", 4);

    speak(job, callback("nest", 4));
    await_turn();
    switch (how) {
    case 20: /* a callback deeper than allowed */
        turn.depth = 3;
        break;
    case 21: /* no value */
        turn.kind = BHL_TURN_REPLIED;
        memset(reply_data + 4096, 0xee, 64);
        break;
    case 22: /* two values */
        turn.kind = BHL_TURN_REPLIED;
        break;
    case 23: /* no text */
        turn.kind = BHL_TURN_FAILED;
        memset(reply_data + 4096, 0xff, 64);
        break;
    case 24: /* not an answer */
        turn.kind = BHL_TURN_MORE;
        break;
    case 25: /* a long text */
        turn.kind = BHL_TURN_FAILED;
        turn.length = 100000;
        break;
    default: /* the reply to the request itself */
        return;
    }
    speak(job, turn);
    await_turn();
}

static void turn(const struct job *job)
{
    struct bhl_turn said = callback("echo", 4);
    int64_t how = number(job);

    heard = atomic_load(&request->turn);
    switch (how) {
    case 0: /* as it should be */
        break;
    case 1:
        atomic_fetch_add(&reply->turn, 1);
        break;
    case 2: /* as often as it takes */
        said.serial = job->serial + 1;
        for (;;) {
            speak(job, said);
            usleep(1000);
        }
    case 3:
        said.kind = BHL_TURN_REPLIED;
        break;
    case 4:
        said.depth = 2;
        break;
    case 5:
        said.depth = 0;
        break;
    case 6:
        said.at = BHL_HEADER_BYTES + room - 8;
        break;
    case 7:
        said.length = PLENTY * PLENTY;
        break;
    case 8:
        said.piece = 0;
        break;
    case 9:
        memset(reply_data + 4096, 0xee, said.length);
        break;
    case 10:
        said.at += said.length - 16; /* the number alone */
        said.length = said.piece = 16;
        break;
    case 11:
        said = callback("ec\0o", 4);
        break;
    case 12:
        said.at = 8;
        break;
    case 13:
        said.at = UINT64_MAX - 7;
        break;
    case 14: /* more to come, but what comes is no piece */
        said.length += 100;
        speak(job, said);
        await_turn();
        break;
    case 15: /* no name at all */
        said.length = said.piece = 0;
        break;
    case 16:
        shout(job);
        answer_int(how);
        return;
    case 17: /* too late */
        answer_int(how);
        commit(job->serial);
        usleep(2000); /* the next request is there */
        speak(job, said);
        return;
    default:
        answer_badly(job, how);
        answer_int(how);
        return;
    }
    speak(job, said);
    await_turn();
    answer_int(request->said.kind == BHL_TURN_REPLIED ? how : -1);
}

static void print(const struct job *job)
{
    for (int64_t i = 0; i < number(job); i++) {
        if (write(STDOUT_FILENO, "0123456789abcdef", 16) != 16)
            _exit(99);
    }
    answer_int(0);
}

static void shut_control(const struct job *job)
{
    shutdown(BHL_FD_CONTROL, SHUT_RDWR);
    answer_int(number(job));
}

static void waste(const struct job *job)
{
    size_t size = (size_t)number(job);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(memory, 1, size);
    answer_int(0);
}

/* Opens a nursery of its own and starts a worker in it. Answers the inner worker's process. */
static void nest(const struct job *job)
{
    struct bh_pool_options options;
    const char *arguments[] = {"normal", NULL};
    bhp_nursery *nursery;
    bhp_worker *worker;
    struct bhp_event event = {0};
    char path[PATH_MAX] = "";

    (void)job;
    bh_pool_options_init(&options);
    if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
        _exit(83);
    options.worker = path;
    options.arguments = arguments;
    if (bhp_nursery_open(&nursery, &options, NULL) != BH_OK ||
        bhp_worker_start(nursery, 1000, NULL, &worker, NULL) != BH_OK)
        _exit(84);
    while (event.type != BHP_EVENT_READY)
        bhp_loop_wait(nursery, BHP_FOREVER, &event, 1);
    answer_int(bhp_worker_pid(worker));
}

/* What it finds itself to be. */
static void look(const struct job *job)
{
    char text[4096];
    char link[256];
    size_t length = 0;

    (void)job;
    length += (size_t)snprintf(text, sizeof(text), "session=%d ", getsid(0) == getpid());
    for (int fd = 0; fd < 64; fd++) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        if (fcntl(fd, F_GETFD) >= 0)
            length += (size_t)snprintf(text + length, sizeof(text) - length, "fd%d ", fd);
    }
    const char *cookie = getenv(BHL_ENVIRONMENT);
    const char *mine = getenv("RAW_TEST");
    length += (size_t)snprintf(text + length, sizeof(text) - length, "cookie=%s test=%s nice=%d ",
                               cookie != NULL ? cookie : "-", mine != NULL ? mine : "-",
                               (int)(20 - syscall(SYS_getpriority, 0, 0)));
    if (getcwd(link, sizeof(link)) != NULL)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "cwd=%s uid=%d", link,
                                   (int)getuid());
    bh_value value = bh_value_view_string(text, length);
    answer(&value);
}

static const struct {
    const char *name;
    void (*run)(const struct job *job);
} methods[] = {
    {"echo", echo},
    {"sum", sum},
    {"big", big},
    {"flood", flood},
    {"pipe_segment", pipe_segment},
    {"file_segment", file_segment},
    {"unsealed_segment", unsealed_segment},
    {"short_segment", short_segment},
    {"tight_segment", tight_segment},
    {"foreign_segment", foreign_segment},
    {"no_segment", no_segment},
    {"bare_segment", bare_segment},
    {"aside", aside},
    {"aside_nothing", aside_nothing},
    {"odd_side", odd_side},
    {"old_side", old_side},
    {"many_mails", many_mails},
    {"restless", restless},
    {"fail", fail},
    {"fail_bytes", fail_bytes},
    {"fail_long", fail_long},
    {"odd_status", odd_status},
    {"too_long", too_long},
    {"past_half", past_half},
    {"nothing", nothing},
    {"two_values", two_values},
    {"garbage", garbage},
    {"early", early},
    {"rings", rings},
    {"crash", crash},
    {"exit", leave},
    {"hang", hang},
    {"forge", forge},
    {"stray", stray},
    {"brood", brood},
    {"print", print},
    {"shut_control", shut_control},
    {"waste", waste},
    {"nest", nest},
    {"look", look},
    {"turn", turn},
};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

/* ---- greeting and serving ---- */

static uint64_t write_table(const char *twice)
{
    bh_value table = bh_value_array();

    for (size_t i = 0; i <= METHODS; i++) {
        const char *name = i < METHODS ? methods[i].name : twice;
        bh_value entry = bh_value_map();
        bh_value text = name != NULL ? bh_value_view(name) : bh_value_null();
        if (name != NULL &&
            (bh_map_set(&entry, "name", &text) != BH_OK || bh_array_push(&table, &entry) != BH_OK))
            _exit(80);
    }
    uint64_t length = put(reply_data, room, &table, 1);
    bh_value_deinit(&table);
    return length;
}

static void greet(const char *mode)
{
    struct bhl_control hello = {.type = BHL_CONTROL_HELLO, .pid = getpid()};

    if (strcmp(mode, "exit") == 0)
        exit(3);
    if (strcmp(mode, "silent") == 0)
        pause();
    hello.length = write_table(strcmp(mode, "twice") == 0 ? "echo" : NULL);
    if (strcmp(mode, "old") == 0)
        hello.version = 99;
    if (strcmp(mode, "long") == 0)
        hello.length = PLENTY;
    if (strcmp(mode, "mangled") == 0)
        memset(reply_data, 0xee, 16);
    say(&hello, -1);
    if (strcmp(mode, "chatty") == 0) {
        for (int i = 0; i < 20; i++)
            say(&hello, -1);
    }
}

/* The segment that the next request is in. */
static const void *find_segment(uint64_t id, uint64_t bytes)
{
    static const void *at;
    static uint64_t mapped_id, mapped_bytes;
    struct bhl_control message = {0};

    if (id == mapped_id)
        return at;
    if (at != NULL)
        munmap((void *)(uintptr_t)at, mapped_bytes);
    while (message.id != id) {
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec part = {&message, sizeof(message)};
        struct msghdr header = {.msg_iov = &part,
                                .msg_iovlen = 1,
                                .msg_control = &control,
                                .msg_controllen = sizeof(control)};
        int fd = -1;
        if (recvmsg(BHL_FD_CONTROL, &header, MSG_DONTWAIT) != (ssize_t)sizeof(message))
            _exit(81);
        memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
        at = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
    }
    mapped_id = id;
    mapped_bytes = bytes;
    return at;
}

static void serve(uint64_t serial)
{
    bh_value arguments = bh_value_null();
    const void *at = (const unsigned char *)request + BHL_HEADER_BYTES;

    if (request->segment != 0)
        at = find_segment(request->segment, request->segment_bytes);
    if (bh_wire_view(&arguments, at, request->length, NULL, NULL) != BH_OK)
        _exit(82);
    struct job job = {serial, arguments.as.items, arguments.length};
    atomic_store(&reply->started, serial);
    methods[request->method].run(&job);
    bh_value_deinit(&arguments);
    commit(serial);
}

int main(int argc, char **argv)
{
    uint64_t last = 0;

    request = mmap(NULL, BHL_HEADER_BYTES, PROT_READ, MAP_SHARED, BHL_FD_REQUEST, 0);
    if (argc < 2 || request == MAP_FAILED || request->magic != BHL_MAGIC)
        return 70;
    uint64_t bytes = request->reply_bytes;
    request = mmap(NULL, request->bytes, PROT_READ, MAP_SHARED, BHL_FD_REQUEST, 0);
    reply = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, BHL_FD_REPLY, 0);
    if (request == MAP_FAILED || reply == MAP_FAILED)
        return 71;
    reply_data = (unsigned char *)reply + BHL_HEADER_BYTES;
    room = bytes - BHL_HEADER_BYTES;
    greet(argv[1]);
    for (;;) {
        uint32_t bell = atomic_load(&request->bell);
        uint64_t serial = atomic_load(&request->serial);
        if (serial != last)
            serve(last = serial);
        else if (atomic_load(&request->quit) != 0)
            return 0;
        else
            syscall(SYS_futex, &request->bell, FUTEX_WAIT, bell, NULL, NULL, 0);
    }
}
