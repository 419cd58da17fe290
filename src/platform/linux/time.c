/* SPDX-License-Identifier: MIT */
/*
 * Clocks, and the number that tells this process from all others.
 *
 * Invariant: the process number holds the pid in its upper bits, so that a forked child, which
 * inherits the word, sees that it is not its own and draws a new one.
 */
#include "core/platform.h"

#include <sched.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static int64_t read_clock(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/** See platform.h. */
int64_t bhp_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

/** See platform.h. */
int64_t bhp_utc_ms(void)
{
    return read_clock(CLOCK_REALTIME) / 1000000;
}

/** See platform.h. */
uint32_t bhp_processors(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return (uint32_t)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN); /* more than CPU_SETSIZE of them */
    return online > 0 ? (uint32_t)online : 1;
}

/* Linux has no pid above 2^22, which leaves 41 random bits in a positive number. */
#define RANDOM_BITS 41

static uint64_t random_number(void)
{
    uint64_t number;

    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
        number = (uint64_t)read_clock(CLOCK_REALTIME) ^ (uint64_t)read_clock(CLOCK_MONOTONIC) << 20;
    return number;
}

/** See platform.h. */
int64_t bhp_process_id(void)
{
    static _Atomic int64_t drawn; /* pairs with itself: whoever sets it first wins */
    int64_t pid = getpid();
    int64_t number = atomic_load_explicit(&drawn, memory_order_relaxed);

    while (number >> RANDOM_BITS != pid) {
        int64_t mine = pid << RANDOM_BITS | (int64_t)(random_number() >> (64 - RANDOM_BITS));
        if (atomic_compare_exchange_strong(&drawn, &number, mine))
            return mine;
    }
    return number;
}
