/*
 * Threads end and leave blocks, which others free later: the memory goes back to the system without
 * anybody adopting the arenas of those threads, and without malloc_trim. Freed by main and by
 * several threads at once. The same in a child of fork, whose only thread frees what the threads
 * had that do not exist in it.
 */
#include "check.h"
#include "smaps.h"
#include <acre/acre.h>

enum {
    THREADS = 8,
    FREEING = 4,              /* threads that free at once */
    BLOCKS = 6000,            /* of each thread */
    LEFT = 12 << 20,          /* bytes that each thread leaves, at least */
    KEPT_EACH = (1 << 20) * 2 /* bytes that may stay for each arena: what was freed since somebody
                                 last looked (1 MiB), and half used slabs and headers */
};

static char *blocks[THREADS][BLOCKS];

static size_t size_of(size_t block)
{
    return block % 100 == 0 ? 30000 : 100 + block * 37 % 4000;
}

static void *allocate(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[self][i] = malloc(size_of(i));
        CHECK(blocks[self][i] != NULL);
        fill(blocks[self][i], size_of(i), (unsigned)(self + i));
    }
    return NULL;
}

/* Frees each `step`-th block of all threads, beginning with block `first`. */
static void free_share(size_t first, size_t step)
{
    for (size_t thread = 0; thread < THREADS; thread++)
        for (size_t i = first; i < BLOCKS; i += step) {
            CHECK(is_filled(blocks[thread][i], size_of(i), (unsigned)(thread + i)));
            free(blocks[thread][i]);
        }
}

static void *free_in_thread(void *argument)
{
    free_share((size_t)(uintptr_t)argument, FREEING);
    return NULL;
}

/* Runs `count` threads at once and waits for them. */
static void run_at_once(size_t count, void *(*run)(void *))
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)i) == 0);
    for (size_t i = 0; i < count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* Threads that free give no arena away: they need one only when they allocate. */
static void test(bool by_threads)
{
    struct acre_stats stats;
    size_t before = smaps_resident();
    run_at_once(THREADS, allocate);
    size_t full = smaps_resident();
    CHECK(full >= before + (size_t)THREADS * LEFT);
    CHECK(acre_stats(&stats, sizeof(stats)) == 0);
    size_t pooled = stats.arenas_pooled;
    CHECK(pooled >= 1);
    if (by_threads)
        run_at_once(FREEING, free_in_thread);
    else
        free_share(0, 1);
    size_t after = smaps_resident();
    CHECK(acre_stats(&stats, sizeof(stats)) == 0);
    fprintf(stderr,
            "MiB resident: %zu before, %zu with the blocks of %zu ended threads, %zu when %s freed "
            "them\n",
            before / CHECK_MIB, full / CHECK_MIB, pooled, after / CHECK_MIB,
            by_threads ? "threads" : "main");
    CHECK(stats.arenas_pooled >= pooled);
    CHECK(after <= before + (size_t)THREADS * KEPT_EACH);
}

static pthread_barrier_t allocated, finished;

static void *allocate_and_wait(void *argument)
{
    allocate(argument);
    pthread_barrier_wait(&allocated);
    pthread_barrier_wait(&finished);
    return NULL;
}

/* Nothing is allocated in the child, so nothing is adopted. */
static void test_in_child(void)
{
    pthread_t threads[THREADS];
    size_t before = smaps_resident();
    CHECK(pthread_barrier_init(&allocated, NULL, THREADS + 1) == 0);
    CHECK(pthread_barrier_init(&finished, NULL, THREADS + 1) == 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, allocate_and_wait, (void *)(uintptr_t)i) == 0);
    pthread_barrier_wait(&allocated);
    pid_t child = fork();
    if (child == 0) {
        size_t full = smaps_resident();
        free_share(0, 1);
        size_t after = smaps_resident();
        fprintf(stderr, "MiB resident: %zu before, %zu in a child, %zu when it freed all\n",
                before / CHECK_MIB, full / CHECK_MIB, after / CHECK_MIB);
        CHECK(full >= before + (size_t)THREADS * LEFT);
        CHECK(after <= before + (size_t)THREADS * KEPT_EACH);
        _exit(0);
    }
    check_child(child);
    pthread_barrier_wait(&finished);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    free_share(0, 1);
}

int main(void)
{
    check_begin();
    free(hide(malloc(1)));
    test(false);
    test(true);
    test_in_child();
    return 0;
}
