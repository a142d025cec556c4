/*
 * A small random generator for tests (Marsaglia's xorshift64*, in Vigna's form), so that a failure
 * can be repeated: the seed comes from the environment variable ACRE_SEED, which the test runner
 * sets if the user has not, and every failure message names it.
 */
#ifndef ACRE_TESTS_UNIT_RANDOM_H
#define ACRE_TESTS_UNIT_RANDOM_H

#include <stdint.h>
#include <stdlib.h>

#define RANDOM_SEED_VARIABLE "ACRE_SEED"

struct random {
    uint64_t seed;  /* what it began with, for messages */
    uint64_t state; /* not 0 */
};

/* A generator that begins with ACRE_SEED, or with 1 where that is not set. */
static inline struct random random_begin(void)
{
    const char *text = getenv(RANDOM_SEED_VARIABLE);
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 1;
    /* so that near seeds differ in many bits */
    uint64_t state = seed ^ UINT64_C(0x9e3779b97f4a7c15);

    return (struct random){.seed = seed, .state = state != 0 ? state : 1};
}

/* One that differs for each number, of a thread or a round. */
static inline struct random random_begin_for(uint64_t number)
{
    struct random random = random_begin();
    random.state += number;
    return random;
}

/* 64 random bits. */
static inline uint64_t random_next(struct random *random)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return random->state * UINT64_C(0x2545f4914f6cdd1d);
}

/* A random number below `limit`, which is not 0; the bias is of no account in tests. */
static inline uint64_t random_below(struct random *random, uint64_t limit)
{
    return (random_next(random) >> 11) % limit;
}

#endif
