/* SPDX-License-Identifier: MIT */
/*
 * kit-script SCRIPT: runs a shell script as one test, so that it gets the deadline and the search
 * for leaks that every test gets.
 */
#include "kit.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *script;

TEST_TIMEOUT(script, 3600) /* CTest's deadline is the one that counts */
{
    const char *const argv[] = {"bash", script, NULL};
    int status;
    CHECK(waitpid(kit_spawn(argv, -1, STDOUT_FILENO, STDERR_FILENO), &status, 0) > 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == KIT_SKIP_STATUS)
        SKIP("as the script says");
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    script = argv[1];
    argv[1] = argv[0];
    return kit_main(argc - 1, argv + 1);
}
