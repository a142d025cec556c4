/*
 * Threads come and go: each takes blocks, frees some that earlier threads left in a depot, leaves
 * some of its own there, and exits; the last to run in it is the destructor of a thread-specific
 * value, which takes and frees blocks once more, after the library's own exit hook or before it.
 * Now and then all threads are joined and the library's structures validated.
 */
#include "common.h"

#include <pthread.h>

enum {
    DEPOT_SIZE = 20000,
    BLOCKS_MAX = 400,    /* that a thread takes */
    DESTRUCTOR_MAX = 20, /* that its destructor takes */
    SMALL_LIMIT = 3000,  /* bytes; sizes of most blocks are below */
    LARGE_SHARE = 200,   /* one in that many blocks may be larger */
    GENERATION = 256,    /* threads between two validations */
};

#define SIZE_LIMIT ((size_t)2 << 20) /* bytes; sizes of all blocks are below */

static struct {
    pthread_mutex_t lock; /* guards all below */
    struct block block[DEPOT_SIZE];
    size_t count;
    size_t live; /* bytes of the blocks in it */
} depot = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_key_t key;

/* Leaves the block in the depot; frees it if there is no room. */
static void leave(struct block block)
{
    pthread_mutex_lock(&depot.lock);
    bool fits = depot.count < DEPOT_SIZE && depot.live + block.size <= STRESS_MEMORY;
    if (fits) {
        depot.block[depot.count++] = block;
        depot.live += block.size;
    }
    pthread_mutex_unlock(&depot.lock);
    if (!fits)
        block_release(&block);
}

/* Takes a random block out of the depot; none if it is empty. */
static struct block collect(struct random *random)
{
    struct block block = {0};
    pthread_mutex_lock(&depot.lock);
    if (depot.count != 0) {
        size_t chosen = random_below(random, depot.count);
        block = depot.block[chosen];
        depot.block[chosen] = depot.block[--depot.count];
        depot.live -= block.size;
    }
    pthread_mutex_unlock(&depot.lock);
    return block;
}

static struct block take(struct random *random)
{
    return block_allocate(random, random_size(random, SMALL_LIMIT, LARGE_SHARE, SIZE_LIMIT));
}

/* The destructor. Its argument is the number of the thread, not 0. */
static void say_goodbye(void *number)
{
    struct random random = stress_random((uintptr_t)number << 32);
    size_t blocks = random_below(&random, DESTRUCTOR_MAX);
    for (size_t i = 0; i < blocks; i++) {
        struct block block = take(&random);
        if (random_below(&random, 2) == 0)
            leave(block);
        else
            block_release(&block);
    }
}

/* A thread's life. */
static void *live(void *number)
{
    struct random random = stress_random((uintptr_t)number);
    struct block block[BLOCKS_MAX];
    size_t blocks = random_small(&random, BLOCKS_MAX);

    /* Some threads' first call is a free, some take nothing at all. */
    size_t collected = random_below(&random, BLOCKS_MAX);
    for (size_t i = 0; i < collected; i++) {
        struct block old = collect(&random);
        block_release(&old);
    }
    for (size_t i = 0; i < blocks; i++)
        block[i] = take(&random);
    for (size_t i = 0; i < blocks; i++)
        if (random_below(&random, 3) == 0)
            block_release(&block[i]);
    for (size_t i = 0; i < blocks; i++)
        if (block[i].address != NULL)
            leave(block[i]);
    if (random_below(&random, 2) == 0)
        pthread_setspecific(key, number);
    return NULL;
}

/* Runs GENERATION threads, as many at once as the arguments say; `first` is the number of the
 * first. */
static void run_generation(uintptr_t first)
{
    pthread_t running[STRESS_THREADS_MAX];
    uintptr_t at_once = (uintptr_t)stress_threads();
    for (uintptr_t i = 0; i < GENERATION + at_once; i++) {
        pthread_t *place = &running[i % at_once];
        if (i >= at_once)
            pthread_join(*place, NULL);
        if (i < GENERATION && pthread_create(place, NULL, live, (void *)(first + i)) != 0)
            stress_fail("pthread_create");
    }
}

int main(int argc, char **argv)
{
    unsigned long generation = 0;
    stress_start("threads", argc, argv);
    if (pthread_key_create(&key, say_goodbye) != 0)
        stress_fail("pthread_key_create");
    while (!stress_time_is_over()) {
        run_generation(1 + generation++ * GENERATION);
        stress_validate();
    }
    struct random random = stress_random(0);
    while (depot.count != 0) {
        struct block block = collect(&random);
        block_release(&block);
    }
    return stress_end(generation);
}
