/*
 * The unit map on made-up heap addresses: what it covers, gaps, the region's end, and what a lost
 * thread leaves behind.
 */
#include "test.h"
#include "memory.h"
#include "in_thread.h"
#include "sanitized.h"
#include "system_limits.h"
#include "heap/unit_map.h"

SUITE(unit_map);

enum { REACH = 1000 }; /* places of the region */

static char nobody_memory, header_memory, slab_memory;
static struct slab *const nobody = (struct slab *)(void *)&nobody_memory;
static struct slab *const header = (struct slab *)(void *)&header_memory;
static struct slab *const slab_a = (struct slab *)(void *)&slab_memory;

#define REGION ((uintptr_t)0x2000 * HEAP_SIZE)

/* The address of the heap in a place of the region. */
static char *heap_at(ptrdiff_t place)
{
    return (char *)(REGION + (uintptr_t)(place * (ptrdiff_t)HEAP_SIZE));
}

static bool begin_region(size_t places)
{
    unit_map_lock();
    bool begun = unit_map_begin(REGION, places);
    unit_map_unlock();
    return begun;
}

static void begin(void)
{
    ck_assert(begin_region(REACH));
}

/* Covers a heap in the place that follows `skipped` free ones; its entries, NULL if the region has
 * no such place. */
static struct slab **cover(size_t skipped)
{
    struct slab **entries = NULL;
    unit_map_lock();
    char *heap = unit_map_place(skipped);
    if (heap != NULL && unit_map_cover(heap, header, nobody))
        entries = unit_map_entries(heap);
    unit_map_unlock();
    return entries;
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

/* The entries are those of a heap in which no slab is. */
static void assert_empty(struct slab **entries)
{
    for (size_t unit = 0; unit < HEAP_UNITS; unit++)
        ck_assert_ptr_eq(entries[unit], unit == 0 ? header : nobody);
}

static void assert_wild_addresses_are_not_covered(void)
{
    const uintptr_t addresses[] = {
        0,
        1,
        UNIT_SIZE,
        (uintptr_t)&nobody_memory,
        (uintptr_t)1 << 47,
        ((uintptr_t)1 << 48) - 1,
        ((uintptr_t)1 << 56) - 1,
        UINTPTR_MAX,
        (uintptr_t)1 << 63,
        UINTPTR_MAX - HEAP_SIZE,
    };
    for (size_t i = 0; i < COUNT_OF(addresses); i++)
        ck_assert(!is_covered((void *)addresses[i]));
}

TEST(nothing_is_covered_before_the_first_heap)
{
    assert_wild_addresses_are_not_covered();
    ck_assert_ptr_null(cover(0)); /* there is no region */
    begin();
    assert_wild_addresses_are_not_covered();
    ck_assert(!is_covered(heap_at(0)));
}

TEST(a_heap_is_covered_from_end_to_end)
{
    begin();
    struct slab **entry = cover(0);
    ck_assert_ptr_nonnull(entry);
    assert_empty(entry);
    entry[3] = slab_a;
    ck_assert_ptr_eq(find(heap_at(0) + 3 * UNIT_SIZE), slab_a);
    ck_assert_ptr_eq(find(heap_at(0) + 4 * UNIT_SIZE - 1), slab_a);
    ck_assert_ptr_eq(find(heap_at(0) + 4 * UNIT_SIZE), nobody);
    ck_assert_ptr_eq(find(heap_at(0)), header);
    ck_assert_ptr_eq(find(heap_at(0) + UNIT_SIZE - 1), header);
    ck_assert_ptr_eq(find(heap_at(1) - 1), nobody);
    ck_assert(!is_covered(heap_at(0) - 1));
    ck_assert(!is_covered(heap_at(1)));
    ck_assert(is_guard((char *)entry - os_page_size()));
    ck_assert(is_guard((char *)align_up((uintptr_t)(entry + HEAP_UNITS), os_page_size())));
    assert_wild_addresses_are_not_covered();
    /* the next one leaves it as it is */
    ck_assert_ptr_eq(cover(0), entry + HEAP_UNITS);
    ck_assert_ptr_eq(entry[3], slab_a);
}

TEST(a_gap_is_nobodys)
{
    enum { GAP = 100 };
    begin();
    struct slab **first = cover(0);
    struct slab **later = cover(GAP);
    ck_assert_ptr_eq(later, first + (size_t)(1 + GAP) * HEAP_UNITS);
    assert_empty(first);
    assert_empty(later);
    for (ptrdiff_t place = 1; place <= GAP; place++)
        for (size_t unit = 0; unit < HEAP_UNITS; unit++)
            ck_assert_ptr_eq(find(heap_at(place) + unit * UNIT_SIZE), nobody);
    ck_assert(!is_covered(heap_at(GAP + 2)));
}

TEST(the_region_ends)
{
    begin();
    struct slab **first = cover(0);
    ck_assert_ptr_null(cover(REACH - 1));
    ck_assert_ptr_null(cover(SIZE_MAX / HEAP_UNITS + 1));
    ck_assert(!is_covered(heap_at(1)));
    struct slab **last = cover(REACH - 2);
    ck_assert_ptr_eq(last, first + (size_t)(REACH - 1) * HEAP_UNITS);
    ck_assert_ptr_null(cover(0));
    ck_assert(is_covered(heap_at(REACH) - 1));
    ck_assert(!is_covered(heap_at(REACH)));
    ck_assert(is_guard((char *)align_up((uintptr_t)(last + HEAP_UNITS), os_page_size())));
}

TEST_UNLESS(NO_LIMITS, a_map_that_cannot_be_reserved_may_be_later)
{
    rlim_t before = set_limit(RLIMIT_AS, 1);
    ck_assert(!begin_region(REACH));
    ck_assert_ptr_null(cover(0));
    set_limit(RLIMIT_AS, before);
    begin();
    ck_assert_ptr_nonnull(cover(0));
}

TEST_UNLESS(NO_LIMITS, entries_that_cannot_be_opened_cover_nothing)
{
    begin();
    rlim_t before = set_limit(RLIMIT_DATA, 1);
    struct slab **refused = cover(3);
    set_limit(RLIMIT_DATA, before);
    ck_assert_ptr_null(refused);
    ck_assert(!is_covered(heap_at(0)));
    assert_empty(cover(0));
}

TEST(what_a_lost_thread_had_begun_is_done_again)
{
    begin();
    ck_assert_ptr_nonnull(cover(0));
    struct slab **entry = cover(0);
    /* as if it had been lost before it stored `covered` */
    unit_map.covered = HEAP_UNITS;
    for (size_t unit = 0; unit < HEAP_UNITS; unit++)
        entry[unit] = unit % 3 == 0 ? NULL : slab_a;
    ck_assert_ptr_eq(cover(0), entry);
    assert_empty(entry);
    ck_assert_uint_eq(unit_map.covered, 2 * HEAP_UNITS);
}

enum { COVERERS = 4, PLACES_EACH = REACH / COVERERS };

/* Covers places, each the next free one, and marks them; what was marked must never be unmarked. */
static void *cover_some(void *failed)
{
    for (size_t i = 0; i < PLACES_EACH; i++) {
        struct slab **entry = cover(0);
        for (size_t unit = 0; entry != NULL && unit < HEAP_UNITS; unit++)
            *(bool *)failed |=
                __atomic_exchange_n(&entry[unit], slab_a, __ATOMIC_RELAXED) == slab_a;
        *(bool *)failed |= entry == NULL;
    }
    return NULL;
}

TEST(threads_cover_heaps_side_by_side)
{
    bool failed[COVERERS] = {false};
    begin();
    run_threads(cover_some, failed, COVERERS, sizeof(failed[0]));
    for (size_t i = 0; i < COVERERS; i++)
        ck_assert(!failed[i]);
    for (ptrdiff_t place = 0; place < REACH; place++)
        for (size_t unit = 0; unit < HEAP_UNITS; unit++)
            ck_assert_ptr_eq(find(heap_at(place) + unit * UNIT_SIZE), slab_a);
}
