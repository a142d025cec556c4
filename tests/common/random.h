/* A random generator (splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", 2014). Each thread has its own; the numbers follow from the first state. */
#ifndef ACRE_TESTS_COMMON_RANDOM_H
#define ACRE_TESTS_COMMON_RANDOM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define RANDOM_STEP UINT64_C(0x9e3779b97f4a7c15)
#define RANDOM_SEED_VARIABLE "ACRE_SEED" /* in the environment: repeats a run of tests/unit */

struct random {
    uint64_t state;
};

/* Spreads each bit of the value over all. */
static inline uint64_t random_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

/* A generator that begins with the seed, or with 1 where that is not set; one that differs for each
 * number, of a thread or a round. */
static inline struct random random_begin_for(uint64_t number)
{
    const char *text = getenv(RANDOM_SEED_VARIABLE);
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 1;
    return (struct random){random_mix(seed) + number};
}

static inline struct random random_begin(void)
{
    return random_begin_for(0);
}

static inline uint64_t random_next(struct random *random)
{
    random->state += RANDOM_STEP;
    return random_mix(random->state);
}

/* A number of 0 .. limit - 1; limit is not 0. */
static inline size_t random_below(struct random *random, size_t limit)
{
    return random_next(random) % limit;
}

/* The same, small ones far more often: each power of two is about as likely. */
static inline size_t random_small(struct random *random, size_t limit)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(limit | 1);
    size_t value = random_next(random) & (((size_t)1 << random_below(random, bits + 1)) - 1);
    return value % limit;
}

#endif
