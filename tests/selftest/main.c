/* SPDX-License-Identifier: MIT */
/*
 * bulkhead-selftest: does the library keep its promises on this machine?
 *
 * One program, nothing beside it: it is dispatcher and worker in one, and carries the ways to die
 * and the hand-written design that it compares times with. A person runs it once and sends the
 * report.
 *
 * usage: bulkhead-selftest [REPORT]
 */
#include "selftest.h"

#include "rows.h"

#include <io.h>
#include <stdio.h>
#include <string.h>

#define STATUS_USAGE 2

static int usage(FILE *out, int status)
{
    fprintf(out, "usage: bulkhead-selftest [REPORT]\n"
                 "Checks the library on this machine and writes a report: to the file REPORT, or\n"
                 "to bulkhead-selftest.txt beside the program. It takes a minute or two, lets its\n"
                 "own workers crash, and changes nothing.\n\n"
                 "  --help, --version\n\n"
                 "Exit status: 0 all checks passed, 1 some failed, 2 wrong usage.\n");
    return status;
}

/* Whether this process has another role. @return the exit status, or -1 */
static int run_role(int argc, char **argv)
{
    int status = worker_main_if_worker(argc, argv);

    if (status < 0)
        status = orphans_main_if_dispatcher(argc, argv);
    return status >= 0 ? status : rows_main_if_worker(argc, argv);
}

/* @return -1 to go on, or the exit status */
static int read_options(int argc, char **argv, const char **path)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return usage(stdout, 0);
        if (strcmp(argv[i], "--version") == 0)
            return printf("bulkhead-selftest %s\n", bh_version()) < 0;
        if (argv[i][0] == '-' || *path != NULL)
            return usage(stderr, STATUS_USAGE);
        *path = argv[i];
    }
    return -1;
}

/* Started by a double click, the console goes with the program. */
static void wait_for_reader(void)
{
    DWORD processes[2];

    if (GetConsoleProcessList(processes, 2) == 1 && _isatty(_fileno(stdin))) {
        printf("Press Enter to close this window.\n");
        getchar();
    }
}

static void run_parts(void)
{
    requests_run();
    callers_run();
    deaths_run();
    crowd_run();
    orphans_run();
    timing_run();
}

int main(int argc, char **argv)
{
    const char *path = NULL;
    int status = run_role(argc, argv);

    if (status < 0)
        status = read_options(argc, argv, &path);
    if (status >= 0)
        return status;
    if (!report_open(path))
        return 1;
    /* This program shall end with a report, not with a dialog. */
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
    system_describe();
    registry_before();
    if (pool_run())
        run_parts();
    registry_after();
    status = report_close();
    wait_for_reader();
    return status;
}
