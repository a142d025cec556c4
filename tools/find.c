/* What an address is: see find.h. */
#include "find.h"

#include "base/states.h"
#include "heap/heap.h"
#include "large/extents.h"
#include "modes/guard.h"

/* The arena whose set of heaps the heap is of. */
static bool find_arena(struct view *view, const struct view_heap *heap, struct view_arena *arena)
{
    uint64_t address = heap->set - view->root.fields[ACRE_FIELD_ARENA_HEAPS].offset;
    for (bool more = view_first_arena(view, arena); more; more = view_next_arena(view, arena))
        if (arena->address == address)
            return true;
    return false;
}

/* Fills in what is known of the block that byte `offset` of the slab lies in. */
static void find_block(const uint8_t *states, size_t offset, struct found *found)
{
    const struct view_slab *slab = &found->slab;
    uint32_t number = (uint32_t)(offset / slab->block_size), first = number;
    if (number >= slab->count) {
        found->kind = FIND_SLAB_REST;
        return;
    }
    while (first != 0 && states[first] == BLOCK_REST)
        first--;
    /* REST that follows another state than these belongs to no block */
    if (states[first] == BLOCK_WIDE || states[first] == BLOCK_REMOTE)
        number = first;
    found->kind = FIND_BLOCK;
    found->number = number;
    found->state = states[number];
    found->places = 1;
    if (found->state == BLOCK_WIDE || found->state == BLOCK_REMOTE)
        while (number + found->places < slab->count && states[number + found->places] == BLOCK_REST)
            found->places++;
    found->block = slab->base + (uint64_t)number * slab->block_size;
    found->size = (uint64_t)found->places * slab->block_size;
}

/* The same for an address in a heap. */
static void find_in_heap(struct view *view, uint64_t address, struct found *found)
{
    uint8_t states[SLAB_MAX_BLOCKS];
    struct view_heap *heap = &found->heap;
    struct view_slab *slab = &found->slab;
    unsigned wanted = (unsigned)((address - heap->address) / UNIT_SIZE);
    found->kind = wanted < heap->first_unit ? FIND_HEAP_HEADER : FIND_FREE_UNIT;
    for (unsigned unit = heap->first_unit;
         unit <= wanted && view_next_slab(view, heap, &unit, slab);)
        if (wanted >= slab->first_unit && wanted < unit &&
            view_states(view, slab, 0, slab->count, states))
            find_block(states, address - slab->base, found);
}

/* The same for an address in the pool of guarded blocks, `offset` bytes into it. Between two pages
 * of slots it is the nearer block. */
static void find_guarded(struct view *view, uint64_t address, uint64_t offset, struct found *found)
{
    struct view_guarded guarded;
    uint64_t page = offset / view->root.page_size, nearest = UINT64_MAX;
    found->kind = FIND_POOL;
    for (uint64_t slot = page == 0 ? 0 : (page - 1) / 2; slot <= page / 2; slot++) {
        if (!view_guarded(view, slot, &guarded) || guarded.order == 0)
            continue;
        uint64_t end = guarded.block + guarded.size;
        uint64_t distance = address < guarded.block ? guarded.block - address
                            : address < end         ? 0
                                                    : address - end;
        if (distance >= nearest)
            continue;
        nearest = distance;
        found->kind = FIND_GUARDED;
        found->block = guarded.block;
        found->size = guarded.size;
        found->slot = guarded.slot;
        found->live = guarded.order == GUARD_LIVE;
    }
}

void find_address(struct view *view, uint64_t address, struct found *found)
{
    uint64_t table = (uintptr_t)view->root.addresses[ACRE_AT_GUARD];
    uint64_t offset = address - view_field(view, table, ACRE_FIELD_GUARD_POOL);
    *found = (struct found){.kind = FIND_NOT_ACRE};
    if (offset < view_field(view, table, ACRE_FIELD_GUARD_BYTES)) {
        find_guarded(view, address, offset, found);
        return;
    }
    if (view_heap_at(view, align_down(address, HEAP_SIZE), &found->heap) &&
        address - found->heap.address < (uint64_t)found->heap.unit_limit * UNIT_SIZE &&
        find_arena(view, &found->heap, &found->arena)) {
        find_in_heap(view, address, found);
        return;
    }
    struct view_extents at = {0};
    struct view_extent extent;
    while (view_next_extent(view, &at, &extent)) {
        if (address - extent.base >= extent.size)
            continue;
        found->kind = extent.state == EXTENT_LIVE ? FIND_LARGE : FIND_STOCK;
        found->block = extent.base;
        found->size = extent.size;
        return;
    }
}
