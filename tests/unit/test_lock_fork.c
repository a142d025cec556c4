/*
 * Locks in a child of fork: what is lost with its holder, and what stays. Each test runs in each
 * way by which a child learns that it is one.
 */
#include "test.h"
#include "child.h"
#include "in_thread.h"
#include "base/fork.h"
#include "base/lock.h"

#include "../api/fake_call.h"

SUITE(lock_fork);

static struct lock lock = {.rank = LOCK_RANK_HEAP};
static struct lock second = {.rank = LOCK_RANK_LARGE};

static const struct way {
    bool page;     /* the page that is wiped on fork */
    bool handlers; /* the handler of pthread_atfork */
    pid_t (*fork)(void);
    bool (*fake)(
        void); /* the system says of the page, too, that it is going to be wiped; or NULL */
} ways[] = {
    {true, true, fork, NULL},
    {false, true, fork, NULL},
    {false, true, fork, fake_all_advice},
    {false, true, fork, fake_later_advice},
    {true, false, fork, NULL},
#ifndef ACRE_TSAN /* its runtime must see each fork */
    {true, true, _Fork, NULL},
#endif
};

enum { WAYS = COUNT_OF(ways) };

static const struct way *way;
static int on_fork_calls;

static void *count_fork(void)
{
    on_fork_calls++;
    return NULL;
}

static void begin_way(int number)
{
    way = &ways[number];
    bool ignored = way->fake != NULL && way->fake();
    fork_begin(count_fork);
    if (!way->page && !ignored)
        fork_state.page = NULL;
    if (way->handlers)
        pthread_atfork(NULL, NULL, fork_child);
}

/* What `check` returns in a child: 0 if all is well. */
static int result_of_way(int (*check)(void))
{
    pid_t child = child_limited(way->fork());

    if (child == 0)
        _exit(check());
    return result_of(child);
}

/* The other thread of the tests. */
static struct partner partner;

static void take(void *lock_to_take)
{
    lock_acquire(lock_to_take);
}

static void give(void *lock_to_give)
{
    lock_release(lock_to_give);
}

static int check_orphan(void)
{
    if (lock_is_held(&lock))
        return 1;
    if (!lock_acquire(&lock))
        return 2;
    if (fork_generation() != 1 || !lock_is_held(&lock))
        return 3;
    lock_release(&lock);
    if (lock_acquire(&lock))
        return 4;
    lock_release(&lock);
    return 0;
}

static void *take_and_give(void *orphaned)
{
    *(bool *)orphaned = lock_acquire(&lock);
    lock_release(&lock);
    return NULL;
}

/* Waiters are lost with the holder. In the parent the lock is as it was. */
TEST_LOOP(a_child_is_told_once_that_the_holder_is_lost, 0, WAYS)
{
    bool orphaned = true;

    begin_way(_i);
    partner_begin(&partner);
    partner_does(&partner, take, &lock);
    ck_assert_int_eq(result_of_way(check_orphan), 0);
    pthread_t waiter = begin_thread(take_and_give, &orphaned);
    WAIT_UNTIL((__atomic_load_n(&lock.word, __ATOMIC_RELAXED) & 1) != 0); /* it waits */
    ck_assert_int_eq(result_of_way(check_orphan), 0);
    ck_assert_uint_eq(fork_generation(), 0);
    partner_does(&partner, give, &lock);
    end_thread(waiter);
    ck_assert(!orphaned);
    ck_assert(!lock_acquire(&lock));
}

static int check_grandchild_of_holder(void)
{
    if (!lock_is_held(&lock) || !lock_is_held(&second))
        return 11;
    lock_release(&second);
    lock_release(&lock);
    if (lock_acquire(&lock) || lock_acquire(&second))
        return 12;
    return fork_generation() == 2 ? 0 : 13;
}

static int check_own(void)
{
    /* a lock of this thread: also notices the fork, where nothing else does */
    if (lock_acquire(&second))
        return 1;
    if (!lock_is_held(&lock))
        return 2;
    int result = result_of_way(check_grandchild_of_holder);
    if (result != 0)
        return result;
    lock_release(&second);
    lock_release(&lock);
    if (lock_acquire(&lock))
        return 3;
    return fork_generation() == 1 ? 0 : 4;
}

TEST_LOOP(a_lock_of_the_forking_thread_stays_its_own, 0, WAYS)
{
    begin_way(_i);
    lock_acquire(&lock);
    ck_assert_int_eq(result_of_way(check_own), 0);
    ck_assert(lock_is_held(&lock));
}

static int check_child_of_partner(void)
{
    if (!lock_acquire(&second))
        return 1;
    return lock_is_held(&lock) ? 0 : 2;
}

static void fork_holding_lock(void *result)
{
    lock_acquire(&lock);
    *(int *)result = result_of_way(check_child_of_partner);
}

/* It holds one lock and the main thread another. */
TEST_LOOP(the_thread_that_forks_keeps_its_own_locks_only, 0, WAYS)
{
    int result = NOT_EXITED;

    begin_way(_i);
    lock_acquire(&second);
    partner_begin(&partner);
    partner_does(&partner, fork_holding_lock, &result);
    ck_assert_int_eq(result, 0);
    ck_assert(lock_is_held(&second));
}

static int check_orphan_of_grandparent(void)
{
    if (!lock_acquire(&lock))
        return 11;
    if (fork_generation() != 2)
        return 12;
    lock_release(&lock);
    return lock_acquire(&lock) ? 13 : 0;
}

static int fork_again(void)
{
    /* the first lock taken notices the fork, where nothing else does */
    lock_acquire(&second);
    lock_release(&second);
    int result = result_of_way(check_orphan_of_grandparent);

    return result != 0 ? result : check_orphan();
}

TEST_LOOP(a_grandchild_finds_the_lock_lost_too, 0, WAYS)
{
    begin_way(_i);
    partner_begin(&partner);
    partner_does(&partner, take, &lock);
    ck_assert_int_eq(result_of_way(fork_again), 0);
}

/* A thread of the child takes the lock, and the child forks. */
static int fork_with_a_thread(void)
{
    partner_begin(&partner);
    partner_does(&partner, take, &lock);
    int result = result_of_way(check_orphan_of_grandparent);
    partner_does(&partner, give, &lock);
    return result != 0 ? result : lock_acquire(&lock);
}

TEST_LOOP(a_thread_of_the_child_may_be_lost_in_its_turn, 0, WAYS)
{
    begin_way(_i);
    ck_assert_int_eq(result_of_way(fork_with_a_thread), 0);
}

static int count_second_fork(void)
{
    lock_acquire(&lock);
    return on_fork_calls == 2 ? 0 : 10 + on_fork_calls;
}

static int count_forks(void)
{
    lock_acquire(&lock);
    lock_acquire(&second);
    lock_release(&second);
    lock_release(&lock);
    if (!way->handlers)
        fork_child(); /* a handler that comes late */
    if (way->page && on_fork_calls != 1)
        return 1;
    if (fork_generation() != (uint32_t)on_fork_calls)
        return 2;
    return way->page ? result_of_way(count_second_fork) : 0;
}

TEST_LOOP(each_fork_is_noticed_once, 0, WAYS)
{
    begin_way(_i);
    ck_assert_int_eq(result_of_way(count_forks), 0);
    ck_assert_int_eq(on_fork_calls, 0);
}
