/*
 * The background thread: see background.h. Between two looks it sleeps on the bell.
 *
 * No ring is lost: the thread sets the bell QUIET before it looks at what is idle, and sleeps
 * without a limit only if it is still QUIET then. A thread that makes memory idle rings after it.
 */
#define _GNU_SOURCE 1
#include "arena/background.h"

#include "arena/idle.h"
#include "base/fork.h"
#include "base/os.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

enum {
    STACK_LEAST = 256 << 10, /* bytes; if it is the last thread, exit handlers run on it */
    STACK_MOST = 1 << 30,
    SHORTEST_SLEEP = 10, /* ms */
    LAST_SLEEPS = 200,   /* ms, at most, when the process may end */
    SLEEPS_PER_DECAY = 2,
    ALONE = 2, /* threads: this one and a main thread that has ended */
};

enum bell {
    BELL_RUNG,   /* the thread looks again, now or when it has slept for a while */
    BELL_ASLEEP, /* it sleeps until a thread rings */
    BELL_QUIET,  /* it looks; a thread that makes memory idle now is to ring */
};

static START_DATA struct {
    uint32_t started;    /* [any, acquire and release] fork generation, plus 1, in which the thread
                            was started last; 0: it is not there */
    uint32_t bell;       /* [any, seq_cst] enum bell; futex */
    uint32_t main_ended; /* [any] fork generation, plus 1, in which the main thread ended; 0: it has
                            not */
    sigset_t mask;       /* [constant] signals that were blocked in the thread that started it */
} background;

static uint32_t flag_load(const uint32_t *flag)
{
    return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

static void flag_store(uint32_t *flag, uint32_t value)
{
    __atomic_store_n(flag, value, __ATOMIC_RELAXED);
}

/* ---- the thread ---- */

static bool main_has_ended(void)
{
    return flag_load(&background.main_ended) == fork_generation() + 1;
}

/* True if the process would have ended without this thread. */
static bool is_alone(void)
{
    return main_has_ended() && os_threads() <= ALONE;
}

static void sleep_until_rung(void)
{
    uint32_t quiet = BELL_QUIET;
    __atomic_compare_exchange_n(&background.bell, &quiet, BELL_ASLEEP, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_RELAXED);
    while (flag_load(&background.bell) == BELL_ASLEEP)
        os_wait(&background.bell, BELL_ASLEEP, 0);
}

static void sleep_a_while(void)
{
    uint64_t ms = max_size(option_value(OPTION_DECAY) / SLEEPS_PER_DECAY, SHORTEST_SLEEP);
    if (option_value(OPTION_STATS_SECONDS) != 0)
        ms = min_size(ms, option_value(OPTION_STATS_SECONDS) * 1000);
    if (main_has_ended())
        ms = min_size(ms, LAST_SLEEPS);
    flag_store(&background.bell, BELL_RUNG);
    os_wait(&background.bell, BELL_RUNG, (unsigned)ms);
}

static void *run(void *unused)
{
    os_name_thread("acre");
    while (option_value(OPTION_BACKGROUND_THREAD) != 0) {
        flag_store(&background.bell, BELL_QUIET);
        /* a thread that finds the bell QUIET after this rings again; what others made idle before
         * they found it RUNG is seen */
        fence_full();
        bool idle = idle_tick_all(os_now_ms());
        if (is_alone()) {
            /* the C library calls exit in this thread then; none is started again, since the main
             * thread may still be on its way out */
            pthread_sigmask(SIG_SETMASK, &background.mask, NULL);
            return unused;
        }
        if (idle || main_has_ended() || option_value(OPTION_STATS_SECONDS) != 0)
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
    int error = EINVAL; /* also if the program's thread-local data alone are larger */
    for (size_t size = STACK_LEAST; error == EINVAL && size <= STACK_MOST; size *= 8) {
        pthread_attr_setstacksize(&attributes, size);
        error = pthread_create(&thread, &attributes, run, NULL);
    }
    pthread_attr_destroy(&attributes);
}

/*
 * A thread that is lost in a fork while it starts is started again in the child, whose generation
 * is another. Signals are blocked meanwhile: a handler that forks would find it half started. Where
 * the system refuses a thread, none is tried again in this process.
 */
static void start(void)
{
    sigset_t all, mask;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    uint32_t started = __atomic_load_n(&background.started, __ATOMIC_ACQUIRE);
    if (started != fork_generation() + 1 &&
        __atomic_compare_exchange_n(&background.started, &started, fork_generation() + 1, false,
                                    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        background.mask = mask;
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
        os_wake(&background.bell);
    errno = saved;
}

void background_wake(void)
{
    flag_store(&background.bell, BELL_RUNG);
    os_wake(&background.bell);
}

void background_thread_ends(void)
{
    if (option_value(OPTION_BACKGROUND_THREAD) == 0 || !os_is_main_thread())
        return;
    flag_store(&background.main_ended, fork_generation() + 1);
    background_ring_now();
    os_wake(&background.bell); /* where it sleeps for a while */
}
