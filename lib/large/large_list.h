/*
 * The LARGE list itself: the table of blocks and free extents with its index (extents.h), the lock
 * that guards it and all else of LARGE, and when something in it falls due. For the modules of
 * LARGE only; what they make of it is in large.h.
 */
#ifndef ACRE_LIB_LARGE_LIST_H
#define ACRE_LIB_LARGE_LIST_H

#include "base/base.h"
#include "large/extents.h"
#include "base/lock.h"

extern struct large_list {
    struct lock lock;     /* LOCK_RANK_LARGE */
    struct extents table; /* lock */
    uint64_t oldest;      /* stamp, ms: of the extent in the stock that falls due first, EXTENT_KEPT
                             if none does. Written at each release of the lock; read by any thread,
                             relaxed: who sees it late purges late */
    size_t peak;          /* [lock, any reads] the most bytes that were LIVE */
} large_list;

/* Takes the lock, and rebuilds the index if its holder was lost in a fork. */
void large_list_acquire(void);

/* Takes the lock with at least `spare` unused entries there. False, without the lock, if there is
 * no memory for them. */
bool large_list_acquire_with(size_t spare);

void large_list_release(void);

#endif
