/* SPDX-License-Identifier: MIT */
/*
 * bulkhead-host: a ready worker for a shared library with a table of methods.
 *
 * Model: the host is a worker program whose table comes from a file. It loads the plug-in and hands
 * everything else to bh_worker_main(): to it, and to the plug-in's init(), the command line begins
 * with the plug-in's path. The plug-in finds bh_call_reply() and its like in the library that the
 * host is linked with.
 */
#include "plugin.h"

#include <stdio.h>
#include <string.h>

#define PROGRAM "bulkhead-host"
#define STATUS_USAGE 2

static int usage(FILE *out, int status)
{
    fputs("usage: bulkhead-host PLUGIN [ARGUMENT...]\n"
          "Serves the methods of a shared library that exports \"" BH_PLUGIN_SYMBOL
          "\", in a process\n"
          "of its own. A dispatcher starts it; from a command line, try:\n"
          "  bulkhead-host PLUGIN --methods\n"
          "Options: --help, --version\n",
          out);
    return status;
}

/* @return NULL, and stderr says why, when there is no table to serve */
static const struct bh_worker *load(const char *path)
{
    const size_t least = offsetof(struct bh_worker, methods) + sizeof(const struct bh_method *);
    const struct bh_worker *table;

    if (!bhi_plugin_open(PROGRAM, path, &table))
        return NULL;
    if (table == NULL) {
        fprintf(stderr, PROGRAM ": %s is no plug-in: it does not export \"%s\"\n", path,
                BH_PLUGIN_SYMBOL);
        return NULL;
    }
    if (table->size < least || table->methods == NULL) {
        fprintf(stderr,
                PROGRAM ": %s: \"%s\" does not begin with sizeof(struct bh_worker) and a table\n",
                path, BH_PLUGIN_SYMBOL);
        return NULL;
    }
    return table;
}

int main(int argc, char **argv)
{
    const struct bh_worker *worker;

    if (argc < 2)
        return usage(stderr, STATUS_USAGE);
    if (strcmp(argv[1], "--help") == 0)
        return usage(stdout, 0);
    if (strcmp(argv[1], "--version") == 0) {
        printf(PROGRAM " %s\n", bh_version());
        return 0;
    }
    if (argv[1][0] == '-') { /* also a dispatcher that was not told which plug-in */
        fprintf(stderr, PROGRAM ": the first argument must be a plug-in, not \"%s\"\n", argv[1]);
        return usage(stderr, STATUS_USAGE);
    }
    worker = load(argv[1]);
    if (worker == NULL)
        return STATUS_USAGE;
    return bh_worker_main(argc - 1, argv + 1, worker);
}
