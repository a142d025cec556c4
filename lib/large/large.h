/*
 * LARGE: blocks that have pages of their own, in one process-wide list (large_list.h): the design
 * is in doc/design.md. What the stock lacks is mapped below the list's lower edge, which is how the
 * system lays out mappings, too. Lock: LOCK_RANK_LARGE, taken inside; no system call is made under
 * it. Functions preserve errno.
 *
 * The states of an entry (extents.h); each step is published by one store, so that a child of fork
 * finds all steps up to one of them:
 *
 *   UNUSED -> PRIVATE -> STOCK         a range was mapped for a block; what an alignment leaves
 *                                      over of it stays in the stock
 *   STOCK -> LIVE -> STOCK             a block
 *   STOCK -> PRIVATE -> UNUSED         unmapped; PRIVATE before the system call, since another
 *                                      thread may get the address
 *   LIVE -> PRIVATE -> LIVE            moved by mremap, likewise; or its guard is set or opened
 *
 * With option hardened a block has one page more, its last, which is a guard (guard_page.h): so
 * what it touches is a block's beginning, or free. It is opened before the block is freed or
 * resized.
 */
#ifndef ACRE_LIB_LARGE_H
#define ACRE_LIB_LARGE_H

#include "base/base.h"

/* What the list knows of an address. */
struct large_info {
    bool known;  /* it is in a block or a free extent, or starts a block that was freed lately */
    void *base;  /* of the block, LIVE or freed; NULL if it is known to be free only */
    size_t size; /* of that block, bytes */
};

/* Different starts of freed blocks that are remembered, about. */
enum { LARGE_REMEMBERED = 1024 };

/* Bytes, and how many blocks. */
struct large_totals {
    size_t live_bytes, live_blocks;  /* what the program holds */
    size_t stock_bytes, stock_dirty; /* free and mapped; of those, what may have contents */
};

/*
 * A block of at least `size` bytes (rounded up to pages; size is not 0 and at most PTRDIFF_MAX) at
 * a multiple of `alignment`, a power of two. *zero tells whether its contents are known to be zero;
 * zero is NULL if the caller does not need zeroes, which decides about huge pages. NULL if there is
 * no memory: the caller gives back what is idle, if that could help (alloc.c).
 */
void *large_alloc(size_t size, size_t alignment, bool *zero);

/* Frees the block that starts at p. 0, or EINVAL, with nothing done, if none that is LIVE does. */
int large_free(void *p);

/* Usable bytes of the LIVE block that starts at p, 0 if there is none. */
size_t large_usable_size(const void *p);

/* What was noted of the LIVE block that starts at p (paths/mismatch.h); 0: nothing, or there is
 * none. */
uint64_t large_note(const void *p);
void large_set_note(const void *p, uint64_t note);

/*
 * Changes the size of the LIVE block at p to at least `size` bytes: in place by giving back its
 * tail, or by taking in what is free after it; else by mremap. Contents up to the smaller size
 * stay. Returns the block's address, or NULL with nothing changed if it cannot be done without
 * copying (or there is no memory, or the limit has no room).
 */
void *large_resize(void *p, size_t size);

/* Lets the LIVE block at p be of an own heap, by the number of its arena. */
void large_set_heap(const void *p, uint32_t heap);

/* The own heap of the LIVE block that starts at p; 0: none, or no block does. */
uint32_t large_heap(const void *p);

/* Frees all LIVE blocks of an own heap; calls `before` for each. */
void large_free_heap(uint32_t heap, void (*before)(const void *p));

/* What the list knows of p, for misuse reports. */
void large_find(const void *p, struct large_info *info);

void large_totals(struct large_totals *totals);

/* Checks the list, as extents_is_valid does. */
bool large_is_valid(void);

#endif
