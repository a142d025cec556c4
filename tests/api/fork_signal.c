/*
 * fork from a signal handler that interrupted malloc or free, at whatever instruction. The child
 * returns from the handler, completes the call that was interrupted, and goes on allocating.
 */
#include "check.h"
#include <signal.h>
#include <time.h>

enum {
    FORKS = 300,
    INTERVAL = 700000, /* nanoseconds between signals */
    SLOTS = 300,
    CHILD_ROUNDS = 3000,
};

/* A live block and how it is filled. */
struct slot {
    char *block;
    size_t size;
    unsigned seed;
};

static struct slot slots[SLOTS];
static volatile sig_atomic_t is_child, forks, failures;

static void fork_in_handler(int signal_number)
{
    int saved = errno;
    (void)signal_number;
    if (is_child || forks >= FORKS)
        return;
    forks++;
    pid_t child = fork();
    if (child == 0) {
        is_child = 1;
    } else {
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            failures++;
    }
    errno = saved;
}

/* Replaces the block of one slot; contents of the old one must be as they were written. */
static void replace_one(uint64_t *random)
{
    struct slot *slot = &slots[next_random(random) % SLOTS];
    unsigned kind = next_random(random) % 200;
    if (slot->block != NULL)
        CHECK(is_filled(slot->block, slot->size < 256 ? slot->size : 256, slot->seed));
    free(slot->block);
    slot->size = kind < 180 ? 1 + kind * 3 : kind < 199 ? kind * 100 : 1200000;
    slot->seed = next_random(random);
    slot->block = malloc(slot->size);
    CHECK(slot->block != NULL);
    fill(slot->block, slot->size < 256 ? slot->size : 256, slot->seed);
}

static bool stop; /* atomic, relaxed */

static void *allocate_meanwhile(void *unused)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        free(hide(malloc(64)));
        free(hide(malloc(1200000)));
    }
    return unused;
}

/* Sends SIGUSR1 to the process at each interval. */
static timer_t start_timer(void)
{
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec times = {{0, INTERVAL}, {0, INTERVAL}};
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    CHECK(timer_settime(timer, 0, &times, NULL) == 0);
    return timer;
}

/* The timer's signal must reach the main thread only. */
static pthread_t start_thread(void)
{
    pthread_t thread;
    sigset_t timer_only, before;
    sigemptyset(&timer_only);
    sigaddset(&timer_only, SIGUSR1);
    CHECK(pthread_sigmask(SIG_BLOCK, &timer_only, &before) == 0);
    CHECK(pthread_create(&thread, NULL, allocate_meanwhile, NULL) == 0);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return thread;
}

int main(void)
{
    uint64_t random = 3;
    struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};
    check_begin();
    pthread_t thread = start_thread();
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    timer_t timer = start_timer();
    while (forks < FORKS && !is_child)
        replace_one(&random);
    if (is_child) {
        for (int i = 0; i < CHILD_ROUNDS; i++)
            replace_one(&random);
        _exit(0);
    }
    CHECK(timer_delete(timer) == 0);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(failures == 0);
    return 0;
}
