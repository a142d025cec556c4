/*
 * A slab's descriptor, struct slab: all that is known of a slab but the states of its blocks; and
 * its geometry, what other threads may know. Descriptors stand in the header of their heap, so that
 * the heap layer needs the structure; what is done with a slab is in slab/slab.h.
 */
#ifndef ACRE_LIB_DESCRIPTOR_H
#define ACRE_LIB_DESCRIPTOR_H

#include "base/base.h"
#include "base/list.h"
#include "base/size_class.h"
#include "base/states.h"
#include "heap/unit_map.h"

#include <assert.h>

struct arena;
struct bin;

enum {
    SLAB_MAX_UNITS = 16,
    SLAB_MAX_BLOCKS = 4096,
    HEAP_BYTES_OF_STATE = 64,               /* a heap has a byte of states for 64 bytes */
    HEAP_LINES = 1 << (HEAP_SHIFT - 6 - 6), /* lines of 64 states */
};

static_assert(HEAP_LINES * STATES_GROUP * HEAP_BYTES_OF_STATE == HEAP_SIZE,
              "HEAP_LINES covers exactly one heap");

/* 128 bytes: two lines, kept apart by what writes them. */
struct slab {
    /* Read by every free. Written while no block of the slab is live, or, by slab_resize, to
     * another class. */
    struct arena *owner; /* [owner, any reads] the arena; NULL: heap_nobody or heap_header */
    char *base;          /* [owner] the first block */
    uint8_t *states;     /* [owner] one for each block, then BLOCK_END to the end of the line */
    uint64_t reciprocal; /* [owner] 2^64 / block_size, rounded up: see slab_starts_block */
    struct bin *bin;     /* [owner] the arena's bin of the class */
    uint64_t geometry;   /* [heap lock, release; any reads, acquire] 0: no slab; else a struct
                            slab_geometry. Published last, withdrawn first */
    uint32_t block_size; /* [owner] bytes, 16 .. 1 MiB */
    uint16_t count;      /* [owner] blocks, 1 .. SLAB_MAX_BLOCKS */
    uint8_t class;       /* [owner] size class */

    /* [owner], all but the last */
    CACHE_ALIGNED uint64_t summary; /* bit g: group g of 64 states may hold FREE ones */
    uint32_t until_check;           /* give-backs until slab_check. Neither current nor listed: 1;
                                       current: NEVER_CHECKED, or 1 if the slab is one block;
                                       listed: LIVE blocks less the magazine's capacity, or 1 */
    uint16_t live_hint;             /* number of a block that was LIVE at the last look */
    uint16_t fresh_group;           /* groups from here on were never handed out: as `zero` says */
    struct list_node node;          /* on the bin's list of partly free slabs, if it is listed */
    bool zero;                      /* its memory was known to be zero when the slab was made */
    bool untouched;                 /* it had no pages then */
    bool purged;                    /* may have PURGED blocks */
    bool wide;                      /* may have WIDE and REST blocks */
    bool sampled;                   /* may have SAMPLED and QUARANTINED blocks */
    bool purged_for_owner; /* [any, release; owner clears] likewise, and the owner does not know
                              yet: doc/remote.md */
};

static_assert(sizeof(struct slab) == 2 * CACHE_LINE, "a descriptor is two lines");

/* What another thread needs to know of a slab: published as one word. */
struct slab_geometry {
    uint64_t class : 6;       /* size class */
    uint64_t count : 13;      /* blocks, 1 .. SLAB_MAX_BLOCKS */
    uint64_t first_unit : 9;  /* of its run */
    uint64_t units : 6;       /* 1 .. SLAB_MAX_UNITS */
    uint64_t first_line : 15; /* of its states, in lines of 64 */
    uint64_t zero : 15;
};

static_assert(SIZE_CLASS_COUNT <= 1 << 6 && SLAB_MAX_BLOCKS < 1 << 13 && HEAP_UNITS <= 1 << 9 &&
                  SLAB_MAX_UNITS < 1 << 6 && HEAP_LINES <= 1 << 15,
              "each part has bits enough in the word");

union geometry_word {
    struct slab_geometry geometry;
    uint64_t word;
};

static inline uint64_t geometry_pack(struct slab_geometry geometry)
{
    return (union geometry_word){.geometry = geometry}.word;
}

static inline struct slab_geometry geometry_unpack(uint64_t word)
{
    return (union geometry_word){.word = word}.geometry;
}

/*
 * How many lines of states a slab takes. Where its blocks do not fill its run, what is left over is
 * shorter than a block; the address where it begins has a state too, the sentinel BLOCK_END. So
 * free may read the state of any place in the run without asking whether there is a block.
 */
static inline size_t geometry_lines(struct slab_geometry g)
{
    bool tail = (size_t)g.count * size_class_sizes[g.class] != (size_t)g.units * UNIT_SIZE;
    return (g.count + tail + STATES_GROUP - 1) / STATES_GROUP;
}

#endif
