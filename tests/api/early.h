/*
 * What early_lib.c, a library whose constructors allocate before main, tells the tests.
 */
#ifndef ACRE_TESTS_API_EARLY_H
#define ACRE_TESTS_API_EARLY_H

enum { EARLY_BLOCKS = 200 };

/* Blocks that its first constructor made, filled by fill(block, early_size(i), i). */
extern void *early_blocks[EARLY_BLOCKS];

/* The size of block i: TINY, SMALL and a few LARGE ones. */
static inline unsigned long early_size(unsigned i)
{
    return i % 50 == 0 ? 1500000 : 1 + i * 37;
}

#endif
