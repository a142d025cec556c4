/*
 * Live blocks never overlap: four threads allocate, exchange and free blocks of all sizes, each of
 * which carries contents that are verified when it is freed, most often by another thread.
 */
#include "check.h"
#include <malloc.h>

enum {
    THREADS = 4,
    SLOTS = 512,    /* where blocks wait for a thread that takes them */
    ROUNDS = 60000, /* per thread */
    HEADER = 16,    /* bytes: size and seed of the block, at its start */
};

static void *slots[SLOTS]; /* atomic, exchanged with acquire and release */

static size_t random_size(struct random *random)
{
    size_t kind = random_below(random, 1000);
    size_t limit = kind < 900 ? 512 : kind < 990 ? 16384 : kind < 999 ? 300000 : 2000000;
    return HEADER + random_below(random, limit);
}

/* A block whose header says how the rest is filled. */
static void *make_block(struct random *random)
{
    size_t size = random_size(random);
    char *block = random_below(random, 4) != 0 ? malloc(size) : aligned_alloc(64, size);
    CHECK(block != NULL);
    unsigned seed = (unsigned)random_next(random);
    memcpy(block, &size, sizeof(size));
    memcpy(block + sizeof(size), &seed, sizeof(seed));
    fill(block + HEADER, size - HEADER, seed);
    return block;
}

static void check_block(const char *block)
{
    size_t size;
    unsigned seed;
    memcpy(&size, block, sizeof(size));
    memcpy(&seed, block + sizeof(size), sizeof(seed));
    CHECK(size >= HEADER && size <= 4 * CHECK_MIB);
    CHECK(is_filled(block + HEADER, size - HEADER, seed));
}

/* Lets realloc move a block: half as large, or with room after it; contents are checked after. */
static void *resize_block(char *block, struct random *random)
{
    size_t size;
    check_block(block);
    memcpy(&size, block, sizeof(size));
    if (random_below(random, 2) == 0) {
        size = HEADER + (size - HEADER) / 2;
        memcpy(block, &size, sizeof(size));
    }
    block = realloc(block, random_below(random, 2) == 0 ? size : size * 2);
    CHECK(block != NULL);
    check_block(block);
    return block;
}

static void *run_thread(void *argument)
{
    struct random random = {(uintptr_t)argument};
    for (int round = 0; round < ROUNDS; round++) {
        void *block = make_block(&random);
        if (random_below(&random, 16) == 0)
            block = resize_block(block, &random);
        void **slot = &slots[random_below(&random, SLOTS)];
        void *old = __atomic_exchange_n(slot, block, __ATOMIC_ACQ_REL);
        if (old != NULL) {
            check_block(old);
            free(old);
        }
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    check_begin();
    start_threads(threads, THREADS, run_thread);
    join_threads(threads, THREADS);
    for (size_t i = 0; i < SLOTS; i++)
        if (slots[i] != NULL) {
            check_block(slots[i]);
            free(slots[i]);
        }
    return 0;
}
