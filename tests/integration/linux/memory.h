/* SPDX-License-Identifier: MIT */
/**
 * @file memory.h
 * How much memory a process has, as its worker and the test count it.
 */
#ifndef BH_TESTS_MEMORY_H
#define BH_TESTS_MEMORY_H

#include <stdint.h>
#include <stdio.h>

/** Resident bytes of a process, of a page that n processes share one nth; -1: it cannot be told. */
static inline int64_t memory_pss(int pid)
{
    char path[64], line[256];
    long long kib = -1;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    while (fgets(line, sizeof(line), file) != NULL && sscanf(line, "Pss: %lld kB", &kib) != 1)
        continue;
    fclose(file);
    return kib < 0 ? -1 : kib * 1024;
}

#endif
