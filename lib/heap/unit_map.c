/* The unit map: see unit_map.h. */
#include "heap/unit_map.h"

#include "base/lock.h"
#include "base/os.h"

/* No address is near: the program's are below 2^56, the kernel's above 2^63, and a map covers less
 * than lies between. */
#define BASE_NONE ((uintptr_t)1 << 62)

struct unit_map unit_map = {.base = BASE_NONE};

static struct lock map_lock = {.rank = LOCK_RANK_UNITS};

/* [units lock] Units of the region. */
static START_DATA size_t capacity;

void unit_map_lock(void)
{
    (void)lock_acquire(&map_lock); /* there is nothing to rebuild */
}

void unit_map_unlock(void)
{
    lock_release(&map_lock);
}

bool unit_map_has_region(void)
{
    return unit_map.base != BASE_NONE;
}

bool unit_map_begin(uintptr_t base, size_t heaps)
{
    ASSERT(lock_is_held(&map_lock) && !unit_map_has_region() && base % HEAP_SIZE == 0);
    size_t guard = os_page_size();
    size_t size = align_up(heaps * HEAP_UNITS * sizeof(struct slab *), os_page_size());
    char *range = os_reserve(guard + size + guard);
    if (range == NULL)
        return false;
    __atomic_store_n(&unit_map.slabs, (struct slab **)(void *)(range + guard), __ATOMIC_RELAXED);
    capacity = heaps * HEAP_UNITS;
    /* release: the child of a fork that finds a region finds its map */
    __atomic_store_n(&unit_map.base, base, __ATOMIC_RELEASE);
    return true;
}

char *unit_map_place(size_t skipped)
{
    ASSERT(lock_is_held(&map_lock));
    size_t left = (capacity - unit_map.covered) / HEAP_UNITS;
    if (!unit_map_has_region() || skipped >= left)
        return NULL;
    return (char *)(unit_map.base + unit_map.covered * UNIT_SIZE + skipped * HEAP_SIZE);
}

static size_t first_unit(const void *heap)
{
    return ((uintptr_t)heap - unit_map.base) >> UNIT_SHIFT;
}

struct slab **unit_map_entries(const void *heap)
{
    return &unit_map.slabs[first_unit(heap)];
}

/* Makes the entries covered .. limit-1 accessible. */
static bool open_entries(size_t limit)
{
    /* a page may have been opened already for the entries before */
    uintptr_t from = align_down((uintptr_t)&unit_map.slabs[unit_map.covered], os_page_size());
    uintptr_t to = align_up((uintptr_t)&unit_map.slabs[limit], os_page_size());
    return os_open((void *)from, to - from);
}

bool unit_map_cover(const void *heap, struct slab *header, struct slab *nobody)
{
    ASSERT(lock_is_held(&map_lock));
    size_t first = first_unit(heap), limit = first + HEAP_UNITS;
    ASSERT(first >= unit_map.covered && limit <= capacity);
    if (!open_entries(limit))
        return false;
    for (size_t unit = unit_map.covered; unit < limit; unit++)
        __atomic_store_n(&unit_map.slabs[unit], unit == first ? header : nobody, __ATOMIC_RELAXED);
    /* release: a thread that sees the entry covered sees it filled in, and the heap's header */
    __atomic_store_n(&unit_map.covered, limit, __ATOMIC_RELEASE);
    return true;
}
