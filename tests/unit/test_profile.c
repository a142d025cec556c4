/*
 * The heap profile: what a sample has of its block, for blocks of each kind, and when it ends;
 * starts, stops and forks. test_profile_estimates.c has the sums over samples.
 */
#include "test.h"
#include "child.h"
#include "in_thread.h"
#include "memory.h"
#include "profile_begin.h"
#include "arena/idle.h"
#include "block_places.h"
#include "inspect/count.h"
#include "inspect/root.h"
#include "inspect/walk.h"
#include "paths/free.h"
#include "process/stats.h"

#include <errno.h>
#include <string.h>

SUITE(profile, .begin = begin_with_seed, .timeout = 300);

/* The sample of the block at p, or NULL. */
static struct profile_slot *sample_of(const void *p)
{
    for (uint32_t i = 0; i < profile.slots_used; i++)
        if (profile.slots[i].address == (uintptr_t)p)
            return &profile.slots[i];
    return NULL;
}

/* ---- samples ---- */

static const size_t sizes[] = {1, 100, 5000, 40 << 10, 1 << 20, (1 << 20) + 1, 5 << 20};

TEST_LOOP(a_sample_tells_of_its_block, 0, COUNT_OF(sizes))
{
    uint64_t before = os_now_ms();
    start(1);
    char *block = alloc_at_depth(0, sizes[_i]);
    const struct profile_slot *slot = sample_of(block);
    ck_assert_ptr_nonnull(slot);
    ck_assert_uint_eq(slot->size, free_usable_size(block, "test"));
    ck_assert_double_eq_tol(slot->weight, 1, 1e-6);
    ck_assert(slot->time >= before && slot->time <= os_now_ms());
    ck_assert_int_eq(slot->thread, os_thread_id());
    const struct profile_site *site = &profile.sites[slot->site];
    ck_assert_uint_eq(site->size, slot->size);
    ck_assert_double_eq_tol(site->blocks, 1, 1e-6);
    const struct profile_stack *stack = &profile.stacks[site->stack];
    ck_assert_uint_gt(stack->depth, 0);
    ck_assert_uint_le(stack->first + stack->depth, profile.frames_used);
    memset(block, 1, sizes[_i]);
    free_block(block);
    ck_assert(has_samples(0));
    ck_assert_uint_eq(profile.ended, 1);
}

TEST(one_stack_and_size_are_one_site)
{
    enum { ROUNDS = 100 };
    /* the library is in the program, and so in its stacks: it goes another way at a first block */
    skip_first_blocks();
    free_block(alloc_block(1024));
    free_block(alloc_block(2048));
    start(1);
    for (int i = 0; i < 3 * ROUNDS; i++)
        free_block(alloc_at_depth(i % 3 == 0 ? 3 : 4, i % 3 == 1 ? 1024 : 2048));
    ck_assert_uint_eq(profile.sites_used, 1 + 3);
    ck_assert_uint_eq(profile.stacks_used, 1 + 2);
    for (uint32_t i = 1; i < profile.sites_used; i++)
        ck_assert_double_eq_tol(profile.sites[i].blocks, ROUNDS, 1e-3);
    ck_assert_uint_eq(profile.lost_stacks, 0);
}

static void *aligned_block(size_t size)
{
    return alloc_aligned(4096, size);
}

static void *zeroed_block(size_t size)
{
    char *block = alloc_zeroed(size, 1);
    ck_assert(is_filled(block, size, 0));
    return block;
}

static void *resized_block(size_t size)
{
    return alloc_resize(NULL, size, "realloc");
}

static void *large_aligned_block(size_t size)
{
    return alloc_aligned(1 << 20, size);
}

static void *(*const ways[])(size_t) = {aligned_block, zeroed_block, resized_block,
                                        large_aligned_block};

TEST_LOOP(each_way_to_allocate_is_sampled, 0, COUNT_OF(ways) * COUNT_OF(sizes))
{
    void *(*way)(size_t) = ways[_i / COUNT_OF(sizes)];
    size_t size = sizes[_i % COUNT_OF(sizes)];
    for (int i = 0; i < 3; i++) {
        char *dirty = way(size);
        memset(dirty, 'd', size);
        free_block(dirty);
    }
    start(1);
    errno = EXDEV;
    char *block = way(size);
    ck_assert_int_eq(errno, EXDEV);
    ck_assert_ptr_nonnull(sample_of(block));
    ck_assert_uint_eq((uintptr_t)block % (way == aligned_block ? 4096 : BLOCK_ALIGNMENT), 0);
    ck_assert(has_samples(1));
    free_block(block);
    ck_assert_int_eq(errno, EXDEV);
    ck_assert(has_samples(0));
}

TEST(a_sampled_block_is_counted_as_live)
{
    static struct figures before, after;
    start(1);
    char *block = alloc_block(100);
    ck_assert_uint_eq(*state_of(block), BLOCK_SAMPLED);
    stats_count(false, &before);
    char *other = alloc_block(100);
    stats_count(false, &after);
    ck_assert_uint_eq(before.small_blocks, 1);
    ck_assert_uint_eq(after.small_blocks, 2);
    ck_assert_uint_eq(after.small_live - before.small_live, free_usable_size(other, "test"));
    ck_assert_uint_eq(slab_live_blocks(slab_of(block)), 2);
}

static int is_live(void *block, const struct acre_block *walked)
{
    return walked->address == block && walked->state == ACRE_BLOCK_LIVE;
}

TEST(a_walk_finds_sampled_blocks)
{
    static struct view own;
    start(1);
    void *block = alloc_block(100);
    root_view_own(&own);
    ck_assert_int_eq(walk_blocks(&own, is_live, block), 1);
    free_block(block);
    ck_assert_int_eq(walk_blocks(&own, is_live, block), 0);
}

/* A slab whose last live block is SAMPLED stays, and goes with it. */
TEST_LOOP(a_sampled_block_keeps_its_slab, 0, 4)
{
    enum { BLOCKS = 3000 };
    static void *blocks[BLOCKS];
    static const size_t sizes_kept[] = {64, 1000, 20000, 100000};
    size_t size = sizes_kept[_i];
    for (int i = 0; i < BLOCKS / 2; i++)
        blocks[i] = alloc_block(size);
    start(1);
    char *kept = alloc_block(size);
    memset(kept, 'k', size);
    ck_assert_int_eq(profile_stop(), 0);
    for (int i = BLOCKS / 2; i < BLOCKS; i++)
        blocks[i] = alloc_block(size);
    for (int i = 0; i < BLOCKS; i++)
        free_block(blocks[i]);
    for (int i = 0; i < 3; i++) {
        idle_trim();
        ck_assert(is_filled(kept, size, 'k'));
        for (int j = 0; j < BLOCKS / 3; j++)
            ck_assert_ptr_ne(blocks[j] = alloc_block(size), kept);
        for (int j = 0; j < BLOCKS / 3; j++)
            free_block(blocks[j]);
    }
    ck_assert(has_samples(1));
    free_block(kept);
    idle_trim();
    ck_assert(has_samples(0));
    ck_assert_uint_eq(totals_of(thread_own_arena()).in_slabs, 0);
}

TEST(other_threads_end_samples)
{
    static const size_t freed[] = {64, 5000, 100000, 2 << 20};
    start(1);
    for (size_t i = 0; i < COUNT_OF(freed); i++) {
        char *block = alloc_block(freed[i]);
        ck_assert(has_samples(1));
        run_thread(free_in_thread, block);
        ck_assert(has_samples(0));
    }
    idle_trim();
    ck_assert_uint_eq(totals_of(thread_own_arena()).in_slabs, 0);
    ck_assert_uint_eq(profile.ended, COUNT_OF(freed));
}

static void *alloc_in_thread(void *size)
{
    return alloc_block(*(size_t *)size);
}

TEST(blocks_of_threads_that_have_ended_stay_samples)
{
    size_t size = 300;
    start(1);
    char *block = run_thread(alloc_in_thread, &size);
    ck_assert_ptr_nonnull(sample_of(block));
    ck_assert_int_ne(sample_of(block)->thread, os_thread_id());
    idle_trim();
    ck_assert_uint_eq(free_usable_size(block, "test"), 320);
    free_block(block);
    ck_assert(has_samples(0));
}

/* ---- realloc ---- */

static const struct resize {
    size_t from, to;
    bool stays; /* the block is what it was, and so is its sample */
} resizes[] = {
    {100, 110, true},
    {100, 5000, false},
    {5000, 100, false},
    {100, 2 << 20, false},
    {2 << 20, 100, false},
    {40 << 10, 100 << 10, false},
    {1 << 20, 300 << 10, false},
    {2 << 20, 20 << 20, false},
    {20 << 20, 2 << 20, false},
    {20 << 20, 19 << 20, true},
};

/* Once with a profile throughout; once it begins when the block is there; once it has ended. */
TEST_LOOP(what_is_resized_is_a_new_sample, 0, COUNT_OF(resizes) * 3)
{
    const struct resize *resize = &resizes[_i / 3];
    bool before = _i % 3 != 1, after = _i % 3 != 2;
    if (before)
        start(1);
    char *block = alloc_block(resize->from);
    memset(block, 'b', resize->from);
    if (!before)
        start(1);
    if (!after)
        ck_assert_int_eq(profile_stop(), 0);
    char *resized = alloc_resize(block, resize->to, "realloc");
    ck_assert_ptr_nonnull(resized);
    ck_assert(is_filled(resized, resize->from < resize->to ? resize->from : resize->to, 'b'));
    bool sampled = resize->stays ? before : after;
    ck_assert(has_samples(sampled));
    ck_assert(!sampled || sample_of(resized)->size == free_usable_size(resized, "test"));
    ck_assert_uint_eq(profile.taken, (before ? 1u : 0u) + (after && !resize->stays ? 1u : 0u));
    free_block(resized);
    ck_assert(has_samples(0));
}

/* A block above SLAB_SHARED_LIMIT that is sampled still grows where it is. */
TEST(a_sampled_slab_is_resized_in_place)
{
    start(1);
    char *block = alloc_block(64 << 10);
    char *resized = alloc_resize(block, 200 << 10, "realloc");
    ck_assert_ptr_eq(resized, block);
    ck_assert_uint_eq(*state_of(block), BLOCK_SAMPLED);
    ck_assert_ptr_eq(alloc_resize(block, 0, "realloc"), NULL);
    ck_assert(has_samples(0));
}

TEST(a_sampled_block_that_cannot_be_resized_stays)
{
    start(1);
    static const size_t kept[] = {100, 100 << 10, 2 << 20};
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        char *block = alloc_block(kept[i]);
        memset(block, 'b', kept[i]);
        ck_assert_ptr_null(alloc_resize(block, PTRDIFF_MAX, "realloc"));
        ck_assert_int_eq(errno, ENOMEM);
        ck_assert_ptr_nonnull(sample_of(block));
        ck_assert(is_filled(block, kept[i], 'b'));
        ck_assert(has_samples(i + 1));
    }
}

/* ---- starting and stopping ---- */

static bool is_diverted(void)
{
    size_t diverted = 0, entries = COUNT_OF(size_class_short_path);
    for (size_t i = 0; i < entries; i++)
        diverted += size_class_short_path[i] == SIZE_CLASS_COUNT * SIZE_CLASS_STRIDE;
    ck_assert(diverted == 0 || diverted == entries);
    for (size_t i = 0; i < entries && diverted == 0; i++)
        ck_assert_uint_eq(size_class_short_path[i], size_class_of(i * 16) * SIZE_CLASS_STRIDE);
    return diverted != 0;
}

TEST(off_nothing_is_sampled)
{
    ck_assert(!is_diverted());
    ck_assert_int_eq(profile_stop(), EINVAL);
    ck_assert_int_eq(profile_mark(), EINVAL);
    ck_assert_ptr_null(profile.slots);
    start(1);
    ck_assert(is_diverted());
    ck_assert_int_eq(profile_stop(), 0);
    ck_assert(!is_diverted());
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        free_block(alloc_block(sizes[i]));
    ck_assert_uint_eq(profile.taken, 0);
    ck_assert_uint_eq(profile.interval, 0);
    ck_assert_int_eq(profile_start(0), EINVAL);
    ck_assert_int_eq(profile_start(((size_t)64 << 30) + 1), EINVAL);
    ck_assert(!is_diverted());
}

TEST(samples_outlive_the_profile)
{
    start(1);
    char *small = alloc_block(100), *large = alloc_block(2 << 20);
    ck_assert_int_eq(profile_stop(), 0);
    ck_assert_uint_ne(profile.stopped_at, 0);
    ck_assert(has_samples(2));
    ck_assert_uint_eq(free_usable_size(large, "test"), 2 << 20);
    free_block(small);
    ck_assert(has_samples(1));
    free_block(large);
    ck_assert(has_samples(0));
    ck_assert_uint_eq(profile.ended, 2);
}

TEST(a_start_forgets_the_last_profile)
{
    start(1);
    char *small = alloc_block(100), *other = alloc_block(100), *large = alloc_block(2 << 20);
    ck_assert_int_eq(profile_mark(), 0);
    ck_assert_uint_ge(profile.marked_at, profile.started_at);
    start(2);
    ck_assert_uint_eq(profile.session, 2);
    ck_assert_uint_eq(profile.interval, 2);
    ck_assert_uint_eq(profile.marked_at, 0);
    ck_assert(has_samples(0));
    ck_assert_uint_eq(*state_of(small), BLOCK_SAMPLED);
    free_block(small);
    run_thread(free_in_thread, other);
    free_block(large);
    ck_assert_uint_eq(profile.ended, 0);
    ck_assert(has_samples(0));
    small = alloc_block(1000);
    ck_assert(has_samples(1));
}

static void set_and_follow(const char *value)
{
    ck_assert_int_eq(option_set_text("profile", value), 0);
    profile_tick();
}

TEST(the_option_starts_and_stops_it)
{
    char value[16];
    set_and_follow("512K");
    ck_assert_uint_eq(profile.interval, 512 << 10);
    ck_assert(is_diverted());
    set_and_follow("512K"); /* as it was */
    ck_assert_uint_eq(profile.session, 1);
    set_and_follow("1");
    ck_assert_uint_eq(profile.session, 2);
    ck_assert_uint_eq(profile.interval, 1);
    set_and_follow("0");
    ck_assert_uint_eq(profile.interval, 0);
    ck_assert(!is_diverted());
    start(3 << 10);
    ck_assert_int_eq(option_get_text("profile", value, sizeof(value)), 0);
    ck_assert_str_eq(value, "3K");
    profile_tick();
    ck_assert_uint_eq(profile.session, 3);
    ck_assert_int_eq(profile_stop(), 0);
    ck_assert_int_eq(option_get_text("profile", value, sizeof(value)), 0);
    ck_assert_str_eq(value, "0");
}

/* A writer outside may ask for a line about it (idle_requests), or say nothing. */
TEST(an_option_that_is_set_from_outside_starts_it)
{
    ck_assert_int_eq(option_set_text("profile", "64K"), 0);
    ck_assert(!is_diverted());
    idle_tick(os_now_ms());
    ck_assert_uint_eq(profile.interval, 64 << 10);
    ck_assert(is_diverted());
}

/* What another thread has followed since a thread saw that the option had changed; or the function
 * that starts and stops it was about to set it. */
TEST(an_option_that_was_followed_meanwhile_is_not_followed_again)
{
    start(1);
    void *block = alloc_block(100);
    profile_follow_option();
    ck_assert_uint_eq(profile.session, 1);
    ck_assert(has_samples(1));
    free_block(block);
    ck_assert_int_eq(profile_stop(), 0);
    profile.stopped_at = 1;
    profile_follow_option();
    ck_assert_uint_eq(profile.stopped_at, 1);
}

/* ---- forks ---- */

static struct {
    char *small, *large, *own;
} left;

static void leave_blocks(void *unused)
{
    (void)unused;
    left.small = alloc_block(100);
    left.large = alloc_block(2 << 20);
    memset(left.small, 's', 100);
}

/* In the child: the arena of the thread that is lost is rebuilt, and its samples end with their
 * blocks. */
static int free_left(void)
{
    idle_trim(); /* borrows it */
    if (!has_samples(3) || *state_of(left.small) != BLOCK_SAMPLED ||
        !is_filled(left.small, 100, 's'))
        return 1;
    void *block = alloc_block(100);
    if (!has_samples(4) || sample_of(block)->thread != getpid())
        return 2;
    free_block(left.small);
    if (!has_samples(3))
        return 3;
    free_block(left.large);
    free_block(left.own);
    free_block(block);
    if (!has_samples(0) || profile.ended != 4)
        return 4;
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena))
        if (!arena_is_valid(arena))
            return 5;
    return 0;
}

TEST(a_child_goes_on_with_a_copy)
{
    struct partner partner;
    start(1);
    left.own = alloc_block(100);
    partner_begin(&partner);
    partner_does(&partner, leave_blocks, NULL);
    ck_assert(has_samples(3));
    ck_assert_int_eq(result_in_child(free_left), 0);
    ck_assert(has_samples(3));
    ck_assert_uint_eq(profile.ended, 0);
    partner_end(&partner);
}
