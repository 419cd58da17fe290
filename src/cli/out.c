/* SPDX-License-Identifier: MIT */
/*
 * Everything that the program prints.
 *
 * Model: answers go to stdout, complaints to stderr, one line each. What a worker or a user wrote
 * is never sent to a terminal as it is: control characters become \xNN. Failed writes are
 * remembered and told at the end, by cli_finish().
 *
 * What a closed pipe does is left alone until the first write of ours, so that worker processes
 * which were started before, and inherit it, see the usual.
 */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static int write_error; /* errno of the first write to stdout that failed */

static bool want_colour(FILE *stream)
{
    const char *no = getenv("NO_COLOR");

    return (no == NULL || *no == '\0') && cli_takes_colour(stream);
}

const char *cli_bold(void)
{
    return want_colour(stdout) ? "\033[1m" : "";
}

const char *cli_plain(void)
{
    return want_colour(stdout) ? "\033[0m" : "";
}

/* A control character of C1 as UTF-8 has it: 0xC2 0x80 … 0x9F. Terminals obey some of them. */
static bool is_c1(const unsigned char *at, size_t length)
{
    return length > 1 && at[0] == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0;
}

void cli_clean(FILE *out, const char *text, size_t length)
{
    const unsigned char *at = (const unsigned char *)text;

    for (; length > 0; at++, length--) {
        if (is_c1(at, length)) {
            fprintf(out, "\\x%02X", at[1]);
            at++;
            length--;
        } else if (*at == '\n') {
            fputs("\\n", out);
        } else if ((*at < 0x20 && *at != '\t') || *at == 0x7F) {
            fprintf(out, "\\x%02X", *at);
        } else {
            putc(*at, out);
        }
    }
}

/* Formats into memory of its own. */
static char *format_text(const char *format, va_list arguments) BH_PRINTF(1, 0);
static char *format_text(const char *format, va_list arguments)
{
    va_list again;
    char *text;
    int length;

    va_copy(again, arguments);
    length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    text = length < 0 ? NULL : malloc((size_t)length + 1);
    if (text == NULL)
        cli_no_memory();
    vsnprintf(text, (size_t)length + 1, format, arguments);
    return text;
}

/* Keeps the reason of the first failure. */
static void note(bool good)
{
    if (!good && write_error == 0)
        write_error = errno != 0 ? errno : EIO;
}

void cli_flush(void)
{
    errno = 0;
    note(fflush(stdout) == 0);
}

static void complain(const char *who, const char *format, va_list arguments) BH_PRINTF(2, 0);
static void complain(const char *who, const char *format, va_list arguments)
{
    bool colour = want_colour(stderr);
    char *text = format_text(format, arguments);

    cli_flush();
    fprintf(stderr, "%sbulkhead%s%s:%s ", colour ? "\033[1;31m" : "", *who ? " " : "", who,
            colour ? "\033[0m" : "");
    cli_clean(stderr, text, strlen(text));
    putc('\n', stderr);
    fflush(stderr);
    free(text);
}

void cli_complain(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain("", format, arguments);
    va_end(arguments);
}

int cli_usage(const struct cli_command *command, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain(command != NULL ? command->name : "", format, arguments);
    va_end(arguments);
    return CLI_USAGE;
}

void cli_write(const void *bytes, size_t length)
{
    cli_survive_closed_pipes();
    errno = 0;
    note(fwrite(bytes, 1, length, stdout) == length);
}

void cli_print(const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    text = format_text(format, arguments);
    va_end(arguments);
    cli_write(text, strlen(text));
    free(text);
}

bool cli_write_json(const bh_value *value, bool one_line)
{
    bool pretty = !one_line && cli_is_terminal(stdout);
    char *text;
    size_t length;
    int error = bh_json_write(value, pretty ? BH_JSON_PRETTY : BH_JSON_COMPACT, &text, &length);

    if (error != BH_OK) {
        cli_complain("the answer cannot be written as JSON: %s", bh_error_text(error));
        return false;
    }
    cli_write(text, length);
    cli_write("\n", 1);
    bh_free(text);
    return true;
}

bool cli_can_write(void)
{
    return write_error == 0;
}

int cli_finish(int status)
{
    cli_flush();
    if (write_error == 0)
        return status;
    cli_complain("cannot write to stdout: %s", strerror(write_error));
    return CLI_OUTPUT;
}

void cli_no_memory(void)
{
    fputs("bulkhead: out of memory\n", stderr);
    fflush(stderr);
    _Exit(CLI_REFUSED);
}
