/*
 * The arena of a lost thread is rebuilt, and at each instruction another thread frees the only live
 * block of a slab that has been found to have one: the slab is released, at once or when the owner
 * collects; it does not stay without a live block.
 */
#include "test.h"
#include "child.h"
#include "in_thread.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "sanitized.h"
#include "step.h"

SUITE(arena_steps, .begin = begin, .timeout = 300);

/* Instructions from one free to the next; forks take long under a sanitizer. */
enum { STRIDE = UNDER_SANITIZER ? 32 : 1 };

/* Bytes: of a block that shares its slab, and of one that is a slab of its own. */
static size_t sizes[] = {1000, SLAB_SHARED_LIMIT + 1};

enum { STEPS_AFTER = 200 }; /* instructions that are looked at when the slab has been rebuilt */

static struct arena *arena;
static struct slab *slab;             /* of the block */
static struct slab_geometry geometry; /* of that slab */
static unsigned children;             /* in the parent: so far */
static int rebuilt_at; /* in the parent: the instruction at which the slab's own part ended */
static int failed_at;  /* in the parent: where the last child began */

static void *leave_block(void *size)
{
    skip_first_blocks();
    char *block = alloc_block(*(size_t *)size);

    arena = thread_own_arena();
    slab = heap_slab_of(heap_containing(block), block);
    geometry = geometry_unpack(slab->geometry);
    return NULL;
}

static void adopt(void)
{
    ck_assert_ptr_eq(arena_adopt(), arena);
}

/* Makes a child in which the block is freed now, and the arena is rebuilt to the end. */
static void free_in_child(void)
{
    children++;
    failed_at = steps;
    if (fork_midway()) {
        step_end();
        remote_free(&slab->owner->remote, slab, geometry.class,
                    geometry_states(slab_heap(slab), geometry), BLOCK_LIVE);
    }
}

/* The bin is made when the slab has been found to have a live block, and counts its units when the
 * slab has been rebuilt. */
static void look(void)
{
    const struct bin *bin = &arena->bins[geometry.class];

    if (bin->block_size == 0)
        return;
    if (bin->units == 0)
        rebuilt_at = steps;
    if (failed_children == 0 && steps % STRIDE == 0)
        free_in_child();
    if (!in_forked_child && steps == rebuilt_at + STEPS_AFTER)
        step_end();
}

/* In the child, when the arena is its own. */
static int find_nothing(void)
{
    if (!arena_is_valid(arena))
        return 1;
    remote_collect(&arena->remote);
    if (totals_of(arena).in_slabs != 0)
        return 2;
    return arena_is_valid(arena) ? 0 : 3;
}

TEST_LOOP_UNLESS(NO_STEPS, a_slab_whose_last_block_is_freed_meanwhile_is_released, 0,
                 COUNT_OF(sizes))
{
    run_thread(leave_block, &sizes[_i]);
    /* as if the thread had been lost in a fork; bins are made anew then */
    arena->orphan = true;
    arena->bins[geometry.class] = (struct bin){.block_size = 0};
    step_through(adopt, look);
    if (in_forked_child)
        _exit(find_nothing());
    ck_assert_msg(failed_children == 0, "freed at instruction %d", failed_at);
    ck_assert_uint_gt(children, 1);
    ck_assert(!arena->orphan && arena_is_valid(arena));
}
