/*
 * Freeing: the fast path, and finding out about any address.
 *
 *   free_block ---- magazine
 *        |  \------ the slab, if the magazine is full; slab_check if it is due
 *        |
 *        |--------- free_other         another thread's block
 *        |              \--- remote_free
 *        v              v
 *      free_slow ------------ NULL: nothing
 *          |  \-------------- a SAMPLED block of the thread's own
 *          |  \-------------- large_free or guard_free, if the address is in no heap
 *          |  \-------------- a WIDE block of the thread's own
 *          v
 *      misuse_handle          all else
 *
 * Of the state the short path asks only whether it is LIVE. A WIDE block (slab_wide.c) fails that,
 * too, and so does a SAMPLED one (modes/profile.h); free_slow and free_other free them. All
 * functions preserve errno.
 */
#ifndef ACRE_LIB_FREE_H
#define ACRE_LIB_FREE_H

#include "arena/arena.h"
#include "base/base.h"
#include "slab/slab.h"

#include <acre/acre.h>

/* All frees that the fast path does not serve; reports name `function`, the exported one. */
NOINLINE void free_slow(void *p, const char *function);

/*
 * Frees p, for which unit_map_find gave `slab`, if the calling thread does not own that slab. Where
 * it is heap_nobody or heap_header, p may be in no heap (LARGE, or foreign): free_slow finds out.
 */
NOINLINE void free_other(void *p, struct slab *slab, const char *function);

/* Calls slab_check for a slab of the calling thread's. */
NOINLINE void free_check_slab(struct slab *slab);

/* A LIVE block of the calling thread's own arena. */
struct own_block {
    struct slab *slab;
    uint8_t *state;
};

/* True if p, any address at all, is a SAMPLED block of the calling thread's own arena. */
bool free_find_own_sampled(const void *p, struct own_block *own);

/* Tells the modes that the SAMPLED block at p is about to be freed. */
void free_end_sampled(const void *p);

/* Reports an error that names what is wrong; what is known of the block is added. */
void free_report(struct acre_error error);

/* Reports damage of a block in a slab: a hardened_report. */
void free_report_damage(enum acre_error_kind kind, const void *block, size_t requested,
                        size_t offset, const char *function);

/* True if a block of a slab, which the program holds, starts at p, any address at all. */
struct hardened_block;
bool free_find_block(const void *p, struct hardened_block *block);
/* False, after a report of a foreign pointer, if a block that the program holds starts at p, any
 * address at all, but none of the own heap's that has this arena. */
bool free_is_of_heap(const void *p, const struct arena *heap, const char *function);

/* True if a block that the program holds starts at p, any address at all. */
bool free_is_live(const void *p);

/* free_usable_size for what is not a LIVE block of the calling thread's own arena. */
size_t free_usable_size_slow(void *p, const char *function);

/* Gives a block of one's own back: into the magazine, or, where that is full or the class has none,
 * to its slab. */
static ALWAYS_INLINE void free_own_block(void *p, struct own_block own)
{
    struct slab *slab = own.slab;
    struct bin *bin = slab->bin;
    struct magazine_entry *top = bin->top;
    if (LIKELY(top != bin->limit)) {
        state_set(own.state, BLOCK_CACHED);
        top->block = p;
        top->state = own.state;
        bin->top = top + 1;
        return;
    }
    state_set(own.state, BLOCK_FREE);
    slab->summary |= UINT64_C(1) << ((size_t)(own.state - slab->states) / STATES_GROUP);
    if (UNLIKELY(--slab->until_check == 0))
        free_check_slab(slab);
}

/* True if p, an address in a heap, is a LIVE block of `slab`, which is the calling thread's. */
static ALWAYS_INLINE bool free_find_in_slab(const void *p, struct slab *slab, struct own_block *own)
{
    size_t number;
    own->slab = slab;
    if (UNLIKELY(
            !slab_starts_block((size_t)((const char *)p - slab->base), slab->reciprocal, &number)))
        return false;
    own->state = slab->states + number;
    return PLAIN_LOAD(*own->state) == BLOCK_LIVE;
}

/* True if p, which may be anything, is a LIVE block of the calling thread's own arena. */
static ALWAYS_INLINE bool free_find_own(const void *p, struct own_block *own)
{
    struct slab *slab;
    return LIKELY(unit_map_find(p, &slab)) && slab->owner == thread_state.arena &&
           free_find_in_slab(p, slab, own);
}

/* Frees p, which may be anything. */
static ALWAYS_INLINE void free_block_named(void *p, const char *function)
{
    struct slab *slab;
    if (UNLIKELY(!unit_map_find(p, &slab))) {
        free_slow(p, function);
        return;
    }
    if (UNLIKELY(slab->owner != thread_state.arena)) {
        free_other(p, slab, function);
        return;
    }
    struct own_block own;
    if (UNLIKELY(!free_find_in_slab(p, slab, &own))) {
        free_slow(p, function);
        return;
    }
    free_own_block(p, own);
}

static ALWAYS_INLINE void free_block(void *p)
{
    free_block_named(p, "free");
}

/*
 * The usable bytes of the LIVE block that starts at p. Anything else, NULL too, is a misuse and is
 * reported under `function`; if reporting returns, the result is 0.
 */
static ALWAYS_INLINE size_t free_usable_size(void *p, const char *function)
{
    struct own_block own;
    return free_find_own(p, &own) ? own.slab->block_size : free_usable_size_slow(p, function);
}

#endif
