/* Counting: see count.h. */
#include "inspect/count.h"

#include "base/states.h"
#include "heap/heap.h"
#include "large/extents.h"

#include <assert.h>
#include <string.h>

enum {
    STATES_AT_ONCE = 256, /* a slab's states are read in pieces: threads may have little stack */
    TRIES = 4,            /* how often a slab that changes is counted */
    SPARSE_SHARE = 4,     /* a page is sparse if less than 1/4 of it is live */
    OF_HEAP = 0,          /* arena_status; part of the layout */
    POOLED = 1,
};

static_assert((int)FIGURES_UNIT == (int)UNIT_SIZE, "as count.h says");

/* What the states of one slab tell. */
struct slab_figures {
    uint64_t states[BLOCK_END + 1]; /* places in each state */
    uint64_t places;                /* of live blocks */
    uint64_t pinned;                /* bytes */
    bool held;                      /* the last place is a live block's */
    uint64_t page;                  /* the page that the last live byte was on, and ... */
    uint64_t page_live;             /* ... live bytes on it; 0: none yet */
};

/* The page is done: counts it if it is sparse. */
static void end_page(struct slab_figures *sums, uint64_t page_size)
{
    if (sums->page_live != 0 && sums->page_live < page_size / SPARSE_SHARE)
        sums->pinned += page_size;
    sums->page_live = 0;
}

/* Bytes from .. to-1 of a slab are live; calls come in the order of addresses. */
static void add_live(struct slab_figures *sums, uint64_t page_size, uint64_t from, uint64_t to)
{
    while (from < to) {
        uint64_t page = from / page_size, end = min_size((page + 1) * page_size, to);
        if (page != sums->page)
            end_page(sums, page_size);
        sums->page = page;
        sums->page_live += end - from;
        /* pages that are live throughout need no look */
        from = end == to ? to : max_size(end, align_down(to, page_size));
    }
}

/* Adds the states of places first .. first+count-1 of a slab. */
static void add_states(struct slab_figures *sums, const struct view *view,
                       const struct view_slab *slab, size_t first, const uint8_t *states,
                       size_t count)
{
    uint64_t size = slab->block_size;
    for (size_t i = 0; i < count;) {
        size_t begin = i;
        uint8_t state = states[i];
        do
            i++;
        while (i < count && states[i] == state);
        if (state > BLOCK_END)
            continue; /* hostile */
        sums->states[state] += i - begin;
        sums->held = state_is_live(state) || (state == BLOCK_REST && sums->held);
        if (!sums->held)
            continue;
        sums->places += i - begin;
        add_live(sums, view->root.page_size, (first + begin) * size, (first + i) * size);
    }
}

/* Counts the states of a slab. False if the slab changed meanwhile. */
static bool count_states(struct view *view, const struct view_slab *slab, struct slab_figures *sums)
{
    uint8_t states[STATES_AT_ONCE];
    *sums = (struct slab_figures){.held = false};
    for (size_t first = 0; first < slab->count; first += STATES_AT_ONCE) {
        size_t count = min_size(slab->count - first, STATES_AT_ONCE);
        if (!view_states(view, slab, first, count, states))
            return false;
        add_states(sums, view, slab, first, states, count);
    }
    end_page(sums, view->root.page_size);
    return view_slab_stayed(view, slab);
}

/* Adds what a slab has. */
static void add_slab(const struct view_slab *slab, const struct slab_figures *sums,
                     struct figures_arena *arena, struct figures *figures)
{
    struct figures_class *cls = &figures->classes[slab->cls];
    uint64_t live =
        sums->states[BLOCK_LIVE] + sums->states[BLOCK_WIDE] + sums->states[BLOCK_SAMPLED];
    cls->slabs++;
    cls->units += slab->units;
    cls->blocks += slab->count;
    cls->live += live;
    cls->places += sums->places;
    uint64_t cached = sums->states[BLOCK_CACHED] + sums->states[BLOCK_QUARANTINED];
    cls->cached += cached;
    cls->remote += sums->states[BLOCK_REMOTE];
    cls->purged += sums->states[BLOCK_PURGED];
    cls->pinned += sums->pinned;
    arena->blocks += live;
    arena->live += sums->places * slab->block_size;
    arena->in_slabs += (uint64_t)slab->units * UNIT_SIZE;
    arena->pinned += sums->pinned;
    arena->cached += cached * slab->block_size;
    arena->remote += sums->states[BLOCK_REMOTE] * slab->block_size;
}

/* Counts the slab that was just read, again if it changes; *unit is the one after it. False if it
 * is not to be counted. */
static bool count_slab(struct view *view, struct view_heap *heap, unsigned *unit,
                       struct view_slab *slab, struct slab_figures *sums)
{
    for (int i = 0; i < TRIES; i++) {
        if (count_states(view, slab, sums))
            return true;
        unsigned again = slab->first_unit;
        heap->entries_from = HEAP_UNITS; /* they are to be read again */
        if (view->prefetch != NULL)
            view->prefetch(view, slab->word_at, sizeof(slab->word));
        if (!view_next_slab(view, heap, &again, slab))
            return false;
        *unit = again;
    }
    view->changed++;
    return false;
}

static void count_heap(struct view *view, struct view_heap *heap, struct figures_arena *arena,
                       struct figures *figures)
{
    uint64_t used[HEAP_WORDS] = {0};
    struct view_slab slab;
    struct slab_figures sums;
    unsigned limit = heap->unit_limit;
    for (unsigned unit = heap->first_unit; view_next_slab(view, heap, &unit, &slab);) {
        if (!count_slab(view, heap, &unit, &slab, &sums))
            continue;
        add_slab(&slab, &sums, arena, figures);
        limit = (unsigned)max_size(limit, unit);
        for (unsigned u = slab.first_unit; u < unit; u++)
            used[u / 64] |= UINT64_C(1) << u % 64;
    }
    for (unsigned u = heap->first_unit; u < limit; u++)
        if ((heap->dirty[u / 64] & ~used[u / 64]) >> u % 64 & 1)
            arena->free_dirty += UNIT_SIZE;
    arena->heaps++;
    arena->heap_mapped += (uint64_t)(limit + 1) * UNIT_SIZE; /* with the guard in front of it */
    if (view->resident != NULL)
        arena->heap_resident +=
            view->resident(view, heap->address, (uint64_t)heap->unit_limit * UNIT_SIZE);
}

void figures_add_arena(struct view *view, const struct view_arena *arena,
                       struct figures_arena *sums, struct figures *figures)
{
    *sums = (struct figures_arena){.arena = *arena,
                                   .pooled = (arena->status & 3) == POOLED,
                                   .of_heap = (arena->status & 3) == OF_HEAP};
    struct view_heap heap;
    /* before the heaps: a view may have prefetched the arena */
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
        struct view_bin bin;
        if (!view_bin(view, arena, cls, &bin))
            break;
        figures->events.windows += bin.windows;
        figures->events.slabs_made += bin.slabs_made;
        figures->events.slabs_released += bin.slabs_released;
    }
    for (bool more = view_first_heap(view, arena, &heap); more;
         more = view_next_heap(view, arena, &heap))
        count_heap(view, &heap, sums, figures);
    figures->arenas++;
    figures->arenas_pooled += sums->pooled;
    figures->heaps += sums->heaps;
    figures->heap_mapped += sums->heap_mapped;
    figures->in_slabs += sums->in_slabs;
    figures->free_dirty += sums->free_dirty;
    figures->heap_resident += sums->heap_resident;
    figures->small_blocks += sums->blocks;
    figures->small_live += sums->live;
    figures->adoptions += arena->adoptions;
    figures->collected += arena->collected;
}

void figures_add_large(struct view *view, struct figures *figures)
{
    struct view_extents at = {0};
    struct view_extent extent;
    while (view_next_extent(view, &at, &extent)) {
        if (extent.state == EXTENT_STOCK) {
            figures->stock += extent.size;
            figures->stock_zero += extent.zero ? extent.size : 0;
            continue;
        }
        unsigned order = highest_bit(extent.size >> FIGURES_LARGE_SHIFT | 1);
        struct figures_large *large = &figures->large[min_size(order, FIGURES_LARGE_SIZES - 1)];
        large->blocks++;
        large->bytes += extent.size;
        figures->large_blocks++;
        figures->large_live += extent.size;
    }
}

void figures_add_process(struct view *view, struct figures *figures)
{
    uint64_t counts = (uintptr_t)view->root.addresses[ACRE_AT_COUNTS];
    figures->metadata = view_word(view, ACRE_AT_METADATA);
    figures->slabs_peak =
        max_size(view_word(view, ACRE_AT_UNITS_PEAK) * UNIT_SIZE, figures->in_slabs);
    figures->large_peak = max_size(view_word(view, ACRE_AT_LARGE_PEAK), figures->large_live);
    figures->mmap = view_field(view, counts, ACRE_FIELD_COUNTS_MMAP);
    figures->munmap = view_field(view, counts, ACRE_FIELD_COUNTS_MUNMAP);
    figures->mremap = view_field(view, counts, ACRE_FIELD_COUNTS_MREMAP);
    figures->mprotect = view_field(view, counts, ACRE_FIELD_COUNTS_MPROTECT);
    figures->madvise = view_field(view, counts, ACRE_FIELD_COUNTS_MADVISE);
    figures->purged_bytes = view_field(view, counts, ACRE_FIELD_COUNTS_PURGED);
}

void figures_count(struct view *view, struct figures *figures)
{
    struct view_arena arena;
    struct figures_arena sums;
    memset(figures, 0, sizeof(*figures));
    for (bool more = view_first_arena(view, &arena); more; more = view_next_arena(view, &arena))
        figures_add_arena(view, &arena, &sums, figures);
    figures_add_large(view, figures);
    figures_add_process(view, figures);
}

uint64_t figures_pinned(const struct figures *figures)
{
    uint64_t bytes = 0;
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++)
        bytes += figures->classes[cls].pinned;
    return bytes;
}
