/* SPDX-License-Identifier: MIT */
/*
 * The worker's end is put up here: what was inherited is checked and mapped, and the hooks that
 * leave evidence are installed.
 *
 * Model: one environment variable with five handles, a cookie to compare, and then a struct
 * bhw_worker_end that does not change any more. The sections' handles are closed once mapped; bell
 * and dispatcher stay.
 *
 * Invariants: nothing is believed because it stands in the variable: a section must have its size,
 * its magic and its cookie. Nothing of it reaches a process that the worker's own code starts: the
 * variable is removed, the handles are not inheritable any more.
 */
#include "worker_end.h"

#include "core/problem.h"
#include "worker/ticket.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof BHI_TICKET_PREFIX == sizeof BHW_ARGUMENT, "one argument, two names");

struct bhw_worker_end bhw_worker_end;

/* What the variable holds, in its order. */
enum { CALL, BOX, BELL, DISPATCHER, DUMPING, GIVEN };

void bhw_worker_die(const char *format, ...)
{
    char text[256] = "bulkhead: ";
    size_t length = strlen(text);
    va_list arguments;
    DWORD written;

    va_start(arguments, format);
    vsnprintf(text + length, sizeof text - length - 1, format, arguments);
    va_end(arguments);
    length = strlen(text);
    text[length++] = '\n';
    WriteFile(GetStdHandle(STD_ERROR_HANDLE), text, (DWORD)length, &written, NULL);
    /* Pairs with the dispatcher's load in bhp_worker_box(). */
    atomic_store_explicit(&bhw_worker_end.box->exiting, 1, memory_order_release);
    TerminateProcess(GetCurrentProcess(), BHW_STATUS_PROTOCOL);
    abort(); /* not reached */
}

/* ---- the variable ---------------------------------------------------------------------------- */

/* Reads hexadecimal digits up to `end`, which must follow. NULL when it is no handle. */
static const char *read_handle(const char *text, char end, HANDLE *out)
{
    char *stop;
    unsigned long long number = strtoull(text, &stop, 16);

    if (stop == text || *stop != end || number == 0 || number > UINTPTR_MAX)
        return NULL;
    *out = (HANDLE)(uintptr_t)number;
    return stop + 1;
}

/* Takes the variable out of the environment, the C runtime's copy of it included. */
static bool take_variable(HANDLE given[GIVEN])
{
    char text[128];
    DWORD length = GetEnvironmentVariableA(BHW_ENVIRONMENT, text, sizeof text);
    const char *next = text;

    if (length == 0 || length >= sizeof text)
        return false;
    _putenv(BHW_ENVIRONMENT "=");
    SetEnvironmentVariableA(BHW_ENVIRONMENT, NULL);
    for (int i = 0; i < GIVEN && next != NULL; i++)
        next = read_handle(next, i == GIVEN - 1 ? '\0' : ',', &given[i]);
    return next != NULL;
}

/* ---- what it leads to ------------------------------------------------------------------------ */

static int refuse(struct bh_problem *problem, const char *what)
{
    return bhi_problem_set(problem, BH_E_START, 0,
                           BHW_ENVIRONMENT ": %s (a Bulkhead dispatcher starts this program)",
                           what);
}

static int map_call(struct bhw_worker_end *end, HANDLE section, uint64_t cookie, int64_t pid,
                    struct bh_problem *problem)
{
    const struct bhw_call_section *call;

    call = MapViewOfFile(section, FILE_MAP_READ, 0, 0, sizeof *call);
    if (call == NULL || call->magic != BHW_MAGIC)
        return refuse(problem, "no call section");
    if (call->version != BHW_VERSION)
        return bhi_problem_set(problem, BH_E_START, 0,
                               "the dispatcher speaks version %" PRIu32
                               " of the protocol, this worker version %u",
                               call->version, BHW_VERSION);
    if (call->cookie != cookie || call->dispatcher_pid != (uint64_t)pid)
        return refuse(problem, "the call section of another worker");
    end->call = call;
    return BH_OK;
}

static bool is_waitable(HANDLE handle)
{
    return WaitForSingleObject(handle, 0) != WAIT_FAILED &&
           SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0);
}

static int attach(struct bhw_worker_end *end, uint64_t cookie, int64_t pid,
                  struct bh_problem *problem)
{
    HANDLE given[GIVEN];
    int error;

    if (!take_variable(given))
        return refuse(problem, "missing or malformed");
    error = map_call(end, given[CALL], cookie, pid, problem);
    if (error != BH_OK)
        return error;
    end->box =
        MapViewOfFile(given[BOX], FILE_MAP_READ | FILE_MAP_WRITE, 0, 0,
                      (SIZE_T)(sizeof *end->box + 2 * BHW_PARTIAL_ROOM(end->call->partial_bytes)));
    if (end->box == NULL)
        return refuse(problem, "no box section");
    end->bell = given[BELL];
    end->dispatcher = given[DISPATCHER];
    end->dumping = given[DUMPING];
    SetHandleInformation(end->dumping, HANDLE_FLAG_INHERIT, 0);
    if (!is_waitable(end->dispatcher))
        return refuse(problem, "no dispatcher");
    if (!is_waitable(end->bell)) /* may take a ring with it: nothing was rung yet that matters */
        return refuse(problem, "no bell");
    CloseHandle(given[CALL]);
    CloseHandle(given[BOX]);
    return BH_OK;
}

void bhi_channel_prepare(void)
{
    bhw_worker_quiet();
    bhw_worker_bind_output();
}

int bhi_channel_open(uint64_t cookie, int64_t dispatcher_pid, struct bh_problem *problem)
{
    struct bhw_worker_end end = {0};
    int error = attach(&end, cookie, dispatcher_pid, problem);

    if (error != BH_OK)
        return error;
    bhw_worker_end = end;
    bhw_worker_dump_install();
    bhw_worker_fault_install();
    if (bhw_worker_exit_install() != BH_OK || bhw_worker_stack_reserve() != BH_OK)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory to start");
    return bhw_worker_com_open(problem);
}
