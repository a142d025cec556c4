/*
 * A thread begins, uses and ends a heap, and at each instruction another thread forks, so that it
 * is lost in the child. There the heap goes on, or has ended; what it holds is sound, and its
 * memory comes back.
 */
#include "block_places.h"
#include "child.h"
#include "in_thread.h"
#include "large/large.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "paths/heaps.h"
#include "sanitized.h"
#include "step.h"

#include <string.h>

SUITE(heaps_steps, .begin = begin_without_decay, .timeout = 600);

enum {
    KEPT = 40,                         /* blocks of the heap that it has before */
    SIZE = 48,                         /* bytes of them */
    BIG = 3 << 20,                     /* bytes of a LARGE one */
    AFTER = 3000,                      /* blocks that a child takes */
    STRIDE = UNDER_SANITIZER ? 16 : 1, /* instructions from one fork to the next */
    MOST_FORKS = 200,
};

static struct acre_heap *handle;
static struct own_heap *heap;
static char *kept[KEPT];
static struct partner forker;
static int stride, failed, failed_at;

static void begin_heap(void)
{
    handle = heaps_begin();
    heap = heaps_find(handle, "test");
    for (int i = 0; i < KEPT; i++)
        kept[i] = memset(alloc_of_heap(heap, SIZE), i, SIZE);
}

/* ---- What is stepped ---- */

static void take_from_window(void)
{
    alloc_of_heap(heap, SIZE);
}

static void take_another_class(void)
{
    alloc_of_heap(heap, 5000);
}

static void take_large(void)
{
    alloc_of_heap(heap, BIG);
}

static void free_one(void)
{
    free_block(kept[0]);
}

static void end_it(void)
{
    heaps_end(handle, "test");
}

static void end_and_begin(void)
{
    heaps_end(handle, "test");
    heaps_begin();
}

static void begin_another(void)
{
    heaps_begin();
}

/* ---- What a child finds ---- */

static struct acre_heap *current_handle(void)
{
    return (struct acre_heap *)((uintptr_t)heap + heap->uses / 2 % 64);
}

static bool is_in_use(void)
{
    return heap->uses % 2 != 0 && current_handle() == handle;
}

/* The heap serves blocks, none of which is one that it has still. */
static int check_used(bool freed)
{
    for (int i = 0; i < AFTER; i++) {
        char *block = alloc_of_heap(heap, i % 7 == 0 ? 300 : SIZE);
        if (block == NULL)
            return 1;
        memset(block, 0xee, SIZE);
    }
    for (int i = freed; i < KEPT; i++)
        for (int byte = 0; byte < SIZE; byte++)
            if (kept[i][byte] != i)
                return 2;
    arena_lock_heap(heap);
    bool valid = arena_is_valid(&heap->arena);
    arena_unlock_heap(heap);
    return valid ? 0 : 3;
}

/* Two heaps, of which one has the structure of before, begin empty. */
static int check_new_heaps(void)
{
    struct own_heap *each[3];
    bool again = false;
    for (int i = 0; i < 3; i++) {
        struct acre_heap *new = heaps_begin();
        each[i] = heaps_find(new, "test");
        again = again || each[i] == heap;
        if (totals_of(&each[i]->arena).in_slabs != 0)
            return 4;
        if (!arena_is_valid(&each[i]->arena))
            return 5;
        for (int j = 0; j < i; j++)
            if (each[j] == each[i])
                return 6;
        if (alloc_of_heap(each[i], SIZE) == NULL || alloc_of_heap(each[i], BIG) == NULL)
            return 7;
    }
    return again ? 0 : 8;
}

static int check_child(void)
{
    struct large_totals totals;
    if (is_in_use()) {
        int result = check_used(*state_of(kept[0]) != BLOCK_LIVE);
        if (result != 0)
            return result;
    }
    if (heap->uses % 2 != 0) /* another one, which the lost thread had begun */
        heaps_end(current_handle(), "test");
    int result = check_new_heaps();
    if (result != 0)
        return result;
    large_totals(&totals);
    /* three are of the new heaps; one may have been on its way to the lost thread */
    if (totals.live_blocks < 3 || totals.live_blocks > 4)
        return 9;
    return faults_of_process() == 0 ? 0 : 10;
}

static void fork_here(void *unused)
{
    (void)unused;
    pid_t child = fork_limited();
    if (child == 0) {
        fork_child();
        _exit(check_child());
    }
    failed = result_of(child);
}

static void look(void)
{
    if (failed != 0 || (steps - 1) % stride != 0)
        return;
    partner_does(&forker, fork_here, NULL);
    failed_at = steps;
}

static int ignored_steps;

static void count(void)
{
    ignored_steps++;
}

static void (*const operations[])(void) = {
    take_from_window, take_another_class, take_large,    free_one,
    end_it,           end_and_begin,      begin_another,
};

TEST_LOOP_UNLESS(NO_STEPS, a_lost_thread_leaves_the_heap_sound, 0, COUNT_OF(operations))
{
    begin_heap();
    if (operations[_i] == end_it || operations[_i] == end_and_begin)
        alloc_of_heap(heap, BIG);
    partner_begin(&forker);
    /* in a child the same instructions, but for what comes by chance: how many there are */
    pid_t child = fork_limited();
    if (child == 0) {
        fork_child();
        step_through(operations[_i], count);
        _exit(ignored_steps / MOST_FORKS > 250 ? 250 : ignored_steps / MOST_FORKS);
    }
    stride = STRIDE * (1 + result_of(child));
    step_through(operations[_i], look);
    ck_assert_msg(failed == 0, "forked at instruction %d: %d", failed_at, failed);
    ck_assert_int_gt(failed_at, 0);
    partner_end(&forker);
}

/* A signal handler forks in the midst of it, and the thread goes on in the child. */
static void look_and_survive(void)
{
    if (failed_children != 0 || (steps - 1) % stride != 0 || in_forked_child)
        return;
    failed_at = steps;
    if (fork_midway()) {
        fork_child();
        step_end();
    }
}

TEST_LOOP_UNLESS(NO_STEPS, a_thread_goes_on_in_a_child, 0, COUNT_OF(operations))
{
    begin_heap();
    stride = STRIDE * 13;
    step_through(operations[_i], look_and_survive);
    if (in_forked_child) {
        int result = is_in_use() ? check_used(operations[_i] == free_one) : 0;
        if (is_in_use())
            heaps_end(handle, "test");
        result = result != 0 || faults_of_process() != 0;
        _exit(result);
    }
    ck_assert_msg(failed_children == 0, "forked at instruction %d", failed_at);
    ck_assert_int_gt(failed_at, 0);
}
