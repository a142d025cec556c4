/*
 * The mutex of the library. Purpose, word and rules: lock.h. Owns the fork generation.
 *
 * The word goes 0 -> mine -> 0 without contention. A waiter sets bit 0 and sleeps on the low half
 * of the word (futexes are 32 bits wide; the half holds the holder's address bits and bit 0, so it
 * changes whenever the lock is given). A thread that has waited takes the lock with bit 0 set,
 * since others may still sleep.
 */
#include "lock.h"

#include "os.h"
#include "report.h"

enum {
    GENERATION_SHIFT = 48, /* the word's upper 16 bits */
    SPIN_LIMIT = 64, /* looks at a held lock before sleeping: about the longest section without a
                        system call, on current machines */
    WAIT_MS = 50, /* longest sleep before the holder is looked at again: in a child that was forked
                     between the last look and the sleep, or by a handler that interrupts the sleep
                     (the kernel then restarts it), the holder is gone and nobody wakes */
    FIRST_PROCESS = 1, /* its id in a pid namespace */
};

#define LOCK_WAITERS UINT64_C(1)
#define LOCK_HOLDER (((UINT64_C(1) << GENERATION_SHIFT) - 1) & ~LOCK_WAITERS)

struct fork_state lock_fork_state CACHE_ALIGNED;

/* A lock holder's name: the address of this, unique among living threads and kept by fork. */
static __thread uint32_t thread_birth_plus_1 __attribute__((tls_model("initial-exec"), aligned(8)));

/* The generation in which this thread called fork last, plus 1; in the child, that of the child
 * once it is counted. */
static __thread uint32_t thread_forks_plus_1 __attribute__((tls_model("initial-exec")));

#ifdef ACRE_DEBUG
static __thread uint32_t thread_ranks; /* bit r: a lock of rank r is held */
#endif

/* Tells the processor that this is a spinning loop. */
static void pause_processor(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t holder_self(void)
{
    return (uint64_t)(uintptr_t)&thread_birth_plus_1 & LOCK_HOLDER;
}

/* The generation in which this thread was first seen here: `generation`, if that is now. */
static uint32_t birth_in(uint32_t generation)
{
    if (thread_birth_plus_1 == 0)
        thread_birth_plus_1 = generation + 1;
    return thread_birth_plus_1 - 1;
}

void lock_init(void)
{
    size_t page = os_page_size();
    uint32_t *alive = os_map(page);
    if (alive == NULL)
        return;
    if (!os_wipe_on_fork(alive, page)) {
        os_unmap(alive, page);
        return;
    }
    *alive = ALIVE_ARMED;
    lock_fork_state.counted_in = os_process_id();
    lock_fork_state.armed = true;
    /* release: who sees the page sees what is in it */
    __atomic_store_n(&lock_fork_state.alive, alive, __ATOMIC_RELEASE);
}

void lock_on_fork(void (*call)(void))
{
    lock_fork_state.on_fork = call;
}

void lock_keep_survivor(void *held)
{
    lock_fork_state.survivor_held = held;
}

bool lock_find_survivor(void **held)
{
    /* acquire: who sees it known sees what it held */
    bool known = !__atomic_load_n(&lock_fork_state.survivor_missing, __ATOMIC_ACQUIRE);
    *held = known ? lock_fork_state.survivor_held : NULL;
    return known;
}

/*
 * By the thread that forked, in the child, which is of that generation. If the thread has not been
 * seen before it has taken no lock: all of an older generation are others', even where it has got
 * the address of a thread that was lost in a fork that nobody noticed.
 */
static void note_survivor(uint32_t generation)
{
    if (lock_fork_state.on_fork != NULL)
        lock_fork_state.on_fork();
    lock_fork_state.survivor_birth = birth_in(generation);
    lock_fork_state.survivor = holder_self();
    __atomic_store_n(&lock_fork_state.survivor_missing, false, __ATOMIC_RELEASE);
}

/*
 * In the child, before anybody takes a lock there. A signal handler may fork between any two of the
 * stores. Its child counts again, at once or when it arms the page, as is_counted says: `armed` is
 * true until all else is stored, or counted_in is that of another process. The process's id is read
 * before anything is stored, for a child that goes on from here: it does not store its own, and so
 * does not take the count of its parent for one of its own. `before` is the generation that was
 * found to be too old. Nothing is counted if it is not the current one any more: a signal handler
 * has taken a lock meanwhile, or has forked and this is its child, or another thread was faster.
 */
static void begin_generation(uint32_t before, bool by_survivor)
{
    int process = os_process_id();
    uint32_t generation = before + 1;
    if (by_survivor) {
        note_survivor(generation);
    } else {
        /* it holds no lock: it has started a thread, which no signal handler may */
        lock_fork_state.survivor = 0;
        __atomic_store_n(&lock_fork_state.survivor_missing, true, __ATOMIC_RELAXED);
    }
    /* release, for the compiler: a child of this child sees the survivor with the generation, and
     * this one counted before the other two say that nothing is to be counted */
    if (!__atomic_compare_exchange_n(&lock_fork_state.generation, &before, generation, false,
                                     __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        return;
    __atomic_store_n(&lock_fork_state.counted_in, process, __ATOMIC_RELEASE);
    __atomic_store_n(&lock_fork_state.armed, false, __ATOMIC_RELEASE);
}

/*
 * True if the generation was counted in this process, by its handler; `first`: the caller is the
 * process's first thread. For who has found the page wiped. If `armed` is true the page was set
 * since the count, so this is a child. If not, the ids of the two processes tell: the parent may
 * have gone on with the arenas in its hands, and its count is in their status. They may be the same
 * only where the two are in different pid namespaces, neither of them the first process there, or
 * where the process that counted has ended and its id is used again; then the first thread still
 * tells, which is not the survivor of that count unless it has forked.
 */
static bool is_counted(bool first)
{
    return !lock_fork_state.armed && lock_fork_state.counted_in == os_process_id() &&
           !(first && lock_fork_state.survivor != holder_self());
}

/*
 * As arm, once. False if the page has to be looked at again: another thread is arming it, or a
 * signal handler has forked meanwhile, which wiped it.
 */
static bool try_to_arm(uint32_t *alive)
{
    uint32_t seen = ALIVE_WIPED;
    bool first = os_is_main_thread();
    if (__atomic_compare_exchange_n(alive, &seen, ALIVE_ARMING, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_ACQUIRE)) {
        if (!is_counted(first))
            begin_generation(lock_generation(), first);
        lock_fork_state.armed = true;
        seen = ALIVE_ARMING;
        return __atomic_compare_exchange_n(alive, &seen, ALIVE_ARMED, false, __ATOMIC_RELEASE,
                                           __ATOMIC_RELAXED);
    }
    if (seen == ALIVE_ARMING)
        return false;
    /* A process that vfork made runs on its parent's memory, and its first thread is not the
     * survivor that is missing here. Its id is another one, unless both begin a pid namespace; then
     * that thread was seen since the fork, as the survivor was not. */
    if (first && lock_fork_state.counted_in == os_process_id() &&
        thread_birth_plus_1 != lock_generation() + 1 &&
        __atomic_load_n(&lock_fork_state.survivor_missing, __ATOMIC_RELAXED))
        note_survivor(lock_generation());
    return true;
}

/*
 * At the first lock that is taken in a child: sees a fork without handlers (_Fork, raw clone), and
 * arms the page for the next one. Where the handler has run the page could be armed there, but a
 * child that only execs need not pay for it.
 */
static COLD void arm(uint32_t *alive)
{
    while (!try_to_arm(alive))
        pause_processor();
}

/*
 * Notices a fork without handlers. In its child the thread that forked is the process's first one,
 * but not always the first that takes a lock.
 */
static void notice_fork(void)
{
    uint32_t *alive = __atomic_load_n(&lock_fork_state.alive, __ATOMIC_ACQUIRE);
    if (UNLIKELY(alive != NULL &&
                 (__atomic_load_n(alive, __ATOMIC_ACQUIRE) != ALIVE_ARMED ||
                  __atomic_load_n(&lock_fork_state.survivor_missing, __ATOMIC_RELAXED))))
        arm(alive);
}

void lock_about_to_fork(void)
{
    thread_forks_plus_1 = lock_generation() + 1;
}

/*
 * A child handler of somebody else's may have come first and have taken a lock, or have forked:
 * then this process has been counted. A lock has counted the generation; a fork has left the id. By
 * the id alone it might be its parent's, though, where both are the first ones of pid namespaces;
 * there the page tells. It would tell always, but where the system has no page of zeroes to share,
 * reading it makes one.
 */
void lock_forked(void)
{
    uint32_t before = lock_generation();
    if (before + 1 == thread_forks_plus_1) {
        bool known = lock_fork_state.alive != NULL && lock_fork_state.counted_in == os_process_id();
        if (!known)
            begin_generation(before, true);
        /* the child of a process with id 1 may have that id, too: it would take this count for its
         * own, unless the page says otherwise */
        if (known || lock_fork_state.counted_in == FIRST_PROCESS)
            notice_fork();
    }
    /* a child of a signal handler that interrupted fork goes on with that fork */
    lock_about_to_fork();
}

static uint64_t word_of_self(void)
{
    birth_in(lock_generation());
    return ((uint64_t)lock_generation() << GENERATION_SHIFT) | holder_self();
}

/* True if the holder that `word` names does not exist in this process. */
static bool is_lost(uint64_t word)
{
    uint16_t generation = (uint16_t)(word >> GENERATION_SHIFT);
    uint16_t now = (uint16_t)lock_generation();
    if (generation == now)
        return false;
    if ((word & LOCK_HOLDER) != lock_fork_state.survivor)
        return true;
    /* The thread that forked holds it, unless a dead thread had its address before it began. */
    return (uint16_t)(now - generation) >
           (uint16_t)(now - (uint16_t)lock_fork_state.survivor_birth);
}

static void rank_taken(const struct lock *lock)
{
#ifdef ACRE_DEBUG
    ASSERT((thread_ranks >> lock->rank) == 0);
    thread_ranks |= 1u << lock->rank;
#else
    (void)lock;
#endif
}

static void rank_given(const struct lock *lock)
{
#ifdef ACRE_DEBUG
    thread_ranks &= ~(1u << lock->rank);
#else
    (void)lock;
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

    notice_fork();
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
            notice_fork();
            self = word_of_self() | LOCK_WAITERS;
        }
    }
    rank_taken(lock);
    return orphaned;
}

void lock_release(struct lock *lock)
{
    ASSERT(lock_is_held(lock));
    rank_given(lock);
    /* release: all that was done under the lock is seen by the next holder */
    uint64_t word = __atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE);
    if (UNLIKELY(word & LOCK_WAITERS))
        os_wake(low_half(lock), 1);
}

bool lock_is_held(const struct lock *lock)
{
    uint64_t word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
    return word != 0 && (word & LOCK_HOLDER) == holder_self() && !is_lost(word);
}
