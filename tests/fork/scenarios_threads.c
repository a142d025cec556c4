/*
 * Scenarios of threads that begin and end, and of their arenas. In a child the main thread's arena
 * is in the pool, too.
 */
#include "check.h"

#include "actions.h"
#include "child.h"
#include "crew.h"
#include "ledger.h"
#include "scenarios.h"
#include "step.h"

/* ---- the beginning of a thread ---- */

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
    stepped_malloc(OTHER);
    CHECK(stats_now().arenas == arenas);
}

/*
 * The scenario is that of a child, in which a thread is gone that had an arena with everything in
 * it. The parent waits for it and ends as it does.
 */
static void before_orphan(void)
{
    in_sleeping_thread(prepare_much);
    step_go_on_in_child();
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

/* ---- arenas in the pool ---- */

/* A slab has no live block: it is current, and some of its blocks are in the magazine. */
static void leave_idle(void)
{
    anchor_here();
    hold(10, SMALL);
    drop(block_count - 6, 5);
    hold(3, MEDIUM);
    drop(block_count - 3, 3);
}

/* It has been in the pool for long. */
static void prepare_rest(void)
{
    prepare_own_arena();
    in_ended_thread(leave_idle);
    CHECK(slabs_of(MEDIUM) == 1);
    set_option("decay", "1");
    let_time_pass();
}

static void tick_rests(void)
{
    stepped_malloc(BIG);
    CHECK(slabs_of(MEDIUM) == 0);
}

static void leave_too_much(void)
{
    anchor_here();
    hold(100, SMALL);
    hold(6, BIG);
    drop(block_count - 6, 6);
}

/* The pool has too much idle; the thread that frees one more block drains the arena. */
static size_t dropped;

static void prepare_over(void)
{
    set_option("dirty_limit", "64M");
    in_ended_thread(leave_too_much);
    dropped = drop_until_release(SMALL);
    CHECK(stats_now().heap_free_dirty >= 4 * MIB);
}

static void drained_rests(void)
{
    stepped_free(blocks[dropped]);
    CHECK(stats_now().heap_free_dirty == 0);
}

/* ---- the background thread ---- */

enum { BACKGROUND_TRIES = 1000 };

/* The first idle memory starts the thread. On a busy machine it may have decayed before that, and
 * more is made idle. */
static void before_background(void)
{
    set_option("decay", "1");
    set_option("background_thread", "1");
    child_task.background = true;
    hold(1, LARGE);
    drop(0, 1);
    for (int tries = 0; crew_threads() != 2; tries++) {
        CHECK(tries < BACKGROUND_TRIES);
        free(malloc(LARGE));
    }
    while (stats_now().large_stock != 0)
        let_time_pass();
}

static void prepare_background(void)
{
    anchor_here();
    hold(8, BIG);
    in_ended_thread(use_other_size);
}

/* Units are given back again and again, and purged by the one thread or the other. */
static void background(void)
{
    for (size_t i = 1; i < 9; i += 2) {
        stepped_free(blocks[i]);
        stepped_free(blocks[i + 1]);
        stepped_malloc(BIG);
        stepped_malloc(BIG);
    }
}

/* ---- what a lost thread has left ---- */

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

/* ---- the table ---- */

const struct scenario scenarios_threads[] = {
    {"thread_makes_arena", .range = 32 * MIB, .run = thread_makes_arena},
    {"thread_adopts", {TINY}, .before = before_adoption, .also_bare = true, .run = thread_adopts},
    {"thread_adopts_orphan", {TINY_SLAB, SMALL}, .before = before_orphan, .run = thread_adopts},
    {"trim_orphan",
     {TINY_SLAB, SMALL},
     .before = before_orphan,
     .prepare = prepare_own_arena,
     .also_bare = true,
     .run = stepped_trim},
    {"thread_ends", {TINY}, .prepare = prepare_tiny_freed, .also_bare = true, .run = thread_ends},
    {"tick_rests", {SMALL}, .prepare = prepare_rest, .run = tick_rests},
    {"drained_rests", {SMALL}, .prepare = prepare_over, .run = drained_rests},
    {"background",
     {BIG},
     .before = before_background,
     .prepare = prepare_background,
     .run = background},
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
    {.name = NULL},
};
