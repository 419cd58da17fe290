/* SPDX-License-Identifier: MIT */
/*
 * Names of programs, users and processors, resolved.
 *
 * Invariant: what comes out needs no environment, no working directory and no user database any
 * more.
 */
#include "resolve.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "support.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- programs ---- */

/* "directory/name"; NULL: no memory. */
static char *join(const char *directory, size_t length, const char *name)
{
    size_t name_length = strlen(name);
    char *path = bhi_alloc(length + 1 + name_length + 1);

    if (path == NULL)
        return NULL;
    memcpy(path, directory, length);
    path[length] = '/';
    memcpy(path + length + 1, name, name_length + 1);
    return path;
}

int bhl_resolve_path(const char *name, char **path, struct bh_problem *problem)
{
    char here[PATH_MAX] = "";

    if (name[0] != '/' && getcwd(here, sizeof(here)) == NULL)
        return bhl_problem_errno(problem, "the working directory");
    *path = name[0] == '/' ? join("", 0, name + 1) : join(here, strlen(here), name);
    return *path != NULL ? BH_OK : bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a path");
}

static bool is_program(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* Tries one directory of PATH; an empty one is the working directory, as in a shell. */
static int try_directory(const char *directory, size_t length, const char *name, char **path)
{
    char *joined = length > 0 ? join(directory, length, name) : join(".", 1, name);

    if (joined == NULL)
        return BH_E_MEMORY;
    int rc = is_program(joined) ? bhl_resolve_path(joined, path, NULL) : BH_E_NOT_FOUND;
    bhi_free(joined);
    return rc;
}

static int search_path(const char *name, char **path, struct bh_problem *problem)
{
    const char *directory = getenv("PATH");

    while (directory != NULL) {
        size_t length = strcspn(directory, ":");
        int rc = try_directory(directory, length, name, path);
        if (rc == BH_OK)
            return rc;
        if (rc == BH_E_MEMORY)
            return bhi_problem_set(problem, rc, 0, "no memory for a path");
        directory = directory[length] == ':' ? directory + length + 1 : NULL;
    }
    return bhi_problem_set(problem, BH_E_SYSTEM, ENOENT, "no program %s in PATH", name);
}

int bhl_resolve_program(const char *name, char **path, struct bh_problem *problem)
{
    *path = NULL;
    if (name == NULL || name[0] == '\0')
        return bhi_problem_set(problem, BH_E_INVALID, 0, "no worker program is given");
    if (strchr(name, '/') == NULL)
        return search_path(name, path, problem);
    return bhl_resolve_path(name, path, problem);
}

/* ---- users ---- */

/* Asks the user database, with a buffer that grows until the answer fits. NULL and 0: no such user.
 */
static int look_up(const char *name, const uid_t *uid, struct passwd *entry, char **buffer)
{
    struct passwd *found = NULL;
    int error = ERANGE;

    for (size_t size = 1024; error == ERANGE && size <= 1024 * 1024; size *= 4) {
        char *larger = bhi_realloc(*buffer, size);
        if (larger == NULL)
            return ENOMEM;
        *buffer = larger;
        error = uid != NULL ? getpwuid_r(*uid, entry, *buffer, size, &found)
                            : getpwnam_r(name, entry, *buffer, size, &found);
    }
    return error == 0 && found == NULL ? ENOENT : error;
}

static int list_groups(const struct passwd *entry, struct bhl_user *user)
{
    int count = 64;

    for (;;) {
        int room = count;
        gid_t *larger = bhi_realloc(user->groups, (size_t)count * sizeof(gid_t));
        if (larger == NULL)
            return ENOMEM;
        user->groups = larger;
        if (getgrouplist(entry->pw_name, entry->pw_gid, larger, &count) >= 0)
            break;
        count = count > room ? count : room * 2;
        if (count > NGROUPS_MAX)
            return E2BIG;
    }
    user->group_count = (uint32_t)count;
    return 0;
}

/* A decimal number that can be a user's. */
static bool read_number(const char *text, uid_t *uid)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    *uid = (uid_t)number;
    return errno == 0 && *end == '\0' && number < UINT32_MAX;
}

int bhl_resolve_user(const char *name, struct bhl_user *user, struct bh_problem *problem)
{
    struct passwd entry;
    char *buffer = NULL;
    uid_t uid = 0;
    bool number = read_number(name, &uid);

    *user = (struct bhl_user){0};
    int error = look_up(name, number ? &uid : NULL, &entry, &buffer);
    if (error == 0) {
        user->uid = entry.pw_uid;
        user->gid = entry.pw_gid;
        error = list_groups(&entry, user);
    } else if (number && error != ENOMEM) {
        user->uid = user->gid = uid;
        error = 0;
    }
    bhi_free(buffer);
    if (error == 0)
        return BH_OK;
    bhi_free(user->groups);
    user->groups = NULL;
    if (error == ENOMEM)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory to look up user %s", name);
    return bhi_problem_set(problem, BH_E_SYSTEM, error, "user %s: %s", name,
                           error == ENOENT ? "no such user" : bhl_error_text(error));
}

/* ---- processors ---- */

static bool read_cpu(const char **text, unsigned *cpu)
{
    char *end;

    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    unsigned long number = strtoul(*text, &end, 10);
    *text = end;
    *cpu = (unsigned)number;
    return errno == 0 && number < BHL_CPU_WORDS * 64;
}

/* One "3" or "0-3". */
static bool read_range(const char **text, struct bhl_cpus *cpus)
{
    unsigned first;
    unsigned last;

    if (!read_cpu(text, &first))
        return false;
    last = first;
    if (**text == '-') {
        ++*text;
        if (!read_cpu(text, &last) || last < first)
            return false;
    }
    for (unsigned cpu = first; cpu <= last; cpu++)
        cpus->words[cpu / 64] |= UINT64_C(1) << cpu % 64;
    if (cpus->used < last / 64 + 1)
        cpus->used = last / 64 + 1;
    return true;
}

int bhl_resolve_cpus(const char *list, struct bhl_cpus *cpus, struct bh_problem *problem)
{
    const char *at = list;

    *cpus = (struct bhl_cpus){0};
    while (read_range(&at, cpus)) {
        if (*at == '\0')
            return BH_OK;
        if (*at++ != ',')
            break;
    }
    return bhi_problem_set(problem, BH_E_INVALID, 0, "\"%s\" is no list of processors like 0-3,8",
                           list);
}

void bhl_cpus_of(int tid, struct bhl_cpus *cpus)
{
    *cpus = (struct bhl_cpus){0};
    long bytes = syscall(SYS_sched_getaffinity, tid, sizeof(cpus->words), cpus->words);
    for (uint32_t i = 0; i < BHL_CPU_WORDS && bytes > 0; i++) {
        if (cpus->words[i] != 0)
            cpus->used = i + 1;
    }
}
