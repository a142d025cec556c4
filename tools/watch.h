/* A view of a process like that of top: totals, rates, size classes and arenas, again and again. */
#ifndef ACRE_TOOLS_WATCH_H
#define ACRE_TOOLS_WATCH_H

#include "memory.h"

#include <err.h>
#include <stdlib.h>

/* Shows the process each `milliseconds` on the terminal, until q is typed or the process ends; that
 * is said. Exits with status 1 if there is no terminal, or no ncurses. */
#ifdef ACRE_WATCH
void watch(struct memory *memory, unsigned milliseconds);
#else
static inline void watch(struct memory *memory, unsigned milliseconds)
{
    (void)memory;
    (void)milliseconds;
    errx(EXIT_FAILURE, "--watch is left out of this program: it was built without ncurses");
}
#endif

#endif
