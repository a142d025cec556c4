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

struct table {
    struct block block[SLOTS];
    size_t live; /* bytes of all of them */
};

static struct table tables[STRESS_THREADS_MAX];

static void start(struct worker *worker)
{
    worker->state = &tables[worker->number];
}

static void release(struct table *table, struct block *block)
{
    if (block->address != NULL)
        table->live -= block->size;
    block_release(block);
}

/* The size that the block gets next, at least 1. */
static size_t choose_size(struct worker *worker, const struct block *block)
{
    bool may_be_large = random_below(&worker->random, LARGE_SHARE) == 0;
    if (block->address == NULL || block->size == 0)
        return 1 + random_size(&worker->random, SMALL_LIMIT);
    switch (random_below(&worker->random, 4)) {
    case 0:
        return block->size + random_below(&worker->random, GROWTH_MAX);
    case 1:
        return block->size + block->size / 2 + 1;
    case 2:
        return block->size - block->size / 4;
    default:
        return 1 + random_size(&worker->random, may_be_large ? SIZE_LIMIT : SMALL_LIMIT);
    }
}

static void resize(struct worker *worker, struct table *table, struct block *block)
{
    size_t size = choose_size(worker, block);
    if (size > SIZE_LIMIT || table->live + size > worker->memory) {
        release(table, block);
        return;
    }
    size_t old_size = block->address != NULL ? block->size : 0;
    unsigned char *address = realloc(block->address, size);
    if (address == NULL)
        stress_fail("realloc(%p, %zu) of %zu bytes refused, errno %d", (void *)block->address, size,
                    old_size, errno);
    block_check_prefix(block, address, size < old_size ? size : old_size);
    *block = block_adopt(address, size);
    table->live = table->live - old_size + block->size;
}

/* Growing to what is usable keeps the block where it is, with its content. */
static void grow_in_place(struct table *table, struct block *block)
{
    size_t usable = malloc_usable_size(block->address);
    unsigned char *address = realloc(block->address, usable);
    if (address != block->address)
        stress_fail("realloc(%p, %zu), its usable size, gave %p", (void *)block->address, usable,
                    (void *)address);
    block_check_prefix(block, address, block->size);
    table->live -= block->size;
    *block = block_adopt(address, usable);
    table->live += block->size;
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
static void resize_to_zero(struct table *table, struct block *block)
{
    block_check_prefix(block, block->address, block->size);
    void *address = realloc(block->address, 0);
    if (address != NULL)
        stress_fail("realloc(%p, 0) gave %p", (void *)block->address, address);
    table->live -= block->size;
    block->address = NULL;
}

static void round_of(struct worker *worker, unsigned long round)
{
    struct table *table = worker->state;
    size_t slots = 1 + random_size(&worker->random, SLOTS);
    for (int i = 0; i < OPERATIONS; i++) {
        struct block *block = &table->block[random_below(&worker->random, slots)];
        size_t choice = block->address == NULL ? 0 : random_below(&worker->random, 16);
        if (choice == 15)
            release(table, block);
        else if (choice == 14)
            resize_to_zero(table, block);
        else if (choice == 13)
            grow_too_far(block);
        else if (choice == 12)
            grow_in_place(table, block);
        else
            resize(worker, table, block);
    }
    if (round % 8 == 7)
        for (size_t slot = 0; slot < SLOTS; slot++)
            release(table, &table->block[slot]);
}

static void finish(struct worker *worker)
{
    struct table *table = worker->state;
    for (size_t slot = 0; slot < SLOTS; slot++)
        release(table, &table->block[slot]);
}

int main(int argc, char **argv)
{
    static const struct program program = {
        .name = "realloc", .start = start, .round = round_of, .finish = finish};
    return stress_main(&program, argc, argv);
}
