/*
 * Arenas: all that one thread allocates from, and the pool of those whose thread has ended.
 *
 * An arena is made once, out of metadata, and never given back: its address names it for the life
 * of the process. A thread adopts one from the pool, or makes one, at its first allocation; when it
 * ends the arena goes into the pool whole, magazines and all. Frees into a pooled arena are remote
 * ones.
 *
 * The list of all arenas is append-only and the truth about which exist. The status word of each is
 * the truth about which thread it belongs to. The pool's list follows from the two, and is rebuilt
 * from them in a forked child. There an arena of a lost thread is an orphan: it goes into the pool,
 * and the thread that adopts it rebuilds it from its block states first.
 *
 * The arena of an own heap (acre_heap_new) is no thread's, for ever: the thread that holds the
 * heap's lock is its owner meanwhile. doc/heaps.md has the design.
 *
 * Lock: LOCK_RANK_POOL for the pool's lists and changes of status. The rest of an arena belongs to
 * its thread.
 */
#ifndef ACRE_LIB_ARENA_H
#define ACRE_LIB_ARENA_H

#include "base/base.h"
#include "base/fork.h"
#include "heap/heap.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/size_class.h"
#include "arena/remote.h"
#include "slab/slab.h"

struct arena {
    struct remote remote;  /* see remote.h */
    struct heap_set heaps; /* see heap_set.h */

    /* While it is in the pool; see idle.c. */
    CACHE_ALIGNED size_t freed; /* [any] bytes that other threads have freed to it since it was last
                                   taken from the pool, roughly */
    size_t in_use;      /* [lock pool, any reads] bytes that may have been LIVE when it came */
    uint64_t pooled_at; /* [lock pool, any reads] ms, when it came */
    size_t idle;        /* [lock pool] bytes that it came with that may be idle */
    uint8_t warmth;     /* [lock pool, any reads] enum arena_warmth */
    uint64_t looked_at; /* [any] ms, when idle memory was last looked for */

    /* [lock pool, release; any reads] enum arena_status and, in the upper half, the fork generation
     * in which it became so */
    CACHE_ALIGNED uint64_t status;
    struct list_node pooled;   /* [lock pool] on one of the pool's lists */
    struct arena *held_before; /* [owner] what the thread held before, see struct thread_state */
    bool orphan;               /* [lock pool, then owner] its thread was lost in a fork */
    struct arena *next;        /* [constant] in the list of all arenas */
    uint32_t number;           /* [constant] from 1, in the order of making */
    int32_t thread;            /* [holder, any reads] id of the thread that adopted it last */
    uint64_t adoptions;        /* [lock pool, any reads] times that a thread adopted it */

    /* [owner] See idle_before_growth. */
    size_t look_from; /* bytes in slabs from which on it looks */
    size_t grown_to;  /* bytes in slabs from which on the pages of FREE blocks go back */
    uint32_t look;    /* its looks, for bin_take_wide: it looks at all slabs again */
    bool wide;        /* wide blocks are taken, until the next look */

    struct quarantine *quarantine; /* [owner] modes/hardened.h; NULL: none yet */
    uint32_t entries_used;         /* [owner] entries that bins have taken */

    /* [owner] Near the end, since many threads use nothing but the bins of small classes. */
    struct bin bins[SIZE_CLASS_COUNT + 1]; /* the last one is of no class and always empty
                                              (size_class_divert) */

    /* [owner] the magazines of all bins, in the order of their first use */
    struct magazine_entry entries[MAGAZINE_ENTRIES];
};

/* The arena whose heaps a set has. */
static inline struct arena *arena_of(struct heap_set *heaps)
{
    return CONTAINER_OF(heaps, struct arena, heaps);
}

enum { STATUS_GENERATION_SHIFT = 32 };

enum arena_status {
    ARENA_OF_HEAP = 0,  /* an own heap's */
    ARENA_POOLED = 1,   /* in the pool */
    ARENA_OWNED = 2,    /* a thread's */
    ARENA_BORROWED = 3, /* taken from the pool for a moment */
};

enum arena_warmth {
    ARENA_WARM,    /* as its thread left it */
    ARENA_DRAINED, /* what was freed to it has been collected */
    ARENA_COLD,    /* it holds nothing idle */
};

/* A heap of one's own. */
struct own_heap {
    struct arena arena; /* its holder is the thread that has the lock */
    /* LOCK_RANK_OWN_HEAP. Nothing that calls a function of the program's is called under it. */
    CACHE_ALIGNED struct lock lock;
    uint32_t uses;  /* [lock pool to begin, lock to end; any reads, acquire] odd: in use. It counts
                       up when the heap is made, and when it ends */
    bool has_large; /* [any; cleared under the lock] it may have LARGE blocks */
};

static inline struct own_heap *own_heap_of(struct arena *arena)
{
    return CONTAINER_OF(arena, struct own_heap, arena);
}

/* [owner] What a thread has of its own. */
struct thread_state {
    /* What it allocates from, never NULL. A thread without an arena has &arena_none, whose bins are
     * always empty and which owns no slab, so that the fast paths need no test for it. */
    struct arena *arena;
    /* What it adopted, and what it has borrowed since, the last one first, by held_before. An arena
     * is here from before its status says so until it is in the pool again: a signal handler may
     * fork in between. */
    struct arena *held;
    int32_t until_tick; /* bytes that it may free to others until it ticks; what it takes from own
                           heaps counts, too */
    bool ended;         /* its exit hook has run */
    bool limit_crossed; /* the program is to be called (soft_limit.h) */
};

extern __thread struct thread_state thread_state __attribute__((tls_model("initial-exec")));
extern struct arena arena_none;

/* [lock pool, release] The newest arena; the list of all, through `next`, is append-only. */
extern struct arena *arena_newest;

/* Takes an arena from the pool or makes one; it is the caller's. NULL if there is no memory. */
struct arena *arena_adopt(void);

/* Puts the arena that the caller adopted or borrowed last into the pool, whole. */
void arena_retire(struct arena *arena);

/* The same for a borrowed arena of which more is known: bytes that are LIVE and bytes that are
 * idle. */
void arena_retire_as(struct arena *arena, enum arena_warmth warmth, size_t live, size_t idle);

/* Takes this arena out of the pool for a moment; false if it is not in it. One of an own heap:
 * false if another call is in it. It is given back by arena_retire. */
bool arena_borrow(struct arena *arena);

/* An own heap that is in use from now on: one that has ended, or a new one. NULL if there is no
 * memory. After a fork one that has ended may have blocks still. */
struct own_heap *arena_begin_heap(void);

/* Keeps an own heap that has ended and is empty for arena_begin_heap. Needs its lock. */
void arena_keep_heap(struct own_heap *heap);

/* Takes an own heap's lock: its arena is the caller's. */
void arena_lock_heap(struct own_heap *heap);
void arena_unlock_heap(struct own_heap *heap);

/* Bytes that pooled arenas came with that may be idle. */
size_t arena_pool_idle(void);

/* Makes the arena know no slab and no block any more, as when it was new; what its bins have
 * counted stays. By the owner. */
void arena_forget_slabs(struct arena *arena);

/* Prepares the bin of a class that the arena has not used yet. */
void arena_init_bin(struct arena *arena, unsigned class);

/* Gives back what magazines keep of blocks that are slabs of their own. By the owner. */
void arena_flush_slabs(struct arena *arena);

/*
 * Gives magazines and windows back, collects remote frees, and releases empty slabs. The caller
 * owns or has borrowed the arena.
 */
void arena_flush(struct arena *arena);

/* The newest arena and the one made before `arena`, for walking all of them; no lock. */
struct arena *arena_first(void);

static inline struct arena *arena_next(const struct arena *arena)
{
    return arena->next;
}

static inline enum arena_status arena_status(const struct arena *arena)
{
    return (enum arena_status)(__atomic_load_n(&arena->status, __ATOMIC_RELAXED) & 3);
}

/* The status word of an arena that becomes so in that generation. */
static inline uint64_t arena_status_word(enum arena_status status, uint32_t generation)
{
    return (uint64_t)generation << STATUS_GENERATION_SHIFT | (uint64_t)status;
}

/* True if the arena certainly has a thread; in a child false until the pool's lock was taken. */
static inline bool arena_is_owned(const struct arena *arena)
{
    return __atomic_load_n(&arena->status, __ATOMIC_RELAXED) ==
           arena_status_word(ARENA_OWNED, fork_generation());
}

/* For fork_begin: what the calling thread holds. */
void *arena_forked(void);

/* The first thing that is wrong with the slabs, bins and heaps of an arena, and the address of
 * where; NULL if nothing is. The caller owns or has borrowed it, or its owner is quiet. */
const char *arena_fault(struct arena *arena, const void **at);

static inline bool arena_is_valid(struct arena *arena)
{
    const void *at;
    return arena_fault(arena, &at) == NULL;
}

#endif
