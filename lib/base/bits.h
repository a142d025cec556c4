/*
 * First-fit scans over words of bits: bit i stands in word i / 64 at position i % 64. Pure
 * functions over plain arrays, no OS; the caller holds whatever lock guards the words. Other
 * threads may read a word that is changed: it is stored to whole, relaxed.
 */
#ifndef ACRE_LIB_BITS_H
#define ACRE_LIB_BITS_H

#include "base/base.h"

static inline bool bits_test(const uint64_t *words, size_t bit)
{
    return (words[bit / 64] >> (bit % 64)) & 1;
}

/* Sets bits first .. first+count-1. */
void bits_set(uint64_t *words, size_t first, size_t count);

/* Clears bits first .. first+count-1. */
void bits_clear(uint64_t *words, size_t first, size_t count);

/* The lowest set bit at or above `from` and below `limit`; limit if there is none. */
size_t bits_lowest(const uint64_t *words, size_t from, size_t limit);

/* The lowest clear bit likewise. */
size_t bits_lowest_clear(const uint64_t *words, size_t from, size_t limit);

/* Bit i: `run` (1 .. 65) set bits in a row begin at bit i of `word`; they may go on in `next`. */
uint64_t bits_run_starts(uint64_t word, uint64_t next, size_t run);

/* The lowest start of `run` (1 .. 65) set bits in a row within from .. limit-1; limit if none. */
size_t bits_find_run(const uint64_t *words, size_t from, size_t limit, size_t run);

/* How many of bits first .. first+count-1 are set. */
size_t bits_count(const uint64_t *words, size_t first, size_t count);

#endif
