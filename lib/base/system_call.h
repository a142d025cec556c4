/*
 * A system call without the C library; os.h says why.
 *
 * It is the instruction itself, but for a sanitizer, which has to see mappings by its own versions
 * of libc's functions: there libc makes the call. Owns no state.
 */
#ifndef ACRE_LIB_SYSTEM_CALL_H
#define ACRE_LIB_SYSTEM_CALL_H

#include "base/base.h"

#include <sys/syscall.h>

#if defined(__SANITIZE_ADDRESS__) || defined(ACRE_TSAN)
#define SYSTEM_CALL_BY_LIBC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SYSTEM_CALL_BY_LIBC 1
#endif
#endif

#if defined(__x86_64__) && !defined(SYSTEM_CALL_BY_LIBC)

/* Result as of system_call. The registers are those of the System V ABI for x86-64, A.2.1. */
static inline long system_call_6(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__aarch64__) && !defined(SYSTEM_CALL_BY_LIBC)

/* The same; the registers are those of syscall(2). */
static inline long system_call_6(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

#elif defined(__riscv) && !defined(SYSTEM_CALL_BY_LIBC)

/* The same; the registers are those of syscall(2). */
static inline long system_call_6(long number, long a, long b, long c, long d, long e, long f)
{
    register long a7 __asm__("a7") = number;
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a4 __asm__("a4") = e;
    register long a5 __asm__("a5") = f;
    __asm__ volatile("ecall"
                     : "+r"(a0)
                     : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5)
                     : "memory");
    return a0;
}

#else

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* The same by libc. */
static inline long system_call_6(long number, long a, long b, long c, long d, long e, long f)
{
    int saved = errno;
    long result;
    switch (number) {
    case SYS_mmap:
        result = (long)mmap((void *)a, (size_t)b, (int)c, (int)d, (int)e, f);
        break;
    case SYS_munmap:
        result = munmap((void *)a, (size_t)b);
        break;
    case SYS_mremap:
        result = (long)mremap((void *)a, (size_t)b, (size_t)c, (int)d, (void *)e);
        break;
    default:
        result = syscall(number, a, b, c, d, e, f);
    }
    if (result == -1)
        result = -errno;
    errno = saved;
    return result;
}

#endif

/*
 * Makes the system call `number`, SYS_..., with up to six arguments, integers or pointers. The
 * result, or a negative errno code. Leaves errno alone.
 */
#define system_call(...) SYSTEM_CALL_PAD(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define SYSTEM_CALL_PAD(number, a, b, c, d, e, f, ...)                                             \
    system_call_6(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#endif
