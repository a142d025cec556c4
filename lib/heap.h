/*
 * Heaps: 32 MiB regions of address space, aligned to their size, each owned by one arena for the
 * life of the process. A heap is a header, a guard, and units of 64 KiB of which slabs take runs,
 * lowest fit first.
 *
 *   offset 0        struct heap (the descriptor that nobody owns first, so that slab_of 0 means it)
 *   states          a line of 64 state bytes is the grain; 1/16 of the heap, enough for 16-byte
 * blocks only (guard)         pages never opened first_unit ...  units; opened from the bottom up,
 * and behind the last one opened nothing is accessible
 *
 * All of it begins without access (PROT_NONE, no commit) and is opened in steps. Where address
 * space is short a heap maps less than its 32 MiB. A heap whose units are all free gives them back
 * to the system, contents and commit, if its arena has another one that is empty; its address stays
 * the arena's.
 *
 * struct heap_set is an arena's heaps and their lock (LOCK_RANK_HEAP): it guards runs, lines,
 * descriptors in use, and purging. What is inside a slab belongs to the arena's thread and needs no
 * lock.
 *
 * The truth about runs is each descriptor's geometry word (0: no slab), published last and
 * withdrawn first by one store; free units, free lines, free descriptors and slab_of follow from it
 * and are rebuilt from it.
 */
#ifndef ACRE_LIB_HEAP_H
#define ACRE_LIB_HEAP_H

#include "base.h"
#include "heap_map.h"
#include "list.h"
#include "lock.h"
#include "size_class.h"
#include "states.h"

#include <assert.h>

enum {
    UNIT_SHIFT = 16,
    UNIT_SIZE = 1 << UNIT_SHIFT,
    HEAP_UNITS = 1 << (HEAP_SHIFT - UNIT_SHIFT),
    HEAP_WORDS = HEAP_UNITS / 64,
    HEAP_SLABS = HEAP_UNITS - 32, /* descriptors; a whole heap's header and states take 34 units */
    HEAP_LINES = 1 << (HEAP_SHIFT - 4 - 6), /* lines of 64 states, for 16-byte blocks throughout */
    HEAP_CHAINS = 64,
    SLAB_MAX_UNITS = 16,
    SLAB_MAX_BLOCKS = 4096,
};

struct arena;
struct bin;

/* A slab's descriptor: 128 bytes, two lines kept apart by who writes them. */
struct slab {
    /* Read by every free. Written by the owner's slow path while no block of the slab is live. */
    struct arena *owner; /* the arena; NULL in the descriptor that nobody owns */
    char *base;          /* the first block */
    uint8_t *states;     /* one for each block, then BLOCK_END up to the end of the line */
    uint64_t reciprocal; /* 2^64 / block_size, rounded up: see slab_number */
    struct bin *bin;     /* the arena's bin of the class */
    uint64_t
        geometry; /* atomic; published last, withdrawn first (release): 0, or see slab_geometry */
    uint32_t block_size; /* bytes, 16 .. 1 MiB */
    uint16_t count;      /* blocks, 1 .. 4096 */
    uint8_t class;       /* size class */

    /* Written by the owner thread only. */
    CACHE_ALIGNED uint64_t summary; /* bit g: group g of 64 states may hold FREE ones */
    uint32_t until_check;           /* give-backs until the slab is looked at: may it be empty */
    uint16_t live_hint;             /* number of a block that was LIVE at the last look */
    uint16_t fresh_group;  /* groups from here on were never handed out; their blocks are zero if
                              `zero` */
    struct list_node node; /* on the bin's list of partly free slabs */
    bool current;          /* the bin allocates from it */
    bool zero;             /* its memory was known to be zero when the slab was made */
    bool listed;           /* on the bin's list */
};

static_assert(sizeof(struct slab) == 2 * CACHE_LINE, "a descriptor is two lines");

struct heap {
    struct slab nobody; /* what slab_of 0 names: owner NULL, geometry 0; permanent */

    /* Constant once the heap is published. */
    struct heap_set *set;
    struct heap *next;    /* in its chain of the set; published by the store to the chain's head */
    uint64_t pending_bit; /* its bit in the set's pending word: 1 << index % 64 */
    uint8_t *states;      /* the lines */
    size_t size;          /* bytes mapped, 256 KiB .. 32 MiB */
    uint32_t index;       /* number among its arena's heaps */
    uint16_t first_unit;
    uint16_t unit_limit; /* units first_unit .. unit_limit-1 exist */

    /* Any thread, atomic, seq_cst: bit i: blocks of slab i were freed by others. See remote.h. */
    CACHE_ALIGNED uint64_t pending[HEAP_WORDS];

    /* The heap lock. */
    CACHE_ALIGNED uint64_t free_units[HEAP_WORDS];
    uint64_t dirty_units[HEAP_WORDS]; /* may hold something else than zeroes */
    uint64_t aging_units[HEAP_WORDS]; /* free and dirty since before the last tick */
    uint64_t free_slabs[HEAP_WORDS];  /* bit i: descriptor i is not in use */
    uint64_t free_lines[HEAP_LINES / 64];
    struct list_node roomy; /* on the set's list of heaps that may have a free run */
    size_t states_opened;   /* bytes of lines that are accessible */
    bool huge_pages_asked;  /* the system was told what the option wants */
    uint32_t used_units;    /* in slabs */
    uint16_t
        used_limit; /* units below this have been accessible once; never lowered; read relaxed */
    uint16_t opened_limit; /* units below this are accessible */
    uint16_t longest;      /* no free run is longer than this */

    /* Owner, heap lock; read by any thread, relaxed: byte offset in the heap of each unit's
     * descriptor. */
    CACHE_ALIGNED uint32_t slab_of[HEAP_UNITS];

    struct slab slabs[HEAP_SLABS];
};

struct heap_set {
    /* Any thread, atomic, seq_cst: bit i: slabs of heaps i, i + 64 ... have pending bits. See
     * remote.h. */
    CACHE_ALIGNED uint64_t pending;

    CACHE_ALIGNED struct lock lock;
    uint32_t generation; /* owner: fork generation in which remote frees were last collected */
    struct arena *arena; /* whose heaps they are; constant */
    struct heap *chains[HEAP_CHAINS]; /* heap number i stands in chain i % 64; atomic, release */
    struct list roomy;  /* heap lock: heaps that may have a free run, in the order of becoming so */
    uint32_t count;     /* heap lock; read relaxed by statistics */
    size_t dirty;       /* heap lock: free dirty units */
    uint64_t next_tick; /* atomic relaxed, ms: when free units are aged next; 0: none dirty */
};

/* ---- geometry: what another thread needs to know of a slab, in one word ---- */

struct slab_geometry {
    unsigned class, count, first_unit, units, first_line;
};

static inline uint64_t geometry_pack(struct slab_geometry g)
{
    return (uint64_t)g.class | (uint64_t)g.count << 6 | (uint64_t)g.first_unit << 19 |
           (uint64_t)g.units << 28 | (uint64_t)g.first_line << 34;
}

static inline struct slab_geometry geometry_unpack(uint64_t word)
{
    return (struct slab_geometry){
        .class = word & 63,
        .count = (word >> 6) & 8191,
        .first_unit = (word >> 19) & 511,
        .units = (word >> 28) & 63,
        .first_line = (word >> 34) & 32767,
    };
}

static inline struct heap *slab_heap(const struct slab *slab)
{
    return (struct heap *)((uintptr_t)slab & ~(HEAP_SIZE - 1));
}

static inline size_t slab_index(const struct slab *slab)
{
    return (size_t)(slab - slab_heap(slab)->slabs);
}

/* The descriptor of the slab that `pointer`, inside `heap`, lies in; `nobody` if in none. */
static ALWAYS_INLINE struct slab *heap_slab_of(struct heap *heap, const void *pointer)
{
    size_t unit = ((uintptr_t)pointer >> UNIT_SHIFT) % HEAP_UNITS;
    uint32_t offset = half_load(&heap->slab_of[unit]);
    return (struct slab *)(void *)((char *)heap + offset);
}

/*
 * How many lines of states a slab takes. Where its run is longer than its blocks a sentinel stands
 * behind the last state, for the address just behind the last block.
 */
static inline size_t geometry_lines(struct slab_geometry g)
{
    bool tail = (size_t)g.count * size_class_sizes[g.class] != (size_t)g.units * UNIT_SIZE;
    return (g.count + tail + STATES_GROUP - 1) / STATES_GROUP;
}

/* ---- the set ---- */

/* Prepares an empty set, zeroed memory before. */
void heap_set_init(struct heap_set *set, struct arena *arena);

/*
 * Takes a run of geometry->units units and the lines of states for geometry->count blocks, lowest
 * fit in the heap that has had room longest, else in a new heap; completes *geometry. Returns the
 * descriptor with base, states and zero set and its geometry published, which claims the run; no
 * unit leads to it yet (heap_show_slab). The states are all BLOCK_FREE. NULL if there is no memory.
 * Takes the heap lock.
 */
struct slab *heap_set_take(struct heap_set *set, struct slab_geometry *geometry);

/* Lets slab_of of its units lead to a slab whose descriptor is filled in. */
void heap_show_slab(struct slab *slab);

/* Withdraws a slab none of whose blocks is live and gives run, lines and descriptor back. Takes the
 * lock. */
void heap_set_give(struct heap_set *set, struct slab *slab);

/* Ages and purges free units if it is time; cheap if not. Takes the heap lock if something is due.
 */
void heap_set_tick(struct heap_set *set);

/* Purges all free units; returns bytes given back. For malloc_trim and for memory pressure: takes
 * the lock. */
size_t heap_set_purge(struct heap_set *set);

/*
 * Under memory pressure: unmaps the units of heaps that are empty, so that their address space can
 * serve another request. Returns bytes unmapped. Takes the lock.
 */
size_t heap_set_unmap_empty(struct heap_set *set);

/* Rebuilds everything derived of all heaps from the geometry words. The caller holds the lock. */
void heap_set_rebuild_locked(struct heap_set *set);

/* Takes the set's lock and rebuilds if its holder was lost in a fork. */
void heap_set_lock(struct heap_set *set);
void heap_set_unlock(struct heap_set *set);

/* Calls visit for every published slab. No lock: slabs made or released meanwhile may be missed or
 * seen. */
void heap_set_for_each_slab(struct heap_set *set, void (*visit)(void *context, struct slab *slab),
                            void *context);

/* Totals for statistics; takes the lock. */
struct heap_totals {
    size_t heaps, mapped, in_slabs, free_dirty;
};
void heap_set_totals(struct heap_set *set, struct heap_totals *totals);

/* Checks all heaps: bitmaps against geometry words, no overlap. Takes the lock; the owner must be
 * quiet. */
bool heap_set_is_valid(struct heap_set *set);

#endif
