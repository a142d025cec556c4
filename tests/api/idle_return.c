/*
 * Idle memory goes back to the system while the threads that freed it, or to which it was freed,
 * sleep or have ended: by any thread's slow path, by the background thread, and, where the threads
 * have ended, by the frees themselves. Each case is this program started again with its options,
 * and looks at its resident size.
 */
#include "check.h"
#include "smaps.h"
#include "stats.h"
#include <malloc.h>
#include <time.h>

enum {
    THREADS = 4,
    BLOCK = 1024,    /* bytes */
    COUNT = 16384,   /* blocks of each thread: 64 MiB in all */
    PATIENCE = 2000, /* looks, a tenth of a second apart: after that it hangs */
};

#define IDLE ((size_t)THREADS * COUNT * BLOCK)
#define BOUND (8 * CHECK_MIB)

static char *blocks[THREADS][COUNT];
static pthread_barrier_t barrier;
static size_t before; /* resident bytes at the start */

static void start(void)
{
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS + 1) == 0);
    memset(blocks, 0, sizeof(blocks)); /* its pages do not count */
    before = smaps_resident();
}

static void *take_all(void *thread)
{
    for (unsigned i = 0; i < COUNT; i++)
        blocks[(uintptr_t)thread][i] = take(BLOCK, i);
    return NULL;
}

static void *give_all(void *thread)
{
    for (unsigned i = 0; i < COUNT; i++)
        give(blocks[(uintptr_t)thread][i], BLOCK, i);
    return NULL;
}

static void for_all(void *(*run)(void *))
{
    for (uintptr_t i = 0; i < THREADS; i++)
        run((void *)i);
}

/* Waits until little more is resident than at the start, with a call of `nudge` in between. */
static void wait_for_return(void (*nudge)(void))
{
    for (unsigned looks = 0; smaps_resident() > before + BOUND; looks++) {
        CHECK(looks < PATIENCE);
        if (nudge != NULL)
            nudge();
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}

/* ---- threads that sleep ---- */

static bool by_main; /* the main thread frees the blocks; else the sleepers, or new threads */

static void *sleeper(void *self)
{
    take_all(self);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* the main thread has looked */
    if (!by_main)
        give_all(self);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* the memory is back */
    take_all(self);
    pthread_barrier_wait(&barrier);
    return give_all(self);
}

/* The sleepers' memory goes back, then they take as much again. */
static void with_sleepers(void (*nudge)(void))
{
    pthread_t threads[THREADS];
    start();
    start_threads(threads, THREADS, sleeper);
    pthread_barrier_wait(&barrier);
    CHECK(smaps_resident() >= before + IDLE);
    size_t in_slabs = stats_now().heap_in_slabs;
    pthread_barrier_wait(&barrier);
    if (by_main)
        for_all(give_all);
    pthread_barrier_wait(&barrier);
    wait_for_return(nudge);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    /* what was freed to them serves again, and nothing of it is lost */
    CHECK(smaps_resident() >= before + IDLE);
    CHECK(stats_now().heap_in_slabs <= in_slabs + BOUND);
    join_threads(threads, THREADS);
}

/* A slow path: a block with pages of its own. */
static void allocate(void)
{
    free(hide(malloc(2 * CHECK_MIB)));
}

static void slow_path(void)
{
    with_sleepers(allocate);
}

static void background(void)
{
    with_sleepers(NULL);
}

/* ---- threads that have ended ---- */

static void ended(void)
{
    pthread_t threads[THREADS];
    start();
    start_threads(threads, THREADS, take_all);
    join_threads(threads, THREADS);
    size_t pooled = stats_now().arenas_pooled;
    CHECK(smaps_resident() >= before + IDLE && pooled != 0);
    if (by_main) {
        for_all(give_all);
    } else {
        start_threads(threads, THREADS, give_all);
        join_threads(threads, THREADS);
    }
    CHECK(stats_now().arenas_pooled >= pooled); /* nobody has adopted one */
    CHECK(smaps_resident() <= before + BOUND);
}

static void *take_and_sleep(void *self)
{
    take_all(self);
    pthread_barrier_wait(&barrier);
    sleep_for_ever();
}

/* A child frees what the threads had that it has not. */
static void lost(void)
{
    pthread_t threads[THREADS];
    start();
    start_threads(threads, THREADS, take_and_sleep);
    pthread_barrier_wait(&barrier);
    pid_t child = fork();
    if (child == 0) {
        CHECK(smaps_resident() >= before + IDLE);
        for_all(give_all);
        CHECK(smaps_resident() <= before + BOUND);
        _exit(0);
    }
    check_child(child);
}

/* ---- the background thread ---- */

/* A child, which has no other thread, frees what it inherited. */
static void child_background(void)
{
    start();
    for_all(take_all);
    pid_t child = fork();
    for_all(give_all);
    wait_for_return(NULL);
    if (child == 0)
        _exit(0);
    check_child(child);
}

static void *end_late(void *unused)
{
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    free(hide(malloc(100)));
    return unused;
}

/* The process ends when its last thread does, though it is not the main one. */
static void last_thread(void)
{
    CHECK(pthread_detach(start_thread(end_late, NULL)) == 0);
    free(hide(malloc(50 * CHECK_MIB)));
    pthread_exit(NULL);
}

/* So it does when main returns, though something is idle. */
static void ends_early(void)
{
    take_all(NULL);
    give_all(NULL);
}

#define NEVER "decay:3600000"
#define FAST "decay:100"
#define BACKGROUND ",background_thread:1"

static const struct {
    const char *name, *options;
    void (*run)(void);
    bool by_main;
} cases[] = {
    {"own, slow path", FAST, slow_path, false},
    {"others', slow path", FAST, slow_path, true},
    {"own, background", FAST BACKGROUND, background, false},
    {"others', background", FAST BACKGROUND, background, true},
    {"ended threads', by main", NEVER, ended, true},
    {"ended threads', by others", NEVER, ended, false},
    {"lost threads', by a child", NEVER, lost, false},
    {"child, background", FAST BACKGROUND, child_background, false},
    {"last thread, background", FAST BACKGROUND, last_thread, false},
    {"exit, background", NEVER BACKGROUND, ends_early, false},
};

int main(int argc, char **argv)
{
    check_begin();
    if (argc == 2) {
        size_t number = strtoul(argv[1], NULL, 10);
        free(hide(malloc(1)));
        by_main = cases[number].by_main;
        cases[number].run();
        return 0;
    }
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pid_t child = fork();
        if (child == 0) {
            char number[8];
            snprintf(number, sizeof(number), "%zu", i);
            setenv("ACRE_OPTIONS", cases[i].options, 1);
            start_again(number);
        }
        fprintf(stderr, "%s\n", cases[i].name);
        check_child(child);
    }
    return 0;
}
