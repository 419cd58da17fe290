/* SPDX-License-Identifier: MIT */
/*
 * Help texts, made from the tables that the command line is read with.
 *
 * Model: two columns, the option with its value and what it does, the second wrapped at WIDTH
 * columns. Texts are ASCII, so a byte is a column.
 */
#include "cli.h"

#include <string.h>

enum { WIDTH = 92, COLUMN = 29 };

/* A space that no line ends at. */
#define HARD_SPACE '\x1f'

static void print_word(const char *word, int length)
{
    for (int i = 0; i < length; i++)
        cli_print("%c", word[i] == HARD_SPACE ? ' ' : word[i]);
}

/* Prints words, separated by single spaces, from COLUMN on; further lines begin there too. */
static void print_wrapped(const char *text)
{
    int at = COLUMN;

    while (*text != '\0') {
        int length = (int)strcspn(text, " ");

        if (at == COLUMN) {
            at += length;
        } else if (at + 1 + length <= WIDTH) {
            cli_print(" ");
            at += 1 + length;
        } else {
            cli_print("\n%*s", COLUMN, "");
            at = COLUMN + length;
        }
        print_word(text, length);
        text += length;
        text += *text == ' ';
    }
    cli_print("\n");
}

static void print_row(const char *name, const char *value, const char *help)
{
    char left[64];
    int length = snprintf(left, sizeof left, "  --%s%s%s", name, value != NULL ? " " : "",
                          value != NULL ? value : "");

    if (length + 1 >= COLUMN)
        cli_print("%s\n%*s", left, COLUMN, "");
    else
        cli_print("%-*s", COLUMN, left);
    print_wrapped(help);
}

static void print_numeric(const struct cli_command *command)
{
    const struct bh_option_info *info;

    for (size_t i = 0; (info = bh_pool_option_info(i)) != NULL; i++) {
        char help[256];

        snprintf(help, sizeof help, "%s (%llu;\x1f%llu\x1fto\x1f%llu)", info->help,
                 (unsigned long long)cli_option_initial(info, command),
                 (unsigned long long)info->minimum, (unsigned long long)info->maximum);
        print_row(info->name, "N", help);
    }
}

static bool is_shown(const struct cli_option *option, const struct cli_command *command)
{
    return (option->commands & command->bit) && option->help != NULL;
}

static bool is_empty(const struct cli_group *group, const struct cli_command *command)
{
    const struct cli_option *option = group->options;

    while (option != NULL && option->name != NULL && !is_shown(option, command))
        option++;
    return option != NULL && option->name == NULL;
}

static void print_group(const struct cli_group *group, const struct cli_command *command)
{
    if (is_empty(group, command))
        return;
    cli_print("\n%s%s%s\n", cli_bold(), group->title, cli_plain());
    if (group->options == NULL) {
        print_numeric(command);
        return;
    }
    for (const struct cli_option *option = group->options; option->name != NULL; option++) {
        if (is_shown(option, command))
            print_row(option->name, option->value, option->help);
    }
}

int cli_help_command(const struct cli_command *command)
{
    cli_print("%sUsage:%s bulkhead %s %s\n\n%s", cli_bold(), cli_plain(), command->name,
              command->synopsis, command->about);
    for (const struct cli_group *group = cli_groups; group->title != NULL; group++)
        print_group(group, command);
    return CLI_OK;
}

int cli_help_program(void)
{
    cli_print("%sUsage:%s bulkhead COMMAND [OPTION...]\n\n"
              "Calls native code that may crash, in a worker process that may die of it.\n\n"
              "%sCommands%s\n",
              cli_bold(), cli_plain(), cli_bold(), cli_plain());
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++)
        cli_print("  %-10s %s\n", command->name, command->summary);
    cli_print("\n%sExamples%s\n"
              "  bulkhead methods --worker ./hello-worker\n"
              "  bulkhead call --worker ./hello-worker divide 42 2\n"
              "  bulkhead call --json --deadline-ms 500 --plugin ./plugin%s resize @photo.png 640\n"
              "\n%sExit status%s\n"
              "  0  the method replied             4  deadline, or no progress\n"
              "  1  the method said that it failed 5  the pool refused the request\n"
              "  2  wrong usage                    6  the answer could not be written\n"
              "  3  the worker died                128 + N  ended by signal N\n"
              "\nbulkhead help COMMAND and bulkhead COMMAND --help list a command's options;\n"
              "bulkhead --version prints the version.\n",
              cli_bold(), cli_plain(), cli_plugin_suffix, cli_bold(), cli_plain());
    return CLI_OK;
}
