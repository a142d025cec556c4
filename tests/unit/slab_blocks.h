/*
 * What the tests of slab.h share: a bin without an arena, blocks taken from it and given back as an
 * arena does it, and slabs that are full.
 */
#ifndef ACRE_TESTS_UNIT_SLAB_BLOCKS_H
#define ACRE_TESTS_UNIT_SLAB_BLOCKS_H

#include "test.h"
#include "option.h"
#include "size_class.h"
#include "slab.h"

static struct heap_set set;
static struct bin bin;
static struct magazine_entry entries[MAGAZINE_MOST];

static inline void begin(void)
{
    heap_set_init(&set, NULL);
    ck_assert_int_eq(option_set_text("decay", "3600000"), 0);
}

static inline void begin_bin(size_t size)
{
    bin_init(&bin, size_class_of(size), entries);
}

static inline size_t bytes_in_slabs(void)
{
    struct heap_totals totals;

    heap_set_totals(&set, &totals);
    return totals.in_slabs;
}

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
    unsigned bit = lowest_bit(bin.window);

    bin.window &= bin.window - 1;
    state_set(&bin.window_states[bit], BLOCK_LIVE);
    return block_at(bin.window_base + bit * bin.block_size);
}

/* A block, from wherever there is one. */
static inline struct block take(void)
{
    while (bin.window == 0 && !bin_open_window(&bin))
        if (!bin_next_slab(&bin) && !bin_make_slab(&bin, &set))
            ck_abort_msg("no memory");
    return take_from_window();
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
    slab_give_back(block.slab, block.number, &set);
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
