/*
 * Idle memory: when it goes back to the system, and which thread gives it back. The structures that
 * hold it say that some is idle and give back what is older than a time; the rules stand here.
 *
 *   idle memory                at most                  for      given back by
 *   -------------------------  -----------------------  -------  ---------------------------------
 *   free units of an arena     see heap_set.h           a decay  tick; over the bound a free
 *   pages of FREE blocks       what slabs grow by                the owner, before it makes a slab
 *   REMOTE blocks              what is freed meanwhile  a decay  the owner; if it sleeps, tick
 *   REMOTE blocks in the pool  1/16 of what is in use            a free
 *   all in pooled arenas       1/2 of all in slabs      a decay  tick; over the bound a free
 *   free LARGE extents         see large_list.h         a decay  tick; over the bound a free
 *   idle address space                                           a request that the system refuses
 *   all of it                  what the limit leaves             a request near it (limit.h)
 *
 * malloc_trim gives back all of it at once, as does a request from outside (acre/inspect.h). The
 * tick is idle_tick: slow paths call it, and the background thread. One thread at a time goes over
 * the arenas. An arena that holds something idle is looked at once in OPTION_DECAY; so memory goes
 * back when it has been idle for one to two decays.
 *
 * What a thread keeps that sleeps for ever: its magazines, its current slabs, and its FREE blocks
 * in slabs that also have LIVE ones.
 *
 * Lock: none. To give back what is inside slabs of a pooled arena a thread borrows it.
 */
#ifndef ACRE_LIB_IDLE_H
#define ACRE_LIB_IDLE_H

#include "base/base.h"

struct arena;

extern uint64_t idle_requests; /* [any] bits ACRE_REQUEST_... and of options; a tick serves them */
/* [constant] What each tick calls first, with its `now`; NULL: nothing. */
extern void (*idle_report)(uint64_t now);

/*
 * Gives back what has been idle for OPTION_DECAY in any thread's arena, in the pool and in the
 * LARGE stock. `now` is os_now_ms(). Looks at a few arenas at most, and leaves the others to
 * calls that follow soon. False if nothing is left that a later call would give back; true also if
 * it is not yet time, which is cheap to find. The caller holds no lock.
 */
bool idle_tick(uint64_t now);

/* The same for a thread that no other waits for: looks at all arenas. */
bool idle_tick_all(uint64_t now);

/* True if idle_before_growth would look: `bytes` more and slabs have grown by much since they were
 * least after its last look, and they take memory that has no pages: other memory is no growth. By
 * the owner. */
bool idle_grows(struct arena *arena, size_t bytes);

/*
 * To be called by the owner before a slab of `bytes` bytes is made, or one grows by that many.
 * Where slabs have grown much and take memory that has no pages, the pages of FREE blocks go back
 * first, so that what one class has left idle pays for what another one needs. Also decides whether
 * wide blocks are made.
 */
void idle_before_growth(struct arena *arena, size_t bytes);

/* Counts bytes freed to an arena that may be in the pool; over the bound it collects there. */
void idle_count_freed(struct arena *arena, size_t bytes);

/* Bytes that acre holds (limit.h). */
size_t idle_count_held(void);

/* Gives back all that is idle, for malloc_trim: the calling thread's arena is flushed, too. Returns
 * bytes. */
size_t idle_trim(void);

/*
 * The system, or the limit (limit.h), has refused a request of about `size` bytes, at most
 * PTRDIFF_MAX, of a thread that has `arena` (NULL: none). Gives idle address space back, and what
 * is committed with it, if that could help; true if so. Contents alone stay: no limit for which the
 * system refuses a mapping counts them; near the limit they go back, too.
 */
bool idle_make_room(struct arena *arena, size_t size);

#endif
