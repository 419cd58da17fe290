/* SPDX-License-Identifier: MIT */
/*
 * Blob segments, the worker's side: arguments that do not fit into the request half.
 *
 * Model: a request's segment, or the buffer beside it, came by the control socket before the
 * request was published, so it is in the socket's queue when it is wanted. There is room for three:
 * a segment that is kept until another takes its place, a transient one beside it, for a single
 * request, and a buffer. The dispatcher says what it does not need any more.
 *
 * Invariants: no descriptor outlives its mapping's making; but one that could not be mapped for
 * lack of memory is kept, since it does not come again.
 */
#include "worker_end.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <string.h>
#include <unistd.h>

/* A request's segment, or buffer. */
struct segment {
    uint64_t id; /* 0: none */
    uint64_t bytes;
    void *memory; /* NULL: it could not be mapped, and `fd` is open */
    int fd;
};
static struct segment kept;
static struct segment transient;
static struct segment buffer;

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
        (message->type != BHL_CONTROL_SEGMENT && message->type != BHL_CONTROL_BUFFER) || fd < 0)
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
        if (message.type == BHL_CONTROL_BUFFER)
            adopt(&buffer, &message, fd);
        else
            adopt(message.id == id && segment != &buffer ? segment : &kept, &message, fd);
    }
}

static const void *find(struct segment *segment, uint64_t id, uint64_t bytes)
{
    if (segment->id != id)
        await(segment, id);
    if (segment->bytes != bytes)
        bhl_worker_die("segment %" PRIu64 " is not of %" PRIu64 " bytes", id, bytes);
    return map(segment);
}

const void *bhl_worker_segment_map(uint64_t id, uint64_t bytes, bool once)
{
    return find(once ? &transient : &kept, id, bytes);
}

void bhl_worker_segment_drop(void)
{
    drop(&transient);
}

bool bhl_worker_buffer_map(uint64_t id, uint64_t bytes, struct bhi_wire_side *side)
{
    *side = (struct bhi_wire_side){find(&buffer, id, bytes), bytes, true};
    return side->base != NULL;
}

void bhl_worker_segment_tidy(void)
{
    const struct bhl_request_half *request = bhl_worker_end.request;

    /* The bell, which was loaded before, pairs with the dispatcher's. */
    if (kept.id <= atomic_load_explicit(&request->segment_dropped, memory_order_relaxed))
        drop(&kept);
    if (buffer.id <= atomic_load_explicit(&request->buffer_dropped, memory_order_relaxed))
        drop(&buffer);
}
