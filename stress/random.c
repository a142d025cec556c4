/*
 * Random sizes and lifetimes: each worker has a table of blocks and replaces entries at random; the
 * table is small in some rounds and large in others, so that lifetimes differ. At the end of a
 * round a part of the table is freed, now and then all of it, so that slabs and heaps empty.
 */
#include "common.h"

enum {
    SLOTS = 20000,
    OPERATIONS = 40000, /* of one round */
    SMALL_LIMIT = 2048, /* bytes; sizes of most blocks are below */
    LARGE_SHARE = 50,   /* one in that many blocks may be larger */
};

#define SIZE_LIMIT ((size_t)3 << 20) /* bytes; sizes of all blocks are below */

static void round_of(struct worker *worker, unsigned long round)
{
    struct random *random = &worker->random;
    size_t slots = 1 + random_small(random, SLOTS);
    for (int i = 0; i < OPERATIONS; i++)
        worker_replace(worker, random_below(random, slots),
                       random_size(random, SMALL_LIMIT, LARGE_SHARE, SIZE_LIMIT));
    table_release_from(&worker->table, round % 8 == 7 ? 0 : random_below(random, SLOTS));
}

int main(int argc, char **argv)
{
    static const struct program program = {.name = "random", .slots = SLOTS, .round = round_of};
    return stress_main(&program, argc, argv);
}
