/* Scenarios of several threads, and of children of fork. Threads take turns, so that each run makes
 * the same calls. */
#include "check.h"

#include "intercept.h"
#include "plan.h"
#include "scenarios.h"
#include "shadow.h"

#include <acre/acre.h>
#include <malloc.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <time.h>

/* ---- threads ---- */

enum {
    STACKS = 4,
    STACK_SIZE = 128 << 10, /* bytes */
};

static char stacks[STACKS][STACK_SIZE] __attribute__((aligned(4096)));

/* Starts a thread on a stack of its own, for which libc maps and keeps nothing. False if there is
 * no memory. */
static bool start_on(int stack, pthread_t *thread, void *(*run)(void *), void *argument)
{
    pthread_attr_t attributes;
    size_t failed = plan->failed;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstack(&attributes, stacks[stack], STACK_SIZE) == 0);
    int error = pthread_create(thread, &attributes, run, argument);
    CHECK(error == 0 || intercept_may_fail(failed));
    pthread_attr_destroy(&attributes);
    return error == 0;
}

static void in_turn(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    if (start_on(0, &thread, run, argument))
        join(thread);
}

/* Takes blocks of many sizes, and frees one in three of what there is. */
static void *take_some(void *seed)
{
    shadow_take(120, 1 + (uintptr_t)seed, 700);
    shadow_calloc(1300000);
    shadow_free_from((int)((uintptr_t)seed % 3), 3);
    return NULL;
}

static void *free_all(void *unused)
{
    shadow_free_from(0, 1);
    return unused;
}

/* Threads that end: their arenas are pooled, drained, emptied, and adopted. */
static void ended_threads(void)
{
    for (uintptr_t i = 1; i <= 4; i++)
        in_turn(take_some, (void *)i);
    shadow_free_from(0, 2);
    intercept_pass_ms(1001);
    take_some((void *)7);
    in_turn(free_all, NULL);
    malloc_trim(0);
    in_turn(take_some, (void *)8);
    intercept_pass_ms(1001);
    take_some((void *)9);
}

static sem_t turn, turn_back;

static void wait_at(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        continue;
}

/* Lets the other thread go on until it waits again or ends. */
static void let_go_on(void)
{
    sem_post(&turn);
    wait_at(&turn_back);
}

static void wait_for_turn(void)
{
    sem_post(&turn_back);
    wait_at(&turn);
}

static void *sleep_with_blocks(void *unused)
{
    wait_at(&turn);
    shadow_take(800, 2500, 0);
    shadow_take(60, 50000, 0);
    wait_for_turn();
    shadow_take(400, 2500, 0); /* collects */
    shadow_malloc(300000);
    wait_for_turn();
    acre_thread_flush();
    sem_post(&turn_back);
    return unused;
}

/* Frees to a thread that sleeps: pages of REMOTE blocks go back, and the owner collects. */
static void remote_frees(void)
{
    pthread_t sleeper;
    CHECK(sem_init(&turn, 0, 0) == 0 && sem_init(&turn_back, 0, 0) == 0);
    if (!start_on(0, &sleeper, sleep_with_blocks, NULL))
        return;
    let_go_on();
    shadow_free_from(0, 2);
    shadow_free_from(0, 3);
    for (int i = 0; i < 3; i++) {
        intercept_pass_ms(1001);
        take_some((void *)1);
    }
    malloc_trim(0);
    let_go_on();
    shadow_free_from(1, 2);
    malloc_trim(0);
    let_go_on();
    join(sleeper);
    shadow_free_from(0, 1);
}

/* ---- a lock that is held ---- */

static void *wait_for_lock(void *unused)
{
    wait_at(&turn);
    malloc_trim(0);
    intercept_meeting_ends();
    return unused;
}

static void wake_other(void)
{
    sem_post(&turn);
}

/* A thread waits for the heap lock of this one's arena, which purges. */
static void held_lock(void)
{
    pthread_t other;
    CHECK(sem_init(&turn, 0, 0) == 0);
    shadow_take(20, 60000, 0);
    malloc_trim(0);
    if (!start_on(0, &other, wait_for_lock, NULL))
        return;
    shadow_free_from(1, 1); /* what they leave idle is purged under the lock */
    intercept_meet(wake_other);
    malloc_trim(0);
    intercept_met();
    join(other);
}

/* ---- fork ---- */

/* In a child, which has seen failures enough if its parent has. */
static void use_child(void)
{
    alarm(CHECK_HANG_SECONDS);
    take_some((void *)3);
    shadow_check();
    malloc_trim(0);
    shadow_finish();
    _exit(0);
}

static pid_t fork_by_call(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static void in_child_by(pid_t (*make_child)(void), void (*run)(void))
{
    pid_t child = make_child();
    if (child == 0)
        run();
    check_child(child);
}

static void use_grandchild(void)
{
    take_some((void *)5);
    in_child_by(fork, use_child);
    use_child();
}

/* Children of a process of one thread, with handlers and without. */
static void children(void)
{
    in_child_by(fork, use_child); /* before the first block */
    take_some((void *)1);
    in_child_by(fork, use_grandchild);
    in_child_by(_Fork, use_child);
    in_child_by(fork_by_call, use_grandchild);
    take_some((void *)2);
}

/* Children that lose a thread, whose arena is rebuilt and adopted. */
static void lost_thread(void)
{
    pthread_t sleeper;
    CHECK(sem_init(&turn, 0, 0) == 0 && sem_init(&turn_back, 0, 0) == 0);
    take_some((void *)1);
    if (!start_on(0, &sleeper, sleep_with_blocks, NULL))
        return;
    let_go_on();
    shadow_free_from(0, 2);
    in_child_by(fork, use_child);
    in_child_by(fork_by_call, use_grandchild);
    let_go_on();
    let_go_on();
    join(sleeper);
}

/* ---- the background thread ---- */

/* Gives the background thread time. What it does is not looked at. */
static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void background(void)
{
    for (int i = 0; i < 3; i++) {
        take_some((void *)1);
        shadow_free_from(0, 1);
        intercept_pass_ms(1001);
        acre_thread_flush();
        shadow_malloc(3 * CHECK_MIB);
        sleep_ms(2);
    }
    in_child_by(fork, use_child);
    CHECK(acre_option_set("background_thread", "0") == 0);
    sleep_ms(2);
}

const struct scenario scenarios_together[] = {
    {"ended_threads", NULL, ended_threads, false},
    {"remote_frees", NULL, remote_frees, false},
    {"held_lock", NULL, held_lock, false},
    {"children", NULL, children, false},
    {"lost_thread", NULL, lost_thread, false},
    {"background", "background_thread:1,decay:20", background, true},
    {NULL, NULL, NULL, false},
};
