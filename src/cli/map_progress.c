/* SPDX-License-Identifier: MIT */
/*
 * The progress of bulkhead map: one line on a terminal.
 *
 * Model: bar, share, count, rate, time left and deaths; what does not fit is left out, the least
 * important first. Without a known total there is neither bar nor time left.
 */
#include "map.h"

#include <inttypes.h>
#include <string.h>

#define DRAW_EVERY_MS 100
#define BAR_LEAST 8
#define BAR_MOST 40

uint64_t map_sums_done(const struct map_sums *sums)
{
    uint64_t done = sums->invalid;

    for (unsigned i = 0; i < BH_OUTCOME_COUNT; i++)
        done += sums->outcome[i];
    return done;
}

/* 950, 12.3 k, 4.5 M: at most six characters. */
static void shorten(char text[16], double number)
{
    static const char units[] = " kMGT";
    unsigned unit = 0;

    while (number >= 999.5 && unit + 1 < sizeof units - 1) {
        number /= 1000;
        unit++;
    }
    if (unit == 0)
        snprintf(text, 16, "%.0f", number);
    else
        snprintf(text, 16, "%.*f %c", number < 99.5 ? 1 : 0, number, units[unit]);
}

/* 8 s, 3:05, 2:10:00, 4 days. */
static void format_time(char text[24], double seconds)
{
    uint64_t whole = seconds < 1e15 ? (uint64_t)seconds : 0;

    if (whole < 60)
        snprintf(text, 24, "%" PRIu64 " s", whole);
    else if (whole < 3600)
        snprintf(text, 24, "%" PRIu64 ":%02" PRIu64, whole / 60, whole % 60);
    else if (whole < 86400)
        snprintf(text, 24, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, whole / 3600, whole / 60 % 60,
                 whole % 60);
    else
        snprintf(text, 24, "%" PRIu64 " days", whole / 86400);
}

/* Adds a piece if the whole still fits. */
static void add(char *line, size_t size, unsigned columns, const char *piece)
{
    size_t length = strlen(line);
    size_t more = strlen(piece);

    if (length + more < size && length + more < columns) /* the last column stays free */
        memcpy(line + length, piece, more + 1);
}

static void add_bar(char *line, size_t size, unsigned width, double part)
{
    char bar[BAR_MOST + 3];
    unsigned full = (unsigned)(part * width + 0.5);

    bar[0] = '[';
    for (unsigned i = 0; i < width; i++)
        bar[i + 1] = i < full ? '#' : '.';
    bar[width + 1] = ']';
    bar[width + 2] = '\0';
    add(line, size, width + 10, bar);
}

void map_progress_line(char *line, size_t size, unsigned columns, const struct map_sums *sums,
                       double part, double seconds)
{
    uint64_t done = map_sums_done(sums);
    double rate = seconds > 0 ? (double)done / seconds : 0;
    char pieces[5][48] = {"", "", "", "", ""};
    char number[16], time[24];
    size_t used = 0;

    if (part >= 0)
        snprintf(pieces[0], sizeof pieces[0], " %3.0f %%", part * 100);
    shorten(number, (double)(done + sums->earlier));
    snprintf(pieces[1], sizeof pieces[1], " %s done", number);
    if (sums->outcome[BH_OUTCOME_DIED] > 0) {
        shorten(number, (double)sums->outcome[BH_OUTCOME_DIED]);
        snprintf(pieces[2], sizeof pieces[2], ", %s died", number);
    }
    if (part > 0 && part < 1 && seconds > 1) {
        format_time(time, seconds / part * (1 - part));
        snprintf(pieces[3], sizeof pieces[3], ", %s left", time);
    }
    shorten(number, rate);
    snprintf(pieces[4], sizeof pieces[4], ", %s/s", number);
    for (unsigned i = 0; i < 5; i++)
        used += strlen(pieces[i]);
    line[0] = '\0';
    if (part >= 0 && columns > used + BAR_LEAST + 3) {
        size_t room = columns - used - 3;
        add_bar(line, size, room < BAR_MOST ? (unsigned)room : BAR_MOST, part);
    }
    for (unsigned i = 0; i < 5; i++)
        add(line, size, columns,
            line[0] == '\0' && pieces[i][0] == ' ' ? pieces[i] + 1 : pieces[i]);
}

void map_progress_begin(struct map_progress *progress)
{
    progress->on = cli_takes_colour(stderr);
    progress->begun = map_now_ms();
    progress->drawn = progress->begun;
}

void map_progress_draw(struct map_progress *progress, const struct map_sums *sums, double part)
{
    int64_t now = map_now_ms();
    char line[256];

    if (!progress->on || now - progress->drawn < DRAW_EVERY_MS)
        return;
    progress->drawn = now;
    map_progress_line(line, sizeof line, map_columns(stderr), sums, part,
                      (double)(now - progress->begun) / 1000);
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
}

void map_progress_end(struct map_progress *progress)
{
    if (progress->on)
        fputs("\r\033[K", stderr);
    fflush(stderr);
    progress->on = false;
}
