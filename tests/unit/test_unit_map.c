/*
 * The unit map on made-up heap addresses: what it covers, gaps, its end, giving up, and what a lost
 * thread leaves behind.
 */
#include "test.h"
#include "accessible.h"
#include "heap/heap_map.h"
#include "sanitized.h"
#include "heap/unit_map.h"

#include <pthread.h>
#include <sys/resource.h>

enum {
    HEAP_UNITS = 1 << (HEAP_SHIFT - UNIT_SHIFT),
    REACH = 8192, /* heaps */
    GAP = 1024,   /* heaps: a jump of more is not followed */
};

static char nobody_memory, slab_memory;
static struct slab *const nobody = (struct slab *)(void *)&nobody_memory;
static struct slab *const slab_a = (struct slab *)(void *)&slab_memory;

/* The address of the heap in a place of the region. */
static char *heap_at(ptrdiff_t place)
{
    return (char *)((uintptr_t)0x2000 * HEAP_SIZE + (uintptr_t)(place * (ptrdiff_t)HEAP_SIZE));
}

static struct slab **cover(ptrdiff_t place)
{
    return unit_map_cover(heap_at(place), nobody);
}

static bool is_covered(const void *p)
{
    struct slab *slab;
    return unit_map_find(p, &slab);
}

static struct slab *find(const void *p)
{
    struct slab *slab;
    ck_assert(unit_map_find(p, &slab));
    return slab;
}

static void assert_wild_addresses_are_not_covered(void)
{
    const uintptr_t addresses[] = {
        0,
        1,
        UNIT_SIZE,
        (uintptr_t)&nobody_memory,
        (uintptr_t)1 << 47,
        UINTPTR_MAX,
        (uintptr_t)1 << 63,
        UINTPTR_MAX - HEAP_SIZE,
    };
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
        ck_assert(!is_covered((void *)addresses[i]));
}

START_TEST(nothing_is_covered_before_the_first_heap)
{
    assert_wild_addresses_are_not_covered();
    ck_assert(!is_covered(heap_at(0)));
    ck_assert_uint_eq(unit_map_trim(), 0);
}
END_TEST

START_TEST(a_heap_is_covered_from_end_to_end)
{
    struct slab **entry = cover(0);
    ck_assert_ptr_nonnull(entry);
    for (size_t unit = 0; unit < HEAP_UNITS; unit++)
        ck_assert_ptr_eq(entry[unit], nobody);
    entry[3] = slab_a;
    ck_assert_ptr_eq(find(heap_at(0) + 3 * UNIT_SIZE), slab_a);
    ck_assert_ptr_eq(find(heap_at(0) + 4 * UNIT_SIZE - 1), slab_a);
    ck_assert_ptr_eq(find(heap_at(0) + 4 * UNIT_SIZE), nobody);
    ck_assert_ptr_eq(find(heap_at(0)), nobody);
    ck_assert_ptr_eq(find(heap_at(1) - 1), nobody);
    ck_assert(!is_covered(heap_at(0) - 1));
    ck_assert(!is_covered(heap_at(1)));
    ck_assert(is_guard((char *)entry - os_page_size()));
    ck_assert(is_guard((char *)align_up((uintptr_t)(entry + HEAP_UNITS), os_page_size())));
    assert_wild_addresses_are_not_covered();
    /* once more, by somebody else who has a heap there: as it is */
    ck_assert_ptr_eq(cover(0), entry);
    ck_assert_ptr_eq(entry[3], slab_a);
}
END_TEST

START_TEST(a_gap_is_nobodys)
{
    struct slab **first = cover(0);
    struct slab **later = cover(GAP / 2);
    ck_assert_ptr_eq(later, first + (size_t)GAP / 2 * HEAP_UNITS);
    ck_assert_ptr_eq(find(heap_at(GAP / 4)), nobody);
    ck_assert(!is_covered(heap_at(GAP / 2 + 1)));
    /* the heap of the gap comes later */
    ck_assert_ptr_eq(cover(GAP / 4), first + (size_t)GAP / 4 * HEAP_UNITS);
}
END_TEST

START_TEST(heaps_far_away_are_not_covered)
{
    ck_assert_ptr_nonnull(cover(0));
    ck_assert_ptr_null(cover(-1));
    ck_assert(!is_covered(heap_at(-1)));
    ck_assert(!is_covered(heap_at(1)));
    for (ptrdiff_t place = GAP / 2; place < REACH; place += GAP / 2)
        ck_assert_ptr_nonnull(cover(place));
    ck_assert_ptr_nonnull(cover(REACH - 1));
    ck_assert_ptr_null(cover(REACH));
    ck_assert(is_covered(heap_at(REACH) - 1));
    ck_assert(!is_covered(heap_at(REACH)));
    ck_assert(is_guard(&unit_map.slabs[(size_t)REACH * HEAP_UNITS]));
}
END_TEST

START_TEST(a_heap_with_its_own_table_is_never_covered)
{
    ck_assert_ptr_nonnull(cover(0));
    ck_assert_ptr_null(cover(GAP + 2)); /* a thread that was far ahead of the others */
    for (ptrdiff_t place = 1; place < GAP + 2; place++)
        ck_assert_ptr_nonnull(cover(place));
    ck_assert_ptr_null(cover(GAP + 3));
    ck_assert_ptr_null(cover(GAP + 2));
    ck_assert(is_covered(heap_at(GAP + 2) - 1));
    ck_assert(!is_covered(heap_at(GAP + 2)));
    ck_assert(!is_covered(heap_at(GAP + 3)));
    /* the address space behind it can still be given up */
    ck_assert_uint_ge(unit_map_trim(), (size_t)(REACH - GAP - 64) * HEAP_UNITS * sizeof(void *));
    ck_assert_ptr_eq(find(heap_at(GAP + 1)), nobody);
}
END_TEST

#ifndef SANITIZED
START_TEST(a_region_that_cannot_be_reserved_has_no_map)
{
    struct rlimit before, little;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    little = (struct rlimit){1, before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &little), 0);
    ck_assert_ptr_null(cover(5));
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    /* heaps that come now may lie below the one that came first */
    ck_assert_ptr_null(cover(0));
    ck_assert_ptr_null(cover(6));
    ck_assert(!is_covered(heap_at(5)));
}
END_TEST
#endif

START_TEST(what_is_given_up_is_not_covered_later)
{
    struct slab **entry = cover(0);
    size_t unused = unit_map_unused();
    size_t bytes = unit_map_trim();
    ck_assert_uint_gt(bytes, (size_t)(REACH - 32) * HEAP_UNITS * sizeof(struct slab *));
    ck_assert_uint_eq(bytes, unused);
    ck_assert_uint_eq(unit_map_unused(), 0);
    ck_assert_uint_eq(unit_map_trim(), 0);
    /* whatever is mapped next to what stays */
    char *guard = (char *)entry + (size_t)REACH * HEAP_UNITS * sizeof(struct slab *) - bytes;
    ck_assert(is_guard(guard));
    ck_assert(os_map_at(guard + os_page_size(), bytes));
    ck_assert_ptr_eq(find(heap_at(0)), nobody);
    ck_assert_ptr_eq(cover(0), entry);
    /* a page of the map may have had room for more */
    ck_assert_ptr_null(cover(32));
    ck_assert(!is_covered(heap_at(32)));
}
END_TEST

START_TEST(what_a_lost_thread_had_begun_is_done_again)
{
    ck_assert_ptr_nonnull(cover(0));
    struct slab **entry = cover(1);
    /* as if it had been lost before it stored `covered` */
    unit_map.covered = HEAP_UNITS;
    for (size_t unit = 0; unit < HEAP_UNITS; unit++)
        entry[unit] = unit % 3 == 0 ? NULL : slab_a;
    ck_assert_ptr_eq(cover(1), entry);
    for (size_t unit = 0; unit < HEAP_UNITS; unit++)
        ck_assert_ptr_eq(entry[unit], nobody);
    ck_assert_uint_eq(unit_map.covered, 2 * HEAP_UNITS);
}
END_TEST

enum { COVERERS = 4, PLACES = GAP };

/* Covers every COVERERS-th heap and marks it; what was marked must never be unmarked. */
static void *cover_some(void *argument)
{
    size_t number = (size_t)(uintptr_t)argument;
    for (size_t place = number; place < PLACES; place += COVERERS) {
        struct slab **entry = cover((ptrdiff_t)place);
        if (entry == NULL)
            return argument;
        for (size_t unit = 0; unit < HEAP_UNITS; unit++)
            if (__atomic_exchange_n(&entry[unit], slab_a, __ATOMIC_RELAXED) != nobody)
                return argument;
    }
    return NULL;
}

START_TEST(threads_cover_heaps_side_by_side)
{
    pthread_t threads[COVERERS];
    ck_assert_ptr_nonnull(cover(0));
    for (size_t i = 0; i < COVERERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, cover_some, (void *)i), 0);
    for (size_t i = 0; i < COVERERS; i++) {
        void *failed;
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    for (ptrdiff_t place = 0; place < PLACES; place++)
        for (size_t unit = 0; unit < HEAP_UNITS; unit++)
            ck_assert_ptr_eq(find(heap_at(place) + unit * UNIT_SIZE), slab_a);
}
END_TEST

Suite *unit_map_suite(void)
{
    Suite *suite = suite_create("unit_map");
    TCase *tests = tcase_create("unit_map");

    tcase_add_test(tests, nothing_is_covered_before_the_first_heap);
    tcase_add_test(tests, a_heap_is_covered_from_end_to_end);
    tcase_add_test(tests, a_gap_is_nobodys);
    tcase_add_test(tests, heaps_far_away_are_not_covered);
    tcase_add_test(tests, a_heap_with_its_own_table_is_never_covered);
#ifndef SANITIZED
    tcase_add_test(tests, a_region_that_cannot_be_reserved_has_no_map);
#else
    sanitized_skipped("unit_map");
#endif
    tcase_add_test(tests, what_is_given_up_is_not_covered_later);
    tcase_add_test(tests, what_a_lost_thread_had_begun_is_done_again);
    tcase_add_test(tests, threads_cover_heaps_side_by_side);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return suite;
}
