/* SPDX-License-Identifier: MIT */
/*
 * Does this kernel have what we need? Asked once for each pool, by trying: version numbers lie
 * (vendor kernels, gVisor), and a seccomp filter can take away what the version promises.
 *
 * Model: one probe for each feature that can be missing on a kernel the library otherwise starts
 * on. The newest of them, futex_waitv (5.16), sets the floor.
 */
#include "support.h"

#include "core/problem.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Called with no waiters it says EINVAL; ENOSYS or EPERM where it is missing. */
static bool has_futex_waitv(void)
{
    return syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) == 0 || errno == EINVAL;
}

static bool has_pidfd(void)
{
    int fd = bhl_pidfd_open(getpid());
    bool works = fd >= 0 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0;

    if (works || errno == EMFILE || errno == ENFILE)
        errno = 0; /* a lack of descriptors shows later, under its own name */
    int error = errno;
    bhl_close(&fd);
    errno = error;
    return error == 0;
}

static bool has_populate(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return false;
    bool works = madvise(page, size, MADV_POPULATE_WRITE) == 0;
    int error = errno;
    munmap(page, size);
    errno = error;
    return works;
}

static const struct {
    const char *name;
    bool (*works)(void);
} features[] = {
    {"futex_waitv", has_futex_waitv},
    {"pidfd_open and pidfd_send_signal", has_pidfd},
    {"MADV_POPULATE_WRITE", has_populate},
};

/** See support.h. */
int bhl_kernel_check(struct bh_problem *problem)
{
    struct utsname system = {.release = "?"};

    for (size_t i = 0; i < BHL_COUNT(features); i++) {
        if (features[i].works())
            continue;
        int error = errno;
        uname(&system);
        return bhi_problem_set(
            problem, BH_E_UNSUPPORTED, error,
            "%s does not work here (%s); Bulkhead needs Linux 5.16 or later and no "
            "seccomp filter that forbids it; this is Linux %s",
            features[i].name, bhl_error_text(error), system.release);
    }
    return BH_OK;
}
