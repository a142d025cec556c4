/*
 * Where heaps lie: side by side in the region of the unit map, past what others have mapped there,
 * up to its end, and how large the region is under a limit of address space.
 */
#include "test.h"
#include "capture.h"
#include "in_thread.h"
#include "heap/heap_pages.h"
#include "heap_runs.h"
#include "large/large.h"
#include "base/os.h"
#include "paths/alloc.h"
#include "process/init.h"
#include "sanitized.h"
#include "system_limits.h"
#include "arena/thread.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

SUITE(heap_places, .begin = begin);

/* Takes runs until there is one in a heap other than `heap`; that heap. */
static struct heap *take_in_next_heap(const struct heap *heap)
{
    struct heap *next;
    do
        next = slab_heap(take(SLAB_MAX_UNITS));
    while (next == heap);
    return next;
}

static char *place_after(const struct heap *heap, size_t places)
{
    return (char *)heap + places * HEAP_SIZE;
}

static void assert_gap(const char *from, const char *to)
{
    for (const char *unit = from; unit < to; unit += UNIT_SIZE) {
        struct slab *slab;
        ck_assert(unit_map_find(unit, &slab));
        ck_assert_ptr_eq(slab, &heap_nobody);
        ck_assert_ptr_null(heap_find(unit));
    }
}

TEST_LOOP(a_foreign_mapping_is_passed_over, 0, 4)
{
    static const struct {
        size_t offset, size, first; /* of the mapping, from the next place on; the heap's place */
    } cases[] = {
        {UNIT_SIZE, UNIT_SIZE, 2},
        {HEAP_SIZE - 2 * UNIT_SIZE, UNIT_SIZE, 2},
        {HEAP_SIZE - 2 * UNIT_SIZE, 3 * UNIT_SIZE, 4}, /* in two places */
        {HEAP_SIZE / 2, 5 * HEAP_SIZE, 8},
    };
    struct heap *first = slab_heap(take(1));
    char *foreign = place_after(first, 1) + cases[_i].offset;
    ck_assert(os_map_at(foreign, cases[_i].size));
    foreign[0] = foreign[cases[_i].size - 1] = 'x';

    struct heap *second = take_in_next_heap(first);
    ck_assert_ptr_eq(second, place_after(first, cases[_i].first));
    assert_gap(place_after(first, 1), (char *)second);
    ck_assert_int_eq(foreign[0] + foreign[cases[_i].size - 1], 2 * 'x');
    ck_assert_ptr_eq(heap_find(second), second);
    ck_assert_ptr_eq(take_in_next_heap(second), place_after(second, 1));
    ck_assert(heap_set_is_valid(&set));
}

enum { HARDENED_RUNS = 64, HARDENED_HEAPS = 400, RANDOM_PLACES = 8 };

/* Makes the first heap of a process of its own; returns its address. */
static uintptr_t first_heap_of_child(void)
{
    int pipes[2];
    uintptr_t address = 0;
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        address = (uintptr_t)slab_heap(take(1));
        _exit(write(pipes[1], &address, sizeof(address)) == sizeof(address) ? 0 : 1);
    }
    close(pipes[1]);
    ck_assert_int_eq(read(pipes[0], &address, sizeof(address)), sizeof(address));
    close(pipes[0]);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    return address;
}

/* With option hardened each bit of the first heap's place differs from process to process: all are
 * the same by chance with a probability of 2^-63. */
TEST_UNLESS(NO_LIMITS, hardened_regions_begin_anywhere)
{
    uintptr_t ones = 0, zeroes = 0;
    ck_assert_int_eq(option_set_text("hardened", "1"), 0);
    for (int i = 0; os_addresses_are_random() && i < HARDENED_RUNS; i++) {
        uintptr_t address = first_heap_of_child();
        ones |= address;
        zeroes |= ~address;
    }
    uintptr_t half = (uintptr_t)__builtin_frame_address(0) / 2;
    uintptr_t place = ((uintptr_t)1 << highest_bit(half)) - HEAP_SIZE;
    ck_assert(!os_addresses_are_random() || (ones & zeroes & place) == place);
}

/* And of the places that follow the last heap each may be the next one's. */
TEST(hardened_heaps_skip_places)
{
    size_t seen[RANDOM_PLACES + 1] = {0};
    ck_assert_int_eq(option_set_text("hardened", "1"), 0);
    struct heap *heap = slab_heap(take(1));
    for (size_t i = 0; os_addresses_are_random() && i < HARDENED_HEAPS; i++) {
        struct heap *next = take_in_next_heap(heap);
        size_t places = (size_t)((char *)next - (char *)heap) / HEAP_SIZE;
        ck_assert_uint_ge(places, 1);
        ck_assert_uint_le(places, RANDOM_PLACES);
        assert_gap(place_after(heap, 1), (char *)next);
        seen[places]++;
        heap = next;
    }
    for (size_t i = 1; os_addresses_are_random() && i <= RANDOM_PLACES; i++)
        ck_assert_uint_ne(seen[i], 0);
    ck_assert(heap_set_is_valid(&set));
}

/* Begins a region of that many places, where the system puts mappings. They go to the highest
 * addresses that are free: to at least HEAP_SIZE bytes above the region. */
static void begin_small_region(size_t places)
{
    size_t size = (places + 2) * HEAP_SIZE;
    char *range = os_reserve(size);
    ck_assert_ptr_nonnull(range);
    ck_assert(os_unmap(range, size));
    unit_map_lock();
    ck_assert(unit_map_begin(align_up((uintptr_t)range + UNIT_SIZE, HEAP_SIZE), places));
    unit_map_unlock();
}

TEST(there_are_no_heaps_beyond_the_region)
{
    enum { PLACES = 3, MOST = PLACES * HEAP_UNITS / SLAB_MAX_UNITS };
    struct slab *slabs[MOST];
    size_t count = 0;
    begin_small_region(PLACES);

    while ((slabs[count] = try_take(SLAB_MAX_UNITS)) != NULL)
        ck_assert_uint_lt(++count, MOST);
    ck_assert_uint_eq(totals().heaps, PLACES);
    ck_assert_ptr_null(try_take(SLAB_MAX_UNITS));
    ck_assert(heap_set_is_valid(&set));
    heap_set_give(slabs[count / 2]);
    ck_assert_ptr_nonnull(try_take(SLAB_MAX_UNITS));
    ck_assert_ptr_null(try_take(SLAB_MAX_UNITS));
    ck_assert(heap_set_is_valid(&set));
}

/* Blocks of less than a page are refused then; others have pages of their own. */
TEST(blocks_are_large_where_there_are_no_heaps)
{
    enum { PLACES = 2, SIZE = 64 << 10, MOST = PLACES * HEAP_UNITS + 100, TINY = 64 };
    static void *blocks[MOST];
    struct large_totals large;
    size_t count = 0, tiny = 0;
    begin_small_region(PLACES);
    init_start(NULL);

    do {
        ck_assert_uint_lt(count, MOST);
        blocks[count] = alloc_block(SIZE);
        ck_assert_ptr_nonnull(blocks[count]);
        memset(blocks[count++], 1, SIZE);
        large_totals(&large);
    } while (large.live_blocks == 0);
    ck_assert_uint_ge(count, (size_t)PLACES * (HEAP_UNITS - 16));
    ck_assert_ptr_null(heap_find(blocks[count - 1]));

    errno = 0;
    while (alloc_block(TINY) != NULL)
        ck_assert_uint_lt(++tiny, SIZE);
    ck_assert_int_eq(errno, ENOMEM);
    while (count > 0)
        free_block(blocks[--count]);
    large_totals(&large);
    ck_assert_uint_eq(large.live_blocks, 0);
    ck_assert_ptr_nonnull(alloc_block(TINY));
    ck_assert(arena_is_valid(thread_own_arena()));
}

/* Places of the region that are not covered. */
static size_t places_left(void)
{
    size_t from = 0, to = SIZE_MAX / HEAP_SIZE;
    unit_map_lock();
    while (from < to) { /* places below `from` are there, from `to` on none is */
        size_t middle = from + (to - from) / 2;
        if (unit_map_place(middle) != NULL)
            from = middle + 1;
        else
            to = middle;
    }
    unit_map_unlock();
    return from;
}

enum { LIMIT = 512 << 20 }; /* bytes */

static void begin_under_limit(void *unused)
{
    (void)unused;
    set_limit(RLIMIT_AS, LIMIT);
    if (try_take(1) == NULL)
        _exit(2);
    /* more than whole heaps would take, and little memory to say so */
    size_t places = places_left() + 1;
    if (places < 2 * (LIMIT / HEAP_SIZE) || places * HEAP_UNITS * sizeof(void *) > LIMIT / 256)
        _exit(3);
    while (try_take(SLAB_MAX_UNITS) != NULL)
        ;
    if (totals().in_slabs < LIMIT / 4 * 3 || places_left() == 0 || !heap_set_is_valid(&set))
        _exit(4);
}

TEST_UNLESS(NO_LIMITS, a_limit_of_address_space_bounds_the_map)
{
    capture_exit(begin_under_limit, NULL, "");
}

/* A refusal takes no place: what is asked for in vain does not use the region up. */
TEST_UNLESS(NO_LIMITS, heaps_that_are_refused_take_no_place)
{
    struct heap *first = slab_heap(take(1));
    size_t places = places_left();
    rlim_t before = set_limit(RLIMIT_AS, 1);

    while (try_take(1) != NULL)
        ;
    for (int i = 0; i < 100; i++)
        ck_assert_ptr_null(try_take(1));
    ck_assert_uint_eq(places_left(), places);
    set_limit(RLIMIT_AS, before);
    ck_assert_ptr_eq(slab_heap(take(1)), place_after(first, 1));
    ck_assert_uint_eq(places_left(), places - 1);
}

/* Takes a run, the process's first one; its heap. */
static void *take_first(void *unused)
{
    (void)unused;
    struct slab *slab = try_take(1);
    return slab == NULL ? NULL : slab_heap(slab);
}

/* The region is chosen by where the stack is, which may be that of a coroutine at a low address,
 * and by where the system puts mappings if the first choice is taken. */
TEST_LOOP_UNLESS(NO_LIMITS, the_first_stack_may_be_at_a_low_address, 0, 2)
{
    enum { STACK = 1 << 20 };
    char *low = (char *)GIB, *expected = (char *)(4 * GIB);
    ck_assert(os_map_at(low, STACK));
    ck_assert(_i == 0 || os_map_at(expected, HEAP_SIZE));
    void *heap = run_thread_on(low, STACK, take_first, NULL);
    ck_assert_ptr_nonnull(heap);
    ck_assert((heap == expected) == (_i == 0));
    ck_assert_ptr_eq(take_in_next_heap(heap), place_after(heap, 1));
}
