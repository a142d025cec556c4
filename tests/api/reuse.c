/*
 * Freed memory is used again: rounds that allocate some 80 MiB and free all of it, in various
 * orders and by various threads, do not make the process grow.
 */
#include "check.h"
#include <acre/acre.h>

enum {
    ROUNDS = 60,
    WARM_ROUNDS = 5,
    BLOCKS = 30000,
    HEAP = 32 << 20, /* bytes: what a heap maps at once */
};

static void *blocks[BLOCKS];

/* The same blocks in each round, so that each needs as much memory as the first. */
static void allocate_round(void)
{
    uint64_t random = 7;
    for (size_t i = 0; i < BLOCKS; i++) {
        unsigned kind = next_random(&random) % 1000;
        size_t limit = kind < 950 ? 600 : kind < 998 ? 5000 : 1500000;
        blocks[i] = malloc(next_random(&random) % limit);
        CHECK(blocks[i] != NULL);
    }
}

/* Frees every block, in an order that depends on the round. */
static void free_round(unsigned round)
{
    static const size_t strides[] = {1, 7, 11, 13, 29999};
    size_t stride = strides[round % (sizeof(strides) / sizeof(strides[0]))];
    for (size_t i = 0, at = 0; i < BLOCKS; i++, at = (at + stride) % BLOCKS)
        free(blocks[at]);
}

static void *free_remotely(void *round)
{
    free_round((unsigned)(uintptr_t)round);
    return NULL;
}

int main(void)
{
    size_t warm = 0, most = 0;
    check_begin();
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct acre_stats stats;
        allocate_round();
        CHECK(acre_stats(&stats, sizeof(stats)) == 0);
        if (round < WARM_ROUNDS)
            warm = stats.mapped > warm ? stats.mapped : warm;
        most = stats.mapped > most ? stats.mapped : most;
        if (round % 3 == 2) {
            pthread_t thread;
            CHECK(pthread_create(&thread, NULL, free_remotely, (void *)(uintptr_t)round) == 0);
            CHECK(pthread_join(thread, NULL) == 0);
        } else {
            free_round(round);
        }
        CHECK(acre_stats(&stats, sizeof(stats)) == 0 && stats.small_blocks < BLOCKS / 100);
    }
    CHECK(most <= warm + HEAP);
    return 0;
}
