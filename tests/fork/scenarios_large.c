/* Scenarios of LARGE blocks and the stock. */
#include "check.h"

#include "actions.h"
#include "scenarios.h"

/* ---- malloc ---- */

static void malloc_large(void)
{
    stepped_malloc(LARGE);
    CHECK(stats_now().large_blocks == 1 && stats_now().large_stock == 0);
}

static void prepare_large(void)
{
    anchor_here();
    hold(1, LARGE);
}

static void prepare_large_stock(void)
{
    hold(1, LARGE);
    drop(0, 1);
}

static void malloc_large_split(void)
{
    stepped_malloc(LARGE * 3 / 4);
    CHECK(stats_now().large_stock == LARGE / 4);
}

/* Two extents side by side. */
static void prepare_large_two(void)
{
    hold(2, LARGE);
    drop(0, 2);
}

static void malloc_large_joined(void)
{
    stepped_malloc(LARGE * 3 / 2);
    CHECK(stats_now().large_stock == LARGE / 2);
}

static void malloc_large_extends(void)
{
    stepped_malloc(LARGE * 3 / 2);
    CHECK(stats_now().large_stock == 0);
}

static void prepare_large_due(void)
{
    set_option("decay", "1");
    hold(1, LARGE);
    drop(0, 1);
    let_time_pass();
}

static void malloc_large_due(void)
{
    stepped_malloc(LARGE / 4 * 3);
    CHECK(stats_now().large_stock == 0);
}

/* All that is mapped may be lost, or the block together with some of what is too much: but not what
 * is too much alone, as it would be if that were on its way apart from the block. */
static void memalign_large(void)
{
    stepped_memalign(LARGE, 4 * LARGE);
    CHECK(stats_now().large_blocks == 2 && stats_now().large_stock == 0);
}

static void calloc_large(void)
{
    stepped_calloc(LARGE);
}

/* ---- free ---- */

static void free_large(void)
{
    stepped_free(blocks[0]);
    CHECK(stats_now().large_stock == LARGE);
}

static void prepare_no_stock(void)
{
    set_option("large_stock", "0");
    hold(1, LARGE);
}

static void free_large_unmaps(void)
{
    stepped_free(blocks[0]);
    CHECK(stats_now().large_stock == 0);
}

/* The next free brings the stock over its bound. */
static void prepare_surplus(void)
{
    set_option("large_stock", "4M");
    hold(3, LARGE);
    drop(0, 2);
    CHECK(stats_now().large_stock == 2 * LARGE);
}

static void free_large_surplus(void)
{
    stepped_free(blocks[2]);
    CHECK(stats_now().large_stock == 3 * LARGE);
}

/* ---- realloc ---- */

/* Two blocks that touch. */
static char *lower;

static void prepare_large_neighbours(void)
{
    hold(2, LARGE);
    lower = blocks[0] < blocks[1] ? blocks[0] : blocks[1];
    CHECK(lower + LARGE == blocks[lower == blocks[0]]);
}

static void prepare_room(void)
{
    prepare_large_neighbours();
    drop(lower == blocks[0], 1);
}

static void realloc_large_grows(void)
{
    CHECK(stepped_realloc(lower, LARGE * 3 / 2) == lower);
    CHECK(stats_now().large_stock == LARGE / 2);
}

static void realloc_large_grows_over_all(void)
{
    CHECK(stepped_realloc(lower, LARGE * 2) == lower);
    CHECK(stats_now().large_stock == 0);
}

static void prepare_large_long(void)
{
    hold(1, 4 * LARGE);
}

static void realloc_large_shrinks(void)
{
    CHECK(stepped_realloc(blocks[0], LARGE) == blocks[0]);
    CHECK(stats_now().large_stock == 3 * LARGE);
}

static void realloc_large_moves(void)
{
    CHECK(stepped_realloc(lower, 3 * LARGE) != lower);
}

static void realloc_large_to_small(void)
{
    stepped_realloc(blocks[0], SMALL);
    CHECK(stats_now().large_blocks == 0);
}

/* ---- what a lost thread has left ---- */

static void malloc_any_large(void)
{
    stepped_malloc(LARGE);
}

static void before_lost_large_split(void)
{
    lose(prepare_large_stock, malloc_large_split);
}

static void before_lost_large_grows(void)
{
    lose(prepare_room, realloc_large_grows);
}

/* ---- the table ---- */

const struct scenario scenarios_large[] = {
    {"malloc_large", .range = LARGE, .run = malloc_large},
    {"malloc_large_split", .range = LARGE, .prepare = prepare_large_stock, .also_bare = true,
     .run = malloc_large_split},
    {"malloc_large_joined", .range = LARGE, .prepare = prepare_large_two,
     .run = malloc_large_joined},
    {"malloc_large_extends", .range = LARGE, .prepare = prepare_large_stock, .also_bare = true,
     .run = malloc_large_extends},
    {"malloc_large_due", .range = LARGE, .prepare = prepare_large_due, .run = malloc_large_due},
    {"memalign_large", .range = 5 * LARGE, .range_least = 4 * LARGE, .prepare = prepare_large,
     .run = memalign_large},
    {"calloc_large_used", .range = LARGE, .prepare = prepare_large_stock, .run = calloc_large},
    {"free_large", .prepare = prepare_large, .run = free_large},
    {"free_large_unmaps", .range = LARGE, .prepare = prepare_no_stock, .run = free_large_unmaps},
    {"free_large_surplus", .range = 3 * LARGE, .prepare = prepare_surplus, .also_bare = true,
     .run = free_large_surplus},
    {"realloc_large_grows", .range = LARGE, .prepare = prepare_room, .also_bare = true,
     .run = realloc_large_grows},
    {"realloc_large_grows_over_all", .range = LARGE, .prepare = prepare_room,
     .run = realloc_large_grows_over_all},
    {"realloc_large_shrinks", .range = 3 * LARGE, .prepare = prepare_large_long,
     .run = realloc_large_shrinks},
    {"realloc_large_moves", .range = 4 * LARGE, .prepare = prepare_large_neighbours,
     .run = realloc_large_moves},
    {"realloc_large_to_small", {SMALL}, .prepare = prepare_large, .run = realloc_large_to_small},
    {"lost_large_split", .range = 4 * LARGE, .before = before_lost_large_split,
     .run = malloc_any_large},
    {"lost_large_grows", .range = 4 * LARGE, .before = before_lost_large_grows,
     .run = malloc_any_large},
    {.name = NULL},
};
