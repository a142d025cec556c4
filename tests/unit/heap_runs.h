/*
 * An arena's heaps without slabs in their units, and runs taken from them: what the tests of heap.h
 * and heap_pages.h share.
 */
#ifndef ACRE_TESTS_UNIT_HEAP_RUNS_H
#define ACRE_TESTS_UNIT_HEAP_RUNS_H

#include "test.h"
#include "memory.h"
#include "heap/heap.h"
#include "base/option.h"

#include <string.h>

#define FOREVER "3600000" /* ms of decay: nothing falls due by itself */

static struct heap_set set;

static inline void set_option(const char *key, const char *value)
{
    ck_assert_int_eq(option_set_text(key, value), 0);
}

static inline void begin(void)
{
    heap_set_init(&set, NULL);
    set_option("decay", FOREVER);
    set_option("dirty_limit", "64G");
}

static inline struct heap_totals totals(void)
{
    struct heap_totals now;

    heap_set_totals(&set, &now);
    return now;
}

/* The smallest class of which `count` blocks fill `units` units, as near as matters here. */
static inline struct slab_geometry geometry_of(unsigned units, unsigned count)
{
    return (struct slab_geometry){
        .class = size_class_of((size_t)units * UNIT_SIZE / count), .count = count, .units = units};
}

/* Takes a run for `count` blocks and shows it; NULL if there is no memory. */
static inline struct slab *try_take_blocks(unsigned units, unsigned count)
{
    struct slab_geometry geometry = geometry_of(units, count);
    struct slab *slab = heap_set_take(&set, &geometry, true);

    if (slab != NULL)
        heap_show_slab(slab);
    return slab;
}

/* The same for blocks of a unit each. */
static inline struct slab *try_take(unsigned units)
{
    return try_take_blocks(units, units);
}

static inline struct slab *take(unsigned units)
{
    struct slab *slab = try_take(units);

    ck_assert_ptr_nonnull(slab);
    return slab;
}

/* Resizes a slab of one block to that many units. */
static inline bool resize(struct slab *slab, unsigned units)
{
    struct slab_geometry geometry = geometry_unpack(slab->geometry);

    geometry.class = size_class_of(units * UNIT_SIZE);
    geometry.units = units;
    return heap_set_resize(slab, geometry);
}

/* All heaps of the set; their number, at most `most`. */
static inline size_t find_heaps(struct heap **heaps, size_t most)
{
    size_t count = 0;

    for (size_t i = 0; i < HEAP_CHAINS; i++)
        for (struct heap *heap = heap_set_chain(&set, i); heap != NULL; heap = heap->next) {
            ck_assert_uint_lt(count, most);
            heaps[count++] = heap;
        }
    ck_assert_uint_eq(count, totals().heaps);
    return count;
}

/* As after a fork that lost the holder of the heap lock. */
static inline void rebuild(void)
{
    heap_set_lock(&set);
    heap_set_rebuild_locked(&set);
    heap_set_unlock(&set);
}

#endif
