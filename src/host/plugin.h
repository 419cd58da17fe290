/* SPDX-License-Identifier: MIT */
/**
 * @file plugin.h
 * Loading a plug-in: the only thing that bulkhead-host asks of the operating system.
 */
#ifndef BHI_PLUGIN_H
#define BHI_PLUGIN_H

#include <bulkhead/worker.h>

/**
 * Loads a shared library and finds its table. It stays loaded. Says on stderr what is wrong.
 * @param program the host's name, for messages
 * @param path    of the library; a bare name is a file in the current directory
 * @return the plug-in's table, or NULL
 */
const struct bh_worker *bhi_plugin_load(const char *program, const char *path);

#endif
