/* SPDX-License-Identifier: MIT */
/**
 * @file map.h
 * What the files of `bulkhead map` share: inputs that are read one after the other, a window of
 * those on their way, and the results' file.
 */
#ifndef BULKHEAD_CLI_MAP_H
#define BULKHEAD_CLI_MAP_H

#include "cli.h"

/** The farthest that one input may be ahead of another. */
#define MAP_WINDOW 1024u
/** Bytes of inputs and of results that are kept at once; a single larger one goes alone. */
#define MAP_BYTES (16u << 20)

/* ---- map_input.c ------------------------------------------------------------------------- */

/** One input. */
struct map_item {
    uint64_t number; /* from 1 */
    char *file;      /* name of its file, or NULL: a line; owned */
    bh_value value;  /* what is sent; owned */
    char *flaw;      /* why nothing can be sent, or NULL; owned */
    size_t bytes;    /* that it takes while it is on its way */
};
void map_item_deinit(struct map_item *item);

struct map_input;

/** Opens what the settings name: lines of stdin, or files. @return NULL after a complaint */
struct map_input *map_input_open(const struct cli_command *command,
                                 const struct cli_settings *settings);
void map_input_close(struct map_input *input);
/** Whether the next one can be read without waiting for who writes it, now or within that time. */
bool map_input_ready(struct map_input *input, unsigned wait_ms);
/** The number that the next one has. */
uint64_t map_input_number(const struct map_input *input);
/** The next input. @param wanted whether its value is; else only its number and name are made
 * @return false: there is none, or it cannot be read: then it has complained, see failed */
bool map_input_next(struct map_input *input, bool wanted, struct map_item *item);
bool map_input_failed(const struct map_input *input);
/** Which part of all there is has been read, 0 … 1; negative: not known. */
double map_input_part(const struct map_input *input);

/* ---- map_result.c ------------------------------------------------------------------------ */

struct map_results;

/** Opens the results: the file of --resume, of which is read what is done already, or stdout.
 * @return NULL after a complaint */
struct map_results *map_results_open(const struct cli_command *command,
                                     const struct cli_settings *settings);
/** Whether an input has its result already. Numbers must ascend from call to call. */
bool map_results_has(const struct map_results *results, uint64_t number);
/** How many had one when they were opened. */
uint64_t map_results_earlier(const struct map_results *results);
/** Takes a line, without newline, which it frees: writes it when its turn has come. */
void map_results_put(struct map_results *results, uint64_t number, char *line, size_t length);
/** In input order: an input that has its result already. */
void map_results_skip(struct map_results *results, uint64_t number);
/** The lowest number that has not been written: how far the window reaches. */
uint64_t map_results_floor(const struct map_results *results);
/** Bytes that wait for their turn. */
size_t map_results_waiting(const struct map_results *results);
/** Sends what was written on its way. @return false: it cannot be written */
bool map_results_flush(struct map_results *results);
/** @return false, and it has complained, when not everything could be written */
bool map_results_close(struct map_results *results);

/* ---- map_progress.c ---------------------------------------------------------------------- */

/** What has come of the inputs so far. */
struct map_sums {
    uint64_t earlier; /* done before, by a run that is resumed */
    uint64_t outcome[BH_OUTCOME_COUNT];
    uint64_t invalid; /* that were no JSON, or files that cannot be read */
};
uint64_t map_sums_done(const struct map_sums *sums);

/** A line on stderr that is drawn over and over; nothing when stderr is no terminal. */
struct map_progress {
    bool on;
    int64_t begun;
    int64_t drawn;
};
void map_progress_begin(struct map_progress *progress);
/** Draws it anew, a few times a second. @param part of all, 0 … 1; negative: not known */
void map_progress_draw(struct map_progress *progress, const struct map_sums *sums, double part);
/** Takes it away. */
void map_progress_end(struct map_progress *progress);
/** The line for `columns` columns, without control characters. For the test of it, too. */
void map_progress_line(char *line, size_t size, unsigned columns, const struct map_sums *sums,
                       double part, double seconds);

/* ---- posix/files.c, windows/files.c ------------------------------------------------------ */

/** Monotonic milliseconds. */
int64_t map_now_ms(void);
/** Width of a terminal. */
unsigned map_columns(FILE *stream);
/** Reads what is there, and waits only if nothing is. Not to be mixed with the stream's own
 * reading. @return bytes; 0: its end; negative: it failed (errno) */
int64_t map_read_some(FILE *file, void *bytes, size_t size);
/** Whether map_read_some() would not wait, now or within that time. */
bool map_can_read(FILE *file, unsigned wait_ms);
/** Of a regular file; 0: not known. */
uint64_t map_file_size(FILE *file);
/** Ends it after `size` bytes, where writing goes on. */
bool map_cut_file(FILE *file, uint64_t size);
/** Opens a file for reading and writing, from its beginning; makes it if it is not there. */
FILE *map_open_to_extend(const char *path);
/** Files that a pattern matches, in the order of their names. @return false: no memory */
bool map_find_files(const char *pattern, void (*found)(void *context, const char *path),
                    void *context);

#endif
