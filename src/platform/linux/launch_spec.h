/* SPDX-License-Identifier: MIT */
/**
 * @file launch_spec.h
 * What the launcher needs to know to start workers: one sealed memory file that the dispatcher
 * writes at the opening of a pool and every launcher of that pool finds at BHL_FD_SPEC. Everything
 * in it is resolved: paths are absolute, the user is a number, the environment is merged.
 *
 * The file: struct bhl_spec, then, each from a multiple of 8,
 *   struct bhl_spec_rlimit [rlimits], uint64_t cpus [cpu_words], uint32_t groups [groups],
 *   then NUL-terminated strings: pool, program, directory (empty: stay), cwd (empty: unknown), the
 *   arguments (argv[0] first), the environment.
 */
#ifndef BHL_LAUNCH_SPEC_H
#define BHL_LAUNCH_SPEC_H

#include <stdint.h>

#define BHL_SPEC_MAGIC 0x43505342u /* "BSPC" */

/** bhl_spec.flags */
enum {
    BHL_SPEC_ALLOW_CORES = 1,
    BHL_SPEC_USER = 2,     /* become uid, gid, groups */
    BHL_SPEC_NICE = 4,     /* set niceness `nice` */
    BHL_SPEC_AFFINITY = 8, /* run on `cpus`, or do not start; without it they are only a wish */
};

struct bhl_spec_rlimit {
    int32_t resource;
    uint32_t reserved;
    uint64_t soft;
    uint64_t hard;
};

struct bhl_spec {
    uint32_t magic;
    uint32_t version;   /* BHL_VERSION */
    uint64_t bytes;     /* of the whole file */
    int64_t dispatcher; /* its pid, for people */
    uint32_t flags;
    int32_t nice;
    uint32_t uid;
    uint32_t gid;
    uint32_t rlimits;
    uint32_t cpu_words; /* 0: leave the affinity alone */
    uint32_t groups;
    uint32_t arguments;
    uint32_t environment;
    uint32_t reserved;
};

#endif
