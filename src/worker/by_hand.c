/* SPDX-License-Identifier: MIT */
/*
 * A worker started by hand.
 *
 * Model: three questions a person may ask a program, and the answer to everything else: what this
 * is and who can start it. Nothing of the worker's own code runs.
 */
#include "by_hand.h"

#include "table.h"

#include <stdio.h>
#include <string.h>

#define STATUS_USAGE 2

const char *bhi_program_name(int argc, char **argv)
{
    const char *name;

    if (argc < 1 || argv[0] == NULL || argv[0][0] == '\0')
        return "worker";
    name = argv[0];
    for (const char *at = name; *at != '\0'; at++) {
        if (*at == '/' || *at == '\\') /* one of them, depending on the system */
            name = at + 1;
    }
    return name;
}

static void say_how_to_start(FILE *out, const char *name, const char *path)
{
    fprintf(
        out,
        "%s: this is a Bulkhead worker; it serves a dispatcher. To call one of its methods, try:\n"
        "  bulkhead call --worker %s METHOD [ARGUMENT...]\n"
        "or ask it: --help, --version, --methods\n",
        name, path);
}

int bhi_by_hand(int argc, char **argv, const struct bh_method *methods, uint32_t method_count)
{
    const char *name = bhi_program_name(argc, argv);
    const char *path = argc > 0 && argv[0] != NULL ? argv[0] : name;
    const char *question = argc == 2 ? argv[1] : "";

    if (strcmp(question, "--version") == 0) {
        printf("%s: Bulkhead worker, bulkhead %s\n", name, bh_version());
    } else if (strcmp(question, "--methods") == 0) {
        bhi_table_print(methods, method_count, stdout);
    } else if (strcmp(question, "--help") == 0) {
        say_how_to_start(stdout, name, path);
        printf("Methods:\n");
        bhi_table_print(methods, method_count, stdout);
    } else {
        say_how_to_start(stderr, name, path);
        return STATUS_USAGE;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
