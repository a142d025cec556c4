/*
 * Scenarios in which the system refuses memory, until what is idle has gone back to it: LARGE
 * extents and the units of empty heaps.
 */
#include "check.h"

#include "actions.h"
#include "ledger.h"
#include "scenarios.h"

#include <malloc.h>

enum {
    LITTLE = 64 << 10, /* bytes that the process still gets: less than any heap */
    MIDDLE = 20000,    /* a size that is not under test; it has a magazine */
    NO_PAGES = 4000,   /* less than a page: such a block is never LARGE instead */
    UNIT = 65536,      /* the smallest block that is a slab of its own is one unit */
};

/* The arena, which goes into the pool, has blocks in its magazines alone. */
static void use_arena(void)
{
    size_t first = block_count;
    hold(3, MIDDLE);
    drop(first, 3);
}

/* The own arena's only heap is full; a pooled arena and the stock have something. */
static void prepare_full(void)
{
    anchor_here();
    take_heap(BIG);
    in_ended_thread(use_arena);
    hold(1, LARGE);
    drop(block_count - 1, 1);
}

static void prepare_heap(void)
{
    prepare_full();
    pressure_on_address_space(LITTLE);
}

static void new_heap(void)
{
    size_t heaps = stats_now().heaps;
    stepped_malloc(BIG);
    CHECK(stats_now().heaps == heaps + 1 && stats_now().large_stock == 0);
}

/* There is room in the heap, but no more of it may be made accessible. */
static void prepare_open(void)
{
    anchor_here();
    hold(2, BIG);
    hold(1, LARGE);
    drop(block_count - 1, 1);
    pressure_on_data(LITTLE);
}

static void open_units(void)
{
    size_t heaps = stats_now().heaps;
    stepped_malloc(BIG);
    CHECK(stats_now().heaps == heaps && stats_now().large_stock == 0);
}

/* The arena's second heap is empty. */
static void prepare_empty_heap(void)
{
    anchor_here();
    take_heap(BIG);
    hold(1, BIG);
    drop(block_count - 1, 1);
    pressure_on_address_space(LITTLE);
}

static void unmap_empty(void)
{
    size_t mapped = stats_now().mapped;
    stepped_malloc(8 * LARGE);
    CHECK(stats_now().large_blocks == 1 && stats_now().mapped < mapped);
}

/*
 * The arena's second heap is empty when the arena is flushed, and not before: of its slabs one has
 * blocks in the magazine and free, and none of the other's was collected since another thread freed
 * them.
 */
static size_t second_heap; /* its first block's place among the blocks */

static void drop_remotely(void)
{
    drop(second_heap, block_count - second_heap);
}

static void prepare_flush(void)
{
    anchor_here();
    take_heap(BIG);
    take_heap(UNIT);
    size_t heaps = stats_now().heaps;
    second_heap = block_count;
    take_slab(SMALL);
    CHECK(stats_now().heaps == heaps + 1);
    in_ended_thread(drop_remotely);
    hold(3, MEDIUM);
    drop(block_count - 3, 3);
    CHECK(slabs_of(SMALL) == 1 && slabs_of(MEDIUM) == 1);
    pressure_on_address_space(LITTLE);
}

/* Nothing leads to the heap's blocks any more: the next one is found where it is mapped again. */
static void flush(void)
{
    size_t heaps = stats_now().heaps;
    unmap_empty();
    CHECK(slabs_of(SMALL) == 0 && slabs_of(MEDIUM) == 0);
    pressure_end();
    hold(1, MEDIUM);
    CHECK(stats_now().heaps == heaps && slabs_of(MEDIUM) == 1);
}

/* The units of the second heap have been unmapped. */
static void prepare_extend(void)
{
    prepare_empty_heap();
    hold(1, 8 * LARGE);
    pressure_end();
}

static void extend(void)
{
    size_t heaps = stats_now().heaps;
    stepped_malloc(BIG);
    CHECK(stats_now().heaps == heaps);
}

/* There is nothing idle. */
static void prepare_refusal(void)
{
    anchor_here();
    take_heap(BIG);
    pressure_on_address_space(LITTLE);
    for (char *block = malloc(NO_PAGES); block != NULL; block = malloc(NO_PAGES))
        ledger_add(block, NO_PAGES);
}

static void refusal(void)
{
    stepped_refusal(NO_PAGES);
}

static void before_lost_unmap(void)
{
    lose(prepare_empty_heap, unmap_empty);
    pressure_end();
}

/* ---- the table ---- */

const struct scenario scenarios_pressure[] = {
    {"pressure_new_heap", {BIG}, .range = 32 * MIB, .prepare = prepare_heap, .run = new_heap},
    {"pressure_open", {BIG}, .range = 32 * MIB, .prepare = prepare_open, .run = open_units},
    {"pressure_unmap_empty",
     {BIG},
     .range = 32 * MIB,
     .prepare = prepare_empty_heap,
     .run = unmap_empty},
    {"pressure_flush", {BIG, MEDIUM}, .range = 32 * MIB, .prepare = prepare_flush, .run = flush},
    {"pressure_extend", {BIG}, .range = 32 * MIB, .prepare = prepare_extend, .run = extend},
    {"pressure_refusal",
     {BIG, NO_PAGES},
     .range = 32 * MIB,
     .prepare = prepare_refusal,
     .run = refusal},
    {"lost_pressure_unmap",
     {BIG},
     .range = 32 * MIB,
     .before = before_lost_unmap,
     .run = malloc_other},
    {.name = NULL},
};
