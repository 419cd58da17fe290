/* SPDX-License-Identifier: MIT */
/*
 * Ways to die on Linux.
 *
 * Model: plain C and system calls.
 *
 * Sanitizers: they would catch the faults themselves and end the process in their own way. The
 * options at the end of this file tell them not to, and the functions that fault on purpose are not
 * instrumented.
 */
#include "deaths.h"

#include <bulkhead/worker.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define UNCHECKED __attribute__((noinline, no_sanitize("address", "undefined")))

const char deaths_help[] =
    "die(kind): segv bus fpe ill thread stack abort double-free exit _exit kill "
    "term oom fork hang spin stop close-fds flood";

void sleep_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        continue;
}

int64_t process_id(void)
{
    return getpid();
}

static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

UNCHECKED static void die_segv(void)
{
    *(volatile int *)(volatile uintptr_t){0} = 1;
}

/* A file that is shorter than its mapping: what happens when somebody truncates it. */
UNCHECKED static void die_bus(void)
{
    FILE *file = tmpfile();
    volatile char *memory;

    if (file == NULL || ftruncate(fileno(file), 4096) != 0)
        return;
    memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(file), 0);
    if (memory != MAP_FAILED && ftruncate(fileno(file), 0) == 0)
        (void)*memory;
}

UNCHECKED static void die_fpe(void)
{
    volatile int zero = 0;
    volatile int result = 1;

    result = result / zero;
    (void)result;
    raise(SIGFPE); /* a processor that does not mind */
}

static void die_ill(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("ud2");
#elif defined(__aarch64__)
    __asm__ volatile("udf #0");
#else
    raise(SIGILL);
#endif
}

static void *fault_in_thread(void *nothing)
{
    bh_worker_thread_enter();
    die_segv();
    bh_worker_thread_leave();
    return nothing;
}

static void die_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, fault_in_thread, NULL) == 0)
        pthread_join(thread, NULL);
}

/* Each call looks at the one before it, so that no compiler can make a loop of it. */
UNCHECKED static int descend(volatile const char *above)
{
    volatile char here[256];

    here[0] = (char)(*above + 1);
    if (above == NULL)
        return 0;
    return descend(here) + here[0];
}

static void die_stack(void)
{
    volatile char top = 0;

    descend(&top);
}

/* The C library notices, says so on stderr and aborts. */
UNCHECKED static void die_double_free(void)
{
    char *volatile block = malloc(24);
    char *volatile again = block;

    free(block);
    free(again);
}

static void die_exit(void)
{
    exit(3);
}

static void die_exit_at_once(void)
{
    _exit(4);
}

static void die_kill(void)
{
    kill(getpid(), SIGKILL);
}

static void die_term(void)
{
    kill(getpid(), SIGTERM);
}

/* Takes memory until somebody stops it. Gives up, and returns, when nobody has at 4 GiB. */
static void die_oom(void)
{
    enum { STEP = 16 << 20, STEPS = 256 };
    char *blocks[STEPS];
    int count = 0;

    while (count < STEPS && (blocks[count] = malloc(STEP)) != NULL)
        memset(blocks[count++], 0x5a, STEP);
    while (count > 0)
        free(blocks[--count]);
}

/* Leaves a process behind that holds on to everything and will not go. */
static void die_fork(void)
{
    if (fork() == 0) {
        setsid();
        signal(SIGTERM, SIG_IGN);
        sleep_for_ever();
    }
    die_segv();
}

static void die_hang(void)
{
    signal(SIGTERM, SIG_IGN);
    sleep_for_ever();
}

static void die_spin(void)
{
    for (volatile unsigned turns = 0;; turns++)
        continue;
}

static void die_stop(void)
{
    raise(SIGSTOP);
}

static void die_close_fds(void)
{
    closefrom(0);
    sleep_for_ever();
}

static void die_flood(void)
{
    for (;;)
        fputs("mishaps: this line is one of very many\n", stderr);
}

const struct death deaths[] = {
    {"segv", die_segv},
    {"bus", die_bus},
    {"fpe", die_fpe},
    {"ill", die_ill},
    {"thread", die_thread},
    {"stack", die_stack},
    {"abort", abort},
    {"double-free", die_double_free},
    {"exit", die_exit},
    {"_exit", die_exit_at_once},
    {"kill", die_kill},
    {"term", die_term},
    {"oom", die_oom}, /* returns at 4 GiB */
    {"fork", die_fork},
    {"hang", die_hang},
    {"spin", die_spin},
    {"stop", die_stop}, /* returns when continued */
    {"close-fds", die_close_fds},
    {"flood", die_flood},
    {NULL, NULL},
};

/* ---- sanitizers ------------------------------------------------------------------------------ */

/* What they find ends in abort(), as it would without them; the rest is none of their business. */
#define SANITIZER_OPTIONS                                                                          \
    "abort_on_error=1:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:"              \
    "handle_abort=0:detect_leaks=0:allocator_may_return_null=1"

BH_EXPORT const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return SANITIZER_OPTIONS;
}
