/* Heaps of one's own: see heaps.h. */
#include "paths/heaps.h"

#include "arena/background.h"
#include "arena/idle.h"
#include "base/os.h"
#include "large/large.h"
#include "modes/guard.h"
#include "modes/hardened.h"
#include "modes/misuse.h"
#include "paths/alloc.h"
#include "paths/free.h"

#include <assert.h>
#include <errno.h>

enum { HANDLES = CACHE_LINE }; /* of one structure that are told apart */

static_assert(_Alignof(struct own_heap) % HANDLES == 0, "a handle's low bits are free");

/* ---- handles ---- */

static uint32_t uses_of(const struct own_heap *heap)
{
    /* acquire: a thread that finds it in use finds it made */
    return __atomic_load_n(&heap->uses, __ATOMIC_ACQUIRE);
}

static struct acre_heap *handle_of(struct own_heap *heap)
{
    return (struct acre_heap *)((uintptr_t)heap + uses_of(heap) / 2 % HANDLES);
}

static struct own_heap *heap_of(const struct acre_heap *handle)
{
    return (struct own_heap *)align_down((uintptr_t)handle, HANDLES);
}

static bool is_in_use(const struct acre_heap *handle)
{
    struct own_heap *heap = heap_of(handle);
    return heap != NULL && uses_of(heap) % 2 != 0 && handle_of(heap) == handle;
}

static COLD void report_ended(const struct acre_heap *handle, const char *function)
{
    struct misuse misuse = {
        .error = {.kind = ACRE_ERROR_ENDED_HEAP, .function = function, .pointer = handle}};
    misuse_handle(&misuse);
}

struct own_heap *heaps_find(const struct acre_heap *handle, const char *function)
{
    if (LIKELY(is_in_use(handle)))
        return heap_of(handle);
    report_ended(handle, function);
    return NULL;
}

/* ---- the end ---- */

static void end_samples(const struct slab *slab)
{
    for (size_t i = 0; i < slab->count; i++)
        if (state_get(&slab->states[i]) == BLOCK_SAMPLED)
            free_end_sampled(slab->base + i * slab->block_size);
}

static void release_slab(void *unused, struct slab *slab)
{
    (void)unused;
    if (UNLIKELY(slab->sampled))
        end_samples(slab);
    slab_release(slab);
}

/* Frees all blocks of a heap and gives its slabs back. Needs its lock. Where its thread is lost on
 * the way, heaps_begin does the rest. */
static void empty(struct own_heap *heap)
{
    struct arena *arena = &heap->arena;
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        bin_close_window(&arena->bins[class]);
    heap_set_for_each_slab(&arena->heaps, release_slab, NULL);
    arena_forget_slabs(arena);
    guard_free_heap(arena->number, free_end_sampled);
    if (__atomic_load_n(&heap->has_large, __ATOMIC_RELAXED)) {
        large_free_heap(arena->number, free_end_sampled);
        __atomic_store_n(&heap->has_large, false, __ATOMIC_RELAXED);
    }
}

static void check_block(const char *function, const struct slab *slab, size_t number)
{
    if (state_get(&slab->states[number]) == BLOCK_SAMPLED)
        hardened_check(&(struct hardened_block){slab->base + number * slab->block_size,
                                                slab->states + number, slab->block_size},
                       function);
}

static void check_slab(void *function, struct slab *slab)
{
    for (size_t i = 0; i < slab->count; i++)
        check_block(function, slab, i);
}

struct acre_heap *heaps_begin(void)
{
    int saved = errno;
    struct own_heap *heap = arena_begin_heap();
    if (heap == NULL && idle_make_room(NULL, 1)) /* anything idle may help */
        heap = arena_begin_heap();
    errno = heap != NULL ? saved : ENOMEM;
    if (heap == NULL)
        return NULL;
    if (fork_generation() != 0) { /* a thread that was destroying it may have been lost */
        arena_lock_heap(heap);
        empty(heap);
        arena_unlock_heap(heap);
    }
    return handle_of(heap);
}

void heaps_end(struct acre_heap *handle, const char *function)
{
    int saved = errno;
    struct own_heap *heap = heaps_find(handle, function);
    if (heap == NULL)
        return;
    /* before the lock is taken: the program's handler may be called */
    if (hardened_is_on())
        heap_set_for_each_slab(&heap->arena.heaps, check_slab, (void *)(uintptr_t)function);
    arena_lock_heap(heap);
    bool ended = !is_in_use(handle); /* by another thread, meanwhile */
    if (!ended) {
        /* a child that is forked from here on finds a heap that has ended */
        __atomic_store_n(&heap->uses, heap->uses + 1, __ATOMIC_RELEASE);
        empty(heap);
        arena_keep_heap(heap);
    }
    arena_unlock_heap(heap);
    if (ended)
        report_ended(handle, function);
    idle_tick(os_now_ms());
    background_ring_if_idle(&heap->arena);
    errno = saved;
}
