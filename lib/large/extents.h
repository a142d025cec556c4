/*
 * The table of LARGE blocks and free extents, the index over it, and how both change: everything
 * that needs no system call, so that it can be tested on made-up addresses.
 *
 * The truth is a table of entries (base, size, state) in chunks that are only ever added. The index
 * over the LIVE and STOCK entries and the list of unused entries follow from it; extents_rebuild
 * makes them again. The index is a treap ordered by address (Seidel and Aragon, "Randomized search
 * trees", 1996). Each of its nodes sums up its subtree (as the tree for the largest sum of a
 * segment does: Bentley, "Programming Pearls", column 8), so that searches for room and for the
 * oldest extent take O(log n), expected; the root has the totals.
 *
 * Free extents that touch stay entries of their own, so that each keeps its stamp and what is known
 * of its contents. Together they are a run; a block is carved from a run wherever their borders
 * are.
 *
 * Each change is published by one store of a state or of a size, relaxed and fenced against the
 * compiler. Any prefix of them is sound after a rebuild, as a child of fork does it: LIVE and STOCK
 * entries never overlap, and what an operation was moving is in no entry (lost) or where it was.
 *
 *   cut     the entry shrinks; then the rest is published by an entry of its own
 *   join    the following extent becomes PRIVATE; then the entry in front grows over it
 *
 * Lock: the caller's, for every function.
 */
#ifndef ACRE_LIB_EXTENTS_H
#define ACRE_LIB_EXTENTS_H

#include "base/base.h"

enum extent_state {
    EXTENT_UNUSED = 0, /* the entry describes nothing; a new chunk is all zero */
    EXTENT_LIVE,       /* a block that the program holds; in the index */
    EXTENT_STOCK,      /* free and mapped; in the index */
    EXTENT_PRIVATE,    /* one thread's own, not in the index: an entry that is not published yet, or
                          a range around its system call. A thread has one such range at a time,
                          which is what a child loses of it */
};

/* The stamp of an extent that is never due. */
#define EXTENT_KEPT UINT64_MAX

/* Bytes; where the system's huge pages have another size, only their use is lost. */
enum { EXTENT_HUGE_PAGE = 2 << 20 };

/* What the entries of a subtree of the index amount to. */
struct extent_summary {
    uintptr_t base, end;   /* addresses: where the first begins, where the last ends */
    size_t head, tail;     /* bytes of the runs that begin at `base` and end at `end`, 0 if none */
    size_t largest;        /* bytes of the largest run */
    uint64_t oldest;       /* the earliest stamp of a STOCK extent, EXTENT_KEPT if none */
    uint64_t oldest_dirty; /* the least rank of a STOCK extent, EXTENT_KEPT if none */
    size_t live;           /* bytes that are LIVE */
    size_t stock, dirty;   /* bytes that are STOCK, and those of extents not known to be zero */
    uint32_t blocks;       /* LIVE entries */
    uint32_t pieces;       /* ranges that do not touch each other */
};

/* STOCK extents that touch, as many as do. */
struct extent_run {
    uintptr_t base; /* address */
    size_t size;    /* bytes */
};

/* [lock, any reads] what is not derived, but a PRIVATE entry is its thread's own: written by the
 * functions below. */
struct extent {
    uintptr_t base; /* address; written before the state that publishes it */
    size_t size;    /* bytes, not 0 while LIVE or STOCK; one store publishes a change */
    uint64_t stamp; /* STOCK: ms, when the part that has been free for longest was freed;
                       LIVE: large_note, 0 at first */
    uint8_t state;  /* enum extent_state; one store publishes a change */
    uint8_t guard;  /* LIVE: enum guard_page, of the entry's last page; else NONE */
    bool zero;      /* STOCK, and LIVE when just carved: all its contents are known to be zero;
                       written before the entry grows or is published */
    uint32_t heap;  /* LIVE: number of the own heap's arena that it is of; 0: of none; readers of
                       the whole entry hold no lock, so it is written by atomic stores */
    /* Derived: */
    struct extent *left;         /* in the index, ... */
    struct extent *right;        /* ... or, if UNUSED: the next unused entry */
    struct extent_summary below; /* of this entry and its subtrees */
};

enum { EXTENTS_PER_CHUNK = 256 };

struct extent_chunk {
    struct extent_chunk *next; /* [constant] */
    struct extent entries[EXTENTS_PER_CHUNK];
};

/* A table with its index; all zero is a valid empty one. [lock] */
struct extents {
    struct extent_chunk *chunks; /* one store publishes a change */
    /* Derived: */
    struct extent *root;   /* of the index */
    struct extent *unused; /* list of unused entries, through `right` */
    size_t spare;          /* unused entries */
};

/* The address after an entry's last byte. */
static inline uintptr_t extent_end(const struct extent *entry)
{
    return entry->base + entry->size;
}

/* ---- fields of an entry that is not published yet, or that its own thread has ---- */

static inline void extent_set_range(struct extent *entry, uintptr_t base, size_t size)
{
    __atomic_store_n(&entry->base, base, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->size, size, __ATOMIC_RELAXED);
}

static inline void extent_set_stamp(struct extent *entry, uint64_t stamp)
{
    __atomic_store_n(&entry->stamp, stamp, __ATOMIC_RELAXED);
}

static inline void extent_set_zero(struct extent *entry, bool zero)
{
    __atomic_store_n(&entry->zero, zero, __ATOMIC_RELAXED);
}

/* ---- searches ---- */

/* What all LIVE and STOCK entries amount to. */
const struct extent_summary *extents_sum(const struct extents *table);

/* The LIVE or STOCK entry that contains `address`, or NULL. */
struct extent *extents_at(const struct extents *table, uintptr_t address);

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

/* A STOCK extent with the earliest stamp; NULL if that is EXTENT_KEPT. */
struct extent *extents_oldest(const struct extents *table);

/* The same of those not known to be zero, in which a whole huge page lies; of the others, if there
 * is none: what loses a part of a huge page is filled in by small ones later. */
struct extent *extents_oldest_dirty(const struct extents *table);

/* ---- changes ---- */

/* Adds a chunk of entries, all zero. */
void extents_add_chunk(struct extents *table, struct extent_chunk *chunk);

/* An unused entry, now PRIVATE and the caller's; NULL if there is none. */
struct extent *extents_take_entry(struct extents *table);

/* Ends a PRIVATE entry: it is UNUSED again. */
void extents_recycle(struct extents *table, struct extent *entry);

/* Publishes a PRIVATE entry as LIVE or STOCK; the caller has written base and size, and for STOCK
 * stamp and zero. */
void extents_publish(struct extents *table, struct extent *entry, enum extent_state state);

/* Takes a LIVE or STOCK entry out of the index: it is PRIVATE and the caller's. */
void extents_withdraw(struct extents *table, struct extent *entry);

/* Makes a LIVE entry STOCK, free since `stamp`. */
void extents_set_stock(struct extents *table, struct extent *entry, uint64_t stamp, bool zero);

/* Makes a STOCK extent a LIVE block, of no own heap. */
void extents_set_live(struct extents *table, struct extent *entry);

/* Cuts a LIVE or STOCK entry to its first `size` bytes; the rest, not empty, becomes a STOCK
 * extent, which is returned. Needs a spare entry. */
struct extent *extents_cut(struct extents *table, struct extent *entry, size_t size, uint64_t stamp,
                           bool zero);

/* Makes [start, start+size), which lies within a run, one STOCK extent of its own by splitting and
 * joining; its stamp is the earliest of its parts. Needs a spare entry for each end at which no
 * extent begins or ends. */
struct extent *extents_isolate(struct extents *table, uintptr_t start, size_t size);

/* Grows a LIVE block to `size` bytes over the run that begins at its end. False with nothing done
 * if that is too small. Needs a spare entry. */
bool extents_grow(struct extents *table, struct extent *block, size_t size);

/*
 * Makes everything derived again from the entries' states. PRIVATE entries stay as they are: one of
 * them may belong to the thread that survived a fork, which ends it itself. Those of lost threads
 * are lost, and so are their ranges, since it is not known whether these are mapped.
 */
void extents_rebuild(struct extents *table);

/* Checks the index and the unused entries against the entries. */
bool extents_is_valid(const struct extents *table);

#endif
