/* Arenas and their pool: see arena.h. */
#include "arena/arena.h"

#include "large/large.h"
#include "base/meta.h"
#include "base/option.h"
#include "base/os.h"
#include "arena/remote.h"
#include "slab/slab_purge.h"
#include "slab/slab_wide.h"

#include <limits.h>

enum {
    /* Between two looks for idle pages an arena's slabs grow by this many bytes at least, ... */
    GROWTH_LEAST = 4 << 20,
    /* ... and by 1/8 of what is in slabs: a look reads all states of partly free slabs. */
    GROWTH_SHARE = 8,
    /* Likewise between two looks for room for wide blocks, which read no more than that. */
    LOOK_LEAST = 1 << 20,
    LOOK_SHARE = 64,
    WIDE_FROM = 8 << 20, /* bytes in slabs; with less, a class's first slab is worth more */
    SPARSE_SHARE = 8,    /* there are wide blocks where 1/8 of what is in slabs could serve them */
    /*
     * A pooled arena is drained when 1/16 of what is in use was freed to it, since draining reads
     * all its states; for the first time not before DRAIN_FIRST bytes, since short-lived threads
     * take turns at an arena and its pages are wanted again, then at DRAIN_LEAST bytes or more.
     */
    DRAIN_SHARE = 16,
    DRAIN_FIRST = 1 << 20,
    DRAIN_LEAST = 64 << 10,
    POOL_IDLE_LEAST = 1 << 20, /* idle bytes that pooled arenas may keep, whatever is in use */
    RESTS_AT_ONCE = 8,     /* arenas: a bound on what one call pays for those in the pool, ... */
    RESTS_PER_DECAY = 128, /* ... so often in a decay, as long as there are more */
};

struct arena arena_none;
struct arena *arena_newest;

__thread struct thread_state thread_state = {.arena = &arena_none, .until_tick = THREAD_UNTIL_TICK};

static struct {
    struct lock lock;
    struct list list; /* pooled arenas, the one that came last first: its memory is the warmest */
    bool ready;       /* list is initialised */
    bool complete;    /* it was known whose arenas are whose when list was last made */
    uint32_t generation; /* fork generation in which that was */
    uint32_t made;       /* arenas made */
    size_t idle, slabs;  /* bytes: pooled_idle and pooled_slabs of all that are pooled */
} pool = {.lock = {.rank = LOCK_RANK_POOL}};

/* ---- the pool ---- */

static void set_status_in(struct arena *arena, enum arena_status status, uint32_t generation)
{
    uint64_t word = arena_status_word(status, generation);
    /* release: `orphan` is written before; a child forked in between sees both or neither */
    __atomic_store_n(&arena->status, word, __ATOMIC_RELEASE);
}

/* Notes what a pooled arena has idle and in slabs; 0: it is not pooled. Needs the pool's lock. */
static void count_idle(struct arena *arena, size_t idle, size_t slabs)
{
    pool.idle += idle - arena->pooled_idle;
    pool.slabs += slabs - arena->pooled_slabs;
    arena->pooled_idle = idle;
    arena->pooled_slabs = slabs;
}

static void set_status(struct arena *arena, enum arena_status status)
{
    set_status_in(arena, status, fork_generation());
}

/* Notes that the calling thread has adopted the arena. */
static void note_thread(struct arena *arena)
{
    __atomic_store_n(&arena->thread, os_thread_id(), __ATOMIC_RELAXED);
}

/* Takes an arena that is in nobody's hands for the calling thread. Needs the pool's lock. */
static void hold(struct arena *arena, enum arena_status status)
{
    count_idle(arena, 0, 0);
    /* what is freed from here on counts, since the holder may have collected before */
    __atomic_store_n(&arena->pooled_bytes, 0, __ATOMIC_RELAXED);
    arena->held_before = thread_state.held;
    thread_state.held = arena;
    if (status == ARENA_OWNED) {
        note_thread(arena);
        counter_add(&arena->adoptions, 1);
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    set_status(arena, status);
}

void arena_forked(void)
{
    for (struct arena *arena = thread_state.held; arena != NULL; arena = arena->held_before)
        note_thread(arena);
    fork_keep_held(thread_state.held);
}

/* True if the arena is one of those in `held`, what the thread that forked held. */
static bool is_held(const struct arena *arena, const struct arena *held)
{
    while (held != NULL && held != arena)
        held = held->held_before;
    return held != NULL;
}

/* True if the arena's status is older than that generation. */
static bool is_older_than(const struct arena *arena, uint32_t generation)
{
    uint64_t word = __atomic_load_n(&arena->status, __ATOMIC_RELAXED);
    return (uint32_t)(word >> STATUS_GENERATION_SHIFT) != generation;
}

/*
 * Makes the pool's list from the status of all arenas. One that is of an older generation was lost
 * in a fork, unless the thread that forked had it. A signal handler may fork meanwhile: what is
 * found here is of the generation at the beginning and says so, and the child makes the list again.
 */
static void pool_rebuild(void)
{
    uint32_t generation = fork_generation();
    void *held;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    pool.complete = fork_find_held(&held);
    list_init(&pool.list);
    pool.made = 0;
    pool.idle = pool.slabs = 0;
    for (struct arena *arena = arena_newest; arena != NULL; arena = arena->next) {
        pool.made = (uint32_t)max_size(pool.made, arena->number);
        arena->pooled.next = NULL;
        if (arena_status(arena) != ARENA_POOLED && is_older_than(arena, generation) &&
            pool.complete) {
            bool lost = !is_held(arena, held);
            arena->orphan = arena->orphan || lost;
            if (lost)
                __atomic_store_n(&arena->drain_at, DRAIN_LEAST, __ATOMIC_RELAXED);
            set_status_in(arena, lost ? ARENA_POOLED : arena_status(arena), generation);
        }
        if (arena_status(arena) == ARENA_POOLED) {
            list_push_front(&pool.list, &arena->pooled);
            pool.idle += arena->pooled_idle;
            pool.slabs += arena->pooled_slabs;
        } else {
            arena->pooled_idle = arena->pooled_slabs = 0; /* a lost thread had begun to retire it */
        }
    }
    pool.generation = generation;
    pool.ready = true;
}

static void pool_lock(void)
{
    void *held;
    fork_begin(arena_forked); /* at a process's first block there is no second thread yet */
    bool lost = lock_acquire(&pool.lock);
    if (UNLIKELY(lost || !pool.ready || pool.generation != fork_generation() ||
                 (!pool.complete && fork_find_held(&held))))
        pool_rebuild();
}

static void pool_unlock(void)
{
    lock_release(&pool.lock);
}

/* Makes an arena and publishes it. Needs the pool's lock. */
static struct arena *arena_make(void)
{
    struct arena *arena = meta_alloc(sizeof(struct arena), CACHE_LINE);
    if (arena == NULL)
        return NULL;
    heap_set_init(&arena->heaps, arena);
    arena->number = ++pool.made;
    arena->drain_at = DRAIN_FIRST;
    arena->next = arena_newest;
    hold(arena, ARENA_OWNED);
    /* release: who finds the arena finds it made */
    __atomic_store_n(&arena_newest, arena, __ATOMIC_RELEASE);
    return arena;
}

/* ---- rebuilding an orphan ---- */

static void rebuild_slab(void *context, struct slab *slab)
{
    struct arena *arena = context;
    struct slab_geometry g = geometry_unpack(slab->geometry);
    const uint8_t *states = geometry_states(slab_heap(slab), g);
    if (slab_count_held(states, g.count).blocks == 0) {
        heap_set_give(&arena->heaps, slab);
        return;
    }
    if (arena->bins[g.class].block_size == 0)
        arena_init_bin(arena, g.class);
    slab_rebuild(slab, &arena->bins[g.class]);
    /* another thread may have freed the last one meanwhile */
    if (slab->listed && slab_held_blocks(slab) == 0)
        slab_check(slab, &arena->heaps);
}

/* Makes everything in an arena whose thread is gone anew from geometry words and block states. */
static void arena_rebuild(struct arena *arena)
{
    lock_acquire(&arena->heaps.lock);
    heap_set_rebuild_locked(&arena->heaps);
    lock_release(&arena->heaps.lock);
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        arena->bins[class] = (struct bin){.block_size = 0};
    arena->entries_used = 0;
    remote_begin(&arena->heaps);
    heap_set_for_each_slab(&arena->heaps, rebuild_slab, arena);
    remote_end(&arena->heaps);
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

/* What an arena is when it comes into the pool. */
struct retirement {
    size_t drain_at; /* bytes freed to it at which it is drained next */
    size_t idle;     /* bytes of free memory that may be resident */
    size_t slabs;    /* bytes in slabs */
    bool rested;     /* it holds nothing idle: it is adopted after those that are warm */
};

static void retire(struct arena *arena, struct retirement as)
{
    __atomic_store_n(&arena->drain_at, as.drain_at, __ATOMIC_RELAXED);
    __atomic_store_n(&arena->pooled_at, os_now_ms(), __ATOMIC_RELAXED);
    __atomic_store_n(&arena->rested, as.rested, __ATOMIC_RELAXED);
    pool_lock();
    count_idle(arena, as.idle, as.slabs);
    set_status(arena, ARENA_POOLED);
    if (as.rested)
        list_push_back(&pool.list, &arena->pooled);
    else
        list_push_front(&pool.list, &arena->pooled);
    /* one's own goes last, and what is borrowed goes before anything else is */
    ASSERT(thread_state.held == arena);
    thread_state.held = arena->held_before;
    pool_unlock();
}

void arena_retire(struct arena *arena)
{
    struct heap_totals totals;
    heap_set_totals(&arena->heaps, &totals);
    retire(arena, (struct retirement){
                      .drain_at = max_size(DRAIN_FIRST, totals.in_slabs / DRAIN_SHARE),
                      .idle = totals.free_dirty,
                      .slabs = totals.in_slabs,
                  });
}

bool arena_borrow(struct arena *arena)
{
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

void arena_init_bin(struct arena *arena, unsigned class)
{
    bin_init(&arena->bins[class], class, &arena->entries[arena->entries_used]);
    arena->entries_used += (uint32_t)magazine_capacity(class);
    ASSERT(arena->entries_used <= MAGAZINE_ENTRIES);
}

/* ---- giving memory back ---- */

void arena_flush(struct arena *arena)
{
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++) {
        struct bin *bin = &arena->bins[class];
        if (bin->block_size == 0)
            continue;
        bin_flush(bin, &arena->heaps);
        bin_leave_slab(bin, &arena->heaps);
    }
    if (remote_pending(&arena->heaps))
        remote_collect(&arena->heaps);
}

/* Gives back the pages of partly used slabs that hold no live block. */
static size_t purge_slabs(struct arena *arena)
{
    size_t bytes = 0;
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        if (arena->bins[class].block_size != 0)
            bytes += bin_purge(&arena->bins[class]);
    return bytes;
}

/* Bytes that wide blocks could take. */
static size_t sparse_bytes(const struct arena *arena)
{
    size_t bytes = 0;
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        if (arena->bins[class].block_size != 0)
            bytes += bin_sparse_bytes(&arena->bins[class]);
    return bytes;
}

void arena_grow(struct arena *arena, size_t bytes)
{
    arena->growth_left -= (int64_t)bytes;
    arena->look_left -= (int64_t)bytes;
    if (arena->growth_left > 0 && arena->look_left > 0)
        return;
    struct heap_totals totals;
    heap_set_totals(&arena->heaps, &totals);
    if (arena->look_left <= 0) {
        arena->wide =
            totals.in_slabs >= WIDE_FROM && sparse_bytes(arena) >= totals.in_slabs / SPARSE_SHARE;
        arena->look++;
        arena->look_left = (int64_t)max_size(LOOK_LEAST, totals.in_slabs / LOOK_SHARE);
    }
    if (arena->growth_left > 0)
        return;
    if (totals.in_slabs >= arena->grown_to) {
        purge_slabs(arena);
        arena->grown_to = totals.in_slabs + max_size(GROWTH_LEAST, totals.in_slabs / GROWTH_SHARE);
    }
    arena->growth_left = (int64_t)(arena->grown_to - totals.in_slabs);
}

/* Adds the bytes of a slab's live blocks. */
static void add_live(void *context, struct slab *slab)
{
    size_t *bytes = context;
    *bytes += slab_count_held(slab->states, slab->count).places * slab->block_size;
}

/* LIVE bytes of a borrowed arena. */
static size_t live_bytes(struct arena *arena)
{
    size_t live = 0;
    heap_set_for_each_slab(&arena->heaps, add_live, &live);
    return live;
}

/* Collects in a borrowed arena and gives it back to the pool; `rests`: after it has given back all
 * that it holds idle. */
static void drain(struct arena *arena, bool rests)
{
    struct heap_totals totals;
    arena_flush(arena);
    if (rests) {
        purge_slabs(arena);
        heap_set_purge(&arena->heaps);
    }
    heap_set_totals(&arena->heaps, &totals);
    size_t live = live_bytes(arena);
    size_t idle = totals.free_dirty + totals.in_slabs - min_size(live, totals.in_slabs);
    retire(arena, (struct retirement){
                      .drain_at = max_size(DRAIN_LEAST, live / DRAIN_SHARE),
                      .idle = rests ? 0 : idle,
                      .slabs = totals.in_slabs,
                      .rested = rests,
                  });
}

/*
 * True if enough was freed to an arena while somebody had borrowed it: those who freed leave it to
 * the borrower, who has to look after giving it back.
 */
static bool is_to_be_drained(const struct arena *arena)
{
    return __atomic_load_n(&arena->pooled_bytes, __ATOMIC_RELAXED) >=
           __atomic_load_n(&arena->drain_at, __ATOMIC_RELAXED);
}

/* True if an arena is in the pool and may hold something idle. */
static bool is_warm(const struct arena *arena)
{
    return arena_status(arena) == ARENA_POOLED &&
           !__atomic_load_n(&arena->rested, __ATOMIC_RELAXED);
}

/* Lets an arena rest if it is in the pool and holds something idle; false if not. */
static bool rest_if_pooled(struct arena *arena)
{
    if (!is_warm(arena) || !arena_borrow(arena))
        return false;
    do
        drain(arena, true);
    while (is_to_be_drained(arena) && arena_borrow(arena));
    return true;
}

/* True if pooled arenas have too much idle. */
static bool pool_is_over(void)
{
    pool_lock();
    size_t idle = pool.idle, slabs = pool.slabs;
    pool_unlock();
    size_t all = heap_bytes_in_slabs();
    return idle > POOL_IDLE_LEAST + (all > slabs ? all - slabs : 0);
}

/*
 * Drains an arena that is in the pool. Its pages stay for a thread that begins in a moment, unless
 * the pool has too much idle: then no pooled arena keeps any. That is looked at when the arena is
 * in the pool again, so that of threads that drain at once the last one sees what all have left.
 */
static void drain_pooled(struct arena *arena)
{
    while (is_to_be_drained(arena) && arena_borrow(arena))
        drain(arena, false);
    if (!pool_is_over())
        return;
    for (struct arena *each = arena_first(); each != NULL; each = arena_next(each))
        rest_if_pooled(each);
}

void arena_count_pooled(struct arena *arena, size_t bytes)
{
    if (arena_status(arena) != ARENA_POOLED && is_older_than(arena, fork_generation())) {
        /* in a child: it becomes known whose it is */
        pool_lock();
        pool_unlock();
    }
    if (arena_status(arena) == ARENA_OWNED)
        return;
    size_t limit = __atomic_load_n(&arena->drain_at, __ATOMIC_RELAXED);
    size_t before = __atomic_fetch_add(&arena->pooled_bytes, bytes, __ATOMIC_RELAXED);
    if (before / limit == (before + bytes) / limit)
        return;
    drain_pooled(arena);
}

size_t arena_trim(struct arena *own)
{
    size_t bytes = 0;
    if (own != NULL)
        arena_flush(own);
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        bool borrowed = arena != own && arena_borrow(arena);
        if (borrowed)
            arena_flush(arena);
        if (arena == own || borrowed)
            bytes += purge_slabs(arena);
        else
            bytes += remote_purge(&arena->heaps);
        bytes += heap_set_purge(&arena->heaps);
        if (borrowed)
            arena_retire(arena);
    }
    return bytes;
}

size_t arena_gather_empty(struct arena *own)
{
    size_t bytes = 0;
    if (own != NULL)
        arena_flush(own);
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        if (arena != own && arena_borrow(arena)) {
            arena_flush(arena);
            arena_retire(arena);
        }
        struct heap_totals totals;
        heap_set_totals(&arena->heaps, &totals);
        bytes += totals.in_empty;
    }
    return bytes;
}

size_t arena_unmap_empty(void)
{
    size_t bytes = 0;
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena))
        bytes += heap_set_unmap_empty(&arena->heaps);
    return bytes;
}

/* When arena_tick went over everything last, and when it let arenas rest last: ms, 0 before the
 * first time. Any thread, relaxed. */
static uint64_t ticked_at, rested_at;

/* True if there are more arenas that are to rest than the last look took on. Any thread, relaxed.
 */
static bool more_to_rest;

/* True for one caller if `*last` is `interval` ms ago, 1 at least; it is `now` then. */
static bool is_time(uint64_t *last, uint64_t now, uint64_t interval)
{
    uint64_t before = __atomic_load_n(last, __ATOMIC_RELAXED);
    /* it is above `now` where another thread has read the clock later, and was faster */
    return now >= before && now - before >= max_size(interval, 1) &&
           __atomic_compare_exchange_n(last, &before, now, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

/* Lets arenas rest that have been in the pool for a decay, `most` at most. True if one is left that
 * may hold something idle. */
static bool rest_some(uint64_t now, unsigned most)
{
    bool warm = false, more = false;
    __atomic_store_n(&rested_at, now, __ATOMIC_RELAXED);
    for (struct arena *arena = arena_first(); arena != NULL && !more; arena = arena_next(arena)) {
        if (!is_warm(arena))
            continue;
        uint64_t since = __atomic_load_n(&arena->pooled_at, __ATOMIC_RELAXED);
        if (now < since || now - since < option_value(OPTION_DECAY))
            warm = true;
        else if (most == 0)
            more = true;
        else if (rest_if_pooled(arena))
            most--;
    }
    __atomic_store_n(&more_to_rest, more, __ATOMIC_RELAXED);
    return warm || more;
}

/* As arena_tick; lets at most that many arenas rest. */
static bool tick(uint64_t now, unsigned rests)
{
    uint64_t decay = option_value(OPTION_DECAY);
    if (!is_time(&ticked_at, now, decay)) {
        if (__atomic_load_n(&more_to_rest, __ATOMIC_RELAXED) &&
            is_time(&rested_at, now, (decay + RESTS_PER_DECAY - 1) / RESTS_PER_DECAY))
            rest_some(now, rests);
        return true;
    }
    bool idle = rest_some(now, rests);
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        heap_set_tick(&arena->heaps, now);
        if (remote_tick(&arena->heaps) || heap_set_is_aging(&arena->heaps))
            idle = true;
    }
    large_tick(now);
    return idle || large_is_aging();
}

bool arena_tick(uint64_t now)
{
    return tick(now, RESTS_AT_ONCE);
}

bool arena_tick_patiently(uint64_t now)
{
    return tick(now, UINT_MAX);
}

struct arena *arena_first(void)
{
    return __atomic_load_n(&arena_newest, __ATOMIC_ACQUIRE);
}

/* ---- validity ---- */

struct validity {
    struct arena *arena;
    bool valid;
};

static void check_slab(void *context, struct slab *slab)
{
    struct validity *validity = context;
    if (slab->owner != validity->arena || !slab_is_valid(slab))
        validity->valid = false;
}

bool arena_is_valid(struct arena *arena)
{
    struct validity validity = {.arena = arena, .valid = true};
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        validity.valid = validity.valid && bin_is_valid(&arena->bins[class]);
    heap_set_for_each_slab(&arena->heaps, check_slab, &validity);
    return validity.valid && heap_set_is_valid(&arena->heaps);
}
