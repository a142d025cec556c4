/*
 * The trace: every allocation and free is recorded with its stack, however it is made; the ring
 * keeps the last ones; and reports of misuse have what it knows.
 */
#include "base/option.h"
#include "base/os.h"
#include "capture.h"
#include "in_thread.h"
#include "memory.h"
#include "modes/profile.h"
#include "modes/trace.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "paths/free.h"

#include <pthread.h>
#include <stdio.h>

enum { RECORDS = 1000 };

static void begin_trace(void)
{
    begin_without_decay();
    ck_assert_int_eq(option_set_text("trace", "1000"), 0);
    trace_start();
    ck_assert(trace_is_on());
}

SUITE(trace, .begin = begin_trace);

/* ---- What is recorded ---- */

static const size_t sizes[] = {16, 100, 5000, 40000, 300000, 1 << 20, 3000000};

static const void *caller; /* of the function that made the last call */

static bool has_frame(const struct trace_record *record, const void *address)
{
    for (size_t i = 0; i < record->depth; i++)
        if (record->frames[i] == (uintptr_t)address)
            return true;
    return false;
}

/* The last record of the block is of that kind, by this thread, and has the caller. */
static void check_last(const void *block, bool freed)
{
    struct trace_record record;
    ck_assert_uint_ne(trace_find(block, UINT64_MAX, &record), 0);
    ck_assert_ptr_eq(record.block, block);
    ck_assert_int_eq(record.freed, freed);
    ck_assert_int_eq(record.thread, os_thread_id());
    ck_assert_uint_le(record.depth, TRACE_DEPTH);
    ck_assert(has_frame(&record, caller));
}

static NOINLINE void *allocate(size_t size, int how)
{
    caller = __builtin_return_address(0);
    void *block = how == 0   ? alloc_block(size)
                  : how == 1 ? alloc_zeroed(1, size)
                  : how == 2 ? alloc_aligned(256, size)
                             : alloc_resize(NULL, size, "realloc");
    __asm__ volatile("" : : "r"(block) : "memory"); /* no tail call */
    return block;
}

static NOINLINE void give_back(void *block)
{
    caller = __builtin_return_address(0);
    free_block(block);
    __asm__ volatile("" : : : "memory");
}

static void *give_back_and_check(void *block)
{
    give_back(block);
    check_last(block, true);
    return NULL;
}

TEST_LOOP(each_call_is_recorded, 0, 4)
{
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int by_other = 0; by_other < 2; by_other++) {
            void *block = allocate(sizes[i], _i);
            check_last(block, false);
            ck_assert(free_is_live(block));
            if (by_other)
                run_thread(give_back_and_check, block);
            else
                give_back_and_check(block);
        }
    ck_assert(own_arena_is_valid());
}

/* The former and the latter block of realloc, which may be the same. */
TEST_LOOP(realloc_is_a_free_and_an_allocation, 0, COUNT_OF(sizes))
{
    for (size_t to = 0; to < COUNT_OF(sizes); to++) {
        struct trace_record record;
        void *block = allocate(sizes[_i], 0);
        size_t usable = free_usable_size(block, "test");
        uint64_t first = trace_find(block, UINT64_MAX, &record);
        char *resized = alloc_resize(block, sizes[to], "realloc");
        bool stayed = resized == block && free_usable_size(resized, "test") == usable;
        ck_assert_uint_ne(trace_find(resized, UINT64_MAX, &record), 0);
        ck_assert(!record.freed);
        if (stayed) {
            free_block(resized);
            continue;
        }
        uint64_t number = resized != block ? UINT64_MAX : record.number;
        ck_assert_uint_gt(trace_find(block, number, &record), first);
        ck_assert(record.freed);
        free_block(resized);
    }
}

TEST(the_last_records_stay)
{
    enum { BLOCKS = RECORDS + 10 };
    static void *blocks[BLOCKS];
    struct trace_record record;
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = alloc_block(64);
    for (int i = 0; i < BLOCKS; i++)
        ck_assert_int_eq(trace_find(blocks[i], UINT64_MAX, &record) != 0, i >= BLOCKS - RECORDS);
}

TEST(a_profile_that_stops_leaves_the_trace_on)
{
    ck_assert_int_eq(profile_start(1), 0);
    void *sampled = allocate(64, 0);
    check_last(sampled, false);
    ck_assert_int_eq(profile_stop(), 0);
    check_last(allocate(64, 0), false);
    give_back(sampled);
    check_last(sampled, true);
}

TEST(without_the_option_it_is_off)
{
    struct trace_record record;
    trace_ring = NULL;
    ck_assert_int_eq(option_set_text("trace", "0"), 0);
    trace_start();
    ck_assert(!trace_is_on());
    ck_assert_uint_eq(trace_find(&record, UINT64_MAX, &record), 0);
}

/* ---- Reports ---- */

static void *freed_by_other(void *block)
{
    free_block(block);
    return NULL;
}

static void free_again(void *block)
{
    free_block(block);
}

/* A double free has the stacks of the first free and of the allocation, in this order; a misuse of
 * a live block only that of its own allocation, not of those before it. */
TEST_LOOP(a_report_has_what_became_of_the_block, 0, COUNT_OF(sizes))
{
    struct capture capture;
    char freed[64], allocated[64];
    void *block = alloc_block(sizes[_i]);
    ck_assert(option_parse("on_error:report", "test"));
    snprintf(freed, sizeof freed, "acre:   freed by thread ");
    snprintf(allocated, sizeof allocated, "acre:   allocated by thread %d at\n", os_thread_id());
    run_thread(freed_by_other, block);
    capture_stderr(&capture, free_again, block);
    ck_assert_uint_eq(capture.writes, 1);
    const char *first = strstr(capture.details, freed);
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(strstr(first + 1, freed));
    ck_assert_ptr_nonnull(strstr(first, allocated));

    void *other = alloc_block(100);
    free_block(other);
    char *live = alloc_block(100);
    ck_assert_ptr_eq(live, other);
    capture_stderr(&capture, free_again, live + 16);
    ck_assert_ptr_null(strstr(capture.details, freed));
    ck_assert_ptr_nonnull(strstr(capture.details, allocated));
}

/* ---- Threads ---- */

enum { THREADS = 3, FOUND = 300 };

static bool stop; /* atomic */

static void *use_memory(void *unused)
{
    for (size_t i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++)
        free_block(alloc_block(sizes[i % 3]));
    return unused;
}

/* Whatever is found meanwhile is whole. */
TEST(records_are_read_while_they_are_written)
{
    pthread_t threads[THREADS];
    struct trace_record record;
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_memory, NULL), 0);
    for (unsigned found = 0; found < FOUND;) {
        const void *wanted = __atomic_load_n(&trace_ring[RECORDS / 2].block, __ATOMIC_RELAXED);
        for (uint64_t at = UINT64_MAX; (at = trace_find(wanted, at, &record)) != 0;) {
            ck_assert_ptr_eq(record.block, wanted);
            ck_assert_uint_eq(record.number, at);
            ck_assert(record.depth > 0 && record.depth <= TRACE_DEPTH);
            found++;
        }
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert(own_arena_is_valid());
}
