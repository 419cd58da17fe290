/* SPDX-License-Identifier: MIT */
/*
 * The results of bulkhead map: one line each, to stdout or to the file of --resume.
 *
 * Model: a line begins with {"input":N, so that the file of an earlier run says by itself what is
 * done. `floor` is the lowest input without a written line; of those above, up to MAP_WINDOW ahead,
 * there is a slot each: a line that waits for its turn, or the mark that it is done. In input order
 * a line is written when it becomes the floor; otherwise at once.
 *
 * Invariants: whatever moment the program is killed at, the file holds whole lines of different
 * inputs and at most one torn line at its end, which the next run cuts off. So there is exactly one
 * line per input in the end.
 */
#include "map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    bool done;
    char *line; /* waits to be written */
    size_t length;
};

struct map_results {
    FILE *file; /* of --resume; NULL: stdout */
    const char *path;
    bool ordered;
    uint64_t earlier;
    uint64_t floor;
    struct slot slots[MAP_WINDOW];
    size_t waiting;
    int error; /* errno of the first write that failed */
};

static struct slot *slot_of(struct map_results *results, uint64_t number)
{
    return &results->slots[number % MAP_WINDOW];
}

/* ---- writing ----------------------------------------------------------------------------- */

static void write_line(struct map_results *results, const char *line, size_t length)
{
    if (results->file == NULL) {
        cli_write(line, length);
        cli_write("\n", 1);
        return;
    }
    if (results->error == 0 &&
        (fwrite(line, 1, length, results->file) != length || putc('\n', results->file) == EOF))
        results->error = errno != 0 ? errno : EIO;
}

/* Writes what has become its turn. */
static void advance(struct map_results *results)
{
    for (struct slot *slot; (slot = slot_of(results, results->floor))->done; results->floor++) {
        if (slot->line != NULL)
            write_line(results, slot->line, slot->length);
        results->waiting -= slot->length;
        free(slot->line);
        memset(slot, 0, sizeof *slot);
    }
}

void map_results_put(struct map_results *results, uint64_t number, char *line, size_t length)
{
    struct slot *slot = slot_of(results, number);

    slot->done = true;
    if (results->ordered) {
        slot->line = line;
        slot->length = length;
        results->waiting += length;
    } else {
        write_line(results, line, length);
        free(line);
    }
    advance(results);
}

void map_results_skip(struct map_results *results, uint64_t number)
{
    if (number < results->floor)
        return;
    slot_of(results, number)->done = true;
    advance(results);
}

uint64_t map_results_floor(const struct map_results *results)
{
    return results->floor;
}

size_t map_results_waiting(const struct map_results *results)
{
    return results->waiting;
}

uint64_t map_results_earlier(const struct map_results *results)
{
    return results->earlier;
}

bool map_results_has(const struct map_results *results, uint64_t number)
{
    return number < results->floor ||
           (number < results->floor + MAP_WINDOW && results->slots[number % MAP_WINDOW].done);
}

bool map_results_flush(struct map_results *results)
{
    if (results->file == NULL) {
        cli_flush();
        return cli_can_write();
    }
    if (fflush(results->file) != 0 && results->error == 0)
        results->error = errno;
    return results->error == 0;
}

/* ---- what is there already --------------------------------------------------------------- */

static const char line_head[] = "{\"input\":";

/* Whether a line that was torn can be one of ours. */
static bool is_head(const char *line, size_t length)
{
    size_t most = sizeof line_head - 1;

    return memcmp(line, line_head, length < most ? length : most) == 0;
}

/* The input's number in a line that we wrote; 0: it is none of ours. */
static uint64_t number_of(const char *line, size_t length)
{
    size_t at = sizeof line_head - 1;
    uint64_t number;

    if (length <= at || !is_head(line, length))
        return 0;
    size_t digits = 0;
    while (at + digits < length && line[at + digits] >= '0' && line[at + digits] <= '9')
        digits++;
    return cli_parse_number(line + at, digits, UINT64_MAX / 2, &number) ? number : 0;
}

static const char *note_line(struct map_results *results, const char *line, size_t length)
{
    uint64_t number = number_of(line, length);

    if (number == 0)
        return "is no result of bulkhead map";
    if (map_results_has(results, number))
        return "is the second result of the same input";
    if (number >= results->floor + MAP_WINDOW)
        return "is out of order";
    results->earlier++;
    map_results_skip(results, number);
    return NULL;
}

/* Reads the lines; the head of each is enough. @param[out] whole bytes of whole lines */
static const char *read_lines(struct map_results *results, uint64_t *line_number, uint64_t *whole)
{
    char head[64];
    size_t length = 0;
    uint64_t at = 0;
    int c;

    *line_number = 1;
    while ((c = getc(results->file)) != EOF) {
        at++;
        if (c != '\n') {
            if (length < sizeof head)
                head[length++] = (char)c;
            continue;
        }
        const char *flaw = note_line(results, head, length);
        if (flaw != NULL)
            return flaw;
        *whole = at;
        length = 0;
        ++*line_number;
    }
    if (ferror(results->file))
        return strerror(errno);
    return is_head(head, length) ? NULL : "is no result of bulkhead map";
}

static bool read_earlier(struct map_results *results, const struct cli_command *command)
{
    uint64_t line, whole = 0;
    const char *flaw = read_lines(results, &line, &whole);

    if (flaw != NULL) {
        cli_usage(command, "--resume: line %" PRIu64 " of \"%s\" %s", line, results->path, flaw);
        return false;
    }
    if (map_cut_file(results->file, whole))
        return true;
    cli_usage(command, "--resume: cannot write \"%s\": %s", results->path, strerror(errno));
    return false;
}

/* ---- opening and closing ----------------------------------------------------------------- */

struct map_results *map_results_open(const struct cli_command *command,
                                     const struct cli_settings *settings)
{
    struct map_results *results = calloc(1, sizeof *results);

    if (results == NULL)
        cli_no_memory();
    results->floor = 1;
    results->path = settings->resume;
    results->ordered = !settings->unordered;
    if (results->path == NULL)
        return results;
    results->file = map_open_to_extend(results->path);
    if (results->file == NULL) {
        cli_usage(command, "--resume: cannot open \"%s\": %s", results->path,
                  errno == EBUSY ? "another bulkhead map is writing it" : strerror(errno));
    } else if (read_earlier(results, command)) {
        return results;
    } else {
        fclose(results->file);
    }
    free(results);
    return NULL;
}

bool map_results_close(struct map_results *results)
{
    bool good;

    if (results == NULL)
        return true;
    good = map_results_flush(results);
    if (results->file != NULL && fclose(results->file) != 0 && results->error == 0)
        results->error = errno;
    if (results->error != 0)
        cli_complain("map: cannot write \"%s\": %s", results->path, strerror(results->error));
    for (unsigned i = 0; i < MAP_WINDOW; i++)
        free(results->slots[i].line);
    good = results->error == 0;
    free(results);
    return good;
}
