/*
 * The pages of partly used slabs: those that free blocks fill alone go back to the system, and the
 * blocks become PURGED. For the owner, or, under the heap lock, for another thread: then of REMOTE
 * blocks (doc/remote.md).
 */
#include "slab/slab.h"

#include "base/os.h"

/* Blocks of a slab that are to be purged, for the owner or for another thread. */
struct purge {
    char *base; /* of the slab, likewise states and block_size */
    uint8_t *states;
    size_t block_size;
    enum block_state state; /* of those blocks: FREE or REMOTE */
    bool *noted;            /* what tells the owner that there are PURGED blocks */
};

/*
 * Makes blocks first .. last, whose pages went back, PURGED. REST stays, and goes with the block in
 * front of it. Nobody may have changed the states meanwhile, but in a program that is wrong: an
 * owner that freed a block in the same instant as another thread, and found it LIVE before that one
 * did, has stored over REMOTE and may have handed it out again. Hence the compare-and-swap.
 */
static void set_purged(const struct purge *purge, size_t first, size_t last)
{
    for (size_t i = first; i <= last; i++) {
        uint8_t expected = (uint8_t)purge->state;
        /* release: the thread that takes the block writes to it after its pages went back */
        __atomic_compare_exchange_n(&purge->states[i], &expected, BLOCK_PURGED, false,
                                    __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    }
}

/*
 * Gives back the pages that blocks first .. end-1 fill alone, which nobody may take meanwhile;
 * returns bytes. The note comes before the states, and both after the system call: a child forked
 * in between has blocks without pages, or a note too many.
 */
static size_t purge_blocks(const struct purge *purge, size_t first, size_t end)
{
    size_t page = os_page_size();
    size_t from = align_up(first * purge->block_size, page);
    size_t to = align_down(end * purge->block_size, page);
    if (from >= to || !os_purge(purge->base + from, to - from))
        return 0;
    __atomic_store_n(purge->noted, true, __ATOMIC_RELEASE);
    size_t lowest = from / purge->block_size;
    while (lowest > first && state_get(&purge->states[lowest]) == BLOCK_REST)
        lowest--;
    set_purged(purge, lowest, (to - 1) / purge->block_size);
    return to - from;
}

/* True if a block continues a run: it has the state that the purge is for, or is REST, which behind
 * a block that was freed is free as well. */
static bool continues(const struct purge *purge, size_t number)
{
    /* acquire: what was done to the block before it was freed is done before its pages go */
    uint8_t now = __atomic_load_n(&purge->states[number], __ATOMIC_ACQUIRE);
    return now == purge->state || (purge->state == BLOCK_REMOTE && now == BLOCK_REST);
}

/* Purges the runs of blocks among the first `count`. */
static size_t purge_runs(const struct purge *purge, size_t count)
{
    size_t bytes = 0;
    for (size_t first = states_find(purge->states, count, purge->state); first < count;) {
        size_t end = first;
        while (end < count && continues(purge, end))
            end++;
        bytes += purge_blocks(purge, first, end);
        for (first = end; first < count && state_get(&purge->states[first]) != purge->state;)
            first++;
    }
    return bytes;
}

/* Purges pages that FREE blocks fill alone. Returns bytes. */
static size_t slab_purge(struct slab *slab)
{
    struct purge purge = {slab->base, slab->states, slab->block_size, BLOCK_FREE, &slab->purged};
    size_t touched = slab->count;
    /* of memory that had no pages, what was never handed out still has none */
    if (slab->untouched)
        touched = min_size(touched, (size_t)slab->fresh_group * STATES_GROUP);
    size_t bytes = purge_runs(&purge, touched);
    if (bytes != 0)
        slab->summary = states_summary(slab->states, slab->count, BLOCK_FREE);
    return bytes;
}

size_t slab_purge_for_owner(struct slab *slab, struct slab_geometry geometry)
{
    struct heap *heap = slab_heap(slab);
    struct purge purge = {geometry_base(heap, geometry), geometry_states(heap, geometry),
                          size_class_sizes[geometry.class], BLOCK_REMOTE, &slab->purged_for_owner};
    return purge_runs(&purge, geometry.count);
}

size_t bin_purge(struct bin *bin)
{
    size_t bytes = 0;
    struct list_node *last = bin->partial.head.previous;
    for (struct list_node *node = list_first(&bin->partial), *next; node != NULL; node = next) {
        struct slab *slab = CONTAINER_OF(node, struct slab, node);
        next = node == last ? NULL : list_next(&bin->partial, node);
        bytes += slab_purge(slab);
        if (slab->summary == 0) {
            list_remove(node);
            list_push_back(&bin->partial, node);
        }
    }
    return bytes;
}
