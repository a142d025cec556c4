/* The unit map: see unit_map.h. */
#include "heap/unit_map.h"

#include "heap/heap_map.h"
#include "base/lock.h"
#include "base/os.h"

enum {
    HEAP_ENTRIES = 1 << (HEAP_SHIFT - UNIT_SHIFT),
    MAP_HEAPS = 8192,     /* heaps that the map reaches: 256 GiB of address space */
    GAP_HEAPS_MAX = 1024, /* between covered heaps: those of threads that come later, or places
                             where other mappings stood in the way; each has a page filled in */
};

/* Where no address is near: below 2^47 or so are the program's, above the kernel's, and the
 * difference to any of them is more than the map reaches. */
#define BASE_NONE ((uintptr_t)1 << 62)

struct unit_map unit_map = {.base = BASE_NONE};

static struct lock map_lock = {.rank = LOCK_RANK_UNITS};

/* Units lock, both. */
static size_t reserved; /* units that the range has entries for; lowered before they are unmapped */
static size_t capacity; /* units that may be covered, at most `reserved` */

/* Reserves the range between its guards and lets the region begin at the first heap. Tried once: a
 * heap that was made before must not be covered later. */
static void begin(const void *heap)
{
    size_t entries = (size_t)MAP_HEAPS * HEAP_ENTRIES;
    size_t guard = os_page_size();
    char *range = os_reserve(guard + entries * sizeof(struct slab *) + guard);
    if (range != NULL) {
        __atomic_store_n(&unit_map.slabs, (struct slab **)(void *)(range + guard),
                         __ATOMIC_RELAXED);
        reserved = capacity = entries;
    }
    __atomic_store_n(&unit_map.base, (uintptr_t)heap, __ATOMIC_RELAXED);
}

/* Opens and fills in the entries below `limit`; covered says so when it is done. */
static bool cover(size_t limit, struct slab *nobody)
{
    char *from = (char *)&unit_map.slabs[unit_map.covered];
    char *to = (char *)&unit_map.slabs[limit];
    /* a page may have been opened already for the entries before */
    from = (char *)align_down((uintptr_t)from, os_page_size());
    to = (char *)align_up((uintptr_t)to, os_page_size());
    if (!os_open(from, (size_t)(to - from)))
        return false;
    for (size_t unit = unit_map.covered; unit < limit; unit++)
        __atomic_store_n(&unit_map.slabs[unit], nobody, __ATOMIC_RELAXED);
    /* release: who sees the entry covered sees it filled in */
    __atomic_store_n(&unit_map.covered, limit, __ATOMIC_RELEASE);
    return true;
}

struct slab **unit_map_cover(const void *heap, struct slab *nobody)
{
    struct slab **entry = NULL;
    (void)lock_acquire(&map_lock);
    if (unit_map.base == BASE_NONE)
        begin(heap);
    size_t first = ((uintptr_t)heap - unit_map.base) >> UNIT_SHIFT;
    size_t limit = first + HEAP_ENTRIES;
    size_t reach = unit_map.covered + (size_t)GAP_HEAPS_MAX * HEAP_ENTRIES;
    if (first < capacity) {
        if (limit <= unit_map.covered || (first < reach && cover(limit, nobody)))
            entry = &unit_map.slabs[first];
        else
            capacity = first; /* it has a table of its own, and must not be covered later */
    }
    lock_release(&map_lock);
    return entry;
}

/* Entries that stay when all that no heap has are given up. Needs the lock. */
static size_t entries_kept(void)
{
    size_t page_entries = os_page_size() / sizeof(struct slab *);
    return min_size(reserved, align_up(unit_map.covered, max_size(page_entries, HEAP_ENTRIES)));
}

size_t unit_map_unused(void)
{
    (void)lock_acquire(&map_lock);
    size_t bytes = (reserved - entries_kept()) * sizeof(struct slab *);
    lock_release(&map_lock);
    return bytes;
}

size_t unit_map_trim(void)
{
    (void)lock_acquire(&map_lock);
    size_t kept = entries_kept();
    size_t bytes = 0;
    if (kept < reserved) {
        bytes = (reserved - kept) * sizeof(struct slab *);
        capacity = min_size(capacity, kept);
        __atomic_store_n(&reserved, kept, __ATOMIC_RELAXED);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        if (!os_unmap((char *)&unit_map.slabs[kept] + os_page_size(), bytes)) /* after a guard */
            bytes = 0;
    }
    lock_release(&map_lock);
    return bytes;
}
