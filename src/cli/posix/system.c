/* SPDX-License-Identifier: MIT */
/*
 * What the program asks of a POSIX system: descriptors, terminals, paths.
 */
#include "../cli.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char cli_plugin_suffix[] = ".so";

char **cli_system_begin(int *argc, char **argv)
{
    /* A placeholder of the wrong direction: writing to it fails, as it would have. */
    static const int flags[] = {O_RDONLY, O_RDONLY, O_WRONLY};

    (void)argc;
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", flags[fd]) != fd)
            _Exit(CLI_OUTPUT);
    }
    return argv;
}

bool cli_is_terminal(FILE *stream)
{
    return isatty(fileno(stream));
}

bool cli_takes_colour(FILE *stream)
{
    const char *terminal = getenv("TERM");

    return cli_is_terminal(stream) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

void cli_survive_closed_pipes(void)
{
    signal(SIGPIPE, SIG_IGN);
}

FILE *cli_open(const char *path)
{
    return fopen(path, "rbe");
}

char *cli_own_folder(void)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    char *folder;

    if (length <= 0)
        return NULL;
    path[length] = '\0';
    strrchr(path, '/')[1] = '\0';
    folder = strdup(path);
    if (folder == NULL)
        cli_no_memory();
    return folder;
}

bool cli_is_program(const char *path)
{
    return access(path, X_OK) == 0;
}
