/* SPDX-License-Identifier: MIT */
/*
 * Blob segments, the worker's side: arguments and replies that do not fit into the halves.
 *
 * Model: a request's segment came by the control socket before the request was published, so it is
 * in the socket's queue when it is wanted. There is room for two: one that is kept until another
 * takes its place, and a transient one beside it, for a single request. A reply's segment is a
 * fresh memory file for each reply: written, sealed and sent before the reply is committed, then
 * forgotten.
 *
 * Invariants: no descriptor outlives its mapping's making; but one that could not be mapped for
 * lack of memory is kept, since it does not come again. Pages of a reply are populated before they
 * are written, so that lack of memory is an error code and never a SIGBUS.
 */
#include "worker_end.h"

#include "core/problem.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* A request's segment. */
struct segment {
    uint64_t id; /* 0: none */
    uint64_t bytes;
    void *memory; /* NULL: it could not be mapped, and `fd` is open */
    int fd;
};
static struct segment kept;
static struct segment transient;

/* ---- arguments ------------------------------------------------------------------------------- */

/* The one descriptor that came with a message, or -1. */
static int descriptor_of(struct msghdr *header)
{
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    int fd;

    if (control == NULL || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS ||
        control->cmsg_len != CMSG_LEN(sizeof fd))
        return -1;
    memcpy(&fd, CMSG_DATA(control), sizeof fd);
    return fd;
}

/* Takes one message from the control socket. @return its descriptor, or -1 when the queue is empty
 */
static int receive(struct bhl_control *message)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = message, .iov_len = sizeof *message};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    ssize_t got;
    int fd;

    do
        got = recvmsg(BHL_FD_CONTROL, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EMFILE)
        bhl_worker_die("no free descriptor to receive arguments");
    if (got <= 0)
        return -1;
    fd = descriptor_of(&header);
    if ((header.msg_flags & MSG_CTRUNC) != 0)
        bhl_worker_die("no free descriptor to receive arguments");
    if (got != sizeof *message || message->magic != BHL_MAGIC || message->version != BHL_VERSION ||
        message->type != BHL_CONTROL_SEGMENT || fd < 0)
        bhl_worker_die("unexpected message on the control socket");
    return fd;
}

static void drop(struct segment *segment)
{
    if (segment->id == 0)
        return;
    if (segment->memory != NULL)
        munmap(segment->memory, segment->bytes);
    else
        close(segment->fd);
    segment->id = 0;
}

/* Maps what has a descriptor and no memory yet. */
static const void *map(struct segment *segment)
{
    void *memory;

    if (segment->memory != NULL)
        return segment->memory;
    memory = mmap(NULL, segment->bytes, PROT_READ, MAP_SHARED, segment->fd, 0);
    if (memory == MAP_FAILED)
        return NULL;
    close(segment->fd);
    segment->memory = memory;
    return memory;
}

static void adopt(struct segment *segment, const struct bhl_control *message, int fd)
{
    struct stat status;

    if (message->id == 0 || message->bytes == 0 || fstat(fd, &status) != 0 ||
        (uint64_t)status.st_size != message->bytes)
        bhl_worker_die("segment %" PRIu64 " is not of %" PRIu64 " bytes", message->id,
                       message->bytes);
    drop(segment);
    *segment = (struct segment){.id = message->id, .bytes = message->bytes, .fd = fd};
}

/* Takes messages until the segment has come. One that comes before it belongs to a request that was
 * never sent; it may still be wanted, later. */
static void await(struct segment *segment, uint64_t id)
{
    struct bhl_control message;

    if (!bhl_worker_control_ours())
        bhl_worker_die("the control socket was closed in this process");
    while (segment->id != id) {
        int fd = receive(&message);

        if (fd < 0)
            bhl_worker_die("segment %" PRIu64 " did not come", id);
        adopt(message.id == id ? segment : &kept, &message, fd);
    }
}

const void *bhl_worker_segment_map(uint64_t id, uint64_t bytes, bool once)
{
    struct segment *segment = once ? &transient : &kept;

    if (segment->id != id)
        await(segment, id);
    if (segment->bytes != bytes)
        bhl_worker_die("segment %" PRIu64 " is not of %" PRIu64 " bytes", id, bytes);
    return map(segment);
}

void bhl_worker_segment_drop(void)
{
    drop(&transient);
}

/* ---- replies --------------------------------------------------------------------------------- */

static int make_file(size_t size, struct bh_problem *problem)
{
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    struct rlimit limit;
    int fd;

    /* Growing the file beyond this would not only fail but raise SIGXFSZ. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && size > limit.rlim_cur) {
        bhi_problem_set(problem, BH_E_TOO_LARGE, 0, "%zu bytes are more than RLIMIT_FSIZE allows",
                        size);
        return -1;
    }
    fd = memfd_create("bulkhead-reply", flags | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create("bulkhead-reply", flags);
    if (fd < 0) {
        bhi_problem_set(problem, errno == ENOMEM ? BH_E_MEMORY : BH_E_SYSTEM, errno,
                        "no memory file for a reply of %zu bytes: %s", size, strerror(errno));
        return -1;
    }
    return fd;
}

static bool populate(void *memory, size_t size)
{
    int error;

    do
        error = madvise(memory, size, MADV_POPULATE_WRITE);
    while (error != 0 && errno == EINTR);
    return error == 0;
}

/* Fills the file, whose pages it makes sure of first. */
static int fill_file(int fd, const bh_value *value, size_t size, struct bh_problem *problem)
{
    void *memory = MAP_FAILED;
    int error;

    if (ftruncate(fd, (off_t)size) == 0)
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return bhi_problem_set(problem, BH_E_MEMORY, errno, "no memory for a reply of %zu bytes",
                               size);
    if (!populate(memory, size))
        error = bhi_problem_set(problem, BH_E_MEMORY, errno, "no memory for a reply of %zu bytes",
                                size);
    else
        error = bh_wire_write(memory, size, value, 1);
    munmap(memory, size);
    return error;
}

static int seal_and_send(int fd, uint64_t serial, size_t size, struct bh_problem *problem)
{
    struct bhl_control message = {.magic = BHL_MAGIC,
                                  .type = BHL_CONTROL_SEGMENT,
                                  .version = BHL_VERSION,
                                  .id = serial,
                                  .bytes = size};
    int error;

    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return bhi_problem_set(problem, BH_E_SYSTEM, errno, "cannot seal the reply: %s",
                               strerror(errno));
    if (!bhl_worker_control_ours())
        return bhi_problem_set(problem, BH_E_SYSTEM, 0,
                               "the control socket was closed in this process");
    error = bhl_worker_send(&message, fd);
    if (error != 0)
        return bhi_problem_set(problem, BH_E_SYSTEM, error, "cannot send the reply: %s",
                               strerror(error));
    return BH_OK;
}

int bhl_worker_segment_send(uint64_t serial, const bh_value *value, size_t size,
                            struct bh_problem *problem)
{
    int fd = make_file(size, problem);
    int error;

    if (fd < 0)
        return problem->code;
    error = fill_file(fd, value, size, problem);
    if (error == BH_OK)
        error = seal_and_send(fd, serial, size, problem);
    close(fd);
    return error;
}
