/* Children made by the system call alone: no atfork handler runs. The child's return value is 0. */
#ifndef ACRE_TESTS_API_CLONE_H
#define ACRE_TESTS_API_CLONE_H

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline pid_t clone_with(unsigned long flags)
{
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
}

static inline pid_t clone_child(void)
{
    return clone_with(0);
}

/* The child has the id 1, in a pid namespace of its own. */
static inline pid_t clone_into_namespace(void)
{
    pid_t child = clone_with(CLONE_NEWPID);
    /* who is not root may do so in a user namespace of its own */
    return child >= 0 ? child : clone_with(CLONE_NEWPID | CLONE_NEWUSER);
}

#endif
