/* Remote frees: see remote.h. */
#include "arena/remote.h"

#include "base/option.h"
#include "slab/slab.h"
#include "slab/slab_purge.h"

/* Sets a bit of a word if it is not set; the load alone is the common case in a row of frees. */
static void set_pending(uint64_t *word, uint64_t bit)
{
    if (!(__atomic_load_n(word, __ATOMIC_SEQ_CST) & bit))
        __atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);
}

bool remote_free(struct slab *slab, unsigned class, uint8_t *state, uint8_t held)
{
    struct heap *heap = slab_heap(slab);
    size_t index = slab_index(slab);
    /* seq_cst: before the loads of the bits, see remote.h; also release: what was done to the block
     * is done */
    if (!__atomic_compare_exchange_n(state, &held, BLOCK_REMOTE, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return false;
    set_pending(&heap->pending[index / 64], UINT64_C(1) << (index % 64));
    struct heap_set *set = heap->set;
    set_pending(&set->pending, heap->pending_bit);
    set_pending(&set->pending_classes, UINT64_C(1) << class);
    return true;
}

enum { ALL_CLASSES = SIZE_CLASS_COUNT };

/* The slabs of a class, or of all, among those of a pending word of a heap. */
static uint64_t slabs_of_class(struct heap *heap, size_t word, uint64_t slabs, unsigned class)
{
    uint64_t found = 0;
    if (class == ALL_CLASSES)
        return slabs;
    for (; slabs != 0; slabs &= slabs - 1) {
        /* a slab that was released keeps its class until it is another one: at worst in vain */
        const struct slab *slab = &heap->slabs[word * 64 + lowest_bit(slabs)];
        if (slab->class == class)
            found |= slabs & -slabs;
    }
    return found;
}

static size_t collect_heap(struct heap_set *set, struct heap *heap, unsigned class)
{
    size_t blocks = 0;
    for (size_t w = 0; w < HEAP_WORDS; w++) {
        uint64_t slabs = __atomic_load_n(&heap->pending[w], __ATOMIC_RELAXED);
        slabs = slabs_of_class(heap, w, slabs, class);
        if (slabs == 0)
            continue;
        __atomic_fetch_and(&heap->pending[w], ~slabs, __ATOMIC_SEQ_CST);
        fence_full();
        for (; slabs != 0; slabs &= slabs - 1) {
            struct slab *slab = &heap->slabs[w * 64 + lowest_bit(slabs)];
            /* a late bit of a slab that was released */
            if (__atomic_load_n(&slab->geometry, __ATOMIC_RELAXED) != 0)
                blocks += slab_collect(slab, set);
        }
    }
    return blocks;
}

static size_t collect_heaps(struct heap_set *set, uint64_t chains, unsigned class)
{
    size_t blocks = 0;
    for (; chains != 0; chains &= chains - 1)
        for (struct heap *heap = set->chains[lowest_bit(chains)]; heap != NULL; heap = heap->next)
            blocks += collect_heap(set, heap, class);
    return blocks;
}

/* Looks at every slab; `context` is the number of blocks collected. */
static void collect_slab(void *context, struct slab *slab)
{
    size_t *blocks = context;
    *blocks += slab_collect(slab, slab_heap(slab)->set);
}

size_t remote_collect(struct heap_set *set)
{
    size_t blocks = 0;
    __atomic_exchange_n(&set->pending_classes, 0, __ATOMIC_SEQ_CST);
    uint64_t heaps = __atomic_exchange_n(&set->pending, 0, __ATOMIC_SEQ_CST);
    remote_begin(set); /* has the fence */
    if (UNLIKELY(set->generation != fork_generation())) {
        set->generation = fork_generation();
        heap_set_for_each_slab(set, collect_slab, &blocks);
    }
    blocks += collect_heaps(set, heaps, ALL_CLASSES);
    counter_add(&set->collected_blocks, blocks);
    remote_end(set);
    return blocks;
}

size_t remote_collect_class(struct heap_set *set, unsigned class)
{
    if (UNLIKELY(set->generation != fork_generation()))
        return remote_collect(set);
    __atomic_fetch_and(&set->pending_classes, ~(UINT64_C(1) << class), __ATOMIC_SEQ_CST);
    remote_begin(set);
    /* seq_cst: the heaps' bits stay, for the other classes, and are read behind that of the class
     */
    uint64_t heaps = __atomic_load_n(&set->pending, __ATOMIC_SEQ_CST);
    size_t blocks = collect_heaps(set, heaps, class);
    counter_add(&set->collected_blocks, blocks);
    remote_end(set);
    return blocks;
}

void remote_collect_due(struct heap_set *set, uint64_t now)
{
    if (LIKELY(now - set->collected < option_value(OPTION_DECAY)))
        return;
    set->collected = now;
    if (remote_pending(set))
        remote_collect(set);
}

/* ---- purging for an owner that sleeps ---- */

void remote_begin(struct heap_set *set)
{
    /* odd; also if a thread that is lost left it so */
    uint32_t collections = (set->collections + 1) | 1;
    __atomic_store_n(&set->collections, collections, __ATOMIC_RELAXED);
    /* between this store and the load, as in purge_slab: one of the two sees the other */
    fence_full();
    /* acquire: if a purge is over, what it did is seen */
    if (UNLIKELY(__atomic_load_n(&set->purging, __ATOMIC_ACQUIRE) != 0)) {
        heap_set_lock(set);
        heap_set_unlock(set);
    }
}

void remote_end(struct heap_set *set)
{
    /* release: who sees that it has ended sees what was collected */
    __atomic_store_n(&set->collections, set->collections + 1, __ATOMIC_RELEASE);
}

/*
 * Purges the REMOTE blocks of slab `index`, if it is a slab at all. The owner will collect: their
 * bits are set, or are just being set. False, with nothing done, if the owner is collecting.
 */
static bool purge_slab(struct heap *heap, size_t index, size_t *bytes)
{
    struct heap_set *set = heap->set;
    struct slab *slab = &heap->slabs[index];
    heap_set_lock(set);
    __atomic_store_n(&set->purging, 1, __ATOMIC_RELAXED);
    fence_full();
    /* acquire: if the last collection is over, what it collected is seen */
    bool idle = __atomic_load_n(&set->collections, __ATOMIC_ACQUIRE) % 2 == 0;
    if (idle) {
        /* relaxed: published and withdrawn under this lock */
        uint64_t word = __atomic_load_n(&slab->geometry, __ATOMIC_RELAXED);
        if (word != 0)
            *bytes += slab_purge_for_owner(slab, geometry_unpack(word));
    }
    /* release: an owner that reads it before the lock is free sees what was purged */
    __atomic_store_n(&set->purging, 0, __ATOMIC_RELEASE);
    heap_set_unlock(set);
    return idle;
}

/* Purges in all pending slabs of a heap; false if the owner is collecting. */
static bool purge_heap(struct heap *heap, size_t *bytes)
{
    for (size_t w = 0; w < HEAP_WORDS; w++) {
        uint64_t slabs = __atomic_load_n(&heap->pending[w], __ATOMIC_RELAXED);
        for (; slabs != 0; slabs &= slabs - 1)
            if (!purge_slab(heap, w * 64 + lowest_bit(slabs), bytes))
                return false;
    }
    return true;
}

size_t remote_purge(struct heap_set *set)
{
    size_t bytes = 0;
    uint64_t chains = __atomic_load_n(&set->pending, __ATOMIC_RELAXED);
    for (; chains != 0; chains &= chains - 1) {
        /* acquire: who sees a heap in its chain sees its header */
        struct heap *heap = __atomic_load_n(&set->chains[lowest_bit(chains)], __ATOMIC_ACQUIRE);
        for (; heap != NULL; heap = heap->next)
            if (!purge_heap(heap, &bytes))
                return bytes;
    }
    return bytes;
}

bool remote_tick(struct heap_set *set)
{
    if (__atomic_load_n(&set->pending, __ATOMIC_RELAXED) == 0)
        return false;
    uint32_t collections = __atomic_load_n(&set->collections, __ATOMIC_RELAXED);
    if (__atomic_exchange_n(&set->collections_seen, collections, __ATOMIC_RELAXED) != collections)
        return true;
    remote_purge(set);
    return false;
}
