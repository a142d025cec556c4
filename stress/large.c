/*
 * Blocks of a size that gives them pages of their own, from just below the border to 24 MiB: a
 * table that all workers share, so that blocks are freed and resized by others than those who took
 * them. Sizes come in families, so that freed extents are met by requests that fit, nearly fit and
 * do not.
 */
#include "common.h"

#include <pthread.h>

enum {
    SLOTS = 64,
    OPERATIONS = 50, /* of one round and worker */
    PAGE = 4096,
    FAMILIES = 6,
};

#define BORDER ((size_t)1 << 20) /* bytes; about where blocks begin to have pages of their own */
#define SIZE_LIMIT ((size_t)24 << 20)

static struct {
    pthread_mutex_t lock; /* guards all below */
    struct block block[SLOTS];
    size_t live; /* bytes of the blocks in the table and in the workers' hands */
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t choose_size(struct random *random)
{
    switch (random_below(random, FAMILIES)) {
    case 0:
        return BORDER - PAGE + random_below(random, 2 * PAGE);
    case 1:
        return 2 * BORDER;
    case 2:
        return 2 * BORDER + random_below(random, 16) * PAGE;
    case 3:
        return (1 + random_below(random, 8)) * BORDER + random_below(random, 64);
    case 4:
        return BORDER + random_below(random, BORDER);
    default:
        return BORDER + random_below(random, SIZE_LIMIT - BORDER);
    }
}

/* Takes the block out of the slot, perhaps none. */
static struct block take(size_t slot)
{
    pthread_mutex_lock(&table.lock);
    struct block block = table.block[slot];
    table.block[slot].address = NULL;
    pthread_mutex_unlock(&table.lock);
    return block;
}

/* Puts the block into the slot; returns what was there. */
static struct block put(size_t slot, struct block block)
{
    pthread_mutex_lock(&table.lock);
    struct block old = table.block[slot];
    table.block[slot] = block;
    pthread_mutex_unlock(&table.lock);
    return old;
}

/* Counts `size` bytes as live if the program may have that many more. */
static bool reserve(size_t size)
{
    pthread_mutex_lock(&table.lock);
    bool fits = table.live + size <= STRESS_MEMORY;
    if (fits)
        table.live += size;
    pthread_mutex_unlock(&table.lock);
    return fits;
}

static void unreserve(size_t size)
{
    pthread_mutex_lock(&table.lock);
    table.live -= size;
    pthread_mutex_unlock(&table.lock);
}

static void release(struct block block)
{
    size_t size = block.address != NULL ? block.size : 0;
    block_release(&block);
    unreserve(size);
}

/* block_adopt may have filled more than was reserved. */
static struct block settle(struct block block, size_t reserved)
{
    pthread_mutex_lock(&table.lock);
    table.live += block.size - reserved;
    pthread_mutex_unlock(&table.lock);
    return block;
}

/* Resizes the block, if there is one and memory for both; content that both sizes share is kept. */
static struct block resize(struct random *random, struct block block)
{
    size_t size = choose_size(random);
    if (block.address == NULL || !reserve(size))
        return block;
    struct block resized = block_resize(&block, size);
    unreserve(block.size);
    return settle(resized, size);
}

static void round_of(struct worker *worker, unsigned long round)
{
    struct random *random = &worker->random;
    (void)round;
    for (int i = 0; i < OPERATIONS; i++) {
        size_t slot = random_below(random, SLOTS);
        switch (random_below(random, 4)) {
        case 0:
            release(take(slot));
            break;
        case 1:
            release(put(slot, resize(random, take(random_below(random, SLOTS)))));
            break;
        default: {
            size_t size = choose_size(random);
            if (reserve(size))
                release(put(slot, settle(block_allocate(random, size), size)));
            else
                release(take(slot));
        }
        }
    }
}

static void finish(struct worker *worker)
{
    for (size_t slot = (size_t)worker->number; slot < SLOTS; slot += (size_t)stress_threads())
        release(take(slot));
}

int main(int argc, char **argv)
{
    static const struct program program = {.name = "large", .round = round_of, .finish = finish};
    return stress_main(&program, argc, argv);
}
