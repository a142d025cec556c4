/*
 * Heaps: see heap.h. Runs are first fit over a bitmap of units; lines of states likewise.
 */
#include "heap.h"

#include "bits.h"
#include "option.h"
#include "os.h"
#include "size_class.h"

enum {
    OPEN_STEP_UNITS = 16,      /* units made accessible at once: 1 MiB */
    OPEN_STEP_LINES = 1024,    /* lines of states, likewise: 64 KiB */
    HEAP_MIN_SIZE = 256 << 10, /* bytes: below it a heap would be little but its header */
    PLACE_TRIES = 16,          /* addresses tried in a row before another region is chosen */
    GUARDED_HEAPS = 8192, /* later heaps are opened whole: steps and guards cost four mappings each,
                             and a process has 65530 */
};

/* Below it lie the program and its brk area, where it is not position-independent. */
#define LOWEST_PLACE (4 * GIB)

/* Where the next heap is put: atomic, relaxed. 0 before the first one. */
static uintptr_t next_place;

/* Heaps made by all sets: atomic, relaxed. */
static uint32_t heaps_made;

/* ---- placing and mapping a heap ---- */

/*
 * An aligned address far from where the kernel puts mappings (about half way down from the stack,
 * at random), so that heaps lie side by side and seldom meet a mapping of somebody else.
 */
static uintptr_t choose_region(void)
{
    uintptr_t stack = (uintptr_t)__builtin_frame_address(0);
#ifdef ACRE_TSAN
    /* its runtime allows mappings only near those of the kernel's choice */
    return align_down(stack - 64 * GIB, HEAP_SIZE);
#else
    uintptr_t half = stack / 2;
    return align_down(half + os_random() % (half / 8), HEAP_SIZE);
#endif
}

/* Reserves `size` bytes at an aligned address by mapping too much and trimming. */
static char *reserve_by_trimming(size_t size)
{
    char *wide = os_reserve(size + HEAP_SIZE);
    if (wide == NULL)
        return NULL;
    char *base = (char *)align_up((uintptr_t)wide, HEAP_SIZE);
    size_t before = (size_t)(base - wide);
    if (before != 0)
        os_unmap(wide, before);
    if (before != HEAP_SIZE)
        os_unmap(base + size, HEAP_SIZE - before);
    return base;
}

/* Reserves `size` bytes at a heap-aligned address, or returns NULL. */
static char *reserve_aligned(size_t size)
{
    for (unsigned region = 0; region < 2; region++) {
        uintptr_t none = 0;
        if (__atomic_load_n(&next_place, __ATOMIC_RELAXED) == 0)
            __atomic_compare_exchange_n(&next_place, &none, choose_region(), false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        for (unsigned attempt = 0; attempt < PLACE_TRIES; attempt++) {
            uintptr_t place = __atomic_fetch_add(&next_place, HEAP_SIZE, __ATOMIC_RELAXED);
            if (place >= LOWEST_PLACE && os_reserve_at((void *)place, size))
                return (char *)place;
        }
        __atomic_store_n(&next_place, 0, __ATOMIC_RELAXED);
    }
    return reserve_by_trimming(size);
}

/* Makes lines 0 .. limit-1 accessible. */
static bool open_lines(struct heap *heap, size_t limit)
{
    size_t wanted = limit * STATES_GROUP;
    if (wanted <= heap->states_opened)
        return true;
    size_t most = (heap->size / 16);
    wanted = min_size(align_up(wanted, (size_t)OPEN_STEP_LINES * STATES_GROUP), most);
    if (!os_open(heap->states + heap->states_opened, wanted - heap->states_opened))
        return false;
    heap->states_opened = wanted;
    return true;
}

/* Says for all units of a heap what the option wants. */
static void ask_huge_pages(struct heap *heap)
{
    enum { NEVER, SYSTEM, ALWAYS };
    uint64_t wanted = option_value(OPTION_HUGE_PAGES);
    size_t units = (size_t)(heap->unit_limit - heap->first_unit);
    if (wanted != SYSTEM)
        os_huge_pages((char *)heap + (size_t)heap->first_unit * UNIT_SIZE, units * UNIT_SIZE,
                      wanted == ALWAYS);
}

/* Makes units below limit accessible; in steps, or just so far where the system refuses a step. */
static bool open_units(struct heap *heap, size_t limit)
{
    if (limit <= heap->opened_limit)
        return true;
    char *from = (char *)heap + (size_t)heap->opened_limit * UNIT_SIZE;
    size_t wanted = min_size(align_up(limit, OPEN_STEP_UNITS), heap->unit_limit);
    if (!os_open(from, (wanted - heap->opened_limit) * UNIT_SIZE)) {
        wanted = limit;
        if (!os_open(from, (wanted - heap->opened_limit) * UNIT_SIZE))
            return false;
    }
    /* a first step is too short for a huge page, and many heaps never see another */
    if (heap->opened_limit != heap->first_unit && !heap->huge_pages_asked) {
        heap->huge_pages_asked = true;
        ask_huge_pages(heap);
    }
    heap->opened_limit = (uint16_t)wanted;
    heap->used_limit = (uint16_t)max_size(heap->used_limit, wanted);
    return true;
}

/* All units, lines and descriptors free, as bitmaps. */
static void free_everything(struct heap *heap)
{
    bits_set(heap->free_units, heap->first_unit, heap->unit_limit - heap->first_unit);
    bits_set(heap->free_lines, 0, heap->size / 16 / STATES_GROUP);
    bits_set(heap->free_slabs, 0, HEAP_SLABS);
    heap->longest = (uint16_t)(heap->unit_limit - heap->first_unit);
    heap->used_units = 0;
}

/* Opens the header of a reserved heap and fills in its constants. */
static struct heap *heap_begin(struct heap_set *set, char *base, size_t size)
{
    struct heap *heap = (struct heap *)(void *)base;
    size_t header = align_up(sizeof(struct heap), os_page_size());
    size_t first_lines = min_size((size_t)OPEN_STEP_LINES * STATES_GROUP, size / 16);
    if (!os_open(base, header + first_lines))
        return NULL;
    heap->set = set;
    heap->size = size;
    heap->states = (uint8_t *)base + header;
    heap->states_opened = first_lines;
    heap->index = set->count;
    heap->pending_bit = UINT64_C(1) << (set->count % HEAP_CHAINS);
    /* a guard page at least stands between the lines and the first unit */
    size_t before_units = header + size / 16 + os_page_size();
    heap->first_unit = (uint16_t)(align_up(before_units, UNIT_SIZE) / UNIT_SIZE);
    heap->unit_limit = (uint16_t)(size / UNIT_SIZE);
    heap->opened_limit = heap->first_unit;
    free_everything(heap);
    if (__atomic_fetch_add(&heaps_made, 1, __ATOMIC_RELAXED) >= GUARDED_HEAPS &&
        os_open(base + header, size - header)) {
        heap->states_opened = size / 16;
        heap->opened_limit = heap->unit_limit;
    }
    return heap;
}

/* Makes a heap of at most HEAP_SIZE, as large as there is address space, that has `units` units. */
static struct heap *heap_create(struct heap_set *set, size_t units)
{
    for (size_t size = HEAP_SIZE; size >= HEAP_MIN_SIZE; size /= 2) {
        char *base = reserve_aligned(size);
        if (base == NULL)
            continue;
        struct heap *heap = heap_begin(set, base, size);
        if (heap == NULL || (size_t)(heap->unit_limit - heap->first_unit) < units ||
            !open_units(heap, heap->first_unit + units) || !heap_map_publish(heap)) {
            os_unmap(base, size);
            return NULL;
        }
        struct heap **chain = &set->chains[heap->index % HEAP_CHAINS];
        heap->next = *chain;
        list_push_back(&set->roomy, &heap->roomy);
        set->count++;
        /* release: who sees the heap in its chain sees its header */
        __atomic_store_n(chain, heap, __ATOMIC_RELEASE);
        return heap;
    }
    return NULL;
}

/*
 * Maps units of a heap again that heap_set_unmap_empty unmapped, as many as there is room for and
 * at least `units`; NULL if there is no such heap. Without it every bout of memory pressure would
 * leave another header behind.
 */
static struct heap *heap_extend(struct heap_set *set, size_t units)
{
    for (size_t c = 0; c < HEAP_CHAINS; c++) {
        for (struct heap *heap = set->chains[c]; heap != NULL; heap = heap->next) {
            size_t first = heap->unit_limit;
            for (size_t more = heap->size / UNIT_SIZE - first; more >= units; more /= 2) {
                if (!os_reserve_at((char *)heap + first * UNIT_SIZE, more * UNIT_SIZE))
                    continue;
                __atomic_store_n(&heap->unit_limit, (uint16_t)(first + more), __ATOMIC_RELAXED);
                bits_set(heap->free_units, first, more);
                heap->longest = HEAP_UNITS;
                if (!list_contains(&heap->roomy))
                    list_push_back(&set->roomy, &heap->roomy);
                return heap;
            }
        }
    }
    return NULL;
}

void heap_set_init(struct heap_set *set, struct arena *arena)
{
    set->lock.rank = LOCK_RANK_HEAP;
    set->arena = arena;
    set->generation = lock_generation();
    list_init(&set->roomy);
}

void heap_set_lock(struct heap_set *set)
{
    if (lock_acquire(&set->lock))
        heap_set_rebuild_locked(set);
}

void heap_set_unlock(struct heap_set *set)
{
    lock_release(&set->lock);
}

/* ---- runs ---- */

/* Takes `lines` lines; BITS_NONE if there is no such run or it cannot be opened. */
static long take_lines(struct heap *heap, size_t lines)
{
    size_t limit = heap->size / 16 / STATES_GROUP;
    long first = bits_find_run(heap->free_lines, 0, limit, lines);
    if (first == BITS_NONE || !open_lines(heap, (size_t)first + lines))
        return BITS_NONE;
    bits_clear(heap->free_lines, (size_t)first, lines);
    return first;
}

/* True if none of the units is dirty; they are from now on. Keeps the set's count of free dirty
 * units. */
static bool dirty_run(struct heap_set *set, struct heap *heap, size_t first, size_t units)
{
    size_t dirty = bits_count(heap->dirty_units, first, units);
    set->dirty -= dirty;
    bits_set(heap->dirty_units, first, units);
    bits_clear(heap->aging_units, first, units);
    return dirty == 0;
}

/* Takes the run and its descriptor in this heap, or returns NULL. */
static struct slab *take_in_heap(struct heap_set *set, struct heap *heap,
                                 struct slab_geometry *geometry)
{
    unsigned units = geometry->units;
    if (units > heap->longest)
        return NULL;
    long unit = bits_find_run(heap->free_units, heap->first_unit, heap->unit_limit, units);
    if (unit == BITS_NONE) {
        heap->longest = (uint16_t)(units - 1);
        if (heap->longest == 0)
            list_remove(&heap->roomy);
        return NULL;
    }
    long index = bits_lowest(heap->free_slabs, 0, HEAP_SLABS);
    if (index == BITS_NONE || !open_units(heap, (size_t)unit + units))
        return NULL;
    size_t lines = geometry_lines(*geometry);
    long line = take_lines(heap, lines);
    if (line == BITS_NONE)
        return NULL;
    bits_clear(heap->free_slabs, (size_t)index, 1);
    bits_clear(heap->free_units, (size_t)unit, units);
    heap->used_units += units;

    struct slab *slab = &heap->slabs[index];
    slab->base = (char *)heap + (size_t)unit * UNIT_SIZE;
    slab->states = heap->states + (size_t)line * STATES_GROUP;
    slab->zero = dirty_run(set, heap, (size_t)unit, units);
    states_reset(slab->states, geometry->count, lines);
    geometry->first_unit = (unsigned)unit;
    geometry->first_line = (unsigned)line;
    /* release: who reads the geometry reads the states as they were written before it */
    __atomic_store_n(&slab->geometry, geometry_pack(*geometry), __ATOMIC_RELEASE);
    return slab;
}

struct slab *heap_set_take(struct heap_set *set, struct slab_geometry *geometry)
{
    struct slab *slab = NULL;
    heap_set_lock(set);
    struct list_node *node = list_first(&set->roomy);
    while (node != NULL && slab == NULL) {
        struct list_node *next = list_next(&set->roomy, node);
        slab = take_in_heap(set, CONTAINER_OF(node, struct heap, roomy), geometry);
        node = next;
    }
    if (slab == NULL) {
        struct heap *heap = heap_extend(set, geometry->units);
        if (heap == NULL)
            heap = heap_create(set, geometry->units);
        if (heap != NULL)
            slab = take_in_heap(set, heap, geometry);
    }
    heap_set_unlock(set);
    return slab;
}

/* Writes slab_of of all units of a slab: `offset`, or 0 for nobody's. */
static void point_units(struct heap *heap, struct slab_geometry geometry, uint32_t offset)
{
    /* release: who comes by slab_of reads the descriptor as it was filled in before */
    for (unsigned i = 0; i < geometry.units; i++)
        __atomic_store_n(&heap->slab_of[geometry.first_unit + i], offset, __ATOMIC_RELEASE);
}

static uint32_t descriptor_offset(const struct slab *slab)
{
    return (uint32_t)((const char *)slab - (const char *)slab_heap(slab));
}

void heap_show_slab(struct slab *slab)
{
    point_units(slab_heap(slab), geometry_unpack(slab->geometry), descriptor_offset(slab));
}

/* ---- giving back ---- */

/* Purges those units of a heap that `mask` and free and dirty have in common. Returns their number.
 */
static size_t purge_units(struct heap_set *set, struct heap *heap, const uint64_t *mask)
{
    uint64_t due[HEAP_WORDS];
    for (size_t w = 0; w < HEAP_WORDS; w++)
        due[w] = mask[w] & heap->free_units[w] & heap->dirty_units[w];

    size_t purged = 0;
    for (long first = bits_lowest(due, 0, HEAP_UNITS); first != BITS_NONE;) {
        size_t end = bits_lowest_clear(due, (size_t)first, HEAP_UNITS);
        size_t units = end - (size_t)first;
        if (os_purge((char *)heap + (size_t)first * UNIT_SIZE, units * UNIT_SIZE)) {
            bits_clear(heap->dirty_units, (size_t)first, units);
            bits_clear(heap->aging_units, (size_t)first, units);
            set->dirty -= units;
            purged += units;
        }
        first = end < HEAP_UNITS ? bits_lowest(due, end, HEAP_UNITS) : BITS_NONE;
    }
    return purged;
}

/* Purges lines of states and descriptors behind those in use, of a heap without slabs. */
static void purge_header(struct heap *heap)
{
    size_t page = os_page_size();
    char *from = (char *)align_up((uintptr_t)heap->slabs, page);
    os_purge(from, (size_t)((char *)heap->states + heap->states_opened - from));
}

/*
 * Gives the units of an empty heap back, contents and commit. They can be opened again.
 * opened_limit goes first: who rebuilds the heap in a child forked in between opens again what may
 * be closed.
 */
static void heap_retire(struct heap_set *set, struct heap *heap)
{
    uint16_t opened_limit = heap->opened_limit;
    size_t opened = (size_t)(opened_limit - heap->first_unit);
    __atomic_store_n(&heap->opened_limit, heap->first_unit, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (opened != 0 &&
        !os_close((char *)heap + (size_t)heap->first_unit * UNIT_SIZE, opened * UNIT_SIZE)) {
        __atomic_store_n(&heap->opened_limit, opened_limit, __ATOMIC_RELAXED);
        return;
    }
    set->dirty -= bits_count(heap->dirty_units, heap->first_unit, opened);
    bits_clear(heap->dirty_units, heap->first_unit, opened);
    bits_clear(heap->aging_units, heap->first_unit, opened);
    purge_header(heap);
}

/* True if the set has an empty heap with accessible units besides `heap`. */
static bool has_other_spare(const struct heap_set *set, const struct heap *heap)
{
    for (struct list_node *node = list_first(&set->roomy); node != NULL;
         node = list_next(&set->roomy, node)) {
        struct heap *other = CONTAINER_OF(node, struct heap, roomy);
        if (other != heap && other->used_units == 0 && other->opened_limit > other->first_unit)
            return true;
    }
    return false;
}

static void give_run(struct heap_set *set, struct heap *heap, struct slab *slab,
                     struct slab_geometry g)
{
    point_units(heap, g, 0);
    bits_set(heap->free_units, g.first_unit, g.units);
    bits_set(heap->free_slabs, slab_index(slab), 1);
    bits_set(heap->free_lines, g.first_line, geometry_lines(g));
    heap->used_units -= g.units;
    heap->longest = HEAP_UNITS;
    if (!list_contains(&heap->roomy))
        list_push_back(&set->roomy, &heap->roomy);
    set->dirty += g.units;
}

/* Purges every free unit of every heap. */
static size_t purge_all(struct heap_set *set)
{
    static const uint64_t everything[HEAP_WORDS] = {
        ~UINT64_C(0), ~UINT64_C(0), ~UINT64_C(0), ~UINT64_C(0),
        ~UINT64_C(0), ~UINT64_C(0), ~UINT64_C(0), ~UINT64_C(0),
    };
    size_t units = 0;
    for (size_t c = 0; c < HEAP_CHAINS; c++)
        for (struct heap *heap = set->chains[c]; heap != NULL; heap = heap->next)
            units += purge_units(set, heap, everything);
    return units * UNIT_SIZE;
}

void heap_set_give(struct heap_set *set, struct slab *slab)
{
    struct heap *heap = slab_heap(slab);
    heap_set_lock(set);
    struct slab_geometry geometry = geometry_unpack(slab->geometry);
    /* release: withdrawn before anything of it is reused */
    __atomic_store_n(&slab->geometry, 0, __ATOMIC_RELEASE);
    give_run(set, heap, slab, geometry);
    if (heap->used_units == 0 && has_other_spare(set, heap))
        heap_retire(set, heap);
    uint64_t decay = option_value(OPTION_DECAY);
    if (decay == 0 || set->dirty * UNIT_SIZE > option_value(OPTION_DIRTY_LIMIT))
        purge_all(set);
    else if (set->next_tick == 0)
        __atomic_store_n(&set->next_tick, os_now_ms() + decay, __ATOMIC_RELAXED);
    heap_set_unlock(set);
}

size_t heap_set_purge(struct heap_set *set)
{
    heap_set_lock(set);
    size_t bytes = purge_all(set);
    heap_set_unlock(set);
    return bytes;
}

void heap_set_tick(struct heap_set *set)
{
    uint64_t due = __atomic_load_n(&set->next_tick, __ATOMIC_RELAXED);
    if (due == 0)
        return;
    uint64_t now = os_now_ms();
    if (now < due)
        return;
    heap_set_lock(set);
    for (size_t c = 0; c < HEAP_CHAINS; c++) {
        for (struct heap *heap = set->chains[c]; heap != NULL; heap = heap->next) {
            purge_units(set, heap, heap->aging_units);
            for (size_t w = 0; w < HEAP_WORDS; w++)
                heap->aging_units[w] = heap->free_units[w] & heap->dirty_units[w];
        }
    }
    uint64_t next = set->dirty == 0 ? 0 : now + max_size(option_value(OPTION_DECAY), 1);
    __atomic_store_n(&set->next_tick, next, __ATOMIC_RELAXED);
    heap_set_unlock(set);
}

/*
 * Unmaps the units of an empty heap; its header stays for ever. unit_limit goes first: the address
 * space may be somebody else's at once, and a child forked in between must not take it for the
 * heap's.
 */
static size_t unmap_units(struct heap_set *set, struct heap *heap)
{
    uint16_t unit_limit = heap->unit_limit;
    size_t units = (size_t)(unit_limit - heap->first_unit);
    heap_retire(set, heap);
    if (heap->opened_limit != heap->first_unit)
        return 0;
    __atomic_store_n(&heap->unit_limit, heap->first_unit, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (!os_unmap((char *)heap + (size_t)heap->first_unit * UNIT_SIZE, units * UNIT_SIZE)) {
        __atomic_store_n(&heap->unit_limit, unit_limit, __ATOMIC_RELAXED);
        return 0;
    }
    bits_clear(heap->free_units, heap->first_unit, units);
    set->dirty -= bits_count(heap->dirty_units, heap->first_unit, units);
    bits_clear(heap->dirty_units, heap->first_unit, HEAP_UNITS - heap->first_unit);
    heap->longest = 0;
    if (list_contains(&heap->roomy))
        list_remove(&heap->roomy);
    return units * UNIT_SIZE;
}

size_t heap_set_unmap_empty(struct heap_set *set)
{
    size_t bytes = 0;
    heap_set_lock(set);
    for (size_t c = 0; c < HEAP_CHAINS; c++)
        for (struct heap *heap = set->chains[c]; heap != NULL; heap = heap->next)
            if (heap->used_units == 0 && heap->unit_limit != heap->first_unit)
                bytes += unmap_units(set, heap);
    heap_set_unlock(set);
    return bytes;
}

/* ---- looking at all of it ---- */

/* Calls visit for each published slab of one heap. */
static void for_each_slab_of(struct heap *heap, void (*visit)(void *, struct slab *), void *context)
{
    /* units, not descriptors: a purged or never used part of the table is not touched */
    for (size_t unit = heap->first_unit; unit < HEAP_UNITS; unit++) {
        uint32_t offset = __atomic_load_n(&heap->slab_of[unit], __ATOMIC_RELAXED);
        if (offset == 0)
            continue;
        struct slab *slab = (struct slab *)(void *)((char *)heap + offset);
        uint64_t word = __atomic_load_n(&slab->geometry, __ATOMIC_ACQUIRE);
        if (word != 0 && geometry_unpack(word).first_unit == unit)
            visit(context, slab);
    }
}

void heap_set_for_each_slab(struct heap_set *set, void (*visit)(void *, struct slab *),
                            void *context)
{
    for (size_t c = 0; c < HEAP_CHAINS; c++)
        for (struct heap *heap = __atomic_load_n(&set->chains[c], __ATOMIC_ACQUIRE); heap != NULL;
             heap = heap->next)
            for_each_slab_of(heap, visit, context);
}

/* Takes what a published slab holds out of its heap's bitmaps. */
static void claim_slab(struct heap *heap, struct slab *slab)
{
    struct slab_geometry g = geometry_unpack(slab->geometry);
    bits_clear(heap->free_slabs, slab_index(slab), 1);
    bits_clear(heap->free_units, g.first_unit, g.units);
    bits_clear(heap->free_lines, g.first_line, geometry_lines(g));
    heap->used_units += g.units;
    point_units(heap, g, descriptor_offset(slab));
}

/*
 * Other threads go on freeing blocks of this heap meanwhile, so slab_of of a unit in a slab never
 * changes: slabs first claim their units, storing what stands there already, and only what is left
 * over is nobody's.
 */
static void heap_rebuild(struct heap *heap)
{
    free_everything(heap);
    for (size_t i = 0; i < HEAP_SLABS; i++)
        if (heap->slabs[i].geometry != 0)
            claim_slab(heap, &heap->slabs[i]);
    for (size_t unit = heap->first_unit; unit < heap->unit_limit; unit++)
        if (bits_test(heap->free_units, unit))
            __atomic_store_n(&heap->slab_of[unit], 0, __ATOMIC_RELAXED);
    /* which units are dirty is not known any more: all that were ever accessible may be */
    for (size_t w = 0; w < HEAP_WORDS; w++)
        heap->dirty_units[w] = heap->aging_units[w] = 0;
    bits_set(heap->dirty_units, heap->first_unit,
             min_size(heap->used_limit, heap->unit_limit) - heap->first_unit);
}

void heap_set_rebuild_locked(struct heap_set *set)
{
    ASSERT(lock_is_held(&set->lock));
    list_init(&set->roomy);
    set->dirty = 0;
    set->count = 0;
    for (size_t c = 0; c < HEAP_CHAINS; c++) {
        for (struct heap *heap = set->chains[c]; heap != NULL; heap = heap->next) {
            heap_rebuild(heap);
            list_push_back(&set->roomy, &heap->roomy);
            for (size_t w = 0; w < HEAP_WORDS; w++)
                set->dirty +=
                    (size_t)__builtin_popcountll(heap->free_units[w] & heap->dirty_units[w]);
            set->count = (uint32_t)max_size(set->count, heap->index + 1);
        }
    }
    __atomic_store_n(&set->next_tick, os_now_ms(), __ATOMIC_RELAXED);
}

void heap_set_totals(struct heap_set *set, struct heap_totals *totals)
{
    heap_set_lock(set);
    *totals = (struct heap_totals){.heaps = set->count, .free_dirty = set->dirty * UNIT_SIZE};
    for (size_t c = 0; c < HEAP_CHAINS; c++) {
        for (struct heap *heap = set->chains[c]; heap != NULL; heap = heap->next) {
            totals->mapped += (size_t)heap->unit_limit * UNIT_SIZE;
            totals->in_slabs += (size_t)heap->used_units * UNIT_SIZE;
        }
    }
    heap_set_unlock(set);
}

/* Checks one heap: each slab's units, lines and descriptor are marked used, and nothing else is. */
static bool heap_is_valid(const struct heap *heap)
{
    uint64_t units[HEAP_WORDS] = {0};
    size_t used = 0, slabs = 0, lines = 0;
    for (size_t i = 0; i < HEAP_SLABS; i++) {
        struct slab_geometry g = geometry_unpack(heap->slabs[i].geometry);
        if (heap->slabs[i].geometry == 0)
            continue;
        if (bits_test(heap->free_slabs, i) ||
            bits_count(heap->free_units, g.first_unit, g.units) != 0 ||
            bits_count(units, g.first_unit, g.units) != 0 ||
            bits_count(heap->free_lines, g.first_line, geometry_lines(g)) != 0)
            return false;
        bits_set(units, g.first_unit, g.units);
        used += g.units;
        lines += geometry_lines(g);
        slabs++;
    }
    size_t all_units = (size_t)(heap->unit_limit - heap->first_unit);
    size_t all_lines = heap->size / 16 / STATES_GROUP;
    return used == heap->used_units &&
           all_units - bits_count(heap->free_units, 0, HEAP_UNITS) == used &&
           all_lines - bits_count(heap->free_lines, 0, all_lines) == lines &&
           HEAP_SLABS - bits_count(heap->free_slabs, 0, HEAP_SLABS) == slabs;
}

bool heap_set_is_valid(struct heap_set *set)
{
    bool valid = true;
    heap_set_lock(set);
    for (size_t c = 0; c < HEAP_CHAINS; c++)
        for (struct heap *heap = set->chains[c]; heap != NULL; heap = heap->next)
            valid = valid && heap->size != 0 && heap_is_valid(heap);
    heap_set_unlock(set);
    return valid;
}
