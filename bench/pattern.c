/*
 * pattern: one allocation pattern for a fixed, seeded amount of work, so that the CPU seconds of
 * runs under different allocators compare.
 *
 *     pattern NAME [WORK [THREADS]]   does the work; prints the peak resident size
 *     pattern --list                  prints "name work threads" for each pattern
 *     pattern --where                 prints the path of the object that malloc comes from
 *
 * A new pattern is one function and one line of the table at the end.
 */
#define _GNU_SOURCE 1 /* RTLD_DEFAULT, dladdr */
#include "common.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One run of a pattern; constant while it runs. */
struct job {
    size_t argument;  /* what tells patterns of one function apart: a size, a count */
    uint64_t work;    /* steps for each thread; the unit is the pattern's */
    unsigned threads; /* 1 .. THREADS_MAX */
};

/* `work` pairs of malloc and free of one size in bytes. */
static void pairs(const struct job *job)
{
    for (uint64_t i = 0; i < job->work; i++) {
        void *block = need(malloc(job->argument));
        touch(block);
        free(block);
    }
}

/* The same with calloc. */
static void calloc_pairs(const struct job *job)
{
    for (uint64_t i = 0; i < job->work; i++) {
        void *block = need(calloc(1, job->argument));
        touch(block);
        free(block);
    }
}

enum { BATCH_BLOCK = 64 }; /* bytes of a block of the batch patterns */

/* Fills `table` with `count` blocks of BATCH_BLOCK bytes. */
static void fill_batch(void **table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        table[i] = need(malloc(BATCH_BLOCK));
        touch(table[i]);
    }
}

/* Batches of `argument` blocks, freed first in first out; `work` blocks in all. */
static void fifo_batches(const struct job *job)
{
    size_t count = job->argument;
    void **table = table_make(count * sizeof(*table));

    for (uint64_t done = 0; done < job->work; done += count) {
        fill_batch(table, count);
        for (size_t i = 0; i < count; i++)
            free(table[i]);
    }
    table_free(table, count * sizeof(*table));
}

/* The same, freed last in first out. */
static void lifo_batches(const struct job *job)
{
    size_t count = job->argument;
    void **table = table_make(count * sizeof(*table));

    for (uint64_t done = 0; done < job->work; done += count) {
        fill_batch(table, count);
        for (size_t i = count; i-- > 0;)
            free(table[i]);
    }
    table_free(table, count * sizeof(*table));
}

/* Batches of `argument` blocks of 16 bytes, all of each written to; the first half is freed first
 * in first out, the second half last in first out. `work` blocks in all. As glibc's
 * bench-malloc-simple. */
static void both_ends_batches(const struct job *job)
{
    enum { SIZE = 16 };
    size_t count = job->argument;
    void **table = table_make(count * sizeof(*table));

    for (uint64_t done = 0; done < job->work; done += count) {
        for (size_t i = 0; i < count; i++)
            table[i] = memset(need(malloc(SIZE)), 1, SIZE);
        for (size_t i = 0; i < count / 2; i++)
            free(table[i]);
        for (size_t i = count; i-- > count / 2;)
            free(table[i]);
    }
    table_free(table, count * sizeof(*table));
}

/* One thread's `work` replacements of a random one of `slots` blocks; `size` draws the sizes. */
static void replace_at_random(const struct job *job, unsigned number, size_t slots,
                              size_t (*size)(struct rng *rng))
{
    struct rng rng = rng_make(number);
    void **table = table_make(slots * sizeof(*table));

    for (uint64_t i = 0; i < job->work; i++) {
        uint32_t slot = rng_below(&rng, (uint32_t)slots);
        free(table[slot]);
        table[slot] = need(malloc(size(&rng)));
        touch(table[slot]);
    }
    for (size_t i = 0; i < slots; i++)
        free(table[i]);
    table_free(table, slots * sizeof(*table));
}

static void random_body(void *argument, unsigned number)
{
    const struct job *job = argument;
    replace_at_random(job, number, job->argument, rng_size);
}

/* Random sizes with random lifetimes: each thread keeps `argument` blocks of its own. */
static void random_lifetimes(const struct job *job)
{
    run_threads(job->threads, random_body, (void *)job);
}

/* 4 bytes .. 32 KiB: one block in n has more than 4 n bytes. */
static size_t power_size(struct rng *rng)
{
    size_t size = 4 * 65536 / (1 + (size_t)rng_below(rng, 65536));
    return size < 32 * KIB ? size : 32 * KIB;
}

static void power_body(void *argument, unsigned number)
{
    const struct job *job = argument;
    replace_at_random(job, number, job->argument, power_size);
}

/* Few blocks with random lifetimes in each thread, most of them small. As glibc's
 * bench-malloc-thread. */
static void power_lifetimes(const struct job *job)
{
    run_threads(job->threads, power_body, (void *)job);
}

/* 1 KiB .. 256 KiB, each power of two as often as the next: what servers' buffers are like. */
static size_t medium_size(struct rng *rng)
{
    size_t base = (size_t)KIB << rng_below(rng, 8);
    return base + rng_below(rng, (uint32_t)base);
}

/* Buffers of medium size with random lifetimes. */
static void random_medium(const struct job *job)
{
    replace_at_random(job, 0, job->argument, medium_size);
}

enum { SWAP_SLOTS = 4096 }; /* places through which the threads of swap_blocks trade */

/* The shared state of swap_blocks. */
struct swap {
    const struct job *job;
    void **slots; /* SWAP_SLOTS blocks or NULL; exchanged atomically, acquire and release */
};

static void swap_body(void *argument, unsigned number)
{
    struct swap *swap = argument;
    struct rng rng = rng_make(number);

    for (uint64_t i = 0; i < swap->job->work; i++) {
        void *block = need(malloc(rng_size(&rng)));
        touch(block);
        void **slot = &swap->slots[rng_below(&rng, SWAP_SLOTS)];
        free(__atomic_exchange_n(slot, block, __ATOMIC_ACQ_REL));
    }
}

/* Threads put blocks in shared places and free what lay there: most frees are remote ones. */
static void swap_blocks(const struct job *job)
{
    struct swap swap = {job, table_make(SWAP_SLOTS * sizeof(void *))};

    run_threads(job->threads, swap_body, &swap);
    for (size_t i = 0; i < SWAP_SLOTS; i++)
        free(swap.slots[i]);
    table_free(swap.slots, SWAP_SLOTS * sizeof(void *));
}

enum {
    LINE_BLOCK = 8,     /* bytes of a block of touched_lines: several lie in a line of the cache */
    LINE_TOUCHES = 100, /* writes to each */
};

/* The shared state of touched_lines. */
struct lines {
    const struct job *job;
    void *blocks[THREADS_MAX]; /* for the thread of each number; or NULL */
};

static void lines_body(void *argument, unsigned number)
{
    struct lines *lines = argument;

    free(lines->blocks[number]);
    for (uint64_t i = 0; i < lines->job->work; i++) {
        void *block = need(malloc(LINE_BLOCK));
        for (unsigned touches = 0; touches < LINE_TOUCHES; touches++)
            touch(block);
        free(block);
    }
}

/* Each thread takes and frees `work` small blocks, each written to again and again: slow if a line
 * of the cache has blocks of two threads. With an `argument` each thread first frees a block that
 * the main thread took, beside those of the other threads. As Hoard's cache-thrash and
 * cache-scratch. */
static void touched_lines(const struct job *job)
{
    struct lines lines = {.job = job};

    for (unsigned i = 0; i < job->threads && job->argument != 0; i++)
        lines.blocks[i] = need(malloc(LINE_BLOCK));
    run_threads(job->threads, lines_body, &lines);
}

enum {
    PIPE_BATCH = 256, /* blocks handed over at once */
    PIPE_DEPTH = 16,  /* batches under way at most */
};

/* A bounded queue of batches from one producer to one consumer, who sleep rather than spin:
 * spinning would count as CPU seconds. `lock` guards the two counts. */
struct pipe {
    uint64_t batches; /* to hand over in all; constant */
    pthread_mutex_t lock;
    pthread_cond_t moved;                 /* one of the counts grew */
    uint64_t sent;                        /* batches filled so far */
    uint64_t taken;                       /* batches emptied so far */
    void *blocks[PIPE_DEPTH][PIPE_BATCH]; /* batch n in line n % PIPE_DEPTH; whose turn it is */
};

/* Adds one to *count and wakes the other side. */
static void pipe_advance(struct pipe *pipe, uint64_t *count)
{
    pthread_mutex_lock(&pipe->lock);
    ++*count;
    pthread_cond_signal(&pipe->moved);
    pthread_mutex_unlock(&pipe->lock);
}

static void pipe_produce(struct pipe *pipe, struct rng *rng)
{
    for (uint64_t batch = 0; batch < pipe->batches; batch++) {
        pthread_mutex_lock(&pipe->lock);
        while (pipe->sent - pipe->taken == PIPE_DEPTH)
            pthread_cond_wait(&pipe->moved, &pipe->lock);
        pthread_mutex_unlock(&pipe->lock);
        for (size_t i = 0; i < PIPE_BATCH; i++) {
            void *block = need(malloc(rng_size(rng)));
            touch(block);
            pipe->blocks[batch % PIPE_DEPTH][i] = block;
        }
        pipe_advance(pipe, &pipe->sent);
    }
}

static void pipe_consume(struct pipe *pipe)
{
    for (uint64_t batch = 0; batch < pipe->batches; batch++) {
        pthread_mutex_lock(&pipe->lock);
        while (pipe->sent == batch)
            pthread_cond_wait(&pipe->moved, &pipe->lock);
        pthread_mutex_unlock(&pipe->lock);
        for (size_t i = 0; i < PIPE_BATCH; i++)
            free(pipe->blocks[batch % PIPE_DEPTH][i]);
        pipe_advance(pipe, &pipe->taken);
    }
}

static void pipe_body(void *argument, unsigned number)
{
    struct pipe *pipe = (struct pipe *)argument + number / 2;
    struct rng rng = rng_make(number);

    if (number % 2)
        pipe_consume(pipe);
    else
        pipe_produce(pipe, &rng);
}

/* threads / 2 producers, each with a consumer that frees all its blocks; `work` blocks for each. */
static void producer_consumer(const struct job *job)
{
    size_t count = (job->threads + 1) / 2;
    struct pipe *pipes = table_make(count * sizeof(*pipes));

    for (size_t i = 0; i < count; i++) {
        pipes[i].batches = job->work / PIPE_BATCH;
        pthread_mutex_init(&pipes[i].lock, NULL);
        pthread_cond_init(&pipes[i].moved, NULL);
    }
    run_threads((unsigned)count * 2, pipe_body, pipes);
    table_free(pipes, count * sizeof(*pipes));
}

enum { CHURN_BLOCKS = 200 }; /* blocks that a thread of thread_churn allocates */

/* Allocates CHURN_BLOCKS, frees every other one and leaves the rest in its line of the table. */
static void churn_body(void *argument, unsigned number)
{
    void **line = (void **)argument + (size_t)number * CHURN_BLOCKS;
    struct rng rng = rng_make(number);

    for (size_t i = 0; i < CHURN_BLOCKS; i++) {
        line[i] = need(malloc(rng_size(&rng)));
        touch(line[i]);
    }
    for (size_t i = 0; i < CHURN_BLOCKS; i += 2) {
        free(line[i]);
        line[i] = NULL;
    }
}

/* Short-lived threads, `threads` (at least 2) at a time and `work` rounds of them; the main thread
 * frees what they left behind. */
static void thread_churn(const struct job *job)
{
    unsigned threads = job->threads < 2 ? 2 : job->threads;
    size_t count = (size_t)threads * CHURN_BLOCKS;
    void **table = table_make(count * sizeof(*table));

    for (uint64_t round = 0; round < job->work; round++) {
        run_threads(threads, churn_body, table);
        for (size_t i = 0; i < count; i++)
            free(table[i]);
    }
    table_free(table, count * sizeof(*table));
}

/* Grows a block by `argument` bytes at a time to `work` MiB, touching the pages it gains. */
static void realloc_steps(const struct job *job)
{
    void *block = NULL;

    for (size_t size = 0; size < job->work * MIB; size += job->argument) {
        block = need(realloc(block, size + job->argument));
        touch_pages(block, size, size + job->argument);
    }
    free(block);
}

/* Grows a block by doubling from `argument` bytes to `work` MiB, touching the pages it gains. */
static void realloc_doubling(const struct job *job)
{
    void *block = NULL;

    for (size_t old = 0, size = job->argument; size <= job->work * MIB; old = size, size *= 2) {
        block = need(realloc(block, size));
        touch_pages(block, old, size);
    }
    free(block);
}

/* `work` vectors that double from 16 bytes to a random length, `argument` of them alive. */
static void realloc_vectors(const struct job *job)
{
    size_t slots = job->argument;
    struct rng rng = rng_make(0);
    void **table = table_make(slots * sizeof(*table));

    for (uint64_t i = 0; i < job->work; i++) {
        void **vector = &table[rng_below(&rng, (uint32_t)slots)];
        size_t length = (size_t)16 << rng_below(&rng, 10);
        free(*vector);
        *vector = NULL;
        for (size_t size = 16; size <= length; size *= 2) {
            *vector = need(realloc(*vector, size));
            touch((char *)*vector + size / 2);
        }
    }
    for (size_t i = 0; i < slots; i++)
        free(table[i]);
    table_free(table, slots * sizeof(*table));
}

/* `work` buffers, `argument` at a time, that grow in turn by halves from 1 KiB until they have a
 * random size of up to 1 MiB; every page of them is touched. */
static void realloc_buffers(const struct job *job)
{
    size_t slots = job->argument;
    struct rng rng = rng_make(0);
    struct buffer {
        char *bytes;
        size_t size, limit;
    } *table = table_make(slots * sizeof(*table));

    for (uint64_t begun = 0; begun < job->work;) {
        struct buffer *buffer = &table[rng_below(&rng, (uint32_t)slots)];
        size_t touched = buffer->size;
        if (buffer->size >= buffer->limit) {
            free(buffer->bytes);
            *buffer = (struct buffer){NULL, KIB, KIB + rng_below(&rng, MIB)};
            touched = 0;
            begun++;
        } else {
            buffer->size += buffer->size / 2;
        }
        buffer->bytes = need(realloc(buffer->bytes, buffer->size));
        touch_pages(buffer->bytes, touched, buffer->size);
    }
    for (size_t i = 0; i < slots; i++)
        free(table[i].bytes);
    table_free(table, slots * sizeof(*table));
}

/* Buffers of 1 .. 32 MiB, `argument` of them alive, every page touched; `work` buffers. */
static void large_buffers(const struct job *job)
{
    size_t slots = job->argument;
    struct rng rng = rng_make(0);
    void **table = table_make(slots * sizeof(*table));

    for (uint64_t i = 0; i < job->work; i++) {
        void **slot = &table[rng_below(&rng, (uint32_t)slots)];
        size_t size = MIB + rng_below(&rng, 31 * MIB);
        free(*slot);
        *slot = need(malloc(size));
        touch_pages(*slot, 0, size);
    }
    for (size_t i = 0; i < slots; i++)
        free(table[i]);
    table_free(table, slots * sizeof(*table));
}

/* `argument` buffers of 256 KiB .. 8 MiB, every page touched, replaced in turn `work` times. */
static void buffers_in_turn(const struct job *job)
{
    size_t slots = job->argument;
    struct rng rng = rng_make(0);
    void **table = table_make(slots * sizeof(*table));

    for (uint64_t i = 0; i < job->work; i++) {
        void **slot = &table[i % slots];
        size_t size = 256 * KIB + rng_below(&rng, 8 * MIB - 256 * KIB);
        free(*slot);
        *slot = need(malloc(size));
        touch_pages(*slot, 0, size);
    }
    for (size_t i = 0; i < slots; i++)
        free(table[i]);
    table_free(table, slots * sizeof(*table));
}

/* `work` steps of `argument` vectors as C++ has them: each grows by half from 1 KiB to 8 MiB, by a
 * copy, and is dropped then; a random one takes the next step. */
static void growing_vectors(const struct job *job)
{
    size_t slots = job->argument;
    struct rng rng = rng_make(0);
    struct vector {
        char *bytes;
        size_t size;
    } *table = table_make(slots * sizeof(*table));

    for (uint64_t i = 0; i < job->work; i++) {
        struct vector *vector = &table[rng_below(&rng, (uint32_t)slots)];
        struct vector old = *vector;
        *vector = (struct vector){NULL, old.size == 0 ? KIB : old.size + old.size / 2};
        if (vector->size <= 8 * MIB) {
            vector->bytes = need(malloc(vector->size));
            touch_pages(vector->bytes, old.size, vector->size);
            if (old.size != 0)
                memcpy(vector->bytes, old.bytes, old.size);
        } else {
            vector->size = 0;
        }
        free(old.bytes);
    }
    for (size_t i = 0; i < slots; i++)
        free(table[i].bytes);
    table_free(table, slots * sizeof(*table));
}

static void hardly_touched_body(void *argument, unsigned number)
{
    const struct job *job = argument;
    struct rng rng = rng_make(number);

    for (uint64_t i = 0; i < job->work; i++) {
        size_t size = 5 * MIB + rng_below(&rng, 25 * MIB);
        char *block = need(malloc(size));
        touch(block + rng_below(&rng, (uint32_t)size));
        touch(block + rng_below(&rng, (uint32_t)size));
        free(block);
    }
}

/* Each thread takes and frees `work` blocks of 5 .. 30 MiB, of which it touches two bytes. */
static void hardly_touched(const struct job *job)
{
    run_threads(job->threads, hardly_touched_body, (void *)job);
}

/* `work` phases, in which a table of `argument` blocks is filled, with blocks of 16 .. 116 and of
 * 300 .. 1000 bytes in turn, and the first nine tenths of it are freed. */
static void small_phases(const struct job *job)
{
    struct rng rng = rng_make(0);
    void **table = table_make(job->argument * sizeof(*table));

    for (uint64_t phase = 0; phase < job->work; phase++) {
        for (size_t i = 0; i < job->argument; i++) {
            size_t size = phase % 2 ? 300 + rng_below(&rng, 701) : 16 + rng_below(&rng, 101);
            if (table[i] == NULL)
                table[i] = memset(need(malloc(size)), 1, size);
        }
        for (size_t i = 0; i < job->argument / 10 * 9; i++) {
            free(table[i]);
            table[i] = NULL;
        }
    }
    for (size_t i = 0; i < job->argument; i++)
        free(table[i]);
    table_free(table, job->argument * sizeof(*table));
}

/* A node of a binary tree. */
struct node {
    struct node *left, *right; /* both NULL in a leaf */
};

/* A full tree of `depth` levels below its root. */
static struct node *tree_make(size_t depth)
{
    struct node *node = need(malloc(sizeof(*node)));
    node->left = depth ? tree_make(depth - 1) : NULL;
    node->right = depth ? tree_make(depth - 1) : NULL;
    return node;
}

static void tree_free(struct node *node)
{
    if (!node)
        return;
    tree_free(node->left);
    tree_free(node->right);
    free(node);
}

/* Builds and drops `work` trees of `argument` levels. */
static void binary_trees(const struct job *job)
{
    for (uint64_t i = 0; i < job->work; i++)
        tree_free(tree_make(job->argument));
}

/* Heaps that are dropped as a whole: acre's and mimalloc's. Of another allocator all are NULL, and
 * each block is freed. */
struct heap_functions {
    void *(*begin)(void);
    void *(*take)(void *heap, size_t size);
    void (*drop)(void *heap);
};

static struct heap_functions heap_functions(void)
{
    static const char *const names[][3] = {
        {"acre_heap_new", "acre_heap_alloc", "acre_heap_destroy"},
        {"mi_heap_new", "mi_heap_malloc", "mi_heap_destroy"},
    };
    void *found[3] = {NULL};
    struct heap_functions functions;
    for (size_t i = 0; i < 2 && found[0] == NULL; i++)
        for (size_t j = 0; j < 3; j++)
            found[j] = dlsym(RTLD_DEFAULT, names[i][j]);
    memcpy(&functions, found, sizeof(functions));
    return functions;
}

/* A heap of `count` blocks of random sizes, built and dropped. `shared`: one that others use, too,
 * which is not dropped. */
static void use_heap(const struct heap_functions *functions, struct rng *rng, void **table,
                     size_t count, void *shared)
{
    void *heap = shared != NULL ? shared : functions->begin != NULL ? functions->begin() : NULL;
    for (size_t i = 0; i < count; i++) {
        size_t size = rng_size(rng);
        table[i] = need(heap != NULL ? functions->take(heap, size) : malloc(size));
        touch(table[i]);
    }
    if (heap == NULL)
        for (size_t i = 0; i < count; i++)
            free(table[i]);
    else if (shared == NULL)
        functions->drop(heap);
}

static void heaps_body(void *argument, unsigned number)
{
    const struct job *job = argument;
    struct heap_functions functions = heap_functions();
    struct rng rng = rng_make(number);
    void **table = table_make(job->argument * sizeof(*table));
    for (uint64_t done = 0; done < job->work; done += job->argument)
        use_heap(&functions, &rng, table, job->argument, NULL);
    table_free(table, job->argument * sizeof(*table));
}

/* Each thread builds and drops heaps of `argument` blocks; `work` blocks in all. */
static void dropped_heaps(const struct job *job)
{
    run_threads(job->threads, heaps_body, (void *)job);
}

static void *heap_of_all; /* of shared_heap */

static void shared_body(void *argument, unsigned number)
{
    const struct job *job = argument;
    struct heap_functions functions = heap_functions();
    struct rng rng = rng_make(number);
    void **table = table_make(job->argument * sizeof(*table));
    use_heap(&functions, &rng, table, job->argument, heap_of_all);
    table_free(table, job->argument * sizeof(*table));
}

/* All threads build one heap, of `argument` blocks of each, which is dropped then; `work` times. */
static void shared_heap(const struct job *job)
{
    struct heap_functions functions = heap_functions();
    for (uint64_t i = 0; i < job->work; i++) {
        heap_of_all = functions.begin != NULL ? functions.begin() : NULL;
        run_threads(job->threads, shared_body, (void *)job);
        if (heap_of_all != NULL)
            functions.drop(heap_of_all);
    }
}

/* A pattern; the name is what the driver and the tables call it. */
struct pattern {
    const char *name;
    void (*run)(const struct job *job);
    struct job job; /* as it runs when the command line says nothing */
};

/* The works are such that a run takes some tenths of a second. */
static const struct pattern patterns[] = {
    {"pair-16", pairs, {16, 20000000, 1}},
    {"pair-64", pairs, {64, 20000000, 1}},
    {"pair-256", pairs, {256, 20000000, 1}},
    {"pair-1k", pairs, {KIB, 20000000, 1}},
    {"pair-4k", pairs, {4 * KIB, 10000000, 1}},
    {"pair-32k", pairs, {32 * KIB, 10000000, 1}},
    {"fifo-16", fifo_batches, {16, 20000000, 1}},
    {"fifo-100", fifo_batches, {100, 20000000, 1}},
    {"fifo-1000", fifo_batches, {1000, 20000000, 1}},
    {"fifo-10000", fifo_batches, {10000, 20000000, 1}},
    {"lifo-16", lifo_batches, {16, 20000000, 1}},
    {"lifo-100", lifo_batches, {100, 20000000, 1}},
    {"lifo-1000", lifo_batches, {1000, 20000000, 1}},
    {"lifo-10000", lifo_batches, {10000, 20000000, 1}},
    {"both-ends-1600", both_ends_batches, {1600, 20000000, 1}},
    {"trees", binary_trees, {16, 100, 1}},
    {"random-1", random_lifetimes, {10000, 10000000, 1}},
    {"random-2", random_lifetimes, {10000, 5000000, 2}},
    {"random-4", random_lifetimes, {10000, 2500000, 4}},
    {"random-8", random_lifetimes, {10000, 2500000, 8}},
    {"random-16", random_lifetimes, {10000, 2500000, 16}},
    {"power-2", power_lifetimes, {1024, 5000000, 2}},
    {"random-medium", random_medium, {1000, 2000000, 1}},
    {"swap-2", swap_blocks, {0, 2500000, 2}},
    {"swap-4", swap_blocks, {0, 1250000, 4}},
    {"thrash-2", touched_lines, {0, 2000000, 2}},
    {"scratch-2", touched_lines, {1, 2000000, 2}},
    {"pipe-2", producer_consumer, {0, 5000000, 2}},
    {"pipe-4", producer_consumer, {0, 2500000, 4}},
    {"thread-churn", thread_churn, {0, 5000, 2}},
    {"realloc-steps", realloc_steps, {64 * KIB, 256, 1}},
    {"realloc-doubling", realloc_doubling, {64 * KIB, 1024, 1}},
    {"realloc-vectors", realloc_vectors, {1000, 1000000, 1}},
    {"realloc-buffers", realloc_buffers, {4, 20000, 1}},
    {"large", large_buffers, {8, 200, 1}},
    {"large-in-turn", buffers_in_turn, {8, 3000, 1}},
    {"large-vectors", growing_vectors, {24, 20000, 1}},
    {"large-untouched", hardly_touched, {0, 5000, 2}},
    {"small-phases", small_phases, {400000, 8, 1}},
    {"heap-100", dropped_heaps, {100, 5000000, 1}},
    {"heap-10000", dropped_heaps, {10000, 10000000, 1}},
    {"heap-100000", dropped_heaps, {100000, 5000000, 1}},
    {"heap-10000-2", dropped_heaps, {10000, 5000000, 2}},
    {"heap-shared-2", shared_heap, {100000, 50, 2}},
    {"calloc-64", calloc_pairs, {64, 20000000, 1}},
    {"calloc-4k", calloc_pairs, {4 * KIB, 5000000, 1}},
    {"calloc-1m", calloc_pairs, {MIB, 10000, 1}},
};

enum { PATTERN_COUNT = sizeof(patterns) / sizeof(patterns[0]) };

static void print_list(void)
{
    for (size_t i = 0; i < PATTERN_COUNT; i++)
        printf("%s %llu %u\n", patterns[i].name, (unsigned long long)patterns[i].job.work,
               patterns[i].job.threads);
}

/* Prints the path of the object whose malloc this program is bound to. */
static void print_where(void)
{
    Dl_info info;
    if (!dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info))
        die("malloc is in no object");
    printf("%s\n", info.dli_fname);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        print_list();
        return 0;
    }
    if (argc == 2 && !strcmp(argv[1], "--where")) {
        print_where();
        return 0;
    }
    if (argc < 2 || argc > 4)
        die("usage: pattern NAME [WORK [THREADS]] | --list | --where");
    for (size_t i = 0; i < PATTERN_COUNT; i++) {
        if (strcmp(argv[1], patterns[i].name))
            continue;
        struct job job = patterns[i].job;
        if (argc > 2)
            job.work = parse_count(argv[2]);
        if (argc > 3)
            job.threads = (unsigned)parse_count(argv[3]);
        patterns[i].run(&job);
        report("peak-rss", (double)resident_peak(), "bytes");
        return 0;
    }
    die("no such pattern; --list names them");
}
