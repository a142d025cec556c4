/*
 * Allocation: the fast path, and what the exported functions are made of.
 *
 *   alloc_block ---- magazine ----> block
 *        |  \------- window ------> block
 *        v
 *   alloc_slow ----- next window of the current slab; all of the above while a mode is on
 *        |  \------- large_alloc     above 1 MiB; from 4 KiB on if no heap has room
 *        v
 *   take_few         a class's first few blocks, in places of smaller ones
 *        |
 *     take_block
 *        |
 *      refill ------ what other threads freed of the class
 *        |     \---- a partly free slab
 *        |
 *      bin_take_wide in the place of several smaller blocks
 *        |
 *      refill_from_new   a new slab; else idle memory goes back, and another try
 *
 * Blocks of own heaps (doc/heaps.md) come by the same functions, from the heap's arena, under its
 * lock. Outside of the lock are ticks, what gives idle memory back, and whatever may report a
 * misuse.
 *
 * All functions preserve errno, and set it to ENOMEM where they return NULL.
 */
#ifndef ACRE_LIB_ALLOC_H
#define ACRE_LIB_ALLOC_H

#include "arena/arena.h"
#include "base/base.h"
#include "base/size_class.h"
#include "base/states.h"

#include <assert.h>

/* All requests that the fast path does not serve; all of malloc while a mode (the heap
 * profile, the trace) is on. */
NOINLINE void *alloc_slow(size_t size);

/* Takes a block from the bin's magazine or else its window; false if both are empty. */
static ALWAYS_INLINE bool alloc_from_bin(struct bin *bin, void **block)
{
    struct magazine_entry *top = bin->top;
    if (LIKELY(top != bin->bottom)) {
        bin->top = top - 1;
        state_set(top[-1].state, BLOCK_LIVE);
        *block = top[-1].block;
        return true;
    }
    uint64_t window = bin->window;
    if (UNLIKELY(window == 0))
        return false;
    unsigned number = lowest_bit(window);
    bin->window = window & (window - 1);
    state_set(&bin->window_states[number], BLOCK_LIVE);
    *block = bin->window_base + number * bin->block_size;
    return true;
}

static_assert(sizeof(struct bin) == SIZE_CLASS_STRIDE, "the table's entries are offsets of bins");

/* The calling thread's bin for `size`, at most SIZE_CLASS_TABLE_LIMIT bytes; while a profile is
 * taken, the bin that is always empty. */
static ALWAYS_INLINE struct bin *alloc_bin_of(size_t size)
{
    char *bins = (char *)thread_state.arena->bins;
    return (struct bin *)(void *)(bins + PLAIN_LOAD(size_class_short_path[(size + 15) / 16]));
}

/* A block of at least `size` bytes; false if that takes alloc_slow. */
static ALWAYS_INLINE bool alloc_at_hand(size_t size, void **block)
{
    if (UNLIKELY(size > SIZE_CLASS_TABLE_LIMIT))
        return false;
    return LIKELY(alloc_from_bin(alloc_bin_of(size), block));
}

static ALWAYS_INLINE void *alloc_block(size_t size)
{
    void *block;
    return LIKELY(alloc_at_hand(size, &block)) ? block : alloc_slow(size);
}

/* count x size bytes, all zero; also fails if that overflows. From 4 KiB on no zeroes are written
 * to what is known to be zero. From 1 MiB on pages without memory get none (os_zero). */
void *alloc_zeroed(size_t count, size_t size);

/* At least `size` bytes at a multiple of `alignment`, a power of two. */
void *alloc_aligned(size_t alignment, size_t size);

/*
 * realloc(p, size) for any p and size, with `function` the exported function's name for reports:
 * NULL allocates, size 0 frees and returns NULL. A block stays where it is if it fits and at least
 * half of it is used, or it has no more than 64 bytes. One of the calling thread's above
 * SLAB_SHARED_LIMIT is resized where it is if the units that follow it are free. A LARGE one is
 * resized where it is, or moved by mremap. Else the contents are copied.
 */
void *alloc_resize(void *p, size_t size, const char *function);

/* The same for an own heap, which is in use: a block of it, for any thread. */
void *alloc_of_heap(struct own_heap *heap, size_t size);
void *alloc_zeroed_of_heap(struct own_heap *heap, size_t count, size_t size);
void *alloc_aligned_of_heap(struct own_heap *heap, size_t alignment, size_t size);

/* As alloc_resize; a block that moves, or that NULL gives, is of the own heap. NULL: of none. */
void *alloc_resize_of_heap(struct own_heap *heap, void *p, size_t size, const char *function);

/* Bytes that alloc_block(size) has at least; 0 above PTRDIFF_MAX. */
size_t alloc_good_size(size_t size);

#endif
