/*
 * What a child does to see whether the allocator came through the fork whole:
 *
 * - The known blocks are live, unharmed, and can be freed.
 * - Its threads adopt every arena of those that are gone, each a different one, and repair it. From
 *   the arena under test they are given every block of the scenario's sizes that is not live,
 * before a slab is made, and in scenarios of whole units every free unit, before a heap is made;
 * none twice, none that overlaps a known one, all accessible.
 * - When all that is known is freed, nothing is live but what was before the stepped call, no slab
 * or extent is left without a live block, and the process has no address space mapped but what the
 *   allocator knows of: apart from one live block and one mapped range if the stepped thread is
 * lost.
 *
 * In a debug build the allocator's own checks of all its structures run, too.
 */
#ifndef ACRE_TESTS_FORK_CHILD_H
#define ACRE_TESTS_FORK_CHILD_H

#include "scenarios.h"

/* What is known before the first fork. */
struct child_task {
    const struct scenario *scenario;
    const void *anchor; /* a block of CHILD_PROBE bytes of the arena under test; NULL: none */
    bool background;    /* the library's own thread may be there */
    bool ended;         /* the survivor is ending: each of its calls borrows an arena */
};

extern struct child_task child_task;

enum { CHILD_PROBE = 16 }; /* bytes; every arena's blocks of this size are in its first heap */

/* All of the above, by the only thread; ends the process. */
void child_run(bool stepped_thread_lost) __attribute__((noreturn));

#endif
