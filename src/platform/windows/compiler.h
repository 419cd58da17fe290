/* SPDX-License-Identifier: MIT */
/**
 * @file compiler.h
 * What C11 lacks and each compiler for Windows spells its own way.
 */
#ifndef BHW_COMPILER_H
#define BHW_COMPILER_H

#include <windows.h>

#if defined(_MSC_VER)
#define BHW_PRINTF(a, b)
#define BHW_NOINLINE __declspec(noinline)
#else
#define BHW_PRINTF(a, b) __attribute__((format(gnu_printf, a, b)))
#define BHW_NOINLINE __attribute__((noinline))
#endif

/**
 * BHW_TLS_CALLBACK(name, callback); has the system call `void NTAPI callback(void *module, DWORD
 * reason, void *process_ends)` as it calls a library's DllMain, in a library and in a program.
 * `name` is for the linker.
 */
#if defined(_MSC_VER)
#pragma section(".CRT$XLY", read)
#if defined(_WIN64)
#pragma comment(linker, "/INCLUDE:_tls_used")
#else
#pragma comment(linker, "/INCLUDE:__tls_used")
#endif
#define BHW_TLS_CALLBACK(name, callback)                                                           \
    __declspec(allocate(".CRT$XLY")) const PIMAGE_TLS_CALLBACK name = callback
#else
#define BHW_TLS_CALLBACK(name, callback)                                                           \
    __attribute__((section(".CRT$XLY"), used)) static const PIMAGE_TLS_CALLBACK name = callback
#endif

/**
 * BHW_DEFINE_FRAME_FILTER(name, filter) defines
 *
 *     static void name(void (*body)(void *), void *context)
 *
 * which calls body(context). An exception in there that nobody further in handles goes to
 * `LONG filter(EXCEPTION_POINTERS *)`, on the stack of the fault, before anybody further out hears
 * of it. The filter does not return, or says EXCEPTION_CONTINUE_EXECUTION or
 * EXCEPTION_CONTINUE_SEARCH. Once in a file.
 */
#if defined(_MSC_VER)

#define BHW_DEFINE_FRAME_FILTER(name, filter)                                                      \
    BHW_NOINLINE static void name(void (*body)(void *), void *context)                             \
    {                                                                                              \
        __try {                                                                                    \
            body(context);                                                                         \
        } __except (filter(GetExceptionInformation())) {                                           \
        }                                                                                          \
    }

#else

/* The answers of a language's handler, which the system calls where MSVC calls a filter. */
#define BHW_DISPOSITION(answer) ((answer) == EXCEPTION_CONTINUE_EXECUTION ? 0 : 1)
#define BHW_UNWINDING_FLAGS 0x66u

#if defined(__x86_64__)

/* __try1 of <excpt.h> lays a range of addresses inside a function down by hand, which an optimiser
 * may tear apart. Here the whole of a small function is the range: its unwind record names the
 * handler, so that entering and leaving it costs nothing. */
#define BHW_DEFINE_FRAME_FILTER(name, filter)                                                      \
    __attribute__((used)) static EXCEPTION_DISPOSITION name##_handler(                             \
        EXCEPTION_RECORD *record, void *frame, CONTEXT *context,                                   \
        void *dispatcher) __asm__(#name "_handler");                                               \
    static EXCEPTION_DISPOSITION name##_handler(EXCEPTION_RECORD *record, void *frame,             \
                                                CONTEXT *context, void *dispatcher)                \
    {                                                                                              \
        EXCEPTION_POINTERS pointers = {record, context};                                           \
                                                                                                   \
        (void)frame, (void)dispatcher;                                                             \
        if ((record->ExceptionFlags & BHW_UNWINDING_FLAGS) != 0)                                   \
            return 1;                                                                              \
        return BHW_DISPOSITION(filter(&pointers));                                                 \
    }                                                                                              \
    BHW_NOINLINE static void name(void (*body)(void *), void *context)                             \
    {                                                                                              \
        __asm__ volatile(".seh_handler " #name "_handler, @except");                               \
        body(context);                                                                             \
        /* Where the call returns to must not be the epilogue, which has no handler. */            \
        __asm__ volatile("nop" ::: "memory");                                                      \
    }

#elif defined(__i386__)

/* A record on the stack, linked into the list that fs:0 points to. */
#define BHW_DEFINE_FRAME_FILTER(name, filter)                                                      \
    struct name##_record {                                                                         \
        ULONG_PTR next;                                                                            \
        void *handler;                                                                             \
    };                                                                                             \
    static EXCEPTION_DISPOSITION __cdecl name##_handler(EXCEPTION_RECORD *record, void *frame,     \
                                                        CONTEXT *context, void *dispatcher)        \
    {                                                                                              \
        EXCEPTION_POINTERS pointers = {record, context};                                           \
                                                                                                   \
        (void)frame, (void)dispatcher;                                                             \
        if ((record->ExceptionFlags & BHW_UNWINDING_FLAGS) != 0)                                   \
            return 1;                                                                              \
        return BHW_DISPOSITION(filter(&pointers));                                                 \
    }                                                                                              \
    BHW_NOINLINE static void name(void (*body)(void *), void *context)                             \
    {                                                                                              \
        volatile struct name##_record record;                                                      \
                                                                                                   \
        record.next = __readfsdword(0);                                                            \
        record.handler = (void *)name##_handler;                                                   \
        __writefsdword(0, (ULONG)(ULONG_PTR)&record);                                              \
        body(context);                                                                             \
        __writefsdword(0, (ULONG)record.next);                                                     \
    }

#else
#error "a frame filter for this processor is missing"
#endif
#endif

#endif
