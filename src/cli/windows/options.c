/* SPDX-License-Identifier: MIT */
/*
 * Options that only Windows has, and those that it does not have.
 *
 * Model: a command line that comes from another system is told what there is instead; the help does
 * not show what cannot be used.
 */
#include "../cli.h"

static const char *set_dump_directory(struct cli_settings *settings, const char *value,
                                      struct bh_problem *problem)
{
    (void)problem;
    settings->pool.dump_directory = value;
    return NULL;
}

static const char *refuse_user(struct cli_settings *settings, const char *value,
                               struct bh_problem *problem)
{
    (void)settings, (void)value, (void)problem;
    return "does not exist on Windows, where a worker runs as the user of this program";
}

static const char *refuse_rlimit(struct cli_settings *settings, const char *value,
                                 struct bh_problem *problem)
{
    (void)settings, (void)value, (void)problem;
    return "does not exist on Windows, where --memory-limit-mib limits a worker";
}

static const char *refuse_cores(struct cli_settings *settings, const char *value,
                                struct bh_problem *problem)
{
    (void)settings, (void)value, (void)problem;
    return "does not exist on Windows, where --dump-directory keeps a minidump";
}

const struct cli_option cli_system_options[] = {
    {"user", "USER", NULL, CLI_ALL, refuse_user},
    {"rlimit", "NAME=SOFT[:HARD]", NULL, CLI_ALL, refuse_rlimit},
    {"allow-cores", NULL, NULL, CLI_ALL, refuse_cores},
    {"dump-directory", "PATH", "where a worker that faults or aborts writes a minidump first",
     CLI_ALL, set_dump_directory},
    {NULL, NULL, NULL, 0, NULL},
};
