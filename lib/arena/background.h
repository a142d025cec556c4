/*
 * The background thread, if the option asks for it: ticks (idle.h) about twice in a decay as long
 * as memory is idle, so that it goes back to the system also when all other threads sleep. While
 * nothing is idle it sleeps until a thread rings. It has no arena and allocates nothing.
 *
 * The constructor starts it. In a child of fork it does not exist. There it is started by the
 * first thread that makes memory idle, at the end of a slow path: no operation of acre may be half
 * done, since pthread_create may allocate.
 *
 * It keeps no process alive: exit does not wait for it, and it ends when no other thread is left
 * but a main thread that has called pthread_exit.
 */
#ifndef ACRE_LIB_BACKGROUND_H
#define ACRE_LIB_BACKGROUND_H

#include "arena/arena.h"
#include "base/base.h"
#include "base/option.h"
#include "large/large_list.h"

/* Starts the thread if the option asks for it and this process has not started it. The caller
 * holds no lock. */
void background_start(void);

/* To be called by a thread that ends, when it has no arena and holds no lock. */
void background_thread_ends(void);

/* Says that something may have become idle; starts the thread if need be. Preserves errno. */
COLD void background_ring_now(void);

/* Has the thread look soon, if there is one. Async-signal-safe. */
void background_wake(void);

/* The same if there is to be such a thread, and free units of the arena or LARGE extents are
 * waiting for their time. */
static ALWAYS_INLINE void background_ring_if_idle(const struct arena *arena)
{
    if (UNLIKELY(option_value(OPTION_BACKGROUND_THREAD) != 0) &&
        (heap_set_is_aging(&arena->heaps) || large_list_is_aging()))
        background_ring_now();
}

#endif
