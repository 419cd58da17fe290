/* SPDX-License-Identifier: MIT */
/* Tests that must not pass: what only Windows has to leave behind. */
#include "check.h"

#include <windows.h>

TEST(leak_event)
{
    CHECK(CreateEventA(NULL, FALSE, FALSE, NULL) != NULL);
}

TEST(leak_process_handle)
{
    CHECK(OpenProcess(SYNCHRONIZE, FALSE, GetCurrentProcessId()) != NULL);
}

TEST(leak_section)
{
    CHECK(CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 4096, NULL) != NULL);
}
