/*
 * Frees by a thread that does not own the block's arena.
 *
 * The freeing thread turns the state LIVE to REMOTE by one compare-and-swap, then makes sure that
 * three pending bits are set: the slab's in its heap's header, the heap's and the class's in its
 * set. The owner clears them in the reverse order before it looks for REMOTE states; where it wants
 * those of one class only, it leaves the heaps' bits. No queue: bits survive the reuse of a slab
 * and a fork, and one that is late or too many is harmless.
 *
 * Why none is lost: freeing thread: S (state), then L (loads a bit), then sets the bit if it was
 * clear. Owner: X (clears it), full fence, then scans. S, L and X are seq_cst. If L saw the bit
 * set, then L came before the X that clears it, so S came before X too and the scan after the fence
 * sees REMOTE. If L saw it clear, the thread sets it, after S, and a later X finds it. The
 * levels work alike. (The states that threads go through are listed in doc/remote.md.)
 *
 * An owner that sleeps collects nothing. At a tick (arena_tick), or in malloc_trim, another thread
 * then purges the REMOTE blocks that fill pages alone (REMOTE -> PURGED), slab by slab under the
 * heap lock, as long as the owner does not collect: the owner announces that it does by
 * `collections`, the other one by `purging`, each looks for the other behind a full fence, the
 * other one gives way and the owner waits for the lock.
 */
#ifndef ACRE_LIB_REMOTE_H
#define ACRE_LIB_REMOTE_H

#include "base/base.h"
#include "base/fork.h"
#include "heap/heap.h"

/*
 * Frees a block of another thread's slab of this class; `state` is its state. False if that is not
 * `held`, LIVE or WIDE: nothing has been written then. No lock; touches nothing of the slab after
 * the compare-and-swap, since its owner may release it from then on.
 */
bool remote_free(struct slab *slab, unsigned class, uint8_t *state, uint8_t held);

/*
 * True if something may be pending for the set. In a forked child everything may: a thread that
 * does not exist there may have freed a block and not yet set the bits.
 */
static inline bool remote_pending(const struct heap_set *set)
{
    return __atomic_load_n(&set->pending, __ATOMIC_RELAXED) != 0 ||
           set->generation != fork_generation();
}

/* The owner (or who has taken the arena from the pool) turns what others freed FREE; returns the
 * blocks, without those that were purged meanwhile. */
size_t remote_collect(struct heap_set *set);

/* True if something may be pending for slabs of a class; as remote_pending. */
static inline bool remote_pending_class(const struct heap_set *set, unsigned class)
{
    uint64_t classes = __atomic_load_n(&set->pending_classes, __ATOMIC_RELAXED);
    return (classes >> class & 1) != 0 || set->generation != fork_generation();
}

/* As remote_collect, for the slabs of one class; the others stay pending. In a forked child it is
 * for all the first time. */
size_t remote_collect_class(struct heap_set *set, unsigned class);

/* As remote_collect, if `now` (os_now_ms) is OPTION_DECAY or more behind the last time: what was
 * freed of classes that the owner does not allocate from any more. */
void remote_collect_due(struct heap_set *set, uint64_t now);

/*
 * Until remote_end nobody but the caller, who owns the arena, turns its REMOTE blocks into anything
 * else. Waits for the thread that is just purging some, for one slab at most.
 */
void remote_begin(struct heap_set *set);
void remote_end(struct heap_set *set);

/*
 * For any thread: gives back the pages that are filled by blocks alone which were freed remotely
 * and not collected; ends early where the owner begins to collect. Returns bytes. The owner finds
 * these blocks when it collects next.
 */
size_t remote_purge(struct heap_set *set);

/*
 * The same if something is pending that the owner has not collected since the last call. True if it
 * has, so that there may be something to purge at the next call. Any thread.
 */
bool remote_tick(struct heap_set *set);

#endif
