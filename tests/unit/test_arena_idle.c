/*
 * Idle memory: ticks and trimming give back what sleeping threads freed, what others freed to them,
 * and what pooled arenas hold, and take nothing that is live.
 */
#include "test.h"
#include "arena/idle.h"
#include "capture.h"
#include "memory.h"
#include "in_thread.h"
#include "large/large.h"
#include "base/option.h"
#include "large/large_list.h"
#include "base/os.h"
#include "own_arena.h"
#include "paths/alloc.h"

#include <acre/inspect.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum {
    BLOCKS = 8192,
    SIZE = 1024, /* bytes: 8 MiB in all */
    DECAY = 3600000,
};

SUITE(arena_idle, .begin = begin_without_decay);

/* A time at which a tick is due: the n-th after the start. */
static uint64_t due(unsigned n)
{
    return os_now_ms() + (uint64_t)n * 2 * DECAY;
}

/* ---- A thread that owns blocks and sleeps ---- */

static struct {
    struct partner thread;
    struct arena *arena;
    char *blocks[BLOCKS]; /* NULL: freed */
} owner;

static unsigned char content_of(int i)
{
    return (unsigned char)(1 + i % 100);
}

static void take_all(void *unused)
{
    (void)unused;
    for (int i = 0; i < BLOCKS; i++)
        if (owner.blocks[i] == NULL)
            memset(owner.blocks[i] = alloc_block(SIZE), content_of(i), SIZE);
    owner.arena = thread_own_arena();
}

/* Frees each block but those whose number is a multiple of `kept`. */
static void free_but(int kept)
{
    for (int i = 0; i < BLOCKS; i++) {
        if (i % kept != 0) {
            free_block(owner.blocks[i]);
            owner.blocks[i] = NULL;
        }
    }
}

static void free_all(void *unused)
{
    (void)unused;
    free_but(BLOCKS);
    free_block(owner.blocks[0]);
    owner.blocks[0] = NULL;
}

static void owner_does(void (*act)(void *))
{
    partner_does(&owner.thread, act, NULL);
}

/* A thread that has taken all blocks, and sleeps. */
static void start_owner(void)
{
    free_block(alloc_block(1)); /* the test's own arena is another one */
    partner_begin(&owner.thread);
    owner_does(take_all);
}

static void end_owner(void)
{
    partner_end(&owner.thread);
    ck_assert_int_eq(arena_status(owner.arena), ARENA_POOLED);
}

static struct heap_totals totals(void)
{
    return totals_of(owner.arena);
}

static size_t purged_blocks(void)
{
    return blocks_in_state(owner.arena, BLOCK_PURGED);
}

/* Every block that was kept has its contents, and the owner takes all others where they were. */
static void check_owner_goes_on(void)
{
    size_t slabs = totals().in_slabs;

    owner_does(take_all);
    ck_assert_uint_le(totals().in_slabs, slabs);
    /* what lay beyond the last one was not yet used */
    ck_assert_uint_lt(purged_blocks(), SLAB_MAX_UNITS * UNIT_SIZE / SIZE);
    for (int i = 0; i < BLOCKS; i++)
        ck_assert(is_filled(owner.blocks[i], SIZE, content_of(i)));
    ck_assert(arena_is_valid(owner.arena));
    end_owner();
}

/* ---- Ticks ---- */

TEST(a_tick_comes_once_in_a_decay)
{
    uint64_t first = due(1);

    start_owner();
    owner_does(free_all);
    size_t dirty = totals().free_dirty;
    ck_assert_uint_gt(dirty, BLOCKS * (size_t)SIZE / 2);
    ck_assert(idle_tick(os_now_ms())); /* not for an hour */
    ck_assert_uint_eq(totals().free_dirty, dirty);
    ck_assert(!idle_tick(first)); /* nothing is left for another one */
    ck_assert_uint_eq(totals().free_dirty, 0);

    owner_does(take_all);
    owner_does(free_all);
    ck_assert_uint_gt(totals().free_dirty, 0);
    ck_assert(idle_tick(first));
    ck_assert(idle_tick(first - 1));
    ck_assert(idle_tick(first + DECAY - 1));
    ck_assert_uint_gt(totals().free_dirty, 0);
    ck_assert(!idle_tick(first + DECAY));
    ck_assert_uint_eq(totals().free_dirty, 0);
    ck_assert(arena_is_valid(owner.arena));
    end_owner();
}

TEST(a_tick_purges_what_was_freed_to_a_sleeping_thread)
{
    start_owner();
    remote_collect(&owner.arena->remote); /* for the owner: it was awake a moment ago */
    free_but(64);
    ck_assert(idle_tick(due(1)));
    ck_assert_uint_eq(purged_blocks(), 0);
    ck_assert(!idle_tick(due(2)));
    ck_assert_uint_gt(purged_blocks(), BLOCKS * 3 / 4);
    check_owner_goes_on();
}

TEST(a_tick_gives_back_the_large_stock)
{
    struct large_totals before, after;
    void *blocks[100];

    for (int i = 0; i < 100; i++) {
        blocks[i] = alloc_block(2 * MIB);
        *(volatile char *)blocks[i] = 1;
    }
    for (int i = 0; i < 100; i += 2) /* none touches another: more than a batch */
        free_block(blocks[i]);
    large_totals(&before);
    ck_assert_uint_gt(before.stock_bytes, 20 * 2 * MIB);
    ck_assert(large_list_is_aging());
    idle_tick(due(1));
    large_totals(&after);
    ck_assert_uint_eq(after.stock_bytes, 0);
    ck_assert(!large_list_is_aging());
}

TEST(freeing_for_others_ticks)
{
    enum { WAIT_NS = 5000000 }; /* longer than the decay, and than a step of the clock */
    ck_assert_int_eq(option_set_text("decay", "1"), 0);
    start_owner();
    for (int i = 0; i < BLOCKS; i++) {
        free_block(owner.blocks[i]);
        if (i % 512 == 0)
            nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
    }
    ck_assert_uint_gt(purged_blocks(), 0);
    end_owner();
}

/* ---- Growth ---- */

/* Pages of partly used slabs that hold no live block pay for what another class needs. */
TEST(idle_pages_go_back_as_an_arena_grows)
{
    enum { OTHER_SIZE = 512, KEPT = 16 };

    take_all(NULL);
    free_but(KEPT);
    ck_assert_uint_eq(purged_blocks(), 0);
    for (int i = 0; i < 2 * BLOCKS; i++)
        ck_assert_ptr_nonnull(alloc_block(OTHER_SIZE));
    ck_assert_uint_gt(purged_blocks(), BLOCKS / 2);
    for (int i = 0; i < BLOCKS; i += KEPT)
        ck_assert(is_filled(owner.blocks[i], SIZE, content_of(i)));
    ck_assert(own_arena_is_valid());
}

/* A block that is a slab of its own is no growth each time: what slabs have grown by in all is, if
 * they take memory that has no pages. */
TEST(what_is_taken_and_given_back_is_no_growth)
{
    enum { WIDE = 256 << 10, PAIRS = 100, KEPT = 18 };

    free_block(alloc_block(WIDE));
    struct arena *arena = thread_state.arena;
    uint32_t looks = arena->look;
    for (int i = 0; i < PAIRS; i++)
        free_block(alloc_block(WIDE));
    ck_assert_uint_eq(arena->look, looks);
    for (int round = 0; round < 3; round++) { /* later it is no more than there was */
        bool pages = round == 1;              /* it has them from round 0 */
        void *blocks[KEPT];
        looks = arena->look;
        for (int i = 0; i < KEPT; i++)
            blocks[i] = alloc_block(WIDE);
        ck_assert_uint_ge(arena->look, looks + (pages ? 0 : 2));
        ck_assert_uint_le(arena->look, looks + (pages ? 0 : KEPT / 2));
        for (int i = 0; i < KEPT; i++)
            free_block(blocks[i]);
        free_block(alloc_block(WIDE)); /* sees how many there are */
        if (pages)
            idle_trim();
    }
}

/* ---- Arenas in the pool ---- */

TEST(a_tick_empties_a_pooled_arena)
{
    start_owner();
    owner_does(free_all);
    end_owner();
    ck_assert_uint_gt(totals().in_slabs, 0); /* its current slab and its magazine */
    idle_tick(os_now_ms());
    ck_assert_uint_gt(totals().in_slabs, 0);
    idle_tick(due(1));
    ck_assert_int_eq(arena_status(owner.arena), ARENA_POOLED);
    ck_assert_uint_eq(totals().in_slabs + totals().free_dirty, 0);
    ck_assert(arena_is_valid(owner.arena));
}

enum { THREADS = 64, MOST_TICKS = 128 /* in a decay */ };

static pthread_barrier_t all_have_one;

static void *use_an_arena(void *place)
{
    free_block(alloc_block(1));
    *(struct arena **)place = thread_state.arena;
    pthread_barrier_wait(&all_have_one);
    return NULL;
}

static int count_empty(void)
{
    int count = 0;

    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        ck_assert(arena_is_valid(arena));
        count += totals_of(arena).in_slabs == 0;
    }
    return count;
}

static void fill_the_pool(void)
{
    struct arena *arenas[THREADS];

    pthread_barrier_init(&all_have_one, NULL, THREADS);
    run_threads(use_an_arena, arenas, THREADS, sizeof(arenas[0]));
    ck_assert_int_eq(count_empty(), 0);
}

TEST(many_pooled_arenas_are_emptied_within_a_decay_some_at_a_time)
{
    uint64_t now = due(1);

    fill_the_pool();
    ck_assert(idle_tick(now));
    int at_once = count_empty();
    ck_assert_int_gt(at_once, 0);
    ck_assert_int_lt(at_once, THREADS / 2);
    idle_tick(now); /* at the same time: nothing more */
    ck_assert_int_eq(count_empty(), at_once);
    for (int calls = 1; calls * at_once < THREADS; calls++) {
        idle_tick(now + DECAY / MOST_TICKS - 1); /* too soon */
        ck_assert_int_eq(count_empty(), calls * at_once);
        now += DECAY / THREADS;
        idle_tick(now);
    }
    ck_assert_int_eq(count_empty(), THREADS);
}

TEST(a_thread_that_is_not_waited_for_empties_all)
{
    fill_the_pool();
    ck_assert(!idle_tick_all(due(1)));
    ck_assert_int_eq(count_empty(), THREADS);
}

/* What an ended thread's arena has idle after all its blocks were freed by the caller, which holds
 * `in_use` blocks of its own meanwhile. */
static size_t idle_after_remote_frees(size_t in_use)
{
    static char *own[2 * BLOCKS];

    start_owner();
    end_owner();
    for (size_t i = 0; i < in_use; i++)
        own[i] = alloc_block(SIZE);
    free_all(NULL);
    for (size_t i = 0; i < in_use; i++)
        free_block(own[i]);
    ck_assert_int_eq(arena_status(owner.arena), ARENA_POOLED);
    ck_assert(arena_is_valid(owner.arena));
    return totals().free_dirty + totals().in_slabs;
}

TEST(a_drained_arena_keeps_what_is_little_beside_what_is_in_use)
{
    ck_assert_uint_gt(idle_after_remote_frees(2 * BLOCKS), BLOCKS * (size_t)SIZE / 2);
    ck_assert_uint_lt(blocks_in_state(owner.arena, BLOCK_REMOTE), BLOCKS / 4);
}

TEST(a_drained_arena_gives_back_what_is_much)
{
    ck_assert_uint_lt(idle_after_remote_frees(0), 2 * MIB);
}

/* ---- All at once ---- */

TEST(trimming_purges_what_was_freed_to_a_sleeping_thread)
{
    start_owner();
    free_but(64);
    ck_assert_uint_ge(idle_trim(), BLOCKS * (size_t)SIZE * 3 / 4);
    ck_assert_uint_gt(purged_blocks(), BLOCKS * 3 / 4);
    ck_assert(arena_is_valid(owner.arena));
    check_owner_goes_on();
}

/* Trimming empties the own arena and pooled ones; under pressure they lose their address space. */
TEST(trimming_empties_every_arena)
{
    enum { LEFT = BLOCKS - 512 }; /* 512 KiB are freed: too little to be drained */
    static char *own[BLOCKS];

    start_owner();
    end_owner();
    for (int i = 0; i < BLOCKS; i++)
        own[i] = alloc_block(SIZE);
    for (int i = LEFT; i < BLOCKS; i++)
        free_block(owner.blocks[i]);
    for (int i = 0; i < BLOCKS; i++)
        free_block(own[i]);
    ck_assert_uint_ge(idle_trim(), (BLOCKS + 256) * (size_t)SIZE);
    ck_assert_uint_eq(totals_of(thread_own_arena()).in_slabs, 0);
    ck_assert_uint_eq(totals_of(thread_own_arena()).free_dirty + totals().free_dirty, 0);
    ck_assert_uint_eq(live_blocks_in(owner.arena), LEFT);
    ck_assert_uint_eq(blocks_in_state(owner.arena, BLOCK_REMOTE), 0);
    ck_assert_uint_eq(idle_trim(), 0);
    ck_assert(idle_make_room(thread_own_arena(), 1));
    ck_assert_ptr_nonnull(alloc_block(SIZE));
    ck_assert(own_arena_is_valid());
    ck_assert(arena_is_valid(owner.arena));
}

static void misuse_purged_block(void *block)
{
    free_block(block);
}

TEST(a_double_free_of_a_purged_block_is_named)
{
    start_owner();
    char *freed = owner.blocks[1000];
    free_but(BLOCKS);
    idle_trim();
    ck_assert_uint_gt(purged_blocks(), 1000);
    capture_abort(misuse_purged_block, freed, "acre: double free: ");
    end_owner();
}

/* ---- Forks ---- */

static void collect_for_ever(void *unused)
{
    (void)unused;
    remote_begin(&owner.arena->remote);
}

/* In the child, whose owner was lost while it collected: the arena is adopted and can be purged. */
static void adopt_collecting(void *unused)
{
    (void)unused;
    free_but(64);
    ck_assert_uint_eq(remote_purge(&owner.arena->remote), 0);
    ck_assert(arena_borrow(owner.arena));
    remote_collect(&owner.arena->remote);
    ck_assert(arena_is_valid(owner.arena));
    free_block(owner.blocks[64]);
    ck_assert_uint_eq(blocks_in_state(owner.arena, BLOCK_REMOTE), 1);
    remote_collect(&owner.arena->remote);
    ck_assert_uint_eq(blocks_in_state(owner.arena, BLOCK_REMOTE), 0);
    ck_assert(arena_is_valid(owner.arena));
    arena_retire(owner.arena);
}

TEST(a_collection_lost_in_a_fork_ends)
{
    start_owner();
    owner_does(collect_for_ever);
    capture_exit(adopt_collecting, NULL, "");
    remote_end(&owner.arena->remote);
    end_owner();
}

static struct arena *forking; /* the arena of the thread that forks */

/* As far as the states, which are half stored. */
static void purge_for_ever(void *unused)
{
    (void)unused;
    heap_set_lock(&forking->heaps);
    __atomic_store_n(&forking->remote.purging, 1, __ATOMIC_SEQ_CST);
}

/* In the child, whose other thread was lost while it purged for this one. */
static void collect_after_purge(void *unused)
{
    (void)unused;
    ck_assert_uint_eq(blocks_in_state(forking, BLOCK_REMOTE), 1);
    remote_collect(&forking->remote);
    ck_assert_uint_eq(blocks_in_state(forking, BLOCK_REMOTE), 0);
    ck_assert_uint_eq(forking->remote.purging, 0);
    ck_assert(arena_is_valid(forking));
    ck_assert(!lock_is_held(&forking->heaps.lock));
}

static void free_for_main(void *block)
{
    free_block(block);
}

TEST(a_purge_lost_in_a_fork_ends)
{
    void *block = alloc_block(SIZE);

    forking = thread_own_arena();
    start_owner();
    partner_does(&owner.thread, free_for_main, block);
    owner_does(purge_for_ever);
    capture_exit(collect_after_purge, NULL, "");
}

/* ---- Requests from outside ---- */

static void tick(void *unused)
{
    (void)unused;
    idle_tick(os_now_ms());
}

TEST(a_request_to_trim_is_served_once)
{
    static struct capture said;
    start_owner();
    owner_does(free_all);
    size_t dirty = totals().free_dirty;
    tick(NULL);
    ck_assert_uint_eq(totals().free_dirty, dirty);
    ck_assert_uint_gt(dirty, 0);

    idle_requests = ACRE_REQUEST_TRIM;
    capture_stderr(&said, tick, NULL);
    ck_assert_uint_eq(totals().free_dirty, 0);
    ck_assert_ptr_nonnull(strstr(said.text, " bytes given back, asked for from outside\n"));
    ck_assert_uint_eq(idle_requests, 0);
    capture_stderr(&said, tick, NULL);
    ck_assert_uint_eq(said.writes, 0);

    idle_requests = ACRE_REQUEST_TRIM | ACRE_REQUEST_QUIET | UINT64_C(1) << OPTION_DECAY;
    capture_stderr(&said, tick, NULL);
    ck_assert_uint_eq(said.writes, 0);
    end_owner();
}

TEST(an_option_that_was_set_is_said)
{
    static struct capture said;
    idle_requests = UINT64_C(1) << OPTION_LARGE_STOCK;
    capture_stderr(&said, tick, NULL);
    ck_assert_ptr_nonnull(strstr(said.text, ": large_stock is 16M now, set from outside\n"));
    ck_assert_uint_eq(said.writes, 1);
}
