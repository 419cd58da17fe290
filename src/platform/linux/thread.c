/* SPDX-License-Identifier: MIT */
/*
 * Threads, mutexes, and waiting on a private word.
 *
 * Invariant: a thread of the library blocks every signal before its first instruction, because it
 * is made while its maker blocks them: the host's handlers never run on it.
 */
#include "core/platform.h"

#include "core/alloc.h"
#include "support.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Callbacks of the host's run on our threads, too. Sanitizers need far more stack; they get the
 * system's default. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STACK_BYTES 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define STACK_BYTES 0
#endif
#endif
#ifndef STACK_BYTES
#define STACK_BYTES (1024 * 1024)
#endif

/* ---- words ---- */

/** The absolute time of CLOCK_MONOTONIC for `until`, or NULL for BHP_FOREVER. */
struct timespec *bhl_timespec(int64_t until, struct timespec *t)
{
    if (until == BHP_FOREVER)
        return NULL;
    if (until < 0)
        until = 0;
    t->tv_sec = until / 1000000000;
    t->tv_nsec = until % 1000000000;
    return t;
}

/** See platform.h. */
void bhp_word_wait(bhp_word *word, uint32_t expected, int64_t until)
{
    struct timespec t;

    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, bhl_timespec(until, &t), NULL,
            FUTEX_BITSET_MATCH_ANY);
}

/** See platform.h. */
void bhp_word_wake(bhp_word *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* ---- mutexes ---- */

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(bhp_mutex), "a bhp_mutex holds a pthread_mutex_t");
_Static_assert(_Alignof(pthread_mutex_t) <= _Alignof(bhp_mutex), "and is aligned for it");

static pthread_mutex_t *inside(bhp_mutex *mutex)
{
    return (pthread_mutex_t *)(void *)mutex->opaque;
}

/** See platform.h. */
void bhp_mutex_init(bhp_mutex *mutex)
{
    pthread_mutex_init(inside(mutex), NULL);
}

/** See platform.h. */
void bhp_mutex_lock(bhp_mutex *mutex)
{
    pthread_mutex_lock(inside(mutex));
}

/** See platform.h. */
void bhp_mutex_unlock(bhp_mutex *mutex)
{
    pthread_mutex_unlock(inside(mutex));
}

/** See platform.h. */
void bhp_mutex_deinit(bhp_mutex *mutex)
{
    pthread_mutex_destroy(inside(mutex));
}

/* ---- threads ---- */

struct bhp_thread {
    pthread_t handle;
    void (*body)(void *);
    void *context;
    char name[16];
};

static void *run(void *argument)
{
    struct bhp_thread *thread = argument;

    pthread_setname_np(pthread_self(), thread->name);
    thread->body(thread->context);
    return NULL;
}

/** Blocks every signal for the calling thread. @param old its mask, for bhl_signals_restore() */
void bhl_signals_block(sigset_t *old)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, old);
}

/** Undoes bhl_signals_block(). */
void bhl_signals_restore(const sigset_t *old)
{
    pthread_sigmask(SIG_SETMASK, old, NULL);
}

static int create(struct bhp_thread *thread)
{
    pthread_attr_t attributes;
    size_t least = (size_t)sysconf(_SC_THREAD_STACK_MIN);
    sigset_t old;

    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    if (STACK_BYTES > 0)
        pthread_attr_setstacksize(&attributes, STACK_BYTES > least ? STACK_BYTES : least);
    bhl_signals_block(&old);
    error = pthread_create(&thread->handle, &attributes, run, thread);
    bhl_signals_restore(&old);
    pthread_attr_destroy(&attributes);
    return error;
}

/** See platform.h. */
int bhp_thread_start(bhp_thread **thread, void (*body)(void *), void *context, const char *name)
{
    struct bhp_thread *made = bhi_alloc(sizeof(*made));

    *thread = NULL;
    if (made == NULL)
        return BH_E_MEMORY;
    *made = (struct bhp_thread){.body = body, .context = context};
    bhl_copy_text(made->name, sizeof(made->name), name, strlen(name));
    if (create(made) != 0) {
        bhi_free(made);
        return BH_E_SYSTEM;
    }
    *thread = made;
    return BH_OK;
}

static _Thread_local const void *own;

/** See platform.h. */
const void *bhp_thread_own(void)
{
    return own;
}

/** See platform.h. */
void bhp_thread_set_own(const void *value)
{
    own = value;
}

/** See platform.h. */
void bhp_thread_join(bhp_thread *thread)
{
    if (thread == NULL)
        return;
    pthread_join(thread->handle, NULL);
    bhi_free(thread);
}
