/* SPDX-License-Identifier: MIT */
/*
 * A dispatcher to be killed that forks a child once its pool is open. Writes the child's number on
 * stdout.
 */
#include "dispatcher.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    bh_pool *pool = argc == 2 ? dispatcher_open(argv[1]) : NULL;

    if (!pool)
        return 1;
    pid_t child = fork();
    if (child == 0)
        kit_hang();
    printf("%d\n", (int)child);
    fflush(stdout);
    dispatcher_hang(pool);
}
