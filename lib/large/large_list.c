/* The LARGE list and its stock: see large_list.h. Owns the list and what was recent. */
#include "large/large_list.h"

#include "base/limit.h"
#include "base/meta.h"
#include "base/option.h"
#include "base/os.h"
#include "base/recent.h"

enum { LIVE_TIMES = 2 }; /* the stock may have twice what is live */

struct large_list large_list = {.lock = {.rank = LOCK_RANK_LARGE}, .oldest = EXTENT_KEPT};

static struct recent recent; /* [lock] of what is LIVE, and of dirty bytes */

/* ---- The list ---- */

static void acquire(void)
{
    if (UNLIKELY(lock_acquire(&large_list.lock)))
        extents_rebuild(&large_list.table);
}

bool large_list_acquire(size_t spare)
{
    acquire();
    while (large_list.table.spare < spare) {
        large_list_release();
        struct extent_chunk *chunk = meta_alloc(sizeof(*chunk));
        acquire();
        if (chunk == NULL)
            return false;
        extents_add_chunk(&large_list.table, chunk);
    }
    return true;
}

void large_list_release(void)
{
    uint64_t stamp = extents_sum(&large_list.table)->oldest;
    if (stamp != __atomic_load_n(&large_list.oldest, __ATOMIC_RELAXED))
        __atomic_store_n(&large_list.oldest, stamp, __ATOMIC_RELAXED);
    if (extents_sum(&large_list.table)->live > large_list.peak)
        __atomic_store_n(&large_list.peak, extents_sum(&large_list.table)->live, __ATOMIC_RELAXED);
    lock_release(&large_list.lock);
}

/* ---- The bound ---- */

/* Dirty bytes. Needs the lock. */
static size_t bound(void)
{
    size_t limit = option_value(OPTION_LARGE_STOCK);
    size_t live = extents_sum(&large_list.table)->live;
    return limit != 0 ? limit + recent_bound(&recent, live, LIVE_TIMES * live) : 0;
}

/* Dirty bytes above the bound. Needs the lock. */
static size_t surplus_bytes(void)
{
    size_t dirty = extents_sum(&large_list.table)->dirty;
    size_t most = bound();
    return dirty > most ? dirty - most : 0;
}

/* ---- From the stock and into it ---- */

struct extent *large_list_carve(uintptr_t start, size_t size)
{
    size_t dirty = extents_sum(&large_list.table)->dirty;
    struct extent *block = extents_isolate(&large_list.table, start, size);
    /* parts that are zero count as dirty where they are one extent with others */
    size_t joined = extents_sum(&large_list.table)->dirty - dirty;
    size_t grown = joined + (block->zero ? size : 0);
    if (!limit_take(grown)) {
        limit_count(joined);
        return NULL;
    }
    extents_set_live(&large_list.table, block);
    recent_count_grown(&recent, grown);
    return block;
}

bool large_list_put(struct extent *block, size_t kept, uint64_t now)
{
    uint64_t stamp = option_value(OPTION_LARGE_STOCK) != 0 ? now : LARGE_DUE;
    recent_before_free(&recent, extents_sum(&large_list.table)->live, now,
                       option_value(OPTION_DECAY));
    if (kept == 0)
        extents_set_stock(&large_list.table, block, stamp, false);
    else
        extents_cut(&large_list.table, block, kept, stamp, false);
    return surplus_bytes() != 0;
}

/* ---- Back to the system ---- */

/* The extent that contains an address, if it may go with its neighbour: it is STOCK, and has been
 * free since `by` (ms) or earlier, or was refused and is tried again. Else NULL. Needs the lock. */
static const struct extent *joining(uintptr_t address, uint64_t by)
{
    const struct extent *extent = extents_at(&large_list.table, address);
    bool joins = extent != NULL && extent->state == EXTENT_STOCK &&
                 (extent->stamp <= by || extent->stamp == EXTENT_KEPT);
    return joins ? extent : NULL;
}

/* Joins a STOCK extent with those that may go with it. Needs the lock. */
static struct extent *join_neighbours(struct extent *extent, uint64_t by)
{
    uintptr_t start = extent->base, end = extent_end(extent);
    const struct extent *other;

    while ((other = joining(end, by)) != NULL)
        end = extent_end(other);
    while ((other = joining(start - 1, by)) != NULL)
        start = other->base;
    return extents_isolate(&large_list.table, start, end - start);
}

/* True if unmapping a PRIVATE extent leaves no hole, or there may be one more. */
static bool may_unmap(const struct extent *extent)
{
    large_list_acquire(0);
    bool may = extents_sum(&large_list.table)->pieces <= LARGE_PIECES_MOST ||
               extents_at(&large_list.table, extent->base - 1) == NULL ||
               extents_at(&large_list.table, extent_end(extent)) == NULL;
    large_list_release();
    return may;
}

/* True if a PRIVATE extent had contents, and they are given back. */
static bool purge(struct extent *extent)
{
    bool purged = !extent->zero && os_purge((void *)extent->base, extent->size);
    extent_set_zero(extent, extent->zero || purged);
    return purged;
}

/*
 * Unmaps a PRIVATE extent. Where that cannot be, it loses its contents and is kept. Returns the
 * bytes that went back.
 */
static size_t give_back(struct extent *extent)
{
    size_t size = extent->size;
    bool unmapped = may_unmap(extent) && os_unmap((void *)extent->base, size);
    bool purged = !unmapped && purge(extent);

    extent_set_stamp(extent, EXTENT_KEPT);
    large_list_acquire(0);
    if (unmapped) {
        extents_recycle(&large_list.table, extent);
    } else {
        size_t dirty = extents_sum(&large_list.table)->dirty;
        extents_publish(&large_list.table, extent, EXTENT_STOCK);
        join_neighbours(extent, LARGE_DUE);
        /* what was not in the list a count may have missed */
        limit_count(extents_sum(&large_list.table)->dirty - dirty);
    }
    large_list_release();
    return unmapped || purged ? size : 0;
}

/* Makes the oldest extent PRIVATE, with those that may go with it, if it has been free since `by`
 * (ms) or earlier; else NULL. */
static struct extent *take_due(uint64_t by)
{
    large_list_acquire(0);
    struct extent *extent = extents_oldest(&large_list.table);
    if (extent != NULL && extent->stamp <= by) {
        extent = join_neighbours(extent, by);
        extents_withdraw(&large_list.table, extent);
    } else {
        extent = NULL;
    }
    large_list_release();
    return extent;
}

void large_list_purge_due(uint64_t now, size_t most)
{
    uint64_t decay = option_value(OPTION_DECAY);
    uint64_t by = now > decay ? now - decay : LARGE_DUE;

    while (most-- != 0 && __atomic_load_n(&large_list.oldest, __ATOMIC_RELAXED) <= by) {
        struct extent *extent = take_due(by);
        if (extent != NULL)
            give_back(extent);
    }
}

size_t large_list_purge_all(void)
{
    size_t bytes = 0;
    struct extent_run run = {0};
    struct extent *extent;

    do {
        extent = NULL;
        large_list_acquire(0);
        /* what is refused comes back below it */
        if (extents_run_from(&large_list.table, run.base + run.size, 1, &run)) {
            extent = extents_isolate(&large_list.table, run.base, run.size);
            extents_withdraw(&large_list.table, extent);
        }
        large_list_release();
        if (extent != NULL)
            bytes += give_back(extent);
    } while (extent != NULL);
    return bytes;
}

/* The STOCK extent that contains an address and may have contents, or NULL. Needs the lock. */
static const struct extent *dirty_at(uintptr_t address)
{
    const struct extent *extent = extents_at(&large_list.table, address);
    return extent != NULL && extent->state == EXTENT_STOCK && !extent->zero ? extent : NULL;
}

/* Where the dirty STOCK extents that touch an address end, going down or up, but no further than
 * the next huge page. Needs the lock. */
static uintptr_t dirty_from(uintptr_t address)
{
    uintptr_t least = align_down(address, LARGE_HUGE_PAGE);
    const struct extent *extent;
    while (address > least && (extent = dirty_at(address - 1)) != NULL)
        address = max_size(least, extent->base);
    return address;
}

static uintptr_t dirty_to(uintptr_t address)
{
    uintptr_t most = align_up(address, LARGE_HUGE_PAGE);
    const struct extent *extent;
    while (address < most && (extent = dirty_at(address)) != NULL)
        address = min_size(most, extent_end(extent));
    return address;
}

/*
 * Makes PRIVATE what is to lose its contents, since the stock is above its bound: the last huge
 * pages that lie in the oldest dirty extent and in what touches it, or pages of that extent if
 * there are none. NULL if nothing is. Needs the lock.
 */
static struct extent *take_surplus(void)
{
    size_t surplus = surplus_bytes();
    struct extent *extent = surplus != 0 ? extents_oldest_dirty(&large_list.table) : NULL;
    if (extent == NULL)
        return NULL;
    size_t grain = LARGE_HUGE_PAGE;
    uintptr_t from = align_up(dirty_from(extent->base), grain);
    uintptr_t to = align_down(dirty_to(extent_end(extent)), grain);
    bool whole = large_list.table.spare < 2; /* none to cut it with */
    if (from >= to || whole) {
        grain = os_page_size();
        from = extent->base;
        to = extent_end(extent);
    }
    if (to - from > surplus && !whole)
        from = to - min_size(align_up(surplus, grain), to - from);
    extent = extents_isolate(&large_list.table, from, to - from);
    recent_count_gone(&recent, extent->size);
    extents_withdraw(&large_list.table, extent);
    return extent;
}

/* Purges a PRIVATE extent, and puts it back into the stock. Locked memory, which the system does
 * not purge, is unmapped. */
static void purge_surplus(struct extent *extent, uint64_t now)
{
    if (!purge(extent)) {
        give_back(extent);
        return;
    }
    extent_set_stamp(extent, now);
    large_list_acquire(0);
    extents_publish(&large_list.table, extent, EXTENT_STOCK);
    large_list_release();
}

void large_list_settle(bool surplus, uint64_t now)
{
    large_list_purge_due(now, LARGE_PURGED_AT_ONCE);
    while (surplus) {
        large_list_acquire(2); /* without entries a whole extent goes */
        struct extent *extent = take_surplus();
        large_list_release();
        surplus = extent != NULL;
        if (surplus)
            purge_surplus(extent, now);
    }
}
