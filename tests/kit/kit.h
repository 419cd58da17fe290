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
    int supervisor;  /**< PID of the process that starts the tests; 0 on Windows */
};
extern struct kit_settings kit_settings;

/** Runs the tests that argv asks for; the whole of main(). */
int kit_main(int argc, char **argv);

/** Runs a test in this process. */
enum kit_verdict kit_run_in_process(const struct kit_test *test);

/** Ends the running test from inside. */
_Noreturn void kit_leave(enum kit_verdict verdict);

/* Once per system: */

/** Runs one test. What it said goes to *said, NUL-terminated and to be freed, or NULL. */
enum kit_verdict kit_supervise(const struct kit_test *test, char **said);

/** Ends the process of a test. */
_Noreturn void kit_end_process(enum kit_verdict verdict);

#ifndef _WIN32

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

/* ---- kit_leaks.c: what a test leaves behind -------------------------------------------------- */

/** Remembers what there is. In the test's process, before the test. */
void kit_leaks_begin(void);

/** Says on stderr what is there that was not, after a moment of grace for what is on its way out.
 * In the test's process, after the test. @return whether all is clean */
bool kit_leaks_check(const char *marker);

/** Empties and removes a directory. @return how many things were in it, each named on `out` */
size_t kit_remove_directory(const char *path, int out);

#endif
#endif
