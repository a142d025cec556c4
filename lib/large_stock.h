/*
 * The stock of free LARGE extents: how much of it stays mapped and for how long, and the way back
 * to the system. The rules are in large.h.
 *
 * Lock: LOCK_RANK_LARGE. Each function says whether the caller holds it or must not: no system call
 * is made under it. An extent that goes leaves the list first (LEAVING, and then this thread's own)
 * and is published again or ended afterwards.
 */
#ifndef ACRE_LIB_LARGE_STOCK_H
#define ACRE_LIB_LARGE_STOCK_H

#include "base.h"
#include "extents.h"

enum { LARGE_BATCH = 16 }; /* extents that are taken out of the stock at a time */

/* Extents on their way out of the stock, LEAVING and this thread's own. */
struct large_batch {
    struct extent *extents[LARGE_BATCH];
    size_t count; /* 0 .. LARGE_BATCH */
};

/* Keeps the peaks of what is LIVE up to date: to be called before anything ceases to be. Needs the
 * lock. */
void large_stock_note_peak(uint64_t now);

/* True if the stock has more dirty bytes than it may. Needs the lock. */
bool large_stock_has_surplus(void);

/*
 * Takes a block out of use, into the stock. Where that keeps nothing, it goes into the batch to be
 * unmapped, together with the extents without contents that it touches, so that a hole that the
 * system refused to make gets another chance. Needs the lock.
 */
void large_stock_put(struct extent *block, uint64_t now, struct large_batch *batch);

/*
 * After large_stock_put and large_stock_has_surplus: gives the batch back, brings the stock within
 * its limit if it had a surplus, and gives back a batch of what is due. Must not hold the lock.
 */
void large_stock_settle(const struct large_batch *batch, bool surplus, uint64_t now);

/*
 * Unmaps a LEAVING extent. Where the system refuses that (each hole costs a mapping) the contents
 * go back and the extent into the stock, whatever that has in it. Returns the bytes that went back
 * to the system. Must not hold the lock.
 */
size_t large_stock_give_back(struct extent *extent);

/* Gives back a batch of the extents that are due. Bytes returned to the system. Must not hold the
 * lock. */
size_t large_stock_purge_due(uint64_t now);

/* Gives back all of the stock, by address. Bytes returned to the system. Must not hold the lock. */
size_t large_stock_purge_all(void);

#endif
