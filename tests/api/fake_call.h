/* Makes the system one that lacks a system call, or in which one succeeds and does nothing. */
#ifndef ACRE_TESTS_API_FAKE_CALL_H
#define ACRE_TESTS_API_FAKE_CALL_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* From now on the system call does nothing and returns that error, 0 for success, if its third
 * argument passes the test: `jump` and `third` are those of a filter's jump instruction. False if
 * the system has no filters. */
static inline bool fake_call(long number, unsigned short jump, unsigned third, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])), /* low half */
        BPF_JUMP((unsigned short)(BPF_JMP | BPF_K | jump), third, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* MADV_DONTNEED succeeds and leaves the contents, as in older emulators, which ignore advice. */
static inline bool fake_advice(void)
{
    return fake_call(SYS_madvise, BPF_JEQ, MADV_DONTNEED, 0);
}

/* mincore succeeds and reports nothing, as if no page had memory. */
static inline bool fake_empty_pages(void)
{
    return fake_call(SYS_mincore, BPF_JGE, 0, 0);
}

/* All advice succeeds and does nothing. */
static inline bool fake_all_advice(void)
{
    return fake_call(SYS_madvise, BPF_JGE, 0, 0);
}

/* All advice but the oldest succeeds and does nothing, as in qemu-user 7. */
static inline bool fake_later_advice(void)
{
    return fake_call(SYS_madvise, BPF_JGT, MADV_DONTNEED, 0);
}

/* mincore fails. */
static inline bool fake_no_mincore(void)
{
    return fake_call(SYS_mincore, BPF_JGE, 0, ENOSYS);
}

#endif
