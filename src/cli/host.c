/* SPDX-License-Identifier: MIT */
/*
 * Where bulkhead-host is.
 *
 * Model: an installed tree or a build tree may be moved as a whole, so the program looks around
 * itself first: in its own folder, then in ../libexec/bulkhead, and then leaves it to PATH.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#define HOST "bulkhead-host"

/* The texts one after the other. */
static char *join(const char *folder, const char *place, const char *name)
{
    size_t size = strlen(folder) + strlen(place) + strlen(name) + 1;
    char *path = malloc(size);

    if (path == NULL)
        cli_no_memory();
    snprintf(path, size, "%s%s%s", folder, place, name);
    return path;
}

char *cli_host_path(void)
{
    static const char *const places[] = {"", "../libexec/bulkhead/"};
    char *folder = cli_own_folder();
    char *path = NULL;

    for (size_t i = 0; folder != NULL && i < sizeof places / sizeof places[0]; i++) {
        path = join(folder, places[i], HOST);
        if (cli_is_program(path))
            break;
        free(path);
        path = NULL;
    }
    free(folder);
    return path != NULL ? path : join("", "", HOST);
}
