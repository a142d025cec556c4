/*
 * The end of a process while its threads allocate: exit() at any moment, pthread_exit from main
 * while others go on, atexit handlers that free and allocate meanwhile. A thousand processes; none
 * hangs, none crashes.
 */
#include "check.h"
#include <signal.h>
#include <time.h>

enum {
    PROCESSES = 1000,
    THREADS = 3,
    BLOCKS = 64,          /* of each thread */
    CHILD_SECONDS = 60,   /* a process that lives longer hangs */
    LONGEST_WAIT = 2000,  /* microseconds until exit is called */
    ROUNDS_ALONE = 20000, /* of each thread that goes on after main */
};

static char *of_main[BLOCKS];

static void replace(char **slot, struct random *random)
{
    size_t kind = random_below(random, 256);
    free(*slot);
    *slot = malloc(kind == 0 ? 1500000 : kind * 37 + 1);
    CHECK(*slot != NULL);
    **slot = 1;
}

static void *churn_for_ever(void *argument)
{
    static char *shared[BLOCKS]; /* atomic: blocks that threads exchange and free */
    struct random random = {(uintptr_t)argument};
    char *blocks[BLOCKS] = {NULL};
    for (;;) {
        size_t at = random_below(&random, BLOCKS);
        replace(&blocks[at], &random);
        blocks[at] = __atomic_exchange_n(&shared[at], blocks[at], __ATOMIC_ACQ_REL);
    }
    return NULL;
}

static void start(unsigned count, void *(*run)(void *))
{
    for (unsigned i = 0; i < count; i++)
        CHECK(pthread_detach(start_thread(run, (void *)(uintptr_t)(i + 1))) == 0);
}

/* An atexit handler, and a destructor of the program: what main has is freed, more is taken. */
static void use_at_exit(void)
{
    struct random random = {5};
    for (unsigned i = 0; i < BLOCKS; i++)
        replace(&of_main[i], &random);
    for (unsigned i = 0; i < BLOCKS; i++) {
        free(of_main[i]);
        of_main[i] = NULL;
    }
}

/* The process `number`: exits while its threads are at work. */
static void exit_meanwhile(unsigned number)
{
    struct timespec wait = {0, (long)(number * 7919 % LONGEST_WAIT) * 1000};
    alarm(CHILD_SECONDS);
    start(THREADS, churn_for_ever);
    if (number % 2 == 0)
        CHECK(atexit(use_at_exit) == 0);
    if (number % 3 != 0)
        nanosleep(&wait, NULL);
    exit(0);
}

/* ---- main ends first ---- */

static unsigned still_running;    /* atomic */
static pthread_barrier_t started; /* each thread has an arena: none adopts main's */
static pthread_t main_thread;

static void *churn_then_exit(void *argument)
{
    struct random random = {(uintptr_t)argument};
    char *blocks[BLOCKS] = {NULL};
    replace(&blocks[0], &random);
    pthread_barrier_wait(&started);
    for (unsigned i = 0; i < ROUNDS_ALONE; i++)
        replace(&blocks[random_below(&random, BLOCKS)], &random);
    for (unsigned i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    if (__atomic_sub_fetch(&still_running, 1, __ATOMIC_ACQ_REL) == 0) {
        /* what main left, in the arena that its end gave back */
        join(main_thread);
        use_at_exit();
        exit(0);
    }
    return NULL;
}

static void end_main_first(void)
{
    struct random random = {3};
    alarm(CHILD_SECONDS);
    for (unsigned i = 0; i < BLOCKS; i++)
        replace(&of_main[i], &random);
    still_running = THREADS;
    main_thread = pthread_self();
    CHECK(pthread_barrier_init(&started, NULL, THREADS + 1) == 0);
    start(THREADS, churn_then_exit);
    pthread_barrier_wait(&started);
    pthread_exit(NULL);
}

int main(void)
{
    check_begin();
    for (unsigned i = 0; i < PROCESSES; i++) {
        pid_t child = fork();
        if (child == 0)
            exit_meanwhile(i);
        check_child(child);
    }
    for (unsigned i = 0; i < 10; i++)
        in_child(end_main_first);
    return 0;
}
