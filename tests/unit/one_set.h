/* A set of heaps without an arena: what one_bin.h and wide_blocks.h share. */
#ifndef ACRE_TESTS_UNIT_ONE_SET_H
#define ACRE_TESTS_UNIT_ONE_SET_H

#include "test.h"
#include "arena/remote.h"
#include "base/option.h"
#include "slab/slab.h"

static struct heap_set set;
static struct remote remote;

static inline void begin(void)
{
    heap_set_init(&set, NULL);
    remote_init(&remote, &set);
    ck_assert_int_eq(option_set_text("decay", "3600000"), 0);
}

static inline size_t bytes_in_slabs(void)
{
    struct heap_totals totals;

    heap_set_totals(&set, &totals);
    return totals.in_slabs;
}

/* Makes the lowest block of a bin's window LIVE; its address. */
static inline char *take_from_window_of(struct bin *bin)
{
    unsigned bit = lowest_bit(bin->window);

    bin->window &= bin->window - 1;
    state_set(&bin->window_states[bit], BLOCK_LIVE);
    return bin->window_base + bit * bin->block_size;
}

#endif
