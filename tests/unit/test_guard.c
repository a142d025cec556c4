/*
 * Guarded blocks: where they lie, that they are blocks as others, how many there are, and threads.
 */
#include "guarded.h"
#include "in_thread.h"
#include "inspect/count.h"
#include "inspect/root.h"
#include "inspect/walk.h"
#include "modes/profile.h"
#include "process/check.h"

#include <pthread.h>

SUITE(guard, .begin = begin_guard);

/* ---- Where blocks lie ---- */

TEST(each_size_to_a_page_lies_at_both_ends)
{
    for (size_t size = 0; size <= PAGE; size++)
        for (int end = 0; end < 2; end++) {
            if (size > PAGE - 16 && end)
                continue; /* it fills the page */
            char *block = guarded_at(size, end);
            size_t usable = align_up(size + (size == 0), 16);
            ck_assert_uint_eq(free_usable_size(block, "test"), usable);
            ck_assert_uint_ge(free_usable_size(block, "test"), alloc_good_size(size));
            ck_assert_uint_eq(block + usable - (char *)page_of(block), end ? PAGE : usable);
            ck_assert(!os_is_readable(page_of(block) - PAGE));
            ck_assert(!os_is_readable(page_of(block) + PAGE));
            memset(block, 1, usable);
            free_block(block);
            ck_assert(!os_is_readable(page_of(block)));
        }
    make_due();
    ck_assert(!guard_has(alloc_block(PAGE + 1)));
}

TEST(aligned_blocks)
{
    for (size_t alignment = 1; alignment <= PAGE; alignment *= 2)
        for (size_t size = 1; size <= PAGE; size += 37) {
            make_due();
            char *block = alloc_aligned(alignment, size);
            ck_assert(guard_has(block));
            ck_assert_uint_eq((uintptr_t)block % max_size(alignment, 16), 0);
            memset(block, 1, free_usable_size(block, "test"));
            free_block(block);
        }
    make_due();
    ck_assert(!guard_has(alloc_aligned(2 * PAGE, 16)));
}

/* The slots that were never used come first, then the one that was freed longest ago. */
TEST(slots_are_used_again_as_late_as_can_be)
{
    static char *all[GUARD_SLOTS];
    free_block(guarded(16));
    uintptr_t first = guard.slots[0].block;
    for (size_t i = 0; i < GUARD_SLOTS; i++) {
        all[i] = guarded(16);
        ck_assert_int_eq(page_of(all[i]) == page_of((void *)first), i == GUARD_SLOTS - 1);
    }
    make_due();
    char *ordinary = alloc_block(16);
    ck_assert(!guard_has(ordinary)); /* the pool is exhausted */
    free_block(ordinary);
    const size_t freed[] = {200, 3, 77};
    for (size_t i = 0; i < COUNT_OF(freed); i++)
        free_block(all[freed[i]]);
    for (size_t i = 0; i < COUNT_OF(freed); i++)
        ck_assert_uint_eq(page_of(guarded(16)), page_of(all[freed[i]]));
}

/* ---- They are blocks as others ---- */

TEST(calloc_gives_zeroes)
{
    char *block = guarded(1000);
    memset(block, 1, 1000);
    free_block(block);
    for (size_t i = 0; i < GUARD_SLOTS; i++) {
        make_due();
        char *zeroes = alloc_zeroed(10, 100);
        ck_assert(guard_has(zeroes));
        for (size_t k = 0; k < 1000; k++)
            ck_assert_int_eq(zeroes[k], 0);
        memset(zeroes, 1, 1000);
        free_block(zeroes);
    }
}

static const size_t new_sizes[] = {1, 40, 100, 101, 200, 5000, 300000, 3000000};

TEST_LOOP(realloc_leads_in_and_out, 0, COUNT_OF(new_sizes))
{
    size_t size = new_sizes[_i], kept = min_size(size, 100);
    char *block = guarded(100), *old = block;
    memset(block, 7, 100);
    block = alloc_resize(block, size, "realloc");
    ck_assert(block != old && !guard_has(block)); /* out */
    ck_assert_uint_eq(free_usable_size(block, "test") >= size, true);
    for (size_t i = 0; i < kept; i++)
        ck_assert_int_eq(block[i], 7);
    ck_assert(!os_is_readable(page_of(old)));
    make_due();
    block = alloc_resize(block, 150, "realloc");
    if (guard_has(block)) /* in, unless it stayed where it was */
        ck_assert_uint_eq(free_usable_size(block, "test"), 160);
    ck_assert_int_eq(guard_has(block), size != 200);
    for (size_t i = 0; i < kept; i++)
        ck_assert_int_eq(block[i], 7);
    make_due();
    char *other = alloc_resize(block, 152, "realloc"); /* from one guarded block to another */
    ck_assert_int_eq(other != block, guard_has(block));
    ck_assert_ptr_null(alloc_resize(other, 0, "realloc"));
    ck_assert(!free_is_live(other));
}

TEST(a_block_may_be_freed_by_another_thread)
{
    char *block = guarded(48);
    run_thread(free_in_thread, block);
    ck_assert(!free_is_live(block));
    ck_assert_int_eq(guard.slots[0].freed.thread != os_thread_id(), true);
    ck_assert_int_eq(guard.slots[0].allocated.thread, os_thread_id());
}

static uint64_t walked, walked_bytes;

static int note_guarded(void *context, const struct acre_block *block)
{
    (void)context;
    if (guard_has(block->address) && block->state == ACRE_BLOCK_LIVE) {
        walked++;
        walked_bytes += block->size;
        ck_assert_uint_eq(free_usable_size(block->address, "test"), block->size);
    }
    return 0;
}

TEST(they_are_counted_walked_and_checked)
{
    static struct figures before, after;
    struct out out;
    struct view own;
    root_view_own(&own);
    figures_count(&own, &before);
    free_block(guarded(16));
    guarded(100);
    guarded(PAGE);
    figures_count(&own, &after);
    ck_assert_uint_eq(after.large_blocks, before.large_blocks + 2);
    ck_assert_uint_eq(after.large_live, before.large_live + 112 + PAGE);
    ck_assert_int_eq(walk_blocks(&own, note_guarded, NULL), 0);
    ck_assert_uint_eq(walked, 2);
    ck_assert_uint_eq(walked_bytes, 112 + PAGE);
    out_to_memory(&out);
    ck_assert_uint_eq(check_process(&out), 0);
    guard.slots[1].size = PAGE + 1;
    ck_assert_uint_eq(check_process(&out), 1);
    ck_assert_ptr_nonnull(strstr(out.text, "a guarded block is wrong"));
}

TEST(a_profile_has_them)
{
    ck_assert_int_eq(profile_start(1), 0);
    char *block = guarded(100);
    ck_assert_uint_eq(profile_samples, 1);
    char *resized = alloc_resize(block, 3000, "realloc");
    ck_assert_uint_eq(profile_samples, 1);
    free_block(resized);
    ck_assert_uint_eq(profile_samples, 0);
    ck_assert_int_eq(profile_stop(), 0);
    guarded(100); /* the end of a profile leaves the guard on */
    ck_assert_uint_eq(profile_samples, 0);
}

/* ---- How many there are ---- */

/* Square roots are not needed: `difference` is at most 5 standard deviations. */
static bool is_within_5_sigma(double difference, double variance)
{
    return difference * difference <= 25 * variance;
}

TEST(one_in_n_is_guarded)
{
    enum { N = 100, ALLOCATIONS = 200000 };
    size_t count = 0, at_end = 0;
    start(N);
    for (size_t i = 0; i < ALLOCATIONS; i++) {
        char *block = i % 3 == 0   ? alloc_block(i % 2000)
                      : i % 3 == 1 ? alloc_aligned(64, i % 2000)
                                   : alloc_zeroed(1, i % 2000);
        count += guard_has(block);
        at_end += guard_has(block) && (uintptr_t)block % PAGE != 0;
        free_block(block);
    }
    /* a renewal process (Feller, volume 2, XI.3) of gaps that are even from 1 to 2 N - 1 */
    double gap_variance = ((2.0 * N - 1) * (2.0 * N - 1) - 1) / 12;
    double expected = (double)ALLOCATIONS / N;
    ck_assert(is_within_5_sigma((double)count - expected, expected / N / N * gap_variance));
    ck_assert(is_within_5_sigma((double)at_end - (double)count / 2, (double)count / 4));
    start(1);
    for (size_t i = 0; i < 1000; i++) {
        char *block = alloc_block(i);
        ck_assert(guard_has(block));
        free_block(block);
    }
}

TEST(off_there_is_nothing)
{
    struct sigaction action;
    signal(SIGSEGV, SIG_DFL);
    memset(&guard, 0, sizeof guard);
    ck_assert_int_eq(option_set_text("guard", "0"), 0);
    uint64_t maps = os_counts.mmap, protections = os_counts.mprotect;
    guard_start();
    ck_assert(!guard_is_on() && !guard_has(NULL) && !guard_has(&guard));
    ck_assert_uint_eq(os_counts.mmap, maps);
    ck_assert_uint_eq(os_counts.mprotect, protections);
    ck_assert_int_eq(sigaction(SIGSEGV, NULL, &action), 0);
    ck_assert(action.sa_handler == SIG_DFL);
}

/* Later only protections change. */
TEST(nothing_is_mapped_after_the_start)
{
    free_block(guarded(100));
    uint64_t maps = os_counts.mmap, unmaps = os_counts.munmap, advice = os_counts.madvise;
    for (int i = 0; i < 3 * GUARD_SLOTS; i++)
        free_block(guarded(100));
    ck_assert_uint_eq(os_counts.mmap, maps);
    ck_assert_uint_eq(os_counts.munmap, unmaps);
    ck_assert_uint_eq(os_counts.madvise, advice);
}

/* ---- Threads ---- */

enum { THREADS = 4, ROUNDS = 3000, KEPT = 40 };

static void *use_memory(void *unused)
{
    char *kept[KEPT] = {NULL};
    for (size_t i = 0; i < ROUNDS; i++) {
        char **at = &kept[i * 7 % KEPT];
        for (size_t k = 0; *at != NULL && k < 40; k++)
            ck_assert_int_eq((*at)[k], (char)(i * 7 % KEPT));
        free_block(*at);
        make_due();
        *at = alloc_block(40);
        memset(*at, (int)(i * 7 % KEPT), 40);
    }
    for (size_t i = 0; i < KEPT; i++)
        free_block(kept[i]);
    return unused;
}

TEST(threads_do_not_share_slots)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = begin_thread(use_memory, NULL);
    for (int i = 0; i < THREADS; i++)
        end_thread(threads[i]);
    for (size_t i = 0; i < GUARD_SLOTS; i++)
        ck_assert_uint_ne(guard.order[i], GUARD_LIVE);
}
