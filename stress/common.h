/*
 * What the stress programs share: arguments, a repeatable random generator, blocks whose whole
 * content is checked, and worker threads that work in rounds with a quiet point between them.
 *
 * Every program takes three arguments, all optional: for how many seconds to run, the seed (0:
 * choose one), and the number of worker threads. The seed is printed at the start and in every
 * message of a failure. The random choices of a worker in its n-th round follow from the seed
 * alone, and the time decides how many rounds there are; how threads interleave is up to the
 * machine.
 */
#ifndef ACRE_STRESS_COMMON_H
#define ACRE_STRESS_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STRESS_THREADS_MAX = 64,
    STRESS_ALIGNMENT = 16, /* bytes; the library aligns every block to that */
};

/* The memory, in bytes, that the blocks of all threads of a program together may take. */
#define STRESS_MEMORY ((size_t)320 << 20)

/* The library's check of all its structures, in debug builds. Other threads must be quiet. */
int acre_debug_validate(void) __attribute__((weak));

/* A generator (splitmix64); each thread has its own. */
struct random {
    uint64_t state;
};

uint64_t random_next(struct random *random);

/* A number of 0 .. limit - 1; limit is not 0. */
size_t random_below(struct random *random, size_t limit);

/* A number of 0 .. limit - 1, small ones far more often: each power of two is about as likely. */
size_t random_size(struct random *random, size_t limit);

/* A block and what is in it: `size` bytes of a pattern that follows from address, size and seed. */
struct block {
    unsigned char *address; /* NULL: no block */
    size_t size;            /* bytes that are filled: as requested, or all that are usable */
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

/* The same; takes the bytes of the block, if there is one, off *live. */
void block_release_counted(struct block *block, size_t *live);

/* The same with `count` blocks, which are all that *live counts. */
void blocks_release_all(struct block *block, size_t count, size_t *live);

/* One worker thread. The pointer to it is what the functions of a program get. */
struct worker {
    int number; /* from 0 */
    struct random random;
    size_t memory; /* bytes that its blocks may take together */
    void *state;   /* the program's own, from the start function */
};

/*
 * A program that works in rounds. All workers run the round function, meet, one of them validates
 * the library's structures and calls between_rounds while the others wait; and so on, until the
 * time is over. Then each runs finish. Functions that are not needed are NULL.
 */
struct program {
    const char *name;
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

/* Prints the message with program, seed and threads, and ends the process by _exit(1). */
void stress_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
