/*
 * Forks where they are least expected: from constructors and from the executable's preinit
 * function, before acre's own constructor may have run, by a process that has a second thread; and
 * down a line of children of children. Each child uses what
 * it has inherited, takes more, and gives all back.
 */
#include "check.h"
#include "stats.h"
#include <malloc.h>
#include <semaphore.h>

enum {
    DEPTH = 20,
    ROUNDS = 20, /* of a thread */
    BLOCKS = 60, /* that each generation adds and each one inherits */
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

static void take_set(struct set *set, unsigned seed)
{
    set->seed = seed;
    for (unsigned i = 0; i < BLOCKS; i++)
        set->blocks[i] = take(size_of(i), seed + i);
}

static void give_set(struct set *set)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        give(set->blocks[i], size_of(i), set->seed + i);
}

static void *take_and_give(void *seed)
{
    struct set set;
    for (unsigned i = 0; i < ROUNDS; i++) {
        take_set(&set, (unsigned)(uintptr_t)seed + i);
        give_set(&set);
    }
    return NULL;
}

/* A new thread and this one at the same time. */
static void use_two_threads(unsigned seed)
{
    pthread_t thread = start_thread(take_and_give, (void *)(uintptr_t)seed);
    take_and_give((void *)(uintptr_t)(seed + 1));
    join(thread);
}

/* In each generation a thread is lost, with its arena; the child frees its blocks. */
static sem_t held;

static void *hold(void *set)
{
    take_set(set, 77);
    sem_post(&held);
    sleep_for_ever();
}

static void start_holder(struct set *set)
{
    CHECK(sem_init(&held, 0, 0) == 0);
    start_thread(hold, set);
    while (sem_wait(&held) != 0)
        continue;
}

/* ---- before main ---- */

static struct set early, of_holder;
static unsigned early_forks;

/* The lost thread's arena is noticed, and its blocks can be freed, at whatever stage the process
 * is. */
static void live_early(unsigned seed)
{
    alarm(CHILD_SECONDS);
    malloc_trim(0); /* looks into the pool */
    struct acre_stats stats = stats_now();
    CHECK(stats.arenas_pooled == stats.arenas - 1);
    give_set(&of_holder);
    take_and_give((void *)(uintptr_t)seed);
    use_two_threads(seed + 1);
    pid_t grandchild = fork();
    give_set(&early);
    use_two_threads(seed + 2);
    if (grandchild != 0)
        check_child(grandchild);
    _exit(0);
}

static void fork_early(unsigned seed)
{
    if (early_forks++ == 0) {
        start_holder(&of_holder);
        take_set(&early, 1);
    }
    pid_t child = fork();
    if (child == 0)
        live_early(seed);
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
    start_holder(&of_holder);
    take_set(&early, 7);
    fork_early(300);
    give_set(&early);
}

/* ---- one below the other ---- */

/* The sets stand on the stacks of all generations; the last one frees them all. */
static void descend(struct set *sets, int depth, size_t live)
{
    alarm(CHILD_SECONDS);
    CHECK(live_blocks() == live);
    if (depth == DEPTH) {
        for (int i = 0; i < 2 * DEPTH; i++)
            give_set(&sets[i]);
        use_two_threads(5);
        CHECK(live_blocks() <= live - (size_t)2 * DEPTH * BLOCKS + 1); /* 1: libc's, of a thread */
        return;
    }
    take_set(&sets[2 * depth], (unsigned)depth);
    start_holder(&sets[2 * depth + 1]);
    live = live_blocks();
    pid_t child = fork();
    if (child == 0) {
        descend(sets, depth + 1, live);
        _exit(0);
    }
    check_child(child);
    /* the one thread is still there here: its blocks are freed remotely */
    for (int i = 0; i < 2 * depth + 2; i++)
        give_set(&sets[i]);
    if (depth > 0)
        _exit(0);
}

int main(void)
{
    static struct set sets[2 * DEPTH];
    check_begin();
    CHECK(early_forks == 2);
    give_set(&early);
    give_set(&of_holder);
    descend(sets, 0, live_blocks());
    return 0;
}
