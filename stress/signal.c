/*
 * Forks from a signal handler that interrupts a thread anywhere, in malloc and free most of all.
 * The handler does nothing but fork. The child goes on where the thread was, as its only thread, to
 * the end of the call that was interrupted; then it checks and frees all blocks that the thread
 * had, takes and frees new ones, and exits. The parent's thread waits for it at the same place.
 */
#include "common.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum {
    SLOTS = 1000,
    OPERATIONS = 5000,            /* of one round */
    CHILD_OPERATIONS = 1000,      /* of a child */
    SMALL_LIMIT = 2000,           /* bytes; sizes of most blocks are below */
    LARGE_SHARE = 100,            /* one in that many blocks may be larger */
    CHILD_SECONDS = 60,           /* a child that lives longer hangs */
    PERIOD_NANOSECONDS = 3000000, /* between two signals to a thread */
};

#define SIZE_LIMIT ((size_t)2 << 20)    /* bytes; sizes of all blocks are below */
#define FORK_MEMORY (STRESS_MEMORY / 8) /* bytes for all workers */

static timer_t timers[STRESS_THREADS_MAX];

/* Between a thread and its signal handler. */
static _Thread_local volatile sig_atomic_t
    may_fork;                              /* whether the thread's code can go on in a child */
static _Thread_local volatile pid_t child; /* of this thread; 0: none, -1: this is the child */

static void fork_here(int signal_number)
{
    int saved = errno;
    (void)signal_number;
    if (may_fork && child == 0) {
        pid_t made = fork();
        if (made < 0)
            stress_fail("fork: errno %d", errno);
        child = made == 0 ? -1 : made;
    }
    errno = saved;
}

static void replace(struct worker *worker)
{
    size_t slot = random_below(&worker->random, SLOTS);
    worker_replace(worker, slot,
                   random_size(&worker->random, SMALL_LIMIT, LARGE_SHARE, SIZE_LIMIT));
}

/* All that a child does once the interrupted call has returned. */
static void live_as_child(struct worker *worker)
{
    alarm(CHILD_SECONDS);
    table_release_from(&worker->table, 0);
    for (int i = 0; i < CHILD_OPERATIONS; i++)
        replace(worker);
    table_release_from(&worker->table, 0);
    _exit(0);
}

/* What the handler's fork left to do for parent and child. */
static void settle(struct worker *worker)
{
    if (child == 0)
        return;
    if (child < 0)
        live_as_child(worker);
    stress_wait_for(child);
    child = 0;
}

/* Makes the timer that sends SIGUSR1 to this thread. */
static void start(struct worker *worker)
{
    timer_t *timer = &timers[worker->number];
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct itimerspec period = {.it_interval = {.tv_nsec = PERIOD_NANOSECONDS},
                                .it_value = {.tv_nsec = PERIOD_NANOSECONDS}};
    event._sigev_un._tid = gettid(); /* glibc 2.36 has no other name for it */
    if (timer_create(CLOCK_MONOTONIC, &event, timer) != 0 ||
        timer_settime(*timer, 0, &period, NULL) != 0)
        stress_fail("timer: errno %d", errno);
}

static void round_of(struct worker *worker, unsigned long round)
{
    (void)round;
    may_fork = 1;
    for (int i = 0; i < OPERATIONS; i++) {
        replace(worker);
        settle(worker);
    }
    may_fork = 0;
    settle(worker);
}

static void finish(struct worker *worker)
{
    timer_delete(timers[worker->number]);
}

int main(int argc, char **argv)
{
    static const struct program program = {.name = "signal",
                                           .slots = SLOTS,
                                           .memory = FORK_MEMORY,
                                           .start = start,
                                           .round = round_of,
                                           .finish = finish};
    struct sigaction action = {.sa_handler = fork_here, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    return stress_main(&program, argc, argv);
}
