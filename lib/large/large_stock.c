/*
 * The stock of free LARGE extents: see large_stock.h. Owns the peaks from which the bound on the
 * stock follows (large.h).
 */
#include "large/large_stock.h"

#include "large/large_list.h"
#include "base/option.h"
#include "base/os.h"

enum {
    LIVE_TIMES = 2,    /* the stock may have 2 times as much as is live beyond its option, ... */
    PEAK_SHARE = 4,    /* ... but all together 1/4 more than the recent peak of what was live */
    ADDRESS_TIMES = 2, /* the stock may have 2 times its bound in address space */
};

/* LARGE lock. Bytes of a period of OPTION_DECAY. */
struct period {
    size_t live;    /* the most that were LIVE, as seen whenever something is freed */
    size_t surplus; /* with contents, that went because they were beyond the bound */
    size_t again;   /* the most of `surplus` that one later block lacked */
};

/* LARGE lock. */
static struct {
    struct period now;    /* since `since` */
    struct period before; /* the one before that; all 0 if nothing was freed in it */
    uint64_t since;       /* ms */
} peaks;

/* ---- what the stock may have ---- */

void large_stock_note_peak(uint64_t now)
{
    uint64_t passed = now > peaks.since ? now - peaks.since : 0;
    if (passed >= option_value(OPTION_DECAY)) {
        bool follows = passed / 2 < option_value(OPTION_DECAY);
        peaks.before = follows ? peaks.now : (struct period){0};
        peaks.now = (struct period){0};
        peaks.since = now;
    }
    peaks.now.live = max_size(peaks.now.live, large_list.table.live_bytes);
}

void large_stock_note_lack(size_t bytes)
{
    peaks.now.again = max_size(peaks.now.again, min_size(bytes, peaks.now.surplus));
}

/* The most dirty bytes that the stock may have, as large.h explains. Needs the lock. */
static size_t stock_bound(void)
{
    size_t limit = option_value(OPTION_LARGE_STOCK);
    size_t live = large_list.table.live_bytes;
    size_t peak = max_size(peaks.now.live, peaks.before.live);
    if (limit == 0)
        return 0;
    peak += peak / PEAK_SHARE;
    size_t above_live = min_size(LIVE_TIMES * live, peak > live ? peak - live : 0);
    return limit + max_size(above_live, max_size(peaks.now.again, peaks.before.again));
}

bool large_stock_has_surplus(void)
{
    return UNLIKELY(large_list.table.dirty_bytes > stock_bound());
}

/* ---- into the stock ---- */

static bool is_due(uint64_t stamp, uint64_t now)
{
    return stamp != EXTENT_KEPT && now >= stamp && now - stamp >= option_value(OPTION_DECAY);
}

/* True if an extent may join one that leaves the stock: it is due by `now`, or was refused and gets
 * another chance; with `now` 0, if it is known to be zero. */
static bool may_join(const struct extent *extent, uint64_t now)
{
    if (extent == NULL)
        return false;
    return now == 0 ? extent->zero : extent->stamp == EXTENT_KEPT || is_due(extent->stamp, now);
}

/* Joins a STOCK extent with those beside it that may. Needs the lock. */
static struct extent *join_neighbours(struct extent *extent, uint64_t now)
{
    struct extent *next = extents_stock_behind(&large_list.table, extent);
    while (may_join(next, now)) {
        extents_join(&large_list.table, extent, next);
        next = extents_stock_behind(&large_list.table, extent);
    }
    next = extents_stock_before(&large_list.table, extent);
    while (may_join(next, now)) {
        extent = extents_join(&large_list.table, next, extent);
        next = extents_stock_before(&large_list.table, extent);
    }
    return extent;
}

struct extent *large_stock_put(struct extent *block, uint64_t now)
{
    extents_set_stock(&large_list.table, block, now, false);
    if (option_value(OPTION_LARGE_STOCK) != 0)
        return NULL;
    struct extent *extent = join_neighbours(block, 0);
    extents_withdraw(&large_list.table, extent);
    return extent;
}

/* ---- back to the system ---- */

/* True if a LEAVING extent may be unmapped. Must not hold the lock. */
static bool may_unmap(const struct extent *extent)
{
    large_list_acquire();
    bool may = extents_pieces(&large_list.table) <= LARGE_PIECES_MOST ||
               !extents_is_between(&large_list.table, extent);
    large_list_release();
    return may;
}

size_t large_stock_give_back(struct extent *extent)
{
    size_t size = extent->size;
    bool unmapped = may_unmap(extent) && os_unmap((void *)extent->base, size);
    bool purged = !unmapped && !extent->zero && os_purge((void *)extent->base, size);

    large_list_acquire();
    if (unmapped) {
        extents_recycle(&large_list.table, extent);
    } else {
        extent->zero = extent->zero || purged;
        extent->stamp = EXTENT_KEPT;
        extents_publish(&large_list.table, extent, EXTENT_STOCK);
        if (extent->zero)
            join_neighbours(extent, 0);
    }
    large_list_release();
    return unmapped || purged ? size : 0;
}

/* Takes the extent that has been free for longest out, with those beside it that may go, if it is
 * due; else NULL. */
static struct extent *take_due(uint64_t now)
{
    large_list_acquire();
    struct extent *extent = extents_oldest(&large_list.table);
    if (extent != NULL && is_due(extent->stamp, now)) {
        extent = join_neighbours(extent, now);
        extents_withdraw(&large_list.table, extent);
    } else {
        extent = NULL;
    }
    large_list_release();
    return extent;
}

bool large_stock_is_due(uint64_t now)
{
    return is_due(__atomic_load_n(&large_list.oldest, __ATOMIC_RELAXED), now);
}

size_t large_stock_purge_due(uint64_t now)
{
    size_t bytes = 0;

    if (LIKELY(!large_stock_is_due(now)))
        return 0;
    for (int purged = 0; purged < LARGE_PURGED_AT_ONCE; purged++) {
        struct extent *extent = take_due(now);
        if (extent == NULL)
            break;
        bytes += large_stock_give_back(extent);
    }
    return bytes;
}

/* Takes the lowest run that begins at or above `from` out, as one extent; NULL if there is none. */
static struct extent *take_run_from(uintptr_t from)
{
    struct extent_run run;
    struct extent *extent = NULL;

    large_list_acquire();
    if (extents_run_from(&large_list.table, from, 1, &run)) {
        extent = extents_gather(&large_list.table, &run);
        extents_withdraw(&large_list.table, extent);
    }
    large_list_release();
    return extent;
}

size_t large_stock_purge_all(void)
{
    size_t bytes = 0;
    uintptr_t from = 0; /* what is refused comes back below it */

    for (;;) {
        struct extent *extent = take_run_from(from);
        if (extent == NULL)
            return bytes;
        from = extent->base + extent->size;
        bytes += large_stock_give_back(extent);
    }
}

/* Where an extent of which `most` bytes may be kept is cut: between two huge pages, if it is so
 * large that it has any, as the system keeps the whole of one that loses a part. */
static size_t cut_at(const struct extent *extent, size_t most)
{
    size_t grain = extent->size >= LARGE_HUGE_FROM ? LARGE_HUGE_PAGE : os_page_size();
    uintptr_t cut = align_down(extent->base + most, grain);
    return cut > extent->base ? cut - extent->base : 0;
}

/* Takes the oldest extent out of a stock that is over its bound, or as much of it as is too much;
 * NULL if there is nothing to take. Needs the lock. */
static struct extent *take_surplus(void)
{
    struct extent *extent = extents_oldest(&large_list.table);
    if (extent == NULL || !large_stock_has_surplus())
        return NULL;
    size_t surplus = large_list.table.dirty_bytes - stock_bound();
    if (!extent->zero && extent->size > surplus && large_list.table.spare != 0) {
        size_t kept = cut_at(extent, extent->size - surplus);
        if (kept != 0)
            extent = extents_split(&large_list.table, extent, kept);
    }
    if (!extent->zero)
        peaks.now.surplus += extent->size;
    extents_withdraw(&large_list.table, extent);
    return extent;
}

/* Gives back the contents of a LEAVING extent, whose address stays in the stock. Where the system
 * refuses that, or it has none, it is unmapped. Must not hold the lock. */
static void purge(struct extent *extent, uint64_t now)
{
    if (extent->zero || !os_purge((void *)extent->base, extent->size)) {
        large_stock_give_back(extent);
        return;
    }
    large_list_acquire();
    extent->zero = true;
    extent->stamp = now;
    extents_publish(&large_list.table, extent, EXTENT_STOCK);
    large_list_release();
}

/* Brings the stock within its bound, oldest extents first: they lose their contents, or, if the
 * stock has too much address space as well, are unmapped. Must not hold the lock. */
static void purge_surplus(uint64_t now)
{
    struct extent *extent;

    do {
        if (!large_list_acquire_with(1))
            large_list_acquire(); /* without an entry for the rest, a whole extent goes */
        bool unmap = large_list.table.stock_bytes / ADDRESS_TIMES > stock_bound();
        extent = take_surplus();
        large_list_release();
        if (extent != NULL && unmap)
            large_stock_give_back(extent);
        else if (extent != NULL)
            purge(extent, now);
    } while (extent != NULL);
}

void large_stock_settle(struct extent *leaving, bool surplus, uint64_t now)
{
    if (leaving != NULL)
        large_stock_give_back(leaving);
    if (surplus)
        purge_surplus(now);
    large_stock_purge_due(now);
}
