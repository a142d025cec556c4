/*
 * realloc moves a block that another thread frees meanwhile, at each instruction or at some: a
 * misuse, which may or may not be seen, but no other block suffers. When the block was freed before
 * the new one was taken, it is seen.
 */
#include "test.h"
#include "paths/alloc.h"
#include "child.h"
#include "paths/free.h"
#include "block_places.h"
#include "in_thread.h"
#include "process/init.h"
#include "base/option.h"
#include "common/random.h"
#include "arena/remote.h"
#include "sanitized.h"
#include "step.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

SUITE(alloc_steps, .timeout = 300);

enum {
    SIZE = 40 << 10, /* bytes; a slab of its own, followed by another one */
    LARGER = 300 << 10,
    OTHERS = 4, /* blocks that are taken afterwards */
};

/* Instructions from one free to the next, at most; forks take long under a sanitizer. */
enum { STRIDE = UNDER_SANITIZER ? 255 : 31 };

static char *block, *resized;
static int free_at; /* the number of the instruction after which the block is freed */
static bool freed;

static void resize(void)
{
    resized = alloc_resize(block, LARGER, "realloc");
}

/* What another thread's free does. Once the block is being copied, which may be a step for each of
 * its bytes, only what doc/remote.md allows is left to go wrong. */
static void free_at_step(void)
{
    if (step_comes(0xf3, 0xa4)) /* rep movsb */
        step_end();
    if (steps != free_at)
        return;
    step_end();
    struct heap *heap = heap_containing(block);
    struct slab *slab = heap_slab_of(heap, block);
    uint64_t word = __atomic_load_n(&slab->geometry, __ATOMIC_ACQUIRE);
    struct slab_geometry g = geometry_unpack(word);
    freed = word != 0 && geometry_base(heap, g) == block &&
            remote_free(&slab->owner->remote, slab, g.class, geometry_states(heap, g), BLOCK_LIVE);
}

static bool overlap(const char *a, size_t a_size, const char *b, size_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

/* True if a block that is taken now has nothing of the one that realloc returned. */
static bool is_apart(size_t size)
{
    const char *other = alloc_block(size);
    return other != NULL && !overlap(other, size, resized, LARGER);
}

/* True if the block that realloc returned overlaps no other. */
static bool is_own(void)
{
    for (int i = 0; i < OTHERS; i++)
        if (!is_apart(SIZE) || !is_apart(LARGER))
            return false;
    return free_usable_size(resized, "test") >= LARGER;
}

enum outcome { SEEN, NOT_SEEN, NOT_FREED, WRONG };

/* Runs in a child; an enum outcome. */
static int resize_and_free(void)
{
    int null = open("/dev/null", O_WRONLY);
    if (null < 0 || dup2(null, STDERR_FILENO) < 0 ||
        !option_parse("on_error:report,foreign:report", "test"))
        return WRONG;
    remote_collect(&thread_state.arena->remote); /* the first one in a child looks at all slabs */
    step_through(resize, free_at_step);
    if (!arena_is_valid(thread_state.arena) || (resized != NULL && !is_own()))
        return WRONG;
    if (!freed)
        return resized != NULL ? NOT_FREED : WRONG;
    return resized == NULL ? SEEN : NOT_SEEN;
}

TEST_UNLESS(NO_STEPS, a_free_by_another_thread_hurts_no_block)
{
    struct random random = random_begin();
    unsigned outcomes[WRONG] = {0};
    int outcome;

    init_start(NULL);
    block = alloc_block(SIZE);
    ck_assert_ptr_nonnull(alloc_block(SIZE));
    do {
        free_at += 1 + (int)random_below(&random, STRIDE);
        outcome = result_in_child(resize_and_free); /* more than WRONG: it did not exit */
        ck_assert_msg(outcome < WRONG, "outcome %d at instruction %d", outcome, free_at);
        outcomes[outcome]++;
    } while (outcome != NOT_FREED || outcomes[NOT_FREED] < OTHERS);
    ck_assert_uint_gt(outcomes[SEEN], OTHERS);
}

/* ---- At the instant at which the new block is taken ---- */

enum {
    FEW = 100,  /* bytes */
    MORE = 500, /* bytes */
    TAKEN = 20, /* blocks; later ones are not served as the first few of their class are */
};

static uint8_t *next_state; /* of the block that realloc will take: in the magazine */

static void free_as_next_is_taken(void)
{
    if (state_get(next_state) != BLOCK_LIVE)
        return;
    step_end();
    struct slab *slab = heap_slab_of(heap_containing(block), block);
    size_t number = (size_t)(block - slab->base) / slab->block_size;
    freed = remote_free(&slab->owner->remote, slab, slab->class, slab->states + number, BLOCK_LIVE);
}

static void resize_to_more(void)
{
    resized = alloc_resize(block, MORE, "realloc");
}

/* Runs in a child; an enum outcome. */
static int resize_as_it_is_freed(void)
{
    int null = open("/dev/null", O_WRONLY);
    if (null < 0 || dup2(null, STDERR_FILENO) < 0 ||
        !option_parse("on_error:report,foreign:report", "test"))
        return WRONG;
    errno = 0;
    step_through(resize_to_more, free_as_next_is_taken);
    if (!freed)
        return NOT_FREED;
    return resized == NULL && errno == ENOMEM && state_get(next_state) != BLOCK_LIVE ? SEEN
                                                                                     : NOT_SEEN;
}

static void *take_block(void *unused)
{
    for (int i = 0; i < TAKEN; i++)
        block = alloc_block(FEW);
    return unused;
}

/* The calling thread's block, or another one's. */
TEST_LOOP_UNLESS(NO_STEPS, a_block_that_is_freed_meanwhile_is_not_copied, 0, 2)
{
    char *next = NULL;

    init_start(NULL);
    ck_assert_ptr_nonnull(alloc_block(MORE)); /* from here on it has an arena of its own */
    if (_i == 0)
        take_block(NULL);
    else
        run_thread(take_block, NULL);
    for (int i = 0; i < TAKEN; i++)
        next = alloc_block(MORE);
    next_state = state_of(next);
    free_block(next);
    ck_assert_uint_eq(state_get(next_state), BLOCK_CACHED);
    ck_assert_int_eq(result_in_child(resize_as_it_is_freed), SEEN);
}
