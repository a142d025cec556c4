/*
 * A heap's pages: where its address space is reserved, in what steps it is opened, and huge pages.
 * For heap.c and the tests.
 *
 * Huge pages. What a first touch costs is the page fault, and one huge page takes the place of 512.
 * It is worth its memory where an arena has so much in use that what is not yet wanted of one more
 * is little: from HEAP_HUGE_FROM units of its first heap on, and in all later heaps. There, by
 * default, units are opened a huge page at a time, and for blocks of less than a unit, most of
 * which are touched where they are used at all, it is asked for and touched at once; for larger
 * blocks, where three quarters of the units below have memory. It is declined again before anything
 * else happens: the system must not make huge pages of what was given back (khugepaged does where
 * they are asked for).
 *
 * Lock: the heap lock; for heap_pages_reserve and heap_pages_release the units lock.
 */
#ifndef ACRE_LIB_HEAP_PAGES_H
#define ACRE_LIB_HEAP_PAGES_H

#include "heap/heap.h"

enum {
    HEAP_GUARD_UNITS = 1, /* in front of a heap's header, without access; where heaps lie side by
                             side, what would be the last unit of the one before */
    HEAP_OPEN_FIRST = 2,  /* units made accessible at first: 128 KiB; a thread may use no more */
    HEAP_OPEN_STEP = 16,  /* and then: 1 MiB */
    HEAP_HUGE_UNITS = 32, /* units of a huge page: 2 MiB */
    HEAP_HUGE_FROM = 4 * HEAP_HUGE_UNITS, /* units of an arena's first heap without huge pages */
    /* bytes of states made accessible with the header: those of 512 KiB of 64-byte blocks */
    HEAP_FIRST_STATES = 8 << 10,
    /* and then: those of 1 MiB of 16-byte blocks */
    HEAP_OPEN_STATES = 64 << 10,
};

static_assert(HEAP_UNITS / HEAP_HUGE_UNITS <= 16, "huge_filled has a bit for each huge page");
static_assert(HEAP_UNITS % HEAP_HUGE_UNITS == 0 && (int)SLAB_MAX_UNITS <= (int)HEAP_HUGE_UNITS,
              "a run begins at most one huge page");

/* Bytes of states. */
static inline size_t heap_states_size(const struct heap *heap)
{
    return heap->size / HEAP_BYTES_OF_STATE;
}

static inline size_t heap_line_count(const struct heap *heap)
{
    return heap_states_size(heap) / STATES_GROUP;
}

static inline char *heap_unit_address(const struct heap *heap, size_t unit)
{
    return (char *)heap + unit * UNIT_SIZE;
}

/* Units that slabs may take. */
static inline size_t heap_unit_count(const struct heap *heap)
{
    return (size_t)(heap->unit_limit - heap->first_unit);
}

/*
 * Reserves `size` bytes for a heap, its guard included: from HEAP_GUARD_UNITS below a place of the
 * unit map on, which is returned: the first one that is free and not covered. The first call
 * chooses the region of the map. NULL if there is no address space, or no place.
 */
char *heap_pages_reserve(size_t size);

/* Unmaps what heap_pages_reserve has returned. */
void heap_pages_release(char *base, size_t size);

/* Makes lines 0 .. limit-1 accessible. */
bool heap_pages_open_lines(struct heap *heap, size_t limit);

/* Makes units below limit accessible; in steps, or just so far where the system refuses a step. */
bool heap_pages_open_units(struct heap *heap, size_t limit);

/* The heap's units are a mapping of their own, in which nothing was done yet. */
void heap_pages_begin(struct heap *heap);

/*
 * Before units up to `limit` are taken for blocks of so many bytes: a run that is the lowest fit,
 * or what one grows by. They are open. If they are the first ones in a huge page that is worth it,
 * that is filled in: all its units are free and dirty then, and zero.
 */
void heap_pages_fill_huge(struct heap *heap, size_t limit, size_t block_size);

#endif
