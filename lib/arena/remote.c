/* Remote frees: see remote.h. */
#include "arena/remote.h"

#include "base/option.h"
#include "slab/slab.h"

/* Sets a bit of a word if it is not set; the load alone is the common case in a row of frees. */
static void set_pending(uint64_t *word, uint64_t bit)
{
    if (!(__atomic_load_n(word, __ATOMIC_SEQ_CST) & bit))
        __atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);
}

void remote_init(struct remote *remote, struct heap_set *set)
{
    remote->set = set;
    remote->generation = fork_generation();
}

bool remote_free(struct remote *remote, struct slab *slab, unsigned class, uint8_t *state,
                 uint8_t live)
{
    struct heap *heap = slab_heap(slab);
    size_t index = slab_index(slab);
    /* S; as a release, too: what was done to the block is done */
    if (!__atomic_compare_exchange_n(state, &live, BLOCK_REMOTE, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return false;
    set_pending(&heap->pending[index / 64], UINT64_C(1) << (index % 64));      /* L1 */
    set_pending(&remote->pending, UINT64_C(1) << (heap->index % HEAP_CHAINS)); /* L2 */
    set_pending(&remote->pending_classes, UINT64_C(1) << class);               /* L3 */
    return true;
}

enum { ALL_CLASSES = SIZE_CLASS_COUNT };

/* The pending slabs of a class, or of all, in one word of a heap. A slab that was released keeps
 * its class until it is another one. */
static uint64_t pending_slabs(struct heap *heap, size_t word, unsigned class)
{
    uint64_t slabs = __atomic_load_n(&heap->pending[word], __ATOMIC_RELAXED), others = 0;
    if (class != ALL_CLASSES)
        for (uint64_t left = slabs; left != 0; left &= left - 1)
            if (heap->slabs[word * 64 + lowest_bit(left)].class != class)
                others |= left & -left;
    return slabs & ~others;
}

/* Collects in the pending slabs of a class, or all. */
static void collect_heap(struct heap *heap, unsigned class)
{
    for (size_t word = 0; word < HEAP_WORDS; word++) {
        uint64_t slabs = pending_slabs(heap, word, class);
        if (slabs == 0)
            continue;
        __atomic_fetch_and(&heap->pending[word], ~slabs, __ATOMIC_SEQ_CST); /* X1 */
        fence_full();
        for (; slabs != 0; slabs &= slabs - 1) {
            struct slab *slab = &heap->slabs[word * 64 + lowest_bit(slabs)];
            /* 0: a late bit of a slab that was released */
            if (__atomic_load_n(&slab->geometry, __ATOMIC_RELAXED) != 0)
                slab_collect(slab);
        }
    }
}

static void collect_heaps(const struct heap_set *set, uint64_t chains, unsigned class)
{
    for (; chains != 0; chains &= chains - 1)
        for (struct heap *heap = heap_set_chain(set, lowest_bit(chains)); heap != NULL;
             heap = heap->next)
            collect_heap(heap, class);
}

static void collect_slab(void *unused, struct slab *slab)
{
    (void)unused;
    slab_collect(slab);
}

void remote_collect(struct remote *remote)
{
    /* X3, X2; remote_begin has the fence */
    __atomic_exchange_n(&remote->pending_classes, 0, __ATOMIC_SEQ_CST);
    uint64_t chains = __atomic_exchange_n(&remote->pending, 0, __ATOMIC_SEQ_CST);
    remote_begin(remote);
    if (UNLIKELY(remote->generation != fork_generation())) {
        remote->generation = fork_generation();
        heap_set_for_each_slab(remote->set, collect_slab, NULL);
    }
    collect_heaps(remote->set, chains, ALL_CLASSES);
    remote_end(remote);
}

void remote_collect_class(struct remote *remote, unsigned class)
{
    if (UNLIKELY(remote->generation != fork_generation())) {
        remote_collect(remote);
        return;
    }
    /* X3, X2; the heaps' bits stay, for the other classes */
    __atomic_fetch_and(&remote->pending_classes, ~(UINT64_C(1) << class), __ATOMIC_SEQ_CST);
    remote_begin(remote);
    uint64_t chains = __atomic_load_n(&remote->pending, __ATOMIC_SEQ_CST);
    collect_heaps(remote->set, chains, class);
    remote_end(remote);
}

void remote_collect_due(struct remote *remote, uint64_t now)
{
    if (LIKELY(now - remote->collected < option_value(OPTION_DECAY)))
        return;
    remote->collected = now;
    if (remote_pending(remote))
        remote_collect(remote);
}

/* ---- purging for an owner that sleeps ---- */

void remote_begin(struct remote *remote)
{
    /* odd; also if a thread that is lost left it so */
    uint32_t collections = (remote->collections + 1) | 1;
    __atomic_store_n(&remote->collections, collections, __ATOMIC_RELAXED);
    /* between this store and the load, as in purge_slab: one of the two sees the other */
    fence_full();
    /* acquire: if a purge is over, what it did is seen */
    if (UNLIKELY(__atomic_load_n(&remote->purging, __ATOMIC_ACQUIRE) != 0)) {
        heap_set_lock(remote->set);
        /* under the lock no thread purges: it is 0, or was left by a thread that a fork lost */
        __atomic_store_n(&remote->purging, 0, __ATOMIC_RELAXED);
        heap_set_unlock(remote->set);
    }
}

void remote_end(struct remote *remote)
{
    /* release: a thread that sees that it has ended sees what was collected */
    __atomic_store_n(&remote->collections, remote->collections + 1, __ATOMIC_RELEASE);
}

/* Purges the REMOTE blocks of slab `index`, if it is a slab at all. False, with nothing done, if
 * the owner is collecting. */
static bool purge_slab(struct remote *remote, struct heap *heap, size_t index, size_t *bytes)
{
    struct slab *slab = &heap->slabs[index];
    heap_set_lock(remote->set);
    __atomic_store_n(&remote->purging, 1, __ATOMIC_RELAXED);
    fence_full();
    /* acquire: if the last collection is over, what it collected is seen */
    bool idle = __atomic_load_n(&remote->collections, __ATOMIC_ACQUIRE) % 2 == 0;
    if (idle) {
        /* relaxed: published and withdrawn under this lock */
        uint64_t word = __atomic_load_n(&slab->geometry, __ATOMIC_RELAXED);
        if (word != 0)
            *bytes += slab_purge_for_owner(slab, geometry_unpack(word));
    }
    /* release: an owner that reads it before the lock is free sees what was purged */
    __atomic_store_n(&remote->purging, 0, __ATOMIC_RELEASE);
    heap_set_unlock(remote->set);
    return idle;
}

/* Purges in all pending slabs of a heap; false if the owner is collecting. */
static bool purge_heap(struct remote *remote, struct heap *heap, size_t *bytes)
{
    for (size_t w = 0; w < HEAP_WORDS; w++) {
        uint64_t slabs = __atomic_load_n(&heap->pending[w], __ATOMIC_RELAXED);
        for (; slabs != 0; slabs &= slabs - 1)
            if (!purge_slab(remote, heap, w * 64 + lowest_bit(slabs), bytes))
                return false;
    }
    return true;
}

size_t remote_purge(struct remote *remote)
{
    size_t bytes = 0;
    uint64_t chains = __atomic_load_n(&remote->pending, __ATOMIC_RELAXED);
    for (; chains != 0; chains &= chains - 1) {
        struct heap *heap = heap_set_chain(remote->set, lowest_bit(chains));
        for (; heap != NULL; heap = heap->next)
            if (!purge_heap(remote, heap, &bytes))
                return bytes;
    }
    return bytes;
}

bool remote_tick(struct remote *remote)
{
    if (__atomic_load_n(&remote->pending, __ATOMIC_RELAXED) == 0)
        return false;
    uint32_t collections = __atomic_load_n(&remote->collections, __ATOMIC_RELAXED);
    if (__atomic_exchange_n(&remote->collections_seen, collections, __ATOMIC_RELAXED) !=
        collections)
        return true;
    remote_purge(remote);
    return false;
}
