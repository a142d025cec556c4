/*
 * Runs of units in heaps on real mappings, without what slabs have inside: first fit against a
 * plain reference, and rebuilding from the geometry words. Giving back: test_heap_system.c.
 */
#include "test.h"
#include "heap/heap_pages.h"
#include "heap_runs.h"
#include "random.h"

#include <inttypes.h>
#include <string.h>

SUITE(heap, .begin = begin);

/* ---- One run ---- */

TEST(a_run_is_claimed_shown_and_withdrawn)
{
    struct slab_geometry geometry = {.class = size_class_of(48), .count = 1365, .units = 1};
    struct slab *slab = heap_set_take(&set, &geometry);
    struct heap *heap = slab_heap(slab);

    ck_assert(heap_find(heap) == heap && heap_find((char *)heap + HEAP_SIZE - 1) == heap);
    ck_assert_ptr_null(heap_find((char *)heap - 1));
    ck_assert_ptr_null(heap_find((char *)heap + HEAP_SIZE));
    ck_assert_ptr_eq(slab->base, geometry_base(heap, geometry));
    ck_assert_uint_eq(slab->geometry, geometry_pack(geometry));
    ck_assert(slab->zero && is_filled(slab->base, UNIT_SIZE, 0));
    for (size_t i = 0; i < geometry_lines(geometry) * STATES_GROUP; i++)
        ck_assert_uint_eq(slab->states[i], i < geometry.count ? BLOCK_FREE : BLOCK_END);

    ck_assert_ptr_eq(heap_slab_of(heap, slab->base), &heap_nobody);
    heap_show_slab(slab);
    ck_assert_ptr_eq(heap_slab_of(heap, slab->base), slab);
    ck_assert_ptr_eq(heap_slab_of(heap, slab->base + UNIT_SIZE - 1), slab);
    ck_assert_ptr_eq(heap_slab_of(heap, slab->base + UNIT_SIZE), &heap_nobody);
    ck_assert_ptr_eq(heap_slab_of(heap, slab->base - 1), &heap_nobody);
    heap_set_give(slab);
    ck_assert_ptr_eq(heap_slab_of(heap, slab->base), &heap_nobody);
    ck_assert_uint_eq(slab->geometry, 0);
    ck_assert_uint_eq(totals().in_slabs, 0);
    ck_assert(heap_set_is_valid(&set));
}

/* ---- Resizing ---- */

TEST(a_run_grows_up_to_the_end_of_its_heap)
{
    struct slab *before = NULL, *last = try_take_blocks(1, 1);
    struct heap *heap = slab_heap(last);

    while (geometry_unpack(last->geometry).first_unit + 1u < heap->unit_limit) {
        before = last;
        last = try_take_blocks(1, 1);
        ck_assert_ptr_eq(slab_heap(last), heap);
    }
    ck_assert(!resize(last, 2) && !resize(before, 2));
    heap_set_give(last);
    ck_assert(!resize(before, 3));
    ck_assert(resize(before, 2));
    ck_assert_ptr_eq(heap_slab_of(heap, before->base + UNIT_SIZE), before);
    ck_assert_uint_eq(totals().free_dirty, 0);
    ck_assert(heap_set_is_valid(&set));
}

/* Units that were never opened, and that leave dirty; with a limit of 0 they are purged at once. */
TEST_LOOP(what_a_run_loses_is_dirty_or_purged, 0, 2)
{
    enum { UNITS = 14 };
    struct slab *slab = try_take_blocks(1, 1);
    char *tail = slab->base + UNIT_SIZE;

    set_option("dirty_limit", _i == 0 ? "64M" : "0");
    ck_assert(resize(slab, UNITS));
    ck_assert_ptr_eq(heap_slab_of(slab_heap(slab), tail), slab);
    ck_assert(is_filled(tail, (UNITS - 1) * UNIT_SIZE, 0));
    memset(tail, 'x', (UNITS - 1) * UNIT_SIZE);
    ck_assert(resize(slab, 1));
    ck_assert_ptr_eq(heap_slab_of(slab_heap(slab), tail), &heap_nobody);
    ck_assert_uint_eq(totals().in_slabs, UNIT_SIZE);
    ck_assert_uint_eq(totals().free_dirty, _i == 0 ? (UNITS - 1) * UNIT_SIZE : 0);
    ck_assert_int_eq(is_filled(tail, UNIT_SIZE, 0), _i != 0);
    ck_assert(heap_set_is_valid(&set));
}

/* ---- Many runs ---- */

enum { MOST_SLABS = 1500, MOST_HEAPS = 8 };

static struct slab *slabs[MOST_SLABS];

/* The lowest unit of a heap where a run of `units` fits, found unit by unit; -1 if nowhere. */
static int reference_fit(const struct heap *heap, unsigned units)
{
    bool used[HEAP_UNITS] = {false};

    for (int i = 0; i < MOST_SLABS; i++) {
        if (slabs[i] == NULL || slab_heap(slabs[i]) != heap)
            continue;
        struct slab_geometry g = geometry_unpack(slabs[i]->geometry);
        memset(used + g.first_unit, true, g.units);
    }
    unsigned run = 0;
    for (int unit = heap->first_unit; unit < heap->unit_limit; unit++) {
        run = used[unit] ? 0 : run + 1;
        if (run == units)
            return unit - (int)units + 1;
    }
    return -1;
}

/* Marks states and the ends of the units of a slab as its own, or checks the marks. */
static bool mark(struct slab *slab, int number, bool check)
{
    bool right = true;
    struct slab_geometry g = geometry_unpack(slab->geometry);

    if (check)
        right = states_count(slab->states, g.count, BLOCK_LIVE) == g.count;
    else
        memset(slab->states, BLOCK_LIVE, g.count);
    for (unsigned unit = 0; unit < g.units; unit++) {
        int *ends[2] = {(int *)(void *)(slab->base + unit * (size_t)UNIT_SIZE),
                        (int *)(void *)(slab->base + (unit + 1) * (size_t)UNIT_SIZE) - 1};
        for (int end = 0; end < 2; end++) {
            if (check)
                right = right && *ends[end] == number;
            else
                *ends[end] = number;
        }
    }
    return right;
}

static bool ends_are_zero(const struct slab *slab, unsigned units)
{
    for (unsigned unit = 0; unit < units; unit++)
        if (slab->base[unit * (size_t)UNIT_SIZE] != 0 ||
            slab->base[(unit + 1) * (size_t)UNIT_SIZE - 1] != 0)
            return false;
    return true;
}

/* Takes slab `number` of a random size, and checks its place; NULL if all is well. */
static const char *take_random(struct random *random, int number, unsigned most_units)
{
    unsigned units = 1 + (unsigned)random_below(random, most_units);
    unsigned count = (unsigned)min_size(SLAB_MAX_BLOCKS, units << random_below(random, 10));
    struct slab_geometry geometry = geometry_of(units, count);
    struct heap *heaps[MOST_HEAPS];
    size_t heap_count = find_heaps(heaps, MOST_HEAPS);
    bool fits_somewhere = false;

    for (size_t i = 0; i < heap_count; i++)
        fits_somewhere = fits_somewhere || reference_fit(heaps[i], units) >= 0;
    struct slab *slab = heap_set_take(&set, &geometry);
    if (slab == NULL)
        return "no memory";
    heap_show_slab(slab);
    if (fits_somewhere != (totals().heaps == heap_count))
        return "a new heap, or none, against the reference";
    if ((int)geometry.first_unit != reference_fit(slab_heap(slab), units))
        return "not the lowest fit";
    if (slab->zero && !ends_are_zero(slab, units))
        return "known to be zero, and is not";
    if (states_count(slab->states, count, BLOCK_FREE) != count)
        return "a state is not FREE";
    mark(slab, number, false);
    slabs[number] = slab;
    return NULL;
}

static const char *give(int number)
{
    struct slab *slab = slabs[number];

    slabs[number] = NULL;
    if (!mark(slab, number, true))
        return "somebody wrote into a slab or its states";
    heap_set_give(slab);
    return NULL;
}

/* Takes and gives at random in about `used` slots. */
static void churn(struct random *random, int steps, size_t used, unsigned most_units)
{
    for (int step = 0; step < steps; step++) {
        int number = (int)random_below(random, used);
        const char *wrong =
            slabs[number] == NULL ? take_random(random, number, most_units) : give(number);
        if (wrong == NULL && random_below(random, 64) == 0)
            heap_set_purge(&set, UINT64_MAX);
        if (wrong == NULL && !heap_set_is_valid(&set))
            wrong = "not valid";
        if (wrong != NULL)
            ck_abort_msg("step %d: %s; seed %" PRIu64, step, wrong, random->seed);
    }
}

static void give_all(void)
{
    for (int i = 0; i < MOST_SLABS; i++)
        if (slabs[i] != NULL && give(i) != NULL)
            ck_abort_msg("slab %d was written to", i);
}

TEST_LOOP(random_runs_are_first_fit, 0, 3)
{
    static const struct {
        size_t used;
        unsigned most_units;
    } mixes[] = {{40, 16}, {MOST_SLABS, 2}, {200, 16}};
    struct random random = random_begin();

    churn(&random, 1500, mixes[_i].used, mixes[_i].most_units);
    give_all();
    ck_assert_uint_eq(totals().in_slabs, 0);
    ck_assert(heap_set_is_valid(&set));
}

static void count_visit(void *context, struct slab *slab)
{
    int *visits = context;
    for (int i = 0; i < MOST_SLABS; i++)
        visits[i] += slabs[i] == slab;
}

TEST(each_slab_is_visited_once)
{
    static int visits[MOST_SLABS];
    struct random random = random_begin();

    churn(&random, 300, 200, SLAB_MAX_UNITS);
    heap_set_for_each_slab(&set, count_visit, visits);
    for (int i = 0; i < MOST_SLABS; i++)
        if (visits[i] != (slabs[i] != NULL))
            ck_abort_msg("slab %d: %d visits; seed %" PRIu64, i, visits[i], random.seed);
}

/* ---- Rebuilding ---- */

/* Random bits in place of first .. first+count-1. */
static void scramble(struct random *random, uint64_t *words, size_t first, size_t count)
{
    for (size_t bit = first; bit < first + count; bit++) {
        words[bit / 64] &= ~(UINT64_C(1) << bit % 64);
        words[bit / 64] |= (random_next(random) & 1) << bit % 64;
    }
}

static void scramble_heap(struct random *random, struct heap *heap)
{
    scramble(random, heap->free_units, heap->first_unit, heap_unit_count(heap));
    scramble(random, heap->dirty_units, heap->first_unit, heap_unit_count(heap));
    scramble(random, heap->free_slabs, 0, HEAP_SLABS);
    scramble(random, heap->free_lines, 0, heap_line_count(heap));
    for (size_t unit = heap->first_unit; unit < heap->unit_limit; unit++)
        heap->slab_of[unit] = (struct slab *)(uintptr_t)random_next(random);
    heap->used_units = (uint32_t)random_next(random);
    heap->longest = (uint16_t)random_next(random);
    heap->roomy.next = random_below(random, 2) != 0 ? NULL : (void *)heap;
}

/* What follows from the geometry words in a header, and slab_of. */
struct copy {
    struct heap heap;
    struct slab *slab_of[HEAP_UNITS];
};

static bool same_derived(const struct heap *a, const struct copy *copy)
{
    const struct heap *b = &copy->heap;

    return memcmp(a->free_units, b->free_units, sizeof(a->free_units)) == 0 &&
           memcmp(a->free_slabs, b->free_slabs, sizeof(a->free_slabs)) == 0 &&
           memcmp(a->free_lines, b->free_lines, sizeof(a->free_lines)) == 0 &&
           memcmp(a->slab_of, copy->slab_of, sizeof(copy->slab_of)) == 0 &&
           a->used_units == b->used_units;
}

TEST(everything_derived_is_rebuilt)
{
    static struct copy copies[MOST_HEAPS];
    struct heap *heaps[MOST_HEAPS];
    struct random random = random_begin();

    churn(&random, 500, 200, SLAB_MAX_UNITS);
    size_t count = find_heaps(heaps, MOST_HEAPS);
    for (size_t i = 0; i < count; i++) {
        memcpy(&copies[i].heap, heaps[i], sizeof(struct heap));
        memcpy(copies[i].slab_of, heaps[i]->slab_of, sizeof(copies[i].slab_of));
        scramble_heap(&random, heaps[i]);
    }
    struct heap_totals before = totals();
    set.count = 77;
    set.dirty = 12345;
    memset(&set.roomy, 0, sizeof(set.roomy));

    rebuild();
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(same_derived(heaps[i], &copies[i]), "heap %zu; seed %" PRIu64, i,
                      random.seed);
    ck_assert(heap_set_is_valid(&set));
    ck_assert_uint_eq(totals().heaps, before.heaps);
    ck_assert_uint_ge(totals().free_dirty, before.free_dirty); /* at worst: all may be dirty */
    churn(&random, 500, 200, SLAB_MAX_UNITS);
    give_all();
    ck_assert_uint_eq(totals().in_slabs, 0);
}
