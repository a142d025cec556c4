/*
 * The unit map: the slab of each unit of one region of the address space, the one that begins at
 * the process's first heap and in which heaps are put side by side. It is where free looks first: a
 * subtraction, a shift, a compare and a load lead from any address at all to a slab's descriptor.
 * A heap that had to be put elsewhere has a table of its own in its header, and the heap map
 * (heap_map.h) leads to it; the map ends in front of such a heap, so that no entry says nobody's of
 * a unit that is in a slab.
 *
 * The map is a reserved range between two pages without access, of which one entry for each unit is
 * opened and filled in as heaps are made. A unit that is in no slab has the entry that the caller
 * of unit_map_cover names, never NULL.
 *
 * Lock: LOCK_RANK_UNITS for opening and for giving up. What lies below `covered` stays for the life
 * of the process; entries are written under the heap lock, or by the owner for its own slabs. The
 * truth is `covered`: what a lost holder of the lock had opened or filled in above it is opened and
 * filled in again.
 */
#ifndef ACRE_LIB_UNIT_MAP_H
#define ACRE_LIB_UNIT_MAP_H

#include "base/base.h"

enum {
    UNIT_SHIFT = 16,
    UNIT_SIZE = 1 << UNIT_SHIFT, /* bytes */
};

struct slab;

struct unit_map {
    /* All three: units lock; read by any thread. Whoever got a block of a heap knows of its entry
     * from before it was handed out; for other addresses `covered` is read before the entry. */
    uintptr_t base;      /* address of unit 0; until there is one, far from all addresses */
    size_t covered;      /* units; entries 0 .. covered-1 can be read. Written last, release */
    struct slab **slabs; /* the entries */
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

/*
 * Makes the map cover a heap at `heap`, a multiple of HEAP_SIZE; new entries are `nobody`, which
 * lives for ever. Returns the entry of the heap's first unit; NULL where the map does not reach or
 * there is no memory for it. May be called under a heap lock.
 */
struct slab **unit_map_cover(const void *heap, struct slab *nobody);

/* Bytes of address space that unit_map_trim would unmap. */
size_t unit_map_unused(void);

/* Under memory pressure: gives up the address space of entries that no heap has yet; heaps made
 * later may not be covered. Returns bytes unmapped. */
size_t unit_map_trim(void);

#endif
