/*
 * Locks in one process: who holds them, exclusion under contention, ranks. Forks: test_lock_fork.c.
 */
#include "test.h"
#include "accessible.h"
#include "capture.h"
#include "child.h"
#include "base/fork.h"
#include "base/lock.h"
#include "base/os.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

SUITE(lock);

static struct lock lock = {.rank = LOCK_RANK_HEAP};
static struct lock second = {.rank = LOCK_RANK_LARGE};

TEST(a_lock_knows_its_holder)
{
    ck_assert(!lock_is_held(&lock));
    errno = EXDEV;
    ck_assert(!lock_acquire(&lock));
    ck_assert(lock_is_held(&lock));
    lock_release(&lock);
    ck_assert(!lock_is_held(&lock));
    ck_assert_int_eq(errno, EXDEV);
}

/* What another thread, which takes the lock, finds out about it. */
struct view {
    bool held_before, held, orphaned; /* as the thread sees it */
    bool taken;                       /* atomic: the thread has had the lock */
};

static void *take(void *argument)
{
    struct view *view = argument;

    view->held_before = lock_is_held(&lock);
    view->orphaned = lock_acquire(&lock);
    view->held = lock_is_held(&lock);
    __atomic_store_n(&view->taken, true, __ATOMIC_RELAXED);
    lock_release(&lock);
    return NULL;
}

TEST(others_wait_for_a_held_lock)
{
    struct view view = {.taken = false};
    pthread_t thread;

    lock_acquire(&lock);
    ck_assert_int_eq(pthread_create(&thread, NULL, take, &view), 0);
    while ((__atomic_load_n(&lock.word, __ATOMIC_RELAXED) & 1) == 0)
        sched_yield(); /* until the other waits */
    ck_assert(!__atomic_load_n(&view.taken, __ATOMIC_RELAXED));
    ck_assert(lock_is_held(&lock));
    lock_release(&lock);

    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert(view.taken);
    ck_assert(!view.held_before);
    ck_assert(view.held);
    ck_assert(!view.orphaned);
    ck_assert(!lock_is_held(&lock));
}

/* A thread that waits for the lock. */
struct waiter {
    pthread_t thread;
    pid_t id;          /* atomic: its thread id, once it is about to take the lock */
    bool tells_others; /* holding the lock, it knows that others may sleep */
};

static void *wait_and_take(void *argument)
{
    struct waiter *waiter = argument;

    __atomic_store_n(&waiter->id, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    lock_acquire(&lock);
    waiter->tells_others = (__atomic_load_n(&lock.word, __ATOMIC_RELAXED) & 1) != 0;
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

/* Until the thread sleeps at several looks in a row: for the lock then, not for a moment in a
 * sanitizer's runtime. */
static void wait_until_asleep(const struct waiter *waiter)
{
    enum { LOOKS = 10 };
    pid_t id;

    while ((id = __atomic_load_n(&waiter->id, __ATOMIC_ACQUIRE)) == 0)
        sched_yield();
    for (int asleep = 0; asleep < LOOKS; sched_yield())
        asleep = state_of_thread(id) == 'S' ? asleep + 1 : 0;
}

/* A release wakes one thread. That one cannot know whether others sleep, so its release has to
 * wake the next one: else that one sleeps until it looks again by itself. */
TEST(who_has_slept_wakes_the_next)
{
    enum { WAITERS = 3 };
    struct waiter waiters[WAITERS] = {{.id = 0}};

    lock_acquire(&lock);
    for (int i = 0; i < WAITERS; i++) {
        ck_assert_int_eq(pthread_create(&waiters[i].thread, NULL, wait_and_take, &waiters[i]), 0);
        wait_until_asleep(&waiters[i]);
    }
    lock_release(&lock);
    for (int i = 0; i < WAITERS; i++) {
        ck_assert_int_eq(pthread_join(waiters[i].thread, NULL), 0);
        ck_assert_msg(waiters[i].tells_others, "waiter %d of %d", i, WAITERS);
    }
    ck_assert_uint_eq(lock.word, 0);
}

/* Sleeps on the lock's word as a waiter does, but until it is woken. */
static void *sleep_without_limit(void *argument)
{
    struct waiter *waiter = argument;
    uint32_t *halves = (uint32_t *)(void *)&lock.word;
    uint32_t *low = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? &halves[0] : &halves[1];
    uint32_t held = __atomic_load_n(low, __ATOMIC_RELAXED);

    __atomic_store_n(&waiter->id, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    while (__atomic_load_n(low, __ATOMIC_RELAXED) == held)
        os_wait(low, held, 0);
    return NULL;
}

TEST(a_release_wakes_a_waiter)
{
    struct waiter waiter = {.id = 0};

    lock_acquire(&lock);
    __atomic_fetch_or(&lock.word, 1, __ATOMIC_RELAXED); /* a thread waits */
    ck_assert_int_eq(pthread_create(&waiter.thread, NULL, sleep_without_limit, &waiter), 0);
    wait_until_asleep(&waiter);
    lock_release(&lock);
    ck_assert_int_eq(pthread_join(waiter.thread, NULL), 0); /* or never */
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
    pthread_t threads[THREADS];
    bool wrong[THREADS] = {false};

    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_up, &wrong[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert(!wrong[i]);
    }
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

TEST_LOOP(who_waits_for_itself_is_ended, 0, sizeof(abort_handlers) / sizeof(abort_handlers[0]))
{
    struct capture capture;

    capture_child(&capture, take_twice, (void *)(uintptr_t)&abort_handlers[_i]);
    ck_assert(WIFSIGNALED(capture.status) && WTERMSIG(capture.status) == SIGABRT);
    ck_assert_msg(strncmp(capture.text, "acre: deadlock: ", 16) == 0, "%s", capture.text);
    ck_assert_uint_eq(capture.writes, 1);
}

#ifdef ACRE_DEBUG

static void take_a_lower_rank(void *unused)
{
    (void)unused;
    lock_acquire(&second);
    lock_acquire(&lock);
}

static void take_the_same_rank(void *unused)
{
    static struct lock same = {.rank = LOCK_RANK_HEAP};

    (void)unused;
    lock_acquire(&lock);
    lock_acquire(&same);
}

static void release_what_is_free(void *unused)
{
    (void)unused;
    lock_release(&lock);
}

static void (*const wrong_uses[])(void *) = {take_a_lower_rank, take_the_same_rank,
                                             release_what_is_free};

static void use_wrongly(void *use)
{
    /* the sanitizers would report the trap and exit */
    signal(SIGILL, SIG_DFL);
    signal(SIGTRAP, SIG_DFL);
    (*(void (*const *)(void *))use)(NULL);
}

TEST_LOOP(a_wrong_use_traps, 0, sizeof(wrong_uses) / sizeof(wrong_uses[0]))
{
    struct capture capture;

    capture_child(&capture, use_wrongly, (void *)(uintptr_t)&wrong_uses[_i]);
    ck_assert(WIFSIGNALED(capture.status));
    ck_assert(WTERMSIG(capture.status) == SIGILL || WTERMSIG(capture.status) == SIGTRAP);
}

#endif

TEST(ranks_may_be_taken_upwards)
{
    lock_acquire(&lock);
    lock_acquire(&second);
    lock_release(&lock);
    lock_release(&second);
    lock_acquire(&lock);
    lock_release(&lock);
    ck_assert(!lock_is_held(&lock));
    ck_assert(!lock_is_held(&second));
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
