/* SPDX-License-Identifier: MIT */
/* The kit on Windows: tests always run in this process; their deadline is CTest's. */
#include "kit.h"

#include <windows.h>

enum kit_verdict kit_supervise(const struct kit_test *test, char **said)
{
    *said = NULL;
    kit_settings.in_process = true;
    return kit_run_in_process(test);
}

void kit_end_process(enum kit_verdict verdict)
{
    ExitProcess(verdict == KIT_SKIPPED ? KIT_SKIP_STATUS : 1);
}

int64_t kit_now_ms(void)
{
    return (int64_t)GetTickCount64();
}

bool kit_wait_until(bool (*condition)(void *argument), void *argument, int deadline_ms)
{
    int64_t until = kit_now_ms() + (int64_t)deadline_ms * kit_slowdown();
    while (!condition(argument)) {
        if (kit_now_ms() >= until)
            return condition(argument);
        Sleep(1);
    }
    return true;
}
