/* SPDX-License-Identifier: MIT */
/*
 * The kit on Linux: one process per test, and its supervisor.
 *
 *     supervisor ── fork ──> test: its own TMPDIR, a marker in its environment, captured output;
 *                            runs, looks for leaks, exits
 *
 * The supervisor is one thread that never runs test code, and a subreaper: whatever a test orphans
 * becomes its child and is found and killed. It waits on the test's pidfd with a deadline. A test
 * passes only if it came to its end (a flag in shared memory; `exit(0)` in its middle is no pass),
 * ended with status 0 (sanitizers and valgrind speak through the status) and left nothing behind.
 */
#include "kit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMEOUT_S = 20 };

#define MARKER "BH_TEST_ID"

/* One run of one test. */
struct run {
    const struct kit_test *test;
    int pid, pidfd;      /* of the test */
    int output;          /* file that takes what the test and we say */
    char directory[64];  /* its TMPDIR */
    char marker[64];     /* "BH_TEST_ID=…", in the environment of all that it starts */
    volatile bool *done; /* shared: the test came to its end */
};

/* ---- in the test's process ------------------------------------------------------------------- */

void kit_end_process(enum kit_verdict verdict)
{
    _exit(verdict == KIT_SKIPPED ? KIT_SKIP_STATUS : 1);
}

/* A test is a fork of its supervisor. */
void kit_take_over(int argc, char **argv)
{
    (void)argc;
    (void)argv;
}

const char *kit_temp_dir(void)
{
    return getenv("TMPDIR");
}

size_t kit_clear_temp_dir(void)
{
    size_t count = kit_remove_directory(kit_temp_dir(), -1);
    mkdir(kit_temp_dir(), 0700);
    return count;
}

static void prepare(const struct run *run)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != kit_settings.supervisor)
        _exit(1);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    if (null != STDIN_FILENO)
        close(null);
    if (!kit_settings.verbose) {
        dup2(run->output, STDOUT_FILENO);
        dup2(run->output, STDERR_FILENO);
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* so that a crash loses no lines */
    setenv("TMPDIR", run->directory, 1);
    setenv(MARKER, strchr(run->marker, '=') + 1, 1);
}

_Noreturn static void run_test(const struct run *run)
{
    prepare(run);
    kit_leaks_begin();
    run->test->run();
    fflush(NULL);
    bool clean = kit_leaks_check(run->marker);
    *run->done = true;
    exit(clean ? 0 : 1); /* not _exit(): the leak sanitizer looks at exit */
}

/* ---- in the supervisor ----------------------------------------------------------------------- */

_Noreturn static void give_up(const char *what)
{
    fprintf(stderr, "kit: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void make_directory(char *path, size_t size)
{
    const char *parent = getenv("TMPDIR");
    if (!parent || strlen(parent) + 20 > size)
        parent = "/tmp";
    snprintf(path, size, "%s/bh-test-XXXXXX", parent);
    if (!mkdtemp(path))
        give_up("no temporary directory");
}

static void begin(struct run *run)
{
    static int number;
    make_directory(run->directory, sizeof run->directory);
    kit_settings.supervisor = getpid();
    snprintf(run->marker, sizeof run->marker, MARKER "=%d-%d-%lld", getpid(), ++number,
             (long long)kit_now_ms());
    run->output = kit_nameless_file();
    run->done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run->done == MAP_FAILED)
        give_up("no memory");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void start(struct run *run)
{
    fflush(NULL);
    run->pid = fork();
    if (run->pid == 0)
        run_test(run);
    if (run->pid < 0)
        give_up("cannot fork");
    run->pidfd = kit_pidfd(run->pid);
    if (run->pidfd < 0)
        give_up("no pidfd");
}

/* Where each thread of a test that does not end is. */
static void describe_hang(const struct run *run)
{
    char path[300];
    snprintf(path, sizeof path, "/proc/%d/task", run->pid);
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/wchan", run->pid, entry->d_name);
        char *where = kit_read_file(path);
        dprintf(run->output, "  thread %s in %s\n", entry->d_name, where ? where : "?");
        free(where);
    }
    if (directory)
        closedir(directory);
}

/* @return whether the test ended by itself; in either case it has ended */
static bool wait_for_end(const struct run *run, siginfo_t *info)
{
    int seconds = run->test->timeout_s ? run->test->timeout_s : TIMEOUT_S;
    int64_t until = kit_now_ms() + seconds * INT64_C(1000) * kit_slowdown();
    if (until > kit_settings.until)
        until = kit_settings.until;
    bool in_time = kit_readable(run->pidfd, until);
    if (!in_time) {
        dprintf(run->output, "timed out after %d s\n", seconds * kit_slowdown());
        describe_hang(run);
        kill(run->pid, SIGKILL);
    }
    waitid(P_PIDFD, (id_t)run->pidfd, info, WEXITED);
    return in_time;
}

/* Kills and reaps all that is left of the test. @return how many were still alive */
static size_t clear_processes(const struct run *run)
{
    size_t killed = 0, count;
    do {
        struct kit_process *tree = kit_process_tree(kit_settings.supervisor, run->marker, &count);
        for (size_t i = 0; i < count; i++) {
            kill(tree[i].pid, SIGKILL);
            kit_pid_gone(tree[i].pid, 1000);
        }
        free(tree);
        killed += count;
        while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
            continue;
    } while (count);
    return killed;
}

static enum kit_verdict judge(const struct run *run, const siginfo_t *info, bool in_time)
{
    if (!in_time)
        return KIT_FAILED;
    if (info->si_code != CLD_EXITED) {
        dprintf(run->output, "killed by SIG%s\n", sigabbrev_np(info->si_status));
        return KIT_FAILED;
    }
    if (info->si_status == KIT_SKIP_STATUS)
        return KIT_SKIPPED;
    if (info->si_status > 1)
        dprintf(run->output, "exited with status %d\n", info->si_status);
    else if (info->si_status == 0 && !*run->done)
        dprintf(run->output, "exited in the middle of the test\n");
    return info->si_status == 0 && *run->done ? KIT_PASSED : KIT_FAILED;
}

/* @return the verdict, worse if there is something to clean up that a test must not leave */
static enum kit_verdict clean_up(const struct run *run, enum kit_verdict verdict)
{
    bool passed = verdict == KIT_PASSED;
    size_t processes = clear_processes(run);
    size_t files = kit_remove_directory(run->directory, passed ? run->output : -1);
    if (passed && processes)
        dprintf(run->output, "leaked: %zu processes, seen after its end\n", processes);
    return passed && (processes || files) ? KIT_FAILED : verdict;
}

static void end(struct run *run, char **said)
{
    *said = kit_read_descriptor(run->output);
    close(run->output);
    close(run->pidfd);
    munmap((void *)(uintptr_t)run->done, 4096);
}

static enum kit_verdict run_here(const struct kit_test *test)
{
    char directory[64];
    make_directory(directory, sizeof directory);
    setenv("TMPDIR", directory, 1);
    kit_settings.supervisor = getpid();
    enum kit_verdict verdict = kit_run_in_process(test);
    kit_remove_directory(directory, -1);
    unsetenv("TMPDIR");
    return verdict;
}

enum kit_verdict kit_supervise(const struct kit_test *test, char **said)
{
    struct run run = {.test = test};
    siginfo_t info = {0};
    *said = NULL;
    if (kit_settings.in_process)
        return run_here(test);
    begin(&run);
    start(&run);
    bool in_time = wait_for_end(&run, &info);
    enum kit_verdict verdict = clean_up(&run, judge(&run, &info, in_time));
    end(&run, said);
    return verdict;
}
