/*
 * Heaps and the system: what goes back to it and when, and heaps where address space is short.
 */
#include "test.h"
#include "capture.h"
#include "heap/heap_pages.h"
#include "heap_runs.h"
#include "base/os.h"
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

/* Fills heaps with the largest slabs until there are `heaps` of them; returns how many slabs. */
static int fill_heaps(uint32_t heaps)
{
    int count = 0;

    while (totals().heaps <= heaps)
        slabs[count++] = take(SLAB_MAX_UNITS);
    heap_set_give(slabs[--count]); /* that was the next heap's first one */
    slabs[count] = NULL;
    return count;
}

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
        slabs[count] = heap_set_take(&set, &geometry);
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

TEST(one_empty_heap_is_kept_and_others_are_closed)
{
    enum { HEAPS = 4 };
    struct heap *heaps[HEAPS];
    int count = fill_heaps(HEAPS - 1), open = 0;

    for (int i = 0; i < count; i++) {
        slabs[i]->base[0] = 1;
        heap_set_give(slabs[i]);
        slabs[i] = NULL;
    }
    ck_assert_uint_eq(find_heaps(heaps, HEAPS), HEAPS);
    for (size_t i = 0; i < HEAPS; i++)
        open += is_accessible(heap_unit_address(heaps[i], heaps[i]->first_unit));
    ck_assert_int_eq(open, 1);
    ck_assert(heap_set_is_valid(&set));

    /* their addresses are used again, with contents gone where zero is promised */
    for (int i = 0; i < count; i++) {
        slabs[i] = take(SLAB_MAX_UNITS);
        ck_assert(!slabs[i]->zero || slabs[i]->base[0] == 0);
        ck_assert(is_accessible(slabs[i]->base + bytes_of(slabs[i]) - 1));
    }
    ck_assert_uint_eq(totals().heaps, HEAPS);
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

TEST(the_first_roomy_heap_is_the_empty_one_that_is_kept)
{
    struct full_heap a, b, c;

    fill_next_heap(&b); /* not in the order of the list below */
    fill_next_heap(&a);
    fill_next_heap(&c);
    give_all_but(&a, 1); /* the first on the list, but not empty */
    give_all_but(&b, 0);
    ck_assert(is_open(&a) && is_open(&b) && is_open(&c));
    give_all_but(&a, 0);
    ck_assert(is_open(&a) && !is_open(&b) && is_open(&c));
    ck_assert(heap_set_is_valid(&set));

    /* a heap that was closed before is not one that keeps its memory */
    struct slab *slab = take(1);
    ck_assert_ptr_eq(slab_heap(slab), a.heap);
    give_all_but(&c, 0);
    ck_assert(is_open(&a) && !is_open(&b) && is_open(&c));
    heap_set_give(slab);
    ck_assert(is_open(&a) && !is_open(&b) && !is_open(&c));
    /* of what is free, that heap's units alone have memory */
    ck_assert_uint_eq(totals().free_dirty, (size_t)heap_unit_count(a.heap) * UNIT_SIZE);
    ck_assert(heap_set_is_valid(&set));
}

/* Takes a run, dirties it and gives it back. */
static char *dirty_a_run(unsigned units)
{
    struct slab *slab = take(units);
    char *base = slab->base;

    memset(base, 1, bytes_of(slab));
    heap_set_give(slab);
    return base;
}

TEST(purging_gives_contents_back)
{
    char *base = dirty_a_run(4);

    ck_assert_uint_eq(totals().free_dirty, 4 * UNIT_SIZE);
    ck_assert_int_eq(base[0], 1);
    ck_assert_uint_eq(heap_set_purge(&set, UINT64_MAX), 4 * UNIT_SIZE);
    ck_assert_uint_eq(totals().free_dirty, 0);
    ck_assert_uint_eq(heap_set_purge(&set, UINT64_MAX), 0);
    ck_assert(is_filled(base, 4 * UNIT_SIZE, 0));
    struct slab *slab = take(4);
    ck_assert_ptr_eq(slab->base, base);
    ck_assert(slab->zero);
}

TEST(what_is_not_purged_is_not_known_to_be_zero)
{
    char *base = dirty_a_run(1);
    struct slab *slab = take(2); /* one unit dirty, one fresh */

    ck_assert_ptr_eq(slab->base, base);
    ck_assert(!slab->zero);
    ck_assert_uint_eq(totals().free_dirty, 0);
}

TEST(no_decay_means_purged_at_once)
{
    set_option("decay", "0");
    ck_assert(is_filled(dirty_a_run(3), 3 * UNIT_SIZE, 0));
    ck_assert_uint_eq(totals().free_dirty, 0);
}

TEST(dirty_memory_is_bounded)
{
    struct slab *one = take(8), *other = take(16);

    set_option("dirty_limit", "1M");
    heap_set_give(one);
    ck_assert_uint_eq(totals().free_dirty, 8 * UNIT_SIZE);
    heap_set_give(other);
    ck_assert_uint_eq(totals().free_dirty, 0);
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

enum { LONG_AGO = 1 }; /* ms: all units that are free became so later */

TEST(free_units_decay)
{
    char *base = dirty_a_run(2);

    ck_assert_uint_eq(heap_set_purge(&set, LONG_AGO), 0);
    ck_assert_uint_eq(totals().free_dirty, 2 * UNIT_SIZE);
    ck_assert_int_eq(base[0], 1);
    ck_assert(heap_set_is_aging(&set));
    /* all of it has been idle since it was freed */
    ck_assert_uint_eq(heap_set_purge(&set, os_now_ms()), 2 * UNIT_SIZE);
    ck_assert_uint_eq(totals().free_dirty, 0);
    ck_assert(is_filled(base, 2 * UNIT_SIZE, 0));
    ck_assert(!heap_set_is_aging(&set));
    ck_assert(heap_set_is_valid(&set));
}

TEST(units_in_use_do_not_decay)
{
    char *base = dirty_a_run(2);
    heap_set_purge(&set, LONG_AGO);
    ck_assert_uint_eq(totals().free_dirty, 2 * UNIT_SIZE); /* aging now */
    struct slab *slab = take(1);
    ck_assert_ptr_eq(slab->base, base);
    ck_assert_uint_eq(heap_set_purge(&set, LONG_AGO), UNIT_SIZE);
    ck_assert_uint_eq(totals().free_dirty, 0);
    ck_assert_int_eq(base[0], 1);
    ck_assert_int_eq(base[UNIT_SIZE], 0);
}

/* Units that were taken and given back in between have not been free for all that time. */
TEST(units_used_meanwhile_age_anew)
{
    dirty_a_run(2);
    heap_set_purge(&set, LONG_AGO);
    heap_set_give(take(2));
    ck_assert_uint_eq(heap_set_purge(&set, LONG_AGO), 0);
    ck_assert_uint_eq(heap_set_purge(&set, LONG_AGO), 2 * UNIT_SIZE);
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
