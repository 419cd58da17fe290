/* SPDX-License-Identifier: MIT */
/*
 * The birth of a launcher: a child of this process that this process's host never sees.
 *
 * Model: two clones. The *intermediate* is our child with exit signal 0, so that neither SIGCHLD
 * nor waitpid(-1) tells of it; it never execs, because exec would give it SIGCHLD back. It starts
 * the *launcher* and ends, and we reap it through its pidfd; the launcher thereby belongs to init.
 * Both run in our memory (CLONE_VM) while this thread waits (CLONE_VFORK): nothing is copied,
 * however large the host is. The intermediate shares our table of descriptors as well, so that the
 * pidfd of the launcher, which the kernel makes for it, is ours.
 *
 * Invariants of the code that runs in the children, marked BHL_BARE: it calls nothing but the
 * system, directly (a sanitizer's wrapper would write the child's doings into the parent's books);
 * it writes to nothing but its stack, errno, and the struct birth. All signals are blocked from
 * before the first clone until the launcher has put every signal to its default: no handler of the
 * host runs there.
 */
#include "nursery.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "resolve.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern const unsigned char bhi_launcher_image[];
extern const unsigned char bhi_launcher_image_end[];

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* ThreadSanitizer puts a wrapper before clone() that takes CLONE_VM for fork(); glibc has a second
 * name for it. */
#if defined(__GLIBC__)
int __clone(int (*body)(void *), void *stack, int flags, void *argument, ...);
#define CLONE __clone
#else
#define CLONE clone
#endif

#define STACK_BYTES (64 * 1024)
#define SIGNALS 64
/* First descriptor that nothing has to be put at. */
#define CLEAR_FD 16

/* What the launcher finds at 0, 1, 2, … */
enum { TARGETS = BHL_FD_SPEC + 1 };

struct birth {
    int sources[TARGETS]; /* for each target */
    int image;            /* program to execute, or -1: path */
    const char *path;
    char *const *arguments;
    char *const *environment;
    char *stack; /* one for each child */
    int pidfd;   /* of the launcher */
    int error;   /* errno of the step that failed, or 0 */
    const char *step;
};

/* ---- in the children ---- */

BHL_BARE static void reset_signals(void)
{
    unsigned long action[8] = {0}; /* the kernel's struct sigaction: SIG_DFL */
    unsigned long none = 0;

    for (int signal = 1; signal <= SIGNALS; signal++)
        syscall(SYS_rt_sigaction, signal, action, NULL, sizeof(none));
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

/* First everything out of the way, then to its place: a source may sit where a target belongs. */
BHL_BARE static int arrange(struct birth *b)
{
    long moved[TARGETS];

    for (int i = 0; i < TARGETS; i++) {
        moved[i] = syscall(SYS_fcntl, b->sources[i], F_DUPFD_CLOEXEC, CLEAR_FD);
        if (moved[i] < 0)
            return -1;
    }
    if (b->image >= 0) {
        b->image = (int)syscall(SYS_fcntl, b->image, F_DUPFD_CLOEXEC, CLEAR_FD);
        if (b->image < 0)
            return -1;
    }
    for (int i = 0; i < TARGETS; i++) {
        if (syscall(SYS_dup3, moved[i], i, 0) < 0)
            return -1;
    }
    return (int)syscall(SYS_close_range, TARGETS, ~0U, CLOSE_RANGE_CLOEXEC);
}

BHL_BARE static int launcher_body(void *argument)
{
    struct birth *b = argument;

    if (arrange(b) != 0) {
        b->step = "arranging the launcher's descriptors";
    } else {
        reset_signals();
        b->step = "executing the launcher";
        if (b->image >= 0)
            syscall(SYS_execveat, b->image, "", b->arguments, b->environment, AT_EMPTY_PATH);
        else
            syscall(SYS_execve, b->path, b->arguments, b->environment);
    }
    b->error = errno;
    syscall(SYS_exit_group, 127);
    return 127;
}

BHL_BARE static int intermediate_body(void *argument)
{
    struct birth *b = argument;
    int pid = CLONE(launcher_body, b->stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_PIDFD, b,
                    &b->pidfd);

    if (pid < 0) {
        b->error = errno;
        b->step = "clone";
        b->pidfd = -1; /* the kernel may have written a number that came to nothing */
    } else if (b->error != 0) {
        syscall(SYS_wait4, pid, NULL, __WALL, NULL);
    }
    syscall(SYS_exit_group, 0);
    return 0;
}

/* ---- in the parent ---- */

static void reap(int *pidfd)
{
    siginfo_t info;
    int rc;

    do {
        rc = waitid((idtype_t)P_PIDFD, (id_t)*pidfd, &info, WEXITED | __WALL);
    } while (rc != 0 && errno == EINTR);
    bhl_close(pidfd);
}

/* Both clones. @return 0 or errno; then b->step says of what */
static int deliver(struct birth *b)
{
    int intermediate = -1;
    sigset_t old;

    bhl_signals_block(&old);
    int pid = CLONE(intermediate_body, b->stack + (size_t)2 * STACK_BYTES,
                    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_FILES, b, &intermediate);
    if (pid < 0) {
        b->error = errno;
        b->step = "clone";
    } else {
        reap(&intermediate);
    }
    bhl_signals_restore(&old);
    return b->error;
}

static int fill_and_deliver(struct birth *b, struct bh_problem *problem)
{
    b->stack = mmap(NULL, (size_t)2 * STACK_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (b->stack == MAP_FAILED)
        return bhl_problem_errno(problem, "a stack for starting the launcher");
    int error = deliver(b);
    munmap(b->stack, (size_t)2 * STACK_BYTES);
    if (error == 0)
        return BH_OK;
    bhl_close(&b->pidfd);
    return bhi_problem_set(problem, BH_E_SYSTEM, error, "%s%s%s: %s", b->step,
                           b->path != NULL ? " " : "", b->path != NULL ? b->path : "",
                           bhl_error_text(error));
}

static int launch(const struct bhl_birth *birth, int null, int socket, int *pidfd,
                  struct bh_problem *problem)
{
    char name[] = "bulkhead-launcher";
    char pool[sizeof(birth->pool) + 8];
    char dispatcher[40];
    char outer[sizeof(birth->outer)];
    char *arguments[] = {name, pool, dispatcher, NULL};
    char *environment[] = {birth->outer[0] != '\0' ? outer : NULL, NULL};
    struct birth b = {
        .sources = {null, null, null, socket, birth->dispatcher, birth->spec},
        .image = birth->image,
        .path = birth->path,
        .arguments = arguments,
        .environment = environment,
        .pidfd = -1,
    };

    snprintf(pool, sizeof(pool), "pool=%s", birth->pool);
    snprintf(dispatcher, sizeof(dispatcher), "dispatcher=%ld", (long)getpid());
    memcpy(outer, birth->outer, sizeof(outer));
    int rc = fill_and_deliver(&b, problem);
    *pidfd = b.pidfd;
    return rc;
}

/* A descriptor that the kernel put among 0, 1, 2 must not stay there. */
static int lift_pidfd(int *socket, int *pidfd, struct bh_problem *problem)
{
    *pidfd = bhl_lift(*pidfd);
    if (*pidfd >= 0)
        return BH_OK;
    int rc = bhl_problem_errno(problem, "a descriptor for the launcher");
    bhl_close(socket); /* which ends it */
    return rc;
}

/** See nursery.h. */
int bhl_birth_launch(const struct bhl_birth *birth, int *socket, int *pidfd,
                     struct bh_problem *problem)
{
    int pair[2];

    *socket = *pidfd = -1;
    int null = bhl_lift(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (null < 0)
        return bhl_problem_errno(problem, "/dev/null");
    if (!bhl_socket_pair(pair)) {
        bhl_close(&null);
        return bhl_problem_errno(problem, "a socket for the launcher");
    }
    int rc = launch(birth, null, pair[1], pidfd, problem);
    bhl_close(&pair[1]);
    bhl_close(&null);
    if (rc != BH_OK) {
        bhl_close(&pair[0]);
        return rc;
    }
    *socket = pair[0];
    return lift_pidfd(socket, pidfd, problem);
}

/* ---- what it is made from ---- */

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* The pool's name as one word that splits no command line and no comma-separated list. */
static void plain_name(char *out, size_t size, const char *name)
{
    bhl_copy_text(out, size, name, strlen(name));
    for (char *c = out; *c != '\0'; c++) {
        if ((unsigned char)*c <= ' ' || *c == ',' || *c == 0x7f)
            *c = '_';
    }
}

/* An inner pool's launcher shows to which worker of the outer pool it belongs. */
static void note_outer_pool(struct bhl_birth *birth)
{
    const char *cookie = getenv(BHL_ENVIRONMENT);

    int length = cookie != NULL
                     ? snprintf(birth->outer, sizeof(birth->outer), BHL_ENVIRONMENT "=%s", cookie)
                     : 0;
    if (length < 0 || (size_t)length >= sizeof(birth->outer))
        birth->outer[0] = '\0';
}

static int open_launcher(struct bhl_birth *birth, const char *path, struct bh_problem *problem)
{
    if (path != NULL)
        return bhl_resolve_path(path, &birth->path, problem);
    size_t size = (size_t)(bhi_launcher_image_end - bhi_launcher_image);
    birth->image = bhl_sealed_copy("bulkhead-launcher", bhi_launcher_image, size, true);
    if (birth->image < 0)
        return bhl_problem_errno(problem, "an executable memory file for the launcher "
                                          "(its path can be given instead)");
    return BH_OK;
}

/** See nursery.h. */
int bhl_birth_init(struct bhl_birth *birth, const struct bh_pool_options *options,
                   struct bh_problem *problem)
{
    *birth = (struct bhl_birth){.spec = -1, .image = -1, .dispatcher = -1};
    int rc = bhl_resolve_program(options->worker, &birth->program, problem);
    if (rc != BH_OK)
        return rc;
    plain_name(birth->pool, sizeof(birth->pool),
               options->name != NULL ? options->name : file_name(birth->program));
    note_outer_pool(birth);
    rc = open_launcher(birth, options->launcher, problem);
    if (rc != BH_OK)
        return rc;
    birth->dispatcher = bhl_pidfd_open(getpid());
    if (birth->dispatcher < 0)
        return bhl_problem_errno(problem, "a pidfd of this process");
    return bhl_spec_write(&birth->spec, options, birth->pool, birth->program, problem);
}

/** See nursery.h. */
void bhl_birth_deinit(struct bhl_birth *birth)
{
    bhl_close(&birth->spec);
    bhl_close(&birth->image);
    bhl_close(&birth->dispatcher);
    bhi_free(birth->path);
    bhi_free(birth->program);
    birth->path = birth->program = NULL;
}
