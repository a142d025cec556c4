/* The library as the constructor starts it, and the calling thread's arena. */
#ifndef ACRE_TESTS_UNIT_OWN_ARENA_H
#define ACRE_TESTS_UNIT_OWN_ARENA_H

#include "arena/thread.h"
#include "process/init.h"

/* For SUITE(..., .begin = begin). */
static inline void begin(void)
{
    init_start(NULL);
}

/* True if the arena is valid; a thread that has only LARGE blocks has none. */
static inline bool own_arena_is_valid(void)
{
    struct arena *own = thread_own_arena();

    return own == NULL || arena_is_valid(own);
}

#endif
