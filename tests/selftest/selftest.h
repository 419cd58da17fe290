/* SPDX-License-Identifier: MIT */
/**
 * @file selftest.h
 * What the parts of bulkhead-selftest know together: the report, and the pool of workers that this
 * program itself serves as.
 *
 *   main.c     roles, the order of the parts, the end      deaths.c    every kind in every phase
 *   report.c   the file, the console, the sums             crowd.c     many callers, random deaths
 *   system.c   what machine this is                        requests.c  deadlines, cancel, output
 * ... worker.c   the worker's half                           callers.c   apartments pool.c pools
 * and their results                     orphans.c   a dispatcher that is killed keys.c     the
 * registry's keys                         registry.c  before and after timing.c    the rows of
 * bench-com
 */
#ifndef SELFTEST_H
#define SELFTEST_H

#include <bulkhead/bulkhead.h>

#include <windows.h>

/* ---- report.c: any thread -------------------------------------------------------------------- */

/** Opens the report file. @param path NULL: beside the program, or where there is room for it */
bool report_open(const char *path);

/** A heading. What does not end is told by its name. */
void report_part(const char *title);
/** A line that is no check. */
void report_note(const char *format, ...) BH_PRINTF(1, 2);
/** A check's result. The name is one line; the format, or NULL, says what was seen. @return good */
bool report_check(bool good, const char *name, const char *format, ...) BH_PRINTF(3, 4);
/** A check that this system gives no chance to; never counted as passed. */
void report_untestable(const char *name, const char *why);

/** Adds a member to the JSON line at the end, and takes the value. */
void report_add(const char *key, bh_value *value);
/** Writes JSON and the last line. @return the exit status */
int report_close(void);
/** Says why the program cannot go on, closes the report and ends the process. */
_Noreturn void report_give_up(const char *why);

/* ---- system.c -------------------------------------------------------------------------------- */

/** Writes down what machine and system this is. */
void system_describe(void);
/** Whether this is Wine; its version, or NULL. */
const char *system_wine(void);

/* ---- worker.c -------------------------------------------------------------------------------- */

/** The argument by which this program knows that it is a worker. */
#define WORKER_MARK "selftest-worker"
/** Serves if the command line is a worker's. @return the exit status, or -1 */
int worker_main_if_worker(int argc, char **argv);

/* ---- pool.c ---------------------------------------------------------------------------------- */

#define POOL_READY_MS 30000

/** Options for workers of this program's. @param argument one for the worker, or NULL; lent
 * until the next call. Of the main thread */
struct bh_pool_options pool_options(uint32_t workers, const char *argument);
/** Opens a pool; a failed check of that name and NULL when it cannot. */
bh_pool *pool_open(const struct bh_pool_options *options, const char *name);

/** One call with at most one text. */
enum bh_outcome pool_call_text(bh_pool *pool, const char *method, const char *text,
                               struct bh_result *result);
/** The path of this program. */
const char *pool_own_path(void);
/** A result in one line. */
const char *pool_describe(const struct bh_result *result, char *text, size_t size);

/** Notes what a dead worker has written. */
void pool_show_output(const struct bh_death *death);
/** Whether there can be workers at all: without them the parts below are of no use. */
bool pool_run(void);

/* ---- the parts ------------------------------------------------------------------------------- */

void deaths_run(void);
void crowd_run(void);
void requests_run(void);
void callers_run(void);
void orphans_run(void);
/** The dispatcher that orphans_run() kills. @return the exit status, or -1: not asked for */
int orphans_main_if_dispatcher(int argc, char **argv);
void timing_run(void);

/** Looks at the registry; the second time compares. */
void registry_before(void);
void registry_after(void);

#endif
