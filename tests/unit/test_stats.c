/*
 * Statistics: in a quiet process every figure is exact, in a busy one they agree with each other.
 */
#include "test.h"
#include "paths/alloc.h"
#include "arena/idle.h"
#include "in_thread.h"
#include "own_arena.h"
#include "process/stats.h"

#include <acre/acre.h>

SUITE(stats, .begin = begin_without_decay);

static struct acre_stats collect(void)
{
    struct acre_stats stats;

    stats_collect(&stats, sizeof(stats));
    ck_assert_uint_eq(stats.live, stats.small_live + stats.large_live);
    ck_assert_uint_eq(stats.mapped,
                      stats.heap_mapped + stats.large_live + stats.large_stock + stats.metadata);
    ck_assert_uint_ge(stats.heap_mapped, stats.heap_in_slabs + stats.heap_free_dirty);
    ck_assert_uint_eq(stats.class_count, SIZE_CLASS_COUNT);
    return stats;
}

/* The figures of the class that holds `size` bytes. */
static struct acre_class_stats class_of(const struct acre_stats *stats, size_t size)
{
    return stats->classes[size_class_of(size)];
}

TEST(a_process_that_allocated_nothing)
{
    struct acre_stats stats = collect();

    ck_assert_uint_eq(stats.arenas + stats.heaps + stats.heap_mapped, 0);
    ck_assert_uint_eq(stats.live + stats.small_blocks + stats.large_blocks, 0);
    ck_assert_uint_gt(stats.resident, 0);
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++) {
        ck_assert_uint_eq(stats.classes[class].block_size, size_class_sizes[class]);
        ck_assert_uint_eq(stats.classes[class].slabs, 0);
    }
}

/* In a thread: a tenth of its blocks it frees itself, the rest is left. */
static void *leave_blocks(void *blocks)
{
    for (int i = 0; i < 100; i++)
        ((void **)blocks)[i] = alloc_block(64);
    for (int i = 0; i < 10; i++)
        free_block(((void **)blocks)[i]);
    return NULL;
}

TEST(blocks_freed_by_others_are_not_live)
{
    static void *blocks[100];

    run_thread(leave_blocks, blocks);
    ck_assert_uint_eq(collect().small_blocks, 90);
    for (int i = 10; i < 50; i++)
        free_block(blocks[i]);
    struct acre_stats stats = collect();
    ck_assert_uint_eq(stats.small_blocks, 50);
    ck_assert_uint_eq(class_of(&stats, 64).live_blocks, 50);
    ck_assert_uint_eq(stats.arenas, 1);
    ck_assert_uint_eq(stats.arenas_pooled, 1);
}

TEST(free_memory_shows_until_it_is_trimmed)
{
    void *blocks[3];

    for (int i = 0; i < 3; i++)
        blocks[i] = alloc_block(1 << 20);
    size_t in_slabs = collect().heap_in_slabs;
    ck_assert_uint_eq(in_slabs, 3 << 20);
    for (int i = 0; i < 3; i++)
        free_block(blocks[i]);
    free_block(alloc_block(2 * MIB));
    ck_assert_uint_eq(collect().large_stock, 2 * MIB);
    ck_assert_uint_eq(collect().live, 0);
    idle_trim();
    struct acre_stats stats = collect();
    ck_assert_uint_eq(stats.heap_in_slabs + stats.heap_free_dirty + stats.large_stock, 0);
    ck_assert_uint_eq(stats.arenas, 1);
    ck_assert_uint_eq(stats.arenas_pooled, 0);
}

static bool stop_churning; /* atomic, relaxed */
static int rounds;         /* of the thread */

/* In a thread: makes slabs and releases them. */
static void *churn(void *unused)
{
    enum { BLOCKS = 20000 };
    static void *blocks[BLOCKS];

    while (!__atomic_load_n(&stop_churning, __ATOMIC_RELAXED)) {
        for (int i = 0; i < BLOCKS; i++)
            blocks[i] = alloc_block(256);
        for (int i = 0; i < BLOCKS; i++)
            free_block(blocks[i]);
        rounds++;
    }
    return unused;
}

TEST(figures_agree_while_others_allocate)
{
    enum { SNAPSHOTS = 5000 };
    struct acre_stats stats;
    pthread_t thread = begin_thread(churn, NULL);

    for (int i = 0; i < SNAPSHOTS; i++) {
        stats_collect(&stats, sizeof(stats));
        ck_assert_uint_le(stats.small_live, stats.heap_in_slabs);
        ck_assert_uint_le(stats.heap_in_slabs, stats.heap_mapped);
        ck_assert_uint_le(class_of(&stats, 256).live_blocks, class_of(&stats, 256).blocks);
    }
    __atomic_store_n(&stop_churning, true, __ATOMIC_RELAXED);
    end_thread(thread);
    ck_assert_int_gt(rounds, 0);
}
