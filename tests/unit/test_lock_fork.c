/*
 * Locks in a child of fork: what is lost with its holder, and what stays. Each test runs in each
 * way by which a child learns that it is one: see ways.
 */
#include "test.h"
#include "child.h"
#include "base/fork.h"
#include "base/lock.h"

#include "../api/fake_call.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

SUITE(lock_fork);

static struct lock lock = {.rank = LOCK_RANK_HEAP};
static struct lock second = {.rank = LOCK_RANK_LARGE};

/* The ways by which a child learns that it is one. */
static const struct way {
    bool page;     /* the page that is wiped on fork */
    bool handlers; /* the handler of pthread_atfork */
    pid_t (*fork)(void);
    bool advice_ignored; /* the system says of the page, too, that it is going to be wiped */
} ways[] = {
    {true, true, fork, false},  {false, true, fork, false},
    {false, true, fork, true},  {true, false, fork, false},
#ifndef ACRE_TSAN /* its runtime must see each fork */
    {true, true, _Fork, false},
#endif
};

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

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
    bool ignored = way->advice_ignored && fake_all_advice();
    fork_begin(count_fork);
    if (!way->page && !ignored)
        fork_state.page = NULL;
    if (way->handlers)
        pthread_atfork(NULL, NULL, fork_child);
}

/* Forks; the child exits with what check returns, which is 0 if all is well. */
static void check_in_child(int (*check)(void))
{
    int status;
    pid_t child = child_limited(way->fork());

    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(check());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(status == 0, "status of the child %#x", (unsigned)status);
}

/* As check_in_child, from a child: returns what the check returned. */
static int check_in_grandchild(int (*check)(void))
{
    pid_t child = child_limited(way->fork());

    if (child == 0)
        _exit(check());
    return result_of(child);
}

/* A thread that holds the lock until it is told to go. */
struct holder {
    pthread_t thread;
    sem_t holds, may_go;
};

static void *hold(void *argument)
{
    struct holder *holder = argument;

    lock_acquire(&lock);
    sem_post(&holder->holds);
    while (sem_wait(&holder->may_go) != 0)
        ;
    lock_release(&lock);
    return NULL;
}

static void holder_begin(struct holder *holder)
{
    sem_init(&holder->holds, 0, 0);
    sem_init(&holder->may_go, 0, 0);
    ck_assert_int_eq(pthread_create(&holder->thread, NULL, hold, holder), 0);
    while (sem_wait(&holder->holds) != 0)
        ;
}

static void holder_end(struct holder *holder)
{
    sem_post(&holder->may_go);
    ck_assert_int_eq(pthread_join(holder->thread, NULL), 0);
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

TEST_LOOP(a_child_is_told_once_that_the_holder_is_lost, 0, WAYS)
{
    struct holder holder;

    begin_way(_i);
    holder_begin(&holder);
    check_in_child(check_orphan);
    check_in_child(check_orphan); /* the parent's lock is as it was */
    ck_assert_uint_eq(fork_generation(), 0);
    holder_end(&holder);
    ck_assert(!lock_acquire(&lock));
}

static void *take_and_give(void *orphaned)
{
    *(bool *)orphaned = lock_acquire(&lock);
    lock_release(&lock);
    return NULL;
}

/* The waiters are lost with the holder. */
TEST_LOOP(a_lock_that_others_wait_for_is_taken_in_the_child, 0, WAYS)
{
    struct holder holder;
    pthread_t waiter;
    bool orphaned = true;

    begin_way(_i);
    holder_begin(&holder);
    ck_assert_int_eq(pthread_create(&waiter, NULL, take_and_give, &orphaned), 0);
    while ((__atomic_load_n(&lock.word, __ATOMIC_RELAXED) & 1) == 0)
        sched_yield();
    check_in_child(check_orphan);
    holder_end(&holder);
    ck_assert_int_eq(pthread_join(waiter, NULL), 0);
    ck_assert(!orphaned);
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
    /* a lock of ours: also notices the fork, where nothing else does */
    if (lock_acquire(&second))
        return 1;
    if (!lock_is_held(&lock))
        return 2;
    int result = check_in_grandchild(check_grandchild_of_holder);
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
    check_in_child(check_own);
    ck_assert(lock_is_held(&lock));
    lock_release(&lock);
}

/* A thread that forks while it holds one lock and the main thread another. */
static int check_child_of_thread(void)
{
    if (!lock_acquire(&second))
        return 1;
    return lock_is_held(&lock) ? 0 : 2;
}

static void *fork_from_thread(void *result)
{
    lock_acquire(&lock);
    *(int *)result = check_in_grandchild(check_child_of_thread);
    lock_release(&lock);
    return NULL;
}

TEST_LOOP(the_thread_that_forks_keeps_its_own_locks_only, 0, WAYS)
{
    pthread_t thread;
    int result = -1;

    begin_way(_i);
    lock_acquire(&second);
    ck_assert_int_eq(pthread_create(&thread, NULL, fork_from_thread, &result), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(result, 0);
    ck_assert(lock_is_held(&second));
    lock_release(&second);
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
    int result = check_in_grandchild(check_orphan_of_grandparent);

    return result != 0 ? result : check_orphan();
}

TEST_LOOP(a_grandchild_finds_the_lock_lost_too, 0, WAYS)
{
    struct holder holder;

    begin_way(_i);
    holder_begin(&holder);
    check_in_child(fork_again);
    holder_end(&holder);
}

/* A thread of the child takes the lock, and the child forks. */
static int fork_with_a_thread(void)
{
    struct holder holder;

    holder_begin(&holder);
    int result = check_in_grandchild(check_orphan_of_grandparent);
    holder_end(&holder);
    return result != 0 ? result : lock_acquire(&lock);
}

TEST_LOOP(a_thread_of_the_child_may_be_lost_in_its_turn, 0, WAYS)
{
    begin_way(_i);
    check_in_child(fork_with_a_thread);
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
    return way->page ? check_in_grandchild(count_second_fork) : 0;
}

TEST_LOOP(each_fork_is_noticed_once, 0, WAYS)
{
    begin_way(_i);
    check_in_child(count_forks);
    ck_assert_int_eq(on_fork_calls, 0);
}
