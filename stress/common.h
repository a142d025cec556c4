/*
 * What the stress programs share: arguments, blocks whose whole content is checked, tables of them,
 * and worker threads that work in rounds with a quiet point between them.
 *
 * Every program takes three arguments, all optional: for how many seconds to run, the seed (0:
 * choose one), and the number of worker threads. The seed is printed at the start and in every
 * message of a failure. The random choices of a worker in its n-th round follow from the seed
 * alone, and the time decides how many rounds there are; how threads interleave is up to the
 * machine.
 */
#ifndef ACRE_STRESS_COMMON_H
#define ACRE_STRESS_COMMON_H

#include "random.h"

#include <stdbool.h>
#include <sys/types.h>

enum {
    STRESS_THREADS_MAX = 64,
    STRESS_ALIGNMENT = 16, /* bytes; the library aligns every block to that */
};

/* The memory, in bytes, that the blocks of all threads of a program together may take. */
#define STRESS_MEMORY ((size_t)320 << 20)

/* The library's check of all its structures, in debug builds. Other threads must be quiet. */
int acre_debug_validate(void) __attribute__((weak));

/* A number of bytes below `limit`; all but one in `share` are below `small_limit`. */
size_t random_size(struct random *random, size_t small_limit, size_t share, size_t limit);

/* A block and what is in it: `size` bytes of a pattern that follows from address, size and seed. */
struct block {
    unsigned char *address; /* NULL: no block */
    size_t size;            /* bytes that are filled: as requested, or all that are usable */
    size_t cost;            /* bytes that it counts for in a table: its size, and more if aligned */
    uint64_t key;           /* where the pattern starts */
};

/*
 * Takes a block of `size` bytes by malloc, calloc, realloc or an aligned function, as chance has
 * it; checks that it is aligned, that its usable size is enough and that calloc's bytes are zero;
 * fills it. A failed allocation is a failure of the program, as the memory is bounded.
 */
struct block block_allocate(struct random *random, size_t size);

/* Checks address and usable size of what an allocation function has returned, and fills it. */
struct block block_adopt(void *address, size_t size);

/* Checks the first `size` bytes at `address` against the pattern of `block`. */
void block_check_prefix(const struct block *block, const unsigned char *address, size_t size);

/* Checks the whole content and frees the block, if there is one; errno must survive. */
void block_release(struct block *block);

/* Changes the size by realloc, checks the content that both sizes share, and fills it. */
struct block block_resize(const struct block *block, size_t size);

/* Blocks of one worker, or of several that take turns. */
struct table {
    struct block *block; /* address NULL: an empty slot */
    size_t count;        /* of slots */
    size_t live;         /* bytes of all blocks, by their cost */
};

/* Frees the block of a slot, if there is one; of all slots from `first` on. */
void table_release(struct table *table, size_t slot);
void table_release_from(struct table *table, size_t first);

/* Puts a block into an empty slot. */
void table_put(struct table *table, size_t slot, struct block block);

/* Resizes the block of a slot. */
void table_resize(struct table *table, size_t slot, size_t size);

/* One worker thread. The pointer to it is what the functions of a program get. */
struct worker {
    int number; /* from 0 */
    struct random random;
    size_t memory; /* bytes that its blocks may take together */
    struct table table;
};

/* The table of worker `number`. */
struct table *stress_table(int number);

/* Frees the block of a slot of the worker's, and takes another one if there is memory for it. */
void worker_replace(struct worker *worker, size_t slot, size_t size);

/*
 * A program that works in rounds. All workers run the round function, meet, one of them validates
 * the library's structures and calls between_rounds while the others wait; and so on, until the
 * time is over. Then each runs finish and frees what is in its table. Functions that are not needed
 * are NULL.
 */
struct program {
    const char *name;
    size_t slots;  /* of each worker's table */
    size_t memory; /* bytes that all blocks may take; 0: STRESS_MEMORY */
    void (*start)(struct worker *worker);
    void (*round)(struct worker *worker, unsigned long round);
    void (*between_rounds)(unsigned long round);
    void (*finish)(struct worker *worker);
};

/* Runs the program with its arguments; returns the exit status. */
int stress_main(const struct program *program, int argc, char **argv);

/* For programs with a loop of their own: reads the arguments and prints the first line. */
void stress_start(const char *name, int argc, char **argv);
bool stress_time_is_over(void);
int stress_threads(void);
uint64_t stress_seed(void);

/* Prints the last line: how much was done. Returns the exit status. */
int stress_end(unsigned long rounds);

/* The generator of thread or process `number`: the same for the same seed and number. */
struct random stress_random(uint64_t number);

/* Validates the library's structures if it is a debug build. Other threads must be quiet. */
void stress_validate(void);

/* Waits for the child and fails unless it exited with 0. */
void stress_wait_for(pid_t child);

/* Prints the message with program, seed and threads, and ends the process by _exit(1). */
void stress_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
