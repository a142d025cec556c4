/*
 * Locks in one process: holders, exclusion under contention, ranks. Forks: test_lock_fork.c.
 */
#include "test.h"
#include "memory.h"
#include "capture.h"
#include "child.h"
#include "in_thread.h"
#include "base/fork.h"
#include "base/lock.h"
#include "base/os.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

SUITE(lock);

static struct lock lock = {.rank = LOCK_RANK_HEAP};
static struct lock second = {.rank = LOCK_RANK_LARGE};

/* Bit 0 of a lock's word: others wait. */
static bool has_waiters(void)
{
    return (__atomic_load_n(&lock.word, __ATOMIC_RELAXED) & 1) != 0;
}

TEST(a_lock_knows_its_holder)
{
    errno = EXDEV;
    ck_assert(!lock_is_held(&lock));
    for (int i = 0; i < 2; i++) {
        ck_assert(!lock_acquire(&lock) && lock_is_held(&lock));
        ck_assert(!lock_acquire(&second) && lock_is_held(&second)); /* a higher rank */
        lock_release(&lock);
        ck_assert(!lock_is_held(&lock) && lock_is_held(&second));
        lock_release(&second);
        ck_assert(!lock_is_held(&second));
    }
    ck_assert_int_eq(errno, EXDEV);
}

struct waiter {
    pid_t id;         /* atomic: its thread id, once it is about to wait */
    bool has_taken;   /* atomic: it has had the lock */
    bool wrong;       /* of what it was told about the lock */
    bool knew_others; /* when it held the lock, that others wait */
};

static void name_waiter(struct waiter *waiter)
{
    __atomic_store_n(&waiter->id, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
}

static void *wait_and_take(void *argument)
{
    struct waiter *waiter = argument;

    name_waiter(waiter);
    waiter->wrong = lock_is_held(&lock) || lock_acquire(&lock) || !lock_is_held(&lock);
    waiter->knew_others = has_waiters();
    __atomic_store_n(&waiter->has_taken, true, __ATOMIC_RELAXED);
    lock_release(&lock);
    return NULL;
}

/* The state letter of a thread of this process, as proc(5) has it. */
static char state_of_thread(pid_t id)
{
    char path[64], text[256] = "";

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)id);
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
    fclose(file);
    const char *name_end = strrchr(text, ')');
    return name_end != NULL ? name_end[2] : '?';
}

/* Waits until the thread sleeps at several looks in a row: for the lock then, not for a moment in a
 * sanitizer's runtime. */
static void wait_until_asleep(const struct waiter *waiter)
{
    enum { LOOKS = 10 };
    pid_t id;

    WAIT_UNTIL((id = __atomic_load_n(&waiter->id, __ATOMIC_ACQUIRE)) != 0);
    for (int asleep = 0; asleep < LOOKS; sched_yield())
        asleep = state_of_thread(id) == 'S' ? asleep + 1 : 0;
}

/* A release wakes one thread. That thread cannot know whether others sleep, so its release has to
 * wake the next one, which would sleep until it looks again by itself. */
TEST(waiters_take_a_lock_in_turn)
{
    enum { WAITERS = 3 };
    struct waiter waiters[WAITERS] = {{.id = 0}};
    pthread_t threads[WAITERS];

    lock_acquire(&lock);
    for (int i = 0; i < WAITERS; i++) {
        threads[i] = begin_thread(wait_and_take, &waiters[i]);
        wait_until_asleep(&waiters[i]);
    }
    for (int i = 0; i < WAITERS; i++)
        ck_assert(!__atomic_load_n(&waiters[i].has_taken, __ATOMIC_RELAXED));
    ck_assert(lock_is_held(&lock));
    lock_release(&lock);
    for (int i = 0; i < WAITERS; i++) {
        end_thread(threads[i]);
        ck_assert_msg(waiters[i].knew_others && !waiters[i].wrong, "waiter %d of %d", i, WAITERS);
    }
    ck_assert_uint_eq(lock.word, 0);
}

/* Sleeps on the low half of the lock's word as a waiter does, but until it is woken. */
static void *sleep_without_limit(void *waiter)
{
    uint32_t *halves = (uint32_t *)(void *)&lock.word;
    uint32_t *low = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? &halves[0] : &halves[1];
    uint32_t held = __atomic_load_n(low, __ATOMIC_RELAXED);

    name_waiter(waiter);
    while (__atomic_load_n(low, __ATOMIC_RELAXED) == held)
        os_wait(low, held, 0);
    return NULL;
}

TEST(a_release_wakes_a_waiter)
{
    struct waiter waiter = {.id = 0};

    lock_acquire(&lock);
    __atomic_fetch_or(&lock.word, 1, __ATOMIC_RELAXED); /* others wait */
    pthread_t thread = begin_thread(sleep_without_limit, &waiter);
    wait_until_asleep(&waiter);
    lock_release(&lock);
    end_thread(thread); /* or never */
}

enum { THREADS = 4, ROUNDS = 40000 };

static size_t counter; /* guarded by lock */

static void *count_up(void *argument)
{
    bool *wrong = argument;

    for (int i = 0; i < ROUNDS; i++) {
        *wrong |= lock_acquire(&lock);
        counter++;
        lock_release(&lock);
    }
    return NULL;
}

TEST(a_counter_under_contention_is_exact)
{
    bool wrong[THREADS] = {false};

    run_threads(count_up, wrong, THREADS, sizeof(wrong[0]));
    for (int i = 0; i < THREADS; i++)
        ck_assert(!wrong[i]);
    ck_assert_uint_eq(counter, (size_t)THREADS * ROUNDS);
    ck_assert_uint_eq(lock.word, 0);
}

/* A handler of SIGABRT that allocates, to print where it is. */
static void take_again(int signal_number)
{
    (void)signal_number;
    lock_acquire(&lock);
}

static void (*const abort_handlers[])(int) = {SIG_DFL, take_again};

static void take_twice(void *handler)
{
    signal(SIGABRT, *(void (*const *)(int))handler);
    child_limited(0); /* it may wait for itself */
    lock_acquire(&lock);
    lock_acquire(&lock);
}

TEST_LOOP(a_thread_that_waits_for_itself_is_ended, 0, COUNT_OF(abort_handlers))
{
    capture_abort(take_twice, (void *)(uintptr_t)&abort_handlers[_i], "acre: deadlock: ");
}

#ifdef ACRE_DEBUG

static void take_a_lower_rank(void)
{
    lock_acquire(&second);
    lock_acquire(&lock);
}

static void take_the_same_rank(void)
{
    static struct lock same = {.rank = LOCK_RANK_HEAP};

    lock_acquire(&lock);
    lock_acquire(&same);
}

static void release_a_free_lock(void)
{
    lock_release(&lock);
}

static void (*const wrong_uses[])(void) = {take_a_lower_rank, take_the_same_rank,
                                           release_a_free_lock};

static void use_wrongly(void *use)
{
    /* the sanitizers would report the trap and exit */
    signal(SIGILL, SIG_DFL);
    signal(SIGTRAP, SIG_DFL);
    (*(void (*const *)(void))use)();
}

TEST_LOOP(a_wrong_use_traps, 0, COUNT_OF(wrong_uses))
{
    struct capture capture;

    capture_child(&capture, use_wrongly, (void *)(uintptr_t)&wrong_uses[_i]);
    ck_assert(WIFSIGNALED(capture.status));
    ck_assert(WTERMSIG(capture.status) == SIGILL || WTERMSIG(capture.status) == SIGTRAP);
}

#endif

/* Names with a number in them, and those that are addresses, fit into a lock's word and are never
 * the same. */
TEST(a_thread_high_up_has_a_name_that_fits)
{
    const uintptr_t limit = (uintptr_t)1 << 48, last = limit - FORK_NAME_ALIGNMENT;
    const uintptr_t high[] = {limit, limit + FORK_NAME_ALIGNMENT, limit + last, 16 * limit,
                              256 * limit - FORK_NAME_ALIGNMENT};
    uint32_t numbers[COUNT_OF(high)] = {0}, none = 0;
    uint64_t names[COUNT_OF(high)];
    ck_assert_uint_eq(fork_name(last, &none), last);
    ck_assert_uint_eq(none, 0);
    for (size_t i = 0; i < COUNT_OF(high); i++) {
        names[i] = fork_name(high[i], &numbers[i]);
        ck_assert_uint_ne(names[i], 0);
        ck_assert_uint_eq(names[i] & ~FORK_NAME_BITS, 0);
        ck_assert_uint_ne(names[i] % FORK_NAME_ALIGNMENT, 0); /* no address */
        for (size_t k = 0; k < i; k++)
            ck_assert_uint_ne(names[i], names[k]);
    }
    for (size_t i = 0; i < COUNT_OF(high); i++)
        ck_assert_uint_eq(fork_name(high[i], &numbers[i]), names[i]);
}

/* The page by which a child notices the fork cannot be overwritten from next to it. */
TEST(the_page_that_is_wiped_has_guards)
{
    fork_begin(NULL);
    const char *page = (const char *)fork_state.page;
    if (page != NULL) {
        ck_assert(is_accessible(page));
        ck_assert(is_guard(page - os_page_size()));
        ck_assert(is_guard(page + os_page_size()));
    }
}
