/*
 * When the system refuses memory: what is idle goes back if that could help, and stays if not.
 */
#include "test.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "paths/free.h"
#include "large/large.h"
#include "base/option.h"
#include "base/os.h"
#include "sanitized.h"
#include "system_limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

SUITE(alloc_short, .begin = begin);

enum { SMALL = 1000 }; /* bytes */

/* Blocks in this thread's magazine. */
static size_t cached_blocks(void)
{
    const struct bin *bin = &thread_state.arena->bins[size_class_of(SMALL)];
    return (size_t)(bin->top - bin->bottom);
}

/* What is idle in the arena of this thread and in the stock. */
struct idle {
    struct heap_totals heaps;
    struct large_totals large;
};

static struct idle idle_now(void)
{
    struct idle idle;
    heap_set_totals(&thread_state.arena->heaps, &idle.heaps);
    large_totals(&idle.large);
    return idle;
}

static void *held; /* the one block that leave_idle_memory does not free */

/* Leaves blocks in magazines, free units and an extent in the stock. */
static void leave_idle_memory(size_t stock)
{
    enum { BLOCKS = 3000 };
    static void *blocks[BLOCKS];

    ck_assert_int_eq(option_set_text("decay", "3600000"), 0);
    ck_assert_int_eq(option_set_text("large_stock", "64M"), 0);
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = alloc_block(SMALL);
    for (int i = 1; i < BLOCKS; i++)
        free_block(blocks[i]);
    void *large = alloc_block(stock);
    ck_assert_ptr_nonnull(large);
    memset(large, 1, stock);
    free_block(large);
    struct idle idle = idle_now();
    ck_assert_uint_gt(idle.heaps.free_dirty, 0);
    ck_assert_uint_eq(idle.large.stock_dirty, stock);
    held = blocks[0];
}

TEST_UNLESS(NO_LIMITS, a_request_that_can_never_be_met_leaves_idle_memory_as_it_is)
{
    leave_idle_memory(8 * MIB);
    struct idle before = idle_now();
    size_t resident = os_resident(), cached = cached_blocks();
    ck_assert_uint_gt(cached, 0);

    for (int i = 0; i < 10; i++) {
        errno = 0;
        ck_assert_ptr_null(alloc_block((size_t)1 << 50));
        ck_assert_int_eq(errno, ENOMEM);
        ck_assert_ptr_null(alloc_aligned(1 << 20, (size_t)1 << 46));
        ck_assert_ptr_null(alloc_resize(held, (size_t)1 << 50, "realloc"));
    }
    struct idle after = idle_now();
    ck_assert_mem_eq(&before, &after, sizeof(before));
    ck_assert_uint_ge(os_resident() + MIB, resident);
    ck_assert_uint_eq(cached_blocks(), cached);
}

/* The sum of the stock and the empty heaps decides. */
TEST_UNLESS(NO_LIMITS, idle_memory_goes_back_where_that_makes_room)
{
    enum { ROOM = 16 << 20, STOCK = 24 << 20 };
    leave_idle_memory(STOCK);
    leave_address_space(ROOM);
    struct idle before = idle_now();
    ck_assert_uint_eq(before.heaps.in_empty, 0);

    ck_assert_ptr_null(alloc_block(ROOM + STOCK + 16 * MIB));
    struct idle after = idle_now();
    ck_assert_uint_eq(after.large.stock_bytes, before.large.stock_bytes);
    void *block = alloc_block(ROOM + STOCK - 4 * MIB);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq(idle_now().large.stock_bytes, 0);
    free_block(block);
    ck_assert(arena_is_valid(thread_own_arena()));
}

/* Fills heaps, and leaves one empty beside one in use. */
static void leave_an_empty_heap(void)
{
    enum { SIZE = 1 << 20, MOST = 100 };
    static void *blocks[MOST];
    int count = 0;

    while (idle_now().heaps.heaps < 3)
        blocks[count++] = alloc_block(SIZE);
    for (int i = 0; i < count; i++)
        if (i % 2 == 0 || (uintptr_t)blocks[i] / HEAP_SIZE != (uintptr_t)blocks[0] / HEAP_SIZE)
            free_block(blocks[i]);
    ck_assert_uint_gt(idle_now().heaps.in_empty, 0);
}

TEST_UNLESS(NO_LIMITS, empty_heaps_go_back_where_that_makes_room)
{
    enum { ROOM = 40 << 20 };
    ck_assert_int_eq(option_set_text("decay", "3600000"), 0);
    leave_an_empty_heap();
    leave_address_space(ROOM);
    size_t empty = idle_now().heaps.in_empty;

    ck_assert_ptr_null(alloc_block(ROOM + empty + 16 * MIB));
    ck_assert_uint_eq(idle_now().heaps.in_empty, empty);
    ck_assert_ptr_nonnull(alloc_block(ROOM + empty - 4 * MIB));
    ck_assert_uint_eq(idle_now().heaps.in_empty, 0);
    ck_assert(arena_is_valid(thread_own_arena()));
}
