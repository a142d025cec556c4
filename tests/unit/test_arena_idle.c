/*
 * Idle memory of threads that sleep: ticks and trimming give back what they freed, and what others
 * freed to them, and take nothing that is live.
 */
#include "test.h"
#include "paths/alloc.h"
#include "arena/arena.h"
#include "capture.h"
#include "paths/free.h"
#include "process/init.h"
#include "large/large.h"
#include "base/lock.h"
#include "base/option.h"
#include "base/os.h"
#include "arena/remote.h"
#include "arena/thread.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

enum {
    BLOCKS = 8192,
    SIZE = 1024, /* bytes: 8 MiB in all */
    DECAY = 3600000,
    CHILD_SECONDS = 30, /* after which a child that hangs is ended */
};

static void begin(void)
{
    init_start(NULL);
    ck_assert_int_eq(option_set_text("decay", "3600000"), 0);
    free_block(alloc_block(1)); /* an arena of our own */
}

SUITE(arena_idle, .begin = begin);

/* A time at which a tick is due: the n-th after the start. */
static uint64_t due(unsigned n)
{
    return os_now_ms() + (uint64_t)n * 2 * DECAY;
}

/* ---- A thread that owns blocks and sleeps ---- */

static struct {
    pthread_t thread;
    sem_t done, go;
    void (*step)(void); /* what it does next; NULL: it ends */
    struct arena *arena;
    char *blocks[BLOCKS];
} owner;

static void *run_owner(void *unused)
{
    owner.arena = thread_get_arena(&(bool){false});
    for (;;) {
        sem_post(&owner.done);
        while (sem_wait(&owner.go) != 0)
            continue;
        if (owner.step == NULL)
            return unused;
        owner.step();
    }
}

static void wait_for_owner(void)
{
    while (sem_wait(&owner.done) != 0)
        continue;
}

/* Lets the owner do something; it sleeps again when this returns. */
static void owner_does(void (*step)(void))
{
    owner.step = step;
    sem_post(&owner.go);
    if (step != NULL)
        wait_for_owner();
    else
        ck_assert_int_eq(pthread_join(owner.thread, NULL), 0);
}

static void start_owner(void)
{
    sem_init(&owner.done, 0, 0);
    sem_init(&owner.go, 0, 0);
    ck_assert_int_eq(pthread_create(&owner.thread, NULL, run_owner, NULL), 0);
    wait_for_owner();
}

static void fill(char *block, int i)
{
    memset(block, 1 + i % 100, SIZE);
}

static bool is_filled(const char *block, int i)
{
    for (int at = 0; at < SIZE; at++)
        if (block[at] != 1 + i % 100)
            return false;
    return true;
}

static void take_all(void)
{
    for (int i = 0; i < BLOCKS; i++)
        if (owner.blocks[i] == NULL)
            fill(owner.blocks[i] = alloc_block(SIZE), i);
}

static void free_all(void)
{
    for (int i = 0; i < BLOCKS; i++)
        free_block(owner.blocks[i]);
}

/* Frees all of the owner's blocks but each `kept`-th. */
static void free_remotely(int kept)
{
    for (int i = 0; i < BLOCKS; i++) {
        if (i % kept != 0) {
            free_block(owner.blocks[i]);
            owner.blocks[i] = NULL;
        }
    }
}

static struct heap_totals totals(void)
{
    struct heap_totals now;

    heap_set_totals(&owner.arena->heaps, &now);
    return now;
}

static void count_slab(void *count, struct slab *slab)
{
    struct slab_geometry g = geometry_unpack(slab->geometry);

    *(size_t *)count += states_count(geometry_states(slab_heap(slab), g), g.count, BLOCK_PURGED);
}

static size_t purged_blocks(void)
{
    size_t count = 0;

    heap_set_for_each_slab(&owner.arena->heaps, count_slab, &count);
    return count;
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
        ck_assert(is_filled(owner.blocks[i], i));
    ck_assert(arena_is_valid(owner.arena));
}

/* ---- Ticks ---- */

TEST(a_tick_gives_back_what_a_sleeping_thread_freed)
{
    start_owner();
    owner_does(take_all);
    owner_does(free_all);
    size_t dirty = totals().free_dirty;
    ck_assert_uint_gt(dirty, BLOCKS * (size_t)SIZE / 2);
    arena_tick(os_now_ms());
    ck_assert_uint_eq(totals().free_dirty, dirty); /* not for an hour */
    ck_assert(!arena_tick(due(1)));                /* nothing is left for another one */
    ck_assert_uint_eq(totals().free_dirty, 0);
    ck_assert(arena_is_valid(owner.arena));
    owner_does(NULL);
}

TEST(a_tick_comes_once_in_a_decay)
{
    uint64_t first = due(1);

    start_owner();
    arena_tick(first);
    owner_does(take_all);
    owner_does(free_all);
    __atomic_store_n(&owner.arena->heaps.next_tick, first, __ATOMIC_RELAXED);
    size_t dirty = totals().free_dirty;
    ck_assert_uint_gt(dirty, 0);
    ck_assert(arena_tick(first));
    ck_assert(arena_tick(first - 1));
    ck_assert(arena_tick(first + DECAY - 1));
    ck_assert_uint_eq(totals().free_dirty, dirty);
    ck_assert(!arena_tick(first + DECAY));
    ck_assert_uint_eq(totals().free_dirty, 0);
    owner_does(NULL);
}

TEST(a_tick_purges_what_was_freed_to_a_sleeping_thread)
{
    start_owner();
    owner_does(take_all);
    remote_collect(
        &owner.arena->heaps); /* for the owner, which sleeps: it was awake a moment ago */
    free_remotely(64);
    ck_assert(arena_tick(due(1)));
    ck_assert_uint_eq(purged_blocks(), 0);
    ck_assert(!arena_tick(due(2)));
    ck_assert_uint_gt(purged_blocks(), BLOCKS * 3 / 4);
    check_owner_goes_on();
    owner_does(NULL);
}

/* ---- Arenas in the pool ---- */

TEST(a_tick_lets_a_pooled_arena_rest)
{
    start_owner();
    owner_does(take_all);
    owner_does(free_all);
    owner_does(NULL);
    ck_assert_int_eq(arena_status(owner.arena), ARENA_POOLED);
    ck_assert_uint_gt(totals().in_slabs, 0); /* its current slab and its magazine */
    arena_tick(os_now_ms());
    ck_assert(!owner.arena->rested);
    arena_tick(due(1));
    ck_assert(owner.arena->rested);
    ck_assert_int_eq(arena_status(owner.arena), ARENA_POOLED);
    ck_assert_uint_eq(totals().in_slabs, 0);
    ck_assert_uint_eq(totals().free_dirty, 0);
    ck_assert(arena_is_valid(owner.arena));
}

/* ---- Many arenas in the pool ---- */

enum { THREADS = 100, MOST_CALLS = 128 /* in a decay */ };

static struct arena *arenas[THREADS];
static pthread_barrier_t all_have_one;

static void *use_an_arena(void *place)
{
    free_block(alloc_block(1));
    *(struct arena **)place = thread_state.arena;
    pthread_barrier_wait(&all_have_one);
    return NULL;
}

static void fill_the_pool(void)
{
    pthread_t threads[THREADS];

    pthread_barrier_init(&all_have_one, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_an_arena, &arenas[i]), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

static int count_rested(void)
{
    int count = 0;

    for (int i = 0; i < THREADS; i++)
        count += arenas[i]->rested;
    return count;
}

TEST(many_pooled_arenas_rest_within_a_decay_some_at_a_time)
{
    uint64_t now = due(1);

    fill_the_pool();
    ck_assert(arena_tick(now));
    int at_once = count_rested();
    ck_assert_int_gt(at_once, 0);
    ck_assert_int_lt(at_once, THREADS / 2);
    arena_tick(now); /* at the same time: nothing more */
    ck_assert_int_eq(count_rested(), at_once);
    for (int calls = 1; calls * at_once < THREADS; calls++) {
        arena_tick(now + DECAY / MOST_CALLS - 1); /* too soon */
        ck_assert_int_eq(count_rested(), calls * at_once);
        now += DECAY / THREADS;
        arena_tick(now);
    }
    ck_assert_int_eq(count_rested(), THREADS);
    for (int i = 0; i < THREADS; i++)
        ck_assert(arena_is_valid(arenas[i]));
}

TEST(a_patient_tick_lets_all_pooled_arenas_rest)
{
    fill_the_pool();
    ck_assert(!arena_tick_patiently(due(1)));
    ck_assert_int_eq(count_rested(), THREADS);
}

/* ---- Drained arenas ---- */

/* What a dead thread's arena has idle after all its blocks were freed by the caller, who holds
 * `in_use` blocks of its own meanwhile. */
static size_t idle_after_remote_frees(size_t in_use)
{
    static char *own[2 * BLOCKS];

    start_owner();
    owner_does(take_all);
    owner_does(NULL);
    for (size_t i = 0; i < in_use; i++)
        own[i] = alloc_block(SIZE);
    for (int i = 0; i < BLOCKS; i++)
        free_block(owner.blocks[i]);
    for (size_t i = 0; i < in_use; i++)
        free_block(own[i]);
    ck_assert(arena_is_valid(owner.arena));
    return totals().free_dirty + totals().in_slabs;
}

TEST(a_drained_arena_keeps_what_is_little_beside_what_is_in_use)
{
    ck_assert_uint_gt(idle_after_remote_frees(2 * BLOCKS), BLOCKS * (size_t)SIZE / 2);
}

TEST(a_drained_arena_gives_back_what_is_much)
{
    ck_assert_uint_lt(idle_after_remote_frees(0), 2 * MIB);
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
    ck_assert(large_is_aging());
    arena_tick(due(1));
    large_totals(&after);
    ck_assert_uint_eq(after.stock_bytes, 0);
    ck_assert(!large_is_aging());
}

TEST(freeing_for_others_ticks)
{
    enum { WAIT_NS = 5000000 }; /* longer than the decay, and than a step of the clock */
    ck_assert_int_eq(option_set_text("decay", "1"), 0);
    start_owner();
    owner_does(take_all);
    for (int i = 0; i < BLOCKS; i++) {
        free_block(owner.blocks[i]);
        if (i % 512 == 0)
            nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
    }
    ck_assert_uint_gt(purged_blocks(), 0);
    owner_does(NULL);
}

/* ---- Trimming ---- */

TEST(trimming_purges_what_was_freed_to_a_sleeping_thread)
{
    start_owner();
    owner_does(take_all);
    free_remotely(64);
    ck_assert_uint_ge(alloc_trim(), BLOCKS * (size_t)SIZE * 3 / 4);
    ck_assert_uint_gt(purged_blocks(), BLOCKS * 3 / 4);
    ck_assert(arena_is_valid(owner.arena));
    check_owner_goes_on();
    owner_does(NULL);
}

static void misuse_purged_block(void *block)
{
    free_block(block);
}

TEST(a_double_free_of_a_purged_block_is_named)
{
    struct capture capture;

    start_owner();
    owner_does(take_all);
    char *freed = owner.blocks[1000];
    free_remotely(BLOCKS);
    alloc_trim();
    ck_assert_uint_gt(purged_blocks(), 1000);
    capture_child(&capture, misuse_purged_block, freed);
    ck_assert(WIFSIGNALED(capture.status) && WTERMSIG(capture.status) == SIGABRT);
    ck_assert_msg(strncmp(capture.text, "acre: double free: ", 19) == 0, "%s", capture.text);
    owner_does(NULL);
}

/* ---- Forks ---- */

static void collect_for_ever(void)
{
    remote_begin(&owner.arena->heaps);
}

/* In the child, whose owner was lost while it collected: the arena is adopted and can be purged. */
static void adopt_collecting(void *unused)
{
    (void)unused;
    alarm(CHILD_SECONDS);
    free_remotely(64);
    if (remote_purge(&owner.arena->heaps) != 0 || !arena_borrow(owner.arena))
        _exit(1);
    if (owner.arena->heaps.collections % 2 != 0 || !arena_is_valid(owner.arena))
        _exit(2);
    owner.blocks[1] = owner.blocks[64]; /* another one to free remotely */
    free_block(owner.blocks[1]);
    if (remote_collect(&owner.arena->heaps) != 1 || !arena_is_valid(owner.arena))
        _exit(3);
    arena_retire(owner.arena);
}

TEST(a_collection_lost_in_a_fork_ends)
{
    struct capture capture;

    start_owner();
    owner_does(take_all);
    owner_does(collect_for_ever);
    capture_child(&capture, adopt_collecting, NULL);
    ck_assert_str_eq(capture.text, "");
    ck_assert_msg(capture.status == 0, "status %#x", (unsigned)capture.status);
    remote_end(&owner.arena->heaps);
    owner_does(NULL);
}

static struct arena *forking; /* the arena of the thread that forks */

/* As far as the states, which are half stored. */
static void purge_for_ever(void)
{
    heap_set_lock(&forking->heaps);
    __atomic_store_n(&forking->heaps.purging, 1, __ATOMIC_SEQ_CST);
}

/* In the child, whose other thread was lost while it purged for this one. */
static void collect_after_purge(void *block)
{
    alarm(CHILD_SECONDS);
    if (remote_collect(&forking->heaps) == 0 || forking->heaps.purging != 0)
        _exit(1);
    if (!arena_is_valid(forking) || lock_is_held(&forking->heaps.lock))
        _exit(2);
    (void)block;
}

static void free_for_main(void)
{
    free_block(owner.blocks[0]);
    owner.blocks[0] = NULL;
}

TEST(a_purge_lost_in_a_fork_ends)
{
    struct capture capture;

    forking = thread_own_arena();
    owner.blocks[0] = alloc_block(SIZE);
    start_owner();
    owner_does(free_for_main);
    owner_does(purge_for_ever);
    capture_child(&capture, collect_after_purge, NULL);
    ck_assert_str_eq(capture.text, "");
    ck_assert_msg(capture.status == 0, "status %#x", (unsigned)capture.status);
}
