/*
 * Threads whose stacks are static, so that libc maps and keeps nothing for them: what a process has
 * mapped is the allocator's doing alone.
 */
#ifndef ACRE_TESTS_FORK_CREW_H
#define ACRE_TESTS_FORK_CREW_H

#include <pthread.h>

/* Starts a thread on the next stack. */
pthread_t crew_start(void *(*start)(void *), void *argument);

/* In a child of fork, by its only thread: the next threads get the stacks of those that do not
 * exist any more, and so the addresses of their thread-local data. Not in one of _Fork, where libc
 * goes on having those stacks in its lists. */
void crew_survived(void);

/* How many threads the process has, also such as were not started here. */
size_t crew_threads(void);

/* Waits until each thread but this one has ended, or sleeps at its place: the library's own between
 * two looks, any at a semaphore. Not for a process with threads in sleep_for_ever. */
void crew_wait_for_others(void);

#endif
