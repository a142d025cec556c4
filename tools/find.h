/*
 * What an address is: a block of a view, with its state, or another part of acre's memory.
 */
#ifndef ACRE_TOOLS_FIND_H
#define ACRE_TOOLS_FIND_H

#include "inspect/view.h"

enum find_kind {
    FIND_NOT_ACRE,    /* no block, heap or extent of acre's */
    FIND_BLOCK,       /* in a slab's block */
    FIND_SLAB_REST,   /* in a slab, after its last block */
    FIND_FREE_UNIT,   /* in a heap, in no slab */
    FIND_HEAP_HEADER, /* in a heap's header or states */
    FIND_LARGE,       /* in a LARGE block */
    FIND_STOCK,       /* in a free extent */
    FIND_GUARDED,     /* in a guarded block's page, or next to it */
    FIND_POOL,        /* in the pool of guarded blocks, where there never was one */
};

struct found {
    enum find_kind kind;
    struct view_arena arena; /* of BLOCK, SLAB_REST, FREE_UNIT and HEAP_HEADER */
    struct view_heap heap;   /* likewise */
    struct view_slab slab;   /* of BLOCK and SLAB_REST */
    uint64_t block, size;    /* of BLOCK, a wide one as a whole, LARGE, STOCK and GUARDED */
    uint64_t slot;           /* of GUARDED: the slot's address */
    bool live;               /* of GUARDED */
    uint32_t number, places; /* of BLOCK: in its slab, and how many places it has */
    uint8_t state;           /* of BLOCK: enum block_state, REST only if no block has it */
};

/* Says what an address is. */
void find_address(struct view *view, uint64_t address, struct found *found);

#endif
