/* A bin without an arena, and blocks taken from it: what slab_blocks.h and remote_blocks.h share.
 */
#ifndef ACRE_TESTS_UNIT_ONE_BIN_H
#define ACRE_TESTS_UNIT_ONE_BIN_H

#include "one_set.h"
#include "base/size_class.h"

static struct bin bin;
static struct magazine_entry entries[MAGAZINE_MOST];

static inline void begin_bin(size_t size)
{
    bin_init(&bin, size_class_of(size), entries);
}

/* Makes the lowest block of the window LIVE; its address. */
static inline char *take_address_from_window(void)
{
    return take_from_window_of(&bin);
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
