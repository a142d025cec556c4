/* Heaps: see heap.h. Runs are first fit over a bitmap of units; lines of states likewise. */
#include "heap/heap.h"

#include "base/bits.h"
#include "heap/heap_pages.h"
#include "base/guard_page.h"
#include "base/limit.h"
#include "base/os.h"

#include <string.h>

enum {
    HEAP_MIN_SIZE = 256 << 10, /* bytes: below it a heap would be little but its header */
    GUARDED_HEAPS = 256,       /* later ones have no guard below their units: heap_pages.h; but, */
    HEAP_GUARD_MAPPINGS = 2,   /* with option hardened, if that many mappings are left */
};

struct slab heap_header, heap_nobody;

START_DATA struct heap_counts heap_counts;

size_t heap_bytes_in_slabs(void)
{
    return __atomic_load_n(&heap_counts.units, __ATOMIC_RELAXED) * UNIT_SIZE;
}

size_t heap_bytes_reserved(void)
{
    return __atomic_load_n(&heap_counts.heaps, __ATOMIC_RELAXED) * HEAP_SIZE;
}

/* ---- making ---- */

/* All units, lines and descriptors free, as bitmaps. */
static void free_everything(struct heap *heap)
{
    bits_clear(heap->free_units, 0, HEAP_UNITS);
    bits_set(heap->free_units, heap->first_unit, heap_unit_count(heap));
    bits_set(heap->free_lines, 0, heap_line_count(heap));
    bits_set(heap->free_slabs, 0, HEAP_SLABS);
    heap->longest = (uint16_t)heap_unit_count(heap);
    heap->longest_lines = (uint16_t)heap_line_count(heap);
    heap->used_units = 0;
}

/* Opens the header of a reserved heap and fills it in. Needs the units lock. */
static struct heap *heap_begin(struct heap_set *set, char *base, size_t size)
{
    struct heap *heap = (struct heap *)(void *)base;
    size_t header = align_up(sizeof(struct heap), os_page_size());
    size_t states = size / HEAP_BYTES_OF_STATE;
    size_t first_states = min_size(align_up(HEAP_FIRST_STATES, os_page_size()), states);
    /* a page at least stands between the lines and the first unit */
    size_t before_units = align_up(header + states + os_page_size(), UNIT_SIZE);
    bool guarded = __atomic_load_n(&heap_counts.heaps, __ATOMIC_RELAXED) < GUARDED_HEAPS ||
                   guard_page_take_mappings(HEAP_GUARD_MAPPINGS);
    if (!os_open(base, guarded ? header + first_states : before_units))
        return NULL;
    heap->set = set;
    heap->size = size;
    heap->states = (uint8_t *)base + header;
    heap->states_opened = guarded ? first_states : states;
    heap->slab_of = unit_map_entries(heap);
    heap->index = set->count;
    heap->first_unit = (uint16_t)(before_units / UNIT_SIZE);
    heap->unit_limit = (uint16_t)(size / UNIT_SIZE - HEAP_GUARD_UNITS);
    heap->opened_limit = heap->first_unit;
    heap_pages_begin(heap);
    free_everything(heap);
    return heap;
}

struct heap *heap_create(struct heap_set *set, size_t units)
{
    struct heap *heap = NULL;
    char *base = NULL;
    unit_map_lock();
    size_t size = HEAP_SIZE;
    while (size >= HEAP_MIN_SIZE && (base = heap_pages_reserve(size)) == NULL)
        size /= 2;
    if (base != NULL) {
        heap = heap_begin(set, base, size);
        if (heap != NULL && heap_unit_count(heap) >= units &&
            heap_pages_open_units(heap, heap->first_unit + units) &&
            unit_map_cover(heap, &heap_header, &heap_nobody)) {
            __atomic_fetch_add(&heap_counts.heaps, 1, __ATOMIC_RELAXED);
        } else {
            heap_pages_release(base, size);
            heap = NULL;
        }
    }
    unit_map_unlock();
    return heap;
}

/* ---- taking runs ---- */

/* Takes `lines` lines from *first on; false if there is no such run or it cannot be opened. */
static bool take_lines(struct heap *heap, size_t lines, size_t *first)
{
    size_t limit = heap_line_count(heap);
    *first = bits_find_run(heap->free_lines, 0, limit, lines);
    if (*first == limit)
        heap->longest_lines = (uint16_t)(lines - 1);
    if (*first == limit || !heap_pages_open_lines(heap, *first + lines))
        return false;
    bits_clear(heap->free_lines, *first, lines);
    return true;
}

/* Takes free units, which are dirty from now on. Returns how many were already. */
static size_t take_units(struct heap *heap, size_t first, size_t units)
{
    size_t dirty = bits_count(heap->dirty_units, first, units);
    bits_clear(heap->free_units, first, units);
    bits_clear(heap->aging_units, first, units);
    bits_set(heap->dirty_units, first, units);
    heap->idle_units -= (uint32_t)dirty;
    heap->fresh_from = (uint16_t)max_size(heap->fresh_from, first + units);
    heap->used_units += (uint32_t)units;
    return dirty;
}

/* True if the limit allows units to be taken that are not dirty yet, of these. */
static bool is_within_limit(const struct heap *heap, size_t first, size_t units)
{
    return !limit_is_on() ||
           limit_take((units - bits_count(heap->dirty_units, first, units)) * UNIT_SIZE);
}

struct slab *heap_take(struct heap *heap, struct slab_geometry *geometry)
{
    unsigned units = geometry->units;
    size_t lines = geometry_lines(*geometry);
    if (units > heap->longest || lines > heap->longest_lines)
        return NULL;
    size_t unit = bits_find_run(heap->free_units, heap->first_unit, heap->unit_limit, units);
    if (unit == heap->unit_limit) {
        heap->longest = (uint16_t)(units - 1);
        return NULL;
    }
    size_t line, index = bits_lowest(heap->free_slabs, 0, HEAP_SLABS);
    if (index == HEAP_SLABS || !heap_pages_open_units(heap, unit + units) ||
        !is_within_limit(heap, unit, units) || !take_lines(heap, lines, &line))
        return NULL;
    heap_pages_fill_huge(heap, unit, unit + units, size_class_sizes[geometry->class]);
    bits_clear(heap->free_slabs, index, 1);

    struct slab *slab = &heap->slabs[index];
    geometry->first_unit = (unsigned)unit;
    geometry->first_line = (unsigned)line;
    slab->base = geometry_base(heap, *geometry);
    slab->states = geometry_states(heap, *geometry);
    bool fresh = unit >= heap->fresh_from;
    slab->untouched = take_units(heap, unit, units) == 0;
    slab->zero = slab->untouched || fresh;
    states_reset(slab->states, geometry->count, lines);
    /* release: a thread that reads the geometry reads the states as they are now, or later */
    __atomic_store_n(&slab->geometry, geometry_pack(*geometry), __ATOMIC_RELEASE);
    return slab;
}

/* Lets units lead to a descriptor. */
static void point_units(struct heap *heap, size_t first, size_t units, struct slab *slab)
{
    /* release: a thread that finds the descriptor here finds it filled in */
    for (size_t unit = first; unit < first + units; unit++)
        __atomic_store_n(&heap->slab_of[unit], slab, __ATOMIC_RELEASE);
}

void heap_forget_notes(struct slab *slab)
{
    struct heap *heap = slab_heap(slab);
    if (UNLIKELY(heap->notes != NULL))
        memset(heap->notes + (slab->states - heap->states), 0, slab->count * sizeof(*heap->notes));
}

void heap_show_slab(struct slab *slab)
{
    struct slab_geometry g = geometry_unpack(slab->geometry);
    point_units(slab_heap(slab), g.first_unit, g.units, slab);
}

/* ---- giving back ---- */

/* Gives units back, which no geometry claims any more. */
static void give_units(struct heap *heap, size_t first, size_t units)
{
    point_units(heap, first, units, &heap_nobody);
    bits_set(heap->free_units, first, units);
    heap->idle_units += (uint32_t)units;
    heap->used_units -= (uint32_t)units;
    size_t limit = first + units;
    while (limit - first < SLAB_MAX_UNITS && bits_test(heap->free_units, first - 1))
        first--;
    while (limit - first < SLAB_MAX_UNITS && bits_test(heap->free_units, limit))
        limit++;
    heap->longest = (uint16_t)max_size(heap->longest, limit - first);
    heap->longest_lines = HEAP_LINES;
}

void heap_give(struct heap *heap, struct slab *slab)
{
    struct slab_geometry g = geometry_unpack(slab->geometry);
    /* release: withdrawn before anything of it is reused */
    __atomic_store_n(&slab->geometry, 0, __ATOMIC_RELEASE);
    bits_set(heap->free_slabs, slab_index(slab), 1);
    bits_set(heap->free_lines, g.first_line, geometry_lines(g));
    give_units(heap, g.first_unit, g.units);
}

/* ---- resizing runs ---- */

/* Takes `units` units from `first` on for blocks of that size. False if one is not free, or the
 * system refuses to open them. */
static bool take_units_at(struct heap *heap, size_t first, size_t units, size_t block_size)
{
    size_t limit = first + units;
    if (limit > heap->unit_limit || bits_count(heap->free_units, first, units) != units ||
        !heap_pages_open_units(heap, limit) || !is_within_limit(heap, first, units))
        return false;
    heap_pages_fill_huge(heap, first, limit, block_size);
    take_units(heap, first, units);
    return true;
}

bool heap_resize(struct heap *heap, struct slab *slab, struct slab_geometry to)
{
    struct slab_geometry from = geometry_unpack(slab->geometry);
    size_t from_limit = from.first_unit + from.units, to_limit = to.first_unit + to.units;
    if (to_limit > from_limit &&
        !take_units_at(heap, from_limit, to_limit - from_limit, size_class_sizes[to.class]))
        return false;
    /* release: units are claimed before they lead to the slab, withdrawn before they lead nowhere
     */
    __atomic_store_n(&slab->geometry, geometry_pack(to), __ATOMIC_RELEASE);
    if (to_limit > from_limit)
        point_units(heap, from_limit, to_limit - from_limit, slab);
    else if (to_limit < from_limit)
        give_units(heap, to_limit, from_limit - to_limit);
    return true;
}

/* ---- purging and unmapping ---- */

void heap_purge(struct heap *heap, const uint64_t *mask)
{
    uint64_t due[HEAP_WORDS];
    for (size_t w = 0; w < HEAP_WORDS; w++)
        due[w] = mask[w] & heap->free_units[w] & heap->dirty_units[w];

    for (size_t first = bits_lowest(due, 0, HEAP_UNITS), end; first < HEAP_UNITS;
         first = bits_lowest(due, end, HEAP_UNITS)) {
        end = bits_lowest_clear(due, first, HEAP_UNITS);
        size_t units = end - first;
        if (os_purge(heap_unit_address(heap, first), units * UNIT_SIZE)) {
            bits_clear(heap->dirty_units, first, units);
            bits_clear(heap->aging_units, first, units);
            heap->idle_units -= (uint32_t)units;
        }
    }
}

void heap_age(struct heap *heap)
{
    heap_purge(heap, heap->aging_units);
    for (size_t w = 0; w < HEAP_WORDS; w++)
        heap->aging_units[w] = heap->free_units[w] & heap->dirty_units[w];
}

/* Purges the lines and the descriptors, none of which is in use, as far as they fill pages. */
static void purge_header(struct heap *heap)
{
    char *from = (char *)align_up((uintptr_t)heap->slabs, os_page_size());
    char *to = (char *)align_down((uintptr_t)(heap->slabs + HEAP_SLABS), os_page_size());
    os_purge(from, (size_t)(to - from));
    os_purge(heap->states, heap->states_opened);
}

/* opened_limit goes first: in a child that is forked in between, the heap opens its units again,
 * which may be closed. */
void heap_close(struct heap *heap)
{
    uint16_t opened_limit = heap->opened_limit;
    size_t opened = (size_t)(opened_limit - heap->first_unit);
    __atomic_store_n(&heap->opened_limit, heap->first_unit, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (opened != 0 && !os_close(heap_unit_address(heap, heap->first_unit), opened * UNIT_SIZE)) {
        __atomic_store_n(&heap->opened_limit, opened_limit, __ATOMIC_RELAXED);
        return;
    }
    heap_pages_begin(heap);
    heap->idle_units -= (uint32_t)bits_count(heap->dirty_units, heap->first_unit, opened);
    bits_clear(heap->dirty_units, heap->first_unit, opened);
    bits_clear(heap->aging_units, heap->first_unit, opened);
    purge_header(heap);
}

/*
 * unit_limit goes first: another mapping may have the address space at once, and a child forked in
 * between must not take it for the heap's. If it still is the heap's there, it is lost, since
 * heap_remap_units finds it taken. A note that it is about to go would not help: after the system
 * call it may be mapped again before the note is taken back.
 */
size_t heap_unmap_units(struct heap *heap)
{
    uint16_t unit_limit = heap->unit_limit;
    size_t units = heap_unit_count(heap);
    heap_close(heap);
    if (heap->opened_limit != heap->first_unit)
        return 0;
    __atomic_store_n(&heap->unit_limit, heap->first_unit, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (!os_unmap(heap_unit_address(heap, heap->first_unit), units * UNIT_SIZE)) {
        __atomic_store_n(&heap->unit_limit, unit_limit, __ATOMIC_RELAXED);
        return 0;
    }
    bits_clear(heap->free_units, heap->first_unit, units);
    heap->longest = 0;
    return units * UNIT_SIZE;
}

bool heap_remap_units(struct heap *heap, size_t units)
{
    size_t first = heap->unit_limit;
    for (size_t more = heap->size / UNIT_SIZE - HEAP_GUARD_UNITS - first; more >= units;
         more /= 2) {
        if (!os_reserve_at(heap_unit_address(heap, first), more * UNIT_SIZE))
            continue;
        heap->huge_pages_asked = false; /* not for these units */
        /* relaxed: no block lies there yet */
        __atomic_store_n(&heap->unit_limit, (uint16_t)(first + more), __ATOMIC_RELAXED);
        bits_set(heap->free_units, first, more);
        heap->longest = HEAP_UNITS;
        heap->longest_lines = HEAP_LINES;
        return true;
    }
    return false;
}

/* ---- looking at all of it ---- */

/* The units that are free and dirty. */
static size_t count_idle(const struct heap *heap)
{
    size_t units = 0;
    for (size_t w = 0; w < HEAP_WORDS; w++)
        units += (size_t)__builtin_popcountll(heap->free_units[w] & heap->dirty_units[w]);
    return units;
}

/* Takes what a published slab holds out of its heap's bitmaps. */
static void claim_slab(struct heap *heap, struct slab *slab)
{
    struct slab_geometry g = geometry_unpack(slab->geometry);
    bits_clear(heap->free_slabs, slab_index(slab), 1);
    bits_clear(heap->free_units, g.first_unit, g.units);
    bits_clear(heap->free_lines, g.first_line, geometry_lines(g));
    heap->used_units += (uint32_t)g.units;
    point_units(heap, g.first_unit, g.units, slab);
}

/* Other threads free blocks of this heap meanwhile, so slab_of of a unit in a slab never changes:
 * slabs claim their units, storing what stands there already, and only the others become nobody's.
 */
void heap_rebuild(struct heap *heap)
{
    free_everything(heap);
    for (size_t i = 0; i < HEAP_SLABS; i++)
        if (heap->slabs[i].geometry != 0)
            claim_slab(heap, &heap->slabs[i]);
    for (size_t unit = heap->first_unit; unit < heap->unit_limit; unit++)
        if (bits_test(heap->free_units, unit))
            __atomic_store_n(&heap->slab_of[unit], &heap_nobody, __ATOMIC_RELAXED);
    /* dirty_units may be half changed: all units that were ever accessible may be dirty */
    for (size_t w = 0; w < HEAP_WORDS; w++) {
        __atomic_store_n(&heap->dirty_units[w], 0, __ATOMIC_RELAXED); /* any reads */
        heap->aging_units[w] = 0;
    }
    bits_set(heap->dirty_units, heap->first_unit,
             min_size(heap->used_limit, heap->unit_limit) - heap->first_unit);
    heap->idle_units = (uint32_t)count_idle(heap);
    heap->fresh_from = HEAP_UNITS;
}

bool heap_is_valid(const struct heap *heap)
{
    uint64_t units[HEAP_WORDS] = {0};
    size_t used = 0, slabs = 0, lines = 0;
    for (size_t i = 0; i < HEAP_SLABS; i++) {
        struct slab_geometry g = geometry_unpack(heap->slabs[i].geometry);
        if (heap->slabs[i].geometry == 0)
            continue;
        if (g.class >= SIZE_CLASS_COUNT || g.first_unit + g.units > HEAP_UNITS ||
            g.first_line + geometry_lines(g) > HEAP_LINES)
            return false;
        if (bits_test(heap->free_slabs, i) ||
            bits_count(heap->free_units, g.first_unit, g.units) != 0 ||
            bits_count(units, g.first_unit, g.units) != 0 ||
            bits_count(heap->free_lines, g.first_line, geometry_lines(g)) != 0)
            return false;
        bits_set(units, g.first_unit, g.units);
        used += g.units;
        lines += geometry_lines(g);
        slabs++;
    }
    return used == heap->used_units && count_idle(heap) == heap->idle_units &&
           heap_unit_count(heap) - bits_count(heap->free_units, 0, HEAP_UNITS) == used &&
           heap_line_count(heap) - bits_count(heap->free_lines, 0, heap_line_count(heap)) ==
               lines &&
           HEAP_SLABS - bits_count(heap->free_slabs, 0, HEAP_SLABS) == slabs;
}
