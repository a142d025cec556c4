/* Forks: see fork.h. */
#include "base/fork.h"

#include "base/os.h"

START_DATA struct fork_state fork_state;

/* The generation in which this thread was first seen, plus 1, and its number, if it has one. */
static __thread struct {
    uint32_t birth_plus_1;
    uint32_t number;
} thread __attribute__((tls_model("initial-exec"), aligned(FORK_NAME_ALIGNMENT)));

void fork_begin(void *(*on_fork)(void))
{
    if (fork_state.on_fork != NULL)
        return;
    fork_state.on_fork = on_fork;
    uint32_t *page = os_map_guarded(os_page_size());
    if (page == NULL)
        return;
    os_try_purge(page);
    if (!os_wipe_on_fork(page, os_page_size()))
        return;
    *page = FORK_ARMED;
    fork_state.page = page;
}

/* A signal handler may ask for the same thread's name meanwhile, and fork: the first number stays.
 */
static uint32_t number_of(uint32_t *number)
{
    static uint32_t last; /* [any] */
    uint32_t none = 0, next = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
    __atomic_compare_exchange_n(number, &none, next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return *number;
}

uint64_t fork_name(uintptr_t address, uint32_t *number)
{
    if (LIKELY((address & ~FORK_NAME_BITS) == 0))
        return address;
    uint32_t known = *number;
    return (uint64_t)(known != 0 ? known : number_of(number)) * FORK_NAME_ALIGNMENT + 2;
}

static uint64_t name_of_self(void)
{
    return fork_name((uintptr_t)&thread, &thread.number);
}

uint64_t fork_thread_name(void)
{
    if (UNLIKELY(thread.birth_plus_1 == 0))
        thread.birth_plus_1 = fork_generation() + 1;
    return name_of_self();
}

/*
 * Called by the survivor, in the child of that generation. A thread that was not seen before has
 * taken no lock: it holds none of an older generation, even if a lost thread had its address.
 */
static void note_survivor(uint32_t generation)
{
    if (thread.birth_plus_1 == 0)
        thread.birth_plus_1 = generation + 1;
    if (fork_state.on_fork != NULL)
        fork_state.survivor_held = fork_state.on_fork();
    fork_state.survivor_birth = thread.birth_plus_1 - 1;
    fork_state.survivor = name_of_self();
}

/*
 * Counts the fork, in the child, before any thread takes a lock there. `before` is what `forks` was
 * after the caller had set ARMING. If `forks` has changed since, a signal handler has forked
 * meanwhile, this is its child, and the fork was counted in it: nothing is done.
 */
static void count(uint32_t before, bool by_survivor)
{
    uint32_t generation = (before >> FORK_GENERATION_SHIFT) + 1;
    uint32_t forks = generation << FORK_GENERATION_SHIFT;
    if (by_survivor)
        note_survivor(generation);
    else
        forks |= FORK_SURVIVOR_MISSING;
    /* release: a thread, or a further child, that sees the generation sees the survivor */
    __atomic_compare_exchange_n(&fork_state.forks, &before, forks, false, __ATOMIC_RELEASE,
                                __ATOMIC_RELAXED);
}

/* Counts the fork and arms the page if it is wiped. False if another thread is doing so, or if a
 * signal handler has forked meanwhile, so that the page was wiped again. */
static bool try_to_arm(bool by_survivor)
{
    uint32_t seen = FORK_WIPED;
    if (!__atomic_compare_exchange_n(fork_state.page, &seen, FORK_ARMING, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_ACQUIRE))
        return seen == FORK_ARMED;
    /* read after the exchange: another thread may have counted this fork before it */
    uint32_t before = __atomic_load_n(&fork_state.forks, __ATOMIC_RELAXED);
    count(before, by_survivor || os_is_main_thread());
    seen = FORK_ARMING;
    /* release: a thread that sees the page armed sees the fork counted */
    return __atomic_compare_exchange_n(fork_state.page, &seen, FORK_ARMED, false, __ATOMIC_RELEASE,
                                       __ATOMIC_RELAXED);
}

static void arm(bool by_survivor)
{
    while (!try_to_arm(by_survivor))
        pause_processor();
}

/* True if the survivor is missing and the caller is it: the process's first thread, not seen since
 * the fork. (A process that vfork made runs on the same memory; its first thread was seen.) */
static bool is_missing_survivor(uint32_t forks)
{
    return (forks & FORK_SURVIVOR_MISSING) != 0 && os_is_main_thread() &&
           thread.birth_plus_1 != (forks >> FORK_GENERATION_SHIFT) + 1;
}

void fork_count(void)
{
    if (fork_state.page != NULL)
        arm(false);
    uint32_t forks = __atomic_load_n(&fork_state.forks, __ATOMIC_RELAXED);
    if (!is_missing_survivor(forks))
        return;
    note_survivor(forks >> FORK_GENERATION_SHIFT);
    __atomic_compare_exchange_n(&fork_state.forks, &forks, forks & ~FORK_SURVIVOR_MISSING, false,
                                __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

void fork_child(void)
{
    if (fork_state.page != NULL)
        arm(true);
    else
        count(fork_state.forks, true);
}

bool fork_lost(uint64_t name, uint16_t generation)
{
    /* acquire: a thread that sees the flag clear sees the survivor's name */
    uint32_t forks = __atomic_load_n(&fork_state.forks, __ATOMIC_ACQUIRE);
    uint16_t now = (uint16_t)(forks >> FORK_GENERATION_SHIFT);
    if (generation == now)
        return false;
    if ((forks & FORK_SURVIVOR_MISSING) != 0 || name != fork_state.survivor)
        return true;
    /* The survivor, unless a thread that is lost had its address before it began. */
    return (uint16_t)(now - generation) > (uint16_t)(now - (uint16_t)fork_state.survivor_birth);
}

bool fork_find_held(void **held)
{
    uint32_t forks = __atomic_load_n(&fork_state.forks, __ATOMIC_ACQUIRE);
    bool known = (forks & FORK_SURVIVOR_MISSING) == 0;
    *held = known ? fork_state.survivor_held : NULL;
    return known;
}
