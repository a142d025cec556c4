/*
 * The arena of a lost thread is rebuilt, and at each instruction another thread frees the only live
 * block of a slab that has been found to have one: the slab is released, at once or when the owner
 * collects; it does not stay without a live block.
 */
#include "test.h"
#include "paths/alloc.h"
#include "arena/arena.h"
#include "child.h"
#include "process/init.h"
#include "arena/remote.h"
#include "sanitized.h"
#include "step.h"
#include "arena/thread.h"

#include <pthread.h>

SUITE(arena_steps, .timeout = 300);

/* Instructions from one free to the next; forks take long under a sanitizer. */
enum { STRIDE = UNDER_SANITIZER ? 32 : 1 };

/* Bytes: of a block that shares its slab, and of one that is a slab of its own. */
static size_t sizes[] = {1000, SLAB_SHARED_LIMIT + 1};

enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

enum { STEPS_AFTER = 200 }; /* instructions that are looked at when the slab has been rebuilt */

static struct arena *arena;
static struct slab *slab;             /* of the block */
static struct slab_geometry geometry; /* of that slab */
static bool in_child;                 /* where the block is freed */
static int children;                  /* in the parent: so far */
static int rebuilt_at; /* in the parent: the instruction at which the slab's own part ended */
static int failure;    /* in the parent: what a child exited with, 0 if all is well, ... */
static int failed_at;  /* ... and at which instruction it began */

static void *leave_block(void *size)
{
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
    pid_t child = fork_limited();

    in_child = child == 0;
    if (in_child) {
        step_end();
        remote_free(&slab->owner->remote, slab, geometry.class,
                    geometry_states(slab_heap(slab), geometry), BLOCK_LIVE);
    } else {
        children++;
        failure = result_of(child);
        failed_at = steps;
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
    if (failure == 0 && steps % STRIDE == 0)
        free_in_child();
    if (!in_child && steps == rebuilt_at + STEPS_AFTER)
        step_end();
}

/* In the child, when the arena is its own. */
static int find_nothing(void)
{
    struct heap_totals totals;

    if (!arena_is_valid(arena))
        return 1;
    remote_collect(&arena->remote);
    heap_set_totals(&arena->heaps, &totals);
    if (totals.in_slabs != 0)
        return 2;
    return arena_is_valid(arena) ? 0 : 3;
}

TEST_LOOP_UNLESS(NO_STEPS, a_slab_whose_last_block_is_freed_meanwhile_is_released, 0, SIZES)
{
    pthread_t thread;

    init_start(NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, leave_block, &sizes[_i]), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    /* as if the thread had been lost in a fork; bins are made anew then */
    arena->orphan = true;
    arena->bins[geometry.class] = (struct bin){.block_size = 0};
    step_through(adopt, look);
    if (in_child)
        _exit(find_nothing());
    ck_assert_msg(failure == 0, "freed at instruction %d: %d", failed_at, failure);
    ck_assert_int_gt(children, 1);
    ck_assert(!arena->orphan && arena_is_valid(arena));
}
