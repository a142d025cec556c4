/*
 * The mutex of the library: a word that holds the fork generation and the holder, and nothing else.
 *
 * No lock is held across fork. A child therefore may find a lock whose holder does not exist in it:
 * its word carries an older generation. Whoever takes such a lock next is told (lock_acquire
 * returns true) and rebuilds what the lock guards from the truth it is derived from, before
 * anything else. A lock that the forking thread itself held (it forked from a signal handler) stays
 * its own: the holder is named by the address of its thread's own TLS block and the generation in
 * which that thread began.
 *
 * Source of the word: 16 bits generation, 47 bits holder (TLS address / 2), 1 bit "others wait".
 */
#ifndef ACRE_LIB_LOCK_H
#define ACRE_LIB_LOCK_H

#include "base.h"

/* In the order in which they may be taken; checked in debug builds: a thread takes only higher
 * ranks. */
enum lock_rank {
    LOCK_RANK_INIT,       /* process start-up */
    LOCK_RANK_BACKGROUND, /* the background thread's work */
    LOCK_RANK_POOL,       /* the arena pool */
    LOCK_RANK_HEAP,       /* an arena's heaps: runs of units, purge */
    LOCK_RANK_UNITS,      /* the unit map */
    LOCK_RANK_LARGE,      /* the LARGE list */
    LOCK_RANK_META,       /* metadata pages */
};

struct lock {
    uint64_t word;       /* atomic: 0 if free; acquire on taking, release on giving */
    enum lock_rank rank; /* constant */
};

/*
 * Takes the lock, waiting if need be. Returns true if its holder was lost in a fork: what it guards
 * must be rebuilt by the caller, which holds it now. Preserves errno. Not recursive: a thread that
 * holds the lock already is reported and the process ended (report_deadlock). Nothing of others
 * runs under a lock but signal handlers, so this takes one, or a jump out of one.
 */
bool lock_acquire(struct lock *lock);

void lock_release(struct lock *lock);

/* True if the calling thread holds the lock: for assertions and for lock_acquire. */
bool lock_is_held(const struct lock *lock);

/* What the page holds that the system wipes in a child. */
enum alive {
    ALIVE_WIPED,  /* a new child, or one that has not taken a lock yet */
    ALIVE_ARMING, /* a thread is about to set it */
    ALIVE_ARMED,  /* no fork since it was set */
};

/*
 * What a child of fork takes note of. Written by the thread that forked, or by the first one there
 * that takes a lock (and by lock_init), read by all. On one page, which is all that a child writes
 * to that only execs.
 */
struct fork_state {
    uint32_t generation;     /* forks since the first image; atomic, read relaxed: it changes only
                                while nobody holds a lock */
    uint32_t survivor_birth; /* generation in which the survivor was first seen */
    uint64_t survivor;       /* holder address of the thread that forked; 0 in the first image, and
                                while that thread is not known */
    void *survivor_held;     /* what it said to lock_keep_survivor */
    bool survivor_missing;   /* atomic, release: another thread noticed the fork */
    bool armed;              /* `alive` was set since `generation` was counted; written before it */
    int counted_in;          /* the process that counted `generation`: os_process_id(); written
                                after it */
    void (*on_fork)(void);   /* see lock_on_fork */
    uint32_t *alive;         /* atomic, enum alive; NULL if not supported */
};

extern struct fork_state lock_fork_state;

/* How many forks lie between the process's first image and this one; grows in the child only. */
static inline uint32_t lock_generation(void)
{
    return __atomic_load_n(&lock_fork_state.generation, __ATOMIC_RELAXED);
}

/* Makes the page that sees forks without handlers. Called once, before threads exist. */
void lock_init(void);

/*
 * Has `call` called in a child of fork by the thread that forked, before it does anything else of
 * ours there: by the handler, or, where handlers did not run (_Fork, clone), at the first lock that
 * it takes. `call` takes no lock.
 */
void lock_on_fork(void (*call)(void));

/* To be called by that `call`: keeps what the thread that forked holds, for lock_find_survivor. */
void lock_keep_survivor(void *held);

/*
 * What the thread that forked held, NULL in the first image. False, with *held NULL, while that is
 * not known: no handler ran, and another thread of the child was the first to take a lock there;
 * then the thread that forked holds none of another generation.
 */
bool lock_find_survivor(void **held);

/* The prepare handler: notes the generation. Async-signal-safe. */
void lock_about_to_fork(void);

/* The child handler: counts the generation up, once for each process (where the kernel has
 * MADV_WIPEONFORK; else once for each fork). Async-signal-safe. */
void lock_forked(void);

#endif
