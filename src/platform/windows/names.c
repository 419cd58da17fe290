/* SPDX-License-Identifier: MIT */
/*
 * Names of registers, exceptions and statuses.
 *
 * Invariant: every answer is a static string. Windows has no signals that end a process; the one
 * name here is that of the C library's own SIGABRT, by which abort() ends.
 */
#include "names.h"

#include "core/platform.h"
#include "protocol.h"
#include "registers.h"
#include "support.h"

#include <signal.h>

/** See platform.h. */
const char *bhp_signal_name(int signal)
{
    return signal == SIGABRT ? "SIGABRT" : "";
}

/** See platform.h. */
const char *bhp_syscall_name(int number)
{
    (void)number;
    return NULL;
}

/* The processors whose registers have names, this library's own first. */
static const struct {
    uint32_t machine;
    const char *names[BHW_REGISTERS_MAX + 1];
} machines[] = {
#define NAME(name, field) name,
    {BHW_MACHINE, {BHW_REGISTER_LIST(NAME) NULL}},
    {IMAGE_FILE_MACHINE_I386, {BHW_REGISTERS_OF_X86(NAME) NULL}},
    {IMAGE_FILE_MACHINE_AMD64, {BHW_REGISTERS_OF_X64(NAME) NULL}},
    {IMAGE_FILE_MACHINE_ARM64, {BHW_REGISTERS_OF_ARM64(NAME) NULL}},
#undef NAME
};

_Static_assert(BHW_REGISTERS_MAX == BH_REGISTERS_MAX, "the protocol's record and the public one");

/** See names.h. */
uint32_t bhw_registers_of(uint32_t machine)
{
    for (uint32_t i = 0; i < BHW_COUNT(machines); i++) {
        if (machines[i].machine == machine)
            return i * (BHW_REGISTERS_MAX + 1);
    }
    return BHW_REGISTERS_UNKNOWN;
}

/** See platform.h. Each set of names ends with a NULL. */
const char *bhp_register_name(unsigned i)
{
    unsigned set = i / (BHW_REGISTERS_MAX + 1);

    return set < BHW_COUNT(machines) ? machines[set].names[i % (BHW_REGISTERS_MAX + 1)] : NULL;
}

/* Exceptions that a filter sees, by their codes. */
#define EXCEPTION_LIST(X)                                                                          \
    X(0x80000001, "EXCEPTION_GUARD_PAGE")                                                          \
    X(0x80000002, "EXCEPTION_DATATYPE_MISALIGNMENT")                                               \
    X(0x80000003, "EXCEPTION_BREAKPOINT")                                                          \
    X(0x80000004, "EXCEPTION_SINGLE_STEP")                                                         \
    X(0xC0000005, "EXCEPTION_ACCESS_VIOLATION")                                                    \
    X(0xC0000006, "EXCEPTION_IN_PAGE_ERROR")                                                       \
    X(0xC0000008, "EXCEPTION_INVALID_HANDLE")                                                      \
    X(0xC0000017, "STATUS_NO_MEMORY")                                                              \
    X(0xC000001D, "EXCEPTION_ILLEGAL_INSTRUCTION")                                                 \
    X(0xC0000025, "EXCEPTION_NONCONTINUABLE_EXCEPTION")                                            \
    X(0xC0000026, "EXCEPTION_INVALID_DISPOSITION")                                                 \
    X(0xC000008C, "EXCEPTION_ARRAY_BOUNDS_EXCEEDED")                                               \
    X(0xC000008D, "EXCEPTION_FLT_DENORMAL_OPERAND")                                                \
    X(0xC000008E, "EXCEPTION_FLT_DIVIDE_BY_ZERO")                                                  \
    X(0xC000008F, "EXCEPTION_FLT_INEXACT_RESULT")                                                  \
    X(0xC0000090, "EXCEPTION_FLT_INVALID_OPERATION")                                               \
    X(0xC0000091, "EXCEPTION_FLT_OVERFLOW")                                                        \
    X(0xC0000092, "EXCEPTION_FLT_STACK_CHECK")                                                     \
    X(0xC0000093, "EXCEPTION_FLT_UNDERFLOW")                                                       \
    X(0xC0000094, "EXCEPTION_INT_DIVIDE_BY_ZERO")                                                  \
    X(0xC0000095, "EXCEPTION_INT_OVERFLOW")                                                        \
    X(0xC0000096, "EXCEPTION_PRIV_INSTRUCTION")                                                    \
    X(0xC00000FD, "EXCEPTION_STACK_OVERFLOW")                                                      \
    X(0xC0000194, "EXCEPTION_POSSIBLE_DEADLOCK")                                                   \
    X(0xE06D7363, "a C++ exception that nobody caught")                                            \
    X(0xE0434352, "a .NET exception that nobody caught")

/** See names.h. */
const char *bhw_exception_name(uint32_t code)
{
    switch (code) {
#define ROW(number, name)                                                                          \
    case number:                                                                                   \
        return name;
        EXCEPTION_LIST(ROW)
#undef ROW
    default:
        return NULL;
    }
}

/* Ends that no filter sees: the system sets the exit code and the process is gone. */
static const struct bhw_status statuses[] = {
    {0xC0000409, BHW_STATUS_FAULT, "fail fast (a stack cookie, __fastfail or abort)"},
    {0xC0000374, BHW_STATUS_FAULT, "heap corruption"},
    {0xC0000420, BHW_STATUS_FAULT, "a failed assertion of the system"},
    {0xC0000602, BHW_STATUS_FAULT, "fail fast (RaiseFailFastException)"},
    {0xC0000135, BHW_STATUS_LOADER, "a DLL that the program needs was not found"},
    {0xC0000138, BHW_STATUS_LOADER, "a DLL lacks an ordinal that the program needs"},
    {0xC0000139, BHW_STATUS_LOADER, "a DLL lacks a function that the program needs"},
    {0xC0000142, BHW_STATUS_LOADER, "a DLL failed to initialise"},
    {0xC000007B, BHW_STATUS_LOADER, "a DLL is for another kind of processor, or damaged"},
    {0xC000013A, BHW_STATUS_ENDED, "ended by Ctrl-C or with its console"},
    {0xC000026B, BHW_STATUS_LOADER, "a DLL failed to initialise: the session is ending"},
};

/** See names.h. */
const struct bhw_status *bhw_status_of(uint32_t code)
{
    for (size_t i = 0; i < BHW_COUNT(statuses); i++) {
        if (statuses[i].code == code)
            return &statuses[i];
    }
    return NULL;
}
