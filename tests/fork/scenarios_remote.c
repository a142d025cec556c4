/* Scenarios between threads, and of flushing and trimming, which give back what all have. */
#include "check.h"

#include "actions.h"
#include "scenarios.h"

/* ---- other threads' blocks ---- */

static void prepare_remote(void)
{
    in_sleeping_thread(prepare_tiny);
}

static void prepare_remote_pooled(void)
{
    in_ended_thread(prepare_tiny);
}

static void free_remote(void)
{
    stepped_free(blocks[5]);
}

static void take_small_here(void)
{
    anchor_here();
    hold(100, SMALL);
}

/* The thread that frees one more block drains the arena. */
static size_t dropped;

static void prepare_remote_drain(void)
{
    in_ended_thread(take_small_here);
    dropped = drop_until_release(SMALL);
}

static void free_remote_drain(void)
{
    size_t slabs = slabs_of(SMALL);
    stepped_free(blocks[dropped]);
    CHECK(slabs_of(SMALL) < slabs);
}

static void realloc_remote(void)
{
    CHECK(stepped_realloc(blocks[5], 5000) != blocks[5]);
}

/* ---- giving back ---- */

/* Something in the magazine, in the window, and freed by another thread. */
static void prepare_flush(void)
{
    anchor_here();
    hold(WINDOW + 6, TINY);
    drop(10, 5);
    in_ended_thread(drop_some);
}

static void flush(void)
{
    stepped_flush();
}

/* A pooled arena, and something in the stock. */
static void prepare_trim(void)
{
    prepare_flush();
    in_ended_thread(use_other_size);
    hold(2, LARGE);
    drop(block_count - 2, 1);
}

/* The stock has extents that do not touch. */
static void prepare_trim_scattered(void)
{
    anchor_here();
    hold(6, LARGE);
    drop(0, 1);
    drop(2, 1);
    drop(4, 1);
}

static void trim(void)
{
    stepped_trim();
    CHECK(stats_now().large_stock == 0);
}

/* ---- what a lost thread has left ---- */

static void before_lost_drain(void)
{
    lose(prepare_remote_drain, free_remote_drain);
}

static void before_lost_trim(void)
{
    lose(prepare_trim, trim);
}

/* ---- the table ---- */

const struct scenario scenarios_remote[] = {
    {"free_remote", {TINY}, .prepare = prepare_remote, .run = free_remote},
    {"free_remote_pooled",
     {TINY},
     .prepare = prepare_remote_pooled,
     .also_bare = true,
     .run = free_remote},
    {"free_remote_forker", {TINY}, .also_bare = true, .run = free_remote, .forker = prepare_tiny},
    {"realloc_remote_forker",
     {TINY},
     .range = 32 * MIB,
     .run = realloc_remote,
     .forker = prepare_tiny},
    {"free_remote_drain",
     {SMALL},
     .prepare = prepare_remote_drain,
     .also_bare = true,
     .run = free_remote_drain},
    {"realloc_remote", {TINY}, .prepare = prepare_remote, .run = realloc_remote},
    {"flush", {TINY}, .prepare = prepare_flush, .run = flush},
    {"trim", {TINY}, .range = LARGE, .prepare = prepare_trim, .also_bare = true, .run = trim},
    {"trim_forker",
     {TINY_SLAB, SMALL},
     .prepare = prepare_own_arena,
     .run = stepped_trim,
     .forker = prepare_much},
    {"trim_scattered", .range = LARGE, .prepare = prepare_trim_scattered, .run = trim},
    {"lost_drain", {SMALL}, .range = 32 * MIB, .before = before_lost_drain, .run = malloc_other},
    {"lost_trim", {TINY}, .range = LARGE, .before = before_lost_trim, .run = stepped_trim},
    {.name = NULL},
};
