/* The unit map: see unit_map.h. */
#include "unit_map.h"

#include "heap_map.h"
#include "lock.h"
#include "os.h"

enum {
    HEAP_ENTRIES = 1 << (HEAP_SHIFT - UNIT_SHIFT),
    MAP_HEAPS = 8192,   /* heaps that the map reaches: 256 GiB of address space */
    GAP_HEAPS_MAX = 64, /* between covered heaps, where other mappings stood in the way */
};

/* Where no address is near: below 2^47 or so are the program's, above the kernel's, and the
 * difference to any of them is more than the map reaches. */
#define BASE_NONE ((uintptr_t)1 << 62)

struct unit_map unit_map = {.base = BASE_NONE};

static struct lock map_lock = {.rank = LOCK_RANK_UNITS};

/* Lock: units that the reserved range has entries for. Lowered before their range is unmapped. */
static size_t capacity;

/* Reserves the range and lets the region begin at the first heap. */
static bool begin(const void *heap)
{
    size_t entries = (size_t)MAP_HEAPS * HEAP_ENTRIES;
    struct slab **slabs = os_reserve(entries * sizeof(struct slab *));
    if (slabs == NULL)
        return false;
    __atomic_store_n(&unit_map.slabs, slabs, __ATOMIC_RELAXED);
    __atomic_store_n(&unit_map.base, (uintptr_t)heap, __ATOMIC_RELAXED);
    capacity = entries;
    return true;
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
    if (capacity != 0 || (unit_map.base == BASE_NONE && begin(heap))) {
        size_t first = ((uintptr_t)heap - unit_map.base) >> UNIT_SHIFT;
        size_t limit = first + HEAP_ENTRIES;
        size_t reach = unit_map.covered + (size_t)GAP_HEAPS_MAX * HEAP_ENTRIES;
        bool covered = limit <= unit_map.covered;
        if (covered || (first < min_size(reach, capacity) && cover(limit, nobody)))
            entry = &unit_map.slabs[first];
    }
    lock_release(&map_lock);
    return entry;
}

size_t unit_map_trim(void)
{
    (void)lock_acquire(&map_lock);
    size_t page_entries = os_page_size() / sizeof(struct slab *);
    size_t kept = align_up(unit_map.covered, max_size(page_entries, HEAP_ENTRIES));
    size_t bytes = 0;
    if (kept < capacity) {
        bytes = (capacity - kept) * sizeof(struct slab *);
        __atomic_store_n(&capacity, kept, __ATOMIC_RELAXED);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        os_unmap(&unit_map.slabs[kept], bytes);
    }
    lock_release(&map_lock);
    return bytes;
}
