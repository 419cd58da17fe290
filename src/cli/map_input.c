/* SPDX-License-Identifier: MIT */
/*
 * The inputs of bulkhead map: lines of JSON from stdin, or files.
 *
 * Model: a reader of records, which end with a newline or a NUL, in a buffer that grows to the
 * longest one; names of files come from such a reader or from patterns. Only one record is kept.
 */
#include "map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 65536

/* Records of a stream. */
struct reader {
    FILE *file;
    char end; /* of a record */
    char *bytes;
    size_t room;
    size_t first; /* of what was not given out yet */
    size_t held;
    uint64_t taken; /* bytes given out */
    bool over;
    int error; /* errno of what ended it; 0: its end */
};

struct map_input {
    struct reader reader;
    bool by_file;
    bool paths;            /* a file's path is sent, not its bytes */
    struct cli_list files; /* from --files: owned names */
    size_t next_file;
    uint64_t number;
    uint64_t size; /* of stdin in bytes; 0: not known */
    size_t most;   /* bytes of an input */
    bool failed;
};

void map_item_deinit(struct map_item *item)
{
    free(item->file);
    free(item->flaw);
    bh_value_deinit(&item->value);
    memset(item, 0, sizeof *item);
}

static char *copy_text(const char *text, size_t length)
{
    char *copy = malloc(length + 1);

    if (copy == NULL)
        cli_no_memory();
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

/* ---- records ----------------------------------------------------------------------------- */

/* Reads more behind what is held. */
static void read_more(struct reader *reader)
{
    if (reader->first > 0) {
        memmove(reader->bytes, reader->bytes + reader->first, reader->held);
        reader->first = 0;
    }
    if (reader->room - reader->held < CHUNK) {
        reader->room = reader->room * 2 + CHUNK;
        reader->bytes = realloc(reader->bytes, reader->room);
        if (reader->bytes == NULL)
            cli_no_memory();
    }
    int64_t got = map_read_some(reader->file, reader->bytes + reader->held, CHUNK);
    reader->held += got > 0 ? (size_t)got : 0;
    reader->over = got <= 0;
    reader->error = got < 0 ? errno : 0;
}

static void take(struct reader *reader, size_t bytes)
{
    reader->first += bytes;
    reader->held -= bytes;
    reader->taken += bytes;
}

/* The next record, valid until the call after; what is longer than `most` is cut, and said to be.
 */
static bool next_record(struct reader *reader, size_t most, const char **record, size_t *length,
                        bool *cut)
{
    size_t looked = 0;

    *cut = false;
    for (;;) {
        const char *from = reader->bytes + reader->first;
        const char *end = reader->held > looked
                              ? memchr(from + looked, reader->end, reader->held - looked)
                              : NULL;
        if (end != NULL || (reader->over && reader->held > 0)) {
            *record = from;
            *length = end != NULL ? (size_t)(end - from) : reader->held;
            take(reader, *length + (end != NULL));
            return true;
        }
        if (reader->over)
            return false;
        if (reader->held > most) { /* only its end is of interest */
            take(reader, reader->held - 1);
            *cut = true;
        }
        looked = reader->held;
        read_more(reader);
    }
}

/* ---- what is sent ------------------------------------------------------------------------ */

static char *flaw_of_json(const struct bh_problem *problem)
{
    char text[400];

    snprintf(text, sizeof text, "not valid JSON: column %u: %s", (unsigned)problem->column,
             problem->text);
    return copy_text(text, strlen(text));
}

static void take_line(struct map_item *item, const char *line, size_t length, bool cut)
{
    struct bh_problem problem = {0};

    if (length > 0 && line[length - 1] == '\r')
        length--;
    item->bytes = length;
    if (cut)
        item->flaw = copy_text("longer than --max-request-mib allows", 36);
    else if (bh_json_read(&item->value, line, length, NULL, &problem) != BH_OK)
        item->flaw = flaw_of_json(&problem);
}

static void take_file(const struct map_input *input, struct map_item *item)
{
    size_t length = 0;
    char *bytes;
    char text[400];

    if (input->paths) {
        if (bh_value_new_string(&item->value, item->file, strlen(item->file)) != BH_OK)
            item->flaw = copy_text("its name is not valid UTF-8", 27);
        return;
    }
    bytes = cli_read_file(item->file, input->most, &length);
    if (bytes == NULL) {
        snprintf(text, sizeof text, "cannot be read: %s", strerror(errno));
        item->flaw = copy_text(text, strlen(text));
        return;
    }
    item->bytes = length;
    if (bh_value_new_bytes(&item->value, bytes, length) != BH_OK)
        cli_no_memory();
    free(bytes);
}

/* ---- the next one ------------------------------------------------------------------------ */

static bool next_name(struct map_input *input, struct map_item *item)
{
    const char *name;
    size_t length;
    bool cut;

    if (input->reader.file == NULL) {
        if (input->next_file == input->files.count)
            return false;
        name = input->files.items[input->next_file++];
        item->file = copy_text(name, strlen(name));
        return true;
    }
    if (!next_record(&input->reader, 1 << 20, &name, &length, &cut))
        return false;
    item->file = copy_text(name, length);
    if (cut)
        item->flaw = copy_text("its name is longer than any", 27);
    return true;
}

static void check_reading(struct map_input *input)
{
    input->failed = input->reader.error != 0;
    if (input->failed)
        cli_complain("map: cannot read the inputs: %s", strerror(input->reader.error));
}

static bool has_record(const struct reader *reader)
{
    return reader->held > 0 &&
           memchr(reader->bytes + reader->first, reader->end, reader->held) != NULL;
}

bool map_input_ready(struct map_input *input, unsigned wait_ms)
{
    struct reader *reader = &input->reader;

    while (reader->file != NULL && !reader->over && !has_record(reader) &&
           reader->held <= input->most && map_can_read(reader->file, wait_ms))
        read_more(reader);
    return reader->file == NULL || reader->over || has_record(reader) || reader->held > input->most;
}

uint64_t map_input_number(const struct map_input *input)
{
    return input->number + 1;
}

bool map_input_next(struct map_input *input, bool wanted, struct map_item *item)
{
    const char *line;
    size_t length;
    bool cut;

    memset(item, 0, sizeof *item);
    if (input->by_file ? !next_name(input, item)
                       : !next_record(&input->reader, input->most, &line, &length, &cut)) {
        check_reading(input);
        return false;
    }
    item->number = ++input->number;
    if (!wanted)
        return true;
    if (input->by_file && item->flaw == NULL)
        take_file(input, item);
    else if (input->by_file)
        return true;
    else
        take_line(item, line, length, cut);
    return true;
}

bool map_input_failed(const struct map_input *input)
{
    return input->failed;
}

double map_input_part(const struct map_input *input)
{
    if (input->reader.file == NULL)
        return input->files.count > 0 ? (double)input->next_file / (double)input->files.count : 1;
    if (input->size == 0)
        return -1;
    double part = (double)input->reader.taken / (double)input->size;
    return part < 1 ? part : 1;
}

/* ---- opening ----------------------------------------------------------------------------- */

static void add_file(void *context, const char *name)
{
    cli_list_add(context, copy_text(name, strlen(name)));
}

static bool find_files(struct map_input *input, const struct cli_command *command,
                       const struct cli_settings *settings)
{
    for (size_t i = 0; i < settings->files.count; i++) {
        size_t before = input->files.count;
        if (!map_find_files(settings->files.items[i], add_file, &input->files))
            cli_no_memory();
        if (input->files.count == before) {
            cli_usage(command, "--files \"%s\" matches nothing", settings->files.items[i]);
            return false;
        }
    }
    return true;
}

static bool open_reader(struct map_input *input, const struct cli_command *command,
                        const char *path)
{
    bool is_stdin = path == NULL || strcmp(path, "-") == 0;

    input->reader.file = is_stdin ? stdin : cli_open(path);
    if (input->reader.file != NULL)
        return true;
    cli_usage(command, "--files0-from: cannot read \"%s\": %s", path, strerror(errno));
    return false;
}

struct map_input *map_input_open(const struct cli_command *command,
                                 const struct cli_settings *settings)
{
    struct map_input *input = calloc(1, sizeof *input);
    bool good;

    if (input == NULL)
        cli_no_memory();
    input->paths = settings->paths;
    input->most = (size_t)settings->pool.max_request_bytes;
    input->by_file = settings->files.count > 0 || settings->files_from != NULL;
    if (settings->files.count > 0) {
        good = find_files(input, command, settings);
    } else {
        good = open_reader(input, command, settings->files_from);
        input->reader.end = input->by_file ? '\0' : '\n';
        input->size = good ? map_file_size(input->reader.file) : 0;
    }
    if (good)
        return input;
    map_input_close(input);
    return NULL;
}

void map_input_close(struct map_input *input)
{
    if (input == NULL)
        return;
    if (input->reader.file != NULL && input->reader.file != stdin)
        fclose(input->reader.file);
    free(input->reader.bytes);
    for (size_t i = 0; i < input->files.count; i++)
        free((void *)(uintptr_t)input->files.items[i]);
    free(input->files.items);
    free(input);
}
