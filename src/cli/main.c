/* SPDX-License-Identifier: MIT */
/*
 * bulkhead: calls methods of workers from a command line.
 *
 * Model: a table of subcommands, each in a file of its own. main() finds the one that is meant; the
 * subcommand reads its options, opens a pool of one worker, asks, closes it and says what came of
 * it. Everything is done with the public API, so that the program is also its example.
 */
#include "cli.h"

#include <string.h>

const struct cli_command cli_commands[] = {
    {"call", "[OPTION...] (--worker PROGRAM | --plugin LIBRARY) METHOD [ARGUMENT...]",
     "call one method of a worker and print its reply as JSON",
     "Starts a worker, calls one of its methods and prints the reply as JSON. If the worker dies "
     "of it,\n"
     "one line on stderr says how; --json says everything there is to know.\n"
     "\n"
     "An ARGUMENT that is a JSON number, true, false or null, or starts with {, [ or \", is read "
     "as\n"
     "JSON. @FILE stands for the bytes of that file. Everything else is a string. Options come "
     "before\n"
     "METHOD; put -- before arguments that begin with --.\n",
     CLI_CALL, cli_call},
    {"methods", "[OPTION...] (--worker PROGRAM | --plugin LIBRARY)",
     "list the methods that a worker offers",
     "Starts a worker and lists the methods that it announces.\n", CLI_METHODS, cli_methods},
    {"map", "[OPTION...] (--worker PROGRAM | --plugin LIBRARY) METHOD [ARGUMENT...]",
     "call one method for each of many inputs",
     "Calls a method for each line of stdin, or for each file, on several workers at once, and "
     "writes\n"
     "one line of JSON for each, as bulkhead call --json does, with the number of its input. The "
     "input\n"
     "comes after the ARGUMENTs: a line is one JSON value, a file its bytes. An input that kills "
     "its\n"
     "worker costs its own result and no other.\n"
     "\n"
     "With --resume a run that was ended, however, goes on where it was: in the end FILE has "
     "exactly\n"
     "one line for each input. It knows inputs by their number alone: give the same command the "
     "same\n"
     "inputs.\n",
     CLI_MAP, cli_map},
    {"help", "[COMMAND]", "explain a command", "Explains a command, or the program.\n", 0,
     cli_help},
    {NULL, NULL, NULL, NULL, 0, NULL},
};

static const struct cli_command *find_command(const char *name)
{
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        if (strcmp(command->name, name) == 0)
            return command;
    }
    return NULL;
}

static int unknown(const char *what, const char *name)
{
    const char *names[sizeof cli_commands / sizeof cli_commands[0]];
    const char *near;
    size_t count = 0;

    for (const struct cli_command *command = cli_commands; command->name != NULL; command++)
        names[count++] = command->name;
    near = cli_suggest(name, names, count);
    if (near != NULL)
        return cli_usage(NULL, "unknown %s \"%s\"; did you mean \"%s\"?", what, name, near);
    return cli_usage(NULL, "unknown %s \"%s\"; there are call, map, methods and help", what, name);
}

int cli_help(const struct cli_command *command, int argc, char **argv)
{
    const struct cli_command *wanted;
    char flag[] = "--help";
    char *words[] = {NULL, flag, NULL};

    if (argc > 2)
        return cli_usage(command, "takes the name of one command, not %d", argc - 1);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return cli_help_program();
    wanted = find_command(argv[1]);
    if (wanted == NULL)
        return unknown("command", argv[1]);
    if (wanted->run == cli_help)
        return cli_help_program();
    words[0] = argv[1];
    return wanted->run(wanted, 2, words);
}

int main(int argc, char **argv)
{
    const struct cli_command *command;
    int status;

    argv = cli_system_begin(&argc, argv);
    if (argv == NULL)
        return CLI_USAGE;
    if (argc < 2)
        return cli_usage(NULL, "a command is missing; try: bulkhead help");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        status = cli_help_program();
    } else if (strcmp(argv[1], "--version") == 0) {
        cli_print("bulkhead %s\n", bh_version());
        status = CLI_OK;
    } else {
        command = find_command(argv[1]);
        if (command == NULL)
            status = unknown(argv[1][0] == '-' ? "option" : "command", argv[1]);
        else
            status = command->run(command, argc - 1, argv + 1);
    }
    return cli_finish(status);
}
