/* SPDX-License-Identifier: MIT */
/**
 * @file registers.h
 * Which registers a fault record holds, in which order, and by which name people know them. The
 * worker's fault handler fills bhl_fault.registers by this list; bhp_register_name() names them by
 * it. So neither can drift from the other.
 *
 * X(name, field): `field` is where the kernel's mcontext_t keeps it. The lists may grow at the end,
 * up to BHL_REGISTERS_MAX; an order that changes needs a new BHL_VERSION.
 *
 * Whoever expands `field` needs <ucontext.h> (and _GNU_SOURCE for the names of the gregs).
 */
#ifndef BHL_REGISTERS_H
#define BHL_REGISTERS_H

#if defined(__x86_64__)

#define BHL_REGISTER_LIST(X)                                                                       \
    X("rax", gregs[REG_RAX])                                                                       \
    X("rbx", gregs[REG_RBX])                                                                       \
    X("rcx", gregs[REG_RCX])                                                                       \
    X("rdx", gregs[REG_RDX])                                                                       \
    X("rsi", gregs[REG_RSI])                                                                       \
    X("rdi", gregs[REG_RDI])                                                                       \
    X("rbp", gregs[REG_RBP])                                                                       \
    X("rsp", gregs[REG_RSP])                                                                       \
    X("r8", gregs[REG_R8])                                                                         \
    X("r9", gregs[REG_R9])                                                                         \
    X("r10", gregs[REG_R10])                                                                       \
    X("r11", gregs[REG_R11])                                                                       \
    X("r12", gregs[REG_R12])                                                                       \
    X("r13", gregs[REG_R13])                                                                       \
    X("r14", gregs[REG_R14])                                                                       \
    X("r15", gregs[REG_R15])                                                                       \
    X("rip", gregs[REG_RIP])                                                                       \
    X("eflags", gregs[REG_EFL])
#define BHL_REGISTER_PC gregs[REG_RIP]
#define BHL_REGISTER_SP gregs[REG_RSP]

#elif defined(__aarch64__)

#define BHL_REGISTER_LIST(X)                                                                       \
    X("x0", regs[0])                                                                               \
    X("x1", regs[1])                                                                               \
    X("x2", regs[2])                                                                               \
    X("x3", regs[3])                                                                               \
    X("x4", regs[4])                                                                               \
    X("x5", regs[5])                                                                               \
    X("x6", regs[6])                                                                               \
    X("x7", regs[7])                                                                               \
    X("x8", regs[8])                                                                               \
    X("x9", regs[9])                                                                               \
    X("x10", regs[10])                                                                             \
    X("x11", regs[11])                                                                             \
    X("x12", regs[12])                                                                             \
    X("x13", regs[13])                                                                             \
    X("x14", regs[14])                                                                             \
    X("x15", regs[15])                                                                             \
    X("x16", regs[16])                                                                             \
    X("x17", regs[17])                                                                             \
    X("x18", regs[18])                                                                             \
    X("x19", regs[19])                                                                             \
    X("x20", regs[20])                                                                             \
    X("x21", regs[21])                                                                             \
    X("x22", regs[22])                                                                             \
    X("x23", regs[23])                                                                             \
    X("x24", regs[24])                                                                             \
    X("x25", regs[25])                                                                             \
    X("x26", regs[26])                                                                             \
    X("x27", regs[27])                                                                             \
    X("x28", regs[28])                                                                             \
    X("x29", regs[29])                                                                             \
    X("x30", regs[30])                                                                             \
    X("sp", sp)                                                                                    \
    X("pc", pc)                                                                                    \
    X("pstate", pstate)
#define BHL_REGISTER_PC pc
#define BHL_REGISTER_SP sp

#else /* no list for this processor: a fault record has no registers */

#define BHL_REGISTER_LIST(X)

#endif

#endif
