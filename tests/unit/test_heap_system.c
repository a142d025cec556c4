/*
 * Heaps and the system: what goes back to it and when, and heaps where address space is short.
 */
#include "test.h"
#include "capture.h"
#include "heap/heap_pages.h"
#include "heap_runs.h"
#include "base/os.h"
#include "common/random.h"
#include "sanitized.h"
#include "system_limits.h"

#include <string.h>
#include <sys/mman.h>

SUITE(heap_system, .begin = begin);

static size_t bytes_of(const struct slab *slab)
{
    return (size_t)geometry_unpack(slab->geometry).units * UNIT_SIZE;
}

enum { MOST_SLABS = 1500 };

static struct slab *slabs[MOST_SLABS];

/* ---- Giving back to the system ---- */

/* As heap_set_take, in this heap, which has the slab `known`. */
static struct slab *take_in(struct heap *heap, struct slab *known, struct slab_geometry geometry)
{
    heap_set_lock(&set);
    struct slab *slab = heap_take(heap, &geometry);
    heap_set_unlock(&set);
    if (slab != NULL)
        heap_show_slab(slab);
    /* changes nothing, but the set looks at the heap */
    ck_assert(heap_set_resize(known, geometry_unpack(known->geometry)));
    return slab;
}

TEST(a_heap_may_run_out_of_lines)
{
    const struct slab_geometry of_16 = geometry_of(1, SLAB_MAX_BLOCKS);
    struct heap *first = NULL;
    int count = 0;

    for (;;) {
        struct slab_geometry geometry = of_16;
        slabs[count] = heap_set_take(&set, &geometry, true);
        ck_assert_ptr_nonnull(slabs[count]);
        heap_show_slab(slabs[count]);
        if (count == 0)
            first = slab_heap(slabs[0]);
        if (slab_heap(slabs[count++]) != first)
            break;
    }
    ck_assert_int_eq(count - 1, HEAP_LINES * STATES_GROUP / SLAB_MAX_BLOCKS);
    ck_assert_ptr_ne(slab_heap(take(1)), first);
    ck_assert(!list_contains(&first->roomy));
    ck_assert(heap_set_is_valid(&set));
    /* what comes back serves again: for two slabs with half its lines each */
    heap_set_give(slabs[5]);
    ck_assert(list_contains(&first->roomy));
    for (int i = 0; i < 3; i++) {
        struct slab *slab = take_in(first, slabs[0], geometry_of(1, SLAB_MAX_BLOCKS / 2));
        ck_assert((slab != NULL) == (i < 2));
    }
    ck_assert(heap_set_is_valid(&set));
}

/* A heap without a free unit, off the list of roomy ones, and its slabs. */
struct full_heap {
    struct heap *heap;
    struct slab *slabs[64];
    int count;
};

/* Takes runs of that many units in the heap until it has none left. */
static void take_all(struct full_heap *full, unsigned units)
{
    struct slab *slab;

    while ((slab = take_in(full->heap, full->slabs[0], geometry_of(units, units))) != NULL)
        full->slabs[full->count++] = slab;
}

/* Fills the next heap; all others are full. */
static void fill_next_heap(struct full_heap *full)
{
    full->slabs[0] = take(SLAB_MAX_UNITS);
    full->count = 1;
    full->heap = slab_heap(full->slabs[0]);
    take_all(full, SLAB_MAX_UNITS);
    take_all(full, 1);
    ck_assert(!list_contains(&full->heap->roomy));
}

/* Gives all slabs back but the first `left`. */
static void give_all_but(struct full_heap *full, int left)
{
    while (full->count > left)
        heap_set_give(full->slabs[--full->count]);
}

/* True if the heap's units can be accessed; its first one stands for all. */
static bool is_open(const struct full_heap *full)
{
    return is_accessible(heap_unit_address(full->heap, full->heap->first_unit));
}

/* Its address space and commit go with its memory, not when it becomes empty. */
TEST(empty_heaps_but_one_are_closed_when_they_are_purged)
{
    struct full_heap a, b, c;

    set_option("dirty_limit", "1G");
    fill_next_heap(&b); /* not in the order of the list below */
    fill_next_heap(&a);
    fill_next_heap(&c);
    give_all_but(&a, 1); /* the first on the list, but not empty */
    give_all_but(&b, 0);
    give_all_but(&c, 0);
    ck_assert(is_open(&a) && is_open(&b) && is_open(&c));
    heap_set_purge(&set, UINT64_MAX);
    ck_assert(is_open(&a) && is_open(&b) && !is_open(&c));
    give_all_but(&a, 0);
    ck_assert(is_open(&a) && is_open(&b)); /* it has memory */
    heap_set_purge(&set, UINT64_MAX);
    ck_assert(is_open(&a) && !is_open(&b) && !is_open(&c));
    ck_assert_uint_eq(totals().free_dirty, 0);
    ck_assert(heap_set_is_valid(&set));
}

/* Above the limit the heap that is taken from last is purged, and the other one serves. */
TEST(above_the_limit_the_last_heap_is_purged)
{
    struct full_heap first, last;

    set_option("huge_pages", "never");
    set_option("dirty_limit", "24M");
    fill_next_heap(&last);
    fill_next_heap(&first);
    give_all_but(&first, first.count / 2);
    size_t dirty = totals().free_dirty;
    do
        heap_set_give(last.slabs[--last.count]);
    while (totals().free_dirty > dirty && last.count > 0);
    ck_assert_int_gt(last.count, 0);
    ck_assert_uint_eq(totals().free_dirty, dirty);
    struct slab_geometry geometry = geometry_of(1, 1);
    ck_assert_ptr_eq(slab_heap(heap_set_take(&set, &geometry, false)), first.heap);
    ck_assert_uint_eq(totals().free_dirty, dirty - UNIT_SIZE);
    ck_assert(heap_set_is_valid(&set));
}

/* A run that must not be fresh is taken where as many units are free and dirty, though another heap
 * comes first. */
TEST(what_has_memory_is_taken_first)
{
    struct full_heap first, last;
    struct slab_geometry geometry = geometry_of(SLAB_MAX_UNITS, 1);

    set_option("huge_pages", "never");
    fill_next_heap(&last);
    fill_next_heap(&first);
    give_all_but(&first, 1);
    ck_assert_uint_ne(heap_set_purge(&set, UINT64_MAX), 0);
    ck_assert_ptr_null(heap_set_take(&set, &geometry, false));
    give_all_but(&last, 1);
    struct slab *slab = heap_set_take(&set, &geometry, false);
    ck_assert_ptr_nonnull(slab);
    ck_assert_ptr_eq(slab_heap(slab), last.heap);
    ck_assert_ptr_eq(slab_heap(take(SLAB_MAX_UNITS)), first.heap);
    ck_assert(heap_set_is_valid(&set));
}

/* Sees to it that the system does not purge all of a run: locks it, or, where that is forbidden,
 * unmaps its last page. */
static void make_unpurgeable(char *base, size_t size)
{
    /* past libc: the sanitizers make mlock a function that does nothing */
    if (syscall(SYS_mlock, base, size) != 0)
        ck_assert(os_unmap(base + size - os_page_size(), os_page_size()));
    ck_assert(!os_purge(base, size));
}

TEST(what_the_system_does_not_purge_is_not_tried_again_at_each_free)
{
    enum { REFUSED = SLAB_MAX_UNITS, MORE = REFUSED / 8 };
    struct slab *refused = take(REFUSED);
    take(1); /* stays: a run of free units is purged as a whole or not at all */
    struct slab *first = take(MORE), *last = take(1), *again = take(1);
    char *base = first->base;

    set_option("decay", "0");
    make_unpurgeable(refused->base, bytes_of(refused));
    heap_set_give(refused);
    ck_assert_uint_eq(totals().free_dirty, REFUSED * UNIT_SIZE);
    /* that many more are not worth another try, ... */
    *base = 1;
    heap_set_give(first);
    ck_assert_uint_eq(totals().free_dirty, (REFUSED + MORE) * UNIT_SIZE);
    ck_assert_int_eq(*base, 1);
    /* ... and one more is */
    heap_set_give(last);
    ck_assert_uint_eq(totals().free_dirty, REFUSED * UNIT_SIZE);
    ck_assert_int_eq(*base, 0);
    heap_set_give(again);
    ck_assert_uint_eq(totals().free_dirty, (REFUSED + 1) * UNIT_SIZE);
    ck_assert(heap_set_is_valid(&set));
}

/* Free units, by a plain account. */
enum { CLEAN, DIRTY, AGING /* dirty at the last purge of those that were AGING */ };

static uint8_t account[HEAP_UNITS];

static size_t count_units(uint8_t at_least)
{
    size_t count = 0;

    for (size_t unit = 0; unit < HEAP_UNITS; unit++)
        count += account[unit] >= at_least;
    return count;
}

/* Takes a run: it is zero if all of its units are clean, and its units are no longer free. */
static struct slab *take_accounted(unsigned units)
{
    struct slab *slab = take(units);
    unsigned first = geometry_unpack(slab->geometry).first_unit;
    bool clean = true;

    for (unsigned unit = first; unit < first + units; unit++) {
        clean = clean && account[unit] == CLEAN;
        account[unit] = CLEAN;
    }
    ck_assert_int_eq(slab->zero, clean);
    ck_assert(!clean || is_filled(slab->base, bytes_of(slab), 0));
    memset(slab->base, 'x', bytes_of(slab));
    return slab;
}

/* Gives it back: its units are dirty, and all are purged if they are more than `limit`. */
static void give_accounted(struct slab *slab, size_t limit)
{
    struct slab_geometry g = geometry_unpack(slab->geometry);

    set.recent = (struct recent){0}; /* nothing that was purged is taken again */
    heap_set_give(slab);
    memset(account + g.first_unit, DIRTY, g.units);
    if (count_units(DIRTY) > limit)
        memset(account, CLEAN, sizeof(account));
}

/* Purges what was AGING, and all else that is dirty is AGING; or, if nothing became dirty since
 * `before`, all. */
static void purge_accounted(uint64_t before)
{
    enum { LONG_AGO = 1 }; /* ms: all units that are free became so later */
    bool aged = before == LONG_AGO;
    size_t expected = count_units(aged ? AGING : DIRTY);

    ck_assert_uint_eq(heap_set_purge(&set, before), expected * UNIT_SIZE);
    for (size_t unit = 0; unit < HEAP_UNITS; unit++)
        account[unit] = aged && account[unit] == DIRTY ? AGING : CLEAN;
    ck_assert_int_eq(heap_set_is_aging(&set), count_units(DIRTY) != 0);
}

TEST_LOOP(free_units_go_back_when_they_are_due, 0, 3)
{
    static const struct {
        const char *option, *value;
        size_t limit; /* units */
    } cases[] = {{"dirty_limit", "64M", 1024}, {"dirty_limit", "1M", 16}, {"decay", "0", 0}};
    enum { SLOTS = 24, STEPS = 1000 };
    struct slab *held[SLOTS] = {NULL};
    struct random random = random_begin_for((uint64_t)_i);

    set_option("huge_pages", "never");
    set_option(cases[_i].option, cases[_i].value);
    take_accounted(1); /* stays, so that the heap is never empty */
    for (int step = 0; step < STEPS; step++) {
        struct slab **slot = &held[random_below(&random, SLOTS)];
        if (random_below(&random, 8) == 0) {
            purge_accounted(random_below(&random, 4) != 0 ? 1 : os_now_ms());
        } else if (*slot == NULL) {
            *slot = take_accounted(1 + (unsigned)random_below(&random, SLAB_MAX_UNITS));
        } else {
            give_accounted(*slot, cases[_i].limit);
            *slot = NULL;
        }
        ck_assert_uint_eq(totals().free_dirty, count_units(DIRTY) * UNIT_SIZE);
        ck_assert(heap_set_is_aging(&set) || count_units(DIRTY) == 0);
        ck_assert_uint_eq(totals().heaps, 1);
    }
    ck_assert(heap_set_is_valid(&set));
}

/* Above the limit a run is purged when it is given back for the first time, and not when it is
 * taken and given back over and over; two decays later that is forgotten. */
TEST(what_is_taken_over_and_over_stays)
{
    enum { UNITS = 6, ROUNDS = 3 };

    set_option("huge_pages", "never");
    set_option("dirty_limit", "0");
    take(1); /* stays, so that the heap is never empty */
    for (int forgotten = 0; forgotten < 2; forgotten++) {
        /* since the machine started two such decays have passed; two of FOREVER may not have */
        set_option("decay", forgotten ? "1000" : FOREVER);
        heap_set_give(take(UNITS));
        ck_assert_uint_eq(totals().free_dirty, 0);
        set_option("decay", FOREVER);
        for (int round = 0; round < ROUNDS; round++) {
            heap_set_give(take(UNITS));
            ck_assert_uint_eq(totals().free_dirty, UNITS * UNIT_SIZE);
        }
        heap_set_give(take(2 * UNITS)); /* more than was purged */
        ck_assert_uint_eq(totals().free_dirty, 0);
        set.recent.since = 0;
    }
    ck_assert(heap_set_is_valid(&set));
}

TEST(what_all_arenas_have_in_slabs_is_known_within_an_eighth)
{
    enum { SLABS = 64 };
    struct slab *slabs[SLABS];
    size_t before = heap_counts.units;

    for (size_t i = 0; i < SLABS; i++) {
        slabs[i] = take(1);
        ck_assert_uint_eq(heap_counts.units, before + i + 1);
    }
    ck_assert_uint_eq(heap_counts.units_peak, before + SLABS);
    /* not counted: it may be taken again at once */
    for (size_t i = 0; i < SLABS / 8; i++)
        heap_set_give(slabs[i]);
    ck_assert_uint_eq(heap_counts.units, before + SLABS);
    for (size_t i = 0; i < SLABS / 8; i++)
        slabs[i] = take(1);
    ck_assert_uint_eq(heap_counts.units, before + SLABS);
    for (size_t i = SLABS; i-- > 0;) {
        heap_set_give(slabs[i]);
        ck_assert_uint_ge(heap_counts.units, before + i);
        ck_assert_uint_le((heap_counts.units - before) * 7 / 8, i);
    }
    ck_assert_uint_eq(heap_counts.units, before);
    ck_assert_uint_eq(heap_counts.units_peak, before + SLABS);
}

TEST(empty_heaps_give_address_space_back)
{
    struct slab *slab = take(SLAB_MAX_UNITS);
    struct heap *heap = slab_heap(slab);
    size_t units = (size_t)(heap->unit_limit - heap->first_unit);

    ck_assert_uint_eq(heap_set_unmap_empty(&set), 0); /* it is not empty */
    heap_set_give(slab);
    ck_assert_uint_eq(heap_set_unmap_empty(&set), units * UNIT_SIZE);
    ck_assert_uint_eq(heap_set_unmap_empty(&set), 0);
    ck_assert(heap_set_is_valid(&set));
    ck_assert_uint_eq(totals().free_dirty, 0);
    ck_assert(is_accessible(heap)); /* the header stays */
    ck_assert(!is_accessible((char *)heap + (size_t)heap->first_unit * UNIT_SIZE));
    rebuild();
    ck_assert(heap_set_is_valid(&set));
    ck_assert_uint_eq(totals().free_dirty, 0);

    slab = take(SLAB_MAX_UNITS);
    ck_assert(slab->zero);
    ck_assert(is_filled(slab->base, bytes_of(slab), 0));
    ck_assert_uint_eq(totals().free_dirty, 0);
    ck_assert(heap_set_is_valid(&set));
}

/* ---- Address space is short ---- */

/* Leaves room for 20 MiB more, which no whole heap has; 0 if all is well. */
static void use_small_heaps(void *unused)
{
    enum { ROOM = 20 << 20 };
    size_t count = 0;

    (void)unused;
    leave_address_space(ROOM);
    while (count < MOST_SLABS && (slabs[count] = try_take(4)) != NULL)
        count++;
    if (count * 4 * UNIT_SIZE < ROOM / 2 || slab_heap(slabs[0])->size >= HEAP_SIZE)
        _exit(3);
    if (!heap_set_is_valid(&set))
        _exit(4);
    for (size_t i = 0; i < count; i++)
        heap_set_give(slabs[i]);
    if (heap_set_unmap_empty(&set) < ROOM / 2 || !heap_set_is_valid(&set))
        _exit(5);
    if (try_take(SLAB_MAX_UNITS) == NULL || !heap_set_is_valid(&set))
        _exit(6);
}

TEST_UNLESS(NO_LIMITS, little_address_space_gives_small_heaps)
{
    capture_exit(use_small_heaps, NULL, "");
}
