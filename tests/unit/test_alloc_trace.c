/*
 * Random traces of all that allocates and frees, on one thread and on several, against a shadow:
 * contents are checked before each free, and what is left at the end.
 */
#include "own_arena.h"
#include "paths/alloc.h"
#include "paths/free.h"
#include "random.h"

#include <inttypes.h>
#include <pthread.h>

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

enum { HELD = 400, STEPS = 30000, SHOWN = 256 /* bytes checked at each end of a block */ };

/* The shadow of a block: where it is, and what its ends hold. */
struct shadow {
    unsigned char *block; /* NULL: none */
    size_t size;
    unsigned char mark;
};

struct tracer {
    pthread_t thread;
    unsigned number;
    int failed_step; /* -1: none */
    const char *wrong;
    uint64_t seed;
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

    return all_bytes(shadow->block, shown, shadow->mark) &&
           all_bytes(shadow->block + shadow->size - shown, shown, shadow->mark);
}

/* A new block by any of the functions; NULL, or what is wrong with it. */
static const char *make_block(struct shadow *shadow, struct random *random)
{
    size_t alignment = BLOCK_ALIGNMENT;

    shadow->size = random_size(random);
    switch (random_below(random, 8)) {
    case 0:
        shadow->block = alloc_zeroed(1, shadow->size);
        if (shadow->block != NULL && !all_bytes(shadow->block, shadow->size, 0))
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
    return all_bytes(block, kept, shadow->mark) ? NULL : "resizing lost contents";
}

static const char *trace_step(struct shadow *held, struct random *random)
{
    struct shadow *shadow = &held[random_below(random, HELD)];
    const char *wrong = NULL;

    if (shadow->block != NULL && !is_intact(shadow))
        return "somebody wrote into a live block";
    if (shadow->block == NULL) {
        wrong = make_block(shadow, random);
    } else if (random_below(random, 4) == 0) {
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

static void *trace(void *argument)
{
    struct tracer *tracer = argument;
    struct shadow held[HELD] = {{.block = NULL}};
    struct random random = random_begin();

    tracer->seed = random.seed;
    tracer->failed_step = -1;
    random.state += tracer->number;
    for (int step = 0; step < STEPS; step++) {
        tracer->wrong = trace_step(held, &random);
        if (tracer->wrong == NULL && step % 5000 == 0 && !own_arena_is_valid())
            tracer->wrong = "the arena is not valid";
        if (tracer->wrong != NULL) {
            tracer->failed_step = step;
            return NULL;
        }
    }
    for (int i = 0; i < HELD; i++)
        free_block(held[i].block);
    return NULL;
}

static void check_tracer(const struct tracer *tracer)
{
    ck_assert_msg(tracer->failed_step < 0, "thread %u, step %d: %s; seed %" PRIu64, tracer->number,
                  tracer->failed_step, tracer->wrong, tracer->seed);
}

/* In a heap set: blocks that are not FREE. */
static void count_not_free(void *context, struct slab *slab)
{
    size_t *blocks = context;
    *blocks += slab->count - states_count(slab->states, slab->count, BLOCK_FREE);
}

/* All arenas are valid and, after a trim, hold no block. */
static void check_arenas(void)
{
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena))
        ck_assert(arena_is_valid(arena));
    alloc_trim();
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        size_t blocks = 0;
        heap_set_for_each_slab(&arena->heaps, count_not_free, &blocks);
        ck_assert_uint_eq(blocks, 0);
        ck_assert(arena_is_valid(arena));
    }
}

TEST(a_random_trace_of_one_thread)
{
    struct tracer tracer = {.number = 0};

    trace(&tracer);
    check_tracer(&tracer);
    check_arenas();
}

TEST(random_traces_of_threads)
{
    enum { THREADS = 4 };
    struct tracer tracers[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        tracers[i] = (struct tracer){.number = i + 1};
        ck_assert_int_eq(pthread_create(&tracers[i].thread, NULL, trace, &tracers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(tracers[i].thread, NULL), 0);
        check_tracer(&tracers[i]);
    }
    check_arenas();
}

/* Each block goes from one thread to the next, which checks, resizes or frees it. */
enum { RING = 3, PASSED = 20000, PLACES = 64 };

static struct shadow *places[RING][PLACES]; /* atomic */
static size_t passed_on;                    /* atomic: blocks that have been round */

static void *pass_round(void *argument)
{
    struct tracer *tracer = argument;
    struct random random = random_begin();

    random.state += tracer->number;
    tracer->seed = random.seed;
    tracer->failed_step = -1;
    for (int step = 0; __atomic_load_n(&passed_on, __ATOMIC_RELAXED) < PASSED; step++) {
        size_t place = random_below(&random, PLACES);
        struct shadow *shadow =
            __atomic_exchange_n(&places[tracer->number][place], NULL, __ATOMIC_ACQ_REL);
        const char *wrong = NULL;
        if (shadow == NULL) {
            /* the shadow is a block itself */
            shadow = alloc_zeroed(1, sizeof(*shadow));
            wrong = make_block(shadow, &random);
        } else if (!is_intact(shadow)) {
            wrong = "contents changed on the way";
        } else if (random_below(&random, 2) == 0) {
            wrong = resize_block(shadow, &random);
        }
        if (wrong != NULL) {
            tracer->failed_step = step;
            tracer->wrong = wrong;
            return NULL;
        }
        if (shadow->block != NULL) {
            shadow->mark = (unsigned char)random_next(&random);
            fill(shadow);
            shadow = __atomic_exchange_n(&places[(tracer->number + 1) % RING][place], shadow,
                                         __ATOMIC_ACQ_REL);
        }
        if (shadow != NULL) { /* its place was taken, or its block is gone */
            free_block(shadow->block);
            free_block(shadow);
        }
        __atomic_fetch_add(&passed_on, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

TEST(blocks_go_round_threads)
{
    struct tracer tracers[RING];

    for (unsigned i = 0; i < RING; i++) {
        tracers[i] = (struct tracer){.number = i};
        ck_assert_int_eq(pthread_create(&tracers[i].thread, NULL, pass_round, &tracers[i]), 0);
    }
    for (unsigned i = 0; i < RING; i++) {
        ck_assert_int_eq(pthread_join(tracers[i].thread, NULL), 0);
        check_tracer(&tracers[i]);
    }
    for (unsigned i = 0; i < RING; i++) {
        for (int place = 0; place < PLACES; place++) {
            if (places[i][place] != NULL)
                free_block(places[i][place]->block);
            free_block(places[i][place]);
        }
    }
    check_arenas();
}
