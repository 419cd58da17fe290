/* SPDX-License-Identifier: MIT */
/**
 * @file kit.h
 * Inside the kit: what kit.c (neutral) and the system files say to each other.
 */
#ifndef BH_KIT_KIT_H
#define BH_KIT_KIT_H

#include "check.h"

enum kit_verdict { KIT_PASSED, KIT_FAILED, KIT_SKIPPED };

/** Exit status of a test, or of a program all of whose tests were skipped. CTest knows it too. */
#define KIT_SKIP_STATUS 77

struct kit_settings {
    bool in_process; /**< tests run in this process: no isolation, no search for leaks */
    bool verbose;    /**< tests write straight to our stdout and stderr */
    int slowdown;    /**< see kit_slowdown() */
    int64_t until;   /**< kit_now_ms() at which the program's own deadline ends */
    int supervisor;  /**< Linux: PID of the process that starts the tests */
};
extern struct kit_settings kit_settings;

/** Runs the tests that argv asks for; the whole of main(). */
int kit_main(int argc, char **argv);

/** The test of this name, or NULL. */
const struct kit_test *kit_find(const char *name);

/** Runs a test in this process. */
enum kit_verdict kit_run_in_process(const struct kit_test *test);

/** Ends the running test from inside. */
_Noreturn void kit_leave(enum kit_verdict verdict);

/* Once per system: */

/** Does not return when this process was started as a test. */
void kit_take_over(int argc, char **argv);

/** Runs one test. What it said goes to *said, NUL-terminated and to be freed, or NULL. */
enum kit_verdict kit_supervise(const struct kit_test *test, char **said);

/** Ends the process of a test. */
_Noreturn void kit_end_process(enum kit_verdict verdict);

/** Remembers what there is. In the test's process, before the test. */
void kit_leaks_begin(void);

/** Says on stderr what is there that was not, after a moment of grace for what is on its way out.
 * In the test's process, after the test. @param marker of the test, see the system's supervisor
 * @return whether all is clean */
bool kit_leaks_check(const char *marker);

#ifdef _WIN32

/* ---- kit_windows.c --------------------------------------------------------------------------- */

/** The test's job, opened anew and to be closed; NULL when the test runs in its supervisor. */
void *kit_open_job(void);

/* ---- kit_process_windows.c ------------------------------------------------------------------- */

/** An inherited set of handles for a new process. */
struct kit_streams {
    void *in, *out, *err; /* HANDLE */
};

/** Starts a process whose handles are these three and no others, in `job` unless that is NULL.
 * @return its process handle, or NULL */
void *kit_create(const char *command, const struct kit_streams *streams, void *job, int *pid);

/** A file that goes when it is closed, or the null device. Inheritable. INVALID on failure. */
void *kit_nameless_file(void);
void *kit_null_device(void);

/** The whole of a file from its beginning, NUL-terminated, to be freed. */
char *kit_read_file(void *file);

/** The living processes of a job, this one and the system's own left out. @return how many, also
 * above max */
size_t kit_job_processes(void *job, int *pids, size_t max);

#else

/* ---- kit_process.c: processes, files --------------------------------------------------------- */

struct kit_process {
    int pid;
    int parent;
    char state; /**< as in /proc/PID/stat */
    char name[20];
};

/** All living processes below `root`, and all that carry `marker` in their environment (may be
 * NULL); neither root nor the caller. Zombies are left out. To be freed. */
struct kit_process *kit_process_tree(int root, const char *marker, size_t *count);

/** The whole of a file, NUL-terminated, to be freed; NULL if it cannot be read. */
char *kit_read_file(const char *path);
/** The same from a descriptor, from its beginning. */
char *kit_read_descriptor(int fd);

/** A nameless file in the temporary directory. */
int kit_nameless_file(void);

/** Waits for a descriptor. @return whether it became readable before kit_now_ms() is `until` */
bool kit_readable(int fd, int64_t until);

int kit_pidfd(int pid);

/* ---- kit_leaks.c ----------------------------------------------------------------------------- */

/** Empties and removes a directory. @return how many things were in it, each named on `out` */
size_t kit_remove_directory(const char *path, int out);

#endif
#endif
