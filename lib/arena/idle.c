/* Idle memory: see idle.h. */
#include "arena/idle.h"

#include "arena/arena.h"
#include "arena/soft_limit.h"
#include "arena/thread.h"
#include "base/limit.h"
#include "base/meta.h"
#include "base/option.h"
#include "base/os.h"
#include "base/report.h"
#include "large/large.h"
#include "large/large_list.h"
#include "modes/profile.h"

#include <acre/inspect.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>

enum {
    /* A tick looks at this many arenas that hold something idle, so that one malloc does not pay
     * for all. While arenas are left there may be this many ticks in a decay. */
    ARENAS_AT_ONCE = 8,
    TICKS_PER_DECAY = 128,

    /* A thread that does nothing but free to others ticks after this many bytes. */
    FREED_UNTIL_TICK = 1 << 20,

    /* Pages of FREE blocks go back when slabs have grown by this many bytes, and by 1/8: it takes
     * reading all states of partly free slabs. */
    GROWTH_LEAST = 4 << 20,
    GROWTH_SHARE = 8,

    /* Room for wide blocks is looked for when slabs have grown by this many bytes, and by 1/64. */
    LOOK_LEAST = 1 << 20,
    LOOK_SHARE = 64,
    /* An arena with fewer bytes in slabs makes none: there a class's first slab is worth more; nor
     * one in which less than 1/8 of what is in slabs could serve them. */
    WIDE_FROM = 8 << 20,
    SPARSE_SHARE = 8,

    /*
     * A pooled arena is drained (what was freed to it is collected) when 1/16 of what is in use was
     * freed to it, since that reads all its states, and DRAIN_LEAST bytes. The first time takes
     * DRAIN_FIRST bytes: short-lived threads take turns at an arena, which needs its pages again.
     */
    DRAIN_SHARE = 16,
    DRAIN_FIRST = 1 << 20,
    DRAIN_LEAST = 64 << 10,

    /* Pooled arenas may have 1/2 of what is in slabs in the process idle, and this many bytes. */
    POOL_LEAST = 1 << 20,
    POOL_SHARE = 2,
};

/* ---- one arena ---- */

/* Gives back the pages of FREE blocks. Returns bytes. */
static size_t purge_slabs(struct arena *arena)
{
    size_t bytes = 0;
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        if (arena->bins[class].block_size != 0)
            bytes += bin_purge(&arena->bins[class]);
    return bytes;
}

/* Gives back all that an arena of the caller's holds idle. Returns bytes. */
static size_t empty(struct arena *arena)
{
    arena_flush(arena);
    size_t bytes = purge_slabs(arena);
    return bytes + heap_set_purge(&arena->heaps, UINT64_MAX);
}

static void add_live(void *context, struct slab *slab)
{
    size_t *bytes = context;
    *bytes += slab_count_live(slab->states, slab->count).places * slab->block_size;
}

/* Puts a borrowed arena that is flushed back into the pool. */
static void retire_flushed(struct arena *arena, enum arena_warmth warmth)
{
    struct heap_totals totals;
    size_t live = 0;
    heap_set_totals(&arena->heaps, &totals);
    heap_set_for_each_slab(&arena->heaps, add_live, &live);
    size_t free = totals.free_dirty + totals.in_slabs - min_size(live, totals.in_slabs);
    arena_retire_as(arena, warmth, live, warmth == ARENA_COLD ? 0 : free);
}

/* True if enough was freed to an arena that it is to be drained. */
static bool is_to_be_drained(const struct arena *arena)
{
    bool first = __atomic_load_n(&arena->warmth, __ATOMIC_RELAXED) == ARENA_WARM;
    size_t in_use = __atomic_load_n(&arena->in_use, __ATOMIC_RELAXED);
    return __atomic_load_n(&arena->freed, __ATOMIC_RELAXED) >=
           max_size(first ? DRAIN_FIRST : DRAIN_LEAST, in_use / DRAIN_SHARE);
}

/* Gives back all that a borrowed arena holds idle and puts it back into the pool. Returns bytes. */
static size_t empty_and_retire(struct arena *arena)
{
    size_t bytes = 0;
    do {
        bytes += empty(arena);
        retire_flushed(arena, ARENA_COLD);
        /* other threads left to this one what they freed meanwhile */
    } while (is_to_be_drained(arena) && arena_borrow(arena));
    return bytes;
}

static bool is_warm(const struct arena *arena)
{
    return arena_status(arena) == ARENA_POOLED &&
           __atomic_load_n(&arena->warmth, __ATOMIC_RELAXED) != ARENA_COLD;
}

/* ---- ticks ---- */

/* [any] ms: a tick is due a decay after it */
static CACHE_ALIGNED START_DATA uint64_t ticked_at;

START_DATA uint64_t idle_requests;

static_assert(OPTION_COUNT <= 62, "each option has a bit below ACRE_REQUEST_TRIM");
enum { OPTION_TEXT = 32 }; /* bytes of an option's value as text */

/* True if `since` is OPTION_DECAY ago, 1 ms at least. It may be later than `now`, which was read by
 * another thread. */
static bool is_due(uint64_t since, uint64_t now)
{
    return (int64_t)(now - since) >= (int64_t)max_size(option_value(OPTION_DECAY), 1);
}

/* True for one thread if a tick is due. */
static bool begin_tick(uint64_t now)
{
    uint64_t last = __atomic_load_n(&ticked_at, __ATOMIC_RELAXED);
    return is_due(last, now) && __atomic_compare_exchange_n(&ticked_at, &last, now, false,
                                                            __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* Lets the next tick come when the arena that was looked at first is due. */
static void end_tick(uint64_t first, uint64_t now)
{
    uint64_t decay = option_value(OPTION_DECAY);
    uint64_t shortest = (decay + TICKS_PER_DECAY - 1) / TICKS_PER_DECAY;
    uint64_t at = now - min_size(now - first, decay - shortest);
    __atomic_store_n(&ticked_at, at, __ATOMIC_RELAXED);
}

/* As a fork is not what makes memory idle, only the pending bits count of remote frees. */
static bool may_hold_idle(const struct arena *arena)
{
    return is_warm(arena) || heap_set_is_aging(&arena->heaps) ||
           __atomic_load_n(&arena->remote.pending, __ATOMIC_RELAXED) != 0;
}

/* Gives back what an arena has had idle for a decay. True if a later look may find something. */
static bool look(struct arena *arena, uint64_t now)
{
    __atomic_store_n(&arena->looked_at, now, __ATOMIC_RELAXED);
    if (is_warm(arena) && is_due(__atomic_load_n(&arena->pooled_at, __ATOMIC_RELAXED), now) &&
        arena_borrow(arena)) {
        empty_and_retire(arena);
        return false;
    }
    bool left = remote_tick(&arena->remote);
    heap_set_purge(&arena->heaps, now - option_value(OPTION_DECAY));
    return left || heap_set_is_aging(&arena->heaps) || is_warm(arena);
}

START_DATA void (*idle_report)(uint64_t now);

/* Serves what was asked for from outside. Preserves errno. */
static COLD void serve_requests(void)
{
    uint64_t requests = __atomic_exchange_n(&idle_requests, 0, __ATOMIC_RELAXED);
    bool quiet = (requests & ACRE_REQUEST_QUIET) != 0;
    int saved = errno;
    for (int i = 0; i < OPTION_COUNT; i++) {
        char value[OPTION_TEXT];
        if ((requests >> i & 1) != 0 && !quiet &&
            option_get_text(option_table[i].name, value, sizeof(value)) == 0)
            report_warning("%s is %s now, set from outside", option_table[i].name, value);
    }
    if ((requests & ACRE_REQUEST_TRIM) != 0) {
        size_t bytes = idle_trim();
        if (!quiet)
            report_warning("%zu bytes given back, asked for from outside", bytes);
    }
    errno = saved;
}

/* As idle_tick; looks at that many arenas at most. */
static bool tick(uint64_t now, unsigned most)
{
    if (UNLIKELY(__atomic_load_n(&idle_requests, __ATOMIC_RELAXED) != 0))
        serve_requests();
    profile_tick();
    limit_tick(now);
    if (idle_report != NULL)
        idle_report(now);
    if (!begin_tick(now))
        return true;
    uint64_t first = now;
    bool any = false;
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        bool idle = may_hold_idle(arena);
        uint64_t looked_at = __atomic_load_n(&arena->looked_at, __ATOMIC_RELAXED);
        if (idle && most != 0 && is_due(looked_at, now)) {
            most--;
            looked_at = now;
            idle = look(arena, now);
        }
        if (idle)
            first = min_size(first, looked_at);
        any = any || idle;
    }
    end_tick(first, now);
    large_list_purge_due(now, SIZE_MAX);
    return any || large_list_is_aging();
}

bool idle_tick(uint64_t now)
{
    thread_state.until_tick = FREED_UNTIL_TICK;
    return tick(now, ARENAS_AT_ONCE);
}

bool idle_tick_all(uint64_t now)
{
    return tick(now, UINT_MAX);
}

/* ---- as an arena grows ---- */

/* Bytes that wide blocks could take. */
static size_t sparse_bytes(const struct arena *arena)
{
    size_t bytes = 0;
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        if (arena->bins[class].block_size != 0)
            bytes += bin_sparse_bytes(&arena->bins[class]);
    return bytes;
}

bool idle_grows(struct arena *arena, size_t bytes)
{
    size_t in_slabs = heap_set_in_slabs(&arena->heaps);
    size_t from = in_slabs + max_size(LOOK_LEAST, in_slabs / LOOK_SHARE);
    arena->look_from = min_size(arena->look_from, from);
    return in_slabs + bytes >= arena->look_from && heap_set_takes_pages(&arena->heaps);
}

void idle_before_growth(struct arena *arena, size_t bytes)
{
    if (!idle_grows(arena, bytes))
        return;
    struct heap_totals totals;
    heap_set_totals(&arena->heaps, &totals);
    arena->wide =
        totals.in_slabs >= WIDE_FROM && sparse_bytes(arena) >= totals.in_slabs / SPARSE_SHARE;
    arena->look++;
    arena->look_from = SIZE_MAX;
    if (totals.in_slabs < max_size(arena->grown_to, GROWTH_LEAST))
        return;
    purge_slabs(arena);
    arena->grown_to = totals.in_slabs + max_size(GROWTH_LEAST, totals.in_slabs / GROWTH_SHARE);
}

/* ---- pooled arenas ---- */

void idle_count_freed(struct arena *arena, size_t bytes)
{
    __atomic_fetch_add(&arena->freed, bytes, __ATOMIC_RELAXED);
    while (is_to_be_drained(arena)) {
        if (!arena_borrow(arena))
            return;
        arena_flush(arena);
        retire_flushed(arena, ARENA_DRAINED);
        /* its pages stay for a thread that begins in a moment, unless pooled arenas hold too much:
         * of threads that drain at once the last one sees what all have left */
        if (arena_pool_idle() <= POOL_LEAST + heap_bytes_in_slabs() / POOL_SHARE)
            continue;
        for (struct arena *each = arena_first(); each != NULL; each = arena_next(each))
            if (is_warm(each) && arena_borrow(each))
                empty_and_retire(each);
    }
}

/* ---- all at once ---- */

size_t idle_trim(void)
{
    struct arena *own = thread_own_arena();
    size_t bytes = large_list_purge_all();
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        if (arena == own)
            bytes += empty(arena);
        else if (arena_borrow(arena))
            bytes += empty_and_retire(arena);
        else
            bytes += remote_purge(&arena->remote) + heap_set_purge(&arena->heaps, UINT64_MAX);
    }
    return bytes;
}

/* ---- where a request is refused ---- */

size_t idle_count_held(void)
{
    struct large_totals large;
    size_t bytes = __atomic_load_n(&meta_bytes, __ATOMIC_SEQ_CST);
    large_totals(&large);
    bytes += large.live_bytes + large.stock_dirty;
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        struct heap_totals totals;
        heap_set_totals(&arena->heaps, &totals);
        bytes += totals.in_slabs + totals.free_dirty + totals.headers;
    }
    return bytes;
}

/* Finds out whether a request is within the limit; near it gives back what is idle. */
static bool make_room_in_limit(size_t size)
{
    bool within = false, may_call = soft_limit_may_call();
    limit_tick(os_now_ms());
    for (int purged = 0; purged < 2 && !within; purged++) {
        if (purged != 0 && size <= __atomic_load_n(&limit.bytes, __ATOMIC_RELAXED))
            idle_trim();
        uint64_t begun = __atomic_load_n(&limit.taken, __ATOMIC_SEQ_CST);
        size_t held = idle_count_held();
        bool crosses = may_call && limit_crosses(held, size, purged != 0);
        if (crosses && purged == 0)
            continue;
        thread_state.limit_crossed |= crosses;
        within = limit_allow(begun, held, size, purged != 0);
    }
    return within;
}

/*
 * True if giving back `idle` bytes of address space may let a request of `size` bytes succeed: the
 * system would map the difference now. Exact where a limit counts bytes.
 */
static bool could_help(size_t idle, size_t size)
{
    return idle != 0 && (size <= idle || os_can_map(align_up(size - idle, os_page_size())));
}

/* Flushes the arena and all that are pooled. Returns the bytes of heaps that have no slab then. */
static size_t gather_empty_heaps(struct arena *own)
{
    size_t bytes = 0;
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        struct heap_totals totals;
        if (arena == own) {
            arena_flush(arena);
        } else if (arena_borrow(arena)) {
            arena_flush(arena);
            arena_retire(arena);
        }
        heap_set_totals(&arena->heaps, &totals);
        bytes += totals.in_empty;
    }
    return bytes;
}

bool idle_make_room(struct arena *arena, size_t size)
{
    struct large_totals large;
    if (!limit_has_room(size))
        return make_room_in_limit(size);
    bool again = limit_is_on(); /* it may have had none when the request was refused */
    large_totals(&large);
    size_t stock = large.stock_bytes;
    if (!could_help(stock + heap_bytes_reserved(), size) || /* spares going over the arenas */
        !could_help(stock + gather_empty_heaps(arena), size))
        return again;
    size_t bytes = large_list_purge_all();
    for (struct arena *each = arena_first(); each != NULL; each = arena_next(each))
        bytes += heap_set_unmap_empty(&each->heaps);
    return again || bytes != 0;
}
