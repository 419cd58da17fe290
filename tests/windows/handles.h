/* SPDX-License-Identifier: MIT */
/**
 * @file handles.h
 * How many handles the calling process has.
 */
#ifndef BH_TESTS_HANDLES_H
#define BH_TESTS_HANDLES_H

#include "check.h"

#include <windows.h>

static inline unsigned rig_own_handles(void)
{
    return (unsigned)kit_own_handles();
}

#endif
