/*
 * Arenas: the pool, what becomes of a thread's arena, and what a child of fork finds in the arenas
 * of threads that do not exist in it.
 */
#include "test.h"
#include "paths/alloc.h"
#include "arena/arena.h"
#include "arena/idle.h"
#include "capture.h"
#include "paths/free.h"
#include "process/init.h"
#include "base/option.h"
#include "random.h"
#include "arena/thread.h"

#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

enum { CHILD_SECONDS = 30 }; /* after which a child that hangs is ended */

static void begin(void)
{
    init_start(NULL);
    ck_assert_int_eq(option_set_text("decay", "3600000"), 0);
}

SUITE(arena, .begin = begin);

/* Counts the blocks of an arena whose state is `state`. */
struct count {
    uint8_t state;
    size_t blocks;
};

static void count_slab(void *context, struct slab *slab)
{
    struct count *count = context;
    struct slab_geometry g = geometry_unpack(slab->geometry);
    const uint8_t *states = slab_heap(slab)->states + (size_t)g.first_line * STATES_GROUP;

    count->blocks += states_count(states, g.count, count->state);
}

static size_t blocks_in_state(struct arena *arena, enum block_state state)
{
    struct count count = {.state = (uint8_t)state};

    heap_set_for_each_slab(&arena->heaps, count_slab, &count);
    return count.blocks;
}

static struct heap_totals totals_of(struct arena *arena)
{
    struct heap_totals totals;

    heap_set_totals(&arena->heaps, &totals);
    return totals;
}

static void run_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, run, argument), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* ---- The pool ---- */

TEST(arenas_are_made_when_the_pool_is_empty)
{
    struct arena *first = arena_adopt(), *second = arena_adopt();

    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_ne(first, second);
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
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_eq(arena_adopt(), arenas[i]);
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

/* Pages of partly used slabs that hold no live block pay for what another class needs. */
TEST(idle_pages_go_back_as_an_arena_grows)
{
    enum { BLOCKS = 16 << 10, SIZE = 1024, KEPT = 16, OTHERS = 16 << 10, OTHER_SIZE = 512 };
    static char *blocks[BLOCKS];

    for (int i = 0; i < BLOCKS; i++)
        memset(blocks[i] = alloc_block(SIZE), 1, SIZE);
    for (int i = 0; i < BLOCKS; i++)
        if (i % KEPT != 0)
            free_block(blocks[i]);
    ck_assert_uint_eq(blocks_in_state(thread_state.arena, BLOCK_PURGED), 0);
    for (int i = 0; i < OTHERS; i++)
        ck_assert_ptr_nonnull(alloc_block(OTHER_SIZE));
    ck_assert_uint_gt(blocks_in_state(thread_state.arena, BLOCK_PURGED), BLOCKS / 2);
    for (int i = 0; i < BLOCKS; i += KEPT)
        ck_assert_int_eq(blocks[i][0] + blocks[i][SIZE - 1], 2);
    ck_assert(arena_is_valid(thread_state.arena));
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
    ck_assert_ptr_nonnull(first.arena);
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
    void *block = alloc_block(1);
    ck_assert_ptr_nonnull(thread_own_arena());
    free_block(block);
    ck_assert(arena_is_valid(&arena_none) || arena_none.heaps.count == 0);
}

static pthread_key_t late_key;
static bool late_alive;

/* A destructor that may run behind acre's: allocates, frees, and asks to be called again. */
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

static void *end_late(void *arena)
{
    free_block(alloc_block(100));
    *(struct arena **)arena = thread_own_arena();
    pthread_setspecific(late_key, (void *)(intptr_t)3);
    return NULL;
}

TEST(a_thread_may_allocate_after_its_exit_hook)
{
    struct arena *arena = NULL;

    ck_assert_int_eq(pthread_key_create(&late_key, allocate_late), 0);
    for (int i = 0; i < 10; i++) {
        run_thread(end_late, &arena);
        ck_assert(late_alive);
        ck_assert_int_eq(arena_status(arena), ARENA_POOLED);
    }
    ck_assert_ptr_null(arena_next(arena_first())); /* one arena served them all */
    ck_assert_uint_eq(blocks_in_state(arena, BLOCK_LIVE), 0);
    ck_assert(arena_is_valid(arena));
}

enum { LEFT_BLOCKS = 128, LEFT_SIZE = 64 << 10 }; /* 8 MiB */

struct left {
    struct arena *arena;
    void *blocks[LEFT_BLOCKS];
};

static void *leave_blocks(void *argument)
{
    struct left *left = argument;

    for (int i = 0; i < LEFT_BLOCKS; i++)
        left->blocks[i] = alloc_block(LEFT_SIZE);
    left->arena = thread_own_arena();
    return NULL;
}

TEST(what_is_freed_to_a_pooled_arena_is_drained)
{
    static struct left left;

    free_block(alloc_block(1)); /* an arena of our own */
    run_thread(leave_blocks, &left);
    size_t before = totals_of(left.arena).in_slabs;
    for (int i = 0; i < LEFT_BLOCKS; i++)
        free_block(left.blocks[i]);
    ck_assert_uint_lt(totals_of(left.arena).in_slabs, before / 4);
    ck_assert_uint_lt(totals_of(left.arena).free_dirty, before / 4);
    ck_assert_uint_lt(blocks_in_state(left.arena, BLOCK_REMOTE), LEFT_BLOCKS / 4);
    ck_assert_int_eq(arena_status(left.arena), ARENA_POOLED);
    ck_assert(arena_is_valid(left.arena));
}

TEST(trimming_empties_every_arena)
{
    static struct left left;
    void *own[LEFT_BLOCKS];

    for (int i = 0; i < LEFT_BLOCKS; i++)
        own[i] = alloc_block(LEFT_SIZE);
    run_thread(leave_blocks, &left);
    for (int i = 0; i < LEFT_BLOCKS / 16; i++) /* too little to be drained */
        free_block(left.blocks[i]);
    for (int i = 0; i < LEFT_BLOCKS; i++)
        free_block(own[i]);
    ck_assert_uint_ge(idle_trim(), LEFT_BLOCKS * (size_t)LEFT_SIZE);
    ck_assert_uint_eq(totals_of(thread_own_arena()).in_slabs, 0);
    ck_assert_uint_eq(totals_of(thread_own_arena()).free_dirty, 0);
    ck_assert_uint_eq(blocks_in_state(left.arena, BLOCK_LIVE), LEFT_BLOCKS - LEFT_BLOCKS / 16);
    ck_assert_uint_eq(blocks_in_state(left.arena, BLOCK_REMOTE), 0);
    ck_assert_uint_eq(totals_of(left.arena).free_dirty, 0);
    ck_assert_uint_eq(idle_trim(), 0);
    ck_assert(idle_give_up(thread_own_arena(), 1)); /* now address space */
    ck_assert_ptr_nonnull(alloc_block(LEFT_SIZE));
    ck_assert(arena_is_valid(thread_own_arena()));
    ck_assert(arena_is_valid(left.arena));
}

/* ---- Forks ---- */

enum { SLEEPERS = 3, PER_SLEEPER = 600 };

/* A thread that has allocated and freed, and sleeps while its process forks. */
struct sleeper {
    pthread_t thread;
    sem_t ready, may_go;
    unsigned number;
    struct arena *arena;
    void *blocks[PER_SLEEPER]; /* NULL: freed */
    size_t live;
};

/* Allocates many, frees some: they are FREE, in magazines, or LIVE. */
static void *sleep_with_blocks(void *argument)
{
    struct sleeper *sleeper = argument;
    struct random random = random_begin();

    random.state += sleeper->number;
    for (int i = 0; i < PER_SLEEPER; i++)
        sleeper->blocks[i] = alloc_block(random_below(&random, 3000));
    sleeper->live = PER_SLEEPER;
    for (int i = 0; i < PER_SLEEPER; i++) {
        if (random_below(&random, 2) == 0) {
            free_block(sleeper->blocks[i]);
            sleeper->blocks[i] = NULL;
            sleeper->live--;
        }
    }
    sleeper->arena = thread_own_arena();
    sem_post(&sleeper->ready);
    while (sem_wait(&sleeper->may_go) != 0)
        ;
    return NULL;
}

static struct sleeper sleepers[SLEEPERS];

static void start_sleepers(void)
{
    for (unsigned i = 0; i < SLEEPERS; i++) {
        sleepers[i].number = i;
        sem_init(&sleepers[i].ready, 0, 0);
        sem_init(&sleepers[i].may_go, 0, 0);
        ck_assert_int_eq(pthread_create(&sleepers[i].thread, NULL, sleep_with_blocks, &sleepers[i]),
                         0);
        while (sem_wait(&sleepers[i].ready) != 0)
            ;
    }
}

static void end_sleepers(void)
{
    for (int i = 0; i < SLEEPERS; i++) {
        sem_post(&sleepers[i].may_go);
        ck_assert_int_eq(pthread_join(sleepers[i].thread, NULL), 0);
    }
}

/* The sleeper whose arena this is, or NULL. */
static const struct sleeper *sleeper_of(const struct arena *arena)
{
    for (int i = 0; i < SLEEPERS; i++)
        if (sleepers[i].arena == arena)
            return &sleepers[i];
    return NULL;
}

/* In the child: each lost thread's arena is adopted once, with every block of it found. */
static void adopt_orphans(void *unused)
{
    bool seen[SLEEPERS] = {false};

    (void)unused;
    alarm(CHILD_SECONDS);
    for (int i = 0; i < SLEEPERS; i++) {
        struct arena *arena = arena_adopt();
        const struct sleeper *sleeper = sleeper_of(arena);
        if (sleeper == NULL || seen[sleeper->number])
            _exit(1);
        seen[sleeper->number] = true;
        if (blocks_in_state(arena, BLOCK_LIVE) != sleeper->live ||
            blocks_in_state(arena, BLOCK_CACHED) != 0)
            _exit(2);
        if (!arena_is_valid(arena))
            _exit(3);
        arena_flush(arena);
        if (!arena_is_valid(arena) || blocks_in_state(arena, BLOCK_LIVE) != sleeper->live)
            _exit(4);
    }
    if (sleeper_of(arena_adopt()) != NULL)
        _exit(5);
}

/* In the child: frees what lost threads held, and trims: nothing is left in their arenas. */
static void free_orphaned_blocks(void *unused)
{
    (void)unused;
    alarm(CHILD_SECONDS);
    for (int i = 0; i < SLEEPERS; i++) {
        for (int b = 0; b < PER_SLEEPER; b++)
            if (sleepers[i].blocks[b] != NULL)
                free_block(sleepers[i].blocks[b]);
    }
    idle_trim();
    for (int i = 0; i < SLEEPERS; i++) {
        struct arena *arena = sleepers[i].arena;
        if (blocks_in_state(arena, BLOCK_LIVE) != 0 || totals_of(arena).in_slabs != 0)
            _exit(1);
        if (!arena_is_valid(arena) || arena_status(arena) != ARENA_POOLED)
            _exit(2);
    }
}

/* In the child: the forking thread's arena is its own as before, magazines and all. */
static void use_own_arena(void *block)
{
    struct arena *own = thread_own_arena();

    alarm(CHILD_SECONDS);
    if (own == NULL || sleeper_of(own) != NULL)
        _exit(1);
    free_block(block);
    if (alloc_block(40) != block || arena_adopt() == own || !arena_is_valid(own))
        _exit(2);
}

static void (*const uses[])(void *) = {adopt_orphans, free_orphaned_blocks, use_own_arena};

TEST_LOOP(a_child_inherits_the_arenas_of_lost_threads, 0, 3)
{
    struct capture capture;
    void *block = alloc_block(40);

    start_sleepers();
    capture_child(&capture, uses[_i], block);
    ck_assert_str_eq(capture.text, "");
    ck_assert_msg(capture.status == 0, "status %#x", (unsigned)capture.status);
    for (int i = 0; i < SLEEPERS; i++)
        ck_assert_int_eq(arena_status(sleepers[i].arena), ARENA_OWNED);
    end_sleepers();
}

enum { CHURNERS = 3, HELD = 200, FORKS = 40 };

static bool stop; /* atomic */

/* Allocates and frees at random until told to stop. */
static void *churn(void *number)
{
    void *held[HELD] = {NULL};
    struct random random = random_begin();

    random.state += (uintptr_t)number;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        void **slot = &held[random_below(&random, HELD)];
        if (*slot != NULL)
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
    alarm(CHILD_SECONDS);
    for (int i = 0; i < 64; i++)
        if ((blocks[i] = alloc_block((size_t)1 << (i % 20))) == NULL)
            _exit(1);
    for (int i = 0; i < 64; i++)
        free_block(blocks[i]);
    if (!arena_is_valid(thread_own_arena()))
        _exit(2);
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        if (arena == thread_own_arena())
            continue;
        if (!arena_borrow(arena))
            _exit(3);
        if (!arena_is_valid(arena) || blocks_in_state(arena, BLOCK_CACHED) != 0)
            _exit(4);
        arena_flush(arena);
        heap_set_purge(&arena->heaps, UINT64_MAX);
        if (!arena_is_valid(arena))
            _exit(5);
        arena_retire(arena);
    }
}

TEST(a_child_of_busy_threads_can_use_everything)
{
    pthread_t threads[CHURNERS];
    struct capture capture;

    for (uintptr_t i = 0; i < CHURNERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, (void *)i), 0);
    for (int i = 0; i < FORKS; i++) {
        capture_child(&capture, use_every_arena, NULL);
        ck_assert_str_eq(capture.text, "");
        ck_assert_msg(capture.status == 0, "child %d: status %#x", i, (unsigned)capture.status);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < CHURNERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena))
        ck_assert(arena_is_valid(arena));
}
