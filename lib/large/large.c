/*
 * LARGE blocks: made, freed, resized and found. Purpose and rules: large.h. The list and its lock
 * are in large_list.c, the table and its index in extents.c, what becomes of free extents in
 * large_stock.c.
 *
 * A system call never happens under the lock: the entry of the range concerned is taken out of the
 * index first (LEAVING, and then this thread's own) and published or ended afterwards.
 */
#include "large/large.h"

#include "large/extents.h"
#include "large/large_freed.h"
#include "large/large_list.h"
#include "large/large_stock.h"
#include "base/option.h"
#include "base/os.h"

#include <errno.h>

enum {
    SPARE_ENTRIES = 2,  /* unused entries that carving needs at most */
    HEADROOM_SHARE = 4, /* a block that mremap grows gets 1/4 of its size in reserve at its end */
    LARGE_ALIGNMENT_KEPT = 16 << 20, /* bytes; what a larger alignment leaves over is unmapped */
};

/* LARGE lock: the lower edge of the list below which it could not be extended; 0 if none. */
static uintptr_t blocked_base;

/* The LIVE block that starts at p, or NULL. Needs the lock. */
static struct extent *block_at(const void *p)
{
    struct extent *entry = extents_at(&large_list.table, (uintptr_t)p);
    bool found = entry != NULL && entry->state == EXTENT_LIVE && entry->base == (uintptr_t)p;
    return found ? entry : NULL;
}

/* Says for the untouched pages [from, from + size), which a block of `block_size` bytes uses first,
 * what the option wants. Must not hold the lock. */
static void ask_huge_pages(void *from, size_t size, size_t block_size)
{
    uint64_t wanted = option_value(OPTION_HUGE_PAGES);
    if (wanted == HUGE_PAGES_SYSTEM)
        return;
    bool large = wanted == HUGE_PAGES_LARGE && block_size >= LARGE_HUGE_FROM;
    os_huge_pages(from, size, large || wanted == HUGE_PAGES_ALWAYS);
}

/* ---- Blocks ---- */

/* Makes the block of `size` bytes at `start`, where the stock has room. Needs the lock and
 * SPARE_ENTRIES. */
static struct extent *carve(uintptr_t start, size_t size)
{
    size_t dirty = large_list.table.dirty_bytes;
    struct extent *block = extents_carve(&large_list.table, start, size);
    large_stock_note_lack(size - (dirty - large_list.table.dirty_bytes));
    return block;
}

/* Makes a block of what is in the stock; NULL if there is no room. The alignment is 1 if any place
 * will do. Needs the lock and SPARE_ENTRIES. */
static void *carve_room(size_t size, size_t alignment, bool *zero)
{
    uintptr_t start = extents_find_room(&large_list.table, size, alignment);
    if (start != 0)
        *zero = carve(start, size)->zero;
    return (void *)start;
}

/* A block from the stock, or NULL. */
static void *alloc_from_stock(size_t size, size_t alignment, bool *zero)
{
    if (!large_list_acquire_with(SPARE_ENTRIES))
        return NULL;
    void *result = carve_room(size, alignment, zero);
    large_list_release();
    if (result != NULL && *zero && size >= LARGE_HUGE_FROM)
        ask_huge_pages(result, size, size);
    return result;
}

/* True if what an alignment leaves over is kept, for a decay. */
static bool keeps_left_over(size_t alignment)
{
    return alignment <= LARGE_ALIGNMENT_KEPT && option_value(OPTION_LARGE_STOCK) != 0;
}

/*
 * How many bytes are to be mapped below the list's lower edge so that a block fits between there
 * and the end of the run at the edge; 0 if that cannot be, or if there is neither such a run nor an
 * alignment: then the system chooses the place. Needs the lock.
 */
static size_t missing_at_edge(size_t size, size_t alignment)
{
    const struct extent *first = extents_first(&large_list.table);
    struct extent_run run = {0};
    if (first == NULL || first->base == blocked_base)
        return 0;
    if (alignment != 1 && !keeps_left_over(alignment))
        return 0;
    if (first->state == EXTENT_STOCK)
        extents_run_from(&large_list.table, first->base, 1, &run);
    else if (alignment == 1)
        return 0;
    if (first->base <= size + alignment) /* the addresses below the edge are too few */
        return 0;
    uintptr_t start = align_down(first->base + run.size - size, alignment);
    return start < first->base ? first->base - start : 0;
}

/*
 * A block for which the stock has no room, made by mapping only what is missing, below the list's
 * lower edge (which is the way the system lays out mappings). NULL if that cannot be. So what is
 * free there is used first, and the list stays in one piece. What an alignment leaves over stays in
 * the stock.
 */
static void *alloc_by_extending(size_t size, size_t alignment, bool *zero)
{
    void *result = NULL;

    if (!large_list_acquire_with(1))
        return NULL;
    size_t missing = missing_at_edge(size, alignment);
    struct extent *entry = missing != 0 ? extents_take_entry(&large_list.table) : NULL;
    uintptr_t edge = missing != 0 ? extents_first(&large_list.table)->base : 0;
    large_list_release();
    if (entry == NULL)
        return NULL;

    bool mapped = os_map_at((void *)(edge - missing), missing);
    if (mapped) {
        ask_huge_pages((void *)(edge - missing), missing, size);
        entry->base = edge - missing;
        entry->size = missing;
        entry->stamp = os_now_ms();
        entry->zero = true;
    }
    bool ready = large_list_acquire_with(SPARE_ENTRIES);
    if (!ready)
        large_list_acquire();
    if (!mapped) {
        blocked_base = edge;
        extents_recycle(&large_list.table, entry);
    } else {
        extents_publish(&large_list.table, entry, EXTENT_STOCK);
        result = ready ? carve_room(size, alignment, zero) : NULL;
    }
    large_list_release();
    return result;
}

/*
 * Unmaps what a newly mapped range has in front of and after `size` bytes at a multiple of the
 * alignment. It stays LEAVING meanwhile: so it is one range, which shrinks, at whatever instant a
 * fork comes. What the system refuses to unmap stays part of it. Must not hold the lock.
 */
static void cut_to_alignment(struct extent *range, size_t size, size_t alignment)
{
    uintptr_t start = align_up(range->base, alignment);
    size_t front = start - range->base;
    size_t behind = range->size - front - size;

    if (front != 0 && os_unmap((void *)range->base, front)) {
        range->base = start;
        range->size -= front;
    }
    if (behind != 0 && os_unmap((void *)(start + size), behind))
        range->size -= behind;
}

/* A newly mapped block, or NULL. What was mapped in excess to align it goes into the stock, or is
 * unmapped at once; what the system does not unmap goes into the stock, too. */
static void *alloc_by_mapping(size_t size, size_t alignment)
{
    size_t page = os_page_size();
    size_t mapped = size + (alignment > page ? alignment - page : 0);

    if (!large_list_acquire_with(1))
        return NULL;
    struct extent *range = extents_take_entry(&large_list.table);
    bool cuts = extents_pieces(&large_list.table) <= LARGE_PIECES_MOST;
    large_list_release();
    uintptr_t base = (uintptr_t)os_map(mapped);
    if (base == 0) {
        large_list_acquire();
        extents_recycle(&large_list.table, range);
        large_list_release();
        return NULL;
    }

    ask_huge_pages((void *)base, mapped, size);
    range->base = base;
    range->size = mapped;
    range->stamp = EXTENT_KEPT;
    range->zero = true;
    if (keeps_left_over(alignment))
        range->stamp = os_now_ms();
    else if (cuts)
        cut_to_alignment(range, size, alignment);
    if (!large_list_acquire_with(SPARE_ENTRIES)) {
        large_stock_give_back(range);
        return NULL;
    }
    extents_publish(&large_list.table, range, EXTENT_STOCK);
    base = carve(align_up(base, alignment), size)->base;
    large_list_release();
    return (void *)base;
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
    if (block == NULL)
        block = alloc_by_extending(size, alignment, zero);
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
    if (zero != NULL)
        *zero = known_zero;
    large_purge(false);
    return block;
}

int large_free(void *p)
{
    struct extent *leaving = NULL;
    bool surplus = false;
    uint64_t now = os_now_ms();

    large_list_acquire();
    struct extent *block = block_at(p);
    if (block != NULL) {
        large_stock_note_peak(now);
        large_freed_remember(block->base, block->size);
        leaving = large_stock_put(block, now);
        surplus = large_stock_has_surplus();
    }
    large_list_release();
    if (block == NULL)
        return EINVAL;
    large_stock_settle(leaving, surplus, now);
    return 0;
}

size_t large_usable_size(const void *p)
{
    large_list_acquire();
    const struct extent *block = block_at(p);
    size_t size = block != NULL ? block->size : 0;
    large_list_release();
    return size;
}

/* ---- Resizing ---- */

/* Moves the end of a LIVE block, up or down, without a system call under the lock; *leaving is what
 * is to be unmapped. False if it cannot grow where it is. Needs the lock. */
static bool resize_extent_in_place(struct extent *block, size_t size, uint64_t now,
                                   struct extent **leaving)
{
    if (size > block->size)
        return extents_grow(&large_list.table, block, size);
    if (size < block->size && large_list.table.spare != 0)
        *leaving = large_stock_put(extents_split(&large_list.table, block, size), now);
    return true;
}

/* The reserve that a block of `size` bytes gets when it has to grow by a system call. */
static size_t headroom_of(size_t size)
{
    size_t headroom = align_down(size / HEADROOM_SHARE, os_page_size());
    return headroom <= PTRDIFF_MAX - size ? headroom : 0;
}

/* Puts `size` bytes that were mapped after a block and never touched into the stock. Needs the
 * lock and an entry. */
static void publish_reserve(uintptr_t base, size_t size, uint64_t now)
{
    struct extent *reserve = extents_take_entry(&large_list.table);
    reserve->base = base;
    reserve->size = size;
    reserve->stamp = now;
    reserve->zero = true;
    extents_publish(&large_list.table, reserve, EXTENT_STOCK);
}

/*
 * Grows a block that has left the index by mremap, and publishes it again, as it was where that
 * fails. Untouched address space at its end goes into the stock for its next steps, after the block
 * is published, so that one entry at a time is LEAVING. The block's address, or NULL.
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
    if (moved != NULL && size >= LARGE_HUGE_FROM)
        ask_huge_pages(moved, size + headroom, size);
    if (!large_list_acquire_with(1))
        large_list_acquire();
    bool has_reserve = moved != NULL && headroom != 0 && large_list.table.spare != 0;
    if (moved != NULL) {
        block->base = (uintptr_t)moved;
        block->size = has_reserve ? size : size + headroom; /* without an entry it is the block's */
        if ((uintptr_t)moved != old_base)
            large_freed_remember(old_base, old_size);
    }
    extents_publish(&large_list.table, block, EXTENT_LIVE);
    if (has_reserve)
        publish_reserve(block->base + size, headroom, now);
    large_list_release();
    return moved;
}

void *large_resize(void *p, size_t size)
{
    struct extent *leaving = NULL;
    uint64_t now = os_now_ms();
    void *result = NULL;

    if (!round_size(&size))
        return NULL;
    if (!large_list_acquire_with(1))
        large_list_acquire(); /* without an entry for the tail, the block keeps it */
    large_stock_note_peak(now);
    struct extent *block = block_at(p);
    bool in_place = block != NULL && resize_extent_in_place(block, size, now, &leaving);
    if (block != NULL && !in_place)
        extents_withdraw(&large_list.table, block);
    bool surplus = large_stock_has_surplus();
    large_list_release();

    if (in_place)
        result = p;
    else if (block != NULL)
        result = grow_by_remap(block, size, now);
    large_stock_settle(leaving, surplus, now);
    return result;
}

/* ---- The stock ---- */

size_t large_purge(bool all)
{
    if (all)
        return large_stock_purge_all();
    if (!large_is_aging())
        return 0; /* spares reading the clock */
    return large_stock_purge_due(os_now_ms());
}

void large_tick(uint64_t now)
{
    /* in batches; what is not unmapped does not fall due again */
    while (large_stock_is_due(now))
        large_stock_purge_due(now);
}

bool large_is_aging(void)
{
    return __atomic_load_n(&large_list.oldest, __ATOMIC_RELAXED) != EXTENT_KEPT;
}

/* ---- Looking ---- */

void large_find(const void *p, struct large_info *info)
{
    uintptr_t address = (uintptr_t)p;
    *info = (struct large_info){.place = LARGE_UNKNOWN};

    large_list_acquire();
    const struct extent *entry = extents_at(&large_list.table, address);
    if (entry != NULL && entry->state == EXTENT_LIVE) {
        info->place = entry->base == address ? LARGE_START : LARGE_INSIDE;
        info->base = (void *)entry->base;
        info->size = entry->size;
    } else if (large_freed_find(address, &info->size)) {
        info->place = LARGE_FREED;
        info->base = (void *)address;
    } else if (entry != NULL) {
        info->place = LARGE_IN_STOCK;
    }
    large_list_release();
}

void large_totals(struct large_totals *totals)
{
    large_list_acquire();
    *totals = (struct large_totals){
        .live_bytes = large_list.table.live_bytes,
        .live_blocks = large_list.table.live_blocks,
        .stock_bytes = large_list.table.stock_bytes,
        .stock_extents = large_list.table.stock_extents,
        .stock_dirty = large_list.table.dirty_bytes,
    };
    large_list_release();
}

bool large_is_valid(void)
{
    large_list_acquire();
    bool valid = extents_is_valid(&large_list.table);
    large_list_release();
    return valid;
}
