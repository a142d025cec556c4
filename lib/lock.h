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
    LOCK_RANK_LARGE,      /* the LARGE list */
    LOCK_RANK_META,       /* metadata pages */
};

struct lock {
    uint64_t word;       /* atomic: 0 if free; acquire on taking, release on giving */
    enum lock_rank rank; /* constant */
};

/*
 * Takes the lock, waiting if need be. Returns true if its holder was lost in a fork: what it guards
 * must be rebuilt by the caller, which holds it now. Not recursive. Preserves errno.
 */
bool lock_acquire(struct lock *lock);

void lock_release(struct lock *lock);

/* True if the calling thread holds the lock: for assertions. */
bool lock_is_held(const struct lock *lock);

/* How many forks lie between the process's first image and this one; grows in the child only. */
uint32_t lock_generation(void);

/* Makes the page that sees forks without handlers. Called once, before threads exist. */
void lock_init(void);

/*
 * Has `call` called in a child of fork before anything else happens there, by its only thread: by
 * the handler, or, where handlers did not run (_Fork, clone), at the first lock that is taken.
 * `call` takes no lock.
 */
void lock_on_fork(void (*call)(void));

/* The child handler: counts the generation up, once for each fork. Async-signal-safe. */
void lock_forked(void);

#endif
