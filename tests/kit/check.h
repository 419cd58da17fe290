/* SPDX-License-Identifier: MIT */
/**
 * @file check.h
 * The test kit. A test file is this header, some TEST(name) { … } and nothing else: main() is in
 * the kit.
 *
 * Every test runs in its own process, under a deadline, and fails when it leaves anything behind:
 * threads, child processes (however well daemonised), files in its temporary directory, and
 * descriptors and memory files (Linux) or handles (Windows). With --in-process, for debuggers and
 * valgrind, the tests run one after the other in one process, which nobody searches.
 *
 * A check that fails says where and what, and ends the test. Checks may be made on any thread and
 * in forked children (where they end that child).
 *
 * Usage of a test program: X_test [--list] [--verbose] [--in-process] [PART-OF-A-NAME …]
 */
#ifndef BH_KIT_CHECK_H
#define BH_KIT_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_MSC_VER)
#define KIT_PRINTF(a, b)
#elif defined(__MINGW32__)
#define KIT_PRINTF(a, b) __attribute__((format(gnu_printf, a, b)))
#else
#define KIT_PRINTF(a, b) __attribute__((format(printf, a, b)))
#endif

/* ---- tests ----------------------------------------------------------------------------------- */

struct kit_test {
    const char *name;
    const char *file;
    int line;
    int timeout_s; /**< 0: the kit's default, 20 */
    void (*run)(void);
    struct kit_test *next;
};

/** Adds a test; the order of running is that of files and lines. Called by TEST before main(). */
void kit_register(struct kit_test *test);

#define TEST(name) TEST_TIMEOUT(name, 0)

/** A function that runs before main(). */
#if defined(_MSC_VER)
#pragma section(".CRT$XCU", read)
#define KIT_CONSTRUCTOR(function)                                                                  \
    static void function(void);                                                                    \
    __declspec(allocate(".CRT$XCU")) void (*const function##_pointer)(void) = function;            \
    static void function(void)
#else
#define KIT_CONSTRUCTOR(function) __attribute__((constructor)) static void function(void)
#endif

/** A test that may take longer, or must be faster, than others. */
#define TEST_TIMEOUT(name, seconds)                                                                \
    static void test_##name(void);                                                                 \
    KIT_CONSTRUCTOR(register_##name)                                                               \
    {                                                                                              \
        static struct kit_test entry = {#name, __FILE__, __LINE__, seconds, test_##name, NULL};    \
        kit_register(&entry);                                                                      \
    }                                                                                              \
    static void test_##name(void)

/* ---- checks ---------------------------------------------------------------------------------- */

#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : kit_fail(__FILE__, __LINE__, "CHECK(%s)", #condition))

/** Two integers are equal. Either order; each is evaluated once. */
#define CHECK_INT(a, b) kit_check_int(__FILE__, __LINE__, #a, #b, (long long)(a), (long long)(b))

/** Two NUL-terminated strings are equal; NULL equals only NULL. */
#define CHECK_STR(a, b) kit_check_str(__FILE__, __LINE__, #a, #b, a, b)

/** A NUL-terminated string contains another. */
#define CHECK_CONTAINS(text, part) kit_check_contains(__FILE__, __LINE__, #text, text, part)

/** Two pieces of memory are equal. */
#define CHECK_BYTES(a, b, size) kit_check_bytes(__FILE__, __LINE__, #a, #b, a, b, size)

/** Ends the test as failed, printf. */
#define FAIL(...) kit_fail(__FILE__, __LINE__, __VA_ARGS__)

/** Ends the test as skipped, and why, printf. Only where the system cannot do what is tested. */
#define SKIP(...) kit_skip(__VA_ARGS__)

_Noreturn void kit_fail(const char *file, int line, const char *format, ...) KIT_PRINTF(3, 4);
_Noreturn void kit_skip(const char *format, ...) KIT_PRINTF(1, 2);
void kit_check_int(const char *file, int line, const char *a_text, const char *b_text, long long a,
                   long long b);
void kit_check_str(const char *file, int line, const char *a_text, const char *b_text,
                   const char *a, const char *b);
void kit_check_contains(const char *file, int line, const char *text_text, const char *text,
                        const char *part);
void kit_check_bytes(const char *file, int line, const char *a_text, const char *b_text,
                     const void *a, const void *b, size_t size);

/* ---- waiting: the only place that polls ------------------------------------------------------ */

/** Milliseconds of a monotonic clock. */
int64_t kit_now_ms(void);

/** How many times slower than usual things may be here (sanitizers, valgrind, Wine); 1 without
 * them. Deadlines given to the kit are multiplied by it. */
int kit_slowdown(void);

/** Waits until the condition holds, looking once a millisecond. @return whether it came to hold */
bool kit_wait_until(bool (*condition)(void *argument), void *argument, int deadline_ms);

/* ---- threads --------------------------------------------------------------------------------- */

typedef struct kit_thread kit_thread;

/** Starts a thread; a failure to do so fails the test. To be joined. */
kit_thread *kit_thread_start(void (*run)(void *context), void *context);

/** Waits for the thread's end, for ever: the test's own deadline counts. */
void kit_thread_join(kit_thread *thread);

/** Lets one thread pass each time it is opened. It is not opened twice without a passing between.
 */
typedef struct kit_gate kit_gate;

kit_gate *kit_gate_new(void);
void kit_gate_free(kit_gate *gate);
void kit_gate_open(kit_gate *gate);
void kit_gate_pass(kit_gate *gate);

/* ---- this process ---------------------------------------------------------------------------- */

int kit_own_pid(void);

/** The most memory that it had so far, in KiB; 0 where that is not told. */
uint64_t kit_peak_kib(void);

/** Waits until what an event loop would wait for (a descriptor, a HANDLE) is ready. */
bool kit_is_ready(intptr_t waitable, int ms);

/** Whether pools of this run use templates: not with BH_TEST_TEMPLATES=0 in the environment. For
 * tests that are about something else. */
uint32_t kit_templates(void);

/** Sets a variable in this process's environment. */
void kit_set_environment(const char *name, const char *value);

/** The working directory. */
void kit_get_directory(char *path, size_t size);

/** What a handler does that takes its time, or a test between two chances; no way for tests to wait
 * for anything. */
void kit_pause_ms(int64_t ms);
void kit_pause_us(int64_t us);
_Noreturn void kit_hang(void);

/** Starts a process that nothing but a kill or its job ends: on Linux in a session of its own. From
 * then on this one ignores polite requests to end, too. */
void kit_start_stray(void);

/** Does not return where the program is such a process; main() calls it first. */
void kit_stray_main(int argc, char **argv);

/** Ends this process from one moment to the next: no handler runs, nothing is flushed. */
_Noreturn void kit_kill_self(void);

/* ---- processes ------------------------------------------------------------------------------- */

/** What Windows is different in, where a test cannot be told apart by its file. */
#if defined(_WIN32)
enum { KIT_WINDOWS = 1 };
#else
enum { KIT_WINDOWS = 0 };
#endif

/** Waits until a process has ended (a zombie has). @return whether it did */
bool kit_pid_gone(int pid, int deadline_ms);

/** Kills a process from one moment to the next. @return whether it was there */
bool kit_pid_kill(int pid);

/** Stops a process: when this returns, nothing of it runs until it is continued.
 * @return whether it was there */
bool kit_pid_stop(int pid);
void kit_pid_continue(int pid);

/** Starts a program found by path or in PATH. Its stdin is the null device, its output the test's.
 * @param argv NULL-terminated
 * @return the process, to be ended with kit_end(); a failure to start fails the test */
int kit_start(const char *const argv[]);

/** Kills a process that kit_start() made, if it still lives, and takes notice of its end. */
void kit_end(int pid);

/**
 * Runs a program to its end, or kills it at the deadline.
 * @param input  for its stdin; NULL: the null device
 * @param out    its stdout, NUL-terminated, to be freed; may be NULL
 * @param err    its stderr, likewise
 * @param status its exit status, or minus the signal that ended it; may be NULL
 * @return whether it ended by itself in time
 */
bool kit_run(const char *const argv[], const char *input, char **out, char **err, int *status,
             int deadline_ms);

/** The living descendants of this test, adopted orphans included, zombies not.
 * @param pids room for `max`; may be NULL with 0 @return how many there are, also above max */
size_t kit_descendants(int *pids, size_t max);

/** The test's own empty directory; must be empty again in the end. */
const char *kit_temp_dir(void);

/** Empties it, for tests whose programs cannot. @return how many things were in it */
size_t kit_clear_temp_dir(void);

#ifdef _WIN32

/** How many handles this process has open. */
size_t kit_own_handles(void);

#else

/** kit_start() with descriptors for its standard streams; -1: the null device.
 * @return the process, to be reaped by the caller with waitpid() */
int kit_spawn(const char *const argv[], int in_fd, int out_fd, int err_fd);

#endif
#endif
