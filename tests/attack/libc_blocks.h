/*
 * The blocks that the C library and the loader take: the thread-local storage of threads is in one
 * each, and calloc is all that they call. They are live, though no step has made them, and the
 * attacker leaves them alone.
 */
#ifndef ACRE_TESTS_ATTACK_LIBC_BLOCKS_H
#define ACRE_TESTS_ATTACK_LIBC_BLOCKS_H

#include "model.h"

/* acre's calloc for the program itself, whose own hides it. */
void *libc_blocks_calloc(size_t count, size_t size);

/* Their number and their usable bytes. */
struct model_totals libc_blocks_totals(void);

/* True if one of them starts there. */
bool libc_blocks_starting(uintptr_t start);

/* True if one of them has a byte of [start, end). */
bool libc_blocks_overlapping(uintptr_t start, uintptr_t end);

/* The lowest start of one of them in [start, end), or end; `start` if one has that byte. */
uintptr_t libc_blocks_bound(uintptr_t start, uintptr_t end);

/* The place of the next one, for libc_blocks_gone, which says that it was freed. */
unsigned libc_blocks_next(void);
void libc_blocks_gone(unsigned place);

#endif
