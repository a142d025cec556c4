/* Scenarios of a thread and its own TINY and SMALL blocks. */
#include "check.h"

#include "actions.h"
#include "scenarios.h"

#include <malloc.h>

/* ---- malloc ---- */

/* No slab is made: the block comes from one that there is. */
static void malloc_without_slab(size_t size)
{
    size_t slabs = slabs_of(size);
    stepped_malloc(size);
    CHECK(slabs_of(size) == slabs);
}

static void malloc_tiny(void)
{
    malloc_without_slab(TINY);
}

static void malloc_tiny_slab(void)
{
    malloc_without_slab(TINY_SLAB);
}

static void malloc_small(void)
{
    malloc_without_slab(SMALL);
}

static void prepare_window_used_up(void)
{
    anchor_here();
    hold(WINDOW, TINY);
}

/* The first slab has free blocks, the current one and the magazine have none. */
static void prepare_next_slab(void)
{
    anchor_here();
    take_slab_and_begin_next(SMALL);
    take_slab(SMALL);
    drop(0, magazine_size(SMALL) + 2);
    hold(magazine_size(SMALL), SMALL);
}

static void prepare_new_slab(void)
{
    anchor_here();
    take_slab(TINY_SLAB);
}

static void malloc_new_slab(void)
{
    stepped_malloc(TINY_SLAB);
    CHECK(slabs_of(TINY_SLAB) == 2);
}

static void prepare_new_heap(void)
{
    anchor_here();
    take_heap(BIG);
}

static void malloc_new_heap(void)
{
    size_t heaps = stats_now().heaps;
    stepped_malloc(BIG);
    CHECK(stats_now().heaps == heaps + 1);
}

/* All but one block of the first slab is free, and without pages. */
static void prepare_purged(void)
{
    anchor_here();
    size_t in_first = take_slab_and_begin_next(SMALL);
    drop(0, in_first - 1);
    malloc_trim(0);
}

/* A slab without free blocks, some of which another thread has freed. */
static void prepare_collect(void)
{
    anchor_here();
    take_slab(TINY_SLAB);
    in_ended_thread(drop_some);
}

/* Units have been free and dirty for longer than they may when the next slab is looked for. */
static void prepare_tick(void)
{
    anchor_here();
    set_option("decay", "1");
    take_slab(TINY_SLAB);
    hold(3, BIG);
    drop(block_count - 3, 2);
    CHECK(slabs_of(BIG) == 1);
    let_time_pass();
}

static void malloc_tick(void)
{
    size_t dirty = stats_now().heap_free_dirty;
    stepped_malloc(TINY_SLAB);
    CHECK(stats_now().heap_free_dirty < dirty);
}

/* ---- free ---- */

static void free_magazine(void)
{
    stepped_free(blocks[5]);
}

static void prepare_give_back(void)
{
    anchor_here();
    hold(magazine_size(TINY) + 10, TINY);
    drop(0, magazine_size(TINY));
}

static void free_give_back(void)
{
    stepped_free(blocks[magazine_size(TINY)]);
}

static void prepare_listing(void)
{
    anchor_here();
    take_slab_and_begin_next(TINY_SLAB);
    drop(0, magazine_size(TINY_SLAB));
}

static void free_listing(void)
{
    stepped_free(blocks[magazine_size(TINY_SLAB)]);
    CHECK(slabs_of(TINY_SLAB) == 2);
}

/* One block of the first slab is live. */
static void prepare_release(void)
{
    anchor_here();
    drop(1, take_slab_and_begin_next(SMALL) - 1);
    CHECK(slabs_of(SMALL) == 2);
}

static void prepare_release_purging(void)
{
    set_option("dirty_limit", "0");
    prepare_release();
}

static void free_release(void)
{
    stepped_free(blocks[0]);
    CHECK(slabs_of(SMALL) == 1);
}

static void free_release_purging(void)
{
    free_release();
    CHECK(stats_now().heap_free_dirty == 0);
}

/* Of four heaps the second is empty, the third has one live block, `last_of_third`, and the fourth
 * has one. */
static char *last_of_third;

static void prepare_retire(void)
{
    anchor_here();
    take_heap(BIG);
    size_t second = block_count;
    hold(1, BIG);
    take_heap(BIG);
    hold(1, BIG);
    take_heap(BIG);
    size_t fourth = block_count;
    hold(1, BIG);
    last_of_third = blocks[fourth - 1];
    drop(second, fourth - 1 - second);
    set_option("dirty_limit", "0"); /* so the next free purges, and closes heaps that are empty */
}

static void free_retire(void)
{
    size_t dirty = stats_now().heap_free_dirty;
    stepped_free(last_of_third);
    CHECK(stats_now().heap_free_dirty < dirty);
}

/* ---- realloc, calloc, memalign ---- */

static void realloc_stays(void)
{
    CHECK(stepped_realloc(blocks[5], TINY - 10) == blocks[5]);
}

static void prepare_one_small(void)
{
    anchor_here();
    hold(1, SMALL);
}

static void realloc_small_shrinks(void)
{
    CHECK(stepped_realloc(blocks[0], 3000) != blocks[0]);
}

/* A block that is a slab of its own, followed by as many free units, and then another block. */
static void prepare_slab_of_its_own(void)
{
    anchor_here();
    hold(3, OWN_SLAB);
    drop(1, 1);
    acre_thread_flush(); /* a magazine keeps one */
}

static void realloc_slab_grows(void)
{
    CHECK(stepped_realloc(blocks[0], 2 * OWN_SLAB) == blocks[0]);
    CHECK(slabs_of(2 * OWN_SLAB) == 1);
}

static void prepare_long_slab_of_its_own(void)
{
    anchor_here();
    hold(1, 4 * OWN_SLAB);
}

static void realloc_slab_shrinks(void)
{
    CHECK(stepped_realloc(blocks[0], OWN_SLAB) == blocks[0]);
    CHECK(slabs_of(OWN_SLAB) == 1);
}

static void calloc_tiny(void)
{
    stepped_calloc(TINY);
}

static void calloc_small(void)
{
    stepped_calloc(SMALL);
    CHECK(slabs_of(SMALL) == 1);
}

static void prepare_small_freed(void)
{
    prepare_one_small();
    drop(0, 1);
}

static void memalign_small(void)
{
    stepped_memalign(4096, 3000);
}

/* ---- what a lost thread has left ---- */

static void before_lost_new_slab(void)
{
    lose(prepare_new_slab, malloc_new_slab);
}

static void before_lost_new_heap(void)
{
    lose(prepare_new_heap, malloc_new_heap);
}

static void before_lost_release(void)
{
    lose(prepare_release_purging, free_release_purging);
}

/* ---- the table ---- */

const struct scenario scenarios_local[] = {
    {"malloc_magazine", {TINY}, .prepare = prepare_tiny_freed, .run = malloc_tiny},
    {"malloc_window", {TINY}, .prepare = prepare_tiny, .run = malloc_tiny},
    {"malloc_next_window", {TINY}, .prepare = prepare_window_used_up, .run = malloc_tiny},
    {"malloc_next_slab",
     {SMALL},
     .prepare = prepare_next_slab,
     .also_bare = true,
     .run = malloc_small},
    {"malloc_new_slab",
     {TINY_SLAB},
     .prepare = prepare_new_slab,
     .also_bare = true,
     .run = malloc_new_slab},
    {"malloc_new_heap",
     {BIG},
     .range = 32 * MIB,
     .prepare = prepare_new_heap,
     .also_bare = true,
     .run = malloc_new_heap},
    {"malloc_purged", {SMALL}, .prepare = prepare_purged, .run = malloc_small},
    {"malloc_collect",
     {TINY_SLAB},
     .prepare = prepare_collect,
     .also_bare = true,
     .run = malloc_tiny_slab},
    {"malloc_tick", {TINY_SLAB}, .prepare = prepare_tick, .run = malloc_tick},
    {"free_magazine", {TINY}, .prepare = prepare_tiny, .run = free_magazine},
    {"free_give_back", {TINY}, .prepare = prepare_give_back, .run = free_give_back},
    {"free_listing", {TINY_SLAB}, .prepare = prepare_listing, .run = free_listing},
    {"free_release", {SMALL}, .prepare = prepare_release, .run = free_release},
    {"free_release_purging",
     {SMALL},
     .prepare = prepare_release_purging,
     .also_bare = true,
     .run = free_release_purging},
    {"free_retire", {BIG}, .prepare = prepare_retire, .also_bare = true, .run = free_retire},
    {"realloc_stays", {TINY}, .prepare = prepare_tiny, .run = realloc_stays},
    {"realloc_small_shrinks",
     {SMALL, 3000},
     .prepare = prepare_one_small,
     .run = realloc_small_shrinks},
    {"realloc_slab_grows",
     {OWN_SLAB, 2 * OWN_SLAB},
     .prepare = prepare_slab_of_its_own,
     .also_bare = true,
     .run = realloc_slab_grows},
    {"realloc_slab_shrinks",
     {OWN_SLAB, 4 * OWN_SLAB},
     .prepare = prepare_long_slab_of_its_own,
     .also_bare = true,
     .run = realloc_slab_shrinks},
    {"calloc_magazine", {TINY}, .prepare = prepare_tiny_freed, .run = calloc_tiny},
    {"calloc_small_used", {SMALL}, .prepare = prepare_small_freed, .run = calloc_small},
    {"memalign_small", {4096}, .prepare = anchor_here, .run = memalign_small},
    {"lost_new_slab",
     {TINY_SLAB},
     .range = 32 * MIB,
     .before = before_lost_new_slab,
     .run = malloc_other},
    {"lost_new_heap",
     {BIG},
     .range = 32 * MIB,
     .before = before_lost_new_heap,
     .run = malloc_other},
    {"lost_release",
     {SMALL},
     .range = 32 * MIB,
     .before = before_lost_release,
     .run = malloc_other},
    {.name = NULL},
};
