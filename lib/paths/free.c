/* Freeing: see free.h. */
#include "paths/free.h"

#include "arena/background.h"
#include "large/large.h"
#include "base/option.h"
#include "base/os.h"
#include "arena/remote.h"
#include "base/report.h"
#include "slab/slab_wide.h"

#include <errno.h>

/* What the states say about an address in a heap. */
struct place {
    struct slab *slab; /* NULL: in no slab */
    char *block;       /* the block that it lies in; NULL: behind the slab's last one */
    uint8_t *state;    /* its state, if there is one */
    size_t block_size; /* bytes of that block, or of each one of the slab's */
};

/* The number of the block that has the place `number`: another one if that is REST. */
static size_t first_place(const uint8_t *states, size_t number)
{
    while (number != 0 && state_get(&states[number]) == BLOCK_REST)
        number--;
    return number;
}

/*
 * The heap in whose header, states or units p, any address at all, lies, or NULL. The one test that
 * tells an address in a heap from a LARGE block: at addresses above the last unit of a heap of less
 * than 32 MiB other mappings may lie, LARGE blocks among them.
 */
static struct heap *heap_of(const void *p)
{
    struct heap *heap = heap_find(p);
    size_t unit = ((uintptr_t)p >> UNIT_SHIFT) % HEAP_UNITS;
    if (heap == NULL || unit >= __atomic_load_n(&heap->unit_limit, __ATOMIC_RELAXED))
        return NULL;
    return heap;
}

/* Finds the block that p, an address in `heap`, lies in; for any thread, by published geometry. */
static struct place find_place(struct heap *heap, const void *p)
{
    struct place place = {.slab = heap_slab_of(heap, p)};
    /* acquire: the states are read as they were before the slab was published, or later */
    uint64_t word = __atomic_load_n(&place.slab->geometry, __ATOMIC_ACQUIRE);
    if (word == 0)
        return (struct place){.slab = NULL};
    struct slab_geometry g = geometry_unpack(word);
    char *base = geometry_base(heap, g);
    size_t number;
    (void)slab_starts_block((size_t)((const char *)p - base), size_class_reciprocals[g.class],
                            &number);
    place.block_size = size_class_sizes[g.class];
    if (number >= g.count)
        return place;
    const uint8_t *states = geometry_states(heap, g);
    number = first_place(states, number);
    place.block = base + number * place.block_size;
    place.state = geometry_states(heap, g) + number;
    place.block_size *= slab_wide_places(states, g.count, number);
    return place;
}

/* True if the unit at this address was accessible once: then a pointer to it was a block's. */
static bool was_used(const struct heap *heap, const void *p)
{
    size_t unit = ((uintptr_t)p >> UNIT_SHIFT) % HEAP_UNITS;
    return unit >= heap->first_unit && unit < __atomic_load_n(&heap->used_limit, __ATOMIC_RELAXED);
}

static bool is_aligned(const void *p)
{
    return (uintptr_t)p % BLOCK_ALIGNMENT == 0;
}

/* What is wrong with a free of p, which lies in `block` and is not the start of a LIVE one. */
static enum misuse kind_in_block(const void *p, const void *block)
{
    if (p == block)
        return MISUSE_DOUBLE_FREE;
    return is_aligned(p) ? MISUSE_INTERIOR : MISUSE_MISALIGNED;
}

static void describe_in_heap(struct misuse_report *report, struct heap *heap)
{
    struct place place = find_place(heap, report->pointer);
    if (place.slab == NULL) {
        bool released = is_aligned(report->pointer) && was_used(heap, report->pointer);
        report->kind = released ? MISUSE_DOUBLE_FREE : MISUSE_FOREIGN;
        return;
    }
    if (place.block == NULL) {
        report->kind = MISUSE_FOREIGN;
        return;
    }
    report->block = place.block;
    report->block_size = place.block_size;
    report->block_class = place.block_size <= SIZE_CLASS_TINY_LIMIT ? "TINY" : "SMALL";
    report->arena = (int)heap->set->arena->number;
    report->kind = kind_in_block(report->pointer, place.block);
}

static void describe_outside(struct misuse_report *report)
{
    struct large_info info;
    large_find(report->pointer, &info);
    report->kind = MISUSE_FOREIGN;
    if (!info.known)
        return;
    if (info.base == NULL) {
        report->kind = is_aligned(report->pointer) ? MISUSE_DOUBLE_FREE : MISUSE_MISALIGNED;
        return;
    }
    report->block = info.base;
    report->block_size = info.size;
    report->block_class = "LARGE";
    report->kind = kind_in_block(report->pointer, info.base);
}

/* Says what is wrong with p and, by default, ends the process. */
static COLD void misuse(const void *p, const char *function)
{
    struct misuse_report report = {.function = function, .pointer = p};
    struct heap *heap = heap_of(p);
    if (heap != NULL)
        describe_in_heap(&report, heap);
    else
        describe_outside(&report);
    report_misuse(&report);
    if (option_value(OPTION_ABORT) != 0)
        os_abort();
}

/* For threads that do nothing but free what others allocate. Calls free_other again from its start,
 * so that free_other saves no values across the tick. */
static COLD void tick_and_free_other(void *p, struct slab *slab, const char *function)
{
    thread_state.until_tick = THREAD_UNTIL_TICK;
    arena_tick(os_now_ms());
    background_ring();
    free_other(p, slab, function);
}

/* Frees a block of another thread's slab if it is WIDE. Counts its REST places; free_other counts
 * the first one. */
static bool free_other_wide(struct slab *slab, struct slab_geometry g, size_t number,
                            uint8_t *state)
{
    struct arena *owner = slab_heap(slab)->set->arena;
    /* counted while the block is held, before it may be anything else */
    size_t places = slab_wide_places(state - number, g.count, number);
    size_t rest = (places - 1) * size_class_sizes[g.class];
    if (!remote_free(slab, g.class, state, BLOCK_WIDE))
        return false;
    thread_state.until_tick -= (int32_t)rest;
    if (!arena_is_owned(owner))
        arena_count_pooled(owner, rest);
    return true;
}

void free_other(void *p, struct slab *slab, const char *function)
{
    /* acquire: as in find_place */
    uint64_t word = __atomic_load_n(&slab->geometry, __ATOMIC_ACQUIRE);
    struct slab_geometry g = geometry_unpack(word);
    struct heap *heap = heap_containing(p);
    char *base = geometry_base(heap, g);
    size_t number;
    bool starts =
        slab_starts_block((size_t)((char *)p - base), size_class_reciprocals[g.class], &number);
    if (UNLIKELY(word == 0 || !starts || number >= g.count)) {
        free_slow(p, function);
        return;
    }
    if (UNLIKELY((thread_state.until_tick -= (int32_t)size_class_sizes[g.class]) < 0)) {
        tick_and_free_other(p, slab, function);
        return;
    }
    uint8_t *state = geometry_states(heap, g) + number;
    struct arena *owner = heap->set->arena;
    if (UNLIKELY(!remote_free(slab, g.class, state, BLOCK_LIVE) &&
                 !free_other_wide(slab, g, number, state)))
        free_slow(p, function);
    else if (UNLIKELY(!arena_is_owned(owner)))
        arena_count_pooled(owner, size_class_sizes[g.class]);
}

/* Frees p if it is a WIDE block of the calling thread's. */
static bool free_own_wide(void *p, struct heap *heap)
{
    struct place place = find_place(heap, p);
    if (place.block != p || state_get(place.state) != BLOCK_WIDE ||
        place.slab->owner != thread_state.arena)
        return false;
    slab_free_wide(place.slab, (size_t)(place.state - place.slab->states), heap->set);
    return true;
}

void free_slow(void *p, const char *function)
{
    if (p == NULL)
        return;
    int saved = errno;
    struct heap *heap = heap_of(p);
    if (heap != NULL && free_own_wide(p, heap)) {
        background_ring_if_idle(thread_state.arena);
    } else if (heap != NULL || large_free(p) != 0) {
        misuse(p, function);
    } else {
        arena_tick(os_now_ms());
        background_ring_if_idle(thread_state.arena);
    }
    errno = saved;
}

void free_check_slab(struct slab *slab)
{
    int saved = errno;
    slab_check(slab, &slab->owner->heaps);
    background_ring_if_idle(thread_state.arena);
    errno = saved;
}

/* The usable bytes of the block that starts at p, an address in `heap`; 0 if none is held there. */
static size_t held_size(struct heap *heap, const void *p)
{
    struct place place = find_place(heap, p);
    bool held = place.slab != NULL && place.block == p && state_is_held(state_get(place.state));
    return held ? place.block_size : 0;
}

bool free_is_gone(const void *p)
{
    struct heap *heap = heap_of(p);
    return heap != NULL && held_size(heap, p) == 0;
}

size_t free_usable_size(void *p, const char *function)
{
    size_t size = 0;
    struct heap *heap = heap_of(p);
    if (heap != NULL) {
        size = held_size(heap, p);
    } else if (p != NULL) {
        size = large_usable_size(p);
    }
    if (size == 0)
        misuse(p, function);
    return size;
}
