/* SPDX-License-Identifier: MIT */
/**
 * @file resolve.h
 * What the options name, made absolute when the pool opens: the worker's program, its user, its
 * processors. Later changes of PATH, the working directory or the user database do not move a pool.
 */
#ifndef BHL_RESOLVE_H
#define BHL_RESOLVE_H

#include <bulkhead/base.h>

/**
 * The absolute path of a program: without a '/' it is looked up in PATH, else it is taken from the
 * working directory.
 * @param[out] path owned (bhi_free) @return BH_OK, BH_E_SYSTEM, BH_E_MEMORY
 */
int bhl_resolve_program(const char *name, char **path, struct bh_problem *problem);

/** Puts the working directory before a relative path. Likewise. */
int bhl_resolve_path(const char *name, char **path, struct bh_problem *problem);

struct bhl_user {
    uint32_t uid;
    uint32_t gid;
    uint32_t *groups; /* owned (bhi_free) */
    uint32_t group_count;
};

/** A user by name or number, with all its groups. A number that the user database does not know
 * becomes that user and the group of the same number, with no other groups. */
int bhl_resolve_user(const char *name, struct bhl_user *user, struct bh_problem *problem);

/** Processors as a bit mask. */
#define BHL_CPU_WORDS 128
struct bhl_cpus {
    uint64_t words[BHL_CPU_WORDS];
    uint32_t used; /* words up to the last with a bit */
};

/** Reads "0-3,8". @return BH_OK, BH_E_INVALID */
int bhl_resolve_cpus(const char *list, struct bhl_cpus *cpus, struct bh_problem *problem);
/** The processors of a thread; used is 0 when they cannot be told. @param tid 0: the calling one */
void bhl_cpus_of(int tid, struct bhl_cpus *cpus);

#endif
