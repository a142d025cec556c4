/*
 * Forks in a row, the second one at a bad moment: by a thread that the library has not seen, or by
 * a signal handler that interrupts a thread in the middle of what it does about the first. Only
 * the page that is wiped on fork tells of a fork here; handlers are called by hand.
 */
#include "test.h"
#include "child.h"
#include "in_thread.h"
#include "base/fork.h"
#include "base/lock.h"
#include "sanitized.h"
#include "step.h"

SUITE(lock_fork_twice, .timeout = 120);

#define HOLDER_MASK ((UINT64_C(1) << 48) - 2) /* of a lock's word */

static struct lock lock = {.rank = LOCK_RANK_LARGE};

static void *call(void *check)
{
    int (**function)(void) = check;
    return (void *)(intptr_t)(*function)();
}

/* What `check` returns in a thread, at the same address each time. */
static int result_in_thread(int (*check)(void))
{
    static char stack[4 * MIB] CACHE_ALIGNED; /* thread-local data of a sanitizer lies on it */
    return (int)(intptr_t)run_thread_on(stack, sizeof(stack), call, &check);
}

/* ---- A thread that has taken no lock forks ---- */

static int take_and_count(void)
{
    lock_acquire(&lock);
    return (int)fork_generation();
}

/* Not on `stack`, where the thread is that forked. */
static int take_and_count_by_thread(void)
{
    int (*check)(void) = take_and_count;
    return (int)(intptr_t)run_thread(call, &check);
}

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

/* The handler has counted, and no lock was taken since. In the second child the first lock is taken
 * by its first thread, or by another one. */
static void check_fork_before_lock(int (*by)(void))
{
    taker = by;
    fork_begin(NULL);
    ck_assert_int_eq(result_in_child(take_in_child_of_thread), 2);
    ck_assert_uint_eq(fork_generation(), 0);
}

TEST(a_fork_before_a_lock_is_taken_is_counted)
{
    check_fork_before_lock(take_and_count);
}

TEST_UNLESS(NO_THREADS_IN_CHILDREN, a_fork_before_another_thread_takes_a_lock_is_counted)
{
    check_fork_before_lock(take_and_count_by_thread);
}

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
TEST_UNLESS(NO_BARE_FORKS, a_vfork_is_not_taken_for_the_fork_before_it)
{
    fork_begin(NULL);
    ck_assert_int_eq(result_in_child(take_in_vfork_of_thread), 0);
}

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

/* A thread ends with a lock, unnoticed; another one gets its address, and forks. */
TEST(a_lost_lock_is_not_that_of_a_namesake)
{
    fork_begin(NULL);
    ck_assert_int_eq(result_in_thread(take_and_count), 0);
    ck_assert_int_eq(result_in_child(fork_by_namesake), 0);
}

/* ---- A signal handler forks ---- */

static void fork_once(void)
{
    static bool has_forked;
    if (has_forked)
        return;
    has_forked = true;
    fork_midway();
}

static int take_while_forking(void)
{
    if (take_and_count() != 1 + in_forked_child)
        return 1;
    return (int)failed_children;
}

/* note_survivor, which calls this, stands for all of it. */
TEST(a_fork_while_the_page_is_armed_is_counted)
{
    fork_begin(fork_once);
    ck_assert_int_eq(result_in_child(take_while_forking), 0);
}

/* ---- A fork at every instruction ---- */

/* Such forks need that no runtime, of any sanitizer, is in the middle of something. */
#define NO_PLAIN_STEPS (UNDER_SANITIZER ? "these steps need that there is no sanitizer" : NO_STEPS)

static bool by_handler;    /* the handler counts the first fork */
static uint32_t forked_in; /* generation, in a child of the handler */

/* Where forks came: before the first fork was counted and after it, by what the page held. */
static bool forked_at[2][FORK_ARMED + 1];

static void fork_at_step(void)
{
    forked_at[fork_generation() != 0][*fork_state.page] = true;
    if (fork_midway()) {
        step_end();
        forked_in = fork_generation();
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
    if (in_forked_child) {
        lock_release(&lock);
        lock_acquire(&lock);
        _exit(fork_generation() > forked_in ? 0 : 1);
    }
    return has_forked_everywhere() && fork_generation() == 1 && failed_children == 0 ? 0 : 1;
}

TEST_LOOP_UNLESS(NO_PLAIN_STEPS, a_fork_at_each_instruction_is_counted, 0, 2)
{
    by_handler = _i != 0;
    fork_begin(NULL);
    ck_assert_int_eq(result_in_child(take_in_steps), 0);
}

static void fork_and_count_at_step(void)
{
    if (fork_midway()) {
        step_end();
        fork_child();
    }
}

/* A thread takes a lock for the first time, in which it is named. */
TEST_UNLESS(NO_PLAIN_STEPS, a_first_lock_stays_its_own_over_a_fork_at_each_instruction)
{
    fork_begin(NULL);
    step_through(count_and_take, fork_and_count_at_step);
    if (in_forked_child)
        _exit(lock_is_held(&lock) ? 0 : 1);
    ck_assert_uint_eq(failed_children, 0);
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

TEST_UNLESS(NO_PLAIN_STEPS, a_fork_while_another_thread_arms_the_page_is_counted)
{
    fork_begin(NULL);
    __atomic_store_n(fork_state.page, FORK_ARMING, __ATOMIC_RELAXED);
    step_through(count_and_take, fork_in_wait);
    if (in_forked_child)
        _exit(fork_generation() == 1 ? 0 : 1);
    ck_assert_int_eq(pauses, 2);
    ck_assert_uint_eq(failed_children, 0);
    ck_assert_uint_eq(fork_generation(), 0);
}

/* ---- Newer counts at every instruction of a count ---- */

enum { NEWER_COUNTS = 2 }; /* by the handler; the second one is ahead of what it interrupted */

/* Held by the thread that steps since before the first fork, and by one that was lost in it: the
 * handler takes one of these for each of its forks, the last one is taken afterwards. */
static struct lock own = {.rank = LOCK_RANK_POOL};
static struct lock lost[NEWER_COUNTS + 1] = {
    {.rank = LOCK_RANK_HEAP}, {.rank = LOCK_RANK_UNITS}, {.rank = LOCK_RANK_LARGE}};

static bool newer_by_handler; /* the forks of the signal handler are counted by fork_child */
static int taken;             /* how many of `lost` are */
static unsigned not_lost;     /* how many of these were not said to be */
static uint32_t seen;         /* generation, when the last of them was */
static unsigned began;        /* instructions with the survivor noted and nothing counted */

static int take_all_to_lose(void)
{
    for (size_t i = 0; i < COUNT_OF(lost); i++)
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
        if (!fork_midway())
            return;
        step_end();
        if (newer_by_handler)
            fork_child();
        not_lost += !take_lost();
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
    if (!in_forked_child && (began == 0 || fork_generation() != 1))
        return 1;
    if (!newer_count_stands())
        return 2;
    lock_release(&lock);
    while (taken <= NEWER_COUNTS)
        not_lost += !take_lost();
    return failed_children + not_lost == 0 ? 0 : 3;
}

TEST_LOOP_UNLESS(NO_PLAIN_STEPS, an_older_count_does_not_undo_a_newer_one, 0, 4)
{
    by_handler = (_i & 1) != 0;
    newer_by_handler = (_i & 2) != 0;
    fork_begin(NULL);
    lock_acquire(&own);
    ck_assert_int_eq(result_in_thread(take_all_to_lose), 0);
    ck_assert_int_eq(result_in_child(take_lost_in_steps), 0);
}
