/* SPDX-License-Identifier: MIT */
/**
 * @file keys.h
 * What a COM registration would leave in the registry: the keys under CLSID, AppID, TypeLib and
 * Interface, the machine's and the user's, of both bitnesses.
 */
#ifndef SELFTEST_KEYS_H
#define SELFTEST_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

struct keys {
    wchar_t **names; /**< full paths, sorted; each owned */
    size_t count;
    size_t room;
    uint64_t hash; /**< of all names */
    bool failed;   /**< no memory: not all are there */
};

/** Reads all of them. @param with_values a line for each value too, with a hash of its data */
void keys_read(struct keys *keys, bool with_values);
void keys_deinit(struct keys *keys);

/** Calls for every name that only one of the two has. */
void keys_compare(const struct keys *before, const struct keys *after,
                  void (*tell)(void *context, const wchar_t *name, bool is_new), void *context);

#endif
