/* Allocation: see alloc.h. */
#include "paths/alloc.h"

#include "arena/background.h"
#include "arena/idle.h"
#include "arena/soft_limit.h"
#include "paths/free.h"
#include "large/large.h"
#include "base/limit.h"
#include "base/os.h"
#include "modes/guard.h"
#include "modes/hardened.h"
#include "modes/notes.h"
#include "modes/profile.h"
#include "modes/trace.h"
#include "paths/mismatch.h"
#include "arena/thread.h"

#include <errno.h>
#include <string.h>

enum {
    /* bytes; a block of this size may be LARGE where no heap has room for it */
    PAGES_FROM = 4096,
    /* bytes; smaller blocks are zeroed without asking whether they are zero */
    ZERO_KNOWN_FROM = 4096,
    /* bytes; from here on pages that have no memory are left without */
    ZERO_BY_PAGES_FROM = 1 << 20,
    FEW_BLOCKS = 16,            /* blocks of a class that take_few serves, */
    FEW_LIMIT = 4096,           /* if they have at most that many bytes, */
    FEW_PLACE = 64,             /* in places of that many, */
    FEW_UNITS = 4,              /* of which it makes slabs up to that many units */
    ROOM_TRIES = 16,            /* other threads may take the room that was made */
    SHRINK_KEEPS = 2,           /* a block stays while at least 1/2 of it is used */
    SHRINK_ALWAYS_KEPT = 64,    /* bytes; up to here a block stays however little of it is used */
    UNIT_ALIGNMENT = UNIT_SIZE, /* slabs start at a multiple of it */
};

/* A result, and the errno that goes with it: the one of before, or ENOMEM. */
static void *with_errno(void *block, int saved)
{
    errno = block == NULL ? ENOMEM : saved;
    return block;
}

/* Opens a window in the bin's current slab, or else in the first partial one that has any. */
static bool open_some_window(struct bin *bin)
{
    do
        if (bin_open_window(bin))
            return true;
    while (bin_next_slab(bin));
    return false;
}

/*
 * True if all that others freed is to be collected before the bin gets a new slab: what they freed
 * in its own slabs may serve it then. A slab of one block is made for each; there it is done as
 * often as idle_before_growth looks, so that what is freed does not add up.
 */
static bool collects_all(struct arena *arena, const struct bin *bin)
{
    return remote_pending(&arena->remote) &&
           (bin->block_size <= SLAB_SHARED_LIMIT || idle_grows(arena, bin->block_size));
}

static bool is_of_heap(const struct arena *arena)
{
    return arena_status(arena) == ARENA_OF_HEAP;
}

/* Fills the bin's window from what its class has: false if that is nothing. */
static bool refill(struct arena *arena, struct bin *bin)
{
    if (bin_open_window(bin))
        return true;
    if (remote_pending_class(&arena->remote, bin->class)) {
        remote_collect_class(&arena->remote, bin->class);
        if (bin_open_window(bin))
            return true;
    }
    uint64_t now = os_now_ms();
    if (!is_of_heap(arena))
        idle_tick(now);
    remote_collect_due(&arena->remote, now);
    if (open_some_window(bin))
        return true;
    if (!collects_all(arena, bin))
        return false;
    remote_collect(&arena->remote);
    return open_some_window(bin);
}

static bool make_slab(struct arena *arena, struct bin *bin)
{
    return bin_make_slab(bin, &arena->heaps) && bin_open_window(bin);
}

/* Fills the bin's window from a slab made for it: false only if there is no memory. */
static bool refill_from_new(struct arena *arena, struct bin *bin)
{
    idle_before_growth(arena, bin_next_slab_bytes(bin));
    if (heap_set_takes_pages(&arena->heaps))
        arena_flush_slabs(arena); /* they have pages */
    if (make_slab(arena, bin))
        return true;
    /* memory is short: what the arena holds idle in other classes serves this one, or else what is
     * idle goes back to the system */
    arena_flush(arena);
    bool filled = open_some_window(bin) || make_slab(arena, bin);
    if (is_of_heap(arena))
        return filled; /* see take_of_heap */
    size_t bytes = align_up(bin->block_size, UNIT_SIZE);
    for (int i = 0; !filled && i < ROOM_TRIES && idle_make_room(arena, bytes); i++)
        filled = open_some_window(bin) || make_slab(arena, bin);
    return filled;
}

/* The bin of a class in an arena that is the caller's. */
static struct bin *bin_for(struct arena *arena, unsigned class)
{
    if (arena->bins[class].block_size == 0)
        arena_init_bin(arena, class);
    return &arena->bins[class];
}

/* Takes a block for a bin of an arena that is the caller's. With `wide`, it may be a wide block,
 * aligned to BLOCK_ALIGNMENT alone. *zero: it is known to be zero. */
static void *take_block(struct arena *arena, struct bin *bin, bool wide, bool *zero)
{
    void *block;
    *zero = false;
    if (bin->top == bin->bottom) {
        bool filled = bin->window != 0 || refill(arena, bin);
        if (!filled && wide && arena->wide && heap_set_takes_pages(&arena->heaps)) {
            block = bin_take_wide(bin, arena->bins, arena->look);
            if (block != NULL)
                return block;
        }
        if (!filled && !refill_from_new(arena, bin))
            return NULL;
        *zero = bin->window_zero;
    }
    return alloc_from_bin(bin, &block) ? block : NULL;
}

/*
 * One of a class's first few blocks in an arena that is the caller's; NULL if the class has had
 * them. They lie side by side in slabs of FEW_PLACE, as that class's own or as wide blocks. So
 * a thread with a handful of blocks of each size touches few pages, not one for each class.
 */
static void *take_few(struct arena *arena, unsigned class)
{
    struct bin *own = &arena->bins[class];
    size_t size = size_class_sizes[class];
    if (own->block_size != 0 || own->few >= FEW_BLOCKS || size == FEW_PLACE || size > FEW_LIMIT)
        return NULL;
    own->few++;
    struct bin *bin = bin_for(arena, size_class_of(FEW_PLACE));
    bool zero;
    if (size < FEW_PLACE)
        return take_block(arena, bin, false, &zero);
    void *block = bin_take_places(bin, size);
    if (block != NULL || bin->units >= FEW_UNITS)
        return block;
    bin_leave_slab(bin);
    return refill_from_new(arena, bin) ? bin_take_places(bin, size) : NULL;
}

/* The modes that record an allocation. */
struct modes {
    bool sampled; /* the heap profile takes the block as a sample */
    bool traced;
    bool marked; /* SAMPLED in a slab */
};

static struct modes choose_modes(size_t size)
{
    bool sampled = profile_is_on() && profile_draw(size);
    return (struct modes){sampled, trace_is_on(), sampled || size_class_all_seen};
}

static void record_alloc(struct modes modes, const void *block, size_t size)
{
    if (UNLIKELY(modes.sampled))
        profile_add(block, size);
    if (UNLIKELY(modes.traced))
        trace_add(block, false);
}

static uint32_t heap_number(const struct own_heap *heap)
{
    return heap != NULL ? heap->arena.number : 0;
}

/* A guarded block for an allocation that is due, of that own heap, or NULL. */
static NOINLINE void *take_guarded(const struct own_heap *heap, size_t size, size_t alignment)
{
    void *block = guard_alloc(size, alignment, heap_number(heap));
    if (block != NULL)
        record_alloc(choose_modes(guard_usable(size)), block, guard_usable(size));
    return block;
}

/* A block at random, in an arena that is the caller's; base is NULL if there is no memory. */
static struct hardened_block take_hardened(struct arena *arena, struct bin *bin)
{
    struct hardened_block block = {.size = bin->block_size};
    bin_flush(bin); /* what was freed by its short path */
    block.base = bin_take_random(bin, hardened_random(&arena->quarantine), &block.state);
    if (UNLIKELY(block.base == NULL) && (refill(arena, bin) || refill_from_new(arena, bin)))
        block.base = bin_take_random(bin, hardened_random(&arena->quarantine), &block.state);
    return block;
}

/* A block, SAMPLED if it is `marked`, likewise. Its state is known only then. */
static struct hardened_block take_ordinary(struct arena *arena, unsigned class, bool wide,
                                           bool marked, bool *zero)
{
    struct hardened_block block = {.size = size_class_sizes[class]};
    block.base = wide && !marked ? take_few(arena, class) : NULL;
    if (block.base == NULL)
        block.base = take_block(arena, bin_for(arena, class), wide && !marked, zero);
    if (UNLIKELY(marked && block.base != NULL))
        block.state = slab_mark_sampled(block.base);
    return block;
}

/* A block of a class in an arena that is the caller's; SAMPLED if it is `marked`. */
static struct hardened_block take_of_class(struct arena *arena, unsigned class, bool wide,
                                           bool marked, bool *zero)
{
    struct hardened_block block;
    *zero = false;
    if (UNLIKELY(hardened_mode == HARDENED_BLOCKS))
        block = take_hardened(arena, bin_for(arena, class));
    else
        block = take_ordinary(arena, class, wide, marked, zero);
    if (UNLIKELY(hardened_is_on() || mismatch_is_on()) && block.base != NULL)
        notes_make(block.base);
    return block;
}

/* The same of an own heap. */
static struct hardened_block take_of_heap(struct own_heap *heap, unsigned class, bool wide,
                                          bool marked, bool *zero)
{
    size_t bytes = align_up(size_class_sizes[class], UNIT_SIZE);
    struct hardened_block block;
    int tries = 0;
    do {
        arena_lock_heap(heap);
        block = take_of_class(&heap->arena, class, wide, marked, zero);
        arena_unlock_heap(heap);
        if (UNLIKELY((thread_state.until_tick -= (int32_t)bytes) < 0))
            idle_tick(os_now_ms());
    } while (block.base == NULL && tries++ < ROOM_TRIES &&
             idle_make_room(thread_own_arena(), bytes));
    background_ring_if_idle(&heap->arena);
    return block;
}

/* The same of the calling thread's arena. */
static struct hardened_block take_of_thread(unsigned class, bool wide, bool marked, bool *zero)
{
    bool borrowed;
    struct arena *arena = thread_get_arena(&borrowed);
    if (arena == NULL && idle_make_room(NULL, 1)) /* anything idle may help */
        arena = thread_get_arena(&borrowed);
    if (arena == NULL)
        return (struct hardened_block){.base = NULL};
    struct hardened_block block = take_of_class(arena, class, wide, marked, zero);
    if (borrowed)
        arena_retire(arena);
    background_ring_if_idle(arena);
    return block;
}

/* Calls the program, since the soft limit was crossed. The block is freed before, which the caller
 * allocates anew: nothing is lost if the program does not return. */
static COLD void call_without(void *block)
{
    free_block(block);
    soft_limit_call();
}

/* A block of a class, for a request of `bytes`, for any thread, of an own heap unless `heap` is
 * NULL. It may be a sample. */
static void *alloc_class(struct own_heap *heap, unsigned class, size_t bytes, bool wide, bool *zero)
{
    size_t size = size_class_sizes[class];
    struct modes modes = choose_modes(size);
    struct hardened_block block = heap != NULL ? take_of_heap(heap, class, wide, modes.marked, zero)
                                               : take_of_thread(class, wide, modes.marked, zero);
    if (block.base != NULL) {
        if (hardened_is_on())
            hardened_allocated(&block, bytes, zero);
        if (mismatch_is_on())
            mismatch_allocated(block.base, (struct mismatch_call){FAMILY_MALLOC, bytes, 0});
        record_alloc(modes, block.base, size);
    }
    if (soft_limit_is_due()) {
        call_without(block.base);
        return alloc_class(heap, class, bytes, wide, zero);
    }
    return block.base;
}

/* Counts a LARGE block that was allocated or resized; it may be a sample. */
static void count_large(const void *block, size_t size)
{
    size_t bytes = align_up(size, os_page_size());
    record_alloc(choose_modes(bytes), block, bytes);
}

/* A LARGE block, of an own heap unless `heap` is NULL, or what else there is when the system
 * refuses more address space; `zero` as for large_alloc. */
static void *alloc_large(struct own_heap *heap, size_t size, size_t alignment, bool *zero)
{
    if (heap != NULL)
        __atomic_store_n(&heap->has_large, true, __ATOMIC_RELAXED);
    void *block = large_alloc(size, alignment, zero);
    idle_tick(os_now_ms());
    size_t bytes = align_up(size, os_page_size());
    for (int i = 0; block == NULL && i < ROOM_TRIES && idle_make_room(thread_own_arena(), bytes);
         i++)
        block = large_alloc(size, alignment, zero);
    if (block != NULL && heap != NULL)
        large_set_heap(block, heap_number(heap));
    if (block != NULL)
        count_large(block, size);
    if (mismatch_is_on() && block != NULL)
        mismatch_allocated(block, (struct mismatch_call){FAMILY_MALLOC, size, alignment});
    if (soft_limit_is_due()) {
        call_without(block);
        return alloc_large(heap, size, alignment, zero);
    }
    return block;
}

/* A block of any size, for any thread, of an own heap unless `heap` is NULL. `zero` is NULL unless
 * the caller needs zeroes. */
static void *alloc_any(struct own_heap *heap, size_t size, bool *zero)
{
    int saved = errno;
    void *block = NULL;
    bool ignored;
    if (size <= SIZE_CLASS_LIMIT)
        block = alloc_class(heap, size_class_of(size), size, true, zero != NULL ? zero : &ignored);
    if (block == NULL && size >= PAGES_FROM && size <= PTRDIFF_MAX)
        block = alloc_large(heap, size, 1, zero);
    return with_errno(block, saved);
}

static NOINLINE void *alloc_more(size_t size)
{
    return alloc_any(NULL, size, NULL);
}

/* A block from the bin's next window: one in 64 of a program that grows. */
static NOINLINE void *alloc_from_next_window(struct bin *bin, size_t size, uint64_t mode)
{
    void *block;
    if (!bin_open_window(bin) || !alloc_from_bin(bin, &block))
        return alloc_more(size);
    if (mode != 0)
        profile_count(bin->block_size);
    return block;
}

/* A block while a mode sees each one. Where that is `hardened` alone, and the arena's slab has one,
 * at once. */
static NOINLINE void *alloc_seen(struct bin *bin, size_t size)
{
    struct arena *arena = thread_state.arena;
    struct hardened_block block = {.size = bin->block_size};
    bool zero;
    if (UNLIKELY(hardened_mode != HARDENED_BLOCKS || trace_is_on() || profile_is_on() ||
                 bin->top != bin->bottom || bin->slab == NULL))
        return alloc_more(size);
    block.base = bin_take_random(bin, hardened_random(&arena->quarantine), &block.state);
    if (UNLIKELY(block.base == NULL))
        return alloc_more(size);
    notes_make(block.base);
    hardened_allocated(&block, size, &zero);
    return block.base;
}

/* The same as alloc_slow for an allocation that the guard has counted. A mode may begin or end at
 * any time, so the bin may have blocks at hand. */
static ALWAYS_INLINE void *alloc_counted(size_t size)
{
    void *block;
    char *bins = (char *)thread_state.arena->bins;
    struct bin *bin = (struct bin *)(void *)(bins + size_class_table[(size + 15) / 16]);
    uint64_t mode = __atomic_load_n(&profile_mode, __ATOMIC_RELAXED);
    if (size_class_all_seen)
        return alloc_seen(bin, size);
    if (UNLIKELY(mode != 0) && !profile_may_skip(mode, bin->block_size))
        return alloc_more(size);
    if (UNLIKELY(!alloc_from_bin(bin, &block)))
        return alloc_from_next_window(bin, size, mode);
    if (UNLIKELY(mode != 0))
        profile_count(bin->block_size);
    return block;
}

static NOINLINE void *alloc_due(size_t size)
{
    void *block = take_guarded(NULL, size, 1);
    return block != NULL ? block : alloc_counted(size);
}

/* While a mode is on each malloc comes here, so this first does what the short path does; and it
 * saves no registers, since all that it calls it calls last. */
void *alloc_slow(size_t size)
{
    if (UNLIKELY(size > SIZE_CLASS_TABLE_LIMIT))
        return alloc_more(size);
    return guard_is_due() ? alloc_due(size) : alloc_counted(size);
}

void *alloc_of_heap(struct own_heap *heap, size_t size)
{
    void *block;
    if (LIKELY(size <= SIZE_CLASS_TABLE_LIMIT) && !size_class_is_diverted()) {
        arena_lock_heap(heap);
        bool found = alloc_from_bin(&heap->arena.bins[size_class_of(size)], &block);
        arena_unlock_heap(heap);
        if (LIKELY(found))
            return block;
    } else if (size <= SIZE_CLASS_TABLE_LIMIT && guard_is_due()) {
        block = take_guarded(heap, size, 1);
        if (block != NULL)
            return block;
    }
    return alloc_any(heap, size, NULL);
}

/* Of an own heap, or by malloc's short path. */
static ALWAYS_INLINE void *alloc_of(struct own_heap *heap, size_t size)
{
    return heap != NULL ? alloc_of_heap(heap, size) : alloc_block(size);
}

/* Zeroes a block of at least `bytes` bytes. */
static void clear(void *block, size_t bytes)
{
    if (bytes >= ZERO_BY_PAGES_FROM && (uintptr_t)block % os_page_size() == 0)
        os_zero(block, align_up(bytes, os_page_size()));
    else
        memset(block, 0, bytes);
}

static ALWAYS_INLINE void *zeroed(struct own_heap *heap, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return with_errno(NULL, 0);
    bool zero = false;
    void *block = bytes < ZERO_KNOWN_FROM ? alloc_of(heap, bytes) : alloc_any(heap, bytes, &zero);
    if (block != NULL && !zero)
        clear(block, bytes);
    return block;
}

void *alloc_zeroed(size_t count, size_t size)
{
    return zeroed(NULL, count, size);
}

void *alloc_zeroed_of_heap(struct own_heap *heap, size_t count, size_t size)
{
    return zeroed(heap, count, size);
}

static ALWAYS_INLINE void *aligned(struct own_heap *heap, size_t alignment, size_t size)
{
    int saved = errno;
    bool zero;
    void *block = NULL;
    if (alignment <= BLOCK_ALIGNMENT)
        return alloc_of(heap, size);
    unsigned class =
        alignment <= UNIT_ALIGNMENT ? size_class_of_aligned(size, alignment) : SIZE_CLASS_COUNT;
    if (class < SIZE_CLASS_COUNT) {
        bool seen = size_class_is_diverted();
        if (seen && guard_is_due())
            block = take_guarded(heap, size, alignment);
        if (block == NULL &&
            (seen || heap != NULL || !alloc_from_bin(&thread_state.arena->bins[class], &block)))
            block = alloc_class(heap, class, size, false, &zero);
        if (seen && mismatch_is_on() && block != NULL)
            mismatch_allocated(block, (struct mismatch_call){FAMILY_MALLOC, size, alignment});
    } else if (size <= PTRDIFF_MAX && alignment <= PTRDIFF_MAX) {
        block = alloc_large(heap, max_size(size, 1), alignment, NULL);
    }
    return with_errno(block, saved);
}

void *alloc_aligned(size_t alignment, size_t size)
{
    return aligned(NULL, alignment, size);
}

void *alloc_aligned_of_heap(struct own_heap *heap, size_t alignment, size_t size)
{
    return aligned(heap, alignment, size);
}

/* True if a block of `usable` bytes is kept for a request of `size`. */
static bool stays(size_t usable, size_t size)
{
    return size <= usable && (size >= usable / SHRINK_KEEPS || usable <= SHRINK_ALWAYS_KEPT);
}

/* Counts a block of the calling thread that is not SAMPLED as if it was just allocated. */
static void count_again(void *block, size_t bytes)
{
    struct modes modes = choose_modes(bytes);
    if (modes.marked)
        slab_mark_sampled(block);
    record_alloc(modes, block, bytes);
}

/* Resizes a block of the calling thread, if it is a slab of its own, to at least `size` bytes where
 * it is; false if that cannot be. Preserves errno. */
static bool resize_slab_in_place(struct slab *slab, size_t usable, size_t size)
{
    if (usable <= SLAB_SHARED_LIMIT || size <= SLAB_SHARED_LIMIT || size > SIZE_CLASS_LIMIT)
        return false;
    int saved = errno;
    struct arena *arena = slab->owner;
    idle_tick(os_now_ms());
    struct bin *to = bin_for(arena, size_class_of(size));
    if (size > usable)
        idle_before_growth(arena, to->block_size - usable);
    bool resized = slab_resize(slab, to);
    if (resized)
        count_again(slab->base, to->block_size);
    background_ring_if_idle(arena);
    errno = saved;
    return resized;
}

/*
 * True if p still is that block (own->slab is NULL: one that is not the calling thread's), after
 * `other` was allocated. If another thread has freed it meanwhile, which is a misuse, it may have
 * been collected, and its place may be that of `other`.
 */
static bool is_still_live(void *p, const struct own_block *own, const void *other)
{
    struct own_block now;
    if (own->slab == NULL)
        return p != other && free_is_live(p);
    return p != other && free_find_own(p, &now) && now.slab == own->slab;
}

/* Makes room in the limit for a LARGE block that grows by that many bytes. */
static void make_room_to_grow(size_t bytes)
{
    while (!limit_has_room(bytes)) {
        (void)idle_make_room(thread_own_arena(), bytes);
        if (!soft_limit_is_due())
            return;
        soft_limit_call();
    }
}

/* realloc of a block of `usable` bytes, in the modes of modes/hardened.h and with option mismatch:
 * checks it, and notes its new size if it stays. Returns the bytes that are copied if it moves. */
static NOINLINE size_t resize_seen(void *p, size_t usable, size_t size, bool kept,
                                   const char *function)
{
    struct hardened_block block;
    size_t requested = 0;
    mismatch_check_free(p, function);
    if (free_find_block(p, &block)) {
        requested = hardened_requested(&block);
        hardened_check(&block, function);
        if (kept)
            hardened_resized(&block, size);
    }
    if (kept && mismatch_is_on())
        mismatch_allocated(p, (struct mismatch_call){FAMILY_MALLOC, size, 0});
    return requested != 0 ? requested : usable;
}

/* Resizes a LARGE block to a size that is LARGE, too; NULL if the system refuses. */
static void *resize_large(void *p, size_t usable, size_t size)
{
    make_room_to_grow(size > usable ? align_up(size, os_page_size()) - usable : 0);
    trace_freed(p);
    profile_end(p);
    void *resized = large_resize(p, size);
    count_large(resized != NULL ? resized : p, resized != NULL ? size : usable);
    if (mismatch_is_on() && resized != NULL)
        mismatch_allocated(resized, (struct mismatch_call){FAMILY_MALLOC, size, 0});
    background_ring_if_idle(thread_state.arena);
    return resized;
}

void *alloc_resize(void *p, size_t size, const char *function)
{
    return alloc_resize_of_heap(NULL, p, size, function);
}

void *alloc_resize_of_heap(struct own_heap *heap, void *p, size_t size, const char *function)
{
    if (p == NULL)
        return alloc_of(heap, size);
    struct own_block own;
    bool sampled = false;
    if (!free_find_own(p, &own) && !(sampled = free_find_own_sampled(p, &own)))
        own = (struct own_block){.slab = NULL};
    size_t usable = own.slab != NULL ? own.slab->block_size : free_usable_size_slow(p, function);
    if (usable == 0)
        return with_errno(NULL, 0);
    if (size == 0) {
        free_block_named(p, function);
        return NULL;
    }
    bool kept = stays(usable, size) && (own.slab != NULL || !guard_has(p));
    if (hardened_is_on() || mismatch_is_on()) {
        usable = resize_seen(p, usable, size, kept, function);
        own.slab = NULL; /* it is freed by its slow path */
        sampled = false;
    }
    if (kept)
        return p;
    if (UNLIKELY(sampled)) {
        /* for the modes a block that is resized is freed and allocated anew */
        free_end_sampled(p);
        state_set(own.state, BLOCK_LIVE);
    }
    if (own.slab != NULL && resize_slab_in_place(own.slab, usable, size))
        return p;
    if (size > SIZE_CLASS_LIMIT && usable > SIZE_CLASS_LIMIT && size <= PTRDIFF_MAX) {
        void *resized = resize_large(p, usable, size);
        if (resized != NULL)
            return resized;
    }
    int saved = size <= usable ? errno : ENOMEM;
    void *block = alloc_of(heap, size);
    if (block == NULL) {
        if (sampled)
            count_again(p, usable);
        /* a block that shrinks has room enough where it is */
        return with_errno(size <= usable ? p : NULL, saved);
    }
    if (UNLIKELY(!is_still_live(p, &own, block))) {
        free_block(block);
        free_slow(p, function);
        return with_errno(NULL, 0);
    }
    memcpy(block, p, min_size(size, usable));
    if (own.slab != NULL)
        free_own_block(p, own);
    else
        free_block_named(p, function);
    return block;
}

size_t alloc_good_size(size_t size)
{
    if (size > PTRDIFF_MAX)
        return 0;
    if (hardened_mode == HARDENED_BLOCKS && size <= SIZE_CLASS_LIMIT)
        return max_size(size, 1);
    if (guard_is_on() && size <= os_page_size())
        return guard_usable(size);
    if (size <= SIZE_CLASS_LIMIT)
        return size_class_sizes[size_class_of(size)];
    return align_up(size, os_page_size());
}
