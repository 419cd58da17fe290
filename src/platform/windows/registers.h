/* SPDX-License-Identifier: MIT */
/**
 * @file registers.h
 * Which registers a fault record holds, in which order, and by which name people know them. The
 * worker's fault filter fills bhw_fault.registers by this list; bhp_register_name() names them by
 * it. So neither can drift from the other.
 *
 * X(name, field): `field` is where CONTEXT keeps it. The lists may grow at the end, up to
 * BHW_REGISTERS_MAX; an order that changes needs a new BHW_VERSION. All lists are there always: a
 * worker may be of another bitness than its dispatcher.
 */
#ifndef BHW_REGISTERS_H
#define BHW_REGISTERS_H

#include <windows.h>

#define BHW_REGISTERS_OF_X64(X)                                                                    \
    X("rax", Rax)                                                                                  \
    X("rbx", Rbx)                                                                                  \
    X("rcx", Rcx)                                                                                  \
    X("rdx", Rdx)                                                                                  \
    X("rsi", Rsi)                                                                                  \
    X("rdi", Rdi)                                                                                  \
    X("rbp", Rbp)                                                                                  \
    X("rsp", Rsp)                                                                                  \
    X("rip", Rip)                                                                                  \
    X("eflags", EFlags)                                                                            \
    X("r8", R8)                                                                                    \
    X("r9", R9)                                                                                    \
    X("r10", R10)                                                                                  \
    X("r11", R11)                                                                                  \
    X("r12", R12)                                                                                  \
    X("r13", R13)                                                                                  \
    X("r14", R14)                                                                                  \
    X("r15", R15)

#define BHW_REGISTERS_OF_X86(X)                                                                    \
    X("eax", Eax)                                                                                  \
    X("ebx", Ebx)                                                                                  \
    X("ecx", Ecx)                                                                                  \
    X("edx", Edx)                                                                                  \
    X("esi", Esi)                                                                                  \
    X("edi", Edi)                                                                                  \
    X("ebp", Ebp)                                                                                  \
    X("esp", Esp)                                                                                  \
    X("eip", Eip)                                                                                  \
    X("eflags", EFlags)

#define BHW_REGISTERS_OF_ARM64(X)                                                                  \
    X("x0", X[0])                                                                                  \
    X("x1", X[1])                                                                                  \
    X("x2", X[2])                                                                                  \
    X("x3", X[3])                                                                                  \
    X("x4", X[4])                                                                                  \
    X("x5", X[5])                                                                                  \
    X("x6", X[6])                                                                                  \
    X("x7", X[7])                                                                                  \
    X("x8", X[8])                                                                                  \
    X("x19", X[19])                                                                                \
    X("x20", X[20])                                                                                \
    X("fp", Fp)                                                                                    \
    X("lr", Lr)                                                                                    \
    X("sp", Sp)                                                                                    \
    X("pc", Pc)                                                                                    \
    X("cpsr", Cpsr)

#if defined(_M_X64) || defined(__x86_64__)
#define BHW_MACHINE IMAGE_FILE_MACHINE_AMD64
#define BHW_REGISTER_LIST BHW_REGISTERS_OF_X64
#define BHW_REGISTER_PC Rip
#define BHW_REGISTER_SP Rsp
#elif defined(_M_IX86) || defined(__i386__)
#define BHW_MACHINE IMAGE_FILE_MACHINE_I386
#define BHW_REGISTER_LIST BHW_REGISTERS_OF_X86
#define BHW_REGISTER_PC Eip
#define BHW_REGISTER_SP Esp
#elif defined(_M_ARM64) || defined(__aarch64__)
#define BHW_MACHINE IMAGE_FILE_MACHINE_ARM64
#define BHW_REGISTER_LIST BHW_REGISTERS_OF_ARM64
#define BHW_REGISTER_PC Pc
#define BHW_REGISTER_SP Sp
#else
#error "no list of registers for this processor"
#endif

#endif
