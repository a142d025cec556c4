/*
 * Which live blocks nothing leads to any more: a conservative search, by every word of the memory
 * that may be a pointer. For a process that is stopped.
 */
#ifndef ACRE_TOOLS_LEAKS_H
#define ACRE_TOOLS_LEAKS_H

#include "maps.h"

enum { LEAKS_REGISTERS = 64 }; /* of a thread, at most */

/* What a thread has in its registers. */
struct leaks_thread {
    uint64_t stack; /* the stack pointer */
    uint64_t registers[LEAKS_REGISTERS];
    size_t count;
};

/* Live blocks to which nothing leads that is reachable itself. */
struct leaks {
    uint64_t *addresses; /* in their order */
    size_t count;
    uint64_t bytes;
    uint64_t direct, direct_bytes;       /* of these, those to which no other leak leads */
    uint64_t reachable, reachable_bytes; /* live blocks that are no leaks */
};

/* Finds them. What the threads in threads[0..count-1] have is reachable. */
void leaks_find(struct memory *memory, const struct maps *maps, const struct leaks_thread *threads,
                size_t count, struct leaks *leaks);

void leaks_free(struct leaks *leaks);

#endif
