/* Heap sets: see heap_set.h. What a change means for one heap is in heap.c. */
#include "heap/heap_set.h"

#include "heap/heap.h"
#include "heap/heap_pages.h"
#include "base/limit.h"
#include "base/option.h"
#include "base/os.h"

enum {
    REFUSED_PART = 8, /* see age_or_purge */
    PURGED_PART = 4,  /* see age_or_purge */
    TOLD_PART = 8,    /* see tell_used */
};

/* ---- the set ---- */

void heap_set_init(struct heap_set *set, struct arena *arena)
{
    set->lock.rank = LOCK_RANK_HEAP;
    set->arena = arena;
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

/* The first heap of the chains from number `chain` on, or NULL. */
static struct heap *first_of_chains(const struct heap_set *set, size_t chain)
{
    struct heap *heap = NULL;
    for (; chain < HEAP_CHAINS && heap == NULL; chain++)
        heap = heap_set_chain(set, chain);
    return heap;
}

/* For walking all heaps, with or without the lock: heaps made meanwhile may be missed. */
static struct heap *first_heap(const struct heap_set *set)
{
    return first_of_chains(set, 0);
}

static struct heap *next_heap(const struct heap *heap)
{
    if (heap->next != NULL)
        return heap->next;
    return first_of_chains(heap->set, heap->index % HEAP_CHAINS + 1);
}

/*
 * Counts the set's units in heap_counts, a line of the cache for which all threads would wait if
 * each slab was counted there: what is given back only when it is more than 1/TOLD_PART of what was
 * counted, as it is likely to be taken again. Needs the heap lock.
 */
static void tell_used(struct heap_set *set)
{
    if (set->used <= set->told && set->told - set->used <= set->told / TOLD_PART)
        return;
    size_t now = __atomic_add_fetch(&heap_counts.units, set->used - set->told, __ATOMIC_RELAXED);
    /* two sets that reach a peak at once may leave the lower one of the two */
    if (set->used > set->told && now > __atomic_load_n(&heap_counts.units_peak, __ATOMIC_RELAXED))
        __atomic_store_n(&heap_counts.units_peak, now, __ATOMIC_RELAXED);
    set->told = set->used;
}

/* After a change of a heap: brings the set's sum and the list of roomy heaps up to date. Needs the
 * heap lock. */
static void account(struct heap *heap)
{
    struct heap_set *set = heap->set;
    set->dirty += heap->idle_units;
    set->dirty -= heap->counted;
    heap->counted = heap->idle_units;
    __atomic_store_n(&set->used, set->used + heap->used_units - heap->counted_used,
                     __ATOMIC_RELAXED);
    heap->counted_used = heap->used_units;
    tell_used(set);
    bool listed = list_contains(&heap->roomy);
    if (heap_is_roomy(heap) && !listed)
        list_push_back(&set->roomy, &heap->roomy);
    else if (!heap_is_roomy(heap) && listed)
        list_remove(&heap->roomy);
}

/* ---- purging ---- */

/* Closes heaps without slabs and memory but the one that will be taken from first. Needs the heap
 * lock. */
static void close_spares(struct heap_set *set)
{
    bool kept = false;
    for (struct list_node *node = list_first(&set->roomy); node != NULL;
         node = list_next(&set->roomy, node)) {
        struct heap *heap = CONTAINER_OF(node, struct heap, roomy);
        if (heap->used_units != 0 || heap->idle_units != 0 ||
            heap->opened_limit == heap->first_unit)
            continue;
        if (kept)
            heap_close(heap);
        kept = true;
    }
}

/* Purges the free units of a heap; with `aged`, those that were free at the last heap_age. Needs
 * the heap lock. */
static void purge_heap(struct heap *heap, bool aged)
{
    if (aged)
        heap_age(heap);
    else
        heap_purge(heap, heap->free_units);
    account(heap);
}

/* The same in every heap. Returns bytes given back. Needs the heap lock. */
static size_t purge_units(struct heap_set *set, bool aged)
{
    size_t dirty = set->dirty;
    for (struct heap *heap = first_heap(set); heap != NULL; heap = next_heap(heap))
        purge_heap(heap, aged);
    close_spares(set);
    if (!aged)
        set->refused = set->dirty;
    return (dirty - set->dirty) * UNIT_SIZE;
}

/* Purges the heaps that will be taken from last until no more than `most` units are dirty. Returns
 * bytes given back. Needs the heap lock. */
static size_t purge_down_to(struct heap_set *set, size_t most)
{
    size_t dirty = set->dirty;
    for (struct list_node *node = list_last(&set->roomy); node != NULL && set->dirty > most;
         node = list_previous(&set->roomy, node))
        purge_heap(CONTAINER_OF(node, struct heap, roomy), false);
    close_spares(set);
    if (set->dirty > most)
        set->refused = set->dirty;
    return (dirty - set->dirty) * UNIT_SIZE;
}

/* Bytes that may be free and dirty. Needs the heap lock. */
static size_t bound(const struct heap_set *set)
{
    if (option_value(OPTION_DECAY) == 0)
        return 0;
    return option_value(OPTION_DIRTY_LIMIT) + recent_bound(&set->recent, set->used * UNIT_SIZE, 0);
}

/*
 * Units have become free and dirty: they wait for their time, or whole heaps are purged if there
 * are too many: 1/PURGED_PART below the bound, so that it is done seldom. Units that the system
 * refuses to purge (locked memory) are tried again when there are 1/REFUSED_PART more. Needs the
 * heap lock.
 */
static void age_or_purge(struct heap_set *set, uint64_t now)
{
    size_t most = bound(set) / UNIT_SIZE;
    if (set->dirty > most && set->dirty > set->refused + set->refused / REFUSED_PART)
        recent_count_gone(&set->recent, purge_down_to(set, most - most / PURGED_PART));
    else
        __atomic_store_n(&set->freed_at, now, __ATOMIC_RELAXED);
}

/* To be called before units are given back, with the time. Needs the heap lock. */
static uint64_t before_giving(struct heap_set *set)
{
    uint64_t now = os_now_ms();
    recent_before_free(&set->recent, set->used * UNIT_SIZE, now, option_value(OPTION_DECAY));
    return now;
}

size_t heap_set_purge(struct heap_set *set, uint64_t before)
{
    /* relaxed: a thread that sees it late purges late */
    if (!heap_set_is_aging(set) && before != UINT64_MAX)
        return 0;
    heap_set_lock(set);
    size_t bytes = purge_units(set, set->freed_at > before);
    if (set->dirty == 0)
        __atomic_store_n(&set->freed_at, 0, __ATOMIC_RELAXED);
    heap_set_unlock(set);
    return bytes;
}

/* ---- taking ---- */

/* As heap_take, with the sums. */
static struct slab *take_from(struct heap *heap, struct slab_geometry *geometry)
{
    struct slab *slab = heap_take(heap, geometry);
    account(heap);
    return slab;
}

/* Counts the units that have pages now and had none when there were `used` and `dirty` ones. Needs
 * the heap lock. */
static void count_grown(struct heap_set *set, size_t used, size_t dirty)
{
    if (set->used + set->dirty > used + dirty)
        recent_count_grown(&set->recent, (set->used + set->dirty - used - dirty) * UNIT_SIZE);
}

/* Adds a new heap with `units` units; NULL if there is no memory. */
static struct heap *add_heap(struct heap_set *set, size_t units)
{
    struct heap *heap = heap_create(set, units);
    if (heap == NULL)
        return NULL;
    struct heap **chain = &set->chains[heap->index % HEAP_CHAINS];
    heap->next = *chain;
    set->count++;
    /* release: a thread that finds the heap in its chain finds its header filled in */
    __atomic_store_n(chain, heap, __ATOMIC_RELEASE);
    limit_count(heap_header_bytes(heap));
    return heap;
}

/* A heap whose units heap_set_unmap_empty unmapped, with at least `units` of them mapped again;
 * NULL if there is none. So memory pressure does not add headers each time. */
static struct heap *extend_heap(struct heap_set *set, size_t units)
{
    for (struct heap *heap = first_heap(set); heap != NULL; heap = next_heap(heap))
        if (heap_remap_units(heap, units))
            return heap;
    return NULL;
}

/* Takes from the first heap that has room and at least that many units that are free and dirty.
 * Needs the heap lock. */
static struct slab *take_listed(struct heap_set *set, struct slab_geometry *geometry, size_t dirty)
{
    struct slab *slab = NULL;
    struct list_node *node = list_first(&set->roomy);
    while (node != NULL && slab == NULL) {
        struct list_node *next = list_next(&set->roomy, node);
        struct heap *heap = CONTAINER_OF(node, struct heap, roomy);
        if (heap->idle_units >= dirty)
            slab = take_from(heap, geometry);
        node = next;
    }
    return slab;
}

/* Takes from any heap, or from a new one. Needs the heap lock. */
static struct slab *take_anywhere(struct heap_set *set, struct slab_geometry *geometry)
{
    struct slab *slab = take_listed(set, geometry, 0);
    if (slab != NULL || !limit_has_room(geometry->units * UNIT_SIZE))
        return slab;
    struct heap *heap = extend_heap(set, geometry->units);
    if (heap == NULL)
        heap = add_heap(set, geometry->units);
    return heap != NULL ? take_from(heap, geometry) : NULL;
}

struct slab *heap_set_take(struct heap_set *set, struct slab_geometry *geometry, bool fresh)
{
    heap_set_lock(set);
    size_t dirty = set->dirty, used = set->used;
    struct slab *slab = NULL;
    if (fresh)
        slab = take_anywhere(set, geometry);
    else if (dirty >= geometry->units)
        slab = take_listed(set, geometry, geometry->units);
    if (slab != NULL) {
        count_grown(set, used, dirty);
        __atomic_store_n(&set->took_pages, set->dirty + geometry->units > dirty, __ATOMIC_RELAXED);
    }
    if (set->dirty > dirty) /* a huge page was filled in: only its first units may be wanted */
        age_or_purge(set, os_now_ms());
    heap_set_unlock(set);
    return slab;
}

/* ---- giving back ---- */

void heap_set_give(struct slab *slab)
{
    struct heap *heap = slab_heap(slab);
    struct heap_set *set = heap->set;
    heap_set_lock(set);
    uint64_t now = before_giving(set);
    heap_give(heap, slab);
    account(heap);
    __atomic_store_n(&set->took_pages, false, __ATOMIC_RELAXED);
    age_or_purge(set, now);
    heap_set_unlock(set);
}

bool heap_set_resize(struct slab *slab, struct slab_geometry to)
{
    struct heap *heap = slab_heap(slab);
    struct heap_set *set = heap->set;
    heap_set_lock(set);
    size_t dirty = set->dirty, used = set->used;
    uint64_t now = before_giving(set);
    bool resized = heap_resize(heap, slab, to);
    account(heap);
    count_grown(set, used, dirty);
    if (set->dirty > dirty)
        age_or_purge(set, now); /* units were given back, or a huge page was filled in */
    heap_set_unlock(set);
    return resized;
}

size_t heap_set_unmap_empty(struct heap_set *set)
{
    size_t bytes = 0;
    heap_set_lock(set);
    for (struct heap *heap = first_heap(set); heap != NULL; heap = next_heap(heap))
        if (heap->used_units == 0 && heap->unit_limit != heap->first_unit) {
            bytes += heap_unmap_units(heap);
            account(heap);
        }
    heap_set_unlock(set);
    return bytes;
}

/* ---- looking at all of it ---- */

size_t heap_set_in_slabs(const struct heap_set *set)
{
    return __atomic_load_n(&set->used, __ATOMIC_RELAXED) * UNIT_SIZE;
}

void heap_set_for_each_slab(struct heap_set *set, void (*visit)(void *, struct slab *),
                            void *context)
{
    for (struct heap *heap = first_heap(set); heap != NULL; heap = next_heap(heap)) {
        /* units, not descriptors: a purged or never used part of the table is not touched */
        for (size_t unit = heap->first_unit; unit < HEAP_UNITS; unit++) {
            struct slab *slab = __atomic_load_n(&heap->slab_of[unit], __ATOMIC_RELAXED);
            uint64_t word = __atomic_load_n(&slab->geometry, __ATOMIC_ACQUIRE);
            if (word != 0 && geometry_unpack(word).first_unit == unit)
                visit(context, slab);
        }
    }
}

void heap_set_rebuild_locked(struct heap_set *set)
{
    ASSERT(lock_is_held(&set->lock));
    list_init(&set->roomy);
    set->count = 0;
    set->dirty = 0;
    __atomic_store_n(&set->used, 0, __ATOMIC_RELAXED);
    for (struct heap *heap = first_heap(set); heap != NULL; heap = next_heap(heap)) {
        heap_rebuild(heap);
        heap->counted = 0;
        heap->counted_used = 0;
        heap->roomy.next = NULL;
        account(heap);
        set->count = (uint32_t)max_size(set->count, heap->index + 1);
    }
    set->refused = 0;
    __atomic_store_n(&set->freed_at, os_now_ms(), __ATOMIC_RELAXED);
}

void heap_set_totals(struct heap_set *set, struct heap_totals *totals)
{
    heap_set_lock(set);
    *totals = (struct heap_totals){.heaps = set->count, .free_dirty = set->dirty * UNIT_SIZE};
    for (struct heap *heap = first_heap(set); heap != NULL; heap = next_heap(heap)) {
        totals->in_slabs += (size_t)heap->used_units * UNIT_SIZE;
        totals->headers += heap_header_bytes(heap);
        if (heap->used_units == 0)
            totals->in_empty += heap_unit_count(heap) * UNIT_SIZE;
    }
    heap_set_unlock(set);
}

bool heap_set_is_valid(struct heap_set *set)
{
    bool valid = true;
    size_t idle = 0, used = 0;
    heap_set_lock(set);
    for (struct heap *heap = first_heap(set); heap != NULL; heap = next_heap(heap)) {
        valid = valid && heap->size != 0 && heap_is_valid(heap) &&
                heap->counted == heap->idle_units && heap->counted_used == heap->used_units &&
                heap_is_roomy(heap) == list_contains(&heap->roomy);
        idle += heap->idle_units;
        used += heap->used_units;
    }
    valid = valid && idle == set->dirty && used == set->used;
    heap_set_unlock(set);
    return valid;
}
