/* The library as the constructor starts it, the calling thread's arena, and what arenas hold. */
#ifndef ACRE_TESTS_UNIT_OWN_ARENA_H
#define ACRE_TESTS_UNIT_OWN_ARENA_H

#include "test.h"
#include "arena/thread.h"
#include "base/option.h"
#include "process/check.h"
#include "process/init.h"

/* For SUITE(..., .begin = begin). */
static inline void begin(void)
{
    init_start(NULL);
}

/* Likewise: nothing is due before the time that a test gives. */
static inline void begin_without_decay(void)
{
    begin();
    ck_assert_int_eq(option_set_text("decay", "3600000"), 0);
}

/* True if the arena is valid; a thread that has only LARGE blocks has none. */
static inline bool own_arena_is_valid(void)
{
    struct arena *own = thread_own_arena();

    return own == NULL || arena_is_valid(own);
}

static inline struct heap_totals totals_of(struct arena *arena)
{
    struct heap_totals totals;
    heap_set_totals(&arena->heaps, &totals);
    return totals;
}

/* The number of faults that acre_check finds. */
static inline size_t faults_of_process(void)
{
    struct out out;
    out_to_memory(&out);
    return check_process(&out);
}

/* From now on no block of the calling thread lies in the place of several smaller ones because it
 * is one of its class's first. */
static inline void skip_first_blocks(void)
{
    bool borrowed;
    struct arena *own = thread_get_arena(&borrowed);
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        own->bins[class].few = UINT8_MAX;
}

struct blocks_counted {
    uint8_t state;
    size_t blocks;
};

static inline void count_blocks_of_slab(void *context, struct slab *slab)
{
    struct blocks_counted *count = context;
    struct slab_geometry g = geometry_unpack(slab->geometry);
    count->blocks += states_count(geometry_states(slab_heap(slab), g), g.count, count->state);
}

static inline size_t blocks_in_state(struct arena *arena, enum block_state state)
{
    struct blocks_counted count = {.state = (uint8_t)state};
    heap_set_for_each_slab(&arena->heaps, count_blocks_of_slab, &count);
    return count.blocks;
}

/* The blocks of an arena that the program holds; of no profile. */
static inline size_t live_blocks_in(struct arena *arena)
{
    return blocks_in_state(arena, BLOCK_LIVE) + blocks_in_state(arena, BLOCK_WIDE);
}

#endif
