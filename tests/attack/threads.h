/*
 * The threads that make steps: the main one, number 0, and helpers, one at a time but in a race.
 */
#ifndef ACRE_TESTS_ATTACK_THREADS_H
#define ACRE_TESTS_ATTACK_THREADS_H

#include "step.h"

/* Starts the helpers: in each process that plays, which a child of fork is, too. */
void threads_begin(void);

/* Runs the function in a thread, and returns when it has. */
void threads_call(unsigned thread, void (*function)(void *), void *argument);

/* The same, in a helper, without waiting; threads_wait waits. */
void threads_start(unsigned thread, void (*function)(void *), void *argument);
void threads_wait(unsigned thread);

/* Ends a helper and starts another one in its place. */
void threads_renew(unsigned thread);

#endif
