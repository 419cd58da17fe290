/* SPDX-License-Identifier: MIT */
/**
 * @file rows.h
 * The table of bench-com: each row timed on both sides, in turn, and compared.
 */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include "side.h"

#define ROWS_ROUNDS_MAX 99

/** One row. A ratio is the library's time divided by the bare design's. */
struct row {
    const char *name;  /**< for machines: "send-1-mib" */
    const char *title; /**< for people */
    double limit;      /**< the ratio is at most this; 0: it is only told */
    unsigned turns;    /**< in a round, how often each side is asked */
    unsigned calls;    /**< and how many times in each turn */
    bool (*run)(const struct side *side, double *us); /**< once */
};

/** All rows; ends with one whose name is NULL. */
extern const struct row rows[];
#define ROWS_MAX 16

/** What came of a row: microseconds, medians of the rounds; and the median of the turns' ratios. */
struct row_result {
    double bare_us;
    double ours_us;
    double ratio;
    bool met; /**< or nothing is demanded */
};

/** Whether this process is a worker of one of the sides: then it has served. @return the exit
 * status, or -1 */
int rows_main_if_worker(int argc, char **argv);

/** Called before each row of each round; may be NULL. */
typedef void (*rows_progress_fn)(unsigned round, unsigned rounds, const struct row *row);

/** Measures all rows. The caller is in the multithreaded apartment. @return false when something
 * did not work; stderr says what */
bool rows_measure(struct row_result *results, unsigned rounds, rows_progress_fn progress);

#endif
