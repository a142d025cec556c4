/*
 * The LARGE list: the table of blocks and free extents (extents.h), the lock that guards all of
 * LARGE, and the stock, which is the list's free extents: how much of them stays mapped, for how
 * long, and the way back to the system. What is done with blocks is in large.h.
 *
 * What has been free for OPTION_DECAY is unmapped. The bound for the stock's dirty bytes, those of
 * extents that may have contents, is OPTION_LARGE_STOCK and what base/recent.h allows beside it,
 * with a share of twice what is LIVE: so what is freed and taken over and over is there when it is
 * needed again. Above the bound the extents that have been free for longest lose their contents,
 * and stay mapped: a hole would make the next block a new mapping beside it. They lose whole huge
 * pages, as long as any is free: of a part the system takes nothing back before memory is short,
 * and it fills the part in by small pages later. With an OPTION_LARGE_STOCK of 0 the bound is 0,
 * and all that becomes free is due at once.
 *
 * An extent that the system refuses to unmap (vm.max_map_count), or that would be one more hole in
 * a list of more than LARGE_PIECES_MOST pieces, loses its contents and stays, EXTENT_KEPT, until a
 * neighbour or the whole stock goes.
 */
#ifndef ACRE_LIB_LARGE_LIST_H
#define ACRE_LIB_LARGE_LIST_H

#include "base/base.h"
#include "base/lock.h"
#include "large/extents.h"

enum {
    /* bytes; blocks from here on ask for huge pages: at least one lies in each, and a page fault
     * serves 2 MiB */
    LARGE_HUGE_FROM = 4 << 20,
    /* bytes; larger blocks that are to be zero do not */
    LARGE_HUGE_ZEROED = 32 << 20,
    LARGE_HUGE_PAGE = EXTENT_HUGE_PAGE, /* bytes */
    /* each hole costs a mapping, of which a process has 65530, and which fork copies */
    LARGE_PIECES_MOST = 1024,
    /* extents: a bound on what one call of malloc or free pays, unless it ticks */
    LARGE_PURGED_AT_ONCE = 16,
};

/* The stamp of an extent that is due at once. */
#define LARGE_DUE UINT64_C(0)

extern struct large_list {
    CACHE_ALIGNED struct lock lock; /* LOCK_RANK_LARGE */
    struct extents table;           /* [lock] */
    uint64_t oldest; /* [lock, any reads] ms, the earliest stamp in the stock at the last
                        release */
    size_t peak;     /* [lock, any reads] the most bytes that were LIVE */
} large_list;

/* Takes the lock, with at least `spare` unused entries in the table: false if there is no memory
 * for them. Rebuilds the table if the lock's holder was lost in a fork. */
bool large_list_acquire(size_t spare);

void large_list_release(void);

/* Makes a block of `size` bytes at `start`, where the stock has room; NULL if the limit has none
 * (limit.h). Needs the lock and spare entries as extents_isolate does. */
struct extent *large_list_carve(uintptr_t start, size_t size);

/* Puts what a block has after its first `kept` bytes into the stock: all of it if `kept` is 0, else
 * that needs a spare entry. True if the stock is above its bound: to be told to large_list_settle.
 * Needs the lock. */
bool large_list_put(struct extent *block, size_t kept, uint64_t now);

/* Gives back some of what is due, and with `surplus` what is above the bound. Must not hold the
 * lock. */
void large_list_settle(bool surplus, uint64_t now);

/* True if some of the stock waits to be given back: it will be due. No lock. */
static inline bool large_list_is_aging(void)
{
    return __atomic_load_n(&large_list.oldest, __ATOMIC_RELAXED) != EXTENT_KEPT;
}

/* Gives back extents that have been free for OPTION_DECAY at `now` (os_now_ms), `most` at most.
 * Cheap if there is none. Must not hold the lock. */
void large_list_purge_due(uint64_t now, size_t most);

/* Gives back all of the stock, by address. Bytes returned to the system. Must not hold the lock. */
size_t large_list_purge_all(void);

#endif
