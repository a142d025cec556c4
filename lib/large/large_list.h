/*
 * The LARGE list: the table of blocks and free extents (extents.h) and the lock that guards all of
 * LARGE; and the stock, which is its free extents: how much of them stays mapped, for how long, and
 * the way back to the system. For LARGE only; callers see large.h.
 *
 * No system call is made under the lock. An extent that goes back is PRIVATE meanwhile, so that no
 * other thread uses it, and afterwards UNUSED or STOCK again. A thread has one such extent at a
 * time, so that a child of fork without that thread loses no more than one.
 *
 * The stock decays: what has been free for OPTION_DECAY is unmapped. And it is bounded: the bound
 * for its dirty bytes, those of extents that may have contents, is
 *
 *   OPTION_LARGE_STOCK + max(again, min(2 x live, 5/4 x peak - live))
 *
 * live   bytes that are LIVE now
 * peak   the most bytes that were LIVE in the last one to two periods of OPTION_DECAY, as seen at
 *        each free; min is 0 where live is above 5/4 of it
 * again  of the contents that went beyond the bound in these periods, the most bytes that one later
 *        block lacked
 *
 * What was in use a moment ago may be needed again, but no more than that and a quarter for
 * fragmentation; a program that holds little keeps little; a loop over one large block does not pay
 * for page faults each time. Beyond the bound the extents that have been free for longest lose
 * their contents, or, while the stock's address space is more than twice the bound, are unmapped.
 * With an OPTION_LARGE_STOCK of 0 the bound is 0, and all that becomes free is due at once.
 *
 * An extent that the system refuses to unmap (vm.max_map_count), or that lies between two entries
 * of a list with more than LARGE_PIECES_MOST pieces, loses its contents and stays, EXTENT_KEPT,
 * until a neighbour goes or all of the stock is to.
 */
#ifndef ACRE_LIB_LARGE_LIST_H
#define ACRE_LIB_LARGE_LIST_H

#include "base/base.h"
#include "base/lock.h"
#include "large/extents.h"

enum {
    /* bytes; blocks from here on ask for huge pages, of which one at least lies in them */
    LARGE_HUGE_FROM = 4 << 20,
    /* bytes; where the system's are of another size, nothing more is lost than their use */
    LARGE_HUGE_PAGE = 2 << 20,
    /* each hole costs a mapping, of which a process has 65530, and which fork copies */
    LARGE_PIECES_MOST = 1024,
    /* extents: a bound on what one call of malloc or free pays, unless it is the one that ticks */
    LARGE_PURGED_AT_ONCE = 16,
};

/* The stamp of an extent that is due at once. */
#define LARGE_DUE UINT64_C(0)

extern struct large_list {
    struct lock lock;     /* LOCK_RANK_LARGE */
    struct extents table; /* [lock] */
    uint64_t oldest;      /* [lock, any reads] stamp, ms, of the extent that is due first, as of the
                             last release; EXTENT_KEPT if none will be */
} large_list;

/* Takes the lock, with at least `spare` unused entries in the table: false if there is no memory
 * for them. Rebuilds the table if the lock's holder was lost in a fork. */
bool large_list_acquire(size_t spare);

void large_list_release(void);

/* Makes a block of `size` bytes at `start`, where the stock has room. Needs the lock and spare
 * entries as extents_isolate does. */
struct extent *large_list_carve(uintptr_t start, size_t size);

/* Takes what a block has after its first `kept` bytes out of use, into the stock; with `kept` 0 all
 * of it, else that needs a spare entry. True if the stock has more than it may: the caller then
 * tells large_list_settle. Needs the lock. */
bool large_list_put(struct extent *block, size_t kept, uint64_t now);

/* Brings the stock within its bound, if it has a `surplus`, and gives back some of what is due.
 * Must not hold the lock. */
void large_list_settle(bool surplus, uint64_t now);

/* Gives back extents that are due at `now`, `most` at most. Cheap if there is none. Must not hold
 * the lock. */
void large_list_purge_due(uint64_t now, size_t most);

/* Gives back all of the stock, by address. Bytes returned to the system. Must not hold the lock. */
size_t large_list_purge_all(void);

#endif
