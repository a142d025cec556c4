/*
 * 2000 threads alive at once, twice, each with blocks of its own; neighbours free each other's.
 * When all have ended no block of theirs is live, there is an arena for each of those that were
 * alive at once, and all of these arenas are in the pool: the second 2000 have adopted them.
 */
#include "check.h"
#include "stats.h"
#include <sys/mman.h>

enum {
    THREADS = 2000,
    BLOCKS = 12,
    STACK = 128 << 10, /* bytes: the least that arm64 allows */
};

static char *blocks[THREADS][BLOCKS];
static pthread_barrier_t all_allocated;

static size_t size_of(size_t thread, size_t block)
{
    return block == 0 ? 20000 : 16 + (thread * 7 + block * 53) % 900;
}

static void *run_thread(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument, next = (self + 1) % THREADS;
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[self][i] = take(size_of(self, i), (unsigned)(self + i));
    pthread_barrier_wait(&all_allocated);
    for (size_t i = 0; i < BLOCKS; i++)
        give(blocks[next][i], size_of(next, i), (unsigned)(next + i));
    free(hide(malloc(100)));
    return NULL;
}

/* Starts one thread for each stack, on stacks of the test's own: libc keeps a block for each of its
 * own stacks that it keeps. Waits for all of them. */
static void run_threads(char *stacks)
{
    static pthread_t threads[THREADS];
    pthread_attr_t attributes;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_barrier_init(&all_allocated, NULL, THREADS) == 0);
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_attr_setstack(&attributes, stacks + i * STACK, STACK) == 0);
        int error = pthread_create(&threads[i], &attributes, run_thread, (void *)(uintptr_t)i);
        if (error == EAGAIN)
            check_skip("the system does not allow this process 2000 threads");
        CHECK(error == 0);
    }
    join_threads(threads, THREADS);
    CHECK(pthread_barrier_destroy(&all_allocated) == 0);
    CHECK(pthread_attr_destroy(&attributes) == 0);
}

int main(void)
{
    check_begin();
    free(hide(malloc(100)));
    setvbuf(stdout, NULL, _IONBF, 0); /* else its buffer is one more block */
    char *stacks = mmap(NULL, (size_t)THREADS * STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED)
        check_skip("the system does not give this process 2000 stacks");
    struct acre_stats before = stats_now();
    CHECK(before.arenas == 1);
    for (int round = 0; round < 2; round++) {
        run_threads(stacks);
        struct acre_stats after = stats_now();
        printf("live blocks: %zu before, %zu after; %zu arenas, %zu pooled\n", before.small_blocks,
               after.small_blocks, after.arenas, after.arenas_pooled);
        CHECK(after.arenas == 1 + THREADS && after.arenas_pooled == THREADS);
        CHECK(after.small_blocks == before.small_blocks && after.small_live == before.small_live);
        CHECK(after.large_blocks == before.large_blocks);
    }
    return 0;
}
