/* Freeing: see free.h. */
#include "paths/free.h"

#include "arena/background.h"
#include "arena/idle.h"
#include "large/large.h"
#include "base/option.h"
#include "base/os.h"
#include "modes/guard.h"
#include "modes/hardened.h"
#include "modes/misuse.h"
#include "modes/profile.h"
#include "modes/trace.h"
#include "paths/mismatch.h"

#include <errno.h>

/* What is known of an address: looked up once, and handed on. */
struct place {
    struct heap *heap; /* NULL: in none */
    struct slab *slab; /* if `block` is not NULL */
    char *block;       /* the block of a slab that it lies in; NULL: in none */
    uint8_t *state;    /* of that block */
    size_t size;       /* of that block, bytes */
};

/* Where an address lies in a slab. */
struct spot {
    struct slab_geometry geometry;
    size_t number; /* of the block in whose place it lies */
    bool starts;   /* a block of the slab's class starts there */
};

/* False if p is in no slab, or above the slab's last block. For any thread: reads nothing that the
 * owner may change but the published geometry. */
static ALWAYS_INLINE bool find_spot(struct slab *slab, const void *p, struct spot *spot)
{
    /* acquire: the states are read as they were before the slab was published, or later */
    spot->geometry = geometry_unpack(__atomic_load_n(&slab->geometry, __ATOMIC_ACQUIRE));
    char *base = geometry_base(heap_containing(p), spot->geometry);
    spot->starts = slab_starts_block((size_t)((const char *)p - base),
                                     size_class_reciprocals[spot->geometry.class], &spot->number);
    return spot->number < spot->geometry.count; /* 0: no slab */
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

static NOINLINE struct place find_in_heap(struct heap *heap, const void *p)
{
    struct place place = {.heap = heap, .slab = heap_slab_of(heap, p)};
    struct spot spot;
    if (!find_spot(place.slab, p, &spot))
        return place;
    uint8_t *states = geometry_states(heap, spot.geometry);
    while (spot.number != 0 && state_get(&states[spot.number]) == BLOCK_REST)
        spot.number--;
    size_t place_size = size_class_sizes[spot.geometry.class];
    place.block = geometry_base(heap, spot.geometry) + spot.number * place_size;
    place.state = states + spot.number;
    place.size = place_size * slab_wide_places(states, spot.geometry.count, spot.number);
    return place;
}

/* Finds out about p, any address at all. */
static inline struct place find_place(const void *p)
{
    struct heap *heap = heap_of(p);
    return heap != NULL ? find_in_heap(heap, p) : (struct place){.heap = NULL};
}

/* True if p, in a heap and in no block, was in a slab once: its unit is in none now, and was
 * accessible. */
static bool was_released(struct heap *heap, const void *p)
{
    size_t unit = ((uintptr_t)p >> UNIT_SHIFT) % HEAP_UNITS;
    struct slab *slab = heap_slab_of(heap, p);
    return __atomic_load_n(&slab->geometry, __ATOMIC_RELAXED) == 0 && unit >= heap->first_unit &&
           unit < __atomic_load_n(&heap->used_limit, __ATOMIC_RELAXED);
}

/* What is wrong with p, which does not start a live block. `block`: the one it lies in, or
 * NULL; `released`: it is free memory, whose blocks are not known any more. */
static enum acre_error_kind kind_of(const void *p, const void *block, bool released)
{
    if (block == NULL && !released)
        return ACRE_ERROR_FOREIGN;
    if ((uintptr_t)p % BLOCK_ALIGNMENT != 0)
        return ACRE_ERROR_MISALIGNED;
    return block == NULL || block == p ? ACRE_ERROR_DOUBLE_FREE : ACRE_ERROR_INTERIOR;
}

/* What lies at an address next to a block. */
static struct misuse_neighbour neighbour_at(const char *p)
{
    static const char *const states[BLOCK_END + 1] = {
        [BLOCK_FREE] = "free",        [BLOCK_LIVE] = "live",
        [BLOCK_CACHED] = "free",      [BLOCK_REMOTE] = "freed by a thread that is not its owner",
        [BLOCK_PURGED] = "free",      [BLOCK_WIDE] = "live",
        [BLOCK_REST] = "free",        [BLOCK_SAMPLED] = "live",
        [BLOCK_QUARANTINED] = "free", [BLOCK_END] = "free",
    };
    struct place place = find_place(p);
    struct large_info info = {.known = false};
    if (place.block != NULL)
        return (struct misuse_neighbour){place.block, place.size, states[state_get(place.state)]};
    if (place.heap == NULL)
        large_find(p, &info);
    bool live = large_usable_size(info.base) != 0;
    return (struct misuse_neighbour){info.base, info.size, states[live ? BLOCK_LIVE : BLOCK_FREE]};
}

/* Fills in what is known of the block in which p lies, and its neighbours. True if p is in free
 * memory whose blocks are not known any more. */
static bool describe(const void *p, const struct place *place, struct misuse *misuse)
{
    struct acre_error *error = &misuse->error;
    bool released = false;
    if (place->heap != NULL) {
        error->block = place->block;
        error->block_size = place->size;
        error->arena = place->block != NULL ? arena_of(place->heap->set)->number : 0;
        misuse->block_class = place->size <= SIZE_CLASS_TINY_LIMIT ? "TINY" : "SMALL";
        released = was_released(place->heap, p);
    } else if (guard_has(p)) {
        guard_describe(p, misuse);
    } else {
        struct large_info info;
        large_find(p, &info);
        error->block = info.base;
        error->block_size = info.size;
        misuse->block_class = "LARGE";
        released = info.known;
    }
    if (error->block != NULL) {
        misuse->before = neighbour_at((const char *)error->block - 1);
        misuse->after = neighbour_at((const char *)error->block + error->block_size);
    }
    return released;
}

void free_report(struct acre_error error)
{
    struct misuse misuse = {.error = error};
    struct place place = find_place(error.pointer);
    describe(error.pointer, &place, &misuse);
    misuse_handle(&misuse);
}

/* Finds out what is wrong with p, for a function that frees it or else uses it; by default it is
 * reported and the process ends. */
static COLD void misuse(const void *p, const struct place *place, bool frees, const char *function)
{
    struct misuse misuse = {.error = {.function = function, .pointer = p}};
    bool released = describe(p, place, &misuse);
    enum acre_error_kind kind = kind_of(p, misuse.error.block, released);
    if (kind == ACRE_ERROR_DOUBLE_FREE && !frees)
        kind = ACRE_ERROR_USE_AFTER_FREE;
    misuse.error.kind = kind;
    misuse_handle(&misuse);
}

void free_report_damage(enum acre_error_kind kind, const void *block, size_t requested,
                        size_t offset, const char *function)
{
    free_report((struct acre_error){.kind = kind,
                                    .function = function,
                                    .pointer = block,
                                    .requested = requested,
                                    .offset = offset});
}

void free_end_sampled(const void *p)
{
    trace_freed(p);
    profile_end(p);
}

/* All that happens to a SAMPLED block before it is given back, by any thread. The state that it has
 * then: SAMPLED, or QUARANTINED if it was wiped. FREE: another thread has freed it meanwhile. */
static inline uint8_t end_block(const struct hardened_block *block, const char *function)
{
    bool hardened = hardened_is_on();
    mismatch_check_free(block->base, function);
    if (hardened)
        hardened_check(block, function);
    free_end_sampled(block->base);
    if (!hardened)
        return BLOCK_SAMPLED;
    return hardened_wipe(block) ? BLOCK_QUARANTINED : BLOCK_FREE;
}

/* For threads that do nothing but free what others allocate. */
static COLD void tick(void)
{
    idle_tick(os_now_ms());
    if (option_value(OPTION_BACKGROUND_THREAD) != 0)
        background_ring_now();
}

void free_other(void *p, struct slab *slab, const char *function)
{
    struct spot spot;
    if (UNLIKELY(!find_spot(slab, p, &spot) || !spot.starts)) {
        free_slow(p, function);
        return;
    }
    struct heap *heap = heap_containing(p);
    struct arena *owner = arena_of(heap->set);
    uint8_t *state = geometry_states(heap, spot.geometry) + spot.number;
    unsigned class = spot.geometry.class;
    size_t bytes = size_class_sizes[class];
    if (UNLIKELY(!remote_free(&owner->remote, slab, class, state, BLOCK_LIVE))) {
        /* counted while the block is live, before it may be anything else */
        bytes *= slab_wide_places(state - spot.number, spot.geometry.count, spot.number);
        uint8_t live = BLOCK_WIDE;
        if (state_get(state) == BLOCK_SAMPLED)
            live = end_block(&(struct hardened_block){p, state, bytes}, function);
        if (live == BLOCK_FREE || !remote_free(&owner->remote, slab, class, state, live)) {
            free_slow(p, function);
            return;
        }
    }
    if (UNLIKELY(!arena_is_owned(owner)))
        idle_count_freed(owner, bytes);
    if (UNLIKELY((thread_state.until_tick -= (int32_t)bytes) < 0))
        tick();
}

static inline bool find_own_sampled(const void *p, struct own_block *own)
{
    struct slab *slab;
    size_t number;
    if (!unit_map_find(p, &slab) || slab->owner != thread_state.arena ||
        !slab_starts_block((size_t)((const char *)p - slab->base), slab->reciprocal, &number))
        return false;
    *own = (struct own_block){slab, slab->states + number};
    return state_get(own->state) == BLOCK_SAMPLED;
}

bool free_find_own_sampled(const void *p, struct own_block *own)
{
    return find_own_sampled(p, own);
}

/* The usable bytes of the LARGE or guarded block that starts at p; 0 if no live one does. */
static size_t size_outside(const void *p)
{
    return guard_has(p) ? guard_usable_size(p) : large_usable_size(p);
}

/* Frees the LARGE or guarded block at p; false if there is none. */
static bool free_outside(void *p)
{
    if (trace_is_on() && size_outside(p) != 0)
        trace_add(p, true);
    profile_end(p);
    return guard_has(p) ? guard_free(p) : large_free(p) == 0;
}

/* Frees a SAMPLED block of the calling thread's. False if another thread has freed it. */
static inline bool free_own_sampled(void *p, struct own_block own, const char *function)
{
    struct hardened_block block = {p, own.state, own.slab->block_size};
    uint8_t state = end_block(&block, function);
    if (state == BLOCK_FREE)
        return false;
    if (state != BLOCK_QUARANTINED || !hardened_keep(thread_state.arena->quarantine, &block))
        free_own_block(p, own);
    return true;
}

/* Frees a WIDE block of the calling thread's; false if p is none. */
static bool free_own_wide(const void *p, const struct place *place)
{
    if (place->block != p || state_get(place->state) != BLOCK_WIDE ||
        place->slab->owner != thread_state.arena)
        return false;
    slab_give_back(place->slab, (size_t)(place->state - place->slab->states));
    return true;
}

/* Frees p, which is no block that the functions before know. */
static NOINLINE void free_any(void *p, const char *function)
{
    int saved = errno;
    struct place place = find_place(p);
    if (place.heap == NULL)
        mismatch_check_free(p, function);
    if (place.heap == NULL && free_outside(p))
        idle_tick(os_now_ms());
    else if (!free_own_wide(p, &place))
        misuse(p, &place, true, function);
    background_ring_if_idle(thread_state.arena);
    errno = saved;
}

void free_slow(void *p, const char *function)
{
    struct own_block own;
    if (p == NULL)
        return;
    if (find_own_sampled(p, &own) && free_own_sampled(p, own, function))
        background_ring_if_idle(thread_state.arena);
    else
        free_any(p, function);
}

void free_check_slab(struct slab *slab)
{
    int saved = errno;
    slab_check(slab);
    background_ring_if_idle(thread_state.arena);
    errno = saved;
}

/* The usable bytes of the block that starts at p; 0 if no live one does. */
static size_t live_size(const void *p, const struct place *place)
{
    if (place->heap == NULL)
        return size_outside(p);
    return place->block == p && state_is_live(state_get(place->state)) ? place->size : 0;
}

bool free_find_block(const void *p, struct hardened_block *block)
{
    struct place place = find_place(p);
    *block = (struct hardened_block){place.block, place.state, place.size};
    return place.heap != NULL && live_size(p, &place) != 0;
}

bool free_is_of_heap(const void *p, const struct arena *heap, const char *function)
{
    struct heap *region = heap_of(p);
    if (LIKELY(region != NULL && arena_of(region->set) == heap))
        return true;
    struct place place = find_place(p);
    uint32_t number = place.heap != NULL ? 0 : guard_has(p) ? guard_heap(p) : large_heap(p);
    if (number == heap->number || live_size(p, &place) == 0)
        return true; /* what is wrong with it is for the call itself to find */
    free_report(
        (struct acre_error){.kind = ACRE_ERROR_FOREIGN, .function = function, .pointer = p});
    return false;
}

bool free_is_live(const void *p)
{
    struct place place = find_place(p);
    return live_size(p, &place) != 0;
}

size_t free_usable_size_slow(void *p, const char *function)
{
    struct place place = find_place(p);
    size_t size = live_size(p, &place);
    if (size == 0)
        misuse(p, &place, false, function);
    if (size == 0 || place.heap == NULL)
        return size;
    size_t requested = hardened_requested(&(struct hardened_block){place.block, place.state, size});
    return requested != 0 ? requested : size;
}
