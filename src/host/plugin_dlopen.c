/* SPDX-License-Identifier: MIT */
/*
 * Loading a plug-in with dlopen().
 *
 * Model: every symbol is resolved now and none is offered to later libraries (RTLD_NOW,
 * RTLD_LOCAL): a plug-in that lacks something fails to start, with the name of what it lacks,
 * instead of failing its first request. It is never unloaded: it may have threads, atexit hooks and
 * signal handlers.
 */
#include "plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* dlopen() looks a bare name up in the library path; a person means the file. */
static void *open_library(const char *path)
{
    char *here;
    void *library;

    if (strchr(path, '/') != NULL)
        return dlopen(path, RTLD_NOW | RTLD_LOCAL);
    here = malloc(strlen(path) + 3);
    if (here == NULL)
        return NULL;
    sprintf(here, "./%s", path);
    library = dlopen(here, RTLD_NOW | RTLD_LOCAL);
    free(here);
    return library;
}

bool bhi_plugin_open(const char *program, const char *path, const struct bh_worker **table)
{
    const char *why;
    void *library = open_library(path);

    if (library == NULL) {
        why = dlerror();
        fprintf(stderr, "%s: cannot load %s: %s\n", program, path, why == NULL ? "no memory" : why);
        return false;
    }
    *table = dlsym(library, BH_PLUGIN_SYMBOL);
    return true;
}
