/*
 * Counting: every figure that acre gives, in the process or outside, is counted here, over a view
 * (view.h).
 *
 * Exact in a quiet process. In a busy one each slab and each extent is counted from one copy, and
 * what contains it from the same copies, so that no figure is above what contains it.
 */
#ifndef ACRE_LIB_COUNT_H
#define ACRE_LIB_COUNT_H

#include "base/size_class.h"
#include "inspect/view.h"

enum { FIGURES_UNIT = 64 << 10 }; /* bytes of a unit */

/* What there is of one size class. Places are what a slab was made of: a wide block has several. */
struct figures_class {
    uint32_t slabs, units; /* and the units in them */
    uint64_t blocks;       /* places in those slabs; the next ones are of them */
    uint64_t live;         /* blocks that the program holds ... */
    uint64_t places;       /* ... and the places that they have */
    uint64_t cached;       /* in magazines */
    uint64_t remote;       /* freed by other threads, not yet collected */
    uint64_t purged;       /* free, without their pages */
    uint64_t pinned; /* bytes of pages that hold live blocks, in less than a quarter of the page */
};

/* LARGE blocks from 2^(20 + i) bytes up to below twice that; the last one: all above. */
enum { FIGURES_LARGE_SIZES = 24, FIGURES_LARGE_SHIFT = 20 };

struct figures_large {
    uint64_t blocks, bytes;
};

/* All sizes in bytes. */
struct figures {
    uint64_t arenas, arenas_pooled;
    uint64_t heaps, heap_mapped;   /* the address space of heaps, of which ... */
    uint64_t in_slabs, free_dirty; /* ... is in slabs, and is free and may have pages */
    uint64_t heap_resident;        /* ... and has memory; if the view tells */
    uint64_t small_blocks, small_live;
    uint64_t large_blocks, large_live;
    uint64_t stock, stock_zero; /* free extents, and what of them is known to be zero */
    uint64_t metadata;
    uint64_t slabs_peak, large_peak;
    uint64_t adoptions, collected; /* of arenas by threads; remote frees, in blocks */
    uint64_t mmap, munmap, mremap, mprotect, madvise, purged_bytes;
    struct view_bin events; /* of all bins */
    struct figures_class classes[SIZE_CLASS_COUNT];
    struct figures_large large[FIGURES_LARGE_SIZES];
};

/* What one arena has. */
struct figures_arena {
    struct view_arena arena;
    bool pooled;
    bool of_heap; /* an own heap's: it has no thread, and is not pooled */
    uint64_t heaps, heap_mapped, in_slabs, free_dirty, heap_resident;
    uint64_t blocks, live, pinned, cached, remote;
};

/* Counts everything. What is damaged is left out: view->damage. */
void figures_count(struct view *view, struct figures *figures);

/* Its parts: adds one arena, whose own figures are in *sums then; LARGE; what the process counts.
 */
void figures_add_arena(struct view *view, const struct view_arena *arena,
                       struct figures_arena *sums, struct figures *figures);
void figures_add_large(struct view *view, struct figures *figures);
void figures_add_process(struct view *view, struct figures *figures);

static inline uint64_t figures_live(const struct figures *figures)
{
    return figures->small_live + figures->large_live;
}

static inline uint64_t figures_mapped(const struct figures *figures)
{
    return figures->heap_mapped + figures->large_live + figures->stock + figures->metadata;
}

/* Bytes of pages that hold little, of all classes. */
uint64_t figures_pinned(const struct figures *figures);

#endif
