/*
 * Heaps of one's own that all workers share: each takes blocks from any of them, by all functions,
 * resizes them, and frees them by acre_heap_free or free. Between two rounds some heaps are
 * destroyed and begin anew, and now and then a child of fork goes on with them. Memory that is idle
 * goes back all the time.
 */
#include "common.h"

#include <acre/acre.h>
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

enum {
    HEAPS = 6,
    SLOTS = 400,        /* blocks of one worker */
    OPERATIONS = 4000,  /* of a round */
    SMALL_LIMIT = 3000, /* bytes; sizes of most blocks are below */
    LARGE_SHARE = 400,  /* one in that many blocks may be larger */
    TRIM_SHARE = 5000,  /* one operation in that many is a malloc_trim */
    FORK_SHARE = 8000,  /* one in that many is a fork */
    CHILD_SECONDS = 120,
};

#define SIZE_LIMIT ((size_t)2 << 20) /* bytes; sizes of all blocks are below */

static struct acre_heap *heaps[HEAPS];         /* written between rounds */
static int heap_of[STRESS_THREADS_MAX][SLOTS]; /* of the blocks of each worker's table */

static struct acre_heap *begin_heap(void)
{
    struct acre_heap *heap = acre_heap_new();
    if (heap == NULL)
        stress_fail("acre_heap_new");
    return heap;
}

static void *take(struct random *random, struct acre_heap *heap, size_t size)
{
    switch (random_below(random, 4)) {
    case 0:
        return acre_heap_calloc(heap, 1, size);
    case 1:
        return acre_heap_aligned(heap, (size_t)16 << random_below(random, 9), size);
    case 2:
        return acre_heap_realloc(heap, NULL, size);
    default:
        return acre_heap_alloc(heap, size);
    }
}

/* Frees what is in the slot by one of three functions, each of which has to find it. */
static void release(struct worker *worker, size_t slot)
{
    struct table *table = &worker->table;
    struct block *block = &table->block[slot];
    if (block->address == NULL)
        return;
    block_check_prefix(block, block->address, block->size);
    struct acre_heap *heap = heaps[heap_of[worker->number][slot]];
    if (random_below(&worker->random, 2) == 0)
        acre_heap_free(heap, block->address);
    else
        free(block->address);
    table->live -= block->cost;
    block->address = NULL;
}

static void replace(struct worker *worker, size_t slot)
{
    struct table *table = &worker->table;
    release(worker, slot);
    size_t size = random_size(&worker->random, SMALL_LIMIT, LARGE_SHARE, SIZE_LIMIT);
    if (table->live + size > worker->memory)
        return;
    int heap = (int)random_below(&worker->random, HEAPS);
    heap_of[worker->number][slot] = heap;
    table_put(table, slot, block_adopt(take(&worker->random, heaps[heap], size), size));
}

static void resize(struct worker *worker, size_t slot)
{
    struct table *table = &worker->table;
    struct block before = table->block[slot];
    if (before.address == NULL)
        return;
    size_t size = 1 + random_size(&worker->random, SMALL_LIMIT, LARGE_SHARE, SIZE_LIMIT);
    if (table->live + size > worker->memory)
        return;
    void *address = acre_heap_realloc(heaps[heap_of[worker->number][slot]], before.address, size);
    if (address == NULL)
        stress_fail("acre_heap_realloc(%zu)", size);
    block_check_prefix(&before, address, size < before.size ? size : before.size);
    table->live -= before.cost;
    table->block[slot].address = NULL;
    table_put(table, slot, block_adopt(address, size));
}

/* The child goes on with the heaps, in the midst of what other threads did, and ends them. */
static void use_in_child(struct worker *worker)
{
    alarm(CHILD_SECONDS);
    for (int i = 0; i < OPERATIONS / 4; i++)
        replace(worker, random_below(&worker->random, SLOTS));
    for (size_t slot = 0; slot < SLOTS; slot++)
        release(worker, slot);
    for (int i = 0; i < HEAPS; i++) {
        acre_heap_destroy(heaps[i]);
        heaps[i] = begin_heap();
    }
    for (int i = 0; i < OPERATIONS / 4; i++)
        replace(worker, random_below(&worker->random, SLOTS));
    _exit(acre_check(STDERR_FILENO) == 0 ? 0 : 1);
}

static void round_of(struct worker *worker, unsigned long round)
{
    if (round == 0) /* not all tables are there yet, nor heaps */
        return;
    for (int i = 0; i < OPERATIONS; i++) {
        size_t slot = random_below(&worker->random, SLOTS);
        if (random_below(&worker->random, 4) == 0)
            resize(worker, slot);
        else
            replace(worker, slot);
        if (random_below(&worker->random, TRIM_SHARE) == 0)
            malloc_trim(0);
        if (random_below(&worker->random, FORK_SHARE) == 0) {
            pid_t child = fork();
            if (child == 0)
                use_in_child(worker);
            stress_wait_for(child);
        }
    }
}

/* Forgets the blocks of a heap. */
static void forget(int heap)
{
    for (int number = 0; number < stress_threads(); number++) {
        struct table *table = stress_table(number);
        for (size_t slot = 0; slot < table->count; slot++) {
            struct block *block = &table->block[slot];
            if (block->address == NULL || heap_of[number][slot] != heap)
                continue;
            block_check_prefix(block, block->address, block->size);
            table->live -= block->cost;
            block->address = NULL;
        }
    }
}

static void between_rounds(unsigned long round)
{
    for (int i = 0; i < HEAPS; i++) {
        if (heaps[i] != NULL && (round + (unsigned long)i) % 3 != 0)
            continue;
        forget(i);
        acre_heap_destroy(heaps[i]);
        heaps[i] = begin_heap();
    }
    if (acre_check(STDERR_FILENO) != 0)
        stress_fail("acre_check");
}

static void start(struct worker *worker)
{
    if (worker->number == 0)
        acre_option_set("decay", "1");
}

int main(int argc, char **argv)
{
    static const struct program program = {.name = "heaps",
                                           .slots = SLOTS,
                                           .start = start,
                                           .round = round_of,
                                           .between_rounds = between_rounds};
    return stress_main(&program, argc, argv);
}
