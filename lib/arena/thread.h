/*
 * Threads: which arena the calling one allocates from, and what happens when it ends.
 *
 * A thread gets an arena at its first allocation and the destructor of a pthread key takes it away
 * again. What the thread allocates after that (in destructors of other keys, of C++ thread_local
 * objects, in glibc's own clean-up) is served by an arena borrowed for the one call, so that no
 * arena is lost.
 */
#ifndef ACRE_LIB_THREAD_H
#define ACRE_LIB_THREAD_H

#include "arena/arena.h"
#include "base/base.h"

/*
 * The calling thread's arena, given to it now if it has none; NULL if there is no memory. *borrowed
 * tells that the thread is ending: the caller gives the arena back by arena_retire when it has
 * allocated.
 */
struct arena *thread_get_arena(bool *borrowed);

/*
 * Lets threads end without giving their arenas back, from a constructor: where pthread keys must
 * not be used.
 */
void thread_avoid_keys(void);

/* The calling thread's arena, or NULL if it has none. */
static inline struct arena *thread_own_arena(void)
{
    return thread_state.arena == &arena_none ? NULL : thread_state.arena;
}

#endif
