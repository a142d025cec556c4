/*
 * Bins of all classes without an arena, slabs of them that are partly free, and what a slab rebuilt
 * from its states has: what the tests of slab_wide.h share.
 */
#ifndef ACRE_TESTS_UNIT_WIDE_BLOCKS_H
#define ACRE_TESTS_UNIT_WIDE_BLOCKS_H

#include "block_places.h"
#include "one_set.h"
#include "arena/remote.h"
#include "base/size_class.h"
#include "slab/slab_wide.h"

#include <string.h>

enum { LARGEST_SLABS = 8 * SLAB_MAX_UNITS }; /* units of a bin whose next slab is a largest one */

static struct bin bins[SIZE_CLASS_COUNT];
static struct magazine_entry entries[SIZE_CLASS_COUNT][MAGAZINE_MOST];
static uint32_t look; /* the present one */

static inline struct bin *begin_bin(size_t size)
{
    unsigned class = size_class_of(size);

    bins[class] = (struct bin){.units = 0};
    bin_init(&bins[class], class, entries[class]);
    return &bins[class];
}

/* Makes the lowest block of the bin's window LIVE, or of its next one; NULL if its slabs are full.
 */
static inline char *take_place(struct bin *bin)
{
    while (bin->window == 0)
        if (!bin_open_window(bin) && !bin_next_slab(bin))
            return NULL;
    return take_from_window_of(bin);
}

/* Makes a slab and has its class come to all of it: it is current, without a window, all FREE. */
static inline struct slab *make_used_slab(struct bin *bin)
{
    ck_assert(bin_make_slab(bin, &set));
    while (bin_open_window(bin))
        bin->window = 0;
    return bin->slab;
}

/* After states were written: what follows from them. The slab is listed, if it was current; it has
 * a LIVE block. */
static inline void list_slab(struct slab *slab)
{
    slab->summary = states_summary(slab->states, slab->count, BLOCK_FREE);
    slab->purged = states_find(slab->states, slab->count, BLOCK_PURGED) != slab->count;
    if (slab->current)
        bin_leave_slab(slab->bin);
    ck_assert(slab->listed && slab_is_valid(slab));
}

/* How many places the block there has, by its states. */
static inline size_t places_of(const void *block)
{
    return slab_wide_places(slab_of(block)->states, slab_of(block)->count, number_of(block));
}

/* The next wide block, of a new look where the last one has ended; NULL if there is none. */
static inline void *take_wide(struct bin *bin)
{
    return bin_take_wide(bin, bins, ++look);
}

static inline void free_wide(void *block)
{
    slab_free_wide(slab_of(block), number_of(block));
}

static inline bool all_valid(void)
{
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        if (!bin_is_valid(&bins[class]))
            return false;
    return heap_set_is_valid(&set);
}

/* True if count states from `number` on are all `state`. */
static inline bool all_are(const struct slab *slab, size_t number, size_t count, uint8_t state)
{
    for (size_t i = number; i < number + count; i++)
        if (state_get(&slab->states[i]) != state)
            return false;
    return true;
}

static inline bool free_remotely(const char *block, uint8_t held)
{
    return remote_free(&remote, slab_of(block), slab_of(block)->class, state_of(block), held);
}

/* ---- One host ---- */

enum { PLACE = 512, SIZE = 2048, PLACES = SIZE / PLACE };

static struct bin *host, *wide; /* the bins of PLACE and SIZE */
static struct slab *host_slab;  /* the first block is LIVE */

/* A wide block in a slab that has one other block, a LIVE one before it. */
static inline char *hold_one_wide(size_t place, size_t size)
{
    wide = begin_bin(size);
    host = begin_bin(place);
    host_slab = make_used_slab(host);
    state_set(&host_slab->states[0], BLOCK_LIVE);
    list_slab(host_slab);
    char *block = take_wide(wide);
    ck_assert_ptr_eq(block, host_slab->base + place);
    return block;
}

#endif
