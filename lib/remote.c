/* Remote frees: see remote.h. */
#include "remote.h"

#include "slab.h"

/* Sets a bit of a word if it is not set; the load alone is the common case in a row of frees. */
static void set_pending(uint64_t *word, uint64_t bit)
{
    if (!(__atomic_load_n(word, __ATOMIC_SEQ_CST) & bit))
        __atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);
}

bool remote_free(struct slab *slab, uint8_t *state)
{
    struct heap *heap = slab_heap(slab);
    size_t index = slab_index(slab);
    uint8_t live = BLOCK_LIVE;
    /* seq_cst: before the loads of the bits, see remote.h; also release: what was done to the block
     * is done */
    if (!__atomic_compare_exchange_n(state, &live, BLOCK_REMOTE, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return false;
    set_pending(&heap->pending[index / 64], UINT64_C(1) << (index % 64));
    set_pending(&heap->set->pending, heap->pending_bit);
    return true;
}

static size_t collect_heap(struct heap_set *set, struct heap *heap)
{
    size_t blocks = 0;
    for (size_t w = 0; w < HEAP_WORDS; w++) {
        if (__atomic_load_n(&heap->pending[w], __ATOMIC_RELAXED) == 0)
            continue;
        uint64_t slabs = __atomic_exchange_n(&heap->pending[w], 0, __ATOMIC_SEQ_CST);
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

/* Looks at every slab; `context` is the number of blocks collected. */
static void collect_slab(void *context, struct slab *slab)
{
    size_t *blocks = context;
    *blocks += slab_collect(slab, slab_heap(slab)->set);
}

size_t remote_collect(struct heap_set *set)
{
    size_t blocks = 0;
    uint64_t heaps = __atomic_exchange_n(&set->pending, 0, __ATOMIC_SEQ_CST);
    fence_full();
    if (UNLIKELY(set->generation != lock_generation())) {
        set->generation = lock_generation();
        heap_set_for_each_slab(set, collect_slab, &blocks);
    }
    for (; heaps != 0; heaps &= heaps - 1)
        for (struct heap *heap = set->chains[lowest_bit(heaps)]; heap != NULL; heap = heap->next)
            blocks += collect_heap(set, heap);
    return blocks;
}
