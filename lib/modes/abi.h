/*
 * What a walk over a stack knows of the machine, from its ABI: the numbers of registers in tables,
 * where a frame pointer leads, what a call looks like, and the frame that a signal makes. Owns no
 * state.
 *
 * Sources: System V ABI for x86-64; ABI for the Arm 64-bit architecture (AAPCS64, DWARF); RISC-V
 * ABIs; the kernel's sigreturn code and struct rt_sigframe of each.
 */
#ifndef ACRE_LIB_ABI_H
#define ACRE_LIB_ABI_H

#include "base/base.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>

enum {
    ABI_CALL_CODE = 8, /* bytes of code in front of a return address that tell whether it is one */
};

/*
 * ABI_FP, ABI_SP, ABI_LINK: DWARF numbers of the frame pointer, the stack pointer and what has the
 * return address. ABI_ABOVE_RECORD: bytes by which a frame pointer lies above the two words that it
 * leads to, the caller's frame pointer and the return address.
 */
#if defined(__x86_64__)

enum { ABI_FP = 6, ABI_SP = 7, ABI_LINK = 16, ABI_ABOVE_RECORD = 0 };

/* mov $SYS_rt_sigreturn, %rax; syscall */
static const unsigned char abi_signal_return[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
#define ABI_CONTEXT 0
#define ABI_CONTEXT_PC offsetof(ucontext_t, uc_mcontext.gregs[REG_RIP])
#define ABI_CONTEXT_SP offsetof(ucontext_t, uc_mcontext.gregs[REG_RSP])
#define ABI_CONTEXT_FP offsetof(ucontext_t, uc_mcontext.gregs[REG_RBP])
#define ABI_CONTEXT_LINK ABI_CONTEXT_PC /* there is no such register */

#elif defined(__aarch64__)

enum { ABI_FP = 29, ABI_SP = 31, ABI_LINK = 30, ABI_ABOVE_RECORD = 0 };

/* mov x8, #SYS_rt_sigreturn; svc #0 */
static const unsigned char abi_signal_return[] = {0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4};
#define ABI_CONTEXT sizeof(siginfo_t)
#define ABI_CONTEXT_PC offsetof(ucontext_t, uc_mcontext.pc)
#define ABI_CONTEXT_SP offsetof(ucontext_t, uc_mcontext.sp)
#define ABI_CONTEXT_FP offsetof(ucontext_t, uc_mcontext.regs[29])
#define ABI_CONTEXT_LINK offsetof(ucontext_t, uc_mcontext.regs[30])

#elif defined(__riscv)

enum { ABI_FP = 8, ABI_SP = 2, ABI_LINK = 1, ABI_ABOVE_RECORD = 16 };

/* li a7, SYS_rt_sigreturn; ecall */
static const unsigned char abi_signal_return[] = {0x93, 0x08, 0xb0, 0x08, 0x73, 0x00, 0x00, 0x00};
#define ABI_CONTEXT sizeof(siginfo_t)
#define ABI_CONTEXT_PC offsetof(ucontext_t, uc_mcontext.__gregs[REG_PC])
#define ABI_CONTEXT_SP offsetof(ucontext_t, uc_mcontext.__gregs[REG_SP])
#define ABI_CONTEXT_FP offsetof(ucontext_t, uc_mcontext.__gregs[REG_S0])
#define ABI_CONTEXT_LINK offsetof(ucontext_t, uc_mcontext.__gregs[REG_RA])

#else
#error "acre knows no stacks of this machine"
#endif

/* A return address without the signature that arm64 may put into its upper bits. */
static inline uintptr_t abi_plain_address(uintptr_t address)
{
#ifdef __aarch64__
    register uintptr_t x30 __asm__("x30") = address;
    __asm__("hint #7" : "+r"(x30)); /* xpaclri */
    return x30;
#else
    return address;
#endif
}

/* True if the last one of the instructions in `code` is a call. */
static inline bool abi_ends_with_call(const unsigned char code[ABI_CALL_CODE])
{
#if defined(__x86_64__)
    if (code[3] == 0xe8) /* call, relative */
        return true;
    for (size_t i = 1; i <= 6; i++) /* call through a register or memory: 2 to 7 bytes */
        if (code[i] == 0xff && (code[i + 1] & 0x38) == 0x10)
            return true;
    return false;
#else
    uint32_t word;
    memcpy(&word, code + 4, sizeof word);
#ifdef __aarch64__
    return (word & 0xfc000000) == 0x94000000 || /* bl */
           (word & 0xfefff800) == 0xd63f0800 ||
           (word & 0xfffffc1f) == 0xd63f0000; /* bl(r)aa, blr */
#else
    return (word & 0xfff) == 0xef || (word & 0x7fff) == 0xe7 ||            /* jal ra, jalr ra */
           ((word >> 16 & 0xf07f) == 0x9002 && (word >> 16 & 0xf80) != 0); /* c.jalr */
#endif
#endif
}

#endif
