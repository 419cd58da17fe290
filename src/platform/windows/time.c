/* SPDX-License-Identifier: MIT */
/*
 * Clocks, processors, and the number that tells this process from all others.
 *
 * Invariant: bhp_now() never goes back and never overflows: whole seconds and the rest of the
 * performance counter are scaled apart.
 */
#include "core/platform.h"

#include "support.h"

#define SECOND INT64_C(1000000000)
/* From 1601, where Windows begins to count, to 1970, in milliseconds. */
#define EPOCH_MS INT64_C(11644473600000)

/** See platform.h. */
int64_t bhp_now(void)
{
    static _Atomic int64_t frequency; /* pairs with itself: everybody stores the same */
    LARGE_INTEGER count;
    int64_t per_second = atomic_load_explicit(&frequency, memory_order_relaxed);

    if (per_second == 0) {
        QueryPerformanceFrequency(&count);
        per_second = count.QuadPart;
        atomic_store_explicit(&frequency, per_second, memory_order_relaxed);
    }
    QueryPerformanceCounter(&count);
    return count.QuadPart / per_second * SECOND + count.QuadPart % per_second * SECOND / per_second;
}

/** See platform.h. */
int64_t bhp_utc_ms(void)
{
    FILETIME time;

    GetSystemTimePreciseAsFileTime(&time);
    return (int64_t)(bhw_filetime(&time) / 10000) - EPOCH_MS;
}

/** See platform.h. */
uint32_t bhp_processors(void)
{
    DWORD_PTR mine = 0;
    DWORD_PTR all = 0;
    uint32_t count = 0;

    /* 0 when the process has threads in several processor groups: then it may use all. */
    if (!GetProcessAffinityMask(GetCurrentProcess(), &mine, &all) || mine == 0)
        count = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    for (; mine != 0; mine &= mine - 1)
        count++;
    return count > 0 ? count : 1;
}

/** See platform.h. */
int64_t bhp_process_id(void)
{
    static _Atomic int64_t drawn; /* pairs with itself: whoever sets it first wins */
    int64_t number = atomic_load_explicit(&drawn, memory_order_relaxed);

    if (number == 0) {
        int64_t mine = (int64_t)((uint64_t)GetCurrentProcessId() << 31 | bhw_random() >> 33);
        number = atomic_compare_exchange_strong(&drawn, &number, mine) ? mine : number;
    }
    return number;
}
