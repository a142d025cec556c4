/*
 * The ledger: which blocks the program knows to be live, at each instant at which a fork may
 * happen, and what the allocator held besides when the stepped call began (blocks of libc's). The
 * blocks are filled, the large ones at both ends. Nothing here is allocated, and one thread at a
 * time calls.
 */
#ifndef ACRE_TESTS_FORK_LEDGER_H
#define ACRE_TESTS_FORK_LEDGER_H

#include "stats.h"

/* What is live but not on the ledger, and what is mapped but in no figure of the allocator. */
struct ledger_rest {
    size_t blocks[ACRE_STATS_CLASSES]; /* TINY and SMALL, by class */
    size_t large_blocks;
    size_t address_space; /* bytes mapped */
};

/* To be called once in each process, before anything is measured. */
void ledger_init(void);

/* Adds a live block of `size` bytes and fills it. */
void ledger_add(void *block, size_t size);

/* Takes a block off, which is still live and as it was filled. */
void ledger_remove(void *block);

/* Checks that each block is live, large enough and as it was filled. */
void ledger_check(void);

/* Checks that [block, block + size) overlaps none of the blocks. */
void ledger_check_apart(const void *block, size_t size);

/* Frees all blocks. */
void ledger_free_all(void);

/*
 * Before a stepped call: notes the rest, and takes `argument`, which the call is given (NULL:
 * none), off the ledger: from now on the program does not know whether it is live.
 */
void ledger_begin_call(void *argument);

/* After the call. */
void ledger_end_call(void);

/* In a child whose stepped thread is lost: puts the argument of its call on the ledger again if it
 * is live, with contents unharmed. */
void ledger_find_argument(void);

/* The rest when the stepped call began, and now. */
const struct ledger_rest *ledger_rest_before(void);
void ledger_rest_now(struct ledger_rest *rest);

/* The class whose blocks malloc(size) returns; size is at most that of the largest class. */
unsigned ledger_class(const struct acre_stats *stats, size_t size);

/* The size of the class of an allocator's figures. */
enum { LEDGER_LARGE_FROM = (1 << 20) + 1 }; /* bytes; smaller blocks are TINY or SMALL */

#endif
