/*
 * Arenas: the pool, what becomes of a thread's arena, and what a child of fork finds in the arenas
 * of threads that do not exist in it.
 */
#include "test.h"
#include "arena/idle.h"
#include "capture.h"
#include "child.h"
#include "in_thread.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "common/random.h"

#include <pthread.h>

SUITE(arena, .begin = begin_without_decay);

/* ---- The pool ---- */

TEST(arenas_are_made_when_the_pool_is_empty)
{
    struct arena *first = arena_adopt(), *second = arena_adopt();

    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_nonnull(second);
    ck_assert_uint_eq(first->number, 1);
    ck_assert_uint_eq(second->number, 2);
    ck_assert_int_eq(arena_status(first), ARENA_OWNED);
    ck_assert_ptr_eq(arena_first(), second);
    ck_assert_ptr_eq(arena_next(second), first);
    ck_assert_ptr_null(arena_next(first));
    ck_assert(arena_is_valid(first));
}

TEST(the_warmest_arena_is_adopted_first)
{
    struct arena *arenas[3];

    for (int i = 0; i < 3; i++)
        arenas[i] = arena_adopt();
    for (int i = 2; i >= 0; i--) { /* a thread retires last what it got first */
        arena_retire(arenas[i]);
        ck_assert_int_eq(arena_status(arenas[i]), ARENA_POOLED);
    }
    ck_assert(arena_borrow(arenas[0]));
    arena_retire_as(arenas[0], ARENA_COLD, 0, 0);
    for (int i = 1; i <= 3; i++)
        ck_assert_ptr_eq(arena_adopt(), arenas[i % 3]);
    ck_assert_uint_eq(arena_adopt()->number, 4);
}

TEST(only_a_pooled_arena_can_be_borrowed)
{
    struct arena *arena = arena_adopt();

    ck_assert(!arena_borrow(arena));
    arena_retire(arena);
    ck_assert(arena_borrow(arena));
    ck_assert_int_eq(arena_status(arena), ARENA_BORROWED);
    ck_assert(!arena_borrow(arena));
    struct arena *other = arena_adopt();
    ck_assert_ptr_ne(other, arena);
    arena_retire(other);
    arena_retire(arena);
    ck_assert_ptr_eq(arena_adopt(), arena);
}

/* ---- Threads ---- */

/* What a thread that ends leaves behind. */
struct legacy {
    struct arena *arena;
    void *block, *cached;
};

static void *leave_legacy(void *argument)
{
    struct legacy *legacy = argument;

    legacy->block = alloc_block(40);
    legacy->cached = alloc_block(40);
    legacy->arena = thread_own_arena();
    free_block(legacy->cached);
    return NULL;
}

TEST(a_threads_arena_outlives_it_whole)
{
    struct legacy first, second;

    run_thread(leave_legacy, &first);
    ck_assert_int_eq(arena_status(first.arena), ARENA_POOLED);
    ck_assert_uint_eq(blocks_in_state(first.arena, BLOCK_LIVE), 1);
    ck_assert_uint_eq(blocks_in_state(first.arena, BLOCK_CACHED), 1);
    ck_assert(arena_is_valid(first.arena));

    run_thread(leave_legacy, &second);
    ck_assert_ptr_eq(second.arena, first.arena);
    ck_assert_ptr_eq(second.block, first.cached); /* from the magazine it was left in */
    ck_assert_ptr_null(arena_next(second.arena));
    ck_assert(arena_is_valid(second.arena));
}

TEST(a_thread_without_an_arena_owns_nothing)
{
    ck_assert_ptr_null(thread_own_arena());
    ck_assert_ptr_eq(thread_state.arena, &arena_none);
    free_block(NULL);
    ck_assert_ptr_null(thread_own_arena());
    free_block(alloc_block(1));
    ck_assert_ptr_nonnull(thread_own_arena());
    ck_assert_uint_eq(totals_of(&arena_none).heaps, 0);
}

static pthread_key_t late_key;
static bool late_alive;

/* A destructor that may run after acre's: allocates, frees, and asks to be called again. */
static void allocate_late(void *value)
{
    intptr_t rounds = (intptr_t)value;
    void *block = alloc_block(100), *large = alloc_block(4 * MIB);

    __atomic_store_n(&late_alive, block != NULL && large != NULL, __ATOMIC_RELAXED);
    free_block(block);
    free_block(large);
    if (rounds > 1)
        pthread_setspecific(late_key, (void *)(rounds - 1));
}

static void *end_late(void *unused)
{
    (void)unused;
    free_block(alloc_block(100));
    pthread_setspecific(late_key, (void *)(intptr_t)3);
    return thread_own_arena();
}

TEST(a_thread_may_allocate_after_its_exit_hook)
{
    struct arena *arena = NULL;

    ck_assert_int_eq(pthread_key_create(&late_key, allocate_late), 0);
    for (int i = 0; i < 10; i++) {
        arena = run_thread(end_late, NULL);
        ck_assert(late_alive);
        ck_assert_int_eq(arena_status(arena), ARENA_POOLED);
    }
    ck_assert_ptr_null(arena_next(arena_first())); /* one arena served them all */
    ck_assert_uint_eq(blocks_in_state(arena, BLOCK_LIVE), 0);
    ck_assert(arena_is_valid(arena));
}

/* ---- Forks ---- */

enum { SLEEPERS = 3, PER_SLEEPER = 600 };

/* A thread that has allocated and freed, and sleeps while its process forks. */
static struct sleeper {
    struct partner thread;
    struct arena *arena;
    void *blocks[PER_SLEEPER]; /* NULL: freed */
    size_t live;
} sleepers[SLEEPERS];

/* Allocates many, frees some: they are FREE, in magazines, or LIVE. */
static void take_and_free(void *argument)
{
    struct sleeper *sleeper = argument;
    struct random random = random_begin_for((uintptr_t)argument);

    for (int i = 0; i < PER_SLEEPER; i++)
        sleeper->blocks[i] = alloc_block(random_below(&random, 3000));
    for (int i = 0; i < PER_SLEEPER; i++) {
        if (random_below(&random, 2) == 0) {
            free_block(sleeper->blocks[i]);
            sleeper->blocks[i] = NULL;
        }
        sleeper->live += sleeper->blocks[i] != NULL;
    }
    sleeper->arena = thread_own_arena();
}

/* The number of the sleeper whose arena this is, or SLEEPERS. */
static unsigned sleeper_of(const struct arena *arena)
{
    unsigned i = 0;
    while (i < SLEEPERS && sleepers[i].arena != arena)
        i++;
    return i;
}

/* In the child: each lost thread's arena is adopted once, with every block of it found. */
static void adopt_orphans(void *unused)
{
    bool seen[SLEEPERS + 1] = {[SLEEPERS] = true};

    (void)unused;
    for (int i = 0; i < SLEEPERS; i++) {
        struct arena *arena = arena_adopt();
        unsigned number = sleeper_of(arena);
        ck_assert(!seen[number]);
        seen[number] = true;
        ck_assert_uint_eq(live_blocks_in(arena), sleepers[number].live);
        ck_assert_uint_eq(blocks_in_state(arena, BLOCK_CACHED), 0);
        ck_assert(arena_is_valid(arena));
        arena_flush(arena);
        ck_assert(arena_is_valid(arena));
        ck_assert_uint_eq(live_blocks_in(arena), sleepers[number].live);
    }
    ck_assert_uint_eq(sleeper_of(arena_adopt()), SLEEPERS);
}

/* In the child: frees what lost threads held, and trims: nothing is left in their arenas. */
static void free_orphaned_blocks(void *unused)
{
    (void)unused;
    for (int i = 0; i < SLEEPERS; i++)
        for (int b = 0; b < PER_SLEEPER; b++)
            free_block(sleepers[i].blocks[b]);
    idle_trim();
    for (int i = 0; i < SLEEPERS; i++) {
        struct arena *arena = sleepers[i].arena;
        ck_assert_uint_eq(blocks_in_state(arena, BLOCK_LIVE) + totals_of(arena).in_slabs, 0);
        ck_assert_int_eq(arena_status(arena), ARENA_POOLED);
        ck_assert(arena_is_valid(arena));
    }
}

/* In the child: the forking thread's arena is its own as before, magazines and all. */
static void use_own_arena(void *block)
{
    struct arena *own = thread_own_arena();

    ck_assert_uint_eq(sleeper_of(own), SLEEPERS);
    free_block(block);
    ck_assert_ptr_eq(alloc_block(40), block);
    ck_assert_ptr_ne(arena_adopt(), own);
    ck_assert(arena_is_valid(own));
}

static void (*const uses[])(void *) = {adopt_orphans, free_orphaned_blocks, use_own_arena};

TEST_LOOP(a_child_inherits_the_arenas_of_lost_threads, 0, 3)
{
    void *block = alloc_block(40);

    for (unsigned i = 0; i < SLEEPERS; i++) {
        partner_begin(&sleepers[i].thread);
        partner_does(&sleepers[i].thread, take_and_free, &sleepers[i]);
    }
    capture_exit(uses[_i], block, "");
    for (int i = 0; i < SLEEPERS; i++) {
        ck_assert_int_eq(arena_status(sleepers[i].arena), ARENA_OWNED);
        partner_end(&sleepers[i].thread);
    }
}

enum { CHURNERS = 3, HELD = 200, FORKS = 40 };

static bool stop; /* atomic */

/* Allocates and frees at random until told to stop. */
static void *churn(void *number)
{
    void *held[HELD] = {NULL};
    struct random random = random_begin_for((uintptr_t)number);

    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        void **slot = &held[random_below(&random, HELD)];
        free_block(*slot);
        *slot = *slot != NULL ? NULL : alloc_block((size_t)1 << random_below(&random, 18));
        if (random_below(&random, 500) == 0)
            idle_trim();
    }
    for (int i = 0; i < HELD; i++)
        free_block(held[i]);
    return NULL;
}

/* In a child whose other threads stopped anywhere: every arena can be adopted and used. */
static void use_every_arena(void *unused)
{
    void *blocks[64];

    (void)unused;
    for (int i = 0; i < 64; i++)
        ck_assert_ptr_nonnull(blocks[i] = alloc_block((size_t)1 << (i % 20)));
    for (int i = 0; i < 64; i++)
        free_block(blocks[i]);
    ck_assert(own_arena_is_valid());
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        if (arena == thread_own_arena())
            continue;
        ck_assert(arena_borrow(arena));
        ck_assert(arena_is_valid(arena));
        ck_assert_uint_eq(blocks_in_state(arena, BLOCK_CACHED), 0);
        arena_flush(arena);
        heap_set_purge(&arena->heaps, UINT64_MAX);
        ck_assert(arena_is_valid(arena));
        arena_retire(arena);
    }
}

TEST(a_child_of_busy_threads_can_use_everything)
{
    pthread_t threads[CHURNERS];

    for (uintptr_t i = 0; i < CHURNERS; i++)
        threads[i] = begin_thread(churn, (void *)i);
    for (int i = 0; i < FORKS; i++)
        capture_exit(use_every_arena, NULL, "");
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < CHURNERS; i++)
        end_thread(threads[i]);
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena))
        ck_assert(arena_is_valid(arena));
}
