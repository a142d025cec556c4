/*
 * The LARGE list: which blocks to serve from the stock, which free extents to keep, and the system
 * calls. Purpose and rules: large.h; the table, its index and the order of the stores: extents.h.
 *
 * A system call never happens under the lock: the entry of the range concerned is taken out of the
 * index first (LEAVING, and then this thread's own) and published or ended afterwards. Owns the
 * list's lock, the table and the memory of freed blocks.
 */
#include "large.h"

#include "extents.h"
#include "lock.h"
#include "meta.h"
#include "option.h"
#include "os.h"

#include <assert.h>
#include <errno.h>

enum {
    SPARE_ENTRIES = 2,     /* unused entries that any one operation needs at most */
    PURGE_BATCH = 16,      /* extents that are taken out of the stock at a time */
    LIVE_TIMES = 2,        /* the stock may have 2 times as much as is live beyond its limit, ... */
    PEAK_SHARE = 4,        /* ... but all together 1/4 more than the recent peak of what was live */
    ADDRESS_TIMES = 2,     /* the stock may have 2 times its limit in address space */
    HEADROOM_SHARE = 4,    /* a block that mremap grows gets 1/4 of its size in reserve behind it */
    REMEMBERED_WAYS = 8,   /* freed blocks remembered for each hash of a start */
    REMEMBERED_SHIFT = 57, /* leaves as many bits of a 64-bit hash as there are sets */
    REMEMBERED_SETS = 1 << (64 - REMEMBERED_SHIFT),
};

static_assert(REMEMBERED_SETS * REMEMBERED_WAYS == LARGE_REMEMBERED, "as large.h says");

/* The blocks freed last whose starts have the same hash. Only reports depend on it: after a fork in
 * the middle of a change it may lack one. */
struct freed_blocks {
    uintptr_t base[REMEMBERED_WAYS]; /* starts of freed blocks, 0 if none */
    size_t size[REMEMBERED_WAYS];    /* bytes */
    unsigned next;                   /* which one is replaced next */
};

static struct {
    struct lock lock;
    struct extents table;                       /* lock */
    struct freed_blocks freed[REMEMBERED_SETS]; /* lock */
    size_t peak, last_peak; /* lock; bytes: the most that was LIVE since `peak_since` (seen when
                               something is freed), and in the period before */
    uint64_t peak_since;    /* lock; ms */
    uintptr_t blocked;      /* lock; address below which the list could not be extended */
    uint64_t oldest; /* stamp, ms: of the extent in the stock that falls due first; written under
                        the lock, read by any thread: relaxed */
} large = {.lock = {.rank = LOCK_RANK_LARGE}, .oldest = EXTENT_KEPT};

/* ---- The lock ---- */

static void list_acquire(void)
{
    if (UNLIKELY(lock_acquire(&large.lock)))
        extents_rebuild(&large.table);
}

static void list_release(void)
{
    uint64_t stamp = extents_oldest_stamp(&large.table);
    if (stamp != __atomic_load_n(&large.oldest, __ATOMIC_RELAXED))
        __atomic_store_n(&large.oldest, stamp, __ATOMIC_RELAXED);
    lock_release(&large.lock);
}

/* Takes the lock with at least `spare` unused entries there. False, without the lock, if there is
 * no memory for them. */
static bool list_acquire_with(size_t spare)
{
    list_acquire();
    while (large.table.spare < spare) {
        list_release();
        struct extent_chunk *chunk = meta_alloc(sizeof(*chunk), CACHE_LINE);
        if (chunk == NULL)
            return false;
        list_acquire();
        extents_add_chunk(&large.table, chunk);
    }
    return true;
}

/* The LIVE block that starts at p, or NULL. Needs the lock. */
static struct extent *block_at(const void *p)
{
    struct extent *entry = extents_at(&large.table, (uintptr_t)p);
    bool found = entry != NULL && entry->state == EXTENT_LIVE && entry->base == (uintptr_t)p;
    return found ? entry : NULL;
}

/* ---- What is known of freed blocks ---- */

static struct freed_blocks *freed_set(uintptr_t base)
{
    /* Fibonacci hashing (Knuth, volume 3, 6.4): 2^64 over the golden ratio */
    return &large.freed[(uint64_t)base * UINT64_C(0x9e3779b97f4a7c15) >> REMEMBERED_SHIFT];
}

/* The place of a freed block in its set; REMEMBERED_WAYS if it is not remembered. */
static unsigned freed_find(const struct freed_blocks *set, uintptr_t base)
{
    unsigned way = 0;
    while (way < REMEMBERED_WAYS && set->base[way] != base)
        way++;
    return way;
}

/* Remembers a block that is being freed. Needs the lock. */
static void freed_remember(uintptr_t base, size_t size)
{
    struct freed_blocks *set = freed_set(base);
    unsigned way = freed_find(set, base);
    if (way == REMEMBERED_WAYS) {
        way = set->next;
        set->next = (way + 1) % REMEMBERED_WAYS;
    }
    set->base[way] = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    set->size[way] = size;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    set->base[way] = base;
}

/* ---- Into the stock, and back to the system ---- */

/* Extents on their way out of the stock, LEAVING and this thread's own. */
struct batch {
    struct extent *extents[PURGE_BATCH];
    size_t count;
};

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
    struct extent *next = extents_stock_behind(&large.table, extent);
    while (may_join(next, now)) {
        extents_join(&large.table, extent, next);
        next = extents_stock_behind(&large.table, extent);
    }
    next = extents_stock_before(&large.table, extent);
    while (may_join(next, now)) {
        extent = extents_join(&large.table, next, extent);
        next = extents_stock_before(&large.table, extent);
    }
    return extent;
}

/* Keeps the two peaks up to date; called before anything ceases to be LIVE. Needs the lock. */
static void note_peak(uint64_t now)
{
    uint64_t passed = now > large.peak_since ? now - large.peak_since : 0;
    if (passed >= option_value(OPTION_DECAY)) {
        large.last_peak = passed / 2 >= option_value(OPTION_DECAY) ? 0 : large.peak;
        large.peak = 0;
        large.peak_since = now;
    }
    large.peak = max_size(large.peak, large.table.live_bytes);
}

/* The most dirty bytes that the stock may have, as large.h explains. Needs the lock. */
static size_t stock_limit(void)
{
    size_t limit = option_value(OPTION_LARGE_STOCK);
    size_t live = large.table.live_bytes;
    size_t peak = max_size(large.peak, large.last_peak);
    if (limit == 0)
        return 0;
    peak += peak / PEAK_SHARE;
    return limit + min_size(LIVE_TIMES * live, peak > live ? peak - live : 0);
}

static void batch_add(struct batch *batch, struct extent *extent)
{
    extents_withdraw(&large.table, extent);
    batch->extents[batch->count++] = extent;
}

/*
 * Takes a block out of use, into the stock. Where that keeps nothing, it goes into the batch to be
 * unmapped, together with the extents without contents that it touches, so that a hole that the
 * system refused to make gets another chance. Needs the lock.
 */
static void retire(struct extent *block, uint64_t now, struct batch *batch)
{
    extents_set_stock(&large.table, block, now, false);
    if (option_value(OPTION_LARGE_STOCK) == 0)
        batch_add(batch, join_neighbours(block, 0));
}

/*
 * Unmaps a LEAVING extent. Where the system refuses that (each hole costs a mapping) the contents
 * go back and the extent into the stock, whatever that has in it. Returns the bytes that went back
 * to the system. Must not hold the lock.
 */
static size_t give_back(struct extent *extent)
{
    size_t size = extent->size;
    bool unmapped = os_unmap((void *)extent->base, size);
    bool purged = !unmapped && !extent->zero && os_purge((void *)extent->base, size);

    list_acquire();
    if (unmapped) {
        extents_recycle(&large.table, extent);
    } else {
        extent->zero = extent->zero || purged;
        extent->stamp = EXTENT_KEPT;
        extents_publish(&large.table, extent, EXTENT_STOCK);
        if (extent->zero)
            join_neighbours(extent, 0);
    }
    list_release();
    return unmapped || purged ? size : 0;
}

/* Gives back a batch. Bytes returned to the system. Must not hold the lock. */
static size_t give_back_all(const struct batch *batch)
{
    size_t bytes = 0;
    for (size_t i = 0; i < batch->count; i++)
        bytes += give_back(batch->extents[i]);
    return bytes;
}

/* Gives back a batch of the extents that are due. Bytes returned to the system. */
static size_t purge_due(uint64_t now)
{
    struct batch batch = {.count = 0};

    if (LIKELY(!is_due(__atomic_load_n(&large.oldest, __ATOMIC_RELAXED), now)))
        return 0;
    list_acquire();
    while (batch.count < PURGE_BATCH) {
        struct extent *extent = extents_oldest(&large.table);
        if (extent == NULL || !is_due(extent->stamp, now))
            break;
        batch_add(&batch, join_neighbours(extent, now));
    }
    list_release();
    return give_back_all(&batch);
}

/* Gives back all of the stock, by address. Bytes returned to the system. */
static size_t purge_all(void)
{
    struct batch batch;
    struct extent_run run = {
        0}; /* what the system refuses comes back into the stock below its end */
    size_t bytes = 0;

    do {
        batch.count = 0;
        list_acquire();
        while (batch.count < PURGE_BATCH &&
               extents_run_from(&large.table, run.base + run.size, 1, &run))
            batch_add(&batch, extents_gather(&large.table, &run));
        list_release();
        bytes += give_back_all(&batch);
    } while (batch.count == PURGE_BATCH);
    return bytes;
}

/* True if the stock is beyond its limit. Needs the lock. */
static bool has_surplus(void)
{
    return UNLIKELY(large.table.dirty_bytes > stock_limit());
}

/* Takes the oldest extents out of the stock until it is within its limit, or the batch full; of the
 * last one only as much as needed. Needs the lock. */
static void take_surplus(struct batch *batch)
{
    while (batch->count < PURGE_BATCH && has_surplus()) {
        size_t surplus = align_up(large.table.dirty_bytes - stock_limit(), os_page_size());
        struct extent *extent = extents_oldest(&large.table);
        if (extent == NULL)
            break;
        if (!extent->zero && extent->size > surplus && large.table.spare != 0)
            extent = extents_split(&large.table, extent, extent->size - surplus);
        batch_add(batch, extent);
    }
}

/* Gives back the contents of a LEAVING extent, whose address stays in the stock. Where the system
 * refuses that, or there are none, it is unmapped. Must not hold the lock. */
static void purge(struct extent *extent, uint64_t now)
{
    if (extent->zero || !os_purge((void *)extent->base, extent->size)) {
        give_back(extent);
        return;
    }
    list_acquire();
    extent->zero = true;
    extent->stamp = now;
    extents_publish(&large.table, extent, EXTENT_STOCK);
    list_release();
}

/* Brings the stock within its limit, oldest extents first: they lose their contents, or, if the
 * stock has too much address space as well, are unmapped. Must not hold the lock. */
static void purge_surplus(uint64_t now)
{
    struct batch batch;
    bool unmap;

    do {
        batch.count = 0;
        if (!list_acquire_with(1))
            list_acquire(); /* without an entry for the rest, a whole extent goes */
        unmap = large.table.stock_bytes / ADDRESS_TIMES > stock_limit();
        take_surplus(&batch);
        list_release();
        for (size_t i = 0; i < batch.count && !unmap; i++)
            purge(batch.extents[i], now);
        if (unmap)
            give_back_all(&batch);
    } while (batch.count == PURGE_BATCH);
}

size_t large_purge(bool all)
{
    if (all)
        return purge_all();
    if (__atomic_load_n(&large.oldest, __ATOMIC_RELAXED) == EXTENT_KEPT)
        return 0; /* spares reading the clock */
    return purge_due(os_now_ms());
}

/* ---- Blocks ---- */

/* Makes a block of what is in the stock; NULL if there is no room. The alignment is 1 if any place
 * will do. Needs the lock and SPARE_ENTRIES. */
static void *carve_room(size_t size, size_t alignment, bool *zero)
{
    uintptr_t start = extents_find_room(&large.table, size, alignment);
    if (start != 0)
        *zero = extents_carve(&large.table, start, size)->zero;
    return (void *)start;
}

/* A block from the stock, or NULL. */
static void *alloc_from_stock(size_t size, size_t alignment, bool *zero)
{
    if (!list_acquire_with(SPARE_ENTRIES))
        return NULL;
    void *result = carve_room(size, alignment, zero);
    list_release();
    return result;
}

/* The run at the lower edge of the list, if it is free, too small for `size` bytes, and not known
 * to have a stranger below it. Needs the lock. */
static bool run_at_edge(size_t size, struct extent_run *run)
{
    const struct extent *first = extents_first(&large.table);
    return first != NULL && first->state == EXTENT_STOCK && first->base != large.blocked &&
           extents_run_from(&large.table, first->base, 1, run) && run->base == first->base &&
           run->size < size && run->base > size;
}

/*
 * A block for which the stock has no room, made by mapping only what is missing, below the run at
 * the list's lower edge (which is the way the system lays out mappings). NULL if that cannot be. So
 * what is free there is used first, and the list stays in one piece.
 */
static void *alloc_by_extending(size_t size, bool *zero)
{
    struct extent_run run;
    void *result = NULL;

    if (!list_acquire_with(1))
        return NULL;
    bool extends = run_at_edge(size, &run);
    struct extent *entry = extends ? extents_take_entry(&large.table) : NULL;
    list_release();
    if (!extends)
        return NULL;

    size_t missing = size - run.size;
    bool mapped = os_map_at((void *)(run.base - missing), missing);
    if (mapped) {
        entry->base = run.base - missing;
        entry->size = missing;
        entry->stamp = os_now_ms();
        entry->zero = true;
    }
    bool ready = list_acquire_with(SPARE_ENTRIES);
    if (!ready)
        list_acquire();
    if (!mapped) {
        large.blocked = run.base;
        extents_recycle(&large.table, entry);
    } else {
        extents_publish(&large.table, entry, EXTENT_STOCK);
        result = ready ? carve_room(size, 1, zero) : NULL;
    }
    list_release();
    return result;
}

/* Withdraws a STOCK extent that lies within [base, end); NULL if it does not. */
static struct extent *withdraw_within(struct extent *extent, uintptr_t base, uintptr_t end)
{
    if (extent == NULL || extent->base < base || extent->base + extent->size > end)
        return NULL;
    extents_withdraw(&large.table, extent);
    return extent;
}

/* A newly mapped block, or NULL. What was mapped in excess to align it goes back at once. */
static void *alloc_by_mapping(size_t size, size_t alignment)
{
    size_t page = os_page_size();
    size_t mapped = size + (alignment > page ? alignment - page : 0);

    if (!list_acquire_with(1))
        return NULL;
    struct extent *whole = extents_take_entry(&large.table);
    list_release();
    uintptr_t base = (uintptr_t)os_map(mapped);
    if (base == 0) {
        list_acquire();
        extents_recycle(&large.table, whole);
        list_release();
        return NULL;
    }

    whole->base = base;
    whole->size = mapped;
    whole->stamp = EXTENT_KEPT;
    whole->zero = true;
    if (!list_acquire_with(SPARE_ENTRIES)) {
        give_back(whole);
        return NULL;
    }
    extents_publish(&large.table, whole, EXTENT_STOCK);
    struct extent *block = extents_carve(&large.table, align_up(base, alignment), size);
    void *result = (void *)block->base;
    struct extent *front =
        withdraw_within(extents_stock_before(&large.table, block), base, base + mapped);
    struct extent *rest =
        withdraw_within(extents_stock_behind(&large.table, block), base, base + mapped);
    list_release();
    if (front != NULL)
        give_back(front);
    if (rest != NULL)
        give_back(rest);
    return result;
}

/* Rounds a size up to pages. False if it is 0 or too large for a block. */
static bool round_size(size_t *size)
{
    size_t page = os_page_size();
    if (*size == 0 || *size > PTRDIFF_MAX - page)
        return false;
    *size = align_up(*size, page);
    return true;
}

/* A block from the stock or the system; NULL if neither has room. */
static void *find_block(size_t size, size_t alignment, bool *zero)
{
    void *block = alloc_from_stock(size, alignment, zero);
    if (block == NULL && alignment == 1)
        block = alloc_by_extending(size, zero);
    if (block == NULL) {
        block = alloc_by_mapping(size, alignment);
        *zero = true;
    }
    return block;
}

void *large_alloc(size_t size, size_t alignment, bool *zero)
{
    bool known_zero;

    if (!round_size(&size) || alignment > PTRDIFF_MAX - size)
        return NULL;
    if (alignment <= os_page_size())
        alignment = 1;
    void *block = find_block(size, alignment, &known_zero);
    if (block == NULL && purge_all() != 0)
        block = find_block(size, alignment, &known_zero);
    if (zero != NULL)
        *zero = known_zero;
    large_purge(false);
    return block;
}

int large_free(void *p)
{
    struct batch batch = {.count = 0};
    bool surplus = false;
    uint64_t now = os_now_ms();

    list_acquire();
    struct extent *block = block_at(p);
    if (block != NULL) {
        note_peak(now);
        freed_remember(block->base, block->size);
        retire(block, now, &batch);
        surplus = has_surplus();
    }
    list_release();
    if (block == NULL)
        return EINVAL;
    give_back_all(&batch);
    if (surplus)
        purge_surplus(now);
    purge_due(now);
    return 0;
}

size_t large_usable_size(const void *p)
{
    list_acquire();
    const struct extent *block = block_at(p);
    size_t size = block != NULL ? block->size : 0;
    list_release();
    return size;
}

/* ---- Resizing ---- */

/* Moves the end of a LIVE block, up or down, without a system call under the lock. False if it
 * cannot grow where it is. Needs the lock. */
static bool resize_in_place(struct extent *block, size_t size, uint64_t now, struct batch *batch)
{
    if (size > block->size)
        return extents_grow(&large.table, block, size);
    if (size < block->size && large.table.spare != 0)
        retire(extents_split(&large.table, block, size), now, batch);
    return true;
}

/* The reserve that a block of `size` bytes gets when it has to grow by a system call. */
static size_t headroom_of(size_t size)
{
    size_t headroom = align_down(size / HEADROOM_SHARE, os_page_size());
    return headroom <= PTRDIFF_MAX - size ? headroom : 0;
}

/*
 * Grows a block that has left the index by mremap, and publishes it again, as it was where that
 * fails. Address space behind it, never touched, goes into the stock for its next steps. The
 * block's address, or NULL.
 */
static void *grow_by_remap(struct extent *block, size_t size, uint64_t now)
{
    uintptr_t old_base = block->base;
    size_t old_size = block->size;
    size_t headroom = headroom_of(size);
    void *moved = os_remap((void *)old_base, old_size, size + headroom);

    if (moved == NULL && headroom != 0) {
        headroom = 0;
        moved = os_remap((void *)old_base, old_size, size);
    }
    if (!list_acquire_with(1))
        list_acquire(); /* without an entry for it, the reserve becomes part of the block */
    if (moved != NULL) {
        block->base = (uintptr_t)moved;
        block->size = size + headroom;
        if ((uintptr_t)moved != old_base)
            freed_remember(old_base, old_size);
    }
    extents_publish(&large.table, block, EXTENT_LIVE);
    if (headroom != 0 && large.table.spare != 0)
        extents_set_stock(&large.table, extents_split(&large.table, block, size), now, true);
    list_release();
    return moved;
}

void *large_resize(void *p, size_t size)
{
    struct batch batch = {.count = 0};
    uint64_t now = os_now_ms();
    void *result = NULL;

    if (!round_size(&size))
        return NULL;
    if (!list_acquire_with(1))
        list_acquire(); /* without an entry for the tail, the block keeps it */
    note_peak(now);
    struct extent *block = block_at(p);
    bool in_place = block != NULL && resize_in_place(block, size, now, &batch);
    if (block != NULL && !in_place)
        extents_withdraw(&large.table, block);
    bool surplus = has_surplus();
    list_release();

    if (in_place)
        result = p;
    else if (block != NULL)
        result = grow_by_remap(block, size, now);
    give_back_all(&batch);
    if (surplus)
        purge_surplus(now);
    purge_due(now);
    return result;
}

/* ---- Looking ---- */

void large_find(const void *p, struct large_info *info)
{
    uintptr_t address = (uintptr_t)p;
    *info = (struct large_info){.place = LARGE_UNKNOWN};

    list_acquire();
    const struct extent *entry = extents_at(&large.table, address);
    const struct freed_blocks *set = freed_set(address);
    unsigned way = freed_find(set, address);
    if (entry != NULL && entry->state == EXTENT_LIVE) {
        info->place = entry->base == address ? LARGE_START : LARGE_INSIDE;
        info->base = (void *)entry->base;
        info->size = entry->size;
    } else if (address != 0 && way != REMEMBERED_WAYS) {
        info->place = LARGE_FREED;
        info->base = (void *)address;
        info->size = set->size[way];
    } else if (entry != NULL) {
        info->place = LARGE_IN_STOCK;
    }
    list_release();
}

void large_totals(struct large_totals *totals)
{
    list_acquire();
    *totals = (struct large_totals){
        .live_bytes = large.table.live_bytes,
        .live_blocks = large.table.live_blocks,
        .stock_bytes = large.table.stock_bytes,
        .stock_extents = large.table.stock_extents,
        .stock_dirty = large.table.dirty_bytes,
    };
    list_release();
}

void large_for_each(void (*visit)(void *context, void *base, size_t size), void *context)
{
    list_acquire();
    for (struct extent *entry = extents_first(&large.table); entry; entry = extents_next(entry))
        if (entry->state == EXTENT_LIVE)
            visit(context, (void *)entry->base, entry->size);
    list_release();
}

bool large_is_valid(void)
{
    list_acquire();
    bool valid = extents_is_valid(&large.table);
    list_release();
    return valid;
}
