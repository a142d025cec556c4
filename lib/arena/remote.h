/*
 * Remote frees: by threads that do not own the block's arena. The freeing thread turns the block's
 * state from LIVE to REMOTE and sets three pending bits; the owner clears the bits and makes REMOTE
 * blocks FREE: it collects them. For an owner that sleeps, another thread purges the pages that
 * REMOTE blocks fill alone, which become PURGED.
 *
 * doc/remote.md has the protocol, why no free is lost, and why owner and purging thread never work
 * on the same block; the names S, L1 to L3 and X1 to X3 in the code are those of that file.
 *
 * Lock: none; purging takes the heap lock, and the owner while it waits for that.
 */
#ifndef ACRE_LIB_REMOTE_H
#define ACRE_LIB_REMOTE_H

#include "base/base.h"
#include "base/fork.h"
#include "heap/heap.h"

/* What remote frees need of an arena, beside the pending words of its heaps. */
struct remote {
    /* [any, seq_cst] */
    CACHE_ALIGNED uint64_t pending; /* bit i: slabs of heaps i, i + 64 ... have pending bits */
    uint64_t pending_classes;       /* bit c: slabs of class c among them */

    CACHE_ALIGNED struct heap_set *set; /* [constant] the arena's heaps */
    uint64_t collected;                 /* [owner] ms, when all classes were collected last */
    uint32_t generation;                /* [owner] fork generation in which it collected last */
    uint32_t collections;      /* [owner, release; any reads, acquire] odd while it collects */
    uint32_t collections_seen; /* [any] `collections` at the last tick */
    uint8_t purging;           /* [heap lock, release; owner reads, acquire] 1 while a thread purges
                                  REMOTE blocks; also if it was lost in a fork */
};

/* Prepares a zeroed structure. */
void remote_init(struct remote *remote, struct heap_set *set);

/*
 * Frees a block of another thread's slab of this class, `remote` being its arena's; `state` is its
 * state. False if that is not `live`, LIVE, WIDE or SAMPLED: nothing has been written then. Touches
 * nothing of the slab after the compare-and-swap, since its owner may release it from then on.
 */
bool remote_free(struct remote *remote, struct slab *slab, unsigned class, uint8_t *state,
                 uint8_t live);

/*
 * True if something may be pending. In a forked child everything may: a thread that does not exist
 * there may have freed a block and not yet set the bits.
 */
static inline bool remote_pending(const struct remote *remote)
{
    return __atomic_load_n(&remote->pending, __ATOMIC_RELAXED) != 0 ||
           remote->generation != fork_generation();
}

/* The same for slabs of a class. */
static inline bool remote_pending_class(const struct remote *remote, unsigned class)
{
    uint64_t classes = __atomic_load_n(&remote->pending_classes, __ATOMIC_RELAXED);
    return (classes >> class & 1) != 0 || remote->generation != fork_generation();
}

/* Collects: makes REMOTE blocks FREE. By the owner. */
void remote_collect(struct remote *remote);

/* The same for the slabs of one class; the others stay pending. In a forked child it collects all
 * the first time. */
void remote_collect_class(struct remote *remote, unsigned class);

/* As remote_collect if OPTION_DECAY has passed since the last time by `now` (os_now_ms): frees of
 * classes that the owner does not allocate from any more. */
void remote_collect_due(struct remote *remote, uint64_t now);

/*
 * Until remote_end no thread but the caller, which owns the arena, changes the state of its REMOTE
 * blocks. Waits for a thread that is purging, for one slab at most.
 */
void remote_begin(struct remote *remote);
void remote_end(struct remote *remote);

/*
 * Purges pages that REMOTE blocks fill alone; ends early where the owner begins to collect. Returns
 * bytes. Any thread. The owner finds these blocks when it collects next.
 */
size_t remote_purge(struct remote *remote);

/*
 * Purges if something is pending and the owner has not collected since the last call. True if it
 * has, so that there may be something to purge at the next call. Any thread.
 */
bool remote_tick(struct remote *remote);

#endif
