/* Walking over all blocks: see walk.h. */
#include "inspect/walk.h"

#include "base/states.h"
#include "heap/heap.h"
#include "large/extents.h"

enum {
    STATES_AT_ONCE = 256, /* threads may have little stack */
    TRIES = 4,            /* how often a slab that changes is read */
};

struct walk {
    struct view *view;
    acre_heap_callback *callback;
    void *context;
};

static int visit(struct walk *walk, uint64_t address, uint64_t size, enum acre_block_state state,
                 uint32_t arena, size_t block_class)
{
    const struct acre_block block = {
        .address = (void *)(uintptr_t)address,
        .size = size,
        .block_class = block_class,
        .arena = arena,
        .state = state,
    };
    return walk->callback(walk->context, &block);
}

/* What the public interface calls a state. REST is that of no block. */
static enum acre_block_state state_of(uint8_t state)
{
    static const enum acre_block_state states[BLOCK_END + 1] = {
        [BLOCK_FREE] = ACRE_BLOCK_FREE,          [BLOCK_LIVE] = ACRE_BLOCK_LIVE,
        [BLOCK_CACHED] = ACRE_BLOCK_CACHED,      [BLOCK_REMOTE] = ACRE_BLOCK_REMOTE,
        [BLOCK_PURGED] = ACRE_BLOCK_PURGED,      [BLOCK_WIDE] = ACRE_BLOCK_LIVE,
        [BLOCK_REST] = ACRE_BLOCK_FREE,          [BLOCK_SAMPLED] = ACRE_BLOCK_LIVE,
        [BLOCK_QUARANTINED] = ACRE_BLOCK_CACHED, [BLOCK_END] = ACRE_BLOCK_FREE,
    };
    return states[state < BLOCK_END ? state : BLOCK_END];
}

/* Visits the places first .. end-1 of a slab, which are one block. */
static int visit_places(struct walk *walk, const struct view_slab *slab, uint32_t arena,
                        uint8_t state, size_t first, size_t end)
{
    return first == end
               ? 0
               : visit(walk, slab->base + first * slab->block_size,
                       (end - first) * slab->block_size, state_of(state), arena, slab->block_size);
}

/* Copies states, where the slab still is, with the count that it has now. False if it is gone, or
 * its place is another's: the callback, too, may have freed its blocks. */
static bool read_states(struct walk *walk, struct view_heap *heap, struct view_slab *slab,
                        size_t first, uint8_t *states)
{
    struct view_slab now = *slab;
    for (int i = 0; i < TRIES; i++) {
        unsigned unit = slab->first_unit;
        heap->entries_from = HEAP_UNITS; /* they are to be read again */
        if (!view_next_slab(walk->view, heap, &unit, &now) || now.base != slab->base ||
            now.block_size != slab->block_size || now.count <= first)
            return false;
        *slab = now;
        if (!view_states(walk->view, slab, first, min_size(slab->count - first, STATES_AT_ONCE),
                         states))
            return false;
        if (view_slab_stayed(walk->view, slab))
            break;
        if (walk->view->prefetch != NULL)
            walk->view->prefetch(walk->view, slab->word_at, sizeof(slab->word));
    }
    return true;
}

static int walk_slab(struct walk *walk, struct view_heap *heap, struct view_slab *slab,
                     uint32_t arena)
{
    uint8_t states[STATES_AT_ONCE], state = BLOCK_END;
    size_t first = 0; /* of the block that is not visited yet; its state is `state` */
    int result = 0;
    for (size_t i = 0; i < slab->count && result == 0; i++) {
        if (i % STATES_AT_ONCE == 0 && !read_states(walk, heap, slab, i, states))
            return 0;
        uint8_t next = states[i % STATES_AT_ONCE];
        if (next == BLOCK_REST && (state == BLOCK_WIDE || state == BLOCK_REMOTE))
            continue;
        result = visit_places(walk, slab, arena, state, first, i);
        first = i;
        state = next;
    }
    return result != 0 ? result : visit_places(walk, slab, arena, state, first, slab->count);
}

static int walk_arena(struct walk *walk, const struct view_arena *arena)
{
    struct view_heap heap;
    struct view_slab slab;
    int result = 0;
    for (bool more = view_first_heap(walk->view, arena, &heap); more && result == 0;
         more = view_next_heap(walk->view, arena, &heap))
        for (unsigned unit = heap.first_unit;
             result == 0 && view_next_slab(walk->view, &heap, &unit, &slab);)
            result = walk_slab(walk, &heap, &slab, arena->number);
    return result;
}

int walk_blocks(struct view *view, acre_heap_callback *callback, void *context)
{
    struct walk walk = {view, callback, context};
    struct view_arena arena;
    struct view_extents at = {0};
    struct view_extent extent;
    int result = 0;
    for (bool more = view_first_arena(view, &arena); more && result == 0;
         more = view_next_arena(view, &arena))
        result = walk_arena(&walk, &arena);
    while (result == 0 && view_next_extent(view, &at, &extent))
        result = visit(&walk, extent.base, extent.size,
                       extent.state == EXTENT_LIVE ? ACRE_BLOCK_LIVE : ACRE_BLOCK_STOCK, 0, 0);
    return result;
}
