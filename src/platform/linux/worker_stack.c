/* SPDX-License-Identifier: MIT */
/*
 * Stacks: where a thread's own ends, and another one for its signal handlers.
 *
 * Model: each thread that entered has a record in thread-local memory. A fault is a stack overflow
 * when its address lies in the guard below the stack, or when the stack pointer has already left
 * the stack and the address lies between the two: a frame larger than the guard jumped over it.
 *
 * Invariants: the handler only reads the record, and reads it without allocating, hence the
 * initial-exec model (a lazily allocated thread-local block in a handler would be fatal). A thread
 * that has an alternate stack already keeps it: a sanitizer or a language runtime wants its own
 * back.
 */
#include "worker_end.h"

#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

/* What the kernel keeps free below the main thread's stack (its stack_guard_gap, 256 pages). */
#define MAIN_GUARD ((size_t)1 << 20)
/* How far below the stack pointer code writes before it moves it. */
#define RED_ZONE ((size_t)64 << 10)
/* A stack pointer further off than this is on a stack that we know nothing about. */
#define FAR ((size_t)64 << 20)
/* What a handler may need, besides what the kernel puts there. */
#define HANDLER_BYTES ((size_t)64 << 10)

struct stack {
    uintptr_t low; /* the lowest usable byte; 0: not known */
    uintptr_t high;
    size_t guard;
    void *alternate; /* ours, guard page included; NULL: none */
    size_t alternate_bytes;
    bool entered;
};

static _Thread_local struct stack own __attribute__((tls_model("initial-exec")));

/** See worker_end.h. */
uintptr_t bhl_worker_stack_owner(void)
{
    return (uintptr_t)&own;
}

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void learn_bounds(struct stack *stack)
{
    pthread_attr_t attributes;
    void *low;
    size_t size;

    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return; /* no /proc: an overflow will be told as a plain fault */
    if (pthread_attr_getstack(&attributes, &low, &size) == 0 &&
        pthread_attr_getguardsize(&attributes, &stack->guard) == 0) {
        stack->low = (uintptr_t)low;
        stack->high = stack->low + size;
        if (gettid() == getpid())
            stack->guard = MAIN_GUARD;
    }
    pthread_attr_destroy(&attributes);
}

/* Whether the thread has an alternate stack on which our handler can run. */
static bool has_alternate(void)
{
    stack_t old;

    return sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE) == 0 &&
           old.ss_size >= getauxval(AT_MINSIGSTKSZ) + HANDLER_BYTES / 4;
}

static int make_alternate(struct stack *stack)
{
    size_t page = page_size();
    size_t usable = (getauxval(AT_MINSIGSTKSZ) + HANDLER_BYTES + page - 1) / page * page;
    unsigned char *base = mmap(NULL, page + usable, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    stack_t alternate = {.ss_sp = base + page, .ss_size = usable};

    if (base == MAP_FAILED)
        return BH_E_MEMORY;
    if (mprotect(base, page, PROT_NONE) != 0 || sigaltstack(&alternate, NULL) != 0) {
        munmap(base, page + usable);
        return BH_E_SYSTEM;
    }
    stack->alternate = base;
    stack->alternate_bytes = page + usable;
    return BH_OK;
}

int bhl_worker_stack_enter(void)
{
    int error;

    if (own.entered)
        return BH_OK;
    error = has_alternate() ? BH_OK : make_alternate(&own);
    if (error != BH_OK)
        return error;
    learn_bounds(&own);
    own.entered = true;
    return BH_OK;
}

void bhl_worker_stack_leave(void)
{
    struct stack stack = own;
    stack_t current;

    own = (struct stack){0};
    if (stack.alternate == NULL)
        return;
    /* Whoever put another in its place keeps it. */
    if (sigaltstack(NULL, &current) == 0 &&
        current.ss_sp == (unsigned char *)stack.alternate + page_size())
        sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    munmap(stack.alternate, stack.alternate_bytes);
}

bool bhl_worker_stack_overflowed(uintptr_t address, uintptr_t stack_pointer)
{
    uintptr_t low = own.low;

    if (low == 0 || address >= low + own.guard || stack_pointer >= own.high)
        return false;
    if (address >= low - own.guard && address < low)
        return true;
    return stack_pointer < low && low - stack_pointer <= FAR && address < low &&
           address >= stack_pointer - RED_ZONE;
}
