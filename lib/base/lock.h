/*
 * The mutex of the library: a word that holds the fork generation and the holder, and nothing else.
 *
 * No lock is held across fork. A child therefore may find a lock whose holder does not exist in it:
 * its word carries an older generation (fork.h). The thread that takes such a lock next is told
 * (lock_acquire returns true) and rebuilds what the lock guards before anything else. A lock that
 * the survivor itself held (it forked from a signal handler) stays its own.
 *
 * Layout of the word: bits 63..48 the generation, 47..1 the holder (fork_thread_name), 0 "others
 * wait".
 */
#ifndef ACRE_LIB_LOCK_H
#define ACRE_LIB_LOCK_H

#include "base/base.h"

/* In the order in which they may be taken; checked in debug builds: a thread takes only higher
 * ranks. */
enum lock_rank {
    LOCK_RANK_OWN_HEAP, /* an own heap: which thread has its arena */
    LOCK_RANK_POOL,     /* the arena pool */
    LOCK_RANK_HEAP,     /* an arena's heaps: runs of units, purge */
    LOCK_RANK_UNITS,    /* the unit map */
    LOCK_RANK_LARGE,    /* the LARGE list */
    LOCK_RANK_META,     /* metadata pages */
    LOCK_RANK_PROFILE,  /* the samples of the heap profile */
    LOCK_RANK_GUARD,    /* the slots of guarded blocks */
};

struct lock {
    uint64_t word;       /* atomic: 0 if free; acquire on taking, release on giving */
    enum lock_rank rank; /* constant */
};

/*
 * Takes the lock, waiting if need be. Returns true if its holder was lost in a fork: what it guards
 * must be rebuilt by the caller, which holds it now. Preserves errno. Not recursive: a thread that
 * holds the lock already is reported and the process ended (report_deadlock). Only a signal handler
 * that allocates, or a jump out of one, can cause that: no other foreign code runs under a lock.
 */
bool lock_acquire(struct lock *lock);

/* Takes the lock if no thread holds it; else false. *lost is what lock_acquire would return. */
bool lock_try(struct lock *lock, bool *lost);

void lock_release(struct lock *lock);

/* True if the calling thread holds the lock: for assertions and for lock_acquire. */
bool lock_is_held(const struct lock *lock);

#endif
