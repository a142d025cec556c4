/* A bin without an arena, and blocks taken from it: what slab_blocks.h and remote_blocks.h share.
 */
#ifndef ACRE_TESTS_UNIT_ONE_BIN_H
#define ACRE_TESTS_UNIT_ONE_BIN_H

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

/* Makes the lowest block of the window LIVE; its address. */
static inline char *take_address_from_window(void)
{
    unsigned bit = lowest_bit(bin.window);

    bin.window &= bin.window - 1;
    state_set(&bin.window_states[bit], BLOCK_LIVE);
    return bin.window_base + bit * bin.block_size;
}

/* The same from wherever the owner has a block. */
static inline char *take_address(void)
{
    while (bin.window == 0 && !bin_open_window(&bin))
        if (!bin_next_slab(&bin) && !bin_make_slab(&bin, &set))
            ck_abort_msg("no memory");
    return take_address_from_window();
}

#endif
