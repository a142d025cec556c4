/*
 * The entries of LARGE blocks and free extents, and the index over those that are LIVE or STOCK:
 * the searches, and the functions by which extents.c keeps it up to date. Lock: the caller's.
 *
 * The index is a treap over all LIVE and STOCK entries, ordered by address (Seidel and Aragon,
 * "Randomized search trees", 1996); priorities are a hash of the entry's own address, so nothing
 * random is stored and an entry's base may change.
 *
 * Free extents that touch stay entries of their own, so that each keeps its exact stamp and what is
 * known of its contents; together they are a run, and a block is carved from a run wherever their
 * borders are. Each node of the index knows where its subtree begins and ends, the runs at its two
 * ends and the largest within (the summary of the "largest sum of a segment" tree: Bentley,
 * "Programming Pearls", column 8), the earliest stamp, and the number of its pieces. That makes
 * searches for room and for what is due O(log n), expected. Nothing here recurses.
 */
#ifndef ACRE_LIB_EXTENTS_INDEX_H
#define ACRE_LIB_EXTENTS_INDEX_H

#include "base/base.h"

enum extent_state {
    EXTENT_UNUSED = 0, /* the entry describes nothing; all zero, as new chunks are */
    EXTENT_LIVE,       /* a block that the program holds; in the index */
    EXTENT_STOCK,      /* free and mapped; in the index */
    EXTENT_LEAVING,    /* one thread's own and out of the index: an entry taken but not yet
                          published, or a range around its system call; a thread has one such
                          range at a time, which is what a child may lose (a block that has grown
                          and the reserve after it are one until the reserve is published) */
};

/* The stamp of an extent that never falls due. */
#define EXTENT_KEPT UINT64_MAX

/* What an entry and those below it in the index amount to. */
struct extent_summary {
    uintptr_t base, end; /* addresses: where the first begins, where the last ends */
    size_t head, tail;   /* bytes of the runs that begin at `base` and end at `end`, 0 if none */
    size_t largest;      /* bytes of the largest run */
    uint64_t oldest;     /* the earliest stamp of a STOCK extent, EXTENT_KEPT if none */
    size_t pieces;       /* ranges that do not touch each other */
};

/* STOCK extents that touch, as many as do. */
struct extent_run {
    uintptr_t base; /* address */
    size_t size;    /* bytes */
};

/* All fields are guarded by the caller's lock, except that a LEAVING entry belongs to the thread
 * that has made it so. */
struct extent {
    uintptr_t base; /* address; written before the state that publishes it */
    size_t size;    /* bytes, not 0 while LIVE or STOCK; one store publishes a change */
    uint64_t stamp; /* STOCK: ms, when the part that has been free for longest was freed */
    uint8_t state;  /* enum extent_state; one store publishes a change */
    bool zero;      /* STOCK, and LIVE when just carved: all its contents are known to be zero;
                       set before it grows or is published */
    /* Derived, while in the index: */
    struct extent *parent, *left;
    struct extent *right;        /* while UNUSED: the next unused entry */
    struct extent_summary below; /* of this entry and all below it in the index */
};

enum { EXTENTS_PER_CHUNK = 256 }; /* a piece of some 28 KiB */

/* A piece of the table; all zero when it is added. */
struct extent_chunk {
    struct extent_chunk *next; /* constant once added */
    struct extent entries[EXTENTS_PER_CHUNK];
};

/* A table with its index; all zero is a valid empty one. */
struct extents {
    struct extent_chunk *chunks; /* the truth: published by one store */
    /* Derived: */
    struct extent *root;               /* of the index */
    struct extent *unused;             /* list through `right` */
    size_t spare;                      /* entries on it */
    size_t live_bytes, live_blocks;    /* LIVE */
    size_t stock_bytes, stock_extents; /* STOCK */
    size_t dirty_bytes;                /* of stock_bytes, in extents not known to be zero */
};

/* The address after an entry's last byte. */
static inline uintptr_t extent_end(const struct extent *entry)
{
    return entry->base + entry->size;
}

/* The earlier of two stamps. */
static inline uint64_t extent_earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Puts an entry that is LIVE or STOCK into the index. */
void extents_index_insert(struct extents *table, struct extent *node);

/* Takes an entry out of the index; its state says already that it is no stock. */
void extents_index_remove(struct extents *table, struct extent *node);

/* Brings what is known of the subtrees up to date after an entry has changed, from it to the root,
 * as far as anything changes; NULL: nothing to do. The entry keeps its place among the others. */
void extents_index_update(struct extent *node);

/* Checks one node of the index: its links, its place in the heap order, what it knows. */
bool extents_index_is_valid_at(const struct extents *table, const struct extent *node);

/* ---- searches ---- */

/* The LIVE or STOCK entry that contains `address`, or NULL. */
struct extent *extents_at(const struct extents *table, uintptr_t address);

/* The STOCK extent that ends where `entry` begins, or NULL. */
struct extent *extents_stock_before(const struct extents *table, const struct extent *entry);

/* The STOCK extent that begins where `entry` ends, or NULL. */
struct extent *extents_stock_behind(const struct extents *table, const struct extent *entry);

/* The lowest run of at least `size` bytes (not 0) that begins at or above `from`, which is not in
 * the middle of a run. False if there is none. */
bool extents_run_from(const struct extents *table, uintptr_t from, size_t size,
                      struct extent_run *run);

/*
 * Where `size` bytes at a multiple of `alignment` (a power of two, 1 if any place will do) are
 * free, or 0: at the first such address of a run. Runs are tried from the lowest address on, and of
 * the first EXTENTS_FIT_TRIES with room the tightest is taken, which wastes less of the stock than
 * the first one; one that fits exactly ends the search. Of the runs that are large enough but may
 * have no room at a multiple of the alignment only the first EXTENTS_ALIGNED_TRIES are tried; if
 * none of them has, the lowest that surely does is taken, so that the search stays short.
 */
uintptr_t extents_find_room(const struct extents *table, size_t size, size_t alignment);

enum { EXTENTS_FIT_TRIES = 8, EXTENTS_ALIGNED_TRIES = 32 };

/* The earliest stamp in the stock; EXTENT_KEPT if nothing there falls due. */
static inline uint64_t extents_oldest_stamp(const struct extents *table)
{
    return table->root != NULL ? table->root->below.oldest : EXTENT_KEPT;
}

/* The number of ranges, none of which touch, that the LIVE and STOCK entries make up. */
static inline size_t extents_pieces(const struct extents *table)
{
    return table->root != NULL ? table->root->below.pieces : 0;
}

/* True if an entry that is not in the index touches one on each side: unmapped it is a hole. */
bool extents_is_between(const struct extents *table, const struct extent *entry);

/* A STOCK extent with the earliest stamp; NULL if nothing falls due. */
struct extent *extents_oldest(const struct extents *table);

/* The LIVE or STOCK entry with the lowest address, and the one after `entry`; NULL at the end. */
struct extent *extents_first(const struct extents *table);
struct extent *extents_next(const struct extent *entry);

#endif
