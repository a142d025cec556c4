/*
 * realloc: blocks grow and shrink at random, step by step as vectors do, and across the borders
 * between small blocks and those with pages of their own; the part that both sizes share must be
 * kept. Growing up to the usable size must not move a block, and a refused realloc must leave it
 * alone.
 */
#include "common.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

enum {
    SLOTS = 2000,
    OPERATIONS = 10000, /* of one round */
    SMALL_LIMIT = 4096, /* bytes; new sizes of most blocks are below */
    LARGE_SHARE = 40,   /* one in that many blocks may become larger */
    GROWTH_MAX = 64,    /* bytes that a step adds at most */
};

#define SIZE_LIMIT ((size_t)6 << 20) /* bytes; sizes of all blocks are below */

/* The size that the block gets next, at least 1. */
static size_t choose_size(struct worker *worker, const struct block *block)
{
    if (block->address == NULL || block->size == 0)
        return 1 + random_small(&worker->random, SMALL_LIMIT);
    switch (random_below(&worker->random, 4)) {
    case 0:
        return block->size + random_below(&worker->random, GROWTH_MAX);
    case 1:
        return block->size + block->size / 2 + 1;
    case 2:
        return block->size - block->size / 4;
    default:
        return 1 + random_size(&worker->random, SMALL_LIMIT, LARGE_SHARE, SIZE_LIMIT);
    }
}

static void resize(struct worker *worker, size_t slot)
{
    size_t size = choose_size(worker, &worker->table.block[slot]);
    if (size > SIZE_LIMIT || worker->table.live + size > worker->memory)
        table_release(&worker->table, slot);
    else
        table_resize(&worker->table, slot, size);
}

/* Growing to what is usable keeps the block where it is, with its content. */
static void grow_in_place(struct table *table, size_t slot)
{
    const struct block *block = &table->block[slot];
    unsigned char *volatile before = block->address;
    table_resize(table, slot, malloc_usable_size(block->address));
    if (block->address != before)
        stress_fail("realloc(%p) to its usable size gave %p", (void *)before,
                    (void *)block->address);
}

/* A size that cannot be had is refused with ENOMEM. That the block is left alone shows when it is
 * released. */
static void grow_too_far(const struct block *block)
{
    volatile size_t size = (size_t)PTRDIFF_MAX - 4096; /* hidden from the compiler's warning */
    void *address = realloc(block->address, size);
    if (address != NULL || errno != ENOMEM)
        stress_fail("realloc(%p, %zu) gave %p, errno %d", (void *)block->address, size, address,
                    errno);
}

/* realloc(p, 0) frees the block and returns NULL. */
static void resize_to_zero(struct table *table, size_t slot)
{
    struct block *block = &table->block[slot];
    block_check_prefix(block, block->address, block->size);
    void *address = realloc(block->address, 0);
    if (address != NULL)
        stress_fail("realloc(%p, 0) gave %p", (void *)block->address, address);
    table->live -= block->cost;
    block->address = NULL;
}

static void round_of(struct worker *worker, unsigned long round)
{
    struct table *table = &worker->table;
    size_t slots = 1 + random_small(&worker->random, SLOTS);
    for (int i = 0; i < OPERATIONS; i++) {
        size_t slot = random_below(&worker->random, slots);
        const struct block *block = &table->block[slot];
        size_t choice = block->address == NULL ? 0 : random_below(&worker->random, 16);
        if (choice == 15)
            table_release(table, slot);
        else if (choice == 14)
            resize_to_zero(table, slot);
        else if (choice == 13)
            grow_too_far(block);
        else if (choice == 12)
            grow_in_place(table, slot);
        else
            resize(worker, slot);
    }
    if (round % 8 == 7)
        table_release_from(table, 0);
}

int main(int argc, char **argv)
{
    static const struct program program = {.name = "realloc", .slots = SLOTS, .round = round_of};
    return stress_main(&program, argc, argv);
}
