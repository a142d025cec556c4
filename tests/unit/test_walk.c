/*
 * Walking over all blocks while the callback allocates and frees: each block that is passed on was
 * one, and blocks that are not touched are passed on once.
 */
#include "test.h"
#include "inspect/root.h"
#include "inspect/walk.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "paths/free.h"

SUITE(walk, .begin = begin_without_decay);

enum { SIZE = 64, BLOCKS = 3000, OTHER = 2048 };

static char *blocks[BLOCKS];
static unsigned seen[BLOCKS];

static int walk(acre_heap_callback *callback)
{
    struct view own;
    root_view_own(&own);
    return walk_blocks(&own, callback, NULL);
}

static void make_blocks(void)
{
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = alloc_block(SIZE);
}

static void note(const struct acre_block *block)
{
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i] == block->address) {
            ck_assert_int_eq(block->state, ACRE_BLOCK_LIVE);
            ck_assert_uint_ge(block->size, SIZE);
            seen[i]++;
        }
}

static int note_and_allocate(void *unused, const struct acre_block *block)
{
    (void)unused;
    note(block);
    free_block(alloc_block(100));
    return 0;
}

TEST(each_block_is_seen_once)
{
    make_blocks();
    ck_assert_int_eq(walk(note_and_allocate), 0);
    for (int i = 0; i < BLOCKS; i++)
        ck_assert_uint_eq(seen[i], 1);
}

/* The slab of the last block. */
static struct slab *host;
static bool released;
static size_t stale; /* blocks of the old slab that were passed on after it was released */

/* At the first block of the slab: frees all of them, so that others get the place. */
static int release_slab(void *unused, const struct acre_block *block)
{
    struct slab *slab;
    (void)unused;
    if (!unit_map_find(block->address, &slab) || slab != host)
        return 0;
    if (released) {
        stale += block->block_class == SIZE;
        return 0;
    }
    released = true;
    for (int i = 0; i < BLOCKS; i++)
        free_block(blocks[i]);
    arena_flush(thread_own_arena());
    for (int i = 0; i < 500; i++)
        blocks[i] = alloc_block(OTHER);
    return 0;
}

TEST(a_slab_that_the_callback_releases_ends)
{
    enum { READ_BEFORE = 256 };
    make_blocks();
    ck_assert(unit_map_find(blocks[BLOCKS - 1], &host));
    ck_assert_uint_gt(host->count, 2 * READ_BEFORE);
    ck_assert_int_eq(walk(release_slab), 0);
    ck_assert(released);
    ck_assert_uint_le(stale, READ_BEFORE);
}
