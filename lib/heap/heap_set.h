/*
 * Heap sets: all heaps of one arena. A slab's run is taken in the heap that has been on the list of
 * roomy ones longest, else in a heap whose address space was given up, else in a new one; first, if
 * a smaller one will do, where units are free and dirty. Free units age and are purged, and where
 * there are more than OPTION_DIRTY_LIMIT and base/recent.h allow, those of the heaps that are taken
 * from last are purged at once. Of empty heaps without memory one at most stays open.
 *
 * Lock: each set's own (LOCK_RANK_HEAP), taken inside unless a function's name says otherwise. It
 * guards the set and, of its heaps, runs, lines, descriptors in use, and purging, so that another
 * thread can purge for an arena whose thread sleeps.
 *
 * The truth about which heaps there are is the chains: one store puts a heap in front of one, where
 * it stays for the life of the process. The other fields follow, and are made again, together with
 * what each heap derives (heap.h), if the lock's holder was lost in a fork.
 */
#ifndef ACRE_LIB_HEAP_SET_H
#define ACRE_LIB_HEAP_SET_H

#include "base/base.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/recent.h"

struct arena;
struct heap;
struct slab;
struct slab_geometry;

enum { HEAP_CHAINS = 64 }; /* each has a bit in the pending word of struct remote */

struct heap_set {
    CACHE_ALIGNED struct lock lock;

    struct arena *arena; /* [constant] whose heaps they are; other threads use arena_of, which does
                            not read the line of the lock */

    /* [lock, release; any reads, acquire] heap number i stands in chain i % 64 */
    struct heap *chains[HEAP_CHAINS];

    struct list roomy; /* [lock] heaps that may have a free run, in the order of becoming so, or of
                           being purged */
    uint32_t count;    /* [lock] heaps */
    size_t dirty;      /* [lock] units that are free and dirty, in all heaps */
    size_t used;       /* [lock, any reads] units in slabs, in all heaps */
    size_t told;       /* [lock] of these, and of those given back, what heap_counts has */
    struct recent recent; /* [lock] of units in slabs, and of free and dirty ones; bytes */
    bool took_pages;   /* [lock, any reads] the run taken last had units without pages, and none was
                          given back since */
    size_t refused;    /* [lock] units that the system did not take when all were purged last */
    uint64_t freed_at; /* [lock, any reads] ms, when units became free and dirty last; 0: none
                          waits for its time */
    uint64_t collected_blocks; /* [owner, any reads] blocks collected that others had freed */
};

/* Prepares an empty set in zeroed memory. */
void heap_set_init(struct heap_set *set, struct arena *arena);

/*
 * Takes a run of geometry->units units and the lines of states for geometry->count blocks, lowest
 * fit in the first roomy heap that has both, else in a new one. Unless `fresh`, in a heap that has
 * as many units free and dirty alone. Completes *geometry. Returns the descriptor with base,
 * states, zero and untouched set and its geometry published, which claims the run; no unit leads to
 * it yet (heap_show_slab). All blocks are FREE. NULL if there is no memory, or no such heap.
 */
struct slab *heap_set_take(struct heap_set *set, struct slab_geometry *geometry, bool fresh);

/* Withdraws a slab none of whose blocks is live and gives run, lines and descriptor back. */
void heap_set_give(struct slab *slab);

/* As heap_resize; units that are given back are aged, or purged if there are too many. */
bool heap_set_resize(struct slab *slab, struct slab_geometry to);

/*
 * Purges what has been free and dirty since `before` (os_now_ms): all units, if none became so
 * later; else those that were at the last call, which is to be at `before` or earlier, and still
 * are. UINT64_MAX: all. Cheap, and without the lock, if there are none. Returns bytes given back.
 */
size_t heap_set_purge(struct heap_set *set, uint64_t before);

/* True if free units wait to be purged. Any thread, no lock. */
static inline bool heap_set_is_aging(const struct heap_set *set)
{
    return __atomic_load_n(&set->freed_at, __ATOMIC_RELAXED) != 0;
}

/* True if the next run is likely to take memory that has no pages yet: the last one did. Any
 * thread, no lock. */
static inline bool heap_set_takes_pages(const struct heap_set *set)
{
    return __atomic_load_n(&set->took_pages, __ATOMIC_RELAXED);
}

/* Bytes of units in slabs. Any thread, no lock. */
size_t heap_set_in_slabs(const struct heap_set *set);

/*
 * Under memory pressure: unmaps the units of heaps that are empty, so that their address space can
 * serve another request. Returns bytes unmapped.
 */
size_t heap_set_unmap_empty(struct heap_set *set);

/* Makes all that is derived again from the chains and the geometry words. Needs the lock. */
void heap_set_rebuild_locked(struct heap_set *set);

/* Takes the set's lock, and rebuilds if its holder was lost in a fork. */
void heap_set_lock(struct heap_set *set);
void heap_set_unlock(struct heap_set *set);

/* The newest of the heaps i, i + 64 ..., or NULL; they are chained by `next`. No lock: heaps made
 * meanwhile may be missed. */
static inline struct heap *heap_set_chain(const struct heap_set *set, size_t i)
{
    return __atomic_load_n(&set->chains[i], __ATOMIC_ACQUIRE);
}

/* Calls visit for every published slab. No lock: slabs made or released meanwhile may be missed. */
void heap_set_for_each_slab(struct heap_set *set, void (*visit)(void *context, struct slab *slab),
                            void *context);

struct heap_totals {
    size_t heaps;      /* number */
    size_t in_slabs;   /* bytes of units in slabs */
    size_t free_dirty; /* bytes of free units that may have pages */
    size_t headers;    /* bytes of headers and open states */
    size_t in_empty;   /* bytes of units of heaps without slabs: heap_set_unmap_empty unmaps them */
};

void heap_set_totals(struct heap_set *set, struct heap_totals *totals);

/* Checks all heaps: bitmaps against geometry words and sums, overlaps. The owner must be quiet. */
bool heap_set_is_valid(struct heap_set *set);

#endif
