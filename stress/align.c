/*
 * Alignments of 1 byte to 4 MiB by every function that takes one, with sizes around the alignment
 * and independent of it, among ordinary blocks; some are then resized, which need not keep the
 * alignment.
 */
#include "common.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    SLOTS = 1000,
    OPERATIONS = 5000, /* of one round */
    ALIGNMENT_BITS = 22,
    COMMON_BITS = 13,      /* larger alignments are rare */
    LARGE_ALIGNMENTS = 20, /* one in that many blocks may have one */
    SMALL_LIMIT = 20000,   /* bytes; sizes that are independent of the alignment are below */
    RESIZED_SHARE = 8,     /* one in that many blocks is resized once */
};

/* A block by one of the functions, chosen at random among those that take this alignment. */
static void *allocate(struct random *random, size_t alignment, size_t size)
{
    void *address = NULL;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    switch (random_below(random, 3)) {
    case 0:
        return alignment == page ? valloc(size) : memalign(alignment, size);
    case 1:
        return alignment == page ? pvalloc(size) : aligned_alloc(alignment, size);
    default:
        if (alignment < sizeof(void *))
            alignment = sizeof(void *);
        if (posix_memalign(&address, alignment, size) != 0)
            return NULL;
        return address;
    }
}

static void replace(struct worker *worker, size_t slot)
{
    struct random *random = &worker->random;
    size_t bits = random_below(random, LARGE_ALIGNMENTS) == 0 ? ALIGNMENT_BITS : COMMON_BITS;
    size_t alignment = (size_t)1 << random_below(random, bits + 1);
    size_t size = random_below(random, 2) == 0 ? random_small(random, SMALL_LIMIT)
                                               : random_below(random, 2 * alignment + 1);
    table_release(&worker->table, slot);
    if (worker->table.live + size + alignment > worker->memory)
        return;
    void *address = allocate(random, alignment, size);
    if (address == NULL)
        stress_fail("%zu bytes aligned to %zu refused, errno %d", size, alignment, errno);
    if ((uintptr_t)address % alignment != 0)
        stress_fail("block %p of %zu bytes is not aligned to %zu", address, size, alignment);
    struct block block = block_adopt(address, size);
    block.cost += alignment;
    table_put(&worker->table, slot, block);
}

static void round_of(struct worker *worker, unsigned long round)
{
    for (int i = 0; i < OPERATIONS; i++) {
        size_t slot = random_below(&worker->random, SLOTS);
        const struct block *block = &worker->table.block[slot];
        replace(worker, slot);
        if (block->address != NULL && random_below(&worker->random, RESIZED_SHARE) == 0)
            table_resize(&worker->table, slot, 1 + random_below(&worker->random, block->size + 1));
    }
    if (round % 4 == 3)
        table_release_from(&worker->table, 0);
}

int main(int argc, char **argv)
{
    static const struct program program = {.name = "align", .slots = SLOTS, .round = round_of};
    return stress_main(&program, argc, argv);
}
