/*
 * The background thread: see background.h. Between two looks it sleeps on one of two futexes: on
 * `ended` with a time limit while something is idle, else on `bell` without one.
 *
 * No ring is lost: the thread sets the bell QUIET before it looks at what is idle, and sleeps
 * without a limit only if it is still QUIET then. A thread that makes memory idle rings after it.
 */
#define _GNU_SOURCE 1
#include "arena/background.h"

#include "arena/idle.h"
#include "base/fork.h"
#include "base/lock.h"
#include "base/os.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>

enum {
    STACK_SIZE = 256 << 10, /* bytes; where it is the last thread, exit handlers run on it */
    SHORTEST_SLEEP = 10,    /* ms */
    LAST_SLEEPS = 200,      /* ms, at most, when the process may end */
    SLEEPS_PER_DECAY = 2,
    ALONE = 2, /* threads: this one and a main thread that has ended */
};

enum bell { BELL_QUIET, BELL_ASLEEP, BELL_RUNG };

static struct {
    struct lock lock; /* held while the thread works */
    uint32_t started; /* fork generation, plus 1, in which it was started last, 0: it is not there;
                         any thread, atomic */
    uint32_t bell;    /* enum bell; any thread, atomic: see above */
    uint32_t ended;   /* 1: background_stop was called; futex; any thread, relaxed */
    uint32_t main_ended; /* fork generation, plus 1, in which the main thread ended, 0: it has not;
                            any thread, relaxed */
    sigset_t mask;       /* signals that were blocked in the thread that started it */
} background = {.lock = {.rank = LOCK_RANK_BACKGROUND}};

static uint32_t flag_load(const uint32_t *flag)
{
    return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

static void flag_store(uint32_t *flag, uint32_t value)
{
    __atomic_store_n(flag, value, __ATOMIC_RELAXED);
}

/* ---- the thread ---- */

/* Gives back what is due. False if nothing is idle. */
static bool work(void)
{
    bool idle = false;
    /* nothing is derived from anything under this lock: nothing to rebuild */
    lock_acquire(&background.lock);
    if (!flag_load(&background.ended))
        idle = idle_tick_all(os_now_ms());
    lock_release(&background.lock);
    return idle;
}

static bool main_has_ended(void)
{
    return flag_load(&background.main_ended) == fork_generation() + 1;
}

/* True if the process would have ended without this thread. */
static bool is_alone(void)
{
    return main_has_ended() && os_threads() <= ALONE;
}

static bool goes_on(void)
{
    return option_value(OPTION_BACKGROUND_THREAD) != 0 && !flag_load(&background.ended);
}

static void sleep_until_rung(void)
{
    uint32_t quiet = BELL_QUIET;
    if (!__atomic_compare_exchange_n(&background.bell, &quiet, BELL_ASLEEP, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return;
    while (__atomic_load_n(&background.bell, __ATOMIC_RELAXED) == BELL_ASLEEP)
        os_wait(&background.bell, BELL_ASLEEP, 0);
}

static void sleep_a_while(void)
{
    uint64_t ms = max_size(option_value(OPTION_DECAY) / SLEEPS_PER_DECAY, SHORTEST_SLEEP);
    if (main_has_ended())
        ms = min_size(ms, LAST_SLEEPS);
    os_wait(&background.ended, 0, (unsigned)ms);
}

static void *run(void *unused)
{
    os_name_thread("acre");
    while (goes_on()) {
        /* seq_cst and fence: who finds the bell QUIET after it rings it again, and what others did
         * before they rang it is seen */
        __atomic_exchange_n(&background.bell, BELL_QUIET, __ATOMIC_SEQ_CST);
        fence_full();
        bool idle = work();
        if (is_alone()) {
            /* the C library calls exit in this thread then; none is started again, since the main
             * thread may still be on its way out */
            pthread_sigmask(SIG_SETMASK, &background.mask, NULL);
            return unused;
        }
        if (idle || main_has_ended())
            sleep_a_while();
        else
            sleep_until_rung();
    }
    __atomic_store_n(&background.started, 0, __ATOMIC_RELEASE);
    return unused;
}

/* ---- starting and ending ---- */

/* Creates the thread, all of whose signals are blocked, as the caller's are now. A refusal by the
 * system is not reported: then slow paths alone give memory back. */
static void create(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    int error = pthread_create(&thread, &attributes, run, NULL);
    if (error == EINVAL) {
        /* the program's thread-local data alone are larger */
        pthread_attr_destroy(&attributes);
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        (void)pthread_create(&thread, &attributes, run, NULL);
    }
    pthread_attr_destroy(&attributes);
}

/*
 * What is lost in a fork while it starts is started again in the child, whose generation is
 * another. Signals are blocked meanwhile: a handler that forks would find it half started. Where
 * the system refuses a thread, none is tried again in this process.
 */
static void start(void)
{
    sigset_t all, mask;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    uint32_t started = __atomic_load_n(&background.started, __ATOMIC_ACQUIRE);
    if (started != fork_generation() + 1 && !flag_load(&background.ended) &&
        __atomic_compare_exchange_n(&background.started, &started, fork_generation() + 1, false,
                                    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        background.mask = mask;
        flag_store(&background.bell, BELL_QUIET);
        create();
    }
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

void background_start(void)
{
    if (option_value(OPTION_BACKGROUND_THREAD) != 0)
        start();
}

void background_ring_now(void)
{
    int saved = errno;
    if (UNLIKELY(flag_load(&background.started) != fork_generation() + 1))
        start();
    /* what has become idle is seen before the bell is */
    fence_full();
    if (flag_load(&background.bell) != BELL_RUNG &&
        __atomic_exchange_n(&background.bell, BELL_RUNG, __ATOMIC_SEQ_CST) == BELL_ASLEEP)
        os_wake(&background.bell, 1);
    errno = saved;
}

void background_thread_ends(void)
{
    if (option_value(OPTION_BACKGROUND_THREAD) == 0 || !os_is_main_thread())
        return;
    flag_store(&background.main_ended, fork_generation() + 1);
    background_ring_now();
    os_wake(&background.ended, 1);
}

void background_stop(void)
{
    flag_store(&background.ended, 1);
    if (flag_load(&background.started) != fork_generation() + 1)
        return;
    lock_acquire(&background.lock);
    lock_release(&background.lock);
    background_ring_now();
    os_wake(&background.ended, 1);
}
