/* SPDX-License-Identifier: MIT */
/*
 * Shared memory: the two halves of a worker, and mapping in general.
 *
 * Model: a memory file is made at its full size, its pages are reserved, it is mapped, and only
 * then sealed and promised to anybody. The request half gets FUTURE_WRITE: our mapping is the last
 * that can write. The reply half cannot have that; we map it read-only.
 *
 * Invariants: no access to a mapping made here can fail because the other side truncated the file,
 * nor, but for pages that a worker takes out of its own half, for lack of memory. No mapping is
 * inherited by a forked child of the host.
 */
#include "nursery.h"

#include "core/problem.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define SEALS_FIXED (F_SEAL_SHRINK | F_SEAL_GROW)

static bool populate(const struct bhl_mapping *map, bool writable)
{
    int rc;

    do {
        rc = madvise(map->at, map->bytes, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    } while (rc != 0 && errno == EINTR);
    return rc == 0;
}

/** See nursery.h. */
void bhl_unmap(struct bhl_mapping *map)
{
    if (map->at != NULL)
        munmap(map->at, map->bytes);
    *map = (struct bhl_mapping){NULL, 0};
}

static bool map_file(struct bhl_mapping *map, int fd, size_t bytes, bool writable)
{
    void *at = mmap(NULL, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        return false;
    *map = (struct bhl_mapping){at, bytes};
    if (madvise(at, bytes, MADV_DONTFORK) == 0 && populate(map, writable))
        return true;
    int error = errno;
    bhl_unmap(map);
    errno = error;
    return false;
}

/** See nursery.h. */
int bhl_memory_make(const char *name, size_t bytes, bool writable, struct bhl_mapping *map)
{
    int seals =
        writable ? SEALS_FIXED | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL : SEALS_FIXED | F_SEAL_SEAL;
    int fd = bhl_memory_file(name, bytes, false);

    if (fd < 0)
        return -1;
    if (bhl_reserve(fd, bytes) && map_file(map, fd, bytes, writable)) {
        if (fcntl(fd, F_ADD_SEALS, seals) == 0)
            return fd;
        int error = errno;
        bhl_unmap(map);
        errno = error;
    }
    bhl_close(&fd);
    return -1;
}

/* Of one place for partial replies. */
static uint64_t place_bytes(const bhp_nursery *nursery)
{
    uint64_t page = nursery->page_bytes;

    return (nursery->max_partial_bytes + page - 1) / page * page;
}

/** See nursery.h. */
bool bhl_memory_map(struct bhl_mapping *map, int fd, size_t bytes)
{
    return map_file(map, fd, bytes, false);
}

static void fill_header(bhp_worker *worker)
{
    const bhp_nursery *nursery = worker->nursery;
    struct bhl_request_half *half = bhl_request(worker);

    half->magic = BHL_MAGIC;
    half->version = BHL_VERSION;
    half->bytes = nursery->half_bytes;
    half->reply_bytes = nursery->half_bytes;
    half->cookie = worker->cookie;
    half->max_request_bytes = nursery->max_request_bytes;
    half->max_reply_bytes = nursery->max_reply_bytes;
    half->rearm = nursery->rearm;
    half->partial_bytes = place_bytes(nursery);
    half->max_partial_bytes = nursery->max_partial_bytes;
}

/* The reply half, and behind it the places for partial replies, whose pages are nobody's yet. */
static int make_reply(bhp_worker *worker)
{
    size_t bytes = worker->nursery->half_bytes;
    uint64_t places = 2 * place_bytes(worker->nursery);
    int fd = bhl_memory_file("bulkhead-reply", bytes + places, false);

    if (fd < 0)
        return -1;
    if (bhl_reserve(fd, bytes) && map_file(&worker->reply_map, fd, bytes, false) &&
        (places == 0 || bhl_partial_map(worker, fd, bytes, places)) &&
        fcntl(fd, F_ADD_SEALS, SEALS_FIXED | F_SEAL_SEAL) == 0)
        return fd;
    int error = errno;
    bhl_close(&fd);
    errno = error;
    return -1;
}

/** See nursery.h. */
int bhl_halves_make(bhp_worker *worker, int fds[2], struct bh_problem *problem)
{
    size_t bytes = worker->nursery->half_bytes;

    fds[0] = bhl_memory_make("bulkhead-request", bytes, true, &worker->request_map);
    if (fds[0] < 0)
        return bhl_problem_errno(problem, "memory for requests");
    fill_header(worker);
    fds[1] = make_reply(worker);
    if (fds[1] < 0)
        return bhl_problem_errno(problem, "memory for replies");
    return BH_OK;
}
