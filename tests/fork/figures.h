/*
 * What is counted over all scenarios. It lies in memory that the driver shares with the processes
 * of the scenarios and with all their children; one of them at a time writes.
 */
#ifndef ACRE_TESTS_FORK_FIGURES_H
#define ACRE_TESTS_FORK_FIGURES_H

#include <stddef.h>
#include <stdint.h>

enum {
    FIGURES_TEXT = 1 << 20, /* bytes of the library's code that `forks_at` has room for */
    FIGURES_LIBC = 1 << 22, /* likewise of libc's */
};

struct figures {
    size_t scenarios;
    size_t steps;         /* instructions stepped, of the library and of what it calls */
    size_t library_steps; /* of those, of the library itself */
    size_t forks;
    size_t grandchildren;   /* forks by children */
    size_t lost_blocks;     /* in all children */
    size_t lost_at_most;    /* in one child */
    size_t lost_ranges;     /* bytes of address space that no child knows of any more, in all */
    size_t range_at_most;   /* in one child */
    size_t children_losing; /* children that lost a block or a range */
    size_t measured;        /* steps of the thread that step_lose_thread last measured */
    /* At the offset of each instruction of the library, and of libc: forks there that run handlers,
     * 255 if there were more. */
    uint8_t forks_at[FIGURES_TEXT];
    uint8_t forks_at_libc[FIGURES_LIBC];
};

extern struct figures *figures;

#endif
