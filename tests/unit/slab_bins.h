/*
 * Bins of one set of heaps without an arena, and blocks of theirs, as an arena and other threads
 * use them: what the tests of slab.h and remote.h share.
 */
#ifndef ACRE_TESTS_UNIT_SLAB_BINS_H
#define ACRE_TESTS_UNIT_SLAB_BINS_H

#include "block_places.h"
#include "arena/remote.h"
#include "base/option.h"
#include "base/size_class.h"
#include "slab/slab.h"

static struct heap_set set;
static struct remote remote;
static struct bin bins[SIZE_CLASS_COUNT];
static struct magazine_entry entries[SIZE_CLASS_COUNT][MAGAZINE_MOST];
static struct bin *bin; /* the one begun last */

static inline void begin(void)
{
    heap_set_init(&set, NULL);
    remote_init(&remote, &set);
    ck_assert_int_eq(option_set_text("decay", "3600000"), 0);
}

static inline struct bin *begin_bin(size_t size)
{
    unsigned class = size_class_of(size);

    bin = &bins[class];
    *bin = (struct bin){.units = 0};
    bin_init(bin, class, entries[class]);
    return bin;
}

static inline size_t bytes_in_slabs(void)
{
    struct heap_totals totals;

    heap_set_totals(&set, &totals);
    return totals.in_slabs;
}

static inline bool all_valid(void)
{
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        if (!bin_is_valid(&bins[class]))
            return false;
    return heap_set_is_valid(&set);
}

static inline bool is_live(const struct slab *slab)
{
    return slab->geometry != 0;
}

static inline size_t count_states(const struct slab *slab, uint8_t state)
{
    return states_count(slab->states, slab->count, state);
}

/* ---- the owner ---- */

/* Makes the lowest block of the bin's window LIVE, or of its next one; NULL if its slabs are full.
 */
static inline char *take_place(struct bin *from)
{
    while (from->window == 0)
        if (!bin_open_window(from) && !bin_next_slab(from))
            return NULL;
    unsigned bit = lowest_bit(from->window);
    from->window &= from->window - 1;
    state_set(&from->window_states[bit], BLOCK_LIVE);
    return from->window_base + bit * from->block_size;
}

/* A LIVE block of `bin`, from wherever the owner has one. */
static inline char *take(void)
{
    char *block;

    while ((block = take_place(bin)) == NULL)
        ck_assert(bin_make_slab(bin, &set));
    return block;
}

/* What the owner's free does where the magazine has room. */
static inline void cache(char *block)
{
    ck_assert_ptr_ne(bin->top, bin->limit);
    state_set(state_of(block), BLOCK_CACHED);
    *bin->top++ = (struct magazine_entry){.block = block, .state = state_of(block)};
}

/* Where it has none; also of a wide block. */
static inline void give(const char *block)
{
    slab_give_back(slab_of(block), number_of(block));
}

/* ---- another thread ---- */

/* False if the block is not `held`, LIVE or WIDE. */
static inline bool free_remotely_as(const char *block, uint8_t held)
{
    return remote_free(&remote, slab_of(block), slab_of(block)->class, state_of(block), held);
}

static inline bool free_remotely(const char *block)
{
    return free_remotely_as(block, BLOCK_LIVE);
}

#endif
