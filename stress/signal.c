/*
 * Forks from a signal handler that interrupts a thread anywhere, in malloc and free most of all.
 * The handler does nothing but fork. The child goes on where the thread was, as its only thread, to
 * the end of the call that was interrupted; then it checks and frees all blocks that the thread
 * had, takes and frees new ones, and exits. The parent's thread waits for it at the same place.
 */
#include "common.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
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

struct table {
    struct block block[SLOTS];
    size_t live; /* bytes of all of them */
    timer_t timer;
};

static struct table tables[STRESS_THREADS_MAX];

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

static void release(struct table *table, size_t slot)
{
    block_release_counted(&table->block[slot], &table->live);
}

static void replace(struct worker *worker, struct table *table)
{
    size_t slot = random_below(&worker->random, SLOTS);
    bool is_small = random_below(&worker->random, LARGE_SHARE) != 0;
    size_t size = random_size(&worker->random, is_small ? SMALL_LIMIT : SIZE_LIMIT);
    release(table, slot);
    if (table->live + size > FORK_MEMORY / (size_t)stress_threads())
        return;
    table->block[slot] = block_allocate(&worker->random, size);
    table->live += table->block[slot].size;
}

static void release_all(struct table *table)
{
    for (size_t slot = 0; slot < SLOTS; slot++)
        release(table, slot);
}

/* All that a child does once the interrupted call has returned. */
static void live_as_child(struct worker *worker, struct table *table)
{
    alarm(CHILD_SECONDS);
    release_all(table);
    for (int i = 0; i < CHILD_OPERATIONS; i++)
        replace(worker, table);
    release_all(table);
    _exit(0);
}

/* What the handler's fork left to do for parent and child. */
static void settle(struct worker *worker, struct table *table)
{
    int status;
    if (child == 0)
        return;
    if (child < 0)
        live_as_child(worker, table);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            stress_fail("waitpid(%d): errno %d", (int)child, errno);
    if (WIFSIGNALED(status))
        stress_fail("child %d ended by signal %d", (int)child, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        stress_fail("child %d ended with status %d", (int)child, WEXITSTATUS(status));
    child = 0;
}

/* Makes the timer that sends SIGUSR1 to this thread. */
static void start(struct worker *worker)
{
    struct table *table = &tables[worker->number];
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct itimerspec period = {.it_interval = {.tv_nsec = PERIOD_NANOSECONDS},
                                .it_value = {.tv_nsec = PERIOD_NANOSECONDS}};
    event._sigev_un._tid = gettid(); /* glibc 2.36 has no other name for it */
    if (timer_create(CLOCK_MONOTONIC, &event, &table->timer) != 0 ||
        timer_settime(table->timer, 0, &period, NULL) != 0)
        stress_fail("timer: errno %d", errno);
    worker->state = table;
}

static void round_of(struct worker *worker, unsigned long round)
{
    struct table *table = worker->state;
    (void)round;
    may_fork = 1;
    for (int i = 0; i < OPERATIONS; i++) {
        replace(worker, table);
        settle(worker, table);
    }
    may_fork = 0;
    settle(worker, table);
}

static void finish(struct worker *worker)
{
    struct table *table = worker->state;
    timer_delete(table->timer);
    release_all(table);
}

int main(int argc, char **argv)
{
    static const struct program program = {
        .name = "signal", .start = start, .round = round_of, .finish = finish};
    struct sigaction action = {.sa_handler = fork_here, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    return stress_main(&program, argc, argv);
}
