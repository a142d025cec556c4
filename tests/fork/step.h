/*
 * Single-stepping a thread by the processor's trap flag, and a fork at its instructions.
 *
 * Between step_begin and step_end the thread is interrupted by SIGTRAP after each instruction. At
 * those outside the test program itself, which are the library's and libc's on its behalf, a
 * process is forked: by the handler (STEP_OWN), or, while the thread stays in the handler, by
 * another thread (STEP_OTHER). The parent waits for the child's verdict before the thread goes on.
 *
 * At the first visit of each address in a scenario there always is a fork, until there were
 * STEP_ALWAYS at that instruction of the library or of libc in all scenarios; but not with
 * step_bare. Of the other visits (loops, and code that other scenarios have run) the first
 * STEP_REPEATS of a scenario are taken, and then as many as a seeded random number says: of n such
 * visits about B + B ln(n / B), B being STEP_REPEATS. With step_all there is a fork at every
 * instruction; with step_few first visits are like all others.
 */
#ifndef ACRE_TESTS_FORK_STEP_H
#define ACRE_TESTS_FORK_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STEP_ALWAYS = 1, STEP_REPEATS = 8 };

enum step_mode {
    STEP_OWN,   /* the handler forks; in the child the interrupted call goes on */
    STEP_OTHER, /* another thread forks; in the child the stepped one does not exist */
};

/* Constant once a scenario runs. */
extern const enum step_mode step_mode; /* of the program */
extern bool step_all, step_few;
extern bool step_bare; /* forks by _Fork, which runs no handlers */
extern uint64_t step_seed;
extern const char *step_scenario; /* its name, for messages */

/* True if the processor can do it, and the system lets it. */
bool step_is_possible(void);

/* To be called once in each process, before the first step. */
void step_install(void);

/* To be called in the thread that is to be stepped: gives its handler a stack. */
void step_prepare_thread(void);

void step_begin(void);

/* In a child of STEP_OWN the thread comes here, too: see step_in_child. */
void step_end(void);

/* True in a child that a handler forked: its thread has completed the call meanwhile. */
bool step_in_child(void);

/*
 * STEP_OTHER: forks wherever the stepped thread stops, until step_finish. Each child calls
 * `run_child`, which does not return.
 */
void step_fork_for_other(void (*run_child)(void));

/* To be called in the process of a scenario: ends it should it hang. */
void step_limit_time(void);

/* Goes on in a child of fork. The parent ends as the child does. By the main thread. */
void step_go_on_in_child(void);

/*
 * Goes on in a process that has lost a thread in the middle of a call: starts the thread, which
 * steps through one call, and forks at an instruction that the seed chooses. By the main thread,
 * before anything else is stepped.
 */
void step_lose_thread(void *(*start)(void *));

/* STEP_OTHER: nothing is stepped any more. */
void step_finish(void);

/* How many children of this process have failed. */
unsigned step_failures(void);

/* The number of this fork in its process, from 1: in a child, of the fork that it came from. */
size_t step_fork_number(void);

#endif
