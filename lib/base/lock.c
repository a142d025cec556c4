/*
 * The mutex of the library. Purpose, word and rules: lock.h.
 *
 * Without contention the word goes from 0 to the holder's and back. A waiter sets bit 0 and sleeps
 * on the low half of the word (futexes are 32 bits wide; the half has the holder's address bits and
 * bit 0, so it changes whenever the lock is given). A thread that has waited takes the lock with
 * bit 0 set, since others may still sleep.
 */
#include "base/lock.h"

#include "base/fork.h"
#include "base/os.h"
#include "base/report.h"

enum {
    GENERATION_SHIFT = 48, /* the word's upper 16 bits; FORK_NAME_BITS are below */
    SPIN_LIMIT = 64, /* looks at a held lock before sleeping: about the longest section without a
                        system call, on current machines */
    WAIT_MS = 50, /* longest sleep before the holder is looked at again: in a child that was forked
                     between the last look and the sleep, or by a handler that interrupts the sleep
                     (the kernel then restarts it), the holder is gone and nobody wakes */
};

#define LOCK_WAITERS UINT64_C(1)
#define LOCK_HOLDER FORK_NAME_BITS

static uint64_t word_of_self(void)
{
    /* in this order: the word must not be older than its holder, if a signal handler forks now */
    uint64_t name = fork_thread_name();
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return (uint64_t)fork_generation() << GENERATION_SHIFT | name;
}

/* True if the holder that `word` names does not exist in this process. */
static bool is_lost(uint64_t word)
{
    return fork_lost(word & LOCK_HOLDER, (uint16_t)(word >> GENERATION_SHIFT));
}

/* In debug builds: checks that a lock that is taken is of a higher rank than all that are held. */
static void note_rank(const struct lock *lock, bool taken)
{
#ifdef ACRE_DEBUG
    static __thread uint32_t ranks; /* bit r: a lock of rank r is held */
    ASSERT(!taken || (ranks >> lock->rank) == 0);
    ranks ^= 1u << lock->rank;
#else
    (void)lock, (void)taken;
#endif
}

/* Takes the lock if it is free or lost. */
static bool take_if_possible(struct lock *lock, uint64_t self, bool *orphaned)
{
    uint64_t word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
    bool lost = word != 0 && is_lost(word);
    if (word != 0 && !lost)
        return false;
    /* acquire: what the last holder did under the lock is seen before anything done under it now */
    if (!__atomic_compare_exchange_n(&lock->word, &word, self | (word & LOCK_WAITERS), false,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return false;
    *orphaned = lost;
    return true;
}

/* What waiters sleep on. */
static uint32_t *low_half(struct lock *lock)
{
    uint32_t *halves = (uint32_t *)(void *)&lock->word;
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? &halves[0] : &halves[1];
}

/* Sets the waiters bit and sleeps until the holder gives the lock. */
static void wait_for_holder(struct lock *lock)
{
    uint64_t word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
    if (word == 0 || is_lost(word))
        return;
    if (!(word & LOCK_WAITERS)) {
        if (!__atomic_compare_exchange_n(&lock->word, &word, word | LOCK_WAITERS, false,
                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return;
    }
    os_wait(low_half(lock), (uint32_t)(word | LOCK_WAITERS), WAIT_MS);
}

bool lock_acquire(struct lock *lock)
{
    bool orphaned = false;
    unsigned looks = 0;

    fork_notice();
    uint64_t self = word_of_self();
    while (!take_if_possible(lock, self, &orphaned)) {
        if (looks < SPIN_LIMIT) {
            looks++;
            pause_processor();
        } else {
            if (UNLIKELY(lock_is_held(lock)))
                report_deadlock();
            wait_for_holder(lock);
            /* a signal handler may have forked meanwhile: this is the child's generation then */
            fork_notice();
            self = word_of_self() | LOCK_WAITERS;
        }
    }
    note_rank(lock, true);
    return orphaned;
}

bool lock_try(struct lock *lock, bool *lost)
{
    *lost = false;
    fork_notice();
    if (!take_if_possible(lock, word_of_self(), lost))
        return false;
    note_rank(lock, true);
    return true;
}

void lock_release(struct lock *lock)
{
    ASSERT(lock_is_held(lock));
    note_rank(lock, false);
    /* release: all that was done under the lock is seen by the next holder */
    uint64_t word = __atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE);
    if (UNLIKELY(word & LOCK_WAITERS))
        os_wake(low_half(lock));
}

bool lock_is_held(const struct lock *lock)
{
    uint64_t word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
    return word != 0 && (word & LOCK_HOLDER) == fork_thread_name() && !is_lost(word);
}
