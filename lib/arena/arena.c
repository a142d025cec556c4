/* Arenas and their pool: see arena.h. */
#include "arena/arena.h"

#include "base/limit.h"
#include "base/meta.h"
#include "base/os.h"
#include "modes/hardened.h"

struct arena arena_none;
START_DATA struct arena *arena_newest;

__thread struct thread_state thread_state = {.arena = &arena_none};

static START_DATA struct {
    CACHE_ALIGNED struct lock lock;
    struct list list;    /* pooled arenas, in the order in which they are adopted: the one that came
                            last first, as its memory is the warmest; cold ones last */
    struct list ended;   /* own heaps that have ended: the one that did last first */
    bool ready;          /* the lists are initialised */
    bool complete;       /* it was known which arenas have a thread when they were last made */
    uint32_t generation; /* fork generation in which that was */
    uint32_t made;       /* arenas made */
    size_t idle;         /* bytes: `idle` of all that are pooled */
} pool = {.lock = {.rank = LOCK_RANK_POOL}}; /* [lock] */

/* ---- the pool ---- */

static void set_status_in(struct arena *arena, enum arena_status status, uint32_t generation)
{
    uint64_t word = arena_status_word(status, generation);
    /* release: after `orphan`; a child forked in between sees both or neither */
    __atomic_store_n(&arena->status, word, __ATOMIC_RELEASE);
}

static void set_status(struct arena *arena, enum arena_status status)
{
    set_status_in(arena, status, fork_generation());
}

/* Takes an arena that no thread has for the calling one. Needs the pool's lock. */
static void hold(struct arena *arena, enum arena_status status)
{
    pool.idle -= arena->idle;
    arena->idle = 0;
    /* what is freed from here on counts: the holder may have collected before */
    __atomic_store_n(&arena->freed, 0, __ATOMIC_RELAXED);
    arena->held_before = thread_state.held;
    thread_state.held = arena;
    if (status == ARENA_OWNED) {
        __atomic_store_n(&arena->thread, os_thread_id(), __ATOMIC_RELAXED);
        counter_add(&arena->adoptions, 1);
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    set_status(arena, status);
}

void *arena_forked(void)
{
    if (limit_is_on())
        limit_forget(); /* what lost threads were taking is counted anew */
    return thread_state.held;
}

/* True if the arena is one of those in `held`, what the thread that forked held. */
static bool is_held(const struct arena *arena, const struct arena *held)
{
    while (held != NULL && held != arena)
        held = held->held_before;
    return held != NULL;
}

static bool is_older_than(const struct arena *arena, uint32_t generation)
{
    uint64_t word = __atomic_load_n(&arena->status, __ATOMIC_RELAXED);
    return (uint32_t)(word >> STATUS_GENERATION_SHIFT) != generation;
}

/* What idle.c knows of a pooled arena. Needs the pool's lock. */
static void set_warmth(struct arena *arena, enum arena_warmth warmth, size_t in_use)
{
    __atomic_store_n(&arena->warmth, (uint8_t)warmth, __ATOMIC_RELAXED);
    __atomic_store_n(&arena->in_use, in_use, __ATOMIC_RELAXED);
    __atomic_store_n(&arena->pooled_at, os_now_ms(), __ATOMIC_RELAXED);
}

static bool heap_is_used(const struct own_heap *heap)
{
    return __atomic_load_n(&heap->uses, __ATOMIC_RELAXED) % 2 != 0;
}

/*
 * Makes the pool's lists from the status of all arenas. A thread that has one with a status of an
 * older generation was lost in a fork, unless it is the thread that forked. A signal handler may
 * fork meanwhile: what is found here is of the generation at the beginning and says so, and the
 * child makes the list again.
 */
static void pool_rebuild(void)
{
    uint32_t generation = fork_generation();
    void *held;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    pool.complete = fork_find_held(&held);
    list_init(&pool.list);
    list_init(&pool.ended);
    pool.made = 0;
    pool.idle = 0;
    for (struct arena *arena = arena_newest; arena != NULL; arena = arena->next) {
        pool.made = (uint32_t)max_size(pool.made, arena->number);
        arena->pooled.next = NULL;
        if (arena_status(arena) == ARENA_OF_HEAP) {
            if (!heap_is_used(own_heap_of(arena)))
                list_push_front(&pool.ended, &arena->pooled);
            continue;
        }
        if (arena_status(arena) != ARENA_POOLED && is_older_than(arena, generation) &&
            pool.complete) {
            bool lost = !is_held(arena, held);
            arena->orphan = arena->orphan || lost;
            if (lost)
                set_warmth(arena, ARENA_DRAINED, 0);
            else /* the thread that forked is the first of its process */
                __atomic_store_n(&arena->thread, os_process_id(), __ATOMIC_RELAXED);
            set_status_in(arena, lost ? ARENA_POOLED : arena_status(arena), generation);
        }
        if (arena_status(arena) == ARENA_POOLED) {
            list_push_front(&pool.list, &arena->pooled);
            pool.idle += arena->idle;
        } else {
            arena->idle = 0; /* a lost thread had begun to retire it */
        }
    }
    pool.generation = generation;
    pool.ready = true;
}

static void pool_lock(void)
{
    void *held;
    fork_begin(arena_forked); /* before threads exist: at the process's first block */
    bool lost = lock_acquire(&pool.lock);
    if (UNLIKELY(lost || !pool.ready || pool.generation != fork_generation() ||
                 (!pool.complete && fork_find_held(&held))))
        pool_rebuild();
}

static void pool_unlock(void)
{
    lock_release(&pool.lock);
}

static void arena_init(struct arena *arena)
{
    heap_set_init(&arena->heaps, arena);
    remote_init(&arena->remote, &arena->heaps);
    arena->number = ++pool.made;
    arena->next = arena_newest;
}

static void arena_publish(struct arena *arena)
{
    /* release: a thread that finds the arena finds it made */
    __atomic_store_n(&arena_newest, arena, __ATOMIC_RELEASE);
}

/* Makes an arena and publishes it. Needs the pool's lock. */
static struct arena *arena_make(void)
{
    struct arena *arena = meta_alloc(sizeof(struct arena));
    if (arena == NULL)
        return NULL;
    arena_init(arena);
    hold(arena, ARENA_OWNED);
    arena_publish(arena);
    return arena;
}

/* The same for an own heap. */
static struct own_heap *make_heap(void)
{
    struct own_heap *heap = meta_alloc(sizeof(struct own_heap));
    if (heap == NULL)
        return NULL;
    arena_init(&heap->arena);
    heap->lock.rank = LOCK_RANK_OWN_HEAP;
    set_status(&heap->arena, ARENA_OF_HEAP);
    arena_publish(&heap->arena);
    return heap;
}

/* ---- rebuilding an orphan ---- */

static void rebuild_slab(void *context, struct slab *slab)
{
    struct arena *arena = context;
    struct slab_geometry g = geometry_unpack(slab->geometry);
    const uint8_t *states = geometry_states(slab_heap(slab), g);
    /* in this order: another thread may be making a block QUARANTINED */
    size_t live = slab_count_live(states, g.count).blocks;
    if (live + states_count(states, g.count, BLOCK_QUARANTINED) == 0) {
        heap_set_give(slab);
        return;
    }
    if (arena->bins[g.class].block_size == 0)
        arena_init_bin(arena, g.class);
    slab_rebuild(slab, &arena->bins[g.class]);
    /* another thread may have freed the last one meanwhile */
    if (slab_is_listed(slab) && slab_live_blocks(slab) == 0)
        slab_check(slab);
}

void arena_forget_slabs(struct arena *arena)
{
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++) {
        struct bin *bin = &arena->bins[class];
        *bin = (struct bin){.windows = bin->windows,
                            .slabs_made = bin->slabs_made,
                            .slabs_released = bin->slabs_released};
    }
    arena->entries_used = 0;
    arena->wide = false;
    arena->look_from = 0;
    arena->grown_to = 0;
}

/* Makes everything in an arena whose thread was lost again from geometry words and block states. */
static void arena_rebuild(struct arena *arena)
{
    lock_acquire(&arena->heaps.lock);
    heap_set_rebuild_locked(&arena->heaps);
    lock_release(&arena->heaps.lock);
    arena_forget_slabs(arena);
    hardened_forget(arena->quarantine);
    remote_begin(&arena->remote);
    heap_set_for_each_slab(&arena->heaps, rebuild_slab, arena);
    remote_end(&arena->remote);
    arena->orphan = false;
}

/* ---- adoption ---- */

struct arena *arena_adopt(void)
{
    pool_lock();
    struct list_node *node = list_first(&pool.list);
    struct arena *arena;
    if (node != NULL) {
        arena = CONTAINER_OF(node, struct arena, pooled);
        list_remove(node);
        hold(arena, ARENA_OWNED);
    } else {
        arena = arena_make();
    }
    pool_unlock();
    if (arena != NULL && arena->orphan)
        arena_rebuild(arena);
    return arena;
}

void arena_retire_as(struct arena *arena, enum arena_warmth warmth, size_t live, size_t idle)
{
    if (arena_status(arena) == ARENA_OF_HEAP) {
        set_warmth(arena, warmth, live);
        arena_unlock_heap(own_heap_of(arena));
        return;
    }
    pool_lock();
    set_warmth(arena, warmth, live);
    arena->idle = idle;
    pool.idle += idle;
    set_status(arena, ARENA_POOLED);
    if (warmth == ARENA_COLD)
        list_push_back(&pool.list, &arena->pooled);
    else
        list_push_front(&pool.list, &arena->pooled);
    /* its own goes last, and what it borrows goes before it takes another one */
    ASSERT(thread_state.held == arena);
    thread_state.held = arena->held_before;
    pool_unlock();
}

void arena_retire(struct arena *arena)
{
    struct heap_totals totals;
    heap_set_totals(&arena->heaps, &totals);
    arena_retire_as(arena, ARENA_WARM, totals.in_slabs, totals.free_dirty);
}

/* Takes an own heap's lock, if no call is in it. */
static bool borrow_heap(struct own_heap *heap)
{
    bool lost;
    if (!lock_try(&heap->lock, &lost))
        return false;
    if (UNLIKELY(lost))
        arena_rebuild(&heap->arena);
    __atomic_store_n(&heap->arena.freed, 0, __ATOMIC_RELAXED); /* as hold() does */
    return true;
}

bool arena_borrow(struct arena *arena)
{
    if (arena_status(arena) == ARENA_OF_HEAP)
        return borrow_heap(own_heap_of(arena));
    /* in a child an older status says nothing until the list is made again */
    if (arena_status(arena) != ARENA_POOLED && !is_older_than(arena, fork_generation()))
        return false;
    pool_lock();
    bool pooled = arena_status(arena) == ARENA_POOLED;
    if (pooled) {
        list_remove(&arena->pooled);
        hold(arena, ARENA_BORROWED);
    }
    pool_unlock();
    if (pooled && arena->orphan)
        arena_rebuild(arena);
    return pooled;
}

/* ---- own heaps ---- */

void arena_lock_heap(struct own_heap *heap)
{
    if (UNLIKELY(lock_acquire(&heap->lock)))
        arena_rebuild(&heap->arena);
}

void arena_unlock_heap(struct own_heap *heap)
{
    lock_release(&heap->lock);
}

struct own_heap *arena_begin_heap(void)
{
    struct own_heap *heap;
    pool_lock();
    struct list_node *node = list_first(&pool.ended);
    if (node != NULL) {
        heap = CONTAINER_OF(node, struct own_heap, arena.pooled);
        list_remove(node);
    } else {
        heap = make_heap();
    }
    if (heap != NULL) /* release: a thread that finds it in use finds it made */
        __atomic_store_n(&heap->uses, heap->uses + 1, __ATOMIC_RELEASE);
    pool_unlock();
    return heap;
}

void arena_keep_heap(struct own_heap *heap)
{
    pool_lock();
    /* in a child the lists may have been made meanwhile, and the heap may have begun again */
    if (!heap_is_used(heap) && !list_contains(&heap->arena.pooled)) {
        set_warmth(&heap->arena, ARENA_WARM, 0);
        list_push_front(&pool.ended, &heap->arena.pooled);
    }
    pool_unlock();
}

size_t arena_pool_idle(void)
{
    pool_lock();
    size_t idle = pool.idle;
    pool_unlock();
    return idle;
}

void arena_init_bin(struct arena *arena, unsigned class)
{
    bin_init(&arena->bins[class], class, &arena->entries[arena->entries_used]);
    arena->entries_used += (uint32_t)magazine_capacity(class);
    ASSERT(arena->entries_used <= MAGAZINE_ENTRIES);
}

void arena_flush_slabs(struct arena *arena)
{
    for (unsigned class = SIZE_CLASS_COUNT; size_class_sizes[--class] > SLAB_SHARED_LIMIT;)
        bin_flush(&arena->bins[class]);
}

void arena_flush(struct arena *arena)
{
    hardened_empty(arena->quarantine);
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++) {
        struct bin *bin = &arena->bins[class];
        if (bin->block_size == 0)
            continue;
        bin_flush(bin);
        bin_leave_slab(bin);
    }
    if (remote_pending(&arena->remote))
        remote_collect(&arena->remote);
}

struct arena *arena_first(void)
{
    return __atomic_load_n(&arena_newest, __ATOMIC_ACQUIRE);
}

/* ---- validity ---- */

struct validity {
    struct arena *arena;
    const char *fault; /* the first one; NULL: none */
    const void *at;
    size_t units; /* of the slabs so far */
};

/* What is wrong with a slab; NULL: nothing. */
static const char *slab_fault(const struct arena *arena, struct slab *slab)
{
    struct heap *heap = slab_heap(slab);
    struct slab_geometry g = geometry_unpack(slab->geometry);
    if (slab->owner != arena)
        return "a slab has another owner";
    if (slab->states != geometry_states(heap, g) || slab->base != geometry_base(heap, g))
        return "a slab's place is not that of its units";
    for (size_t unit = g.first_unit; unit < (size_t)g.first_unit + g.units; unit++)
        if (heap->slab_of[unit] != slab)
            return "a slab's unit does not lead to it";
    return slab_is_valid(slab) ? NULL : "a slab is inconsistent";
}

static void note_fault(struct validity *validity, const char *fault, const void *at)
{
    if (fault == NULL || validity->fault != NULL)
        return;
    validity->fault = fault;
    validity->at = at;
}

static void check_slab(void *context, struct slab *slab)
{
    struct validity *validity = context;
    note_fault(validity, slab_fault(validity->arena, slab), slab);
    validity->units += geometry_unpack(slab->geometry).units;
}

const char *arena_fault(struct arena *arena, const void **at)
{
    struct validity validity = {.arena = arena};
    struct heap_totals totals;
    *at = arena;
    if (!heap_set_is_valid(&arena->heaps))
        return "a heap is inconsistent"; /* and its slabs may be anywhere */
    heap_set_for_each_slab(&arena->heaps, check_slab, &validity);
    heap_set_totals(&arena->heaps, &totals);
    if (totals.in_slabs != validity.units * UNIT_SIZE)
        note_fault(&validity, "units of a slab do not lead to it", arena);
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        if (!bin_is_valid(&arena->bins[class]))
            note_fault(&validity, "a bin is inconsistent", &arena->bins[class]);
    *at = validity.at;
    return validity.fault;
}
