/* SPDX-License-Identifier: MIT */
/*
 * A guest in its host: the library's processes are invisible to a host's SIGCHLD handler and to its
 * waitpid(-1), none of the host's own children is taken from it, threads may come and go, and a
 * forked child is refused.
 */
#include "check.h"

#include <bulkhead/bulkhead.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MISHAPS BH_TEST_BIN_DIR "/mishaps"
#define OWN_CHILDREN 50

static volatile sig_atomic_t reaped;
static volatile sig_atomic_t strangers;

static void on_child(int signal)
{
    int saved = errno;
    int status;
    pid_t pid;

    (void)signal;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == 42)
            reaped++;
        else
            strangers++;
    }
    errno = saved;
}

static void *open_pool(void *context)
{
    struct bh_pool_options options;
    struct bh_problem problem = {0};
    bh_pool *pool = NULL;

    (void)context;
    bh_pool_options_init(&options);
    options.worker = MISHAPS;
    options.min_workers = options.max_workers = 2;
    if (bh_pool_open(&pool, &options, &problem))
        fprintf(stderr, "bh_pool_open: %s\n", problem.text);
    return pool;
}

/* The thread that opens the pool ends before anything else happens. */
static bh_pool *open_on_passing_thread(void)
{
    pthread_t thread;
    void *pool;

    CHECK_INT(pthread_create(&thread, NULL, open_pool, NULL), 0);
    CHECK_INT(pthread_join(thread, &pool), 0);
    CHECK(pool != NULL);
    return pool;
}

static void die(bh_pool *pool, const char *kind)
{
    bh_value argument = bh_value_view(kind);
    struct bh_result result;

    CHECK_INT(bh_pool_invoke(pool, "die", &argument, 1, &result), BH_OUTCOME_DIED);
    bh_result_deinit(&result);
}

static void *call_once(void *context)
{
    bh_value argument = bh_value_int64(5);
    struct bh_result result;

    CHECK_INT(bh_pool_invoke(context, "echo", &argument, 1, &result), BH_OUTCOME_REPLIED);
    bh_result_deinit(&result);
    return NULL;
}

static void call_on_passing_thread(bh_pool *pool)
{
    pthread_t thread;

    CHECK_INT(pthread_create(&thread, NULL, call_once, pool), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
}

static bool all_reaped(void *context)
{
    (void)context;
    return reaped == OWN_CHILDREN;
}

TEST_TIMEOUT(a_host_sees_its_own_children_and_none_of_ours, 60)
{
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    struct sigaction after;

    CHECK_INT(sigaction(SIGCHLD, &action, NULL), 0);
    bh_pool *pool = open_on_passing_thread();
    for (int i = 0; i < OWN_CHILDREN; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(42);
        CHECK(pid > 0);
        die(pool, i % 2 ? "segv" : "kill");
        call_on_passing_thread(pool);
    }
    CHECK(kit_wait_until(all_reaped, NULL, 5000));
    bh_pool_close(pool);
    CHECK_INT(reaped, OWN_CHILDREN);
    CHECK_INT(strangers, 0);
    CHECK_INT(sigaction(SIGCHLD, NULL, &after), 0);
    CHECK(after.sa_handler == on_child);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_INT(errno, ECHILD);
}

static volatile sig_atomic_t signals;

static void on_any_child(int signal)
{
    (void)signal;
    signals++;
}

TEST_TIMEOUT(a_host_without_children_gets_no_signal, 60)
{
    struct sigaction action = {.sa_handler = on_any_child, .sa_flags = SA_RESTART};

    CHECK_INT(sigaction(SIGCHLD, &action, NULL), 0);
    for (int i = 0; i < 10; i++) {
        bh_pool *pool = open_on_passing_thread();
        die(pool, i % 2 ? "segv" : "kill");
        bh_pool_close(pool);
    }
    CHECK_INT(signals, 0);
}

struct waiter {
    _Atomic bool done;
    _Atomic int own;
    _Atomic int strangers;
};

/* The other way hosts do it: a thread that waits for any child, for ever. */
static void *wait_for_any(void *context)
{
    struct waiter *waiter = context;
    int status;

    while (!atomic_load(&waiter->done)) {
        pid_t pid = waitpid(-1, &status, 0);
        if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 42)
            atomic_fetch_add(&waiter->own, 1);
        else if (pid > 0)
            atomic_fetch_add(&waiter->strangers, 1);
    }
    return NULL;
}

static bool has_own(void *context)
{
    struct waiter *waiter = context;

    return atomic_load(&waiter->own) == OWN_CHILDREN;
}

TEST_TIMEOUT(a_host_that_waits_for_any_child_gets_only_its_own, 60)
{
    struct waiter waiter = {0};
    pthread_t thread;

    CHECK_INT(pthread_create(&thread, NULL, wait_for_any, &waiter), 0);
    bh_pool *pool = open_on_passing_thread();
    for (int i = 0; i < OWN_CHILDREN; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(42);
        CHECK(pid > 0);
        die(pool, "abort");
    }
    CHECK(kit_wait_until(has_own, &waiter, 5000));
    bh_pool_close(pool);
    atomic_store(&waiter.done, true);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(waiter.strangers, 0);
}

/* In the child: every door is closed, none of them blocks, and the text says why. */
static void use_in_child(bh_pool *pool)
{
    struct bh_problem problem = {0};
    struct bh_snapshot snapshot;
    struct bh_result result;
    bh_value methods;

    CHECK_INT(bh_pool_invoke(pool, "echo", NULL, 0, &result), BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_FORKED);
    CHECK_INT(result.delivery, BH_DELIVERY_NEVER_STARTED);
    CHECK_CONTAINS(result.text, "child");
    bh_result_deinit(&result);
    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_E_FORKED);
    CHECK_INT(bh_pool_wait_ready(pool, 1, 1000, &problem), BH_E_FORKED);
    CHECK_INT(bh_pool_methods(pool, 1000, &methods, &problem), BH_E_FORKED);
    CHECK_INT(bh_pool_replace(pool), BH_E_FORKED);
    bh_pool_drain(pool);
    bh_pool_close(pool);
    _exit(42);
}

TEST_TIMEOUT(a_forked_child_is_refused_and_harms_nothing, 60)
{
    bh_pool *pool = open_on_passing_thread();
    int status;

    call_on_passing_thread(pool);
    pid_t pid = fork();
    if (pid == 0)
        use_in_child(pool);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 42);
    call_on_passing_thread(pool);
    die(pool, "segv");
    call_on_passing_thread(pool);
    bh_pool_close(pool);
}
