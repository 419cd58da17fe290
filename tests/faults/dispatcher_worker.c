/* SPDX-License-Identifier: MIT */
/*
 * A dispatcher to be killed: opens a pool of crowd_workers and keeps each of them in hang(), for
 * ever.
 */
#include "dispatcher.h"

int main(int argc, char **argv)
{
    bh_pool *pool = argc == 2 ? dispatcher_open(argv[1]) : NULL;

    if (!pool)
        return 1;
    dispatcher_hang(pool);
}
