/*
 * The stock of free LARGE extents: how much of it stays mapped and for how long, and the way back
 * to the system. The rules are in large.h.
 *
 * Lock: LOCK_RANK_LARGE. Each function says whether the caller holds it or must not: no system call
 * is made under it. An extent that goes leaves the list first (LEAVING, and then this thread's own)
 * and is published again or ended afterwards. A thread has one such extent at a time, so that no
 * more is lost if the thread is, in a fork.
 */
#ifndef ACRE_LIB_LARGE_STOCK_H
#define ACRE_LIB_LARGE_STOCK_H

#include "base/base.h"
#include "large/extents.h"

enum {
    /* bytes; blocks from here on ask for huge pages, of which one at least lies in them */
    LARGE_HUGE_FROM = 4 << 20,
    /* bytes; where the system's are of another size, nothing more is lost than their use */
    LARGE_HUGE_PAGE = 2 << 20,
    /* while the list has at most this many pieces, extents between blocks are unmapped; each hole
     * costs a mapping, of which a process has 65530, and which fork copies */
    LARGE_PIECES_MOST = 1024,
};

/* Keeps the peaks of what is LIVE up to date: to be called before anything ceases to be. Needs the
 * lock. */
void large_stock_note_peak(uint64_t now);

/* Notes that a new block has this many bytes without memory, for `again` in the bound (large.h).
 * Needs the lock. */
void large_stock_note_lack(size_t bytes);

/* True if the stock has more dirty bytes than it may. Needs the lock. */
bool large_stock_has_surplus(void);

/*
 * Takes a block out of use, into the stock; NULL. Where that keeps nothing, it returns the extent
 * that is to be unmapped, LEAVING: the block together with the extents without contents that it
 * touches, so that a hole that the system refused to make gets another chance. Needs the lock.
 */
struct extent *large_stock_put(struct extent *block, uint64_t now);

/*
 * After large_stock_put and large_stock_has_surplus: gives `leaving` back (NULL: nothing), brings
 * the stock within its bound if it had a surplus, and gives back some of what is due. Must not hold
 * the lock.
 */
void large_stock_settle(struct extent *leaving, bool surplus, uint64_t now);

/*
 * Unmaps a LEAVING extent. Where the system refuses that, or the list has more than
 * LARGE_PIECES_MOST pieces and this would make one more, the contents go back and the extent into
 * the stock, whatever that has in it. Returns the bytes that went back to the system. Must not hold
 * the lock.
 */
size_t large_stock_give_back(struct extent *extent);

/* True if an extent is due at `now`: cheap, without the lock. */
bool large_stock_is_due(uint64_t now);

/* Gives back extents that are due, LARGE_PURGED_AT_ONCE at most. Bytes returned to the system. Must
 * not hold the lock. */
size_t large_stock_purge_due(uint64_t now);

/* Extents: a bound on what one call of malloc or free pays, unless it is the one that ticks. */
enum { LARGE_PURGED_AT_ONCE = 16 };

/* Gives back all of the stock, by address. Bytes returned to the system. Must not hold the lock. */
size_t large_stock_purge_all(void);

#endif
