/* A heap's pages: see heap_pages.h. */
#include "heap/heap_pages.h"

#include "base/bits.h"
#include "base/chance.h"
#include "base/limit.h"
#include "base/option.h"
#include "base/os.h"

enum {
    HUGE_LOOKS_BACK = 4,    /* huge pages: 8 MiB */
    REGION_HEAPS = 1 << 15, /* places of the region: 1 TiB, as many heaps as the system's default
                               limit of mappings (65530) allows; 128 MiB of map */
    PLACES_PER_HEAP = 8,    /* places under a limit, for each heap that it allows, */
    PLACES_AT_LEAST = 64,   /* and for those that are smaller */
    PLACES_AT_RANDOM = 8,   /* of which a heap takes one with option hardened: 3 bits */
};

/* Below it lie the program and its brk area, where it is not position-independent. */
#define LOWEST_PLACE (4 * GIB)

/* Bytes of the guard in front of a heap. */
#define GUARD ((size_t)HEAP_GUARD_UNITS * UNIT_SIZE)

/* ---- placing ---- */

/* True if the system has `size` bytes of address space anywhere. */
static bool has_space(size_t size)
{
    void *pages = os_can_unmap() ? os_reserve(size) : NULL;
    return pages != NULL && os_unmap(pages, size);
}

/* A place for a heap where the system puts mappings; 0 if it has no address space. */
static uintptr_t system_place(size_t size)
{
    char *pages = os_can_unmap() ? os_reserve(size + HEAP_SIZE) : NULL;
    if (pages == NULL || !os_unmap(pages, size + HEAP_SIZE))
        return 0;
    return align_up((uintptr_t)pages + GUARD, HEAP_SIZE);
}

/* A random number below `limit`; 0 in a program that is started without random addresses. */
static uint64_t place_number(uint64_t limit)
{
    return os_addresses_are_random() ? chance_below(os_random(), limit) : 0;
}

/*
 * A random place about half way down from an address that the system's mappings are near: far from
 * them, so that heaps lie side by side and seldom meet a foreign mapping. With option hardened it
 * is anywhere below that, of 2^21 places, not 2^18.
 */
static uintptr_t place_below(uintptr_t address)
{
#ifdef ACRE_TSAN
    /* its runtime allows mappings only near those of the kernel's choice */
    uintptr_t place = address - 64 * GIB;
#else
    uintptr_t half = address / 2;
    uintptr_t place =
        option_value(OPTION_HARDENED) != 0 ? place_number(half) : half + place_number(half / 8 + 1);
#endif
    return align_down(max_size(place, LOWEST_PLACE), HEAP_SIZE);
}

/* Places of the region. Under a limit of address space there are more than fit: heaps are smaller
 * than their places then, and the limit may be raised. */
static size_t region_heaps(void)
{
    size_t limit = os_address_space_limit();
    if (limit / HEAP_SIZE >= REGION_HEAPS / PLACES_PER_HEAP)
        return REGION_HEAPS;
    return limit / HEAP_SIZE * PLACES_PER_HEAP + PLACES_AT_LEAST;
}

/* Begins the region at a place, if `size` bytes, the guard included, may be reserved there. */
static bool begin_at(uintptr_t place, size_t size)
{
    char *guard = (char *)(place - GUARD);
    return os_can_unmap() && os_reserve_at(guard, size) && os_unmap(guard, size) &&
           unit_map_begin(place, region_heaps());
}

/* Chooses the region, in which there is room for a heap of that size. */
static bool begin_region(size_t size)
{
    if (begin_at(place_below((uintptr_t)__builtin_frame_address(0)), size))
        return true;
    uintptr_t place = system_place(size);
    return place != 0 && (begin_at(place_below(place), size) || begin_at(place, size));
}

/* The number of places skipped doubles, so that a large foreign mapping is soon passed. A place
 * that is skipped costs the memory of its entries. */
char *heap_pages_reserve(size_t size)
{
    if (!unit_map_has_region() && !begin_region(size))
        return NULL;
    size_t skipped = option_value(OPTION_HARDENED) != 0 ? place_number(PLACES_AT_RANDOM) : 0;
    if (unit_map_place(skipped) == NULL)
        skipped = 0;
    for (;;) {
        char *place = unit_map_place(skipped);
        if (place == NULL)
            return NULL;
        if (os_reserve_at(place - GUARD, size))
            return place;
        if (!has_space(size))
            return NULL; /* not for the place, which stays for a smaller heap */
        skipped = 2 * skipped + 1;
    }
}

void heap_pages_release(char *base, size_t size)
{
    os_unmap(base - GUARD, size);
}

/* ---- opening ---- */

/* Says for a heap of `units` units what the option wants; for its guard, too, so that it is one
 * mapping with what is without access in the heap before. */
static void ask_huge_pages(char *base, size_t units)
{
    uint64_t wanted = option_value(OPTION_HUGE_PAGES);
    if (wanted != HUGE_PAGES_SYSTEM)
        os_huge_pages(base - GUARD, GUARD + units * UNIT_SIZE, wanted == HUGE_PAGES_ALWAYS);
}

bool heap_pages_open_lines(struct heap *heap, size_t limit)
{
    size_t wanted = limit * STATES_GROUP;
    if (wanted <= heap->states_opened)
        return true;
    wanted = min_size(align_up(wanted, HEAP_OPEN_STATES), heap_states_size(heap));
    if (!os_open(heap->states + heap->states_opened, wanted - heap->states_opened))
        return false;
    limit_count(wanted - heap->states_opened);
    heap->states_opened = wanted;
    return true;
}

/*
 * True if the units of a heap from `unit` on are to be backed by huge pages. The system gives one
 * at a first touch, if all of it is accessible then.
 */
static bool wants_huge_pages(const struct heap *heap, size_t unit)
{
    switch (option_value(OPTION_HUGE_PAGES)) {
    case HUGE_PAGES_ALWAYS:
        return true;
    case HUGE_PAGES_LARGE:
        return heap->index > 0 || unit >= HEAP_HUGE_FROM;
    default:
        return false;
    }
}

bool heap_pages_open_units(struct heap *heap, size_t limit)
{
    size_t opened = heap->opened_limit;
    if (limit <= opened)
        return true;
    size_t step = opened == heap->first_unit ? HEAP_OPEN_FIRST : HEAP_OPEN_STEP;
    if (wants_huge_pages(heap, opened))
        step = HEAP_HUGE_UNITS;
    size_t wanted = min_size(align_up(limit, step), heap->unit_limit);
    if (!os_open(heap_unit_address(heap, opened), (wanted - opened) * UNIT_SIZE)) {
        wanted = limit;
        if (!os_open(heap_unit_address(heap, opened), (wanted - opened) * UNIT_SIZE))
            return false;
    }
    /* the first steps are too short for a huge page, and many heaps never see another */
    if ((step == HEAP_HUGE_UNITS || wanted > HEAP_OPEN_STEP) && !heap->huge_pages_asked) {
        heap->huge_pages_asked = true;
        ask_huge_pages((char *)heap, heap->unit_limit);
    }
    heap->opened_limit = (uint16_t)wanted;
    __atomic_store_n(&heap->used_limit, (uint16_t)max_size(heap->used_limit, wanted),
                     __ATOMIC_RELAXED);
    return true;
}

/* ---- huge pages ---- */

/* Bytes of a huge page. */
#define HUGE_PAGE ((size_t)HEAP_HUGE_UNITS * UNIT_SIZE)

/* True if huge pages are filled in: the options allow a whole one to be idle for a while. */
static bool fills_huge_pages(void)
{
    return option_value(OPTION_HUGE_PAGES) == HUGE_PAGES_LARGE && option_value(OPTION_DECAY) != 0 &&
           option_value(OPTION_DIRTY_LIMIT) >= HUGE_PAGE;
}

/* Has the system fill a huge page in at `unit`, if it has one; all its units are dirty then. Memory
 * that is locked has its pages already, and cannot go back. */
static void fill_huge_page(struct heap *heap, size_t unit)
{
    char *base = heap_unit_address(heap, unit);
    if (os_is_filled_in(base))
        return;
    os_huge_pages(base, HUGE_PAGE, true);
    *(volatile char *)base = 0;
    os_huge_pages(base, HUGE_PAGE, false);
    if (os_is_filled_in(base + UNIT_SIZE)) {
        heap->huge_filled = (uint16_t)(heap->huge_filled | 1U << unit / HEAP_HUGE_UNITS);
        bits_set(heap->dirty_units, unit, HEAP_HUGE_UNITS);
        heap->idle_units += HEAP_HUGE_UNITS;
    }
}

void heap_pages_begin(struct heap *heap)
{
    heap->huge_pages_asked = false;
    heap->huge_filled = 0;
    heap->fresh_from = heap->first_unit;
}

/* True if three quarters of the HUGE_LOOKS_BACK huge pages below one have memory. Those that were
 * filled in are left out, since they tell nothing of their use; false if all were. */
static bool is_resident_below(const struct heap *heap, size_t huge_page)
{
    size_t size = 0, filled = 0;
    for (size_t i = huge_page - min_size(huge_page, HUGE_LOOKS_BACK); i < huge_page; i++) {
        if ((heap->huge_filled >> i & 1) != 0)
            continue;
        size_t first = max_size(i * HEAP_HUGE_UNITS, heap->first_unit);
        size_t part = ((i + 1) * HEAP_HUGE_UNITS - first) * UNIT_SIZE;
        size += part;
        filled += os_filled_in(heap_unit_address(heap, first), part);
    }
    return size != 0 && filled >= size - size / 4;
}

/* True if none of the units of a huge page is in a slab or has memory. */
static bool is_untouched(const struct heap *heap, size_t unit)
{
    uint64_t mask = ((UINT64_C(1) << HEAP_HUGE_UNITS) - 1) << unit % 64;
    return (heap->free_units[unit / 64] & ~heap->dirty_units[unit / 64] & mask) == mask;
}

void heap_pages_fill_huge(struct heap *heap, size_t first, size_t limit, size_t block_size)
{
    for (size_t unit = align_down(first, HEAP_HUGE_UNITS); unit < limit; unit += HEAP_HUGE_UNITS)
        if (is_untouched(heap, unit) && unit + HEAP_HUGE_UNITS <= heap->opened_limit &&
            fills_huge_pages() && wants_huge_pages(heap, unit) &&
            (block_size < UNIT_SIZE || is_resident_below(heap, unit / HEAP_HUGE_UNITS)) &&
            limit_take(HUGE_PAGE))
            fill_huge_page(heap, unit);
}
