/*
 * Forks where they are least expected: from constructors and from the executable's preinit
 * function, before acre's own constructor may have run; from several threads at the same time; and
 * down a line of children of children. Each child uses what it has inherited, takes more, and gives
 * all back.
 */
#include "check.h"
#include <acre/acre.h>

enum {
    DEPTH = 20,
    ROUNDS = 20,     /* of a thread */
    BLOCKS = 60,     /* that each generation adds and each one inherits */
    AT_ONCE = 6,     /* threads that fork at the same time */
    FORKS_EACH = 25, /* of each of them */
    CHILD_SECONDS = 200
};

struct set {
    char *blocks[BLOCKS];
    unsigned seed;
};

static size_t size_of(size_t block)
{
    return block == 0 ? 1200000 : 1 + block * block * 5;
}

static size_t filled_of(size_t block)
{
    return size_of(block) < 4096 ? size_of(block) : 4096;
}

static void take(struct set *set, unsigned seed)
{
    set->seed = seed;
    for (size_t i = 0; i < BLOCKS; i++) {
        set->blocks[i] = malloc(size_of(i));
        CHECK(set->blocks[i] != NULL);
        fill(set->blocks[i], filled_of(i), seed + (unsigned)i);
    }
}

static void give_back(struct set *set)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(is_filled(set->blocks[i], filled_of(i), set->seed + (unsigned)i));
        free(set->blocks[i]);
    }
}

static void *take_and_give_back(void *seed)
{
    struct set set;
    for (unsigned i = 0; i < ROUNDS; i++) {
        take(&set, (unsigned)(uintptr_t)seed + i);
        give_back(&set);
    }
    return NULL;
}

/* A new thread and this one at the same time. */
static void run_thread(unsigned seed)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, take_and_give_back, (void *)(uintptr_t)seed) == 0);
    take_and_give_back((void *)(uintptr_t)(seed + 1));
    CHECK(pthread_join(thread, NULL) == 0);
}

/* ---- before main ---- */

static struct set early;
static unsigned early_forks;

/* A child that allocates, starts a thread and forks, at whatever stage the process is. */
static void fork_early(unsigned seed)
{
    pid_t child;
    if (early_forks++ == 0)
        take(&early, 1);
    child = fork();
    if (child == 0) {
        alarm(CHILD_SECONDS);
        take_and_give_back((void *)(uintptr_t)seed);
        run_thread(seed + 1);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            give_back(&early);
            run_thread(seed + 2);
            _exit(0);
        }
        check_child(grandchild);
        give_back(&early);
        _exit(0);
    }
    check_child(child);
}

static void fork_in_preinit(int count, char **arguments, char **environment)
{
    (void)count, (void)arguments, (void)environment;
    fork_early(100);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const preinit)(int, char **, char **) = fork_in_preinit;

__attribute__((constructor(101))) static void fork_in_constructor(void)
{
    fork_early(200);
}

__attribute__((destructor)) static void fork_in_destructor(void)
{
    take(&early, 7);
    fork_early(300);
    give_back(&early);
}

/* ---- at the same time ---- */

static pthread_barrier_t together;

static void *fork_together(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    struct set mine;
    for (unsigned i = 0; i < FORKS_EACH; i++) {
        take(&mine, self * 1000 + i);
        pthread_barrier_wait(&together);
        pid_t child = fork();
        if (child == 0) {
            alarm(CHILD_SECONDS);
            give_back(&mine);
            take_and_give_back(argument);
            if (i % 8 == 0)
                run_thread(i);
            _exit(0);
        }
        give_back(&mine);
        check_child(child);
    }
    return NULL;
}

static void test_together(void)
{
    pthread_t threads[AT_ONCE];
    CHECK(pthread_barrier_init(&together, NULL, AT_ONCE) == 0);
    for (size_t i = 0; i < AT_ONCE; i++)
        CHECK(pthread_create(&threads[i], NULL, fork_together, (void *)(uintptr_t)i) == 0);
    for (size_t i = 0; i < AT_ONCE; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* ---- one below the other ---- */

static size_t live_blocks(void)
{
    struct acre_stats stats;
    CHECK(acre_stats(&stats, sizeof(stats)) == 0);
    return stats.small_blocks + stats.large_blocks;
}

static pthread_barrier_t ready;

/* In each generation a thread is lost, with its arena, and its blocks are freed by the child. */
static void *hold_and_wait(void *set)
{
    take(set, 77);
    pthread_barrier_wait(&ready);
    for (;;)
        pause();
    return NULL;
}

/* The sets stand on the stacks of all generations; the last one frees them all. */
static void descend(struct set *sets, int depth, size_t live)
{
    pthread_t thread;
    alarm(CHILD_SECONDS);
    CHECK(live_blocks() == live);
    if (depth == DEPTH) {
        for (int i = 0; i < 2 * DEPTH; i++)
            give_back(&sets[i]);
        run_thread(5);
        CHECK(live_blocks() <= live - (size_t)2 * DEPTH * BLOCKS + 1); /* 1: libc's, of a thread */
        return;
    }
    take(&sets[2 * depth], (unsigned)depth);
    CHECK(pthread_barrier_init(&ready, NULL, 2) == 0);
    CHECK(pthread_create(&thread, NULL, hold_and_wait, &sets[2 * depth + 1]) == 0);
    pthread_barrier_wait(&ready);
    live = live_blocks();
    pid_t child = fork();
    if (child == 0) {
        descend(sets, depth + 1, live);
        _exit(0);
    }
    check_child(child);
    /* the one thread is still there here: its blocks are freed remotely */
    for (int i = 0; i < 2 * depth + 2; i++)
        give_back(&sets[i]);
    if (depth > 0)
        _exit(0);
}

int main(void)
{
    static struct set sets[2 * DEPTH];
    check_begin();
    CHECK(early_forks == 2);
    give_back(&early);
    test_together();
    descend(sets, 0, live_blocks());
    return 0;
}
