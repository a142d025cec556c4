/*
 * 2000 threads alive at once, each with blocks of its own; neighbours free each other's. When all
 * have ended no block of theirs is live, and there is an arena for each of them at most.
 */
#include "check.h"
#include <acre/acre.h>

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
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[self][i] = malloc(size_of(self, i));
        CHECK(blocks[self][i] != NULL);
        fill(blocks[self][i], size_of(self, i), (unsigned)(self + i));
    }
    pthread_barrier_wait(&all_allocated);
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(is_filled(blocks[next][i], size_of(next, i), (unsigned)(next + i)));
        free(blocks[next][i]);
    }
    free(hide(malloc(100)));
    return NULL;
}

static struct acre_stats stats_now(void)
{
    struct acre_stats stats;
    CHECK(acre_stats(&stats, sizeof(stats)) == 0);
    return stats;
}

int main(void)
{
    static pthread_t threads[THREADS];
    pthread_attr_t attributes;
    check_begin();
    free(hide(malloc(100)));
    struct acre_stats before = stats_now();
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, STACK) == 0);
    CHECK(pthread_barrier_init(&all_allocated, NULL, THREADS) == 0);
    for (size_t i = 0; i < THREADS; i++) {
        int error = pthread_create(&threads[i], &attributes, run_thread, (void *)(uintptr_t)i);
        if (error == EAGAIN)
            check_skip("the system does not allow this process 2000 threads");
        CHECK(error == 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    struct acre_stats after = stats_now();
    printf("live blocks: %zu before, %zu after; %zu arenas\n", before.small_blocks,
           after.small_blocks, after.arenas);
    CHECK(after.arenas <= before.arenas + THREADS);
    /* libc keeps the stacks of some threads, and a block for each */
    CHECK(after.small_blocks < before.small_blocks + THREADS);
    CHECK(after.large_blocks == before.large_blocks);
    return 0;
}
