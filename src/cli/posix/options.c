/* SPDX-License-Identifier: MIT */
/*
 * Options that only POSIX systems have: whom a worker runs as, and the resource limits.
 *
 * Model: the names of limits are the shell's, their numbers the system's. A command line that comes
 * from another system is told what there is instead of what that one has.
 */
#include "../cli.h"

#include <string.h>
#include <sys/resource.h>

static const char *set_user(struct cli_settings *settings, const char *value,
                            struct bh_problem *problem)
{
    (void)problem;
    settings->pool.user = value;
    return NULL;
}

static const char *set_allow_cores(struct cli_settings *settings, const char *value,
                                   struct bh_problem *problem)
{
    (void)value, (void)problem;
    settings->pool.allow_cores = true;
    return NULL;
}

#define RLIMIT_NAMES "nofile, as, data, stack, cpu, nproc, fsize, core"

static const struct {
    const char *name;
    int resource;
} rlimit_names[] = {
    {"nofile", RLIMIT_NOFILE}, {"as", RLIMIT_AS},     {"data", RLIMIT_DATA},
    {"stack", RLIMIT_STACK},   {"cpu", RLIMIT_CPU},   {"nproc", RLIMIT_NPROC},
    {"fsize", RLIMIT_FSIZE},   {"core", RLIMIT_CORE},
};
_Static_assert(sizeof rlimit_names / sizeof rlimit_names[0] == CLI_RLIMITS, "a place for each");

static bool parse_limit(const char *text, size_t length, uint64_t *limit)
{
    if (length == 9 && memcmp(text, "unlimited", 9) == 0) {
        *limit = UINT64_MAX;
        return true;
    }
    return cli_parse_number(text, length, UINT64_MAX - 1, limit);
}

/* Keeps one limit per resource, the last one said. */
static void keep_limit(struct cli_settings *settings, struct bh_rlimit limit)
{
    size_t i = 0;

    while (i < settings->pool.rlimit_count && settings->rlimits[i].resource != limit.resource)
        i++;
    settings->rlimits[i] = limit;
    if (i == settings->pool.rlimit_count)
        settings->pool.rlimit_count++;
    settings->pool.rlimits = settings->rlimits;
}

static const char *set_rlimit(struct cli_settings *settings, const char *value,
                              struct bh_problem *problem)
{
    size_t name = strcspn(value, "=");
    const char *soft = value + name + (value[name] == '=');
    size_t soft_length = strcspn(soft, ":");
    const char *hard = soft[soft_length] == ':' ? soft + soft_length + 1 : soft;
    size_t hard_length = hard == soft ? soft_length : strlen(hard);
    struct bh_rlimit limit = {0};
    size_t i = 0;

    (void)problem;
    while (i < CLI_RLIMITS &&
           (strlen(rlimit_names[i].name) != name || memcmp(rlimit_names[i].name, value, name) != 0))
        i++;
    if (i == CLI_RLIMITS)
        return "must be NAME=SOFT[:HARD] with one of the names " RLIMIT_NAMES;
    if (!parse_limit(soft, soft_length, &limit.soft) ||
        !parse_limit(hard, hard_length, &limit.hard))
        return "must be NAME=SOFT[:HARD]; SOFT and HARD are whole numbers or \"unlimited\"";
    if (limit.soft > limit.hard)
        return "has a soft limit above its hard limit";
    limit.resource = rlimit_names[i].resource;
    keep_limit(settings, limit);
    return NULL;
}

static const char *refuse_dumps(struct cli_settings *settings, const char *value,
                                struct bh_problem *problem)
{
    (void)settings, (void)value, (void)problem;
    return "exists on Windows alone; here --allow-cores lets a worker dump core";
}

const struct cli_option cli_system_options[] = {
    {"user", "USER", "user name or number to run the worker as", CLI_ALL, set_user},
    {"rlimit", "NAME=SOFT[:HARD]",
     "limit a resource, one of " RLIMIT_NAMES "; numbers or \"unlimited\"", CLI_ALL, set_rlimit},
    {"allow-cores", NULL, "let a dying worker dump core, which delays the notice", CLI_ALL,
     set_allow_cores},
    {"dump-directory", "PATH", NULL, CLI_ALL, refuse_dumps},
    {NULL, NULL, NULL, 0, NULL},
};
