/*
 * Checks in children: what a function returns in one is its exit status. A child that hangs, on a
 * lost lock most likely, is ended.
 */
#ifndef ACRE_TESTS_UNIT_CHILD_H
#define ACRE_TESTS_UNIT_CHILD_H

#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CHILD_SECONDS = 20, /* after which a child is ended */
    NOT_EXITED = 99,    /* the result of a child that a signal has ended */
};

/* To be given what fork returned: limits the child's time. */
static inline pid_t child_limited(pid_t child)
{
    if (child == 0)
        alarm(CHILD_SECONDS);
    return child;
}

static inline pid_t fork_limited(void)
{
    return child_limited(fork());
}

/* What the child exits with. */
static inline int result_of(pid_t child)
{
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return NOT_EXITED;
    return WEXITSTATUS(status);
}

/* What `check` returns in a child. */
static inline int result_in_child(int (*check)(void))
{
    pid_t child = fork_limited();
    if (child == 0)
        _exit(check());
    return result_of(child);
}

/* Forks in the middle of something, as a signal handler may. */
static bool in_forked_child;     /* in a child of fork_midway */
static unsigned failed_children; /* of fork_midway, in this process: they did not exit with 0 */

/* True in the child, which goes on; so does the parent, when the child has ended. */
static inline bool fork_midway(void)
{
    pid_t child = fork_limited();
    if (child == 0)
        in_forked_child = true;
    else
        failed_children += result_of(child) != 0;
    return child == 0;
}

#endif
