/*
 * The limit on what acre holds: requests of all kinds end at it, idle memory goes back before, what
 * is freed makes room again, in threads and children, too.
 */
#include "test.h"
#include "arena/idle.h"
#include "base/meta.h"
#include "capture.h"
#include "child.h"
#include "heap/heap_pages.h"
#include "in_thread.h"
#include "large/large.h"
#include "limit_blocks.h"
#include "own_arena.h"
#include "sanitized.h"
#include "step.h"

#include <sys/syscall.h>

SUITE(limit, .begin = begin_without_decay);

/* ---- a limit in bytes ---- */

static const size_t sizes[] = {100, 1000, 5000, 30000, 60000, 500000, 1 << 20, 2 << 20};

TEST_LOOP(requests_of_each_size_end_at_the_limit, 0, COUNT_OF(sizes))
{
    struct blocks blocks = {0};
    be_quiet();
    set_limit_bytes(LIMIT);
    take(&blocks, sizes[_i], SIZE_MAX);
    /* half of the reserve is left by one thread at least */
    ck_assert_uint_le(idle_count_held(), LIMIT - LIMIT / 128);
    /* what slabs, states and headers take beside the blocks */
    ck_assert_uint_ge(bytes_of(&blocks), LIMIT - LIMIT / 8 - sizes[_i]);
    ck_assert_ptr_null(alloc_block(2 << 20));
    ck_assert_ptr_null(alloc_zeroed(4, 1 << 20));
    ck_assert_ptr_null(alloc_aligned(4096, 2 << 20));
    ck_assert(own_arena_is_valid());
    ck_assert(large_is_valid());

    /* what is freed can be had again, in the same size and in another one */
    size_t count = blocks.count;
    give(&blocks, count / 2);
    take(&blocks, sizes[_i], SIZE_MAX);
    ck_assert_uint_ge(blocks.count, count - count / 16);
    ck_assert_uint_le(idle_count_held(), LIMIT);
    give(&blocks, 0);
    struct blocks others = {0};
    take(&others, 250000, SIZE_MAX);
    ck_assert_uint_ge(bytes_of(&others), LIMIT - LIMIT / 8);
    ck_assert_uint_le(idle_count_held(), LIMIT);
    give(&others, 0);
    ck_assert(own_arena_is_valid());
    ck_assert(large_is_valid());
}

TEST(all_that_acre_may_fill_is_counted)
{
    struct blocks blocks = {0};
    struct heap_totals totals;
    set_limit_bytes(LIMIT);
    char *large = alloc_block(3 << 20);
    take(&blocks, 100, 50000);
    struct heap *heap = heap_containing(blocks.last);
    size_t fixed = meta_bytes + heap_header_bytes(heap);
    heap_set_totals(heap->set, &totals);
    ck_assert_uint_eq(totals.heaps, 1);
    ck_assert_uint_eq(idle_count_held(), fixed + (3 << 20) + totals.in_slabs + totals.free_dirty);
    ck_assert_uint_ge(totals.in_slabs, 50000 * 100);
    /* what is freed counts until it has gone back */
    size_t held = idle_count_held();
    give(&blocks, 0);
    free_block(large);
    ck_assert_uint_eq(idle_count_held(), held);
    idle_trim();
    ck_assert_uint_le(idle_count_held(), fixed);
    ck_assert_uint_ge(idle_count_held(), meta_bytes + (heap->states - (uint8_t *)heap));
}

TEST(refused_requests_cost_no_address_space)
{
    struct blocks small = {0}, large = {0};
    be_quiet();
    set_limit_bytes(LIMIT);
    take(&small, 1000, 20000);
    take(&large, 2 << 20, SIZE_MAX);
    take(&small, 1000, SIZE_MAX);
    struct heap_totals before, after;
    uint64_t mapped = os_counts.mmap;
    heap_set_totals(&thread_state.arena->heaps, &before);
    for (int i = 0; i < 20; i++) {
        ck_assert_ptr_null(alloc_block(1 << 20));
        ck_assert_ptr_null(alloc_block(2 << 20));
    }
    heap_set_totals(&thread_state.arena->heaps, &after);
    ck_assert_uint_eq(after.heaps, before.heaps);
    ck_assert_uint_eq(os_counts.mmap, mapped);
}

TEST(a_request_above_the_limit_leaves_idle_memory_as_it_is)
{
    struct blocks blocks = {0};
    be_quiet();
    set_limit_bytes(LIMIT);
    take(&blocks, 2 << 20, 10);
    give(&blocks, 0);
    struct large_totals before, after;
    large_totals(&before);
    ck_assert_uint_gt(before.stock_dirty, 0);
    ck_assert_ptr_null(alloc_block(LIMIT + 1));
    ck_assert_ptr_null(alloc_block((size_t)1 << 40));
    large_totals(&after);
    ck_assert_uint_eq(after.stock_dirty, before.stock_dirty);
}

TEST(what_comes_from_the_stock_again_is_not_counted_again)
{
    set_limit_bytes(LIMIT);
    ck_assert_int_eq(option_set_text("large_stock", "64M"), 0);
    free_block(alloc_block(40 << 20));
    uint64_t returned = os_counts.purged, unmapped = os_counts.munmap, taken = limit.taken;
    for (int i = 0; i < 100; i++) {
        char *block = alloc_block(40 << 20);
        ck_assert_ptr_nonnull(block);
        free_block(block);
    }
    ck_assert_uint_eq(os_counts.purged, returned);
    ck_assert_uint_eq(os_counts.munmap, unmapped);
    ck_assert_uint_eq(limit.taken, taken);
}

TEST(free_extents_without_contents_are_taken_anew)
{
    struct blocks blocks = {0};
    struct large_totals totals;
    be_quiet();
    set_limit_bytes(LIMIT);
    /* what the alignment leaves over: 16 MiB, on both sides of the block */
    ck_assert_ptr_nonnull(alloc_aligned(16 << 20, 2 << 20));
    large_totals(&totals);
    ck_assert_uint_ge(totals.stock_bytes, 15 << 20);
    ck_assert_uint_eq(totals.stock_dirty, 0);
    /* not yet near the limit, where they would go back */
    take(&blocks, 30000, (LIMIT - (6 << 20) - idle_count_held()) / 32768);
    large_totals(&totals);
    ck_assert_uint_ge(totals.stock_bytes, 15 << 20);
    ck_assert_ptr_null(alloc_block(7 << 20));
    ck_assert_uint_le(idle_count_held(), LIMIT);
}

TEST(a_block_grows_up_to_the_limit)
{
    be_quiet();
    set_limit_bytes(LIMIT);
    ck_assert_int_eq(option_set_text("large_stock", "64M"), 0);
    /* idle memory that is to go back for it */
    struct blocks idle = {0};
    take(&idle, 1000, 20000);
    give(&idle, 0);
    size_t size = 2 << 20;
    char *block = alloc_block(size);
    ck_assert_ptr_nonnull(block);
    memset(block, 3, size);
    for (;;) {
        errno = 0;
        char *grown = alloc_resize(block, size + (1 << 20), "realloc");
        if (grown == NULL)
            break;
        block = grown;
        size += 1 << 20;
        ck_assert_uint_le(idle_count_held(), LIMIT);
    }
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_uint_ge(size, LIMIT - LIMIT / 16);
    ck_assert_int_eq(block[(2 << 20) - 1], 3);
    block = alloc_resize(block, 2 << 20, "realloc");
    ck_assert_ptr_nonnull(block);
    ck_assert_ptr_nonnull(alloc_block(LIMIT / 2));
}

/* A limit is told in bytes, and LARGE blocks take whole pages: the room that is made is enough. */
TEST(near_the_limit_a_block_need_not_be_whole_pages)
{
    be_quiet();
    set_limit_bytes(LIMIT);
    size_t size = 2 << 20;
    char *block = alloc_block(size);
    ck_assert_ptr_nonnull(block);
    ck_assert_ptr_nonnull(alloc_block(LIMIT - (8 << 20)));
    ck_assert_uint_gt(idle_count_held(), LIMIT - LIMIT / 8);
    block = alloc_resize(block, size + (3 << 19) + 1, "realloc");
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_gt(idle_count_held(), LIMIT - LIMIT / 12);
    ck_assert_ptr_nonnull(alloc_block((3 << 19) + 1));
    ck_assert_uint_gt(idle_count_held(), LIMIT - LIMIT / 16);
    ck_assert_ptr_nonnull(alloc_block((5 << 18) + 1));
    ck_assert_uint_le(idle_count_held(), LIMIT);
}

/* ---- other threads ---- */

static void *take_and_sleep(void *argument)
{
    struct blocks *blocks = argument;
    take(blocks, 500, LIMIT / 8 * 3 / 512);
    give(blocks, 0);
    return NULL;
}

static struct blocks sleeper_blocks;

static void sleeper_acts(void *unused)
{
    (void)unused;
    take_and_sleep(&sleeper_blocks);
}

TEST(idle_memory_of_other_threads_goes_back_first)
{
    struct partner sleeper;
    struct blocks blocks = {0}, ended = {0};
    be_quiet();
    set_limit_bytes(LIMIT);
    partner_begin(&sleeper);
    partner_does(&sleeper, sleeper_acts, NULL);
    run_thread(take_and_sleep, &ended);
    ck_assert_uint_gt(idle_count_held(), LIMIT / 2 + LIMIT / 8);
    take(&blocks, 3000, SIZE_MAX);
    ck_assert_uint_ge(bytes_of(&blocks), LIMIT - LIMIT / 8);
    ck_assert_uint_le(idle_count_held(), LIMIT);
    partner_end(&sleeper);
}

struct filler {
    struct blocks blocks;
    size_t size;
};

static void *fill_up(void *argument)
{
    struct filler *filler = argument;
    for (int round = 0; round < 4; round++) {
        take(&filler->blocks, filler->size, SIZE_MAX);
        give(&filler->blocks, round < 3 ? filler->blocks.count / 2 : 0);
    }
    return NULL;
}

TEST(threads_together_stay_within_the_limit)
{
    struct filler fillers[] = {{.size = 64},     {.size = 3000},    {.size = 50000},
                               {.size = 300000}, {.size = 2 << 20}, {.size = 700}};
    struct blocks blocks = {0};
    be_quiet();
    set_limit_bytes(LIMIT);
    for (int round = 0; round < 3; round++) {
        /* each ends with blocks, and takes more of them */
        for (size_t i = 0; i < COUNT_OF(fillers); i++)
            take(&fillers[i].blocks, fillers[i].size, 1000000 / fillers[i].size);
        run_threads(fill_up, fillers, COUNT_OF(fillers), sizeof(fillers[0]));
        ck_assert_uint_le(idle_count_held(), LIMIT);
    }
    take(&blocks, 1000, SIZE_MAX);
    ck_assert_uint_le(idle_count_held(), LIMIT);
    ck_assert_uint_ge(bytes_of(&blocks), LIMIT / 2);
}

static void *take_all(void *argument)
{
    struct filler *filler = argument;
    take(&filler->blocks, filler->size, SIZE_MAX);
    return NULL;
}

TEST(threads_that_race_for_the_last_bytes_do_not_pass_it)
{
    struct filler fillers[8];
    be_quiet();
    set_limit_bytes(LIMIT);
    for (size_t i = 0; i < COUNT_OF(fillers); i++)
        fillers[i] = (struct filler){.size = i % 2 == 0 ? 60000 : 1500000};
    run_threads(take_all, fillers, COUNT_OF(fillers), sizeof(fillers[0]));
    ck_assert_uint_le(idle_count_held(), LIMIT);
    size_t bytes = 0;
    for (size_t i = 0; i < COUNT_OF(fillers); i++)
        bytes += bytes_of(&fillers[i].blocks);
    /* a header and a magazine's worth for each of the eight arenas */
    ck_assert_uint_ge(bytes, LIMIT - LIMIT / 4);
}

/* Takes and frees blocks of 0.75 to 1.5 MB; they are refused as many times as is said. */
static void *take_turns(void *argument)
{
    uint64_t *refused = argument;
    for (uint32_t i = 0, random = 1; i < 2000; i++) {
        random = random * 1664525 + 1013904223;
        char *block = alloc_block(750000 + (random >> 8) % 750000);
        if (block == NULL)
            ++*refused;
        else
            *block = 1;
        free_block(block);
    }
    return NULL;
}

TEST(threads_that_take_turns_below_the_limit_are_not_refused)
{
    uint64_t refused[2] = {0};
    be_quiet();
    set_limit_bytes(LIMIT);
    ck_assert_ptr_nonnull(alloc_block(58000000));
    run_threads(take_turns, refused, COUNT_OF(refused), sizeof(refused[0]));
    ck_assert_uint_eq(refused[0], 0);
    ck_assert_uint_eq(refused[1], 0);
    ck_assert_uint_le(idle_count_held(), LIMIT);
}

static void *stepped;

static void take_large(void)
{
    stepped = large_alloc(5 << 20, 1, NULL);
}

/* Another thread takes what is allowed while memory is mapped for this one. */
static void forget_before_advice(void)
{
    if (step_comes_call(SYS_madvise))
        limit_forget();
}

TEST_UNLESS(NO_STEPS, memory_that_is_mapped_is_refused_if_the_limit_has_no_room_any_more)
{
    be_quiet();
    set_limit_bytes(LIMIT);
    ck_assert_ptr_nonnull(alloc_block(5 << 20));
    step_through(take_large, forget_before_advice);
    ck_assert_ptr_null(stepped);
    ck_assert(large_is_valid());
    ck_assert_ptr_nonnull(alloc_block(5 << 20));
    ck_assert_uint_le(idle_count_held(), LIMIT);
}

/* Takes the room that is made for a request, as other threads may: before it is taken, the first
 * ROUNDS_LOST times. */
enum { ROUNDS_LOST = 3, LOST_SIZE = 5 << 20 };

static int rounds_lost;

static void lose_room(void)
{
    if (rounds_lost < ROUNDS_LOST && limit.allowed >= limit.taken + LOST_SIZE) {
        limit.taken = limit.allowed;
        rounds_lost++;
    }
}

static void take_block(void)
{
    stepped = alloc_block(LOST_SIZE);
}

TEST_UNLESS(NO_STEPS, room_that_other_threads_take_is_made_again)
{
    be_quiet();
    set_limit_bytes(LIMIT);
    ck_assert_ptr_nonnull(alloc_block(LIMIT / 2));
    limit_forget();
    step_through(take_block, lose_room);
    ck_assert_int_eq(rounds_lost, ROUNDS_LOST);
    ck_assert_ptr_nonnull(stepped);
    ck_assert_uint_le(idle_count_held(), LIMIT);
}

/* ---- children ---- */

static struct blocks inherited;

static int fill_child(void)
{
    struct blocks own = {0};
    size_t count = inherited.count;
    /* nothing is known of what other threads were taking */
    ck_assert_uint_eq(limit.allowed, 0);
    take(&own, 1000, SIZE_MAX);
    if (idle_count_held() > LIMIT || bytes_of(&own) < LIMIT / 4)
        return 1;
    give(&inherited, 0);
    size_t before = own.count;
    take(&own, 1000, SIZE_MAX);
    if (own.count - before < count - count / 8 || idle_count_held() > LIMIT)
        return 2;
    return 0;
}

TEST(a_child_has_its_own_count)
{
    be_quiet();
    set_limit_bytes(LIMIT);
    take(&inherited, 1000, LIMIT / 2 / 1024);
    ck_assert_int_eq(result_in_child(fill_child), 0);
    /* nor does what the child did count for its parent */
    take(&inherited, 1000, SIZE_MAX);
    ck_assert_uint_ge(bytes_of(&inherited), LIMIT - LIMIT / 8);
    ck_assert_uint_le(idle_count_held(), LIMIT);
}

/* ---- changes ---- */

TEST(without_a_limit_nothing_is_counted)
{
    struct blocks blocks = {0};
    take(&blocks, 1000, 50000);
    take(&blocks, 1000, 60000);
    ck_assert_uint_eq(limit.taken, 0);
    ck_assert_uint_ge(idle_count_held(), 60000 * 1000);
}

TEST(the_limit_may_change_at_any_time)
{
    struct blocks blocks = {0}, others = {0};
    be_quiet();
    set_limit_bytes((size_t)4 * LIMIT);
    take(&blocks, 1000, 50000);
    set_limit_bytes(LIMIT / 2); /* less than there is */
    take(&others, 60000, SIZE_MAX);
    /* a huge page that was filled in before */
    ck_assert_uint_le(bytes_of(&others), 2 << 20);
    ck_assert_ptr_null(alloc_block(2 << 20));
    size_t count = blocks.count;
    give(&blocks, count / 4);
    ck_assert_ptr_nonnull(alloc_block(60000));
    set_limit_bytes(LIMIT);
    take(&blocks, 1000, SIZE_MAX);
    ck_assert_uint_gt(blocks.count, count);
    ck_assert_uint_le(idle_count_held(), LIMIT);
    set_limit_text("0");
    ck_assert_uint_eq(limit.bytes, 0);
    take(&blocks, 1000, 2 * count);
    ck_assert_uint_eq(blocks.count, 2 * count);
}

static void reach_limit(void *unused)
{
    struct blocks blocks = {0};
    (void)unused;
    set_limit_bytes(LIMIT);
    take(&blocks, 1 << 20, SIZE_MAX);
    take(&blocks, 1 << 20, SIZE_MAX);
}

TEST(the_first_refusal_is_reported)
{
    capture_exit(reach_limit, NULL,
                 "acre: limit of 67108864 bytes reached: a request of 1048576 bytes is refused\n");
}
