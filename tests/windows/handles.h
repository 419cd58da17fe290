/* SPDX-License-Identifier: MIT */
/**
 * @file handles.h
 * How many handles the calling process has.
 */
#ifndef BH_TESTS_HANDLES_H
#define BH_TESTS_HANDLES_H

#include <windows.h>
#include <winternl.h>

/* GetProcessHandleCount() says 0 under Wine. */
static inline unsigned rig_own_handles(void)
{
    static unsigned char room[1 << 20];
    const struct {
        ULONG count;
        struct {
            ULONG pid;
            UCHAR type, flags;
            USHORT value;
            PVOID object;
            ULONG access;
        } handles[];
    } *all = (const void *)room;
    unsigned count = 0;
    ULONG length;

    if (NtQuerySystemInformation((SYSTEM_INFORMATION_CLASS)16, room, sizeof(room), &length) < 0)
        return 0;
    for (ULONG i = 0; i < all->count; i++)
        count += all->handles[i].pid == GetCurrentProcessId();
    return count;
}

#endif
