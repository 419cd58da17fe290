/* SPDX-License-Identifier: MIT */
/**
 * @file plugin.h
 * Loading a plug-in: the only thing that bulkhead-host asks of the operating system.
 */
#ifndef BHI_PLUGIN_H
#define BHI_PLUGIN_H

#include <bulkhead/worker.h>

/**
 * Loads a shared library and looks for its table. It stays loaded.
 * @param program the host's name, for messages
 * @param path    of the library, which is the program's first argument; a bare name is a file in
 * the current directory
 * @param[out] table what it exports as BH_PLUGIN_SYMBOL, or NULL
 * @return false when it cannot be loaded; stderr says why
 */
bool bhi_plugin_open(const char *program, const char *path, const struct bh_worker **table);

#endif
