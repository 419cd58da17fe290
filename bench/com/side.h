/* SPDX-License-Identifier: MIT */
/**
 * @file side.h
 * What is timed, twice: the library, and the same design written down by hand (the bare design),
 * each with workers of its own. The program is dispatcher and worker in one: started with the
 * arguments of a worker, it is that worker.
 */
#ifndef BENCH_SIDE_H
#define BENCH_SIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <windows.h>

/** W1, the small call: (int64, double, 32 characters) -> (int64, 32 characters). */
#define SIDE_W1_NUMBER 41
#define SIDE_W1_REAL 1.0
#define SIDE_W1_REPLY 42
#define SIDE_W1_TEXT "the quick brown fox jumps over a"
#define SIDE_W1_LENGTH 32u

/** How a worker dies in a request. */
enum side_death { SIDE_KILLED, SIDE_FAULT };

/** One of the two. All but main_if_worker() return false, or less than 0, when something went
 * wrong; side_complain() has said what. A side has one worker at a time. */
struct side {
    const char *name;
    /** If the command line is that of one of its workers, serves. @return the exit status, -1: no
     */
    int (*main_if_worker)(int argc, char **argv);
    bool (*open)(void); /**< starts a worker; returns when it has answered a call */
    void (*close)(void);
    bool (*small_call)(void); /**< one W1 */
    /** The bytes go; their sum comes back. */
    bool (*send)(const uint8_t *bytes, size_t size, uint64_t sum);
    /** The bytes go and come back. */
    bool (*echo)(const uint8_t *bytes, size_t size);
    /** Has the worker die in a request, and starts another. @return microseconds from the kill, or
     * from the call that faults, until its caller knows that the process has ended */
    double (*die)(enum side_death how);
};

extern const struct side side_bare;
extern const struct side side_ours;

/** Says on stderr what went wrong. @return false */
bool side_complain(const char *who, const char *what, const char *why);

/** Microseconds of a monotonic clock. */
double side_now_us(void);

/** The sum of all bytes; both workers use it. */
uint64_t side_sum(const uint8_t *bytes, size_t size);

/** The path of this program; false when it is too long. */
bool side_own_path(char *path, size_t size);

/** Whether the two are the same, looked at where a copy that went wrong would show. */
bool side_same(const uint8_t *a, const uint8_t *b, size_t size);

/* ---- a worker that is killed in a call ---- */

/** A thread that kills a worker as soon as that says that it is in its handler. */
struct side_killer {
    HANDLE process; /**< of the worker */
    HANDLE in_call; /**< event; the worker sets it by its name */
    HANDLE thread;
    char name[64];
    double killed_us; /**< when */
};
bool side_killer_start(struct side_killer *killer, DWORD pid);
/** Waits for it. @return when it killed */
double side_killer_join(struct side_killer *killer);
/** The worker's half: says so, and hangs. */
void side_hang(const char *name);

#endif
