/*
 * Random sizes and lifetimes: each worker has a table of blocks and replaces entries at random; the
 * table is small in some rounds and large in others, so that lifetimes differ. At the end of a
 * round a part of the table is freed, now and then all of it, so that slabs and heaps empty.
 */
#include "common.h"

#include <stdlib.h>

enum {
    SLOTS = 20000,
    OPERATIONS = 40000, /* of one round */
    SMALL_LIMIT = 2048, /* bytes; sizes of most blocks are below */
    LARGE_SHARE = 50,   /* one in that many blocks may be larger */
};

#define SIZE_LIMIT ((size_t)3 << 20) /* bytes; sizes of all blocks are below */

struct table {
    struct block block[SLOTS];
    size_t live; /* bytes of all of them */
};

static struct table tables[STRESS_THREADS_MAX];

static void start(struct worker *worker)
{
    worker->state = &tables[worker->number];
}

static void release(struct table *table, size_t slot)
{
    block_release_counted(&table->block[slot], &table->live);
}

static void replace(struct worker *worker, struct table *table, size_t slot)
{
    bool is_small = random_below(&worker->random, LARGE_SHARE) != 0;
    size_t size = random_size(&worker->random, is_small ? SMALL_LIMIT : SIZE_LIMIT);
    release(table, slot);
    if (table->live + size > worker->memory)
        return;
    table->block[slot] = block_allocate(&worker->random, size);
    table->live += table->block[slot].size;
}

static void round_of(struct worker *worker, unsigned long round)
{
    struct table *table = worker->state;
    size_t slots = 1 + random_size(&worker->random, SLOTS);
    for (int i = 0; i < OPERATIONS; i++)
        replace(worker, table, random_below(&worker->random, slots));

    size_t kept = round % 8 == 7 ? 0 : random_below(&worker->random, SLOTS);
    for (size_t slot = kept; slot < SLOTS; slot++)
        release(table, slot);
}

static void finish(struct worker *worker)
{
    struct table *table = worker->state;
    blocks_release_all(table->block, SLOTS, &table->live);
}

int main(int argc, char **argv)
{
    static const struct program program = {
        .name = "random", .start = start, .round = round_of, .finish = finish};
    return stress_main(&program, argc, argv);
}
