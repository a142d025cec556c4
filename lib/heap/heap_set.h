/*
 * Heap sets: all heaps of one arena. A slab's run is taken in the heap that has been on the list of
 * roomy ones longest, else in a heap whose address space was given up, else in a new one. Free
 * units age and are purged; of empty heaps one at most keeps its memory.
 *
 * Lock: each set's own (LOCK_RANK_HEAP), taken inside unless a function's name says otherwise. It
 * guards the set and, of its heaps, runs, lines, descriptors in use, and purging, so that another
 * thread can purge for an arena whose thread sleeps. What is inside a slab belongs to the arena's
 * thread and needs no lock.
 *
 * The truth about which heaps there are is the chains: a heap is put in front of one by one store
 * and stays for the life of the process. The list of roomy heaps, their number and the dirty units
 * follow, and are made again, together with what each heap derives (heap.h), if the lock's holder
 * was lost in a fork.
 */
#ifndef ACRE_LIB_HEAP_SET_H
#define ACRE_LIB_HEAP_SET_H

#include "base/base.h"
#include "base/list.h"
#include "base/lock.h"

struct arena;
struct heap;
struct slab;
struct slab_geometry;

enum { HEAP_CHAINS = 64 }; /* a bit of `pending` for each */

struct heap_set {
    /* Any thread, atomic, seq_cst: bit i: slabs of heaps i, i + 64 ... have pending bits. See
     * remote.h. */
    CACHE_ALIGNED uint64_t pending;
    uint64_t pending_classes; /* likewise, bit c: slabs of class c among them */

    CACHE_ALIGNED struct lock lock;
    uint32_t generation; /* owner: fork generation in which remote frees were last collected */
    uint64_t collected;  /* owner: ms, when those of all classes last were */
    uint64_t collected_blocks; /* [owner, any reads] blocks collected */

    /* What remote_begin and remote_purge tell each other; see remote.h. */
    uint32_t collections;      /* owner, atomic: odd while it collects remote frees */
    uint32_t collections_seen; /* who ticks, relaxed: `collections` at the last tick */
    uint8_t purging;           /* lock, atomic: 1 while remotely freed blocks are purged */

    struct arena *arena; /* constant: whose heaps they are */

    /* Lock, release; read by any thread, acquire: heap number i stands in chain i % 64. */
    struct heap *chains[HEAP_CHAINS];

    struct list roomy;  /* lock: heaps that may have a free run, in the order of becoming so */
    uint32_t count;     /* lock: heaps */
    size_t dirty;       /* lock: units that are free and dirty, in all heaps */
    bool took_pages;    /* lock; read by any thread, relaxed: the run taken last had units without
                           pages, and none was given back since */
    size_t refused;     /* lock: those that the system did not take when all were purged last */
    uint64_t idle_from; /* lock: ms, when units became free and dirty last */
    uint64_t next_tick; /* ms, when free units are aged next; 0: none dirty. Lock; read by any
                           thread; relaxed */
};

/* Prepares an empty set, zeroed memory before. No lock: nobody else knows the set. */
void heap_set_init(struct heap_set *set, struct arena *arena);

/*
 * Takes a run of geometry->units units and the lines of states for geometry->count blocks, lowest
 * fit in the first roomy heap that has both, else in a new one; completes *geometry. Returns the
 * descriptor with base, states, zero and untouched set and its geometry published, which claims the
 * run; no unit leads to it yet (heap_show_slab). The states are all BLOCK_FREE. NULL if there is no
 * memory.
 */
struct slab *heap_set_take(struct heap_set *set, struct slab_geometry *geometry);

/* Withdraws a slab none of whose blocks is live and gives run, lines and descriptor back. */
void heap_set_give(struct heap_set *set, struct slab *slab);

/* As heap_resize; units that are given back are aged, or purged if there are too many. */
bool heap_set_resize(struct heap_set *set, struct slab *slab, struct slab_geometry to);

/*
 * If it is time by `now` (os_now_ms), purges the free units that have aged, which are all if none
 * became free and dirty for OPTION_DECAY, and ages the others; else cheap, and without the lock.
 */
void heap_set_tick(struct heap_set *set, uint64_t now);

/* True if free units wait to be purged: a later tick will find something to do. Any thread. */
static inline bool heap_set_is_aging(const struct heap_set *set)
{
    return __atomic_load_n(&set->next_tick, __ATOMIC_RELAXED) != 0;
}

/* True if the next run is likely to take memory that has no pages yet: the last one did. Any
 * thread, no lock. */
static inline bool heap_set_takes_pages(const struct heap_set *set)
{
    return __atomic_load_n(&set->took_pages, __ATOMIC_RELAXED);
}

/* Purges all free units; returns bytes given back. For malloc_trim and for memory pressure. */
size_t heap_set_purge(struct heap_set *set);

/*
 * Under memory pressure: unmaps the units of heaps that are empty, so that their address space can
 * serve another request. Returns bytes unmapped.
 */
size_t heap_set_unmap_empty(struct heap_set *set);

/* Makes all that is derived again from the chains and the geometry words. The caller holds the
 * lock. */
void heap_set_rebuild_locked(struct heap_set *set);

/* Takes the set's lock, and rebuilds if its holder was lost in a fork. */
void heap_set_lock(struct heap_set *set);
void heap_set_unlock(struct heap_set *set);

/* Calls visit for every published slab. No lock: slabs made or released meanwhile may be missed or
 * seen. */
void heap_set_for_each_slab(struct heap_set *set, void (*visit)(void *context, struct slab *slab),
                            void *context);

struct heap_totals {
    size_t heaps;      /* number */
    size_t mapped;     /* bytes of address space, headers included */
    size_t in_slabs;   /* bytes of units in slabs */
    size_t free_dirty; /* bytes of free units that may have pages */
    size_t in_empty;   /* bytes of units of heaps without slabs: heap_set_unmap_empty unmaps them */
};

/* Totals for statistics. */
void heap_set_totals(struct heap_set *set, struct heap_totals *totals);

/* Checks all heaps: bitmaps against geometry words and sums, overlaps. The owner must be quiet. */
bool heap_set_is_valid(struct heap_set *set);

#endif
