/* Children made by the system call alone: no atfork handler runs. The child's return value is 0. */
#ifndef ACRE_TESTS_API_CLONE_H
#define ACRE_TESTS_API_CLONE_H

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static inline pid_t clone_with(unsigned long flags)
{
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
}

static inline pid_t clone_child(void)
{
    return clone_with(0);
}

/* The child has the id 1, in a pid namespace of its own. A user that is not root needs a user
 * namespace for that. */
static inline pid_t clone_into_namespace(void)
{
    pid_t child = clone_with(CLONE_NEWPID);
    return child >= 0 ? child : clone_with(CLONE_NEWPID | CLONE_NEWUSER);
}

/*
 * A child as vfork makes it, on its parent's memory while the calling thread is suspended, which
 * calls run(NULL) on another stack; it begins a pid namespace, so it has the id 1.
 */
static inline pid_t clone_sharing_into_namespace(int (*run)(void *))
{
    enum { STACK = 256 << 10 }; /* bytes */
    static char stack[STACK] __attribute__((aligned(16)));
    int flags = CLONE_VM | CLONE_VFORK | CLONE_NEWPID | SIGCHLD;
    pid_t child = clone(run, stack + STACK, flags, NULL);
    return child >= 0 ? child : clone(run, stack + STACK, flags | CLONE_NEWUSER, NULL);
}

/* Handles the SIGALRM of a child that hangs. Unlike the signal's default, this ends the first
 * process of a pid namespace, too. */
static inline void clone_end_hanging(int signal_number)
{
    (void)signal_number;
    check_failed("the test hangs", __func__, __FILE__, __LINE__);
}

/* True if pid namespaces may be made here. */
static inline bool clone_may_make_namespaces(void)
{
    pid_t child = clone_into_namespace();
    if (child == 0)
        _exit(0);
    return child > 0 && wait_for(child) == 0;
}

/* True if the kernel tells of a child without handlers, by a page that it wipes: since Linux 4.14.
 * An emulator that takes advice which there is not does not do it. */
static inline bool clone_is_noticed(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool can = memory != MAP_FAILED && madvise(memory, page, 1 << 30) != 0 &&
               madvise(memory, page, MADV_WIPEONFORK) == 0;
    munmap(memory, page);
    return can;
}

#endif
