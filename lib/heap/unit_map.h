/*
 * The unit map: the slab of each unit of one region of the address space, in which all heaps lie
 * side by side. It is the one way from an address to a slab.
 *
 * The region is divided into places of HEAP_SIZE, and a heap takes the first place that is not
 * covered. A place with a foreign mapping is skipped: its entries are nobody's. The map is reserved
 * once, between two pages without access. The entries of a place, 4 KiB, are opened and filled in
 * when a heap is made there or at a higher address.
 *
 * A unit that is in no slab has the entry `nobody`, and the first unit of a heap, its header, the
 * entry `header`: both are descriptors that live for ever. No entry that is covered is NULL.
 *
 * Lock: LOCK_RANK_UNITS, taken by unit_map_lock. The truth is `covered`: what a lost holder of the
 * lock had opened or filled in above it is opened and filled in again.
 */
#ifndef ACRE_LIB_UNIT_MAP_H
#define ACRE_LIB_UNIT_MAP_H

#include "base/base.h"

enum {
    UNIT_SHIFT = 16,
    UNIT_SIZE = 1 << UNIT_SHIFT, /* bytes */
    HEAP_SHIFT = 25,             /* a heap is 32 MiB and aligned to that */
    HEAP_UNITS = 1 << (HEAP_SHIFT - UNIT_SHIFT),
};

#define HEAP_SIZE ((size_t)1 << HEAP_SHIFT)

struct slab;

/* Read by every free, so it shares its line of the cache with nothing. */
struct unit_map {
    CACHE_ALIGNED uintptr_t base; /* [units lock, any reads] address of unit 0; until there is one,
                                     far from all addresses */
    size_t covered;      /* [units lock, release; any reads, acquire] entries 0 .. covered-1 can be
                            read and stay for the life of the process */
    struct slab **slabs; /* [units lock, any reads] the entries; of these see struct heap */
};

extern struct unit_map unit_map;

/* The entry of the unit that p, any address at all, lies in. False if the map does not cover it. */
static ALWAYS_INLINE bool unit_map_find(const void *p, struct slab **slab)
{
    size_t unit = ((uintptr_t)p - PLAIN_LOAD(unit_map.base)) >> UNIT_SHIFT;
    if (unit >= ORDERED_LOAD(unit_map.covered))
        return false;
    *slab = PLAIN_LOAD(PLAIN_LOAD(unit_map.slabs)[unit]);
    return true;
}

void unit_map_lock(void);
void unit_map_unlock(void);

/* ---- with the lock held ---- */

bool unit_map_has_region(void);

/* Reserves the map of a region of `heaps` places that begins at `base`, a multiple of HEAP_SIZE.
 * False where there is no address space for it. Once in a process. */
bool unit_map_begin(uintptr_t base, size_t heaps);

/* The address of a place, `skipped` places further than the first one that is not covered; NULL
 * where the region ends, or there is none. */
char *unit_map_place(size_t skipped);

/* The entries of the heap at an address of unit_map_place; not covered yet. */
struct slab **unit_map_entries(const void *heap);

/*
 * Covers a heap whose header is filled in, and the places below it that are not covered: its first
 * entry is `header`, all others are `nobody`. False, with nothing covered, if there is no memory
 * for the entries.
 */
bool unit_map_cover(const void *heap, struct slab *header, struct slab *nobody);

#endif
