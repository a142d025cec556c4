/*
 * The function that is called at a share of the limit: when, how often, by which thread, and what
 * it may do.
 */
#include "test.h"
#include "arena/idle.h"
#include "arena/soft_limit.h"
#include "child.h"
#include "heap/unit_map.h"
#include "in_thread.h"
#include "large/large.h"
#include "limit_blocks.h"
#include "own_arena.h"

#include <setjmp.h>

/* bytes; of what is not left for headers and metadata */
enum { PERCENT = 50, SHARE = (LIMIT - (1 << 20)) / 100 * PERCENT };

static unsigned calls; /* of the function; atomic */
static size_t held_then;

static unsigned calls_so_far(void)
{
    return __atomic_load_n(&calls, __ATOMIC_SEQ_CST);
}

static void count_call(size_t held, size_t bytes)
{
    __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    ck_assert_uint_eq(bytes, LIMIT);
    held_then = held;
}

static void begin_with_limit(void)
{
    begin_without_decay();
    be_quiet();
    set_limit_bytes(LIMIT);
    ck_assert_int_eq(soft_limit_set(count_call, PERCENT), 0);
}

SUITE(soft_limit, .begin = begin_with_limit);

/* Bytes that the program and acre itself hold when nothing is idle. */
static size_t in_use(void)
{
    idle_trim();
    return idle_count_held();
}

/* ---- when ---- */

static const size_t sizes[] = {500, 5000, 30000, 60000, 500000, 1 << 20, 2 << 20};

TEST_LOOP(it_is_called_once_where_the_share_is_crossed, 0, COUNT_OF(sizes))
{
    struct blocks blocks = {0};
    take(&blocks, sizes[_i], SIZE_MAX);
    ck_assert_uint_eq(calls, 1);
    /* what the request takes: its block, or a slab, and where that is the first one a heap */
    size_t request = sizes[_i] + (1 << 20);
    ck_assert_uint_gt(held_then + request, SHARE);
    ck_assert_uint_le(held_then, SHARE + SHARE / 64 + request);
    ck_assert(own_arena_is_valid());
    ck_assert(large_is_valid());
}

TEST_LOOP(it_is_called_again_when_use_has_fallen_by_an_eighth, 0, COUNT_OF(sizes))
{
    struct blocks blocks = {0};
    take(&blocks, sizes[_i], SIZE_MAX);
    size_t all = blocks.count;
    for (unsigned round = 1; round < 5; round++) {
        ck_assert_uint_eq(calls, round);
        give(&blocks, all * 3 / 8);
        ck_assert_uint_lt(in_use(), SHARE - SHARE / 8);
        take(&blocks, sizes[_i], all - all / 16);
    }
}

TEST(it_is_not_called_again_when_use_falls_by_less)
{
    struct blocks blocks = {0};
    while (calls == 0)
        take(&blocks, 100000, blocks.count + 1);
    for (int round = 0; round < 50; round++) {
        give(&blocks, blocks.count - 8); /* 1/32 of the share */
        size_t used = in_use();
        ck_assert_uint_lt(used, SHARE);
        ck_assert_uint_gt(used, SHARE - SHARE / 16);
        take(&blocks, 100000, blocks.count + 8);
    }
    ck_assert_uint_eq(calls, 1);
}

/* Where nothing is counted because the limit is near. */
TEST(a_fall_far_from_the_limit_is_seen)
{
    struct blocks blocks = {0};
    for (unsigned round = 1; round < 5; round++) {
        while (calls < round && blocks.count < SHARE / UNIT_SIZE + 40)
            take(&blocks, 60000, blocks.count + 1);
        ck_assert_uint_eq(calls, round);
        give(&blocks, blocks.count / 4 * 3);
        ck_assert_uint_lt(in_use(), SHARE - SHARE / 8);
    }
}

TEST(idle_memory_goes_back_before)
{
    for (int round = 0; round < 4; round++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            struct blocks blocks = {0};
            take(&blocks, sizes[i], LIMIT / 8 * 3 / alloc_good_size(sizes[i]));
            give(&blocks, 0);
        }
    ck_assert_uint_eq(calls, 0);
}

/* Leaves a unit idle. */
static void use_a_unit(void *unused)
{
    (void)unused;
    free_block(alloc_block(60000));
    arena_flush(thread_own_arena());
}

/* Two threads take turns at what is left below the share, where a unit has room but not two. */
TEST(just_below_the_share_idle_memory_goes_back_now_and_then)
{
    struct blocks blocks = {0};
    struct partner partner;
    partner_begin(&partner);
    partner_does(&partner, use_a_unit, NULL);
    while (in_use() < SHARE - 2 * UNIT_SIZE)
        take(&blocks, 60000, blocks.count + 1);
    uint64_t purged = os_counts.purged;
    for (int i = 0; i < 200; i++) {
        use_a_unit(NULL);
        partner_does(&partner, use_a_unit, NULL);
    }
    ck_assert_uint_eq(calls, 0);
    ck_assert_uint_gt(os_counts.purged, purged);
    ck_assert_uint_le(os_counts.purged - purged, 20 * UNIT_SIZE);
    partner_end(&partner);
}

TEST(it_is_not_called_without_a_limit_or_below_the_share)
{
    struct blocks blocks = {0};
    take(&blocks, 5000, LIMIT / 8 * 3 / 5120);
    set_limit_text("0");
    take(&blocks, 5000, (size_t)LIMIT * 2 / 5000);
    ck_assert_uint_eq(calls, 0);
    set_limit_bytes(LIMIT);
    give(&blocks, 0);
    ck_assert_ptr_nonnull(alloc_block(2 << 20));
    ck_assert_uint_eq(calls, 0);
}

TEST(a_request_that_the_limit_can_never_serve_does_not_call_it)
{
    ck_assert_ptr_null(alloc_block(LIMIT));
    ck_assert_ptr_null(alloc_block((size_t)LIMIT * 100));
    ck_assert_ptr_null(alloc_block(PTRDIFF_MAX));
    ck_assert_uint_eq(calls, 0);
    ck_assert_ptr_nonnull(alloc_block(LIMIT / 8 * 7));
    ck_assert_uint_eq(calls, 1);
}

TEST(what_is_set_above_the_share_counts_from_the_next_request)
{
    struct blocks blocks = {0};
    take(&blocks, 2 << 20, LIMIT / 8 * 5 / (2 << 20));
    ck_assert_uint_eq(calls, 1);
    ck_assert_int_eq(soft_limit_set(count_call, 20), 0);
    take(&blocks, 2 << 20, blocks.count + 1);
    ck_assert_uint_eq(calls, 2);
    ck_assert_int_eq(soft_limit_set(NULL, 0), 0);
    give(&blocks, 0);
    take(&blocks, 2 << 20, SIZE_MAX);
    ck_assert_uint_eq(calls, 2);
    ck_assert_int_eq(soft_limit_set(count_call, 0), EINVAL);
    ck_assert_int_eq(soft_limit_set(count_call, 101), EINVAL);
    take(&blocks, 2 << 20, SIZE_MAX);
    ck_assert_uint_eq(calls, 2);
}

/* ---- what it may do ---- */

static struct blocks cache;

static void give_cache(size_t held, size_t bytes)
{
    count_call(held, bytes);
    give(&cache, 0);
    errno = EBADF; /* the request's own is kept */
}

/* Takes a block, which must be served. */
static void take_one(size_t size)
{
    errno = 0;
    char *block = alloc_block(size);
    ck_assert_ptr_nonnull(block);
    ck_assert_int_eq(errno, 0);
    memset(block, 7, size);
    memcpy(block, &cache.last, sizeof cache.last);
    cache = (struct blocks){block, cache.count + 1, size};
}

TEST_LOOP(a_program_whose_cache_is_given_up_is_never_refused, 0, COUNT_OF(sizes))
{
    ck_assert_int_eq(soft_limit_set(give_cache, PERCENT), 0);
    size_t count = (size_t)LIMIT * 2 / alloc_good_size(sizes[_i]);
    for (size_t i = 0; i < count; i++)
        take_one(sizes[_i]);
    ck_assert_uint_ge(calls, 3);
    ck_assert_uint_le(calls, 5);
    ck_assert_uint_le(idle_count_held(), SHARE + SHARE / 32);
}

TEST(a_refused_request_is_tried_again)
{
    ck_assert_int_eq(soft_limit_set(give_cache, 100), 0);
    take(&cache, 2 << 20, 20);
    ck_assert_uint_eq(calls, 0);
    ck_assert_ptr_nonnull(alloc_block(40 << 20));
    ck_assert_uint_eq(calls, 1);
    ck_assert_uint_eq(cache.count, 0);
}

TEST(a_block_that_grows_calls_it_before_it_is_refused)
{
    ck_assert_int_eq(soft_limit_set(give_cache, 100), 0);
    char *block = alloc_block(2 << 20);
    memset(block, 5, 2 << 20);
    take(&cache, 2 << 20, 20);
    block = alloc_resize(block, 40 << 20, "realloc");
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq(calls, 1);
    ck_assert_int_eq(block[(2 << 20) - 1], 5);
    ck_assert(large_is_valid());
}

static unsigned depth, deepest;

static void take_all_itself(size_t held, size_t bytes)
{
    struct blocks blocks = {0};
    count_call(held, bytes);
    depth++;
    deepest = depth > deepest ? depth : deepest;
    give(&cache, 0);
    take(&blocks, 30000, SIZE_MAX);
    give(&blocks, 0);
    idle_trim();
    ck_assert_int_eq(soft_limit_set(take_all_itself, PERCENT), 0);
    take(&blocks, 2 << 20, SIZE_MAX);
    ck_assert_uint_gt(bytes_of(&blocks), SHARE);
    give(&blocks, 0);
    depth--;
}

TEST(its_own_requests_do_not_call_it)
{
    ck_assert_int_eq(soft_limit_set(take_all_itself, PERCENT), 0);
    for (int i = 0; i < LIMIT / 8 * 5 / (2 * UNIT_SIZE); i++)
        take_one(100000);
    ck_assert_uint_eq(deepest, 1);
    ck_assert_uint_eq(calls, 1);
}

static jmp_buf back;

static void jump(size_t held, size_t bytes)
{
    count_call(held, bytes);
    longjmp(back, 1);
}

/* A request of each kind, which is to cross the share. */
static void cross_by(int kind, void *p)
{
    void *block = kind == 0   ? alloc_block(LIMIT / 8 * 3)
                  : kind == 1 ? alloc_zeroed(3, LIMIT / 8)
                  : kind == 2 ? alloc_aligned(1 << 16, LIMIT / 8 * 3)
                              : alloc_resize(p, LIMIT / 8 * 3, "realloc");
    ck_abort_msg("not called: %p", block);
}

TEST_LOOP(nothing_is_lost_where_it_jumps, 0, 4)
{
    struct blocks blocks = {0};
    char *volatile grows = alloc_block(2 << 20);
    memset(grows, 9, 2 << 20);
    take(&blocks, 100000, LIMIT / 16 * 5 / (2 * UNIT_SIZE));
    ck_assert_int_eq(soft_limit_set(jump, PERCENT), 0);
    volatile size_t used = in_use();
    ck_assert_uint_lt(used, SHARE - SHARE / 8);
    for (volatile unsigned round = 1; round < 20; round++) {
        if (setjmp(back) == 0)
            cross_by(_i, grows);
        ck_assert_uint_eq(calls, round);
        ck_assert_uint_le(in_use(), used + (64 << 10));
        /* the next one crosses it anew */
        ck_assert_int_eq(soft_limit_set(jump, PERCENT), 0);
    }
    ck_assert_int_eq(grows[(2 << 20) - 1], 9);
    ck_assert(own_arena_is_valid());
    ck_assert(large_is_valid());
}

static int use_memory(void)
{
    struct blocks blocks = {0};
    take(&blocks, 700, 10000);
    give(&blocks, 0);
    take(&blocks, 3 << 20, 2);
    give(&blocks, 0);
    return own_arena_is_valid() ? 0 : 1;
}

static void *use_in_thread(void *unused)
{
    ck_assert_int_eq(use_memory(), 0);
    return unused;
}

static void fork_there(size_t held, size_t bytes)
{
    count_call(held, bytes);
    ck_assert_int_eq(result_in_child(use_memory), 0);
    run_thread(use_in_thread, NULL);
}

TEST_LOOP(it_may_fork_and_wait_for_other_threads, 0, COUNT_OF(sizes))
{
    struct blocks blocks = {0};
    ck_assert_int_eq(soft_limit_set(fork_there, PERCENT), 0);
    take(&blocks, sizes[_i], LIMIT / 8 * 6 / sizes[_i]);
    ck_assert_uint_eq(calls, 1);
}

/* A child goes on where the function has forked. */
static int cross_in_child(void)
{
    struct blocks blocks = {0};
    unsigned before = calls;
    give(&cache, 0);
    idle_trim();
    take(&blocks, 60000, SIZE_MAX);
    return calls == before + 1 ? 0 : 1;
}

TEST(a_child_has_its_own_crossings)
{
    take(&cache, 60000, LIMIT / 8 * 6 / 65536);
    ck_assert_uint_eq(calls, 1);
    ck_assert_int_eq(result_in_child(cross_in_child), 0);
    take(&cache, 60000, SIZE_MAX);
    ck_assert_uint_eq(calls, 1);
}

/* ---- threads ---- */

enum { THREADS = 8 };

static void *take_part(void *argument)
{
    struct blocks *blocks = argument;
    take(blocks, 3000, LIMIT / 8 * 6 / THREADS / 3072);
    return NULL;
}

TEST(one_of_several_threads_calls_it)
{
    struct blocks parts[THREADS] = {{0}};
    run_threads(take_part, parts, THREADS, sizeof parts[0]);
    ck_assert_uint_eq(calls, 1);
}

static unsigned together, most_together; /* threads in the function; atomic */

static void give_cache_together(size_t held, size_t bytes)
{
    unsigned now = __atomic_add_fetch(&together, 1, __ATOMIC_SEQ_CST);
    if (now > __atomic_load_n(&most_together, __ATOMIC_SEQ_CST))
        __atomic_store_n(&most_together, now, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    ck_assert_uint_le(held, bytes);
    run_thread(use_in_thread, NULL);
    __atomic_sub_fetch(&together, 1, __ATOMIC_SEQ_CST);
}

/* Takes and gives back, all threads together above the share now and then. */
static void *rise_and_fall(void *argument)
{
    struct blocks *blocks = argument;
    for (int round = 0; round < 20; round++) {
        take(blocks, 20000, LIMIT / 8 * 6 / THREADS / 20480);
        give(blocks, 0);
        idle_trim();
    }
    return NULL;
}

TEST(threads_that_rise_and_fall_are_served)
{
    struct blocks parts[THREADS] = {{0}};
    ck_assert_int_eq(soft_limit_set(give_cache_together, PERCENT), 0);
    run_threads(rise_and_fall, parts, THREADS, sizeof parts[0]);
    ck_assert_uint_le(calls_so_far(), THREADS * 20);
    ck_assert(own_arena_is_valid());
    ck_assert(large_is_valid());
}

static pthread_key_t late_key;

/* Allocates when the thread's arena has been given back. */
static void allocate_late(void *value)
{
    ck_assert(thread_state.ended);
    take(value, 100000, LIMIT / 8 * 5 / (2 * UNIT_SIZE));
}

static void *end_with_key(void *argument)
{
    free_block(alloc_block(100)); /* acre's key is older than this one */
    ck_assert_int_eq(pthread_key_create(&late_key, allocate_late), 0);
    ck_assert_int_eq(pthread_setspecific(late_key, argument), 0);
    return NULL;
}

TEST(a_thread_that_has_given_its_arena_back_calls_it)
{
    struct blocks blocks = {0};
    ck_assert_int_eq(soft_limit_set(fork_there, PERCENT), 0);
    run_thread(end_with_key, &blocks);
    ck_assert_uint_eq(calls, 1);
    ck_assert_uint_gt(blocks.count, 0);
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena))
        ck_assert(arena == thread_own_arena() || arena_status(arena) == ARENA_POOLED);
}
