/* SPDX-License-Identifier: MIT */
/**
 * @file create_process.h
 * Windows only: starting a process in a test.
 */
#ifndef KIT_CREATE_PROCESS_H
#define KIT_CREATE_PROCESS_H

#include <windows.h>

/** CreateProcessA() with what tests give it. Wine fails now and then by its own confession, and not
 * the next time. */
static inline BOOL kit_create_process(const char *program, char *line, BOOL inherit, DWORD flags,
                                      STARTUPINFOA *startup, PROCESS_INFORMATION *made)
{
    for (int tries = 1;
         !CreateProcessA(program, line, NULL, NULL, inherit, flags, NULL, NULL, startup, made);
         tries++) {
        if (GetLastError() != ERROR_INTERNAL_ERROR || tries == 5)
            return FALSE;
    }
    return TRUE;
}

#endif
