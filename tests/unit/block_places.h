/* From a block's address to its slab, its number and its state. */
#ifndef ACRE_TESTS_UNIT_BLOCK_PLACES_H
#define ACRE_TESTS_UNIT_BLOCK_PLACES_H

#include "test.h"
#include "heap/heap.h"
#include "slab/slab.h"

static inline struct slab *slab_of(const void *block)
{
    return heap_slab_of(heap_containing(block), block);
}

/* The number of the place at which a block begins. */
static inline size_t number_of(const void *block)
{
    const struct slab *slab = slab_of(block);
    size_t number;

    if (!slab_starts_block((size_t)((const char *)block - slab->base), slab->reciprocal, &number))
        ck_abort_msg("no block starts at %p", block);
    return number;
}

static inline uint8_t *state_of(const void *block)
{
    return &slab_of(block)->states[number_of(block)];
}

#endif
