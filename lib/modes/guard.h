/*
 * Guarded blocks: about one small allocation in N lies alone on a page, between pages without
 * access, so that the processor finds an overflow, an underflow or a use after free (as in
 * GWP-ASan; the idea is Bruce Perens's Electric Fence, 1987).
 *
 * 1. Each thread counts its allocations down from a random number, 1 to 2 N - 1. The one that ends
 *    it takes the slot of the pool that was freed longest ago; the block is put at the page's end
 *    or its start, at random. If no slot is free, or the block is larger than a page, it is an
 *    ordinary one.
 * 2. A freed block's page has no access until the slot is used again. The slot keeps the stacks of
 *    the allocation and of the free.
 * 3. The handler of SIGSEGV reports a fault in the pool, and then has the handler or the default
 *    action of before do what they do. A program may put its own in its place: the slots are found
 *    in the core (acre-inspect --find).
 *
 * Page 2 i + 1 of the pool is slot i's; the others never have access. The pool is mapped at the
 * start; later only protections change. While the mode is on, the table of size classes is
 * diverted; off it costs nothing. Lock: LOCK_RANK_GUARD; the handler reads without it.
 */
#ifndef ACRE_LIB_GUARD_H
#define ACRE_LIB_GUARD_H

#include "base/base.h"
#include "modes/trace.h"

struct misuse;

enum { GUARD_SLOTS = 256 }; /* blocks that are live or remembered, at most */

#define GUARD_LIVE UINT64_MAX

/* [lock, any reads] */
struct guard_slot {
    uintptr_t block;
    uint64_t size;                        /* bytes asked for */
    uint32_t heap;                        /* number of the own heap's arena; 0: none */
    struct trace_record allocated, freed; /* the calls; `freed` if it is not live */
};

/* Read from outside, too. */
struct guard {
    uintptr_t pool;           /* [constant] its address; 0: off */
    uint64_t bytes;           /* [constant] of the pool */
    uint64_t interval;        /* [constant] N; 0: off */
    struct guard_slot *slots; /* [constant] NULL: off */
    /* [lock, any reads] GUARD_LIVE, or the number of the slot's last free; 0: not used yet */
    uint64_t order[GUARD_SLOTS];
};

extern struct guard guard;

/* Of each thread. [owner] */
struct guard_thread {
    int64_t countdown;  /* allocations until the next that is guarded */
    uint64_t generator; /* state of its random numbers; 0: not yet seeded */
};

extern __thread struct guard_thread guard_thread __attribute__((tls_model("initial-exec")));

/* Switches it on if option guard says so. To be called before threads exist. */
void guard_start(void);

static inline bool guard_is_on(void)
{
    return UNLIKELY(guard.interval != 0);
}

/* True if p, any address at all, lies in the pool. */
static inline bool guard_has(const void *p)
{
    return UNLIKELY((uintptr_t)p - guard.pool < guard.bytes);
}

/* Counts an allocation of the calling thread; true if guard_alloc is to be asked for it. */
static ALWAYS_INLINE bool guard_is_due(void)
{
    return guard_is_on() && UNLIKELY(--guard_thread.countdown <= 0);
}

/* Bytes that a guarded block of `size` bytes has: a multiple of BLOCK_ALIGNMENT, not 0. */
static inline size_t guard_usable(size_t size)
{
    return align_up(max_size(size, 1), BLOCK_ALIGNMENT);
}

/* A guarded block for the allocation that is due, of an own heap by the number of its arena (0: of
 * none), or NULL. Its contents are undefined. */
void *guard_alloc(size_t size, size_t alignment, uint32_t heap);

/* Usable bytes of the live block that starts at p, in the pool; 0 if none does. */
size_t guard_usable_size(const void *p);

/* Frees that block. False if there is none. */
bool guard_free(const void *p);

/* The own heap of the live block that starts at p, in the pool; 0: none, or no block does. */
uint32_t guard_heap(const void *p);

/* Frees all live blocks of an own heap; calls `before` for each. */
void guard_free_heap(uint32_t heap, void (*before)(const void *p));

/* Fills in what is known of the block, live or freed, in which p, in the pool, lies. */
void guard_describe(const void *p, struct misuse *misuse);

#endif
