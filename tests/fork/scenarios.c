/* The scenarios: see scenarios.h. Sizes are chosen so that slabs have few blocks. */
#include "check.h"

#include "actions.h"
#include "child.h"
#include "crew.h"
#include "ledger.h"
#include "scenarios.h"
#include "step.h"

#include <malloc.h>

enum {
    TINY = 48,
    TINY_SLAB = 1024, /* the first slab has 64 blocks, one window */
    SMALL = 16384,    /* the first slab has 8 blocks */
    BIG = 1 << 20,    /* a slab each, 16 units of 64 KiB */
    OTHER = 512,      /* a size that is not under test */
    LARGE = 2 << 20,
    MIB = 1 << 20,
    WINDOW = 64, /* blocks */
};

/* ---- malloc ---- */

static void prepare_tiny(void)
{
    anchor_here();
    take(10, TINY);
}

static void prepare_tiny_freed(void)
{
    prepare_tiny();
    drop(block_count - 7, 3);
}

static void malloc_magazine(void)
{
    CHECK(stepped_malloc(TINY) == blocks[5]);
}

static void malloc_window(void)
{
    CHECK(stepped_malloc(TINY) == blocks[9] + TINY);
}

static void prepare_window_used_up(void)
{
    anchor_here();
    take(WINDOW, TINY);
}

static void malloc_next_window(void)
{
    CHECK(stepped_malloc(TINY) == blocks[WINDOW - 1] + TINY);
}

/* The first slab has free blocks, the current one and the magazine have none. */
static void prepare_next_slab(size_t size)
{
    anchor_here();
    take_slab_and_begin_next(size);
    take_slab(size);
    drop(0, magazine_size(size) + 2);
    take(magazine_size(size), size);
}

static void prepare_next_slab_tiny(void)
{
    prepare_next_slab(TINY_SLAB);
}

static void prepare_next_slab_small(void)
{
    prepare_next_slab(SMALL);
}

static void malloc_next_slab_tiny(void)
{
    CHECK(stepped_malloc(TINY_SLAB) == blocks[magazine_size(TINY_SLAB)]);
}

static void malloc_next_slab_small(void)
{
    CHECK(stepped_malloc(SMALL) == blocks[magazine_size(SMALL)]);
}

static void prepare_new_slab_tiny(void)
{
    anchor_here();
    take_slab(TINY_SLAB);
}

static void malloc_new_slab_tiny(void)
{
    stepped_malloc(TINY_SLAB);
    CHECK(slabs_of(TINY_SLAB) == 2);
}

static void prepare_new_slab_small(void)
{
    anchor_here();
    take_slab(SMALL);
}

static void malloc_new_slab_small(void)
{
    stepped_malloc(SMALL);
    CHECK(slabs_of(SMALL) == 2);
}

static void prepare_new_heap(void)
{
    anchor_here();
    take_heap(BIG);
}

static void malloc_new_heap(void)
{
    size_t heaps = stats_now().heaps;
    stepped_malloc(BIG);
    CHECK(stats_now().heaps == heaps + 1);
}

/* All but one block of the first slab is free, and without pages. */
static void prepare_purged(void)
{
    anchor_here();
    size_t in_first = take_slab_and_begin_next(SMALL);
    drop(0, in_first - 1);
    malloc_trim(0);
}

static void malloc_purged(void)
{
    CHECK(stepped_malloc(SMALL) == blocks[0]);
}

/* A slab without free blocks, some of which another thread has freed. */
static void drop_some(void)
{
    drop(3, 5);
}

static void prepare_collect(void)
{
    anchor_here();
    take_slab(TINY_SLAB);
    in_ended_thread(drop_some);
}

static void malloc_collect(void)
{
    CHECK(stepped_malloc(TINY_SLAB) == blocks[3]);
}

/* Units have been free and dirty for longer than they may when the next slab is looked for. */
static void prepare_tick(void)
{
    anchor_here();
    set_option("decay", "1");
    take_slab(TINY_SLAB);
    take(3, BIG);
    drop(block_count - 3, 2);
    CHECK(slabs_of(BIG) == 2);
    let_time_pass();
}

static void malloc_tick(void)
{
    size_t dirty = stats_now().heap_free_dirty;
    stepped_malloc(TINY_SLAB);
    CHECK(stats_now().heap_free_dirty < dirty);
}

/* ---- free ---- */

static void free_magazine(void)
{
    stepped_free(blocks[5]);
    CHECK(malloc(TINY) == blocks[5]);
    ledger_add(blocks[5], TINY);
}

static void prepare_give_back(void)
{
    anchor_here();
    take(magazine_size(TINY) + 10, TINY);
    drop(0, magazine_size(TINY));
}

static void free_give_back(void)
{
    stepped_free(blocks[magazine_size(TINY)]);
}

static void prepare_listing(void)
{
    anchor_here();
    take_slab_and_begin_next(TINY_SLAB);
    drop(0, magazine_size(TINY_SLAB));
}

static void free_listing(void)
{
    stepped_free(blocks[magazine_size(TINY_SLAB)]);
    CHECK(slabs_of(TINY_SLAB) == 2);
}

/* One block of the first slab is live. */
static void prepare_release(size_t size)
{
    anchor_here();
    drop(1, take_slab_and_begin_next(size) - 1);
    CHECK(slabs_of(size) == 2);
}

static void prepare_release_tiny(void)
{
    prepare_release(TINY_SLAB);
}

static void prepare_release_small(void)
{
    prepare_release(SMALL);
}

static void prepare_release_purging(void)
{
    set_option("dirty_limit", "0");
    prepare_release(SMALL);
}

static void free_release_tiny(void)
{
    stepped_free(blocks[0]);
    CHECK(slabs_of(TINY_SLAB) == 1);
}

static void free_release_small(void)
{
    stepped_free(blocks[0]);
    CHECK(slabs_of(SMALL) == 1);
}

static void free_release_purging(void)
{
    free_release_small();
    CHECK(stats_now().heap_free_dirty == 0);
}

/* Of four heaps the second is empty and the third has one live block, `last_of_third`; the fourth
 * has the current slab and the one in the magazine. */
static char *last_of_third;

static void prepare_retire(void)
{
    anchor_here();
    take_heap(BIG);
    size_t second = block_count;
    take(1, BIG);
    take_heap(BIG);
    take(1, BIG);
    take_heap(BIG);
    size_t fourth = block_count;
    take(2, BIG);
    drop(fourth, 1);
    last_of_third = blocks[fourth - 1];
    drop(second, fourth - 1 - second);
}

static void free_retire(void)
{
    size_t dirty = stats_now().heap_free_dirty;
    stepped_free(last_of_third);
    CHECK(stats_now().heap_free_dirty < dirty);
}

/* ---- realloc, calloc, memalign ---- */

static void realloc_stays(void)
{
    CHECK(stepped_realloc(blocks[5], TINY - 10) == blocks[5]);
}

static void realloc_tiny(void)
{
    CHECK(stepped_realloc(blocks[5], 200) != blocks[5]);
}

static void prepare_one_small(void)
{
    anchor_here();
    take(1, SMALL);
}

static void realloc_small_shrinks(void)
{
    CHECK(stepped_realloc(blocks[0], 3000) != blocks[0]);
}

static void realloc_small_to_large(void)
{
    stepped_realloc(blocks[0], LARGE);
    CHECK(stats_now().large_blocks == 1);
}

static void calloc_magazine(void)
{
    CHECK(stepped_calloc(TINY) == blocks[5]);
}

static void calloc_small_new(void)
{
    stepped_calloc(SMALL);
    CHECK(slabs_of(SMALL) == 1);
}

static void prepare_calloc_small_used(void)
{
    prepare_one_small();
    drop(0, 1);
}

static void calloc_small_used(void)
{
    CHECK(stepped_calloc(SMALL) == blocks[0]);
}

static void memalign_small(void)
{
    stepped_memalign(4096, 3000);
}

/* ---- between threads ---- */

static void take_tiny_here(void)
{
    anchor_here();
    take(10, TINY);
}

static void prepare_remote(void)
{
    in_sleeping_thread(take_tiny_here);
}

static void prepare_remote_pooled(void)
{
    in_ended_thread(take_tiny_here);
}

static void free_remote(void)
{
    stepped_free(blocks[5]);
}

static void take_small_here(void)
{
    anchor_here();
    take(100, SMALL);
}

/* The thread that frees one more block drains the arena. */
static size_t dropped;

static void prepare_remote_drain(void)
{
    in_ended_thread(take_small_here);
    dropped = drop_until_release(SMALL);
}

static void free_remote_drain(void)
{
    size_t slabs = slabs_of(SMALL);
    stepped_free(blocks[dropped]);
    CHECK(slabs_of(SMALL) < slabs);
}

static void realloc_remote(void)
{
    CHECK(stepped_realloc(blocks[5], 200) != blocks[5]);
}

/* Something in the magazine, in the window, and freed by another thread. */
static void prepare_flush(void)
{
    anchor_here();
    take(WINDOW + 6, TINY);
    drop(10, 5);
    in_ended_thread(drop_some);
}

static void flush(void)
{
    stepped_flush();
}

static void use_other_size(void)
{
    take(10, OTHER);
    drop(block_count - 7, 3);
}

/* A pooled arena, and something in the stock. */
static void prepare_trim(void)
{
    prepare_flush();
    in_ended_thread(use_other_size);
    take(2, LARGE);
    drop(block_count - 2, 1);
}

/* The stock has extents that do not touch. */
static void prepare_trim_scattered(void)
{
    anchor_here();
    take(6, LARGE);
    drop(0, 1);
    drop(2, 1);
    drop(4, 1);
}

static void trim(void)
{
    stepped_trim();
    CHECK(stats_now().large_stock == 0);
}

/* ---- threads that begin and end; in a child the main thread's arena is in the pool, too ---- */

static void thread_makes_arena(void)
{
    size_t arenas = stats_now().arenas;
    stepped_malloc(TINY);
    CHECK(step_in_child() || stats_now().arenas == arenas + 1);
}

static void prepare_adoption(void)
{
    prepare_tiny_freed();
    use_other_size();
}

static void before_adoption(void)
{
    in_ended_thread(prepare_adoption);
}

static void thread_adopts(void)
{
    size_t arenas = stats_now().arenas;
    char *block = stepped_malloc(OTHER);
    CHECK(step_in_child() || block == blocks[15]);
    CHECK(stats_now().arenas == arenas);
}

/*
 * The scenario is that of a child, in which a thread is gone that had an arena with everything in
 * it. The parent waits for it and ends as it does.
 */
static void prepare_much(void)
{
    anchor_here();
    drop(1, take_slab_and_begin_next(TINY_SLAB) - 1);
    take(10, SMALL);
    drop(block_count - 6, 5);
}

static void before_orphan(void)
{
    in_sleeping_thread(prepare_much);
    step_go_on_in_child();
}

static void thread_adopts_orphan(void)
{
    size_t arenas = stats_now().arenas;
    stepped_malloc(OTHER);
    CHECK(stats_now().arenas == arenas);
}

/* The stepped thread has an arena of its own. */
static void prepare_own_arena(void)
{
    take(1, BIG);
}

/* ---- the end of a thread ---- */

/* Keys' destructors run in the order in which the keys were made; the library's was made between.
 */
static pthread_key_t early_key, late_key;

static void begin_to_step(void *unused)
{
    (void)unused;
    ledger_begin_call(NULL);
    step_begin();
}

static void stop_stepping(void *unused)
{
    (void)unused;
    step_end();
    ledger_end_call();
    CHECK(step_in_child() || stats_now().arenas_pooled == 1);
    if (step_in_child()) {
        child_task.ended = true;
        child_run(false);
    }
}

void scenarios_make_early_key(void)
{
    CHECK(pthread_key_create(&early_key, begin_to_step) == 0);
}

static void thread_ends(void)
{
    CHECK(pthread_key_create(&late_key, stop_stepping) == 0);
    CHECK(pthread_setspecific(early_key, &early_key) == 0);
    CHECK(pthread_setspecific(late_key, &late_key) == 0);
}

/* ---- a thread lost in the middle of a call; the next thread finds what it has left ---- */

/* What the thread that is lost does. */
static void (*lost_prepare)(void), (*lost_run)(void);

static void *be_lost(void *unused)
{
    step_prepare_thread();
    if (lost_prepare != NULL)
        lost_prepare();
    lost_run();
    return unused;
}

static void lose(void (*prepare)(void), void (*run)(void))
{
    lost_prepare = prepare;
    lost_run = run;
    step_lose_thread(be_lost);
}

static void malloc_other(void)
{
    stepped_malloc(OTHER);
}

static void malloc_any_large(void)
{
    stepped_malloc(LARGE);
}

static void before_lost_new_slab(void)
{
    lose(prepare_new_slab_small, malloc_new_slab_small);
}

static void before_lost_new_heap(void)
{
    lose(prepare_new_heap, malloc_new_heap);
}

static void before_lost_release(void)
{
    lose(prepare_release_purging, free_release_purging);
}

static void before_lost_drain(void)
{
    lose(prepare_remote_drain, free_remote_drain);
}

static void before_lost_adoption(void)
{
    in_ended_thread(prepare_much);
    lose(NULL, malloc_other);
}

static void before_lost_orphan(void)
{
    before_orphan();
    lose(NULL, malloc_other);
}

static void before_lost_trim(void)
{
    lose(prepare_trim, trim);
}

/* ---- LARGE ---- */

static void malloc_large(void)
{
    stepped_malloc(LARGE);
    CHECK(stats_now().large_blocks == 1 && stats_now().large_stock == 0);
}

static void prepare_large(void)
{
    anchor_here();
    take(1, LARGE);
}

static void prepare_large_stock(void)
{
    take(1, LARGE);
    drop(0, 1);
}

static void malloc_large_stock(void)
{
    CHECK(stepped_malloc(LARGE) == blocks[0]);
}

static void malloc_large_split(void)
{
    stepped_malloc(LARGE * 3 / 4);
    CHECK(stats_now().large_stock == LARGE / 4);
}

/* Two extents side by side. */
static void prepare_large_two(void)
{
    take(2, LARGE);
    drop(0, 2);
}

static void malloc_large_joined(void)
{
    stepped_malloc(LARGE * 3 / 2);
    CHECK(stats_now().large_stock == LARGE / 2);
}

static void malloc_large_extends(void)
{
    stepped_malloc(LARGE * 3 / 2);
    CHECK(stats_now().large_stock == 0);
}

/* All that is mapped may be lost, or the block together with some of what is too much: but not what
 * is too much alone, as it would be if that were on its way apart from the block. */
static void memalign_large(void)
{
    stepped_memalign(LARGE, 4 * LARGE);
    CHECK(stats_now().large_blocks == 2 && stats_now().large_stock == 0);
}

static void calloc_large(void)
{
    stepped_calloc(LARGE);
}

static void free_large(void)
{
    stepped_free(blocks[0]);
    CHECK(stats_now().large_stock == LARGE);
}

static void prepare_no_stock(void)
{
    set_option("large_stock", "0");
    take(1, LARGE);
}

static void free_large_unmaps(void)
{
    stepped_free(blocks[0]);
    CHECK(stats_now().large_stock == 0);
}

/* The next free brings the stock over its bound. */
static void prepare_surplus(const char *bound)
{
    set_option("large_stock", bound);
    take(3, LARGE);
    drop(0, 2);
    CHECK(stats_now().large_stock == 2 * LARGE);
}

static void prepare_surplus_unmapped(void)
{
    prepare_surplus("1M");
}

static void prepare_surplus_purged(void)
{
    prepare_surplus("4M");
}

static void free_large_surplus_unmapped(void)
{
    stepped_free(blocks[2]);
    CHECK(stats_now().large_stock < 3 * LARGE);
}

static void free_large_surplus_purged(void)
{
    stepped_free(blocks[2]);
    CHECK(stats_now().large_stock == 3 * LARGE);
}

static void prepare_large_due(void)
{
    set_option("decay", "1");
    take(1, LARGE);
    drop(0, 1);
    let_time_pass();
}

static void malloc_large_due(void)
{
    stepped_malloc(LARGE / 4 * 3);
    CHECK(stats_now().large_stock == 0);
}

/* Behind the second of two blocks there is room. */
static void prepare_room_behind(void)
{
    take(2, LARGE);
    CHECK(blocks[1] + LARGE == blocks[0]);
    drop(0, 1);
}

static void realloc_large_grows(void)
{
    CHECK(stepped_realloc(blocks[1], LARGE * 3 / 2) == blocks[1]);
    CHECK(stats_now().large_stock == LARGE / 2);
}

static void realloc_large_grows_over_all(void)
{
    CHECK(stepped_realloc(blocks[1], LARGE * 2) == blocks[1]);
    CHECK(stats_now().large_stock == 0);
}

static void before_lost_large_split(void)
{
    lose(prepare_large_stock, malloc_large_split);
}

static void before_lost_large_grows(void)
{
    lose(prepare_room_behind, realloc_large_grows);
}

static void prepare_large_long(void)
{
    take(1, 4 * LARGE);
}

static void realloc_large_shrinks(void)
{
    CHECK(stepped_realloc(blocks[0], LARGE) == blocks[0]);
    CHECK(stats_now().large_stock == 3 * LARGE);
}

static void prepare_large_neighbours(void)
{
    take(2, LARGE);
    CHECK(blocks[1] + LARGE == blocks[0]);
}

static void realloc_large_moves(void)
{
    CHECK(stepped_realloc(blocks[1], 3 * LARGE) != blocks[1]);
}

static void realloc_large_to_small(void)
{
    stepped_realloc(blocks[0], SMALL);
    CHECK(stats_now().large_blocks == 0);
}

/* ---- the table ---- */

const struct scenario scenarios[] = {
    {"malloc_magazine", {TINY}, .prepare = prepare_tiny_freed, .run = malloc_magazine},
    {"malloc_window", {TINY}, .prepare = prepare_tiny, .run = malloc_window},
    {"malloc_next_window", {TINY}, .prepare = prepare_window_used_up, .run = malloc_next_window},
    {"malloc_next_slab_tiny",
     {TINY_SLAB},
     .prepare = prepare_next_slab_tiny,
     .run = malloc_next_slab_tiny},
    {"malloc_next_slab_small",
     {SMALL},
     .prepare = prepare_next_slab_small,
     .run = malloc_next_slab_small},
    {"malloc_new_slab_tiny",
     {TINY_SLAB},
     .prepare = prepare_new_slab_tiny,
     .run = malloc_new_slab_tiny},
    {"malloc_new_slab_small",
     {SMALL},
     .prepare = prepare_new_slab_small,
     .run = malloc_new_slab_small},
    {"malloc_new_heap",
     {BIG},
     .range = 32 * MIB,
     .prepare = prepare_new_heap,
     .run = malloc_new_heap},
    {"malloc_purged", {SMALL}, .prepare = prepare_purged, .run = malloc_purged},
    {"malloc_collect", {TINY_SLAB}, .prepare = prepare_collect, .run = malloc_collect},
    {"malloc_tick", {TINY_SLAB}, .prepare = prepare_tick, .run = malloc_tick},
    {"free_magazine", {TINY}, .prepare = prepare_tiny, .run = free_magazine},
    {"free_give_back", {TINY}, .prepare = prepare_give_back, .run = free_give_back},
    {"free_listing", {TINY_SLAB}, .prepare = prepare_listing, .run = free_listing},
    {"free_release_tiny", {TINY_SLAB}, .prepare = prepare_release_tiny, .run = free_release_tiny},
    {"free_release_small", {SMALL}, .prepare = prepare_release_small, .run = free_release_small},
    {"free_release_purging",
     {SMALL},
     .prepare = prepare_release_purging,
     .run = free_release_purging},
    {"free_retire", {BIG}, .prepare = prepare_retire, .run = free_retire},
    {"realloc_stays", {TINY}, .prepare = prepare_tiny, .run = realloc_stays},
    {"realloc_tiny", {TINY, 200}, .prepare = prepare_tiny, .run = realloc_tiny},
    {"realloc_small_shrinks",
     {SMALL, 3000},
     .prepare = prepare_one_small,
     .run = realloc_small_shrinks},
    {"realloc_small_to_large",
     {SMALL},
     .range = LARGE,
     .prepare = prepare_one_small,
     .run = realloc_small_to_large},
    {"calloc_magazine", {TINY}, .prepare = prepare_tiny_freed, .run = calloc_magazine},
    {"calloc_small_new", {SMALL}, .prepare = anchor_here, .run = calloc_small_new},
    {"calloc_small_used", {SMALL}, .prepare = prepare_calloc_small_used, .run = calloc_small_used},
    {"memalign_small", {4096}, .prepare = anchor_here, .run = memalign_small},
    {"free_remote", {TINY}, .prepare = prepare_remote, .run = free_remote},
    {"free_remote_pooled", {TINY}, .prepare = prepare_remote_pooled, .run = free_remote},
    {"free_remote_forker", {TINY}, .run = free_remote, .forker = take_tiny_here},
    {"realloc_remote_forker",
     {TINY},
     .range = 32 * MIB,
     .run = realloc_remote,
     .forker = take_tiny_here},
    {"free_remote_drain", {SMALL}, .prepare = prepare_remote_drain, .run = free_remote_drain},
    {"realloc_remote", {TINY}, .prepare = prepare_remote, .run = realloc_remote},
    {"flush", {TINY}, .prepare = prepare_flush, .run = flush},
    {"trim", {TINY}, .range = LARGE, .prepare = prepare_trim, .run = trim},
    {"trim_forker",
     {TINY_SLAB, SMALL},
     .prepare = prepare_own_arena,
     .run = stepped_trim,
     .forker = prepare_much},
    {"trim_scattered", .range = LARGE, .prepare = prepare_trim_scattered, .run = trim},
    {"thread_makes_arena", .range = 32 * MIB, .run = thread_makes_arena},
    {"thread_adopts", {TINY}, .before = before_adoption, .run = thread_adopts},
    {"thread_adopts_orphan",
     {TINY_SLAB, SMALL},
     .before = before_orphan,
     .run = thread_adopts_orphan},
    {"trim_orphan",
     {TINY_SLAB, SMALL},
     .before = before_orphan,
     .prepare = prepare_own_arena,
     .run = stepped_trim},
    {"thread_ends", {TINY}, .prepare = prepare_tiny_freed, .run = thread_ends},
    {"malloc_large", .range = LARGE, .run = malloc_large},
    {"malloc_large_stock", .prepare = prepare_large_stock, .run = malloc_large_stock},
    {"malloc_large_split", .range = LARGE, .prepare = prepare_large_stock,
     .run = malloc_large_split},
    {"malloc_large_joined", .range = LARGE, .prepare = prepare_large_two,
     .run = malloc_large_joined},
    {"malloc_large_extends", .range = LARGE, .prepare = prepare_large_stock,
     .run = malloc_large_extends},
    {"malloc_large_due", .range = LARGE, .prepare = prepare_large_due, .run = malloc_large_due},
    {"memalign_large", .range = 5 * LARGE, .range_least = 4 * LARGE, .prepare = prepare_large,
     .run = memalign_large},
    {"calloc_large", .range = LARGE, .run = calloc_large},
    {"calloc_large_used", .range = LARGE, .prepare = prepare_large_stock, .run = calloc_large},
    {"free_large", .prepare = prepare_large, .run = free_large},
    {"free_large_unmaps", .range = LARGE, .prepare = prepare_no_stock, .run = free_large_unmaps},
    {"free_large_surplus_unmapped", .range = 3 * LARGE, .prepare = prepare_surplus_unmapped,
     .run = free_large_surplus_unmapped},
    {"free_large_surplus_purged", .range = 3 * LARGE, .prepare = prepare_surplus_purged,
     .run = free_large_surplus_purged},
    {"realloc_large_grows", .range = LARGE, .prepare = prepare_room_behind,
     .run = realloc_large_grows},
    {"realloc_large_grows_over_all", .range = LARGE, .prepare = prepare_room_behind,
     .run = realloc_large_grows_over_all},
    {"realloc_large_shrinks", .range = 3 * LARGE, .prepare = prepare_large_long,
     .run = realloc_large_shrinks},
    {"realloc_large_moves", .range = 4 * LARGE, .prepare = prepare_large_neighbours,
     .run = realloc_large_moves},
    {"realloc_large_to_small", {SMALL}, .prepare = prepare_large, .run = realloc_large_to_small},
    {"lost_new_slab",
     {SMALL},
     .range = 32 * MIB,
     .before = before_lost_new_slab,
     .run = malloc_other},
    {"lost_new_heap",
     {BIG},
     .range = 32 * MIB,
     .before = before_lost_new_heap,
     .run = malloc_other},
    {"lost_release",
     {SMALL},
     .range = 32 * MIB,
     .before = before_lost_release,
     .run = malloc_other},
    {"lost_drain", {SMALL}, .range = 32 * MIB, .before = before_lost_drain, .run = malloc_other},
    {"lost_adoption",
     {TINY_SLAB, SMALL},
     .range = 32 * MIB,
     .before = before_lost_adoption,
     .run = malloc_other},
    {"lost_orphan",
     {TINY_SLAB, SMALL},
     .range = 32 * MIB,
     .before = before_lost_orphan,
     .run = malloc_other},
    {"lost_trim", {TINY}, .range = LARGE, .before = before_lost_trim, .run = stepped_trim},
    {"lost_large_split", .range = 4 * LARGE, .before = before_lost_large_split,
     .run = malloc_any_large},
    {"lost_large_grows", .range = 4 * LARGE, .before = before_lost_large_grows,
     .run = malloc_any_large},
    {.name = NULL},
};

void scenario_run(const struct scenario *scenario)
{
    if (scenario->prepare != NULL)
        scenario->prepare();
    scenario->run();
    if (step_in_child())
        child_run(false);
}
