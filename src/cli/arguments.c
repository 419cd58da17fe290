/* SPDX-License-Identifier: MIT */
/*
 * From the words of a command line to the values of a call.
 *
 * Model: each word is one value, by its first character: JSON when it can begin nothing else or is
 * a whole JSON number or literal, the bytes of a file after @, a string otherwise. So "01" and
 * "1.2.3" are strings, and a string that looks like JSON is written as JSON: '"5"'.
 */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_digits(const char *text)
{
    return text + strspn(text, "0123456789");
}

/* Whether the whole text is a number as JSON has it. */
static bool is_number(const char *text)
{
    const char *digits = text + (*text == '-');
    const char *at = skip_digits(digits);

    if (at == digits || (*digits == '0' && at != digits + 1))
        return false;
    if (*at == '.') {
        digits = at + 1;
        at = skip_digits(digits);
        if (at == digits)
            return false;
    }
    if (*at == 'e' || *at == 'E') {
        digits = at + 1 + (at[1] == '+' || at[1] == '-');
        at = skip_digits(digits);
        if (at == digits)
            return false;
    }
    return *at == '\0';
}

static bool is_json(const char *text)
{
    return (*text != '\0' && strchr("{[\"", *text) != NULL) || strcmp(text, "true") == 0 ||
           strcmp(text, "false") == 0 || strcmp(text, "null") == 0 || is_number(text);
}

static int take_json(const struct cli_command *command, int number, const char *text,
                     bh_value *value)
{
    struct bh_problem problem = {0};

    if (bh_json_read(value, text, strlen(text), NULL, &problem) == BH_OK)
        return CLI_OK;
    return cli_usage(command, "argument %d is not valid JSON: line %u, column %u: %s", number,
                     (unsigned)problem.line, (unsigned)problem.column, problem.text);
}

/* Everything that can be read from a file, which need not have a size. @return NULL: errno */
static char *read_all(FILE *file, size_t most, size_t *length)
{
    size_t capacity = 65536;
    char *bytes = malloc(capacity);

    *length = 0;
    while (bytes != NULL) {
        size_t got = fread(bytes + *length, 1, capacity - *length, file);
        char *more;

        *length += got;
        if (*length > most) {
            errno = EFBIG;
            break;
        }
        if (*length < capacity) {
            if (!ferror(file))
                return bytes;
            break;
        }
        more = realloc(bytes, capacity *= 2);
        if (more == NULL)
            break;
        bytes = more;
    }
    free(bytes);
    return NULL;
}

char *cli_read_file(const char *path, size_t most, size_t *length)
{
    FILE *file = cli_open(path);
    char *bytes = file != NULL ? read_all(file, most, length) : NULL;
    int error = errno;

    if (file != NULL)
        fclose(file);
    errno = error;
    return bytes;
}

static int take_file(const struct cli_command *command, int number, const char *path,
                     bh_value *value)
{
    size_t length;
    char *bytes = cli_read_file(path, SIZE_MAX / 4, &length);

    if (bytes == NULL)
        return cli_usage(command, "argument %d: cannot read the file \"%s\": %s", number, path,
                         strerror(errno));
    if (bh_value_new_bytes(value, bytes, length) != BH_OK)
        cli_no_memory();
    free(bytes);
    return CLI_OK;
}

static int take_string(const struct cli_command *command, int number, const char *text,
                       bh_value *value)
{
    int error = bh_value_new_string(value, text, strlen(text));

    if (error == BH_E_UTF8)
        return cli_usage(command, "argument %d is not valid UTF-8; @FILE sends any bytes", number);
    if (error != BH_OK)
        cli_no_memory();
    return CLI_OK;
}

static int take(const struct cli_command *command, int number, const char *text, bh_value *value)
{
    if (*text == '@')
        return take_file(command, number, text + 1, value);
    if (is_json(text))
        return take_json(command, number, text, value);
    return take_string(command, number, text, value);
}

int cli_arguments(const struct cli_command *command, const struct cli_settings *settings, int argc,
                  char **argv, bh_value *values)
{
    bool literal = settings->literal;
    int status = CLI_OK;
    int number = 0;

    *values = bh_value_array();
    for (int i = settings->rest + 1; i < argc && status == CLI_OK; i++) {
        bh_value value = bh_value_null();

        if (!literal && strcmp(argv[i], "--") == 0) {
            literal = true;
            continue;
        }
        if (!literal && strncmp(argv[i], "--", 2) == 0) {
            status = cli_usage(command,
                               "%s comes after the method; options come before it, and arguments "
                               "that begin with -- come after a lone --",
                               argv[i]);
            break;
        }
        status = take(command, ++number, argv[i], &value);
        if (status == CLI_OK && bh_array_push(values, &value) != BH_OK)
            cli_no_memory();
    }
    if (status != CLI_OK)
        bh_value_deinit(values);
    return status;
}
