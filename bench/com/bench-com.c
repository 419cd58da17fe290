/* SPDX-License-Identifier: MIT */
/*
 * What does the library cost on Windows, beside the same design written down by hand? (rows.c has
 * the rows, bare.c the design.)
 *
 * usage: bench-com [--rounds N] [--json]
 */
#include "rows.h"

#include <bulkhead/bulkhead.h>

#include <io.h>
#include <objbase.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_USAGE 2

static int usage(FILE *out, int status)
{
    fprintf(out,
            "usage: bench-com [OPTION...]\n"
            "Compares the library with the bare design: an item moniker in the Running Object\n"
            "Table, a named event, and IDispatch::Invoke with VARIANTs, written by hand. Both are\n"
            "timed in turn; medians of the rounds. A ratio is the library's time divided by the\n"
            "bare design's, the median of all turns.\n\n"
            "  --rounds N  how many, 1 to %d (5)\n"
            "  --json      the figures as JSON on one line, microseconds\n"
            "  --help, --version\n\n"
            "Exit status: 0 the ratios that must hold hold, 1 they do not, or something does not\n"
            "work, 2 wrong usage.\n",
            ROWS_ROUNDS_MAX);
    return status;
}

/* On a terminal only. */
static void show_progress(unsigned round, unsigned rounds, const struct row *row)
{
    if (_isatty(_fileno(stderr))) {
        fprintf(stderr, "\r  round %u of %u: %-40s", round + 1, rounds, row->title);
        fflush(stderr);
    }
}

static void clear_progress(void)
{
    if (_isatty(_fileno(stderr)))
        fprintf(stderr, "\r%70s\r", "");
}

static void print_table(const struct row_result *results)
{
    printf("%-28s %14s %14s %8s\n", "", "bare design", "bulkhead", "ratio");
    for (unsigned i = 0; rows[i].name != NULL; i++) {
        const struct row_result *result = &results[i];
        printf("%-28s %11.1f us %11.1f us  x %6.3f", rows[i].title, result->bare_us,
               result->ours_us, result->ratio);
        if (rows[i].limit > 0)
            printf("   at most %.2f: %s", rows[i].limit, result->met ? "met" : "NOT MET");
        putchar('\n');
    }
}

static void set(bh_value *map, const char *key, bh_value value)
{
    bh_map_set(map, key, &value); /* numbers and views: nothing to free where it fails */
}

static int print_json(const struct row_result *results, unsigned rounds, bool met)
{
    bh_value map = bh_value_map(), list = bh_value_array();
    char *text = NULL;

    for (unsigned i = 0; rows[i].name != NULL; i++) {
        bh_value row = bh_value_map();
        set(&row, "name", bh_value_view(rows[i].name));
        set(&row, "bare_us", bh_value_double(results[i].bare_us));
        set(&row, "bulkhead_us", bh_value_double(results[i].ours_us));
        set(&row, "ratio", bh_value_double(results[i].ratio));
        set(&row, "limit", rows[i].limit > 0 ? bh_value_double(rows[i].limit) : bh_value_null());
        set(&row, "met", bh_value_bool(results[i].met));
        bh_array_push(&list, &row);
    }
    set(&map, "program", bh_value_view("bench-com"));
    set(&map, "version", bh_value_view(bh_version()));
    set(&map, "rounds", bh_value_int64(rounds));
    set(&map, "met", bh_value_bool(met));
    bh_map_set(&map, "rows", &list);
    if (bh_json_write(&map, BH_JSON_COMPACT, &text, NULL) == BH_OK)
        puts(text);
    else
        fputs("bench-com: cannot write the figures\n", stderr);
    bool written = text != NULL;
    bh_free(text);
    bh_value_deinit(&map);
    return met && written ? 0 : 1;
}

static bool take_rounds(const char *text, unsigned *rounds)
{
    char *end = NULL;
    unsigned long number = text != NULL ? strtoul(text, &end, 10) : 0;

    if (text == NULL || *end != '\0' || number < 1 || number > ROWS_ROUNDS_MAX)
        return false;
    *rounds = (unsigned)number;
    return true;
}

/* @return -1 to go on, or the exit status */
static int read_options(int argc, char **argv, unsigned *rounds, bool *json)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return usage(stdout, 0);
        if (strcmp(argv[i], "--version") == 0)
            return printf("bench-com %s\n", bh_version()) < 0;
        if (strcmp(argv[i], "--json") == 0) {
            *json = true;
        } else if (strcmp(argv[i], "--rounds") == 0 && take_rounds(argv[i + 1], rounds)) {
            i++;
        } else {
            fprintf(stderr, "bench-com: wrong argument \"%s\"; see bench-com --help\n", argv[i]);
            return STATUS_USAGE;
        }
    }
    return -1;
}

int main(int argc, char **argv)
{
    static struct row_result results[ROWS_MAX];
    unsigned rounds = 5;
    bool json = false, met = true;
    int status = rows_main_if_worker(argc, argv);

    if (status < 0)
        status = read_options(argc, argv, &rounds, &json);
    if (status >= 0)
        return status;
    if (FAILED(CoInitializeEx(NULL, COINIT_MULTITHREADED)) ||
        !rows_measure(results, rounds, show_progress))
        return 1;
    clear_progress();
    for (unsigned i = 0; rows[i].name != NULL; i++)
        met = met && results[i].met;
    if (json)
        return print_json(results, rounds, met);
    print_table(results);
    return met ? 0 : 1;
}
