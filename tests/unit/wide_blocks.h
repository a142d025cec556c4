/* Slabs that are partly free, and wide blocks in them: what the tests of slab_wide.c share. */
#ifndef ACRE_TESTS_UNIT_WIDE_BLOCKS_H
#define ACRE_TESTS_UNIT_WIDE_BLOCKS_H

#include "slab_bins.h"

#include <string.h>

enum { LARGEST_SLABS = 8 * SLAB_MAX_UNITS }; /* units of a bin whose next slab is a largest one */

static uint32_t look; /* the present one */

/* Makes a slab and has its class come to all of it: it is current, without a window, all FREE. */
static inline struct slab *make_used_slab(struct bin *of)
{
    ck_assert(bin_make_slab(of, &set));
    while (bin_open_window(of))
        of->window = 0;
    return of->slab;
}

/* After states were written: what follows from them. The slab is listed, if it was current; it has
 * a LIVE block. */
static inline void list_slab(struct slab *slab)
{
    slab->summary = states_summary(slab->states, slab->count, BLOCK_FREE);
    slab->purged = count_states(slab, BLOCK_PURGED) != 0;
    if (slab_is_current(slab))
        bin_leave_slab(slab->bin);
    ck_assert(slab_is_listed(slab) && slab_is_valid(slab));
}

/* A listed slab of the bin whose first block is LIVE, all others are FREE. */
static inline struct slab *list_used_slab(struct bin *of)
{
    struct slab *slab = make_used_slab(of);

    state_set(&slab->states[0], BLOCK_LIVE);
    list_slab(slab);
    return slab;
}

/* How many places the block there has, by its states. */
static inline size_t places_of(const void *block)
{
    return slab_wide_places(slab_of(block)->states, slab_of(block)->count, number_of(block));
}

/* The next wide block, of a new look where the last one has ended; NULL if there is none. */
static inline void *take_wide(struct bin *of)
{
    return bin_take_wide(of, bins, ++look);
}

/* True if count states from `number` on are all `state`. */
static inline bool all_are(const struct slab *slab, size_t number, size_t count, uint8_t state)
{
    for (size_t i = number; i < number + count; i++)
        if (state_get(&slab->states[i]) != state)
            return false;
    return true;
}

#endif
