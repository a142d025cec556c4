/*
 * No line of the cache has blocks of two threads, whatever is freed by whom: a block that another
 * thread frees goes back to the thread that allocated it. Eight threads that all live take small
 * blocks, all at once; free blocks that main took one beside the other, and take new ones; and
 * free each other's, and take new ones. The thread that allocated it is who writes to a block.
 */
#include "check.h"

enum {
    THREADS = 8,
    BLOCKS = 500, /* of a thread, of each size */
    STRIDE = 7,   /* has no factor in common with it */
    ROUNDS = 4,   /* of freeing each other's */
    LINE = 64,
};

static const size_t sizes[] = {1, 16, 24, 40, 48, 80};

/* The blocks of each thread: written by that thread, or by main while all threads wait. */
static char *blocks[THREADS][COUNT_OF(sizes)][BLOCKS];
static char *of_main[THREADS][COUNT_OF(sizes)][BLOCKS];
static pthread_barrier_t barrier;

static void wait_for_all(void)
{
    int result = pthread_barrier_wait(&barrier);
    CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
}

static void take_all(size_t thread)
{
    for (size_t i = 0; i < BLOCKS; i++)
        for (size_t s = 0; s < COUNT_OF(sizes); s++)
            CHECK((blocks[thread][s][i] = malloc(sizes[s])) != NULL);
}

/* Frees all, in an order in which no neighbours follow each other: a thread that kept some of them
 * would have parts of lines. */
static void free_all(char *(*table)[BLOCKS])
{
    for (size_t i = 0; i < BLOCKS; i++)
        for (size_t s = 0; s < COUNT_OF(sizes); s++)
            free(table[s][i * STRIDE % BLOCKS]);
}

static void *run(void *argument)
{
    size_t self = (size_t)argument;
    take_all(self);
    wait_for_all(); /* main looks */
    wait_for_all();
    free_all(of_main[self]);
    free_all(blocks[self]);
    take_all(self);
    wait_for_all();
    for (int round = 0; round < ROUNDS; round++) {
        wait_for_all();
        free_all(blocks[(self + 1) % THREADS]);
        wait_for_all(); /* all have read their neighbour's addresses */
        take_all(self);
        wait_for_all();
    }
    wait_for_all();
    return NULL;
}

/* A line that a block lies in, and whose it is. */
struct line {
    uintptr_t line;
    size_t thread;
};

static int by_line(const void *a, const void *b)
{
    const struct line *left = a, *right = b;
    return (left->line > right->line) - (left->line < right->line);
}

/* Checks what the threads, which all wait, have now. */
static void check_lines(void)
{
    enum { MOST = THREADS * COUNT_OF(sizes) * BLOCKS * 2 };
    static struct line lines[MOST];
    size_t count = 0;
    for (size_t thread = 0; thread < THREADS; thread++)
        for (size_t s = 0; s < COUNT_OF(sizes); s++)
            for (size_t i = 0; i < BLOCKS; i++) {
                uintptr_t first = (uintptr_t)blocks[thread][s][i];
                lines[count++] = (struct line){first / LINE, thread};
                lines[count++] = (struct line){(first + sizes[s] - 1) / LINE, thread};
            }
    qsort(lines, count, sizeof(lines[0]), by_line);
    for (size_t i = 1; i < count; i++)
        CHECK(lines[i].line != lines[i - 1].line || lines[i].thread == lines[i - 1].thread);
}

/* Takes blocks of which each line has some for several threads. */
static void take_side_by_side(void)
{
    for (size_t s = 0; s < COUNT_OF(sizes); s++)
        for (size_t i = 0; i < BLOCKS; i++)
            for (size_t thread = 0; thread < THREADS; thread++)
                CHECK((of_main[thread][s][i] = malloc(sizes[s])) != NULL);
    size_t shared = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        for (size_t thread = 1; thread < THREADS; thread++)
            shared += (uintptr_t)of_main[thread][0][i] / LINE ==
                      (uintptr_t)of_main[thread - 1][0][i] / LINE;
    CHECK(shared > BLOCKS);
}

int main(void)
{
    pthread_t threads[THREADS];
    check_begin();
    take_side_by_side();
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS + 1) == 0);
    start_threads(threads, THREADS, run);
    wait_for_all();
    check_lines();
    wait_for_all();
    wait_for_all();
    check_lines();
    for (int round = 0; round < ROUNDS; round++) {
        wait_for_all();
        wait_for_all();
        wait_for_all();
        check_lines();
    }
    wait_for_all();
    join_threads(threads, THREADS);
    return 0;
}
