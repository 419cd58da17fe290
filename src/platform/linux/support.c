/* SPDX-License-Identifier: MIT */
/*
 * Descriptors and texts.
 *
 * Invariants: every descriptor made here is close-on-exec from its first moment and above 2. A
 * function that fails leaves the reason in errno, whatever it had to undo.
 */
#include "support.h"

#include "core/problem.h"
#include "core/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Newer than the headers of some systems. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1U << 2)
#endif

void bhl_close(int *fd)
{
    int error = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = error;
}

int bhl_lift(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    bhl_close(&fd);
    return lifted;
}

/* Lifts both of a pair, or closes both. */
static bool lift_pair(int pair[2])
{
    pair[0] = bhl_lift(pair[0]);
    pair[1] = bhl_lift(pair[1]);
    if (pair[0] >= 0 && pair[1] >= 0 && fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0)
        return true;
    bhl_close(&pair[0]);
    bhl_close(&pair[1]);
    return false;
}

bool bhl_socket_pair(int pair[2])
{
    pair[0] = pair[1] = -1;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0 && lift_pair(pair);
}

bool bhl_pipe(int ends[2])
{
    ends[0] = ends[1] = -1;
    return pipe2(ends, O_CLOEXEC) == 0 && lift_pair(ends);
}

/* Kernels before 6.3 do not know the flags about execution, and need none. */
static int create_memory_file(const char *name, unsigned flags, unsigned newer)
{
    int fd = memfd_create(name, flags | newer);

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(name, flags);
    return bhl_lift(fd);
}

/* Whether files may be so large. Else making one would not only fail but raise SIGXFSZ in the host.
 */
static bool may_be_so_large(uint64_t size)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || size <= limit.rlim_cur)
        return true;
    errno = EFBIG;
    return false;
}

int bhl_memory_file(const char *name, uint64_t size, bool executable)
{
    if (!may_be_so_large(size))
        return -1;
    int fd = create_memory_file(name, MFD_CLOEXEC | MFD_ALLOW_SEALING,
                                executable ? MFD_EXEC : MFD_NOEXEC_SEAL);

    if (fd >= 0 && ftruncate(fd, (off_t)size) != 0)
        bhl_close(&fd);
    return fd;
}

bool bhl_reserve(int fd, uint64_t size)
{
    int rc;

    do {
        rc = fallocate(fd, 0, 0, (off_t)size);
    } while (rc != 0 && errno == EINTR);
    return rc == 0;
}

bool bhl_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int rc;

    do {
        rc = poll(&p, 1, 0);
    } while (rc < 0 && errno == EINTR);
    return rc > 0 && p.revents != 0;
}

int bhl_pidfd_open(int64_t pid)
{
    return bhl_lift((int)syscall(SYS_pidfd_open, (pid_t)pid, 0));
}

void bhl_pidfd_kill(int pidfd)
{
    int error = errno;

    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    errno = error;
}

void bhl_pidfd_kill_group(int pidfd)
{
    int error = errno;

    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, PIDFD_SIGNAL_PROCESS_GROUP);
    errno = error;
}

void bhl_pidfd_reap(int pidfd)
{
    siginfo_t info;
    int error = errno;

    waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | __WALL);
    errno = error;
}

void bhl_copy_text(char *out, size_t size, const char *text, size_t length)
{
    size_t room = size - 1;

    if (length > room) {
        size_t whole = bhi_utf8_valid_prefix(text, room);
        length = whole + 4 > room ? whole : room; /* else it is no UTF-8 anyway */
    }
    memcpy(out, text, length);
    out[length] = '\0';
}

int bhl_problem_errno(struct bh_problem *problem, const char *what)
{
    int error = errno;

    return bhi_problem_set(problem, BH_E_SYSTEM, error, "%s: %s", what, bhl_error_text(error));
}
