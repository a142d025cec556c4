/*
 * Forks in a row, the second one at a bad moment: by a thread that the library has not seen, or by
 * a signal handler that interrupts a thread in the middle of what it does about the first. Only
 * the page that is wiped on fork tells of a fork here; handlers are called by hand.
 */
#include "test.h"
#include "child.h"
#include "base/fork.h"
#include "base/lock.h"
#include "sanitized.h"
#include "step.h"

#include <pthread.h>
#include <signal.h>

SUITE(lock_fork_twice, .timeout = 120);

enum { STACK_SIZE = 4 << 20 }; /* bytes; thread-local data of a sanitizer lies on it */

#define HOLDER_MASK ((UINT64_C(1) << 48) - 2) /* of a lock's word */

static struct lock lock = {.rank = LOCK_RANK_LARGE};

/* Where the threads lie that shall have the same address. */
static char stack[STACK_SIZE] CACHE_ALIGNED;

static void *call(void *check)
{
    int (**function)(void) = check;
    return (void *)(intptr_t)(*function)();
}

/* What `check` returns in a thread on `stack`. */
static int result_in_thread(int (*check)(void))
{
    pthread_t thread;
    pthread_attr_t attributes;
    void *result;
    if (pthread_attr_init(&attributes) != 0 ||
        pthread_attr_setstack(&attributes, stack, sizeof(stack)) != 0 ||
        pthread_create(&thread, &attributes, call, &check) != 0 ||
        pthread_join(thread, &result) != 0)
        return NOT_EXITED;
    pthread_attr_destroy(&attributes);
    return (int)(intptr_t)result;
}

/* ---- A thread that has taken no lock forks ---- */

static int take_and_count(void)
{
    lock_acquire(&lock);
    return (int)fork_generation();
}

#ifndef ACRE_TSAN /* it lets no thread begin in a child of several threads */
static int take_and_count_by_thread(void)
{
    pthread_t thread;
    void *result;
    int (*check)(void) = take_and_count;
    if (pthread_create(&thread, NULL, call, &check) != 0 || pthread_join(thread, &result) != 0)
        return NOT_EXITED;
    return (int)(intptr_t)result;
}
#endif

/* By whom the first lock is taken in the second child: its first thread, or another one. */
static int (*const takers[])(void) = {
    take_and_count,
#ifndef ACRE_TSAN
    take_and_count_by_thread,
#endif
};

enum { TAKERS = sizeof(takers) / sizeof(takers[0]) };

static int (*taker)(void);

static int take_in_child(void)
{
    return result_in_child(taker);
}

static int take_in_child_of_thread(void)
{
    fork_child();
    return result_in_thread(take_in_child);
}

/* The handler has counted, and no lock was taken since. */
TEST_LOOP(a_fork_before_a_lock_is_taken_is_counted, 0, TAKERS)
{
    taker = takers[_i];
    fork_begin(NULL);
    ck_assert_int_eq(result_in_child(take_in_child_of_thread), 2);
    ck_assert_uint_eq(fork_generation(), 0);
}

#ifndef ACRE_TSAN /* its runtime must see each fork */

static struct lock other = {.rank = LOCK_RANK_META};

static void take_and_give(void)
{
    lock_acquire(&lock);
    lock_release(&lock);
}

/* By another thread than the one that forked, which has taken no lock yet. */
static int take_in_vfork(void)
{
    void *held;
    take_and_give();
    if (fork_find_held(&held)) /* it is not known what the first thread holds */
        return 1;
    pid_t child = vfork();
    if (child == 0) {
        lock_acquire(&lock);
        _exit(0);
    }
    if (result_of(child) != 0 || !lock_is_held(&lock))
        return 2;
    return fork_find_held(&held) ? 3 : 0;
}

static int take_in_vfork_of_thread(void)
{
    void *held;
    int result = result_in_thread(take_in_vfork);
    if (result != 0)
        return result;
    lock_acquire(&other);
    return fork_find_held(&held) ? 0 : 4;
}

/* By vfork a thread becomes the first one of a process, but not of that whose memory it is. */
TEST(a_vfork_is_not_taken_for_the_fork_before_it)
{
    fork_begin(NULL);
    ck_assert_int_eq(result_in_child(take_in_vfork_of_thread), 0);
}

#else

SKIPPED("vfork, _Fork and clone", "ThreadSanitizer's runtime must see each fork");

#endif

static int take_of_namesake(void)
{
    uint64_t before = lock.word;
    if (!lock_acquire(&lock))
        return 1;
    return ((before ^ lock.word) & HOLDER_MASK) == 0 ? 0 : 2;
}

static int take_in_child_of_namesake(void)
{
    return result_in_child(take_of_namesake);
}

static int fork_by_namesake(void)
{
    return result_in_thread(take_in_child_of_namesake);
}

/* A thread is lost with a lock in a fork that nobody notices; another one gets its address, and
 * forks. */
TEST(a_lost_lock_is_not_that_of_a_namesake)
{
    fork_begin(NULL);
    ck_assert_int_eq(result_in_thread(take_and_count), 0); /* it ends with the lock: nobody knows */
    ck_assert_int_eq(result_in_child(fork_by_namesake), 0);
}

/* ---- A signal handler forks ---- */

static bool has_forked, in_child; /* the handler; here we are in its child */
static int handler_result;        /* in its parent: what the child exited with */

/* What the handler does. The child goes on with what was interrupted. */
static void *fork_once(void)
{
    if (has_forked)
        return NULL;
    has_forked = true;
    pid_t child = fork_limited();
    in_child = child == 0;
    if (!in_child)
        handler_result = result_of(child);
    return NULL;
}

static int take_while_forking(void)
{
    int generation = take_and_count();
    if (in_child)
        _exit(generation);
    return generation == 1 ? handler_result : NOT_EXITED;
}

/* note_survivor, which calls this, stands for all of it. */
TEST(a_fork_while_the_page_is_armed_is_counted)
{
    fork_begin(fork_once);
    ck_assert_int_eq(result_in_child(take_while_forking), 2);
}

/* ---- A fork at every instruction ---- */

#if defined(CAN_STEP) && !defined(SANITIZED)

static bool by_handler; /* the handler counts the first fork */
static unsigned failures;
static uint32_t forked_in; /* generation, in a child of the handler */

/* Where forks came: before the first fork was counted and after it, by what the page held. */
static bool forked_at[2][FORK_ARMED + 1];

static void fork_at_step(void)
{
    forked_at[fork_generation() != 0][*fork_state.page] = true;
    pid_t child = fork_limited();
    in_child = child == 0;
    if (in_child) {
        step_end();
        forked_in = fork_generation();
    } else if (result_of(child) != 0) {
        failures++;
    }
}

static void count_and_take(void)
{
    if (by_handler)
        fork_child();
    lock_acquire(&lock);
}

/* True if there was a fork in each state of the page that there is, before the count and after. */
static bool has_forked_everywhere(void)
{
    return forked_at[false][FORK_WIPED] && forked_at[false][FORK_ARMING] &&
           forked_at[true][FORK_ARMING] && forked_at[true][FORK_ARMED];
}

/* Each child of the handler goes on with what was interrupted, and has counted its own fork when it
 * has taken another lock. */
static int take_in_steps(void)
{
    step_through(count_and_take, fork_at_step);
    if (in_child) {
        lock_release(&lock);
        lock_acquire(&lock);
        _exit(fork_generation() > forked_in ? 0 : 1);
    }
    return has_forked_everywhere() && fork_generation() == 1 && failures == 0 ? 0 : 1;
}

TEST_LOOP(a_fork_at_each_instruction_is_counted, 0, 2)
{
    by_handler = _i != 0;
    fork_begin(NULL);
    ck_assert_int_eq(result_in_child(take_in_steps), 0);
}

static void fork_and_count_at_step(void)
{
    pid_t child = fork_limited();
    in_child = child == 0;
    if (in_child) {
        step_end();
        fork_child();
    } else if (result_of(child) != 0) {
        failures++;
    }
}

/* A thread takes a lock for the first time, in which it is named. */
TEST(a_first_lock_stays_its_own_over_a_fork_at_each_instruction)
{
    fork_begin(NULL);
    step_through(count_and_take, fork_and_count_at_step);
    if (in_child)
        _exit(lock_is_held(&lock) ? 0 : 1);
    ck_assert_uint_eq(failures, 0);
    ck_assert(lock_is_held(&lock));
}

static int pauses; /* of the thread that waits for the page */

/* During one round of the wait; then the page is what the thread waits for. */
static void fork_in_wait(void)
{
    pauses += step_comes_pause();
    if (pauses == 1)
        fork_at_step();
    else if (pauses == 2)
        __atomic_store_n(fork_state.page, FORK_ARMED, __ATOMIC_RELEASE);
}

TEST(a_fork_while_another_thread_arms_the_page_is_counted)
{
    fork_begin(NULL);
    __atomic_store_n(fork_state.page, FORK_ARMING, __ATOMIC_RELAXED);
    step_through(count_and_take, fork_in_wait);
    if (in_child)
        _exit(fork_generation() == 1 ? 0 : 1);
    ck_assert_int_eq(pauses, 2);
    ck_assert_uint_eq(failures, 0);
    ck_assert_uint_eq(fork_generation(), 0);
}

/* ---- Newer counts at every instruction of a count ---- */

enum { NEWER_COUNTS = 2 }; /* by the handler; the second one is ahead of what it interrupted */

/* Held by the thread that steps since before the first fork, and by one that was lost in it: the
 * handler takes one of these for each of its forks, the last one is taken afterwards. */
static struct lock own = {.rank = LOCK_RANK_BACKGROUND};
static struct lock lost[NEWER_COUNTS + 1] = {
    {.rank = LOCK_RANK_POOL}, {.rank = LOCK_RANK_HEAP}, {.rank = LOCK_RANK_UNITS}};

static bool newer_by_handler; /* the forks of the signal handler are counted by fork_child */
static int taken;             /* how many of `lost` are */
static uint32_t seen;         /* generation, when the last of them was */
static unsigned began;        /* instructions with the survivor noted and nothing counted */

static int take_all_to_lose(void)
{
    for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++)
        lock_acquire(&lost[i]);
    return 0;
}

/* Takes the next of `lost`. False if it was not said to be lost. */
static bool take_lost(void)
{
    bool orphaned = lock_acquire(&lost[taken]);
    taken++;
    seen = fork_generation();
    return orphaned;
}

/* Its child and the child of that both go on with what was interrupted, each after it has counted
 * its own fork. */
static void count_twice_at_step(void)
{
    if (lock_is_held(&lock))
        return; /* it comes after `lost` in rank */
    began += fork_state.survivor != 0 && fork_generation() == 0;
    while (taken < NEWER_COUNTS) {
        pid_t child = fork_limited();
        if (child != 0) {
            failures += result_of(child) != 0;
            return;
        }
        in_child = true;
        step_end();
        if (newer_by_handler)
            fork_child();
        failures += !take_lost();
    }
}

/* What was said when the last of `lost` was taken still holds, after an older count has ended. */
static bool newer_count_stands(void)
{
    void *held;
    if (fork_generation() < seen || !fork_find_held(&held) ||
        fork_state.survivor != (lock.word & HOLDER_MASK))
        return false;
    for (int i = 0; i < taken; i++)
        if (!lock_is_held(&lost[i]))
            return false;
    return lock_is_held(&own) && lock_is_held(&lock);
}

static int take_lost_in_steps(void)
{
    step_through(count_and_take, count_twice_at_step);
    if (!in_child && (began == 0 || fork_generation() != 1))
        return 1;
    if (!newer_count_stands())
        return 2;
    lock_release(&lock);
    while (taken <= NEWER_COUNTS)
        failures += !take_lost();
    return failures == 0 ? 0 : 3;
}

TEST_LOOP(an_older_count_does_not_undo_a_newer_one, 0, 4)
{
    by_handler = (_i & 1) != 0;
    newer_by_handler = (_i & 2) != 0;
    fork_begin(NULL);
    lock_acquire(&own);
    ck_assert_int_eq(result_in_thread(take_all_to_lose), 0);
    ck_assert_int_eq(result_in_child(take_lost_in_steps), 0);
}

#else

SKIPPED("all that step", "steps need x86-64, and no sanitizer");

#endif
