/*
 * LARGE: the process-wide list of blocks that have pages of their own.
 *
 * The truth is a table of entries (base, size, state: see extents.h) in chunks of metadata that are
 * never given back. From it follow, and can be rebuilt at any time, the totals and an index ordered
 * by address over all LIVE blocks and STOCK extents, which finds a block, its neighbours and room
 * for a new one in O(log n), expected. Lock: LOCK_RANK_LARGE, taken inside; no system call under
 * it. If the lock comes back orphaned (see lock.h), all that is derived is rebuilt from the entries
 * first. Functions preserve errno.
 *
 * An entry's way, each step published by one store of its state (a child of fork sees a prefix):
 *
 *   UNUSED -> LEAVING -> LIVE                    a block was mapped
 *   STOCK -> LIVE                                it was taken from the stock
 *   LIVE -> STOCK                                freed, kept mapped
 *   LIVE or STOCK -> LEAVING -> UNUSED           unmapped: it leaves the index before the system
 *                                                call, since another thread may get the address
 *   LIVE -> LEAVING -> LIVE                      moved by mremap, likewise
 *
 * Splitting and joining are ordered so that a rebuild never finds two entries that overlap; at most
 * the one extent in transit is lost.
 *
 * Free extents that touch serve as one (extents.h). Where the stock has no room, only what is
 * missing is mapped, below the free extents at the list's lower edge, which is how the system lays
 * out mappings, too: so large buffers of changing sizes live in one contiguous area.
 *
 * The stock decays, and it is bounded. The bound is for the extents that may have contents (dirty
 * bytes):
 *
 *   OPTION_LARGE_STOCK + max(again, min(2 x live, 5/4 x peak - live))
 *
 * (min: 0 where live is above 5/4 of the peak) where live is the bytes that are LIVE and peak the
 * most that were in the last one to two periods of OPTION_DECAY, as seen at each free. What was in
 * use a moment ago may be needed again, but no more than that and a quarter for fragmentation, and
 * a program that holds little keeps little; OPTION_LARGE_STOCK is the part that does not depend on
 * that. Beyond the bound the extents that have been free for longest lose their contents, or, while
 * the stock's address space is more than twice the bound, are unmapped. `again` is the most bytes
 * with contents, of those that went so in these periods, that one later block lacked: with it a
 * loop over one large block does not pay for page faults each time. What has been free for
 * OPTION_DECAY is unmapped. An OPTION_LARGE_STOCK of 0 keeps nothing.
 *
 * Blocks of LARGE_HUGE_FROM bytes (4 MiB) or more ask for transparent huge pages, by default: a
 * page fault then serves 2 MiB. Smaller ones ask not to have any, so that a byte touched in each of
 * many does not cost 2 MiB.
 *
 * What an alignment leaves over stays in the stock, untouched: less than the alignment for each
 * block, of 16 MiB at most. It serves other requests, decays like all else, and keeps neighbours
 * one mapping. What the system refuses to unmap (vm.max_map_count), and what lies between two
 * entries where the list has LARGE_PIECES_MOST pieces, is purged instead and stays beyond the
 * bound. A block that grows by mremap gets a quarter of its size as an untouched extent at its end,
 * so that the next steps cost no system call; such a reserve decays like all else.
 */
#ifndef ACRE_LIB_LARGE_H
#define ACRE_LIB_LARGE_H

#include "base/base.h"

/* What the list knows about an address. */
enum large_place {
    LARGE_UNKNOWN,  /* in no LARGE block and no extent */
    LARGE_START,    /* the start of a LIVE block */
    LARGE_INSIDE,   /* inside a LIVE block */
    LARGE_FREED,    /* the start of a block that was freed (or moved) and is not live now, and is
                       among about the last LARGE_REMEMBERED different ones */
    LARGE_IN_STOCK, /* inside a free extent, no start known */
};

enum { LARGE_REMEMBERED = 1024 };

struct large_info {
    enum large_place place;
    void *base;  /* of the block, if START, INSIDE or FREED */
    size_t size; /* its bytes, likewise */
};

struct large_totals {
    size_t live_bytes, live_blocks;    /* what the program holds */
    size_t stock_bytes, stock_extents; /* free, and mapped */
    size_t stock_dirty;                /* bytes of the stock that may have contents */
};

/*
 * A block of at least `size` bytes (rounded up to pages; size is not 0 and at most PTRDIFF_MAX) at
 * a multiple of `alignment`, a power of two. From the stock, by address the tightest of the first
 * few places that fit, else by mmap. *zero tells whether its contents are known to be zero; zero
 * may be NULL. NULL if there is no memory: the caller gives back what is idle, if that could help
 * (alloc.c). Preserves errno.
 */
void *large_alloc(size_t size, size_t alignment, bool *zero);

/* Frees the block that starts at p. 0, or EINVAL, with nothing done, if none that is LIVE does. */
int large_free(void *p);

/* Usable bytes of the LIVE block that starts at p, 0 if there is none. */
size_t large_usable_size(const void *p);

/*
 * Changes the size of the LIVE block at p to at least `size` bytes: in place by giving back its
 * tail, or by taking in what is free after it; else by mremap. Contents up to the smaller size
 * stay. Returns the block's address, or NULL with nothing changed if it cannot be done without
 * copying (or there is no memory).
 */
void *large_resize(void *p, size_t size);

/* What the list knows about p, for misuse reports. */
void large_find(const void *p, struct large_info *info);

/* Gives back extents that have been in the stock for longer than OPTION_DECAY; all of them if
 * `all`. Bytes returned to the system. Cheap if there is nothing due; called from slow paths. */
size_t large_purge(bool all);

/* Gives back all extents that have been in the stock for longer than OPTION_DECAY at `now`
 * (os_now_ms). Cheap if there is nothing due. */
void large_tick(uint64_t now);

/* True if some of the stock waits to be given back: a later large_tick will find something. */
bool large_is_aging(void);

/* Fills in the totals. */
void large_totals(struct large_totals *totals);

/* Checks the index against the entries, as extents_is_valid does. */
bool large_is_valid(void);

#endif
