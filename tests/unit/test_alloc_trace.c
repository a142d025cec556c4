/*
 * Random traces of all that allocates and frees, on one thread and on several, against a shadow:
 * contents are checked before each free, and what is left at the end.
 */
#include "test.h"
#include "memory.h"
#include "in_thread.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "arena/idle.h"
#include "common/random.h"

SUITE(alloc_trace, .begin = begin);

/* A size: mostly TINY, sometimes SMALL, seldom LARGE. */
static size_t random_size(struct random *random)
{
    uint64_t kind = random_below(random, 1000);

    if (kind < 900)
        return random_below(random, 1100);
    if (kind < 995)
        return random_below(random, 40000);
    return random_below(random, 2 * MIB);
}

enum { SLOTS = 400, STEPS = 30000, SHOWN = 256 /* bytes checked at each end of a block */ };

/* The shadow of a block: where it is, and what its ends hold. */
struct shadow {
    unsigned char *block; /* NULL: none */
    size_t size;
    unsigned char mark;
};

static struct shadow shadows[SLOTS];
static struct shadow *slots[SLOTS]; /* atomic: NULL while a thread uses the shadow */

struct tracer {
    unsigned number;
    const char *wrong; /* NULL: nothing */
    int step;          /* at which that was */
};

static void fill(const struct shadow *shadow)
{
    size_t shown = min_size(shadow->size, SHOWN);

    memset(shadow->block, shadow->mark, shown);
    memset(shadow->block + shadow->size - shown, shadow->mark, shown);
}

static bool is_intact(const struct shadow *shadow)
{
    size_t shown = min_size(shadow->size, SHOWN);

    return is_filled(shadow->block, shown, shadow->mark) &&
           is_filled(shadow->block + shadow->size - shown, shown, shadow->mark);
}

/* A new block by any of the functions; NULL, or what is wrong with it. */
static const char *make_block(struct shadow *shadow, struct random *random)
{
    size_t alignment = BLOCK_ALIGNMENT;

    shadow->size = random_size(random);
    switch (random_below(random, 8)) {
    case 0:
        shadow->block = alloc_zeroed(1, shadow->size);
        if (shadow->block != NULL && !is_filled(shadow->block, shadow->size, 0))
            return "not zero";
        break;
    case 1:
        alignment = (size_t)1 << random_below(random, 20);
        shadow->block = alloc_aligned(alignment, shadow->size);
        break;
    default:
        shadow->block = alloc_block(shadow->size);
    }
    if (shadow->block == NULL)
        return "no memory";
    if ((uintptr_t)shadow->block % max_size(alignment, BLOCK_ALIGNMENT) != 0)
        return "not aligned";
    if (free_usable_size(shadow->block, "test") < shadow->size)
        return "too short";
    return NULL;
}

static const char *resize_block(struct shadow *shadow, struct random *random)
{
    size_t size = random_size(random), kept = min_size(min_size(size, shadow->size), SHOWN);
    unsigned char *block = alloc_resize(shadow->block, size, "test");

    if (size == 0) {
        shadow->block = NULL;
        return block != NULL ? "a block of size 0" : NULL;
    }
    if (block == NULL)
        return "no memory";
    shadow->block = block;
    shadow->size = size;
    return is_filled(block, kept, shadow->mark) ? NULL : "resizing lost contents";
}

/* Checks a block and resizes or frees it, or makes one; NULL, or what is wrong. */
static const char *use_block(struct shadow *shadow, struct random *random)
{
    const char *wrong = NULL;

    if (shadow->block == NULL) {
        wrong = make_block(shadow, random);
    } else if (!is_intact(shadow)) {
        return "contents changed";
    } else if (random_below(random, 2) == 0) {
        wrong = resize_block(shadow, random);
    } else {
        free_block(shadow->block);
        shadow->block = NULL;
    }
    shadow->mark = (unsigned char)random_next(random);
    if (wrong == NULL && shadow->block != NULL)
        fill(shadow);
    return wrong;
}

/* Uses blocks of random slots, which other threads may have made. */
static void *trace(void *argument)
{
    struct tracer *tracer = argument;
    struct random random = random_begin_for(tracer->number);

    for (tracer->step = 0; tracer->step < STEPS; tracer->step++) {
        struct shadow **slot = &slots[random_below(&random, SLOTS)];
        struct shadow *shadow = __atomic_exchange_n(slot, NULL, __ATOMIC_ACQUIRE);
        if (shadow == NULL)
            continue;
        tracer->wrong = use_block(shadow, &random);
        __atomic_store_n(slot, shadow, __ATOMIC_RELEASE);
        if (tracer->wrong == NULL && tracer->step % 5000 == 0 && !own_arena_is_valid())
            tracer->wrong = "the arena is not valid";
        if (tracer->wrong != NULL)
            break;
    }
    return NULL;
}

static void count_held(void *blocks, struct slab *slab)
{
    *(size_t *)blocks += slab_live_blocks(slab);
}

/* All arenas are valid and, after a trim, hold no block. */
static void check_arenas(void)
{
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena))
        ck_assert(arena_is_valid(arena));
    idle_trim();
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        size_t blocks = 0;
        heap_set_for_each_slab(&arena->heaps, count_held, &blocks);
        ck_assert_uint_eq(blocks, 0);
        ck_assert(arena_is_valid(arena));
    }
}

/* By this thread alone, and by others. */
TEST_LOOP(random_traces_find_contents_as_they_were, 0, 2)
{
    enum { THREADS = 4 };
    struct tracer tracers[THREADS] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};

    for (int i = 0; i < SLOTS; i++)
        slots[i] = &shadows[i];
    if (_i == 0)
        trace(&tracers[0]);
    else
        run_threads(trace, tracers, THREADS, sizeof(tracers[0]));
    for (int i = 0; i < THREADS; i++)
        ck_assert_msg(tracers[i].wrong == NULL, "thread %d, step %d: %s", i, tracers[i].step,
                      tracers[i].wrong);
    for (int i = 0; i < SLOTS; i++)
        free_block(shadows[i].block);
    check_arenas();
}
