/* SPDX-License-Identifier: MIT */
/*
 * Reading the start specification.
 *
 * Model: a cursor walks through the mapped file once; every step checks that what it takes lies
 * inside. The dispatcher is no enemy, but its program and this one may be of different versions.
 *
 * Invariant: after success every string is NUL-terminated inside the mapping, which stays for good.
 */
#include "launcher.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct cursor {
    const char *at;
    size_t left;
    bool failed;
};

/* Takes `size` bytes and what pads them to a multiple of 8. */
static const void *take(struct cursor *c, uint64_t size)
{
    const char *start = c->at;
    uint64_t padded = (size + 7) / 8 * 8;

    if (c->failed || size > c->left || padded > c->left) {
        c->failed = true;
        return NULL;
    }
    c->at += padded;
    c->left -= padded;
    return start;
}

static const char *take_string(struct cursor *c)
{
    const char *start = c->at;
    const char *end = c->failed ? NULL : memchr(start, '\0', c->left);

    if (end == NULL) {
        c->failed = true;
        return "";
    }
    c->left -= (size_t)(end + 1 - start);
    c->at = end + 1;
    return start;
}

/* An array of strings with room for one more. */
static char **take_strings(struct cursor *c, uint32_t count)
{
    char **strings = count <= c->left ? calloc((size_t)count + 2, sizeof(strings[0])) : NULL;

    c->failed = c->failed || strings == NULL;
    for (uint32_t i = 0; i < count && !c->failed; i++)
        strings[i] = (char *)(uintptr_t)take_string(c);
    return strings;
}

static const char *map(int fd, size_t *size)
{
    struct stat status;

    if (fstat(fd, &status) != 0 || status.st_size < (off_t)sizeof(struct bhl_spec))
        return NULL;
    *size = (size_t)status.st_size;
    const char *at = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
    return at != MAP_FAILED ? at : NULL;
}

bool spec_read(struct spec *spec, int fd)
{
    struct cursor c = {0};

    c.at = map(fd, &c.left);
    if (c.at == NULL)
        return false;
    uint64_t bytes = c.left;
    const struct bhl_spec *head = take(&c, sizeof(*head));
    if (head->magic != BHL_SPEC_MAGIC || head->version != BHL_VERSION || head->bytes != bytes)
        return false;
    spec->head = head;
    spec->rlimits = take(&c, head->rlimits * (uint64_t)sizeof(spec->rlimits[0]));
    spec->cpus = take(&c, head->cpu_words * (uint64_t)sizeof(spec->cpus[0]));
    spec->groups = take(&c, head->groups * (uint64_t)sizeof(spec->groups[0]));
    spec->pool = take_string(&c);
    spec->program = take_string(&c);
    spec->directory = take_string(&c);
    spec->cwd = take_string(&c);
    spec->arguments = take_strings(&c, head->arguments);
    spec->environment = take_strings(&c, head->environment);
    return !c.failed;
}
