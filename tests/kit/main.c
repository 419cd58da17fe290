/* SPDX-License-Identifier: MIT */
/* Alone in this file, so that a program with a main() of its own can use the kit too. */
#include "kit.h"

int main(int argc, char **argv)
{
    return kit_main(argc, argv);
}
