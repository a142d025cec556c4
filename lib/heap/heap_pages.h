/*
 * A heap's pages: where its address space is reserved, in what steps it is opened, and huge pages.
 *
 * A heap begins without access (PROT_NONE, no commit) and is opened in steps, so that what was
 * never handed out is in no core. That takes four mappings. From the 257th heap on header, states
 * and the guard that follows them are opened at once, which leaves two: fork copies mappings, and a
 * process may have 65530.
 *
 * Huge pages. What a first touch costs is the page fault, and one huge page takes the place of 512.
 * It is worth its memory where an arena uses so much that one more huge page is little: from
 * HEAP_HUGE_FROM units of its first heap on, and in all later heaps. There, by default, units are
 * opened a huge page at a time. It is asked for and touched at once for blocks of less than a unit,
 * most of which are touched soon, and for larger blocks where three quarters of the units below
 * have memory. It is declined again at once: where huge pages are asked for, khugepaged makes them
 * also of what was given back.
 *
 * Lock: the heap lock; for heap_pages_reserve and heap_pages_release the units lock.
 */
#ifndef ACRE_LIB_HEAP_PAGES_H
#define ACRE_LIB_HEAP_PAGES_H

#include "heap/heap.h"

enum {
    HEAP_GUARD_UNITS = 1, /* below a heap's address, without access */
    HEAP_OPEN_FIRST = 2,  /* units made accessible at first: 128 KiB; a thread may use no more */
    HEAP_OPEN_STEP = 16,  /* and then: 1 MiB */
    HEAP_HUGE_UNITS = 32, /* units of a huge page: 2 MiB */
    HEAP_HUGE_FROM = 3 * HEAP_HUGE_UNITS, /* units of an arena's first heap without huge pages */
    /* bytes of states made accessible with the header: those of 512 KiB of 64-byte blocks */
    HEAP_FIRST_STATES = 8 << 10,
    /* and then: those of 1 MiB of 16-byte blocks */
    HEAP_OPEN_STATES = 64 << 10,
};

static_assert(64 % HEAP_HUGE_UNITS == 0, "a huge page is a part of a word of bits");
static_assert(HEAP_UNITS / HEAP_HUGE_UNITS <= 16, "huge_filled has a bit for each huge page");
static_assert(HEAP_UNITS % HEAP_HUGE_UNITS == 0 && (int)SLAB_MAX_UNITS <= (int)HEAP_HUGE_UNITS,
              "a run begins at most one huge page");

static inline size_t heap_states_size(const struct heap *heap)
{
    return heap->size / HEAP_BYTES_OF_STATE;
}

/* Bytes of the header and of the states that are open. */
static inline size_t heap_header_bytes(const struct heap *heap)
{
    return (size_t)((const char *)heap->states - (const char *)heap) + heap->states_opened;
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
 * Reserves `size` bytes for a heap, its guard included, at the first place of the unit map that is
 * free and not covered, which is returned. The first call chooses the map's region. NULL if there
 * is no address space, or no place.
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
 * To be called before open units first .. limit-1 are taken for blocks of `block_size` bytes, as
 * the lowest fit or by a run that grows. A huge page that they are in, of which no unit is in a
 * slab or has memory, is filled in if it is worth it: all its units are free and dirty then, and
 * zero.
 */
void heap_pages_fill_huge(struct heap *heap, size_t first, size_t limit, size_t block_size);

#endif
