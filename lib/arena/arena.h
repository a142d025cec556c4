/*
 * Arenas: all that one thread allocates from, and the pool of those whose thread has ended.
 *
 * An arena is made once, out of metadata, and never given back: its address names it for the life
 * of the process. A thread adopts one from the pool, or makes one, at its first allocation; at its
 * exit the arena goes into the pool whole, magazines and all. Frees into a pooled arena are remote
 * ones.
 *
 * The list of all arenas is append-only and is the truth about which there are; the status word of
 * each is the truth about whose it is. The pool's list follows from the two, and is rebuilt from
 * them in a forked child, where an arena whose thread does not exist any more is an orphan: it goes
 * into the pool, and the thread that adopts it rebuilds it from its block states first.
 *
 * Lock: LOCK_RANK_POOL for the pool's list and changes of status. What is in an arena belongs to
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
#include "slab/slab.h"

struct arena {
    struct heap_set heaps; /* see heap_set.h: partly the owner's, partly its lock's */

    /* Any thread, relaxed: bytes freed to the arena since it was last drained, roughly; and those
     * at which it is again. */
    CACHE_ALIGNED size_t pooled_bytes;
    size_t drain_at; /* never 0 */

    /* Pool lock, release; read by any thread, relaxed: enum arena_status, and in the upper half the
     * fork generation in which it became so. */
    CACHE_ALIGNED uint64_t status;
    struct list_node pooled;   /* pool lock: on the pool's list */
    struct arena *held_before; /* its holder: what that thread held before, see arena.c */
    size_t pooled_idle;        /* pool lock: idle bytes that it came into the pool with, ... */
    size_t pooled_slabs;       /* ... and bytes in slabs */
    uint64_t pooled_at;        /* pool lock; read by who ticks, relaxed: ms, when it came */
    bool rested;               /* likewise: it holds nothing idle, see arena_tick */
    bool orphan;               /* pool lock until adopted: its thread was lost in a fork */
    struct arena *next;        /* constant once published: in the list of all arenas */
    uint32_t number;           /* constant: from 1, in the order of making */
    int32_t thread;            /* [holder, any reads] id of the thread that adopted it last */
    uint64_t adoptions;        /* [pool lock, any reads] times that a thread adopted it */
    size_t grown_to;           /* owner: bytes in slabs at which idle pages are looked for next */
    int64_t growth_left;       /* owner: bytes that slabs may grow by until arena_grow looks */
    int64_t look_left;         /* owner: bytes that slabs may grow by until `look` changes */
    uint32_t look;             /* owner: for bin_take_wide: look at all slabs again */
    bool wide;                 /* owner: wide blocks are taken, until the next look */
    uint32_t entries_used;     /* owner: entries that bins have taken */

    /* Owner. Behind the rest, since the bins of small classes are all that many a thread uses. */
    struct bin bins[SIZE_CLASS_COUNT];

    /* Owner: the magazines of all bins, in the order of their first use. */
    struct magazine_entry entries[MAGAZINE_ENTRIES];
};

enum { STATUS_GENERATION_SHIFT = 32 };

enum arena_status {
    ARENA_POOLED = 1,   /* nobody's */
    ARENA_OWNED = 2,    /* a thread's */
    ARENA_BORROWED = 3, /* taken from the pool for a moment */
};

enum {
    /* bytes that a thread frees to others between two looks at idle memory */
    THREAD_UNTIL_TICK = SIZE_CLASS_LIMIT,
};

/* What a thread has of its own: no other thread reads it. */
struct thread_state {
    /* What it allocates from, never NULL. A thread without an arena has &arena_none, whose bins are
     * always empty and which owns no slab, so that the fast paths need no test for it. */
    struct arena *arena;
    /* What it adopted, and what it has borrowed since, the last one first, by held_before. An arena
     * is here from before its status says so until it is in the pool again: a signal handler may
     * fork in between. */
    struct arena *held;
    int32_t until_tick; /* bytes that it may free to others until it looks at idle memory */
    bool ended;         /* its exit hook has run */
};

extern __thread struct thread_state thread_state __attribute__((tls_model("initial-exec")));
extern struct arena arena_none;

/* [pool lock, release] The newest arena; the list of all, through `next`, is append-only. */
extern struct arena *arena_newest;

/* Takes an arena from the pool or makes one; it is the caller's. NULL if there is no memory. */
struct arena *arena_adopt(void);

/* Puts the arena that the caller adopted or borrowed last into the pool, whole. */
void arena_retire(struct arena *arena);

/* Takes this arena out of the pool for a moment; false if it is not in it. It is given back by
 * arena_retire. */
bool arena_borrow(struct arena *arena);

/* Prepares the bin of a class that the arena has not used yet. */
void arena_init_bin(struct arena *arena, unsigned class);

/*
 * Gives magazines and windows back, collects remote frees, and releases empty slabs. The caller
 * owns or has borrowed the arena.
 */
void arena_flush(struct arena *arena);

/*
 * To be called before a slab of `bytes` bytes is made, or one grows by that many: where many have
 * been made since the last time, the pages of partly used slabs that hold no live block go back to
 * the system first, so that what one class has left idle pays for what another one needs.
 */
void arena_grow(struct arena *arena, size_t bytes);

/*
 * Counts bytes freed to an arena that may have no thread; over a bound the caller takes it from the
 * pool for a moment and collects what was freed. The pages stay for the next thread as long as
 * pooled arenas have less idle than arenas with a thread have in slabs, and a MiB.
 */
void arena_count_pooled(struct arena *arena, size_t bytes);

/*
 * Gives all idle memory back to the system: flushes the caller's own arena (NULL: it has none) and
 * every pooled one, and purges the free units of all. Returns bytes given back.
 */
size_t arena_trim(struct arena *own);

/*
 * Where memory is short: flushes the caller's own arena (NULL: it has none) and every pooled one.
 * Returns the bytes of address space that heaps without slabs have then, in all arenas.
 */
size_t arena_gather_empty(struct arena *own);

/* Gives that address space back. Returns bytes unmapped. */
size_t arena_unmap_empty(void);

/*
 * Once in OPTION_DECAY, for the whole process, by the first thread that calls it: gives back the
 * free units of all arenas and the LARGE extents that have been idle for that time, all that arenas
 * hold idle which have been in the pool for that time, and the pages of what was freed remotely to
 * threads that have not collected since the last time. Of pooled arenas a call takes on some, and
 * more often than once in a decay as long as there are others. `now` is os_now_ms(). Returns false
 * if all was looked at and nothing is left that a later call would give back. The caller holds no
 * lock; cheap while it is not yet time and no pooled arena waits to rest.
 */
bool arena_tick(uint64_t now);

/* The same for a thread that no other waits for, but the one that ends the process: takes on all
 * pooled arenas that are due. */
bool arena_tick_patiently(uint64_t now);

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

/* True if the arena certainly has a thread; false in a child where nobody has looked yet. */
static inline bool arena_is_owned(const struct arena *arena)
{
    return __atomic_load_n(&arena->status, __ATOMIC_RELAXED) ==
           arena_status_word(ARENA_OWNED, fork_generation());
}

/* To be called in the child of a fork, by the thread that forked: its arena stays its own. */
void arena_forked(void);

/* Checks every bin and heap of one arena. Its owner must be quiet or the caller. */
bool arena_is_valid(struct arena *arena);

#endif
