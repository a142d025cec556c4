/* LARGE blocks: see large.h. Owns the starts of freed blocks and the blocked edge. */
#include "large/large.h"

#include "large/large_list.h"
#include "base/guard_page.h"
#include "base/limit.h"
#include "base/option.h"
#include "base/os.h"

#include <assert.h>
#include <errno.h>

enum {
    SPARE_ENTRIES = 2,               /* unused entries that carving needs at most */
    RESERVE_SHARE = 4,               /* a block that mremap grows gets 1/4 of its size in reserve */
    LARGE_ALIGNMENT_KEPT = 16 << 20, /* bytes; what a larger alignment leaves over is unmapped */
    LARGE_LOOKS_BACK = 8 << 20,      /* bytes at the edge of the list, see is_dense */
};

/* The lower edge of the list below which it could not be extended; 0 if none. [lock] */
static uintptr_t blocked_edge;

/* The LIVE block that starts at p, or NULL. Needs the lock. */
static struct extent *block_at(const void *p)
{
    struct extent *entry = extents_at(&large_list.table, (uintptr_t)p);
    bool found = entry != NULL && entry->state == EXTENT_LIVE && entry->base == (uintptr_t)p;
    return found ? entry : NULL;
}

/* ---- Guards ---- */

/* Bytes of a LIVE block's entry that the program may use. */
static size_t usable_bytes(const struct extent *block)
{
    return block->guard != GUARD_PAGE_NONE ? block->size - os_page_size() : block->size;
}

/* The block that starts at p, made PRIVATE for a call that is about its guard; NULL if there is
 * none, or it has no guard and `guarded`. */
static struct extent *take_for_guard(const void *p, bool guarded)
{
    large_list_acquire(0);
    struct extent *block = block_at(p);
    if (block != NULL && guarded && block->guard == GUARD_PAGE_NONE)
        block = NULL;
    if (block != NULL)
        extents_withdraw(&large_list.table, block);
    large_list_release();
    return block;
}

static void give_with_guard(struct extent *block, enum guard_page guard)
{
    __atomic_store_n(&block->guard, (uint8_t)guard, __ATOMIC_RELAXED);
    large_list_acquire(0);
    extents_publish(&large_list.table, block, EXTENT_LIVE);
    limit_count(block->size); /* a count may have missed it */
    large_list_release();
}

static void *last_page(const struct extent *block)
{
    return (void *)(extent_end(block) - os_page_size());
}

/* Makes the last page of the block at p a guard: there is one more than was asked for. */
static void set_guard(const void *p)
{
    struct extent *block = take_for_guard(p, false);
    if (block != NULL)
        give_with_guard(block, guard_page_set(last_page(block)));
}

/* Opens the guard of the block at p, if it has one, which is told. False, with nothing changed, if
 * the system refuses. */
static bool open_guard(const void *p, bool *guarded)
{
    struct extent *block = take_for_guard(p, true);
    *guarded = block != NULL;
    if (block == NULL)
        return true;
    bool opened = guard_page_clear(last_page(block), block->guard);
    give_with_guard(block, opened ? GUARD_PAGE_NONE : block->guard);
    return opened;
}

/* ---- Freed blocks ---- */

/*
 * The blocks that were freed, or that mremap moved, so that a double free is named as one even when
 * the mapping is gone: a set-associative table of their starts. The hash of a start chooses its
 * set, in which the oldest gives way. Only reports depend on it: after a fork in the middle of a
 * change it may lack a block.
 */
enum {
    FREED_WAYS = 8,   /* blocks remembered in each set */
    FREED_SHIFT = 57, /* leaves as many bits of a 64-bit hash as there are sets */
    FREED_SETS = 1 << (64 - FREED_SHIFT),
};

static_assert(FREED_SETS * FREED_WAYS == LARGE_REMEMBERED, "as large.h says");

/* [lock] */
static struct freed_set {
    uintptr_t base[FREED_WAYS]; /* starts, 0 if none */
    size_t size[FREED_WAYS];    /* bytes */
    unsigned next;              /* the one that gives way next */
} freed_sets[FREED_SETS];

static struct freed_set *freed_set_of(uintptr_t base)
{
    /* Fibonacci hashing (Knuth, volume 3, 6.4): 2^64 over the golden ratio */
    return &freed_sets[(uint64_t)base * UINT64_C(0x9e3779b97f4a7c15) >> FREED_SHIFT];
}

/* The place of a start in its set; FREED_WAYS if it is not there. */
static unsigned freed_way_of(const struct freed_set *set, uintptr_t base)
{
    unsigned way = 0;
    while (way < FREED_WAYS && set->base[way] != base)
        way++;
    return way;
}

/* Needs the lock. */
static void remember_freed(uintptr_t base, size_t size)
{
    struct freed_set *set = freed_set_of(base);
    unsigned way = freed_way_of(set, base);
    if (way == FREED_WAYS) {
        way = set->next;
        set->next = (way + 1) % FREED_WAYS;
    }
    /* in this order also for a child forked in between: no start has another one's size */
    set->base[way] = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    set->size[way] = size;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    set->base[way] = base;
}

/* The bytes of the block that was freed at `base`; 0 if none is remembered. Needs the lock. */
static size_t freed_size(uintptr_t base)
{
    const struct freed_set *set = freed_set_of(base);
    unsigned way = freed_way_of(set, base);
    return base != 0 && way != FREED_WAYS ? set->size[way] : 0;
}

/* ---- Blocks ---- */

/*
 * Whether the untouched pages of a block are to be backed by huge pages. By default smaller blocks
 * are not, so that a byte touched in each of many does not cost 2 MiB; nor are larger ones that are
 * to be zero: a program asks for much more of that than it touches, a sparse table, say.
 */
static bool wants_huge_pages(size_t size, bool zeroed)
{
    uint64_t wanted = option_value(OPTION_HUGE_PAGES);
    if (wanted != HUGE_PAGES_LARGE)
        return wanted == HUGE_PAGES_ALWAYS;
    return size >= LARGE_HUGE_FROM && (!zeroed || size <= LARGE_HUGE_ZEROED);
}

/* Asks for huge pages, or asks not to have them, unless the option leaves that to the system. Must
 * not hold the lock. */
static void ask_huge_pages(void *from, size_t size, bool huge)
{
    if (option_value(OPTION_HUGE_PAGES) != HUGE_PAGES_SYSTEM)
        os_huge_pages(from, size, huge);
}

/* Makes a block at `start`, where the stock has room; NULL if the limit has none, or `start` is 0.
 * Needs the lock and SPARE_ENTRIES. */
static void *carve(uintptr_t start, size_t size, bool *zero)
{
    struct extent *block = start != 0 ? large_list_carve(start, size) : NULL;
    if (block == NULL)
        return NULL;
    *zero = block->zero;
    return (void *)start;
}

/* Makes a block of what is in the stock; NULL if there is no room, or the limit has none. The
 * alignment is 1 if any place will do. Needs the lock and SPARE_ENTRIES. */
static void *carve_room(size_t size, size_t alignment, bool *zero)
{
    return carve(extents_find_room(&large_list.table, size, alignment), size, zero);
}

/* True if what an alignment leaves over is kept, for a decay. It serves other requests, and keeps
 * neighbours one mapping. */
static bool keeps_left_over(size_t alignment)
{
    return alignment <= LARGE_ALIGNMENT_KEPT && option_value(OPTION_LARGE_STOCK) != 0;
}

/* Makes a block at the end of the run that begins at an address, so that it touches what follows,
 * and what was mapped too much stays at the list's edge. NULL if there is no room, or the limit has
 * none. Needs the lock and SPARE_ENTRIES. */
static void *carve_end(uintptr_t base, size_t size, bool *zero)
{
    struct extent_run run;
    if (!extents_run_from(&large_list.table, base, size, &run) || run.base != base)
        return NULL;
    return carve(run.base + run.size - size, size, zero);
}

/*
 * True if most of what lies at the list's lower edge has memory: three quarters of the first
 * LARGE_LOOKS_BACK bytes. So blocks are used as a whole, and what is mapped below is likely to be.
 */
static bool is_dense(const struct extent_summary *list)
{
    if (list->end - list->base < LARGE_LOOKS_BACK)
        return false;
    return os_filled_in((void *)list->base, LARGE_LOOKS_BACK) >= LARGE_LOOKS_BACK / 4 * 3;
}

/*
 * How many bytes are to be mapped below the list's lower edge so that a block fits between there
 * and the end of the run at the edge. With `huge` the new edge is that of a huge page: so the next
 * block begins where this one's huge pages do, and no page is left between them that is small. 0 if
 * that cannot be, or if there is nothing to be gained by it: no such run, no alignment, not `huge`.
 * Then the system chooses the place.
 */
static size_t missing_at_edge(const struct extent_summary *list, size_t size, size_t alignment,
                              bool huge)
{
    if (alignment == 1 && huge && keeps_left_over(LARGE_HUGE_PAGE))
        alignment = LARGE_HUGE_PAGE;
    else if (alignment == 1 ? list->head == 0 : !keeps_left_over(alignment))
        return 0;
    if (list->base <= size + alignment)
        return 0;
    uintptr_t start = align_down(list->base + list->head - size, alignment);
    return start < list->base ? list->base - start : 0;
}

/* Maps what a PRIVATE range is to be: `missing` bytes below the edge, if that is not 0, or else
 * `anywhere` bytes where the system chooses. False if it refuses. */
static bool map_range(struct extent *range, uintptr_t edge, size_t missing, size_t anywhere)
{
    extent_set_range(range, edge - missing, missing);
    if (missing != 0 && os_map_at((void *)range->base, range->size))
        return true;
    extent_set_range(range, (uintptr_t)os_map(anywhere), anywhere);
    return range->base != 0;
}

/*
 * A block from the stock. Where that has no room, a range is mapped and put into the stock first;
 * at the list's lower edge only if `extends`. NULL if there is no memory, or if another thread took
 * a part of what was to be extended.
 */
static void *find_block(size_t size, size_t alignment, bool extends, bool huge, bool *zero)
{
    size_t anywhere = alignment == 1 ? size : size + alignment - os_page_size();

    bool ready = large_list_acquire(SPARE_ENTRIES);
    void *block = ready ? carve_room(size, alignment, zero) : NULL;
    struct extent_summary list = *extents_sum(&large_list.table);
    extends = extends && list.base != blocked_edge;
    struct extent *range = NULL;
    if (ready && block == NULL && limit_has_room(size))
        range = extents_take_entry(&large_list.table);
    large_list_release();
    if (block != NULL && *zero && size >= LARGE_HUGE_FROM)
        ask_huge_pages(block, size, huge);
    if (range == NULL)
        return block;

    huge = huge || (option_value(OPTION_HUGE_PAGES) == HUGE_PAGES_LARGE && size < LARGE_HUGE_FROM &&
                    is_dense(&list));
    uintptr_t edge = list.base;
    size_t missing = extends ? missing_at_edge(&list, size, alignment, huge) : 0;
    bool mapped = map_range(range, edge, missing, anywhere);
    uintptr_t base = range->base;
    bool extended = missing != 0 && base == edge - missing;
    if (mapped)
        ask_huge_pages((void *)range->base, range->size, huge);
    extent_set_stamp(range, keeps_left_over(alignment) ? os_now_ms() : LARGE_DUE);
    extent_set_zero(range, true);
    ready = large_list_acquire(SPARE_ENTRIES);
    if (missing != 0 && !extended)
        blocked_edge = edge;
    if (mapped) {
        extents_publish(&large_list.table, range, EXTENT_STOCK);
        if (ready)
            block = extended && alignment == 1 ? carve_end(base, size, zero)
                                               : carve_room(size, alignment, zero);
    } else {
        extents_recycle(&large_list.table, range);
    }
    large_list_release();
    return block;
}

/* Frees a block whose guard cannot be opened: its address space is lost where it cannot be
 * unmapped. */
static void unmap_with_guard(const void *p)
{
    struct extent *block = take_for_guard(p, true);
    if (block == NULL)
        return;
    bool unmapped = os_unmap((void *)block->base, block->size);
    large_list_acquire(0);
    remember_freed(block->base, usable_bytes(block));
    __atomic_store_n(&block->guard, GUARD_PAGE_NONE, __ATOMIC_RELAXED);
    if (unmapped)
        extents_recycle(&large_list.table, block);
    large_list_release();
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

void *large_alloc(size_t size, size_t alignment, bool *zero)
{
    bool known_zero, huge;

    if (!round_size(&size) || alignment > PTRDIFF_MAX - size)
        return NULL;
    if (alignment <= os_page_size())
        alignment = 1;
    bool guarded = guard_page_is_wanted();
    if (guarded)
        size += os_page_size();
    huge = wants_huge_pages(size, zero != NULL);
    void *block = find_block(size, alignment, true, huge, &known_zero);
    if (block == NULL)
        block = find_block(size, alignment, false, huge, &known_zero);
    if (guarded && block != NULL)
        set_guard(block);
    if (zero != NULL)
        *zero = block != NULL && known_zero;
    if (large_list_is_aging()) /* spares reading the clock */
        large_list_purge_due(os_now_ms(), LARGE_PURGED_AT_ONCE);
    return block;
}

int large_free(void *p)
{
    bool surplus = false, guarded;
    uint64_t now = os_now_ms();

    if (!open_guard(p, &guarded)) {
        unmap_with_guard(p);
        return 0;
    }
    large_list_acquire(0);
    struct extent *block = block_at(p);
    if (block != NULL) {
        remember_freed(block->base, block->size);
        surplus = large_list_put(block, 0, now);
    }
    large_list_release();
    if (block == NULL)
        return EINVAL;
    large_list_settle(surplus, now);
    return 0;
}

size_t large_usable_size(const void *p)
{
    large_list_acquire(0);
    const struct extent *block = block_at(p);
    size_t size = block != NULL ? usable_bytes(block) : 0;
    large_list_release();
    return size;
}

uint64_t large_note(const void *p)
{
    large_list_acquire(0);
    const struct extent *block = block_at(p);
    uint64_t note = block != NULL ? block->stamp : 0;
    large_list_release();
    return note;
}

void large_set_note(const void *p, uint64_t note)
{
    large_list_acquire(0);
    struct extent *block = block_at(p);
    if (block != NULL)
        extent_set_stamp(block, note);
    large_list_release();
}

/* ---- Resizing ---- */

/*
 * Grows a PRIVATE block by mremap and publishes it again; as it was if the system refuses. An
 * untouched reserve at its end goes into the stock, so that its next steps cost no system call. The
 * block's address, or NULL.
 */
static void *grow_by_remap(struct extent *block, size_t size, uint64_t now)
{
    size_t grown = size + align_down(size / RESERVE_SHARE, os_page_size());
    void *moved = os_remap((void *)block->base, block->size, grown);

    if (moved == NULL) {
        grown = size;
        moved = os_remap((void *)block->base, block->size, grown);
    }
    if (moved != NULL && size >= LARGE_HUGE_FROM)
        ask_huge_pages(moved, grown, wants_huge_pages(size, false));
    bool spare = large_list_acquire(1);
    if (moved != NULL) {
        if ((uintptr_t)moved != block->base)
            remember_freed(block->base, block->size);
        extent_set_range(block, (uintptr_t)moved, grown);
    }
    extents_publish(&large_list.table, block, EXTENT_LIVE);
    limit_count(block->size);                   /* a count may have missed it */
    if (moved != NULL && grown > size && spare) /* without an entry it is the block's */
        extents_cut(&large_list.table, block, size, now, true);
    large_list_release();
    return moved;
}

/* As large_resize, of a block without a guard, to whole pages. */
static void *resize(void *p, size_t size)
{
    bool surplus = false;
    uint64_t now = os_now_ms();

    bool spare = large_list_acquire(1);
    struct extent *block = block_at(p);
    if (block != NULL && size > block->size && !limit_take(size - block->size))
        block = NULL; /* as if it could not be */
    bool stays = block != NULL &&
                 (size <= block->size || (spare && extents_grow(&large_list.table, block, size)));
    if (stays && size < block->size && spare) /* without an entry for the tail, it stays there */
        surplus = large_list_put(block, size, now);
    if (block != NULL && !stays)
        extents_withdraw(&large_list.table, block);
    large_list_release();

    if (block == NULL)
        return NULL;
    void *resized = stays ? p : grow_by_remap(block, size, now);
    large_list_settle(surplus, now);
    return resized;
}

void *large_resize(void *p, size_t size)
{
    bool guarded;
    if (!round_size(&size) || !open_guard(p, &guarded))
        return NULL;
    void *resized = resize(p, guarded ? size + os_page_size() : size);
    if (guarded)
        set_guard(resized != NULL ? resized : p);
    return resized;
}

/* ---- Blocks of own heaps ---- */

void large_set_heap(const void *p, uint32_t heap)
{
    large_list_acquire(0);
    struct extent *block = block_at(p);
    if (block != NULL)
        __atomic_store_n(&block->heap, heap, __ATOMIC_RELAXED);
    large_list_release();
}

uint32_t large_heap(const void *p)
{
    large_list_acquire(0);
    const struct extent *block = block_at(p);
    uint32_t heap = block != NULL ? block->heap : 0;
    large_list_release();
    return heap;
}

/* The next block of a heap in a chunk, from entry *i on; NULL: there is none. */
static void *next_of_heap(const struct extent_chunk *chunk, size_t *i, uint32_t heap)
{
    void *block = NULL;
    large_list_acquire(0);
    for (; block == NULL && *i < EXTENTS_PER_CHUNK; ++*i) {
        const struct extent *entry = &chunk->entries[*i];
        if (entry->state == EXTENT_LIVE && entry->heap == heap)
            block = (void *)entry->base;
    }
    large_list_release();
    return block;
}

void large_free_heap(uint32_t heap, void (*before)(const void *p))
{
    void *block;
    large_list_acquire(0);
    /* chunks that are added meanwhile stand in front, and have no block of the heap */
    const struct extent_chunk *chunk = large_list.table.chunks;
    large_list_release();
    for (; chunk != NULL; chunk = chunk->next)
        for (size_t i = 0; (block = next_of_heap(chunk, &i, heap)) != NULL;) {
            before(block);
            (void)large_free(block);
        }
}

/* ---- Looking ---- */

void large_find(const void *p, struct large_info *info)
{
    uintptr_t address = (uintptr_t)p;
    *info = (struct large_info){.known = false};

    large_list_acquire(0);
    const struct extent *entry = extents_at(&large_list.table, address);
    size_t freed = freed_size(address);
    if (entry != NULL && entry->state == EXTENT_LIVE)
        *info = (struct large_info){true, (void *)entry->base, usable_bytes(entry)};
    else if (freed != 0)
        *info = (struct large_info){true, (void *)address, freed};
    else
        info->known = entry != NULL;
    large_list_release();
}

void large_totals(struct large_totals *totals)
{
    large_list_acquire(0);
    const struct extent_summary *sum = extents_sum(&large_list.table);
    *totals = (struct large_totals){
        .live_bytes = sum->live,
        .live_blocks = sum->blocks,
        .stock_bytes = sum->stock,
        .stock_dirty = sum->dirty,
    };
    large_list_release();
}

bool large_is_valid(void)
{
    large_list_acquire(0);
    bool valid = extents_is_valid(&large_list.table);
    large_list_release();
    return valid;
}
