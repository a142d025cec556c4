/*
 * Heaps: regions of up to 32 MiB of address space, aligned to 32 MiB, each owned by one arena for
 * the life of the process. A heap is a guard, a header, the states, another guard, and units of 64
 * KiB of which slabs take runs, lowest fit first.
 *
 *   guard       a unit below the heap's address that is never opened: what would be the last unit
 *               of the heap before
 *   header      struct heap, at offset 0; bitmaps and the slabs' descriptors
 *   states      one byte for each 64 bytes of the heap; slabs take them in lines of 64. A heap of
 *               smaller blocks throughout runs out of them before it runs out of units
 *   guard       a page at least that is not opened; from the 257th heap on it is
 *   units       first_unit .. unit_limit-1, opened from the bottom up; above the last one opened
 *               nothing is accessible
 *
 * All of it begins without access (PROT_NONE, no commit) and is opened in steps, so that what was
 * never handed out is in no core. That takes four mappings for each heap. From the 257th heap on
 * header, states and the guard that follows them are opened at once, which leaves two: four for
 * that many heaps would make fork slow and use the process's mappings up. Where address space is
 * short a heap maps less than its 32 MiB. A heap whose units are all free gives them back to the
 * system, contents and commit, if its arena has another one that is empty; its
 * address and its header stay the arena's.
 *
 * The truth about runs is each descriptor's geometry word (0: no slab), published last and
 * withdrawn first by one store; free units, free lines, free descriptors and slab_of follow from it
 * and are made again from it.
 *
 * Lock: that of the heap's set (heap_set.h), "the heap lock" below. The caller of a function of
 * this file holds it unless the function says otherwise. heap_set.c and the tests call those that
 * change a heap, everybody else goes through the set.
 */
#ifndef ACRE_LIB_HEAP_H
#define ACRE_LIB_HEAP_H

#include "base/base.h"
#include "heap/heap_set.h"
#include "base/list.h"
#include "base/size_class.h"
#include "base/states.h"
#include "heap/unit_map.h"

#include <assert.h>

enum {
    HEAP_WORDS = HEAP_UNITS / 64,
    HEAP_SLABS = HEAP_UNITS - 8, /* descriptors; a whole heap's header and states take 10 units */
    HEAP_BYTES_OF_STATE = 64,    /* a heap has a byte of states for so many bytes */
    HEAP_LINES = 1 << (HEAP_SHIFT - 6 - 6), /* lines of 64 states */
    SLAB_MAX_UNITS = 16,
    SLAB_MAX_BLOCKS = 4096,
};

static_assert(HEAP_LINES * STATES_GROUP * HEAP_BYTES_OF_STATE == HEAP_SIZE, "both say the same");

struct bin;

/* A slab's descriptor: 128 bytes, two lines kept apart by who writes them. */
struct slab {
    /* Read by every free: by others than the owner only `owner` and `geometry`. Written by the
     * owner's slow path: while no block of the slab is live, or, by slab_resize, to another class.
     */
    struct arena *owner; /* the arena; NULL in the descriptor that nobody owns */
    char *base;          /* the first block */
    uint8_t *states;     /* one for each block, then BLOCK_END up to the end of the line */
    uint64_t reciprocal; /* 2^64 / block_size, rounded up: see slab_starts_block */
    struct bin *bin;     /* the arena's bin of the class */
    uint64_t geometry;   /* atomic: 0, or see struct slab_geometry; published last, withdrawn first:
                            release; read by any thread: acquire */
    uint32_t block_size; /* bytes, 16 .. 1 MiB */
    uint16_t count;      /* blocks, 1 .. SLAB_MAX_BLOCKS */
    uint8_t class;       /* size class */

    /* Written by the owner thread only. */
    CACHE_ALIGNED uint64_t summary; /* bit g: group g of 64 states may hold FREE ones */
    uint32_t until_check;           /* give-backs until slab_check. Neither current nor listed: 1;
                                       current: NEVER_CHECKED, or 1 if the slab is one block;
                                       listed: LIVE blocks less the magazine's capacity, or 1 */
    uint16_t live_hint;             /* number of a block that was LIVE at the last look */
    uint16_t fresh_group;           /* groups from here on were never handed out: as `zero` says */
    struct list_node node;          /* on the bin's list of partly free slabs */
    bool current;                   /* the bin allocates from it */
    bool zero;                      /* its memory was known to be zero when the slab was made */
    bool untouched;                 /* it had no pages then */
    bool listed;                    /* on the bin's list */
    bool purged;                    /* may have PURGED blocks */
    bool wide;                      /* may have WIDE and REST blocks */

    /* Any thread that purges for the owner, who clears it: release; PURGED blocks came about that
     * the owner has not taken note of yet. See remote.h. */
    bool purged_for_owner;
};

static_assert(sizeof(struct slab) == 2 * CACHE_LINE, "a descriptor is two lines");

struct heap {
    /* Constant once unit_map_cover has published the heap to frees; `next`: once add_heap has
     * published it to threads that walk the set. */
    struct heap_set *set;
    struct heap *next;    /* in its chain of the set; published by the store to the chain's head */
    uint64_t pending_bit; /* its bit in the set's pending word: 1 << index % 64 */
    uint8_t *states;      /* the lines */
    /* The unit map's entries: the descriptor of each unit, &heap_nobody for one in no slab, of
     * which the header's is &heap_header. Entries: heap lock, or the owner for units of its own
     * slabs: release; read by any thread, relaxed. */
    struct slab **slab_of;
    size_t size;    /* bytes of the heap as it was made, its guard included: 256 KiB .. 32 MiB */
    uint32_t index; /* number among its arena's heaps, from 0 */
    uint16_t first_unit; /* the lowest unit that slabs may take */

    /* Heap lock; read by any thread, relaxed. Units from here on are not mapped, or not ours. */
    uint16_t unit_limit;

    /* Any thread, atomic, seq_cst: bit i: blocks of slab i were freed by others. See remote.h. */
    CACHE_ALIGNED uint64_t pending[HEAP_WORDS];

    /* Heap lock. */
    CACHE_ALIGNED uint64_t free_units[HEAP_WORDS]; /* bit i: unit i is mapped and in no slab */
    uint64_t dirty_units[HEAP_WORDS];              /* may have pages */
    uint64_t aging_units[HEAP_WORDS];              /* free and dirty since before the last tick */
    uint64_t free_slabs[HEAP_WORDS];               /* bit i: descriptor i is not in use */
    uint64_t free_lines[HEAP_LINES / 64];          /* bit i: line i of states is in no slab */
    struct list_node roomy; /* on the set's list of heaps that may have a free run */
    size_t states_opened;   /* bytes of lines that are accessible */
    bool huge_pages_asked;  /* the system was told what the option wants */
    uint32_t used_units;    /* in slabs */
    uint16_t used_limit;    /* units below this have been accessible once; never lowered; read by
                               any thread, relaxed */
    uint16_t opened_limit;  /* units below this are accessible */
    uint16_t fresh_from;    /* units from here on were in no slab since they were mapped: zero */
    uint16_t filled_limit;  /* units below this were filled in by huge pages or are not going to be,
                               until they are mapped anew; from here on none is in a slab */
    uint16_t huge_filled;   /* bit i: the 2 MiB from 2 i MiB on were filled in by a huge page */
    uint16_t longest;       /* units; no free run is longer than this */
    uint16_t longest_lines; /* lines; likewise */

    struct slab slabs[HEAP_SLABS];
};

/* The descriptors of units that are in no slab: of a heap's first unit, which has its header, and
 * of all others. Owner NULL, geometry 0; never written. */
extern struct slab heap_header, heap_nobody;

/* ---- geometry: what another thread needs to know of a slab, in one word ---- */

struct slab_geometry {
    unsigned class;      /* size class; 6 bits */
    unsigned count;      /* blocks, 1 .. SLAB_MAX_BLOCKS; 13 bits */
    unsigned first_unit; /* of its run; 9 bits */
    unsigned units;      /* 1 .. SLAB_MAX_UNITS; 6 bits */
    unsigned first_line; /* of its states; 15 bits */
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

static_assert(SIZE_CLASS_COUNT <= 64 && SLAB_MAX_BLOCKS <= 8191 && HEAP_UNITS <= 512 &&
                  SLAB_MAX_UNITS <= 63 && HEAP_LINES <= 32768,
              "each part has bits enough in the word");

/* Where a slab's first block lies. */
static inline char *geometry_base(struct heap *heap, struct slab_geometry g)
{
    return (char *)heap + (size_t)g.first_unit * UNIT_SIZE;
}

/* Where the states of a slab lie. */
static inline uint8_t *geometry_states(const struct heap *heap, struct slab_geometry g)
{
    return heap->states + (size_t)g.first_line * STATES_GROUP;
}

/*
 * How many lines of states a slab takes. Where its blocks do not fill its run, what is left over is
 * shorter than a block; the address where it begins has a state too, the sentinel BLOCK_END. So
 * free may read the state of any place in the run without asking whether there is a block.
 */
static inline size_t geometry_lines(struct slab_geometry g)
{
    bool tail = (size_t)g.count * size_class_sizes[g.class] != (size_t)g.units * UNIT_SIZE;
    return (g.count + tail + STATES_GROUP - 1) / STATES_GROUP;
}

/* ---- from addresses to descriptors and back; no lock ---- */

/* The heap that an address lies in which is in one. */
static ALWAYS_INLINE struct heap *heap_containing(const void *pointer)
{
    return (struct heap *)((uintptr_t)pointer & ~(HEAP_SIZE - 1));
}

/* The heap in whose 32 MiB `pointer`, any address at all, lies, or NULL. What is above unit_limit
 * need not be the heap's: see heap_of in paths/free.c. */
static inline struct heap *heap_find(const void *pointer)
{
    struct heap *heap = heap_containing(pointer);
    struct slab *slab;
    return unit_map_find(heap, &slab) && slab == &heap_header ? heap : NULL;
}

static inline struct heap *slab_heap(const struct slab *slab)
{
    return (struct heap *)((uintptr_t)slab & ~(HEAP_SIZE - 1));
}

static inline size_t slab_index(const struct slab *slab)
{
    return (size_t)(slab - slab_heap(slab)->slabs);
}

/* The descriptor of the slab that `pointer`, inside `heap`, lies in; heap_nobody if in none. */
static inline struct slab *heap_slab_of(struct heap *heap, const void *pointer)
{
    size_t unit = ((uintptr_t)pointer >> UNIT_SHIFT) % HEAP_UNITS;
    return PLAIN_LOAD(heap->slab_of[unit]);
}

/* Lets slab_of of its units lead to a slab whose descriptor is filled in. By the owner, who needs
 * no lock for it. */
void heap_show_slab(struct slab *slab);

/* [any] The most units that were in slabs, of all arenas. */
extern size_t heap_units_peak;

/* Bytes of units that are in slabs, of all arenas, roughly. Any thread, no lock. */
size_t heap_bytes_in_slabs(void);

/* At least the bytes of address space that all heaps have. Any thread, no lock. */
size_t heap_bytes_reserved(void);

/* ---- the life of one heap ---- */

/*
 * Makes a heap of at most HEAP_SIZE, as large as there is address space, that has `units` units,
 * and publishes it in the unit map; the caller puts it into the set. NULL if there is no memory, or
 * no place for it.
 */
struct heap *heap_create(struct heap_set *set, size_t units);

/*
 * Takes the run that *geometry asks for, with lines and a descriptor: what heap_set_take says, in
 * this heap. NULL if it has no room or the system refuses to open it. Takes a heap without any room
 * off the set's list.
 */
struct slab *heap_take(struct heap *heap, struct slab_geometry *geometry);

/* Withdraws a slab and marks free all that it had; the heap is on the set's list then. */
void heap_give(struct heap *heap, struct slab *slab);

/*
 * Gives a slab the geometry `to`, which begins where its own does and has as many lines: with more
 * units, those behind it; with fewer, its last ones go back. False, and nothing is changed, where
 * units are not free or the system refuses to open them.
 */
bool heap_resize(struct heap *heap, struct slab *slab, struct slab_geometry to);

/* Purges those units that `mask`, free and dirty have in common. Returns their number. */
size_t heap_purge(struct heap *heap, const uint64_t *mask);

/* Purges the units that were free and dirty at the last call and are still; marks those that are
 * now. */
void heap_age(struct heap *heap);

/* Gives the units of an empty heap back, contents and commit; they can be opened again. Nothing is
 * changed where the system refuses. */
void heap_retire(struct heap *heap);

/* Unmaps the units of an empty heap; its header stays for ever. Returns bytes unmapped. */
size_t heap_unmap_units(struct heap *heap);

/* Maps again what heap_unmap_units unmapped, as many units as there is room for. False if that
 * would be fewer than `units`. */
bool heap_remap_units(struct heap *heap, size_t units);

/* Makes bitmaps and slab_of again from the geometry words. */
void heap_rebuild(struct heap *heap);

/* Calls visit for each published slab. No lock: as heap_set_for_each_slab. */
void heap_for_each_slab(struct heap *heap, void (*visit)(void *context, struct slab *slab),
                        void *context);

/* Checks that each slab's units, lines and descriptor are marked used, and nothing else is. */
bool heap_is_valid(const struct heap *heap);

#endif
