/*
 * The program's own knowledge of what is live: every block that the sequence has made, and the live
 * ones in a treap by address (Seidel, Aragon, "Randomized search trees", 1996). Live blocks are
 * filled with a pattern. Nothing here is allocated, and one thread at a time calls.
 */
#ifndef ACRE_TESTS_ATTACK_MODEL_H
#define ACRE_TESTS_ATTACK_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block {
    char *start;
    size_t asked, usable;  /* bytes */
    uint64_t key;          /* of the pattern */
    unsigned step, number; /* that it is named by */
    bool live;
    size_t index;               /* among the live ones */
    struct block *left, *right; /* in the treap; the heap's order is that of `key` */
    bool gone; /* dead, and part of it was seen unmapped: other memory may be there later */
};

/* Totals of the live blocks. */
struct model_totals {
    size_t blocks, bytes; /* usable ones */
};

/* The number of blocks that the step may still be given. */
size_t model_room(void);

/* Adds a live block, the next one of the step, and fills it. It overlaps no other. */
struct block *model_add(unsigned step, char *start, size_t asked, size_t usable);

/* The block is live no more. */
void model_remove(struct block *block);

/* The block that is so named, live or not; NULL if none is. */
struct block *model_named(unsigned step, unsigned number);

/* How many blocks the step has made. */
unsigned model_made(unsigned step);

/* The highest live block that has a byte of [start, end), or NULL. */
struct block *model_overlapping(uintptr_t start, uintptr_t end);

/* The live block that starts there, or NULL. */
struct block *model_starting(uintptr_t start);

/* Live blocks, in no order. */
struct block *model_live(size_t index);
size_t model_live_count(void);

/* One of the blocks that were removed last; 0: the last one. NULL if that many were not. */
enum { MODEL_REMOVED = 64 };
struct block *model_removed(size_t back);

/* Blocks in the order in which they were made. */
struct block *model_block(size_t index);
size_t model_block_count(void);

struct model_totals model_totals(void);

/* Fills a block with its pattern. */
void model_fill(const struct block *block);

/* True if the first `size` bytes at `at` are as the block was filled. */
bool model_is_intact(const struct block *block, const char *at, size_t size);

#endif
