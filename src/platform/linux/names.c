/* SPDX-License-Identifier: MIT */
/*
 * Names of signals, system calls, registers and error numbers.
 *
 * Invariant: every answer is a static string that no locale changes.
 */
#include "core/platform.h"

#include "support.h"
#include "protocol.h"
#include "registers.h"
#include "syscalls.h"

#include <signal.h>
#include <sys/syscall.h>

/* clang-format off */
#define SIGNAL_LIST(X)                                                                             \
    X(HUP) X(INT) X(QUIT) X(ILL) X(TRAP) X(ABRT) X(BUS) X(FPE) X(KILL) X(USR1) X(SEGV) X(USR2)     \
    X(PIPE) X(ALRM) X(TERM) X(STKFLT) X(CHLD) X(CONT) X(STOP) X(TSTP) X(TTIN) X(TTOU) X(URG)       \
    X(XCPU) X(XFSZ) X(VTALRM) X(PROF) X(WINCH) X(IO) X(PWR) X(SYS)
/* clang-format on */

static const char *const signals[] = {
#define ROW(name) [SIG##name] = "SIG" #name,
    SIGNAL_LIST(ROW)
#undef ROW
};

/* SIGRTMIN and SIGRTMAX as the kernel counts; a C library may keep the first few to itself. */
#define FIRST_REALTIME 32
static const char *const realtime[] = {
    "SIGRT0",  "SIGRT1",  "SIGRT2",  "SIGRT3",  "SIGRT4",  "SIGRT5",  "SIGRT6",
    "SIGRT7",  "SIGRT8",  "SIGRT9",  "SIGRT10", "SIGRT11", "SIGRT12", "SIGRT13",
    "SIGRT14", "SIGRT15", "SIGRT16", "SIGRT17", "SIGRT18", "SIGRT19", "SIGRT20",
    "SIGRT21", "SIGRT22", "SIGRT23", "SIGRT24", "SIGRT25", "SIGRT26", "SIGRT27",
    "SIGRT28", "SIGRT29", "SIGRT30", "SIGRT31", "SIGRT32",
};

/** See platform.h. */
const char *bhp_signal_name(int signal)
{
    if (signal >= FIRST_REALTIME && signal < FIRST_REALTIME + (int)BHL_COUNT(realtime))
        return realtime[signal - FIRST_REALTIME];
    if (signal > 0 && signal < (int)BHL_COUNT(signals) && signals[signal] != NULL)
        return signals[signal];
    return "";
}

static const char *const syscalls[] = {
#define ROW(name) [SYS_##name] = #name,
    BHL_SYSCALL_LIST(ROW) BHL_SYSCALL_MORE(ROW)
#undef ROW
};

/** See platform.h. */
const char *bhp_syscall_name(int number)
{
    return number >= 0 && number < (int)BHL_COUNT(syscalls) ? syscalls[number] : NULL;
}

static const char *const registers[] = {
#define ROW(name, field) name,
    BHL_REGISTER_LIST(ROW)
#undef ROW
        NULL};

_Static_assert(BHL_COUNT(registers) <= BHL_REGISTERS_MAX + 1, "a record holds them all");
_Static_assert(BHL_REGISTERS_MAX == BH_REGISTERS_MAX, "the protocol's record and the public one");

/** See platform.h. */
const char *bhp_register_name(unsigned i)
{
    return i < BHL_COUNT(registers) ? registers[i] : NULL;
}

/** The system's text for an errno, in no particular locale. Static. */
const char *bhl_error_text(int error)
{
#if defined(__GLIBC__)
    const char *text = strerrordesc_np(error);
#else
    const char *text = strerror(error); /* static strings in musl */
#endif
    return text != NULL ? text : "unknown error";
}
