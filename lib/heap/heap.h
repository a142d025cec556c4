/*
 * Heaps: regions of up to 32 MiB of address space, aligned to 32 MiB, each owned by one arena for
 * the life of the process, of which slabs take runs of 64 KiB units, lowest fit first. From its
 * address on a heap has a header (struct heap), states, a guard and units: doc/design.md, "Heaps".
 * Slabs take states in lines of 64; a heap of blocks below 64 bytes throughout runs out of them
 * before it runs out of units.
 *
 * How a heap is opened, and what mappings that takes: heap_pages.h. A heap that is empty and purged
 * closes its units, which gives their commit back, if its arena has another such one; its address
 * and its header stay the arena's. Where address space is short a heap maps less than 32 MiB.
 *
 * The truth about runs is each descriptor's geometry word (0: no slab), published last and
 * withdrawn first by one store; free units, free lines, free descriptors and slab_of follow from it
 * and are made again from it.
 *
 * Lock: that of the heap's set, "the heap lock" in all files.
 */
#ifndef ACRE_LIB_HEAP_H
#define ACRE_LIB_HEAP_H

#include "base/base.h"
#include "heap/descriptor.h"
#include "heap/heap_set.h"
#include "base/list.h"
#include "base/states.h"
#include "heap/unit_map.h"

enum {
    HEAP_WORDS = HEAP_UNITS / 64,
    HEAP_SLABS = HEAP_UNITS - 8, /* descriptors; a whole heap's header and states take 10 units */
};

struct heap {
    /* [constant] */
    struct heap_set *set;
    struct heap *next; /* in its chain of the set */
    uint8_t *states;   /* the lines */
    size_t size;       /* bytes of the heap as it was made, its guard included: 256 KiB .. 32 MiB */
    uint32_t index;    /* number among its arena's heaps, from 0 */
    uint16_t first_unit; /* the lowest unit that slabs may take */
    /* The unit map's entries, one for each unit. Entries: [heap lock; owner for units of its own
     * slabs, release; any reads] the slab's descriptor, or &heap_nobody, or the first one's
     * &heap_header. */
    struct slab **slab_of;

    uint16_t unit_limit; /* [heap lock, any reads] units from here on are not mapped for the heap */

    /* [owner, release; any reads, acquire] A note for each state, see modes/hardened.h; NULL: none
     * yet. */
    uint32_t *notes;

    /* [any, seq_cst] bit i: other threads freed blocks of slab i: doc/remote.md */
    CACHE_ALIGNED uint64_t pending[HEAP_WORDS];

    /* [heap lock] */
    CACHE_ALIGNED uint64_t free_units[HEAP_WORDS]; /* bit i: unit i is mapped and in no slab */
    uint64_t dirty_units[HEAP_WORDS];              /* [heap lock, any reads] may have pages */
    uint64_t aging_units[HEAP_WORDS];              /* free and dirty at the last heap_age */
    uint64_t free_slabs[HEAP_WORDS];               /* bit i: descriptor i is not in use */
    uint64_t free_lines[HEAP_LINES / 64];          /* bit i: line i of states is in no slab */
    uint32_t idle_units;                           /* free and dirty */
    size_t states_opened;                          /* bytes of lines that are accessible */
    bool huge_pages_asked;                         /* the system was told what the option wants */
    uint32_t used_units;                           /* in slabs */
    uint16_t used_limit;    /* [heap lock, any reads] units below this have been accessible once;
                               never lowered */
    uint16_t opened_limit;  /* units below this are accessible */
    uint16_t fresh_from;    /* units from here on were in no slab since they were mapped: zero */
    uint16_t huge_filled;   /* bit i: the 2 MiB from 2 i MiB on were filled in by a huge page */
    uint16_t longest;       /* units; no slab finds a free run that is longer than this */
    uint16_t longest_lines; /* lines; likewise */

    /* [heap lock] of heap_set.c: what it knows of the heap */
    struct list_node roomy; /* on the set's list of heaps that may have a free run */
    uint32_t counted;       /* idle_units that the set's sum has */
    uint32_t counted_used;  /* likewise used_units */

    struct slab slabs[HEAP_SLABS];
};

/* The descriptors of units that are in no slab: of a heap's first unit, which has its header, and
 * of all others. [constant] Owner NULL, geometry 0. */
extern struct slab heap_header, heap_nobody;

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

/* ---- from addresses to descriptors and back; no lock ---- */

/* The heap that an address in one lies in. */
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

/* Makes the notes of a new slab 0. By the owner. */
void heap_forget_notes(struct slab *slab);

/* Lets slab_of of its units lead to a slab whose descriptor is filled in. By the owner. */
void heap_show_slab(struct slab *slab);

/* [any] Of all arenas: mere counts. */
extern struct heap_counts {
    CACHE_ALIGNED size_t units; /* in slabs, or given back lately: see tell_used */
    size_t units_peak;          /* the most there were */
    uint32_t heaps;             /* made */
} heap_counts;

/* Bytes of units that are in slabs, of all arenas, or up to 1/7 more. Any thread, no lock. */
size_t heap_bytes_in_slabs(void);

/* At least the bytes of address space that all heaps have. Any thread, no lock. */
size_t heap_bytes_reserved(void);

/* ---- the life of one heap: for heap_set.c, which sums up what these change ---- */

/*
 * Makes a heap of at most HEAP_SIZE, as large as there is address space, that has `units` units,
 * and publishes it in the unit map; the caller puts it into the set. NULL if there is no memory, or
 * no place for it.
 */
struct heap *heap_create(struct heap_set *set, size_t units);

/* True if slabs may find room: a heap without any says so after heap_take has failed. */
static inline bool heap_is_roomy(const struct heap *heap)
{
    return heap->longest != 0 && heap->longest_lines != 0;
}

/*
 * Takes the run that *geometry asks for, with lines and a descriptor: as heap_set_take, in this
 * heap. NULL if it or the limit has no room, or the system refuses to open it.
 */
struct slab *heap_take(struct heap *heap, struct slab_geometry *geometry);

/* Withdraws a slab and marks free all that it had. */
void heap_give(struct heap *heap, struct slab *slab);

/*
 * Gives a slab the geometry `to`, which begins where its own does and has as many lines. It takes
 * the units that follow, or its last ones go back. False, and nothing is changed, where units are
 * not free or the system refuses to open them.
 */
bool heap_resize(struct heap *heap, struct slab *slab, struct slab_geometry to);

/* Purges those units that `mask`, free and dirty have in common. */
void heap_purge(struct heap *heap, const uint64_t *mask);

/* Purges the units that were free and dirty at the last call and are still, and notes which are
 * now. */
void heap_age(struct heap *heap);

/* Gives the units of an empty heap back to the system, contents and commit; they can be opened
 * again. Nothing is changed where the system refuses. */
void heap_close(struct heap *heap);

/* Unmaps the units of an empty heap; its header stays for ever. Returns bytes unmapped. */
size_t heap_unmap_units(struct heap *heap);

/* Maps again what heap_unmap_units unmapped, as many units as there is room for. False if that
 * would be fewer than `units`. */
bool heap_remap_units(struct heap *heap, size_t units);

/* Makes bitmaps and slab_of again from the geometry words. */
void heap_rebuild(struct heap *heap);

/* Checks that each slab's units, lines and descriptor are marked used, and nothing else is. */
bool heap_is_valid(const struct heap *heap);

#endif
