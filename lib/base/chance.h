/*
 * Random numbers, and the functions of an exponential distribution. Pure functions; libm is not
 * linked.
 */
#ifndef ACRE_LIB_CHANCE_H
#define ACRE_LIB_CHANCE_H

#include "base/base.h"

/* 64 random bits; *state is any word. splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
 * number generators", 2014). */
static inline uint64_t chance_bits(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* A number below `limit`, made of 64 random bits: each as likely as the others, but for
 * limit / 2^64. */
static inline uint64_t chance_below(uint64_t bits, uint64_t limit)
{
    return (uint64_t)((unsigned __int128)bits * limit >> 64);
}

/* A random number above 0 and 1 at most, evenly distributed. */
double chance_number(uint64_t *state);

/* -ln(x), x above 0 and 1 at most; error below 1e-11. */
double chance_minus_log(double x);

/* 1 - exp(-x), x above 0; relative error below 1e-10. */
double chance_of(double x);

#endif
