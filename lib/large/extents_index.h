/*
 * The index over the LIVE and STOCK entries of a table of extents: what extents.c calls when
 * entries come, go and change. The searches in it are declared in extents.h, where the index is
 * described. Lock: the caller's.
 */
#ifndef ACRE_LIB_EXTENTS_INDEX_H
#define ACRE_LIB_EXTENTS_INDEX_H

#include "base/base.h"
#include "large/extents.h"

/* The address behind an entry's last byte. */
static inline uintptr_t extent_end(const struct extent *entry)
{
    return entry->base + entry->size;
}

/* The earlier of two stamps. */
static inline uint64_t extent_earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Puts an entry that is LIVE or STOCK into the index. */
void extents_index_insert(struct extents *table, struct extent *node);

/* Takes an entry out of the index; its state says already that it is no stock. */
void extents_index_remove(struct extents *table, struct extent *node);

/* Brings what is known of the subtrees up to date after an entry has changed, from it to the root,
 * as far as anything changes; NULL: nothing to do. The entry keeps its place among the others. */
void extents_index_update(struct extent *node);

/* Checks one node of the index: its links, its place in the heap order, what it knows. */
bool extents_index_is_valid_at(const struct extents *table, const struct extent *node);

#endif
