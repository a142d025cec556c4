/*
 * Random numbers, and the functions of an exponential distribution. Pure functions; libm is not
 * linked.
 */
#ifndef ACRE_LIB_CHANCE_H
#define ACRE_LIB_CHANCE_H

#include "base/base.h"

/* 64 random bits; *state is any word. splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
 * number generators", 2014). */
uint64_t chance_bits(uint64_t *state);

/* A random number above 0 and 1 at most, evenly distributed. */
double chance_number(uint64_t *state);

/* -ln(x), x above 0 and 1 at most; error below 1e-11. */
double chance_minus_log(double x);

/* 1 - exp(-x), x above 0; relative error below 1e-10. */
double chance_of(double x);

#endif
