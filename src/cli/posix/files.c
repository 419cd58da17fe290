/* SPDX-License-Identifier: MIT */
/*
 * What `bulkhead map` asks of a POSIX system: files, their names and sizes, a clock.
 */
#include "../map.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int64_t map_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

unsigned map_columns(FILE *stream)
{
    struct winsize size;

    return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

int64_t map_read_some(FILE *file, void *bytes, size_t size)
{
    ssize_t got;

    while ((got = read(fileno(file), bytes, size)) < 0 && (errno == EAGAIN || errno == EINTR))
        map_can_read(file, 1000);
    return got;
}

bool map_can_read(FILE *file, unsigned wait_ms)
{
    struct pollfd poll_file = {.fd = fileno(file), .events = POLLIN};

    return poll(&poll_file, 1, (int)wait_ms) != 0; /* also an end, and an error */
}

uint64_t map_file_size(FILE *file)
{
    struct stat about;

    return fstat(fileno(file), &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0
               ? (uint64_t)about.st_size
               : 0;
}

bool map_cut_file(FILE *file, uint64_t size)
{
    return fseeko(file, (off_t)size, SEEK_SET) == 0 && fflush(file) == 0 &&
           ftruncate(fileno(file), (off_t)size) == 0;
}

FILE *map_open_to_extend(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(fd);
        errno = EBUSY; /* it ends with the process that has it */
        return NULL;
    }
    return fd >= 0 ? fdopen(fd, "r+b") : NULL;
}

bool map_find_files(const char *pattern, void (*found)(void *context, const char *path),
                    void *context)
{
    glob_t matches = {.gl_pathc = 0};
    int result = glob(pattern, 0, NULL, &matches);

    for (size_t i = 0; result == 0 && i < matches.gl_pathc; i++)
        found(context, matches.gl_pathv[i]);
    globfree(&matches);
    return result != GLOB_NOSPACE;
}
