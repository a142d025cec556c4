/*
 * The scenarios: calls of the malloc family in every situation that has a path of its own in the
 * library. Each runs in a process of its own, on a thread of its own, which is stepped.
 */
#ifndef ACRE_TESTS_FORK_SCENARIOS_H
#define ACRE_TESTS_FORK_SCENARIOS_H

#include <stdbool.h>
#include <stddef.h>

struct scenario {
    const char *name;
    /* What a child checks, see child.h: */
    size_t sizes[2];       /* bytes; blocks of these are only in the arena under test; 0: none */
    size_t range;          /* bytes of the largest range that may be lost; 0: none */
    size_t range_least;    /* bytes: a range that is lost is that large at least */
    bool also_bare;        /* it is run a second time, with step_bare */
    void (*before)(void);  /* in the main thread, before the stepped one is made; or NULL */
    void (*prepare)(void); /* in the stepped thread, not stepped; or NULL */
    void (*run)(void);     /* the same, stepped from within */
    void (*forker)(void);  /* in the thread that forks, or in STEP_OWN in one that sleeps then,
                              before the stepped one is made; or NULL */
};

/* Each ends with one without a name. */
extern const struct scenario scenarios_local[];   /* a thread and its own TINY and SMALL blocks */
extern const struct scenario scenarios_remote[];  /* other threads' blocks; flush and trim */
extern const struct scenario scenarios_threads[]; /* threads that begin and end; arenas */
extern const struct scenario scenarios_large[];
extern const struct scenario scenarios_pressure[]; /* the system refuses memory */

/* To be called first of all in a process: makes a key whose destructor runs before the library's.
 */
void scenarios_make_early_key(void);

#endif
