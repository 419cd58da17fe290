/* SPDX-License-Identifier: MIT */
/*
 * Where bulkhead-host is.
 *
 * Model: an installed tree or a build tree may be moved as a whole, so the program looks around
 * itself first: in its own directory, then in ../libexec/bulkhead, and then leaves it to PATH.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOST "bulkhead-host"

static char *copy(const char *text)
{
    char *result = malloc(strlen(text) + 1);

    if (result == NULL)
        cli_no_memory();
    return strcpy(result, text);
}

char *cli_host_path(void)
{
    static const char *const places[] = {"", "../libexec/bulkhead/"};
    char self[4096 - sizeof "../libexec/bulkhead/" HOST];
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    if (length <= 0)
        return copy(HOST);
    self[length] = '\0';
    strrchr(self, '/')[1] = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, "%s%s%s", self, places[i], HOST);
        if (access(path, X_OK) == 0)
            return copy(path);
    }
    return copy(HOST);
}
