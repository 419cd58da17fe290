/* SPDX-License-Identifier: MIT */
/*
 * The rows: what is timed, how often, and what must come of it.
 *
 * Model: other work on the machine must hit both sides alike. So the sides take turns of a few
 * calls each, and who begins changes with every turn. A round's figure is the median of its calls,
 * a row's the median of the rounds'. The ratio is taken turn by turn, and is the median of those:
 * calls have a fast and a slow mode here, by where the system wakes the other process, and two
 * medians apart may fall into different ones.
 */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)
#define LARGEST (16 * MIB)
#define TURNS_MAX 100
#define CALLS_MAX 10
#define SIDES 2

static const struct side *const sides[SIDES] = {&side_bare, &side_ours};

/* ---- what is timed --------------------------------------------------------------------------- */

static uint8_t *bytes; /* LARGEST of them */

static bool run_small(const struct side *side, double *us)
{
    double begin = side_now_us();
    bool good = side->small_call();

    *us = side_now_us() - begin;
    return good;
}

static bool run_send(const struct side *side, size_t size, double *us)
{
    uint64_t sum = side_sum(bytes, size);
    double begin = side_now_us();
    bool good = side->send(bytes, size, sum);

    *us = side_now_us() - begin;
    return good;
}

static bool run_echo(const struct side *side, size_t size, double *us)
{
    double begin = side_now_us();
    bool good = side->echo(bytes, size);

    *us = side_now_us() - begin;
    return good;
}

static bool send_1(const struct side *side, double *us)
{
    return run_send(side, MIB, us);
}

static bool echo_1(const struct side *side, double *us)
{
    return run_echo(side, MIB, us);
}

static bool send_16(const struct side *side, double *us)
{
    return run_send(side, LARGEST, us);
}

static bool echo_16(const struct side *side, double *us)
{
    return run_echo(side, LARGEST, us);
}

static bool run_kill(const struct side *side, double *us)
{
    *us = side->die(SIDE_KILLED);
    return *us >= 0;
}

static bool run_fault(const struct side *side, double *us)
{
    *us = side->die(SIDE_FAULT);
    return *us >= 0;
}

static bool run_start(const struct side *side, double *us)
{
    side->close();
    double begin = side_now_us();
    bool good = side->open();
    *us = side_now_us() - begin;
    return good;
}

const struct row rows[] = {
    {"small-call", "one small call (W1)", 1.10, 80, 5, run_small},
    {"send-1-mib", "1 MiB to the worker", 0.10, 3, 1, send_1},
    {"echo-1-mib", "1 MiB there and back", 0.10, 3, 1, echo_1},
    {"send-16-mib", "16 MiB to the worker", 0.10, 1, 1, send_16},
    {"echo-16-mib", "16 MiB there and back", 0.10, 1, 1, echo_16},
    {"death-by-kill", "a killed worker noticed", 0, 1, 1, run_kill},
    {"death-by-fault", "call, fault, death noticed", 0, 1, 1, run_fault},
    {"start", "start to first reply", 0, 1, 1, run_start},
    {NULL, NULL, 0, 0, 0, NULL},
};

/* ---- measuring ------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *figures, size_t count)
{
    qsort(figures, count, sizeof *figures, compare);
    return figures[count / 2];
}

/* What has been measured of a row so far. */
struct figures {
    double us[SIDES][ROWS_ROUNDS_MAX];          /* of the rounds */
    double ratios[ROWS_ROUNDS_MAX * TURNS_MAX]; /* of the turns */
    size_t rounds;
    size_t turns;
};

/* One turn of both sides. @param[out] us each side's calls */
static bool measure_turn(const struct row *row, unsigned turn, double us[SIDES][CALLS_MAX])
{
    for (unsigned i = 0; i < SIDES; i++) {
        unsigned at = (i + turn) % SIDES;
        for (unsigned j = 0; j < row->calls; j++) {
            if (!row->run(sides[at], &us[at][j]))
                return false;
        }
    }
    return true;
}

static bool measure_round(const struct row *row, struct figures *figures)
{
    static double samples[SIDES][TURNS_MAX * CALLS_MAX];

    for (unsigned turn = 0; turn < row->turns; turn++) {
        double us[SIDES][CALLS_MAX];
        /* Where there is one turn a round, the rounds take turns. */
        if (!measure_turn(row, turn + (unsigned)figures->rounds, us))
            return false;
        for (unsigned i = 0; i < SIDES; i++)
            memcpy(&samples[i][turn * row->calls], us[i], row->calls * sizeof us[i][0]);
        figures->ratios[figures->turns++] = median(us[1], row->calls) / median(us[0], row->calls);
    }
    for (unsigned i = 0; i < SIDES; i++)
        figures->us[i][figures->rounds] = median(samples[i], row->turns * row->calls);
    figures->rounds++;
    return true;
}

static void conclude(const struct row *row, struct figures *figures, struct row_result *result)
{
    result->bare_us = median(figures->us[0], figures->rounds);
    result->ours_us = median(figures->us[1], figures->rounds);
    result->ratio = median(figures->ratios, figures->turns);
    result->met = row->limit <= 0 || result->ratio <= row->limit;
}

static bool measure_all(struct row_result *results, unsigned rounds, rows_progress_fn progress)
{
    static struct figures figures[ROWS_MAX];

    memset(figures, 0, sizeof figures);
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; rows[i].name != NULL; i++) {
            if (progress != NULL)
                progress(round, rounds, &rows[i]);
            if (!measure_round(&rows[i], &figures[i]))
                return false;
        }
    }
    for (unsigned i = 0; rows[i].name != NULL; i++)
        conclude(&rows[i], &figures[i], &results[i]);
    return true;
}

/* What the first calls pay is none of the rows' business. */
static bool warm_up(const struct side *side)
{
    double us;

    for (int i = 0; i < 50; i++) {
        if (!side->small_call())
            return false;
    }
    return run_echo(side, MIB, &us) && run_echo(side, LARGEST, &us);
}

bool rows_measure(struct row_result *results, unsigned rounds, rows_progress_fn progress)
{
    bool good = true;

    bytes = malloc(LARGEST);
    if (bytes == NULL)
        return side_complain("bench-com", "16 MiB", "no memory");
    for (size_t i = 0; i < LARGEST; i++)
        bytes[i] = (uint8_t)(i ^ i >> 8 ^ i >> 16);
    for (unsigned i = 0; i < SIDES && good; i++)
        good = sides[i]->open() && warm_up(sides[i]);
    good = good && measure_all(results, rounds, progress);
    for (unsigned i = 0; i < SIDES; i++)
        sides[i]->close();
    free(bytes);
    bytes = NULL;
    return good;
}

int rows_main_if_worker(int argc, char **argv)
{
    int status = -1;

    for (unsigned i = 0; i < SIDES && status < 0; i++)
        status = sides[i]->main_if_worker(argc, argv);
    return status;
}
