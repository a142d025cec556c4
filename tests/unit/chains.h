/*
 * Chains of calls whose return addresses are known: each function notes its own. chains.c is
 * compiled twice, with frame pointers and without.
 */
#ifndef ACRE_TESTS_UNIT_CHAINS_H
#define ACRE_TESTS_UNIT_CHAINS_H

#include <stddef.h>
#include <stdint.h>

enum { CHAIN_MOST = 300 };

/* Functions whose frames are found in different ways. */
enum chain_link {
    LINK_PLAIN,
    LINK_ALLOCA,    /* has no fixed size: counted from the frame pointer */
    LINK_ALIGNED,   /* aligns its stack: held by the frame, on x86-64 */
    LINK_LARGE,     /* larger than a page */
    LINK_ARGUMENTS, /* pushes arguments */
    LINKS,
};

struct chain {
    const enum chain_link *links; /* one for each call */
    size_t length;
    void (*leaf)(struct chain *chain); /* what the last one calls */
    uintptr_t returns[CHAIN_MOST];     /* in the order of the calls */
    size_t depth;
};

/* Calls the functions, each from the one before. Returns a number that means nothing. */
typedef int chain_run(struct chain *chain);
chain_run chain_run_framed, chain_run_bare;

#endif
