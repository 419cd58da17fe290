/* SPDX-License-Identifier: MIT */
/*
 * The fault record: what a dying worker says about its death.
 *
 * Model: a handler for every signal that ends a process and is not meant to be used. It copies what
 * the kernel says into the reply half, which outlives the process, makes the signal's disposition
 * the default again, sends the signal to its own thread with the kernel's own siginfo, and returns.
 * The signal is pending and unblocked when the handler's frame is left, so it is delivered with the
 * registers of the fault in place: the wait status and a core file look as if no handler had been
 * there. (To return and run the faulting instruction again would do for most faults, but after int3
 * or a refused system call the program would go on; and should it fail to be sent, that is what
 * happens.)
 *
 * Invariants: everything here is async-signal-safe: system calls and stores, no locks, no libc
 * state, no allocation. Only the worker itself writes the record, never a forked (or vforked) child
 * of it. The first thread to fault writes it; others wait, because their signal would end the
 * process before the record is complete and under the wrong name. A library's own handlers stay in
 * place unless the pool says "rearm".
 */
#include "registers.h"
#include "worker_end.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* Signals that say that something went wrong in the process. These can be taken over. */
static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
/* Signals that somebody sends: caught only to know who. */
static const int sent[] = {SIGTERM, SIGQUIT, SIGXCPU, SIGXFSZ, SIGHUP, SIGINT};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* How long a second faulting thread waits for the end that the first one brings. */
#define OTHERS_WAIT_MS 1000

/* The thread that writes the record; 0: none yet. Pairs with itself: all threads of this process.
 */
static _Atomic pid_t recorder;

/* Whether the siginfo's si_pid means anything. */
static bool has_sender(const siginfo_t *info)
{
    return info->si_code == SI_USER || info->si_code == SI_TKILL || info->si_code == SI_QUEUE;
}

static bool is_synchronous(int signal, const siginfo_t *info)
{
    return info->si_code > 0 && (signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE ||
                                 signal == SIGILL || signal == SIGTRAP);
}

static void record_registers(struct bhl_fault *fault, const mcontext_t *machine)
{
    uint32_t count = 0;

#define TAKE(name, field) fault->registers[count++] = (uint64_t)machine->field;
    BHL_REGISTER_LIST(TAKE)
#undef TAKE
    fault->register_count = count;
#ifdef BHL_REGISTER_PC
    fault->instruction = (uint64_t)machine->BHL_REGISTER_PC;
    fault->stack_pointer = (uint64_t)machine->BHL_REGISTER_SP;
#else
    (void)machine;
#endif
}

static void record(struct bhl_fault *fault, int signal, const siginfo_t *info,
                   const ucontext_t *context)
{
    fault->signal = signal;
    fault->signal_code = info->si_code;
    fault->thread_id = (uint64_t)gettid();
    fault->syscall = -1;
    record_registers(fault, &context->uc_mcontext);
    if (has_sender(info)) {
        fault->sender_pid = info->si_pid;
        fault->sender_uid = info->si_uid;
        fault->self = info->si_pid == getpid();
    } else if (signal == SIGSYS && info->si_code > 0) {
        fault->syscall = info->si_syscall;
        fault->address = (uint64_t)(uintptr_t)info->si_call_addr;
    } else if (is_synchronous(signal, info)) {
        fault->address = (uint64_t)(uintptr_t)info->si_addr;
    }
    fault->stack_overflow =
        is_synchronous(signal, info) && (signal == SIGSEGV || signal == SIGBUS) &&
        bhl_worker_stack_overflowed((uintptr_t)info->si_addr, (uintptr_t)fault->stack_pointer);
    /* Pairs with the dispatcher's load in bhp_worker_box(). */
    atomic_store_explicit(&fault->state, BHL_FAULT_COMPLETE, memory_order_release);
}

/* Whether this thread is the one that records. Another one comes back late, or not at all. */
static bool first_to_fault(void)
{
    pid_t nobody = 0;
    pid_t self = gettid();

    if (atomic_compare_exchange_strong(&recorder, &nobody, self))
        return true;
    for (int waited = 0; nobody != self && waited < OTHERS_WAIT_MS; waited += 10)
        poll(NULL, 0, 10);
    return false;
}

static void go_the_default_way(int signal, siginfo_t *info, ucontext_t *context)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    sigaction(signal, &action, NULL);
    sigdelset(&context->uc_sigmask, signal); /* it may have come during a sigsuspend() */
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signal, info) != 0)
        syscall(SYS_tgkill, getpid(), gettid(), signal);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    int saved = errno;

    if (getpid() == bhl_worker_end.pid && first_to_fault())
        record(&bhl_worker_end.reply->fault, signal, info, context);
    go_the_default_way(signal, info, context);
    errno = saved;
}

/* The signal's present handler as a number: that of SIG_DFL, SIG_IGN, on_signal or somebody's. */
static uintptr_t present(int signal)
{
    struct sigaction action;

    if (sigaction(signal, NULL, &action) != 0)
        return (uintptr_t)SIG_IGN;
    return (action.sa_flags & SA_SIGINFO) != 0 ? (uintptr_t)action.sa_sigaction
                                               : (uintptr_t)action.sa_handler;
}

static void install(int signal, bool take_over)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    uintptr_t handler = present(signal);

    if (handler == (uintptr_t)SIG_IGN || (handler != (uintptr_t)SIG_DFL && !take_over))
        return;
    sigfillset(&action.sa_mask);
    sigaction(signal, &action, NULL);
}

void bhl_worker_fault_install(bool take_over)
{
    for (size_t i = 0; i < COUNT(faults); i++)
        install(faults[i], take_over);
    for (size_t i = 0; i < COUNT(sent); i++)
        install(sent[i], false);
}

void bhl_worker_fault_rearm(void)
{
    for (size_t i = 0; i < COUNT(faults); i++) {
        if (present(faults[i]) != (uintptr_t)on_signal)
            install(faults[i], true);
    }
}
