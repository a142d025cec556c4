/*
 * fork_cost: what a fork costs in a process with many threads.
 *
 *     fork_cost [THREADS [FORKS]]   default: 1000 threads, 200 forks
 *
 * Each thread holds blocks and sleeps. The child calls _exit at once, and the parent waits for it.
 * The figures are the lowest and the median over all forks of the CPU time of the call of fork, of
 * the CPU time of parent and child until the child is gone, and of the wall time until then. The
 * program is linked with no allocator: preload one, and compare with what it costs without.
 */
#include "common.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    DEFAULT_THREADS = 1000,
    DEFAULT_FORKS = 200,
    BLOCKS = 100,      /* of each thread */
    STACK = 128 * KIB, /* bytes, of each thread */
    WARM_FORKS = 10,   /* that are not counted */
};

static pthread_barrier_t holding;

static void *hold(void *argument)
{
    struct rng rng = rng_make((uintptr_t)argument);
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = rng_size(&rng);
        memset(need(malloc(size)), 1, size);
    }
    pthread_barrier_wait(&holding);
    for (;;)
        pause();
    return NULL;
}

/* What one fork costs, in microseconds. */
struct cost {
    double call;       /* CPU time of the call of fork */
    double whole_cpu;  /* CPU time of it all, that of the child included */
    double whole_wall; /* wall time of it all */
};

static double time_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Forks once and waits for the child, which ends at once. */
static struct cost fork_once(void)
{
    struct cost cost;
    struct rusage used;
    int status;
    double wall = time_of(CLOCK_MONOTONIC), cpu = time_of(CLOCK_THREAD_CPUTIME_ID);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (child < 0)
        die("cannot fork");
    cost.call = time_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
    if (wait4(child, &status, 0, &used) != child || status != 0)
        die("a child failed");
    cost.whole_wall = time_of(CLOCK_MONOTONIC) - wall;
    cost.whole_cpu = time_of(CLOCK_THREAD_CPUTIME_ID) - cpu +
                     (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
                     (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    return cost;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Prints the lowest and the median of the times at `member` of each cost. */
static void report_times(const char *name, const struct cost *costs, size_t count, size_t member)
{
    double *times = table_make(count * sizeof *times);
    char text[64];
    for (size_t i = 0; i < count; i++)
        times[i] = *(const double *)((const char *)&costs[i] + member);
    qsort(times, count, sizeof *times, compare);
    snprintf(text, sizeof text, "%s-lowest", name);
    report(text, times[0], "us");
    snprintf(text, sizeof text, "%s-median", name);
    report(text, times[count / 2], "us");
    table_free(times, count * sizeof *times);
}

static void start_threads(size_t count)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_barrier_init(&holding, NULL, (unsigned)count + 1);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    for (size_t i = 0; i < count; i++)
        if (pthread_create(&thread, &attributes, hold, (void *)i))
            die("cannot create a thread");
    pthread_barrier_wait(&holding);
}

int main(int argc, char **argv)
{
    size_t threads = argc > 1 ? parse_count(argv[1]) : DEFAULT_THREADS;
    size_t forks = argc > 2 ? parse_count(argv[2]) : DEFAULT_FORKS;
    struct cost *costs = table_make(forks * sizeof *costs);

    start_threads(threads);
    for (size_t i = 0; i < WARM_FORKS; i++)
        fork_once();
    for (size_t i = 0; i < forks; i++)
        costs[i] = fork_once();
    report_times("fork-cpu", costs, forks, offsetof(struct cost, call));
    report_times("fork-exit-wait-cpu", costs, forks, offsetof(struct cost, whole_cpu));
    report_times("fork-exit-wait-wall", costs, forks, offsetof(struct cost, whole_wall));
    report("resident", (double)resident_now() / MIB, "MiB");
    return 0;
}
