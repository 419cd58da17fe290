/* SPDX-License-Identifier: MIT */
/*
 * Names on the fake platform, the same on every system: Linux's for the few signals and calls that
 * the tests use, its own for registers. And ends, ready-made for plans.
 */
#include "fake.h"

#include <stdio.h>

static const char *const signals[] = {
    [4] = "SIGILL",  [6] = "SIGABRT",  [7] = "SIGBUS",   [8] = "SIGFPE",
    [9] = "SIGKILL", [11] = "SIGSEGV", [15] = "SIGTERM", [31] = "SIGSYS",
};

/** See platform.h. */
const char *bhp_signal_name(int signal)
{
    int count = (int)(sizeof(signals) / sizeof(signals[0]));

    return signal >= 0 && signal < count && signals[signal] ? signals[signal] : "";
}

/** See platform.h. */
const char *bhp_syscall_name(int number)
{
    switch (number) {
    case 41:
        return "socket";
    case 59:
        return "execve";
    default:
        return NULL;
    }
}

/** See platform.h. */
const char *bhp_register_name(unsigned i)
{
    static const char *const registers[] = {"r0", "r1", "sp", "pc"};

    return i < sizeof(registers) / sizeof(registers[0]) ? registers[i] : NULL;
}

/** See fake.h. */
struct bhp_obituary bhf_end_fault(uint64_t address)
{
    struct bhp_obituary end = {.end = BHP_END_SIGNAL, .code = 11, .needs_record = true};

    end.box.fault = (struct bhp_fault){.kind = BHP_FAULT_FAULT,
                                       .signal = 11,
                                       .signal_code = 1,
                                       .thread_id = 1,
                                       .address = address,
                                       .instruction = 0x401000,
                                       .stack_pointer = 0x7ffd0000,
                                       .syscall = -1,
                                       .register_count = 4,
                                       .registers = {1, 2, 0x7ffd0000, 0x401000}};
    return end;
}

/** See fake.h. */
struct bhp_obituary bhf_end_exit(uint32_t code, bool exiting)
{
    return (struct bhp_obituary){
        .end = BHP_END_EXIT, .code = code, .box = {.exiting = exiting, .fault = {.syscall = -1}}};
}

/** See fake.h. */
struct bhp_obituary bhf_end_signal(uint32_t signal)
{
    return (struct bhp_obituary){.end = BHP_END_SIGNAL,
                                 .code = signal,
                                 .by_kill = signal == 9,
                                 .needs_record = signal == 11 || signal == 6 || signal == 31,
                                 .box = {.fault = {.syscall = -1}}};
}

/** See fake.h. */
struct bhp_obituary bhf_end_not_started(int os_error, const char *detail, bool permanent)
{
    struct bhp_obituary end = {
        .end = BHP_END_NOT_STARTED, .os_error = os_error, .permanent = permanent};

    snprintf(end.detail, sizeof(end.detail), "%s", detail);
    return end;
}
