/*
 * Idle memory goes back to the system while the threads that freed it, or to which it was freed,
 * sleep: by malloc_trim, by any thread's slow path, and by the background thread without a call.
 * Each case is this program started again with its options, and looks at its resident size.
 */
#include "check.h"
#include <acre/acre.h>
#include <fcntl.h>
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
static pthread_barrier_t filled, counted, freed, measured, again;
static size_t before; /* resident bytes at the start */

/* Resident bytes, found out without a call to the allocator. */
static size_t resident(void)
{
    char text[128] = "";
    int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    CHECK(statm >= 0 && read(statm, text, sizeof(text) - 1) > 0);
    close(statm);
    return strtoul(strchr(text, ' '), NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

static void start(void)
{
    pthread_barrier_init(&filled, NULL, THREADS + 1);
    pthread_barrier_init(&counted, NULL, THREADS + 1);
    pthread_barrier_init(&freed, NULL, THREADS + 1);
    pthread_barrier_init(&measured, NULL, THREADS + 1);
    pthread_barrier_init(&again, NULL, THREADS + 1);
    memset(blocks, 0, sizeof(blocks)); /* its pages do not count */
    before = resident();
}

static void take(unsigned thread)
{
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[thread][i] = malloc(BLOCK);
        CHECK(blocks[thread][i] != NULL);
        fill(blocks[thread][i], BLOCK, i);
    }
}

static void give(unsigned thread)
{
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK(is_filled(blocks[thread][i], BLOCK, i));
        free(blocks[thread][i]);
    }
}

/* A thread that allocates, frees if `own`, sleeps, and does it again. */
struct sleeper {
    pthread_t thread;
    unsigned number;
    bool own;
};

static void *run_sleeper(void *argument)
{
    struct sleeper *sleeper = argument;
    take(sleeper->number);
    pthread_barrier_wait(&filled);
    pthread_barrier_wait(&counted);
    if (sleeper->own)
        give(sleeper->number);
    pthread_barrier_wait(&freed);
    pthread_barrier_wait(&measured);
    take(sleeper->number);
    pthread_barrier_wait(&again);
    give(sleeper->number);
    return NULL;
}

/* Waits until little more is resident than at the start, with a call of `nudge` in between. */
static void wait_for_return(void (*nudge)(void))
{
    unsigned looks = 0;
    while (resident() > before + BOUND) {
        if (++looks > PATIENCE)
            fprintf(stderr, "%zu MiB are still resident\n", (resident() - before) / CHECK_MIB);
        CHECK(looks <= PATIENCE);
        if (nudge != NULL)
            nudge();
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}

/* The sleepers' memory is freed, by themselves or by the main thread, and comes back. */
static void with_sleepers(bool own, void (*nudge)(void))
{
    static struct sleeper sleepers[THREADS];
    struct acre_stats first, second;
    start();
    for (unsigned i = 0; i < THREADS; i++) {
        sleepers[i] = (struct sleeper){.number = i, .own = own};
        CHECK(pthread_create(&sleepers[i].thread, NULL, run_sleeper, &sleepers[i]) == 0);
    }
    pthread_barrier_wait(&filled);
    CHECK(resident() >= before + IDLE);
    CHECK(acre_stats(&first, sizeof(first)) == 0);
    pthread_barrier_wait(&counted);
    for (unsigned i = 0; i < THREADS && !own; i++)
        give(i);
    pthread_barrier_wait(&freed);
    wait_for_return(nudge);
    pthread_barrier_wait(&measured);
    pthread_barrier_wait(&again);
    /* what was freed to them serves again, and nothing of it is lost */
    CHECK(resident() >= before + IDLE);
    CHECK(acre_stats(&second, sizeof(second)) == 0);
    CHECK(second.heap_in_slabs <= first.heap_in_slabs + BOUND);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_join(sleepers[i].thread, NULL) == 0);
}

static void trim(void)
{
    malloc_trim(0);
}

/* A slow path: a block with pages of its own. */
static void allocate(void)
{
    free(hide(malloc(2 * CHECK_MIB)));
}

/* A slow path of a thread that only frees: blocks of another one. */
static void *lent[2 * CHECK_MIB / BLOCK];

static void *lend(void *unused)
{
    for (size_t i = 0; i < sizeof(lent) / sizeof(lent[0]); i++)
        lent[i] = malloc(BLOCK);
    return unused;
}

static void free_for_others(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, lend, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    for (size_t i = 0; i < sizeof(lent) / sizeof(lent[0]); i++)
        free(lent[i]);
}

static void own_trim(void)
{
    with_sleepers(true, trim);
}

static void own_slow_path(void)
{
    with_sleepers(true, allocate);
}

static void own_remote_frees(void)
{
    with_sleepers(true, free_for_others);
}

static void others_trim(void)
{
    with_sleepers(false, trim);
}

static void others_slow_path(void)
{
    with_sleepers(false, allocate);
}

static void own_background(void)
{
    with_sleepers(true, NULL);
}

static void others_background(void)
{
    with_sleepers(false, NULL);
}

/* A child, which has no other thread, frees what it inherited. */
static void child_background(void)
{
    start();
    for (unsigned i = 0; i < THREADS; i++)
        take(i);
    pid_t child = fork();
    if (child == 0) {
        for (unsigned i = 0; i < THREADS; i++)
            give(i);
        wait_for_return(NULL);
        _exit(0);
    }
    check_child(child);
    for (unsigned i = 0; i < THREADS; i++)
        give(i);
    wait_for_return(NULL);
}

static void *end_late(void *unused)
{
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    free(hide(malloc(100)));
    return unused;
}

/* The process ends when its last thread does, though it is not the main one. */
static void last_thread_background(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, end_late, NULL) == 0);
    CHECK(pthread_detach(thread) == 0);
    free(hide(malloc(50 * CHECK_MIB)));
    pthread_exit(NULL);
}

/* So it does when main returns, though something is idle. */
static void exit_background(void)
{
    start();
    take(0);
    give(0);
}

#define FAST "decay:100"
#define BACKGROUND "decay:100,background_thread:1"

static const struct {
    const char *name, *options;
    void (*run)(void);
} cases[] = {
    {"own, trim", "decay:3600000", own_trim},
    {"own, slow path", FAST, own_slow_path},
    {"own, remote frees", FAST, own_remote_frees},
    {"own, background", BACKGROUND, own_background},
    {"others', trim", "decay:3600000", others_trim},
    {"others', slow path", FAST, others_slow_path},
    {"others', background", BACKGROUND, others_background},
    {"child, background", BACKGROUND, child_background},
    {"last thread, background", BACKGROUND, last_thread_background},
    {"exit, background", "decay:3600000,background_thread:1", exit_background},
};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

int main(int argc, char **argv)
{
    check_begin();
    if (argc == 2) {
        cases[atoi(argv[1])].run();
        return 0;
    }
    for (int i = 0; i < CASES; i++) {
        pid_t child = fork();
        if (child == 0) {
            char number[16];
            snprintf(number, sizeof(number), "%d", i);
            setenv("ACRE_OPTIONS", cases[i].options, 1);
            execl("/proc/self/exe", argv[0], number, (char *)NULL);
            _exit(127);
        }
        fprintf(stderr, "%s\n", cases[i].name);
        check_child(child);
    }
    return 0;
}
