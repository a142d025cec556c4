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

static size_t random_size(uint64_t *random)
{
    unsigned kind = next_random(random) % 1000;
    size_t limit = kind < 900 ? 512 : kind < 990 ? 16384 : kind < 999 ? 300000 : 2000000;
    return HEADER + next_random(random) % limit;
}

/* A block whose header says how the rest is filled. */
static void *make_block(uint64_t *random)
{
    size_t size = random_size(random);
    char *block = next_random(random) % 4 ? malloc(size) : aligned_alloc(64, size);
    CHECK(block != NULL);
    unsigned seed = next_random(random);
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

/* Lets realloc move a block: half as large, or with room behind it; contents are checked after. */
static void *resize_block(char *block, uint64_t *random)
{
    size_t size;
    check_block(block);
    memcpy(&size, block, sizeof(size));
    if (next_random(random) % 2) {
        size = HEADER + (size - HEADER) / 2;
        memcpy(block, &size, sizeof(size));
    }
    block = realloc(block, next_random(random) % 2 ? size : size * 2);
    CHECK(block != NULL);
    check_block(block);
    return block;
}

static void *run_thread(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;
    for (int round = 0; round < ROUNDS; round++) {
        void *block = make_block(&random);
        if (next_random(&random) % 16 == 0)
            block = resize_block(block, &random);
        void **slot = &slots[next_random(&random) % SLOTS];
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
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, run_thread, (void *)(uintptr_t)(i + 1)) == 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (size_t i = 0; i < SLOTS; i++)
        if (slots[i] != NULL) {
            check_block(slots[i]);
            free(slots[i]);
        }
    return 0;
}
