/* SPDX-License-Identifier: MIT */
/*
 * Writes the start specification: everything the launcher needs to know, in one sealed memory file.
 * launch_spec.h describes the format.
 *
 * Model: a buffer that grows; the header is filled while the parts are appended, and written over
 * the front in the end. A failed allocation is remembered and asked for once, at the end.
 *
 * Invariant: the file is sealed against every change before anybody else sees it.
 */
#include "launch_spec.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "nursery.h"
#include "resolve.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

struct writer {
    char *bytes;
    size_t length;
    size_t room;
    bool failed;
    struct bhl_spec head;
};

static void append(struct writer *w, const void *bytes, size_t size)
{
    if (w->failed || size == 0)
        return;
    if (size > w->room - w->length) {
        size_t room = (w->length + size) * 2;
        char *larger = bhi_realloc(w->bytes, room);
        w->failed = larger == NULL;
        if (w->failed)
            return;
        w->bytes = larger;
        w->room = room;
    }
    memcpy(w->bytes + w->length, bytes, size);
    w->length += size;
}

static void append_string(struct writer *w, const char *string)
{
    append(w, string, strlen(string) + 1);
}

static void align(struct writer *w)
{
    static const char zeros[8];

    append(w, zeros, (8 - w->length % 8) % 8);
}

/* ---- the parts ---- */

static void add_rlimits(struct writer *w, const struct bh_pool_options *options)
{
    for (size_t i = 0; i < options->rlimit_count; i++) {
        const struct bh_rlimit *from = &options->rlimits[i];
        struct bhl_spec_rlimit limit = {
            .resource = from->resource, .soft = from->soft, .hard = from->hard};
        append(w, &limit, sizeof(limit));
        w->head.rlimits++;
    }
}

/* The dispatcher's processors are its main thread's: the pool may be opened by a thread that is
 * pinned to one. */
static int add_cpus(struct writer *w, const char *list, struct bh_problem *problem)
{
    struct bhl_cpus wanted;
    struct bhl_cpus mine;

    if (list != NULL) {
        int rc = bhl_resolve_cpus(list, &wanted, problem);
        if (rc != BH_OK)
            return rc;
        w->head.flags |= BHL_SPEC_AFFINITY;
    } else {
        bhl_cpus_of(getpid(), &wanted);
        bhl_cpus_of(0, &mine);
        if (memcmp(&wanted, &mine, sizeof(wanted)) == 0)
            wanted.used = 0;
    }
    w->head.cpu_words = wanted.used;
    append(w, wanted.words, wanted.used * sizeof(wanted.words[0]));
    return BH_OK;
}

static int add_user(struct writer *w, const char *name, struct bh_problem *problem)
{
    struct bhl_user user;

    if (name == NULL)
        return BH_OK;
    int rc = bhl_resolve_user(name, &user, problem);
    if (rc != BH_OK)
        return rc;
    w->head.flags |= BHL_SPEC_USER;
    w->head.uid = user.uid;
    w->head.gid = user.gid;
    w->head.groups = user.group_count;
    append(w, user.groups, user.group_count * sizeof(user.groups[0]));
    align(w);
    bhi_free(user.groups);
    return BH_OK;
}

static void add_nice(struct writer *w, int nice)
{
    if (nice == 0)
        return;
    int wanted = getpriority(PRIO_PROCESS, (id_t)getpid()) + nice;
    w->head.flags |= BHL_SPEC_NICE;
    w->head.nice = wanted < -20 ? -20 : wanted > 19 ? 19 : wanted;
}

static int add_directories(struct writer *w, const char *directory, struct bh_problem *problem)
{
    char here[PATH_MAX];
    char *path = NULL;

    int rc = directory != NULL ? bhl_resolve_path(directory, &path, problem) : BH_OK;
    if (rc != BH_OK)
        return rc;
    append_string(w, path != NULL ? path : "");
    append_string(w, getcwd(here, sizeof(here)) != NULL ? here : "");
    bhi_free(path);
    return BH_OK;
}

static void add_arguments(struct writer *w, const struct bh_pool_options *options)
{
    append_string(w, options->worker);
    w->head.arguments = 1;
    for (const char *const *a = options->arguments; a != NULL && *a != NULL; a++) {
        append_string(w, *a);
        w->head.arguments++;
    }
}

/* Whether "NAME" or "NAME=value" is about the same variable as `entry`. */
static bool same_variable(const char *entry, const char *other)
{
    size_t length = strcspn(entry, "=");

    return length == strcspn(other, "=") && strncmp(entry, other, length) == 0;
}

/* Whether one of the entries is about the variable. */
static bool is_overridden(const char *variable, const char *const *entries)
{
    for (; entries != NULL && *entries != NULL; entries++) {
        if (same_variable(*entries, variable))
            return true;
    }
    return same_variable(variable, BHL_ENVIRONMENT);
}

static void add_variable(struct writer *w, const char *variable)
{
    append_string(w, variable);
    w->head.environment++;
}

static void add_environment(struct writer *w, const struct bh_pool_options *options)
{
    const char *const *wanted = options->environment;

    for (char **e = environ; !options->clear_environment && e != NULL && *e != NULL; e++) {
        if (!is_overridden(*e, wanted))
            add_variable(w, *e);
    }
    for (; wanted != NULL && *wanted != NULL; wanted++) {
        if (strchr(*wanted, '=') != NULL && !is_overridden(*wanted, wanted + 1))
            add_variable(w, *wanted);
    }
}

/* What Linux does not have. */
static int refuse_foreign(const struct bh_pool_options *options, struct bh_problem *problem)
{
    if (options->dump_directory != NULL)
        return bhi_problem_set(problem, BH_E_UNSUPPORTED, 0,
                               "dump-directory: on Linux workers leave cores; see allow_cores");
    return BH_OK;
}

static int add_all(struct writer *w, const struct bh_pool_options *options, const char *pool,
                   const char *program, struct bh_problem *problem)
{
    w->head = (struct bhl_spec){.magic = BHL_SPEC_MAGIC,
                                .version = BHL_VERSION,
                                .dispatcher = getpid(),
                                .flags = options->allow_cores ? BHL_SPEC_ALLOW_CORES : 0};
    append(w, &w->head, sizeof(w->head));
    add_nice(w, options->nice);
    add_rlimits(w, options);
    int rc = refuse_foreign(options, problem);
    if (rc == BH_OK)
        rc = add_cpus(w, options->affinity, problem);
    if (rc == BH_OK)
        rc = add_user(w, options->user, problem);
    if (rc != BH_OK)
        return rc;
    append_string(w, pool);
    append_string(w, program);
    rc = add_directories(w, options->directory, problem);
    if (rc != BH_OK)
        return rc;
    add_arguments(w, options);
    add_environment(w, options);
    if (w->failed)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for the start specification");
    w->head.bytes = w->length;
    memcpy(w->bytes, &w->head, sizeof(w->head));
    return BH_OK;
}

/* ---- the file ---- */

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

/** A memory file with these bytes, sealed against every change. @return -1 and errno on failure */
int bhl_sealed_copy(const char *name, const void *bytes, size_t size, bool executable)
{
    int fd = bhl_memory_file(name, size, executable);

    if (fd >= 0 &&
        (!write_all(fd, bytes, size) ||
         fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0))
        bhl_close(&fd);
    return fd;
}

/** See nursery.h. */
int bhl_spec_write(int *fd, const struct bh_pool_options *options, const char *pool,
                   const char *program, struct bh_problem *problem)
{
    struct writer w = {0};

    int rc = add_all(&w, options, pool, program, problem);
    if (rc == BH_OK) {
        *fd = bhl_sealed_copy("bulkhead-spec", w.bytes, w.length, false);
        if (*fd < 0)
            rc = bhl_problem_errno(problem, "a memory file for the start specification");
    }
    bhi_free(w.bytes);
    return rc;
}
