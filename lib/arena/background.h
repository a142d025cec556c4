/*
 * The background thread, if the option asks for it: calls idle_tick_all about twice in a
 * decay as long as memory is idle that falls due, so that it goes back to the system also when all
 * other threads sleep. It has no arena, and allocates nothing.
 *
 * It is started by the constructor. It does not exist in a child of fork, and is started again
 * there as soon as something is idle, by the thread that made it so, at the end of a slow path:
 * where no operation of acre is half done, since pthread_create may allocate. While nothing is idle
 * it sleeps until a thread rings.
 *
 * It keeps no process alive: exit does not wait for it, and it ends when all that is left besides
 * it is a main thread that has called pthread_exit.
 *
 * Lock: LOCK_RANK_BACKGROUND, held while the thread works, so that background_stop can wait for it.
 */
#ifndef ACRE_LIB_BACKGROUND_H
#define ACRE_LIB_BACKGROUND_H

#include "arena/arena.h"
#include "base/base.h"
#include "large/large.h"
#include "base/option.h"

/* Starts the thread if the option asks for it and this process has not started it. Needs to hold
 * no lock. */
void background_start(void);

/* Ends it for good, having waited until it does nothing any more. */
void background_stop(void);

/* To be called by a thread that ends, when it has no arena and holds no lock. */
void background_thread_ends(void);

/* Says that something may have become idle; starts the thread if need be. Preserves errno. */
COLD void background_ring_now(void);

static ALWAYS_INLINE void background_ring(void)
{
    if (UNLIKELY(option_value(OPTION_BACKGROUND_THREAD) != 0))
        background_ring_now();
}

/* The same if free units of an arena or LARGE extents are waiting for their time. */
static ALWAYS_INLINE void background_ring_if_idle(const struct arena *arena)
{
    if (UNLIKELY(option_value(OPTION_BACKGROUND_THREAD) != 0) &&
        (heap_set_is_aging(&arena->heaps) || large_is_aging()))
        background_ring_now();
}

#endif
