/*
 * Runs of units in heaps on real mappings, without what slabs have inside: taken first fit,
 * resized and given back against a plain reference, and rebuilt from the geometry words. What goes
 * back to the system: test_heap_system.c.
 */
#include "test.h"
#include "heap/heap_pages.h"
#include "heap_runs.h"
#include "common/random.h"

#include <string.h>

SUITE(heap, .begin = begin);

/* ---- Many runs ---- */

enum { MOST_SLABS = 1500, MOST_HEAPS = 8 };

static struct slab *slabs[MOST_SLABS];

/* Notes which units of a heap are in a run. */
static void find_used(const struct heap *heap, bool used[HEAP_UNITS])
{
    memset(used, 0, HEAP_UNITS);
    for (int i = 0; i < MOST_SLABS; i++) {
        if (slabs[i] == NULL || slab_heap(slabs[i]) != heap)
            continue;
        struct slab_geometry g = geometry_unpack(slabs[i]->geometry);
        memset(used + g.first_unit, true, g.units);
    }
}

/* The lowest unit of a heap where a run of `units` fits, found unit by unit; -1 if nowhere. */
static int reference_fit(const struct heap *heap, unsigned units)
{
    bool used[HEAP_UNITS];
    unsigned run = 0;

    find_used(heap, used);
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

/* True if all addresses from one unit on lead to the slab. */
static bool all_lead_to(char *unit, unsigned units, const struct slab *slab)
{
    struct heap *heap = heap_containing(unit);

    for (const char *end = unit + units * (size_t)UNIT_SIZE; unit < end; unit += UNIT_SIZE)
        if (heap_slab_of(heap, unit) != slab || heap_slab_of(heap, unit + UNIT_SIZE - 1) != slab)
            return false;
    return true;
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
    unsigned blocks = (unsigned)min_size(SLAB_MAX_BLOCKS, units << random_below(random, 10));
    unsigned count = random_below(random, 2) != 0 ? 1 : blocks;
    struct slab_geometry geometry = geometry_of(units, count);
    struct heap *heaps[MOST_HEAPS];
    size_t heap_count = find_heaps(heaps, MOST_HEAPS);
    bool fits_somewhere = false;

    for (size_t i = 0; i < heap_count; i++)
        fits_somewhere = fits_somewhere || reference_fit(heaps[i], units) >= 0;
    struct slab *slab = heap_set_take(&set, &geometry, true);
    if (slab == NULL)
        return "no memory";
    if (!all_lead_to(slab->base, units, &heap_nobody))
        return "shown too early";
    heap_show_slab(slab);
    if (!all_lead_to(slab->base, units, slab))
        return "not shown";
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
    char *base = slab->base;
    unsigned units = geometry_unpack(slab->geometry).units;

    slabs[number] = NULL;
    if (!mark(slab, number, true))
        return "somebody wrote into a slab or its states";
    heap_set_give(slab);
    return all_lead_to(base, units, &heap_nobody) ? NULL : "units still lead to it";
}

/* Grows a slab of one block, or shrinks it. It grows where the units that follow are free. */
static const char *resize_random(struct random *random, int number)
{
    struct slab *slab = slabs[number];
    struct slab_geometry g = geometry_unpack(slab->geometry);
    unsigned units = 1 + (unsigned)random_below(random, SLAB_MAX_UNITS);
    bool used[HEAP_UNITS], fits = g.first_unit + units <= slab_heap(slab)->unit_limit;

    if (!mark(slab, number, true))
        return "somebody wrote into a slab or its states";
    find_used(slab_heap(slab), used);
    for (unsigned unit = g.first_unit + g.units; unit < g.first_unit + units; unit++)
        fits = fits && !used[unit];
    if (resize(slab, units) != fits)
        return "resized, or not, against the reference";
    units = fits ? units : g.units;
    mark(slab, number, false);
    if (!all_lead_to(slab->base, units, slab))
        return "not shown";
    if (units < g.units &&
        !all_lead_to(slab->base + units * (size_t)UNIT_SIZE, g.units - units, &heap_nobody))
        return "units still lead to it";
    return NULL;
}

static const char *change_random(struct random *random, int number, unsigned most_units)
{
    if (slabs[number] == NULL)
        return take_random(random, number, most_units);
    bool resizes = geometry_unpack(slabs[number]->geometry).count == 1;
    return resizes && random_below(random, 3) == 0 ? resize_random(random, number) : give(number);
}

/* Takes, resizes and gives at random in about `used` slots. */
static void churn(struct random *random, int steps, size_t used, unsigned most_units)
{
    for (int step = 0; step < steps; step++) {
        int number = (int)random_below(random, used);
        const char *wrong = change_random(random, number, most_units);
        if (wrong == NULL && random_below(random, 64) == 0)
            heap_set_purge(&set, UINT64_MAX);
        if (wrong == NULL && !heap_set_is_valid(&set))
            wrong = "not valid";
        if (wrong != NULL)
            ck_abort_msg("step %d: %s", step, wrong);
    }
}

static void give_all(void)
{
    for (int i = 0; i < MOST_SLABS; i++)
        if (slabs[i] != NULL && give(i) != NULL)
            ck_abort_msg("slab %d was written to", i);
}

static void count_visit(void *context, struct slab *slab)
{
    int *visits = context;
    for (int i = 0; i < MOST_SLABS; i++)
        visits[i] += slabs[i] == slab;
}

TEST_LOOP(random_runs_are_first_fit, 0, 3)
{
    static const struct {
        size_t used;
        unsigned most_units;
    } mixes[] = {{40, 16}, {MOST_SLABS, 2}, {200, 16}};
    static int visits[MOST_SLABS];
    struct random random = random_begin();

    churn(&random, 1500, mixes[_i].used, mixes[_i].most_units);
    heap_set_for_each_slab(&set, count_visit, visits);
    for (int i = 0; i < MOST_SLABS; i++)
        ck_assert_msg(visits[i] == (slabs[i] != NULL), "slab %d", i);
    give_all();
    ck_assert_uint_eq(totals().in_slabs, 0);
    ck_assert(heap_set_is_valid(&set));
}

/* A slab in this heap; NULL if it has no such run. */
static struct slab *take_in(struct heap *heap, unsigned units)
{
    struct slab_geometry geometry = geometry_of(units, units);

    heap_set_lock(&set);
    struct slab *slab = heap_take(heap, &geometry);
    heap_set_unlock(&set);
    if (slab != NULL)
        heap_show_slab(slab);
    return slab;
}

TEST(a_heap_without_a_long_run_serves_shorter_ones)
{
    struct slab *first = try_take_blocks(SLAB_MAX_UNITS, 1);
    struct heap *heap = slab_heap(first);

    while (take_in(heap, 1) != NULL)
        continue;
    ck_assert(resize(first, SLAB_MAX_UNITS - 7));
    ck_assert_ptr_nonnull(take_in(heap, 4));
    ck_assert_ptr_null(take_in(heap, 5));
    struct slab *last = take_in(heap, 3);
    ck_assert_ptr_nonnull(last);
    ck_assert_ptr_eq(last->base, first->base + (SLAB_MAX_UNITS - 3) * (size_t)UNIT_SIZE);
    ck_assert(resize(first, SLAB_MAX_UNITS - 8)); /* the set looks at the heap */
    ck_assert(heap_set_is_valid(&set));
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
        ck_assert_msg(same_derived(heaps[i], &copies[i]), "heap %zu", i);
    ck_assert(heap_set_is_valid(&set));
    ck_assert_uint_eq(totals().heaps, before.heaps);
    ck_assert_uint_ge(totals().free_dirty, before.free_dirty); /* at worst: all may be dirty */
    churn(&random, 500, 200, SLAB_MAX_UNITS);
    give_all();
    ck_assert_uint_eq(totals().in_slabs, 0);
}
