/*
 * What the tests of slab.h and slab_purge.h share: blocks taken from a bin and given back as an
 * arena does it, and slabs that are full.
 */
#ifndef ACRE_TESTS_UNIT_SLAB_BLOCKS_H
#define ACRE_TESTS_UNIT_SLAB_BLOCKS_H

#include "one_bin.h"

struct block {
    char *address;
    struct slab *slab;
    size_t number;
};

static inline struct block block_at(char *address)
{
    struct block block = {.address = address};

    block.slab = heap_slab_of(heap_containing(address), address);
    if (!slab_starts_block((size_t)(address - block.slab->base), block.slab->reciprocal,
                           &block.number))
        ck_abort_msg("no block starts at %p", (void *)address);
    return block;
}

static inline uint8_t *state_of(struct block block)
{
    return &block.slab->states[block.number];
}

/* The lowest block of the window. */
static inline struct block take_from_window(void)
{
    return block_at(take_address_from_window());
}

/* A block, from wherever there is one. */
static inline struct block take(void)
{
    return block_at(take_address());
}

/* What the owner's free does where the magazine has room. */
static inline void cache(struct block block)
{
    ck_assert_ptr_ne(bin.top, bin.limit);
    state_set(state_of(block), BLOCK_CACHED);
    *bin.top++ = (struct magazine_entry){.block = block.address, .state = state_of(block)};
}

static inline void give(struct block block)
{
    slab_give_back(block.slab, block.number);
}

/* Fills `count` slabs; all blocks are LIVE. Returns the number of blocks. */
static inline size_t fill_slabs(struct block *blocks, size_t most, unsigned count)
{
    size_t taken = 0;
    unsigned slabs = 0;

    while (slabs < count || bin.window != 0 || bin.slab->summary != 0) {
        const struct slab *before = bin.slab;
        ck_assert_uint_lt(taken, most);
        blocks[taken++] = take();
        slabs += bin.slab != before;
    }
    return taken;
}

enum { MOST_BLOCKS = 512 };
static struct block blocks[MOST_BLOCKS];

#endif
