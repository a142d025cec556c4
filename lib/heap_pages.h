/*
 * A heap's pages: where its address space is reserved, in what steps it is opened, and huge pages.
 * For heap.c and the tests; bitmaps and slabs are not known here.
 *
 * Huge pages. What a first touch costs is the page fault, and one huge page takes the place of 512.
 * It is worth its memory where an arena has so much in use that what is not yet wanted of one more
 * is little: from HEAP_HUGE_FROM units of its first heap on, and in all later heaps. There, by
 * default, units are opened a huge page at a time, which is asked for and touched at once. It is
 * declined again before anything else happens: the system must not make huge pages of what was
 * given back (khugepaged does where they are asked for).
 *
 * Lock: the heap lock, but for heap_reserve and heap_open_whole.
 */
#ifndef ACRE_LIB_HEAP_PAGES_H
#define ACRE_LIB_HEAP_PAGES_H

#include "heap.h"

enum {
    HEAP_OPEN_STEP = 16,  /* units made accessible at once: 1 MiB */
    HEAP_HUGE_UNITS = 32, /* units of a huge page: 2 MiB */
    HEAP_HUGE_FROM = 4 * HEAP_HUGE_UNITS,
    HEAP_OPEN_STATES =
        64 << 10, /* bytes of states opened at once: those of 1 MiB of 16-byte blocks */
};

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

/* Reserves `size` bytes at a heap-aligned address. NULL if there is no address space. */
char *heap_reserve(size_t size);

/*
 * Opens a reserved heap at once. Not where what is open counts, used or not: against a limit, or
 * since the program locks all its memory (mlockall), which the system shows by filling pages in.
 * False then.
 */
bool heap_open_whole(char *base, size_t size);

/* Makes lines 0 .. limit-1 accessible. */
bool heap_open_lines(struct heap *heap, size_t limit);

/* Makes units below limit accessible; in steps, or just so far where the system refuses a step. */
bool heap_open_units(struct heap *heap, size_t limit);

/*
 * Before units below limit are taken, which are open: has those huge pages among them filled in
 * that are worth it and were not looked at before. What else lies in them is free and dirty then.
 */
void heap_fill_huge_pages(struct heap *heap, size_t limit);

#endif
