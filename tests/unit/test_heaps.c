/*
 * Heaps of one's own: their blocks are blocks as others, of all sizes and with all modes; destroy
 * frees them all and nothing else; a handle of a heap that has ended is known as one.
 */
#include "arena/idle.h"
#include "base/limit.h"
#include "base/option.h"
#include "block_places.h"
#include "capture.h"
#include "common/random.h"
#include "child.h"
#include "in_thread.h"
#include "inspect/count.h"
#include "large/large.h"
#include "memory.h"
#include "modes/guard.h"
#include "modes/hardened.h"
#include "modes/misuse.h"
#include "modes/profile.h"
#include "modes/trace.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "paths/heaps.h"
#include "process/stats.h"

SUITE(heaps, .begin = begin_without_decay);

static const size_t sizes[] = {0,    1,     16,    50,      64,      100,     1000,   1025,
                               5000, 32768, 40000, 1 << 18, 1 << 20, 1500000, 3000000};

static struct acre_heap *handle;
static struct own_heap *heap;

static void begin_heap(void)
{
    handle = heaps_begin();
    ck_assert_ptr_nonnull(handle);
    heap = heaps_find(handle, "test");
    ck_assert_ptr_nonnull(heap);
    ck_assert_int_eq(arena_status(&heap->arena), ARENA_OF_HEAP);
}

static void end_heap(void)
{
    heaps_end(handle, "test");
}

static bool is_sound(void)
{
    return arena_is_valid(&heap->arena);
}

/* The arena's number if a block in a slab is of the heap, or of what it is otherwise. */
static uint32_t heap_of_block(const void *block)
{
    if (guard_has(block))
        return guard_heap(block);
    struct heap *region = heap_find(block);
    return region != NULL ? arena_of(region->set)->number : large_heap(block);
}

static void *allocate(size_t size, int how)
{
    return how == 0   ? alloc_of_heap(heap, size)
           : how == 1 ? alloc_zeroed_of_heap(heap, 1, size)
           : how == 2 ? alloc_aligned_of_heap(heap, 256, size)
                      : alloc_resize_of_heap(heap, NULL, size, "test");
}

static size_t large_blocks(void)
{
    struct large_totals totals;
    large_totals(&totals);
    return totals.live_blocks;
}

/* ---- Blocks ---- */

TEST_LOOP(each_block_is_of_the_heap, 0, 4)
{
    begin_heap();
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            char *block = allocate(sizes[i], _i);
            ck_assert_ptr_nonnull(block);
            ck_assert_uint_eq(heap_of_block(block), heap->arena.number);
            ck_assert_uint_eq((uintptr_t)block % (_i == 2 ? 256 : 16), 0);
            ck_assert_uint_ge(free_usable_size(block, "test"), sizes[i]);
            if (_i == 1)
                ck_assert(is_filled(block, sizes[i], 0));
            memset(block, 'x', free_usable_size(block, "test"));
            if ((round + i) % 3 == 0)
                free_block(block);
        }
    ck_assert(is_sound());
    ck_assert_uint_eq(faults_of_process(), 0);
    ck_assert_ptr_null(thread_own_arena()); /* the thread itself has allocated nothing */
    end_heap();
}

TEST(a_block_that_moves_stays_in_the_heap)
{
    begin_heap();
    char *other = alloc_block(100);
    for (size_t from = 0; from < COUNT_OF(sizes); from++)
        for (size_t to = 0; to < COUNT_OF(sizes); to++) {
            if (sizes[to] == 0)
                continue;
            size_t kept = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
            char *block = alloc_of_heap(heap, sizes[from]);
            memset(block, 'y', sizes[from]);
            block = alloc_resize_of_heap(heap, block, sizes[to], "test");
            ck_assert_uint_eq(heap_of_block(block), heap->arena.number);
            ck_assert(is_filled(block, kept, 'y'));
        }
    ck_assert_ptr_null(alloc_resize_of_heap(heap, alloc_of_heap(heap, 10), 0, "test"));
    ck_assert(is_sound());
    end_heap();
    ck_assert_uint_eq(large_blocks(), 0);
    free_block(other);
}

/* Where a LARGE block of a heap was, the next one is of none, unless a heap asks for it. */
TEST(a_large_block_is_of_the_heap_that_asked_for_it)
{
    begin_heap();
    char *block = alloc_of_heap(heap, 2 << 20);
    ck_assert_uint_eq(large_heap(block), heap->arena.number);
    free_block(block);
    char *plain = alloc_block(2 << 20);
    ck_assert_ptr_eq(plain, block);
    ck_assert_uint_eq(large_heap(plain), 0);
    end_heap();
    ck_assert_uint_ge(free_usable_size(plain, "test"), 2 << 20);
    free_block(plain);
}

TEST(what_is_freed_is_used_again)
{
    enum { COUNT = 20000 };
    static char *blocks[COUNT];
    begin_heap();
    size_t first = 0;
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < COUNT; i++)
            blocks[i] = alloc_of_heap(heap, 16 + i % 500);
        for (size_t i = 0; i < COUNT; i++)
            free_block(blocks[i]);
        size_t in_slabs = totals_of(&heap->arena).in_slabs;
        first = round == 0 ? in_slabs : first;
        ck_assert_uint_le(in_slabs, first + (4 << 20));
    }
    ck_assert(is_sound());
    end_heap();
}

/* What a heap has had freed is collected by the threads that free, also if none allocates. */
TEST(freed_memory_goes_back_without_an_allocation)
{
    enum { COUNT = 64 << 10, SIZE = 1024 };
    static char *blocks[COUNT];
    begin_heap();
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = alloc_of_heap(heap, SIZE);
    ck_assert_uint_ge(totals_of(&heap->arena).in_slabs, COUNT * SIZE);
    for (size_t i = 0; i < COUNT; i++)
        free_block(blocks[i]);
    ck_assert_uint_le(totals_of(&heap->arena).in_slabs, COUNT * SIZE / 8);
    idle_trim();
    ck_assert_uint_eq(totals_of(&heap->arena).in_slabs, 0);
    ck_assert_uint_eq(totals_of(&heap->arena).free_dirty, 0);
    end_heap();
}

/* ---- The end ---- */

TEST(destroy_frees_all_blocks_and_no_other)
{
    begin_heap();
    char *plain[COUNT_OF(sizes)], *others[COUNT_OF(sizes)];
    struct acre_heap *second = heaps_begin();
    struct own_heap *other = heaps_find(second, "test");
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        plain[i] = alloc_block(sizes[i]);
        others[i] = alloc_of_heap(other, sizes[i]);
        for (int how = 0; how < 4; how++)
            allocate(sizes[i], how);
    }
    end_heap();
    ck_assert_uint_eq(totals_of(&heap->arena).in_slabs, 0);
    ck_assert_uint_eq(live_blocks_in(&heap->arena), 0);
    ck_assert(is_sound() && arena_is_valid(&other->arena) && own_arena_is_valid());
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        ck_assert_uint_ge(free_usable_size(plain[i], "test"), sizes[i]);
        ck_assert_uint_ge(free_usable_size(others[i], "test"), sizes[i]);
        free_block(plain[i]);
    }
    heaps_end(second, "test");
    ck_assert_uint_eq(large_blocks(), 0);
    struct figures figures;
    stats_count(false, &figures);
    ck_assert_uint_eq(figures.small_blocks, 0);
}

TEST(a_structure_is_used_again)
{
    begin_heap();
    struct own_heap *first = heap;
    uint64_t released = 0;
    for (int i = 0; i < 200; i++) {
        for (int blocks = 0; blocks < 2000; blocks++)
            alloc_of_heap(heap, 100);
        end_heap();
        uint64_t now = heap->arena.bins[size_class_of(100)].slabs_released;
        ck_assert_uint_gt(now, released); /* counts of before stay */
        released = now;
        begin_heap();
        ck_assert_ptr_eq(heap, first);
        ck_assert(is_sound());
    }
    struct acre_heap *second = heaps_begin();
    ck_assert_ptr_ne(heaps_find(second, "test"), first);
    ck_assert_ptr_null(arena_next(&first->arena));
    heaps_end(second, "test");
    end_heap();
}

/* A new heap begins as small as the first one did. */
TEST(a_heap_that_begins_again_is_small)
{
    begin_heap();
    allocate(100, 0);
    allocate(1000, 0);
    size_t fresh = totals_of(&heap->arena).in_slabs;
    for (int i = 0; i < 100000; i++)
        allocate(100, 0);
    end_heap();
    begin_heap();
    allocate(100, 0);
    allocate(1000, 0);
    ck_assert_uint_eq(totals_of(&heap->arena).in_slabs, fresh);
    end_heap();
}

/* ---- Misuse ---- */

static void free_it(void *block)
{
    free_block(block);
}

static void end_again(void *unused)
{
    (void)unused;
    heaps_end(handle, "acre_heap_destroy");
}

static void allocate_in_ended(void *unused)
{
    (void)unused;
    if (heaps_find(handle, "acre_heap_alloc") != NULL)
        _exit(1);
}

TEST_LOOP(a_block_of_an_ended_heap_was_freed, 0, COUNT_OF(sizes))
{
    begin_heap();
    char text[128];
    char *block = alloc_of_heap(heap, sizes[_i]);
    end_heap();
    snprintf(text, sizeof text, "acre: double free: free(%p): ", (void *)block);
    capture_abort(free_it, block, text);
    free_block(alloc_block(10));
    begin_heap(); /* the same memory */
    for (int i = 0; i < 10; i++)
        free_block(allocate(sizes[_i], 0));
    capture_abort(free_it, block, text);
    end_heap();
}

TEST(a_heap_that_has_ended_is_known)
{
    begin_heap();
    char text[128];
    allocate(100, 0);
    struct acre_heap *old = handle;
    end_heap();
    for (int i = 1; i < 64; i++) {
        handle = old;
        snprintf(text, sizeof text,
                 "acre: heap that has ended: acre_heap_destroy(%p): it was destroyed\n",
                 (void *)old);
        capture_abort(end_again, NULL, text);
        snprintf(text, sizeof text,
                 "acre: heap that has ended: acre_heap_alloc(%p): it was destroyed\n", (void *)old);
        capture_abort(allocate_in_ended, NULL, text);
        begin_heap();
        ck_assert_ptr_eq(heap, (void *)align_down((uintptr_t)old, 64));
        capture_abort(end_again, (handle = old), "acre: heap that has ended: ");
        heaps_end((struct acre_heap *)((uintptr_t)heap + heap->uses / 2 % 64), "test");
    }
}

static void check_foreign(void *block)
{
    if (free_is_of_heap(block, &heap->arena, "acre_heap_free"))
        _exit(1);
}

TEST_LOOP(a_block_of_no_or_another_heap_is_foreign, 0, COUNT_OF(sizes))
{
    begin_heap();
    char *blocks[2];
    struct acre_heap *second = heaps_begin();
    blocks[0] = alloc_block(sizes[_i]);
    blocks[1] = alloc_of_heap(heaps_find(second, "test"), sizes[_i]);
    char *own = alloc_of_heap(heap, sizes[_i]);
    for (int i = 0; i < 2; i++) {
        char text[128];
        snprintf(text, sizeof text, "acre: foreign pointer: acre_heap_free(%p): block %p of ",
                 (void *)blocks[i], (void *)blocks[i]);
        capture_abort(check_foreign, blocks[i], text);
    }
    ck_assert(free_is_of_heap(own, &heap->arena, "test"));
    ck_assert(free_is_of_heap(NULL, &heap->arena, "test"));
    heaps_end(second, "test");
    end_heap();
}

/* ---- Modes ---- */

static void start_mode(const char *options)
{
    ck_assert(option_parse(options, "test"));
    hardened_start(free_report_damage);
    trace_start();
    guard_start();
    profile_follow_option();
}

static const char *const modes[] = {"profile:1",
                                    "profile:1000",
                                    "trace:1000",
                                    "hardened:1",
                                    "fill:1",
                                    "guard:2",
                                    "hardened:1,profile:1,trace:1000"};

TEST_LOOP(modes_see_the_blocks_of_heaps, 0, COUNT_OF(modes))
{
    start_mode(modes[_i]);
    begin_heap();
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 10 * COUNT_OF(sizes); i++) {
            size_t size = sizes[i % COUNT_OF(sizes)];
            char *block = allocate(size, (int)(i % 4));
            ck_assert_uint_eq(heap_of_block(block), heap->arena.number);
            memset(block, 'x', size);
            if (i % 3 == 0)
                block = alloc_resize_of_heap(heap, block, size + 100, "test");
            ck_assert_uint_eq(heap_of_block(block), heap->arena.number);
            if (i % 5 == 0)
                free_block(block);
        }
        ck_assert_uint_eq(faults_of_process(), 0);
        end_heap();
        ck_assert_uint_eq(profile_samples, 0);
        ck_assert_uint_eq(large_blocks(), 0);
        for (size_t slot = 0; slot < GUARD_SLOTS; slot++)
            ck_assert(guard.order[slot] != GUARD_LIVE);
        begin_heap();
    }
    end_heap();
    ck_assert(profile_is_valid());
}

TEST(the_trace_has_what_destroy_frees)
{
    start_mode("trace:1000");
    begin_heap();
    char *blocks[] = {allocate(100, 0), allocate(2 << 20, 0)};
    end_heap();
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        struct trace_record record;
        ck_assert_uint_ne(trace_find(blocks[i], UINT64_MAX, &record), 0);
        ck_assert(record.freed);
    }
}

static void overflow_and_end(void *block)
{
    ((volatile char *)block)[50] = 'z';
    end_heap();
}

TEST(destroy_finds_an_overflow)
{
    start_mode("hardened:1");
    begin_heap();
    char text[128];
    char *block = alloc_of_heap(heap, 50);
    snprintf(text, sizeof text, "acre: overflow: test(%p): block %p of ", (void *)block,
             (void *)block);
    capture_abort(overflow_and_end, block, text);
    end_heap();
}

/* The program's handler may use the heap, and leave by a jump. */
static void *block_of_handler;

static void on_error(const struct acre_error *error)
{
    (void)error;
    block_of_handler = alloc_of_heap(heap, 64);
}

TEST_LOOP(no_lock_is_held_in_the_handler, 0, 2)
{
    start_mode("hardened:1,on_error:ignore");
    begin_heap();
    misuse_set_handler(on_error);
    char *block = alloc_of_heap(heap, 50);
    if (_i == 0) {
        block[50] = 'z';
    } else { /* written after it was freed; it is handed out again */
        free_block(block);
        block[0] = 'z';
        for (int i = 0; i < 1000000 && block_of_handler == NULL; i++)
            free_block(alloc_of_heap(heap, 50));
    }
    end_heap();
    ck_assert_ptr_nonnull(block_of_handler);
}

/* ---- The limit ---- */

TEST(the_limit_holds_for_heaps)
{
    begin_heap();
    ck_assert_int_eq(option_set_text("limit", "64M"), 0);
    limit_tick(os_now_ms());
    size_t blocks = 0;
    while (blocks < 4096 && alloc_of_heap(heap, 64 << 10) != NULL)
        blocks++;
    ck_assert_uint_ge(blocks, 512);
    ck_assert_uint_le(blocks, 1024);
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_ptr_null(alloc_of_heap(heap, 8 << 20));
    ck_assert_ptr_null(alloc_block(8 << 20));
    end_heap();
    begin_heap();
    ck_assert_ptr_nonnull(alloc_of_heap(heap, 8 << 20));
    for (size_t i = 0; i < blocks / 2; i++)
        ck_assert_ptr_nonnull(alloc_of_heap(heap, 64 << 10));
    end_heap();
    ck_assert_ptr_nonnull(alloc_block(32 << 20));
}

/* ---- Threads ---- */

enum { THREADS = 4, ROUNDS = 3000, KEPT = 200 };

static void *use_heap(void *number)
{
    static struct {
        char *block;
        size_t size;
    } kept[THREADS][KEPT];
    size_t own = *(size_t *)number;
    struct random random = random_begin_for(own);
    for (int i = 0; i < ROUNDS; i++) {
        size_t at = random_below(&random, KEPT);
        char *block = kept[own][at].block;
        if (block != NULL) {
            ck_assert(is_filled(block, kept[own][at].size, (char)('a' + own)));
            free_block(block);
        }
        size_t size = i % 500 == 0 ? 2 << 20 : random_small(&random, 5000);
        kept[own][at].size = size;
        kept[own][at].block = memset(alloc_of_heap(heap, size), (int)('a' + own), size);
    }
    return NULL;
}

TEST(threads_share_a_heap)
{
    size_t numbers[THREADS] = {0, 1, 2, 3};
    begin_heap();
    run_threads(use_heap, numbers, THREADS, sizeof(*numbers));
    ck_assert(is_sound());
    end_heap();
    ck_assert_uint_eq(live_blocks_in(&heap->arena), 0);
    ck_assert_uint_eq(large_blocks(), 0);
}

static void *end_in_thread(void *result)
{
    struct capture *capture = result;
    capture_stderr(capture, end_again, NULL);
    return NULL;
}

/* Of two threads that end a heap one is reported. */
TEST(a_heap_ends_once)
{
    ck_assert(option_parse("on_error:report", "test"));
    begin_heap();
    allocate(100, 0);
    struct capture capture;
    run_thread(end_in_thread, &capture);
    ck_assert_str_eq(capture.text, "");
    run_thread(end_in_thread, &capture);
    ck_assert_ptr_nonnull(strstr(capture.text, "heap that has ended: acre_heap_destroy("));
}
