/* SPDX-License-Identifier: MIT */
/*
 * What flaky asks of a POSIX system.
 */
#include "../system.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct flaky_thread {
    pthread_t thread;
    void (*run)(void *context);
    void *context;
};

static void *begin(void *context)
{
    struct flaky_thread *thread = context;

    thread->run(thread->context);
    return NULL;
}

struct flaky_thread *flaky_thread_start(void (*run)(void *context), void *context)
{
    struct flaky_thread *thread = malloc(sizeof *thread);

    if (thread == NULL)
        return NULL;
    thread->run = run;
    thread->context = context;
    if (pthread_create(&thread->thread, NULL, begin, thread) == 0)
        return thread;
    free(thread);
    return NULL;
}

void flaky_thread_join(struct flaky_thread *thread)
{
    pthread_join(thread->thread, NULL);
    free(thread);
}

double flaky_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void flaky_pause_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    nanosleep(&time, NULL);
}

bool flaky_is_terminal(FILE *stream)
{
    return isatty(fileno(stream));
}

void flaky_find_beside(char *path, size_t size, const char *name)
{
    ssize_t length = readlink("/proc/self/exe", path, size - strlen(name) - 1);

    while (length > 0 && path[length - 1] != '/')
        length--;
    strcpy(path + (length > 0 ? length : 0), name);
}
