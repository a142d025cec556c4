/*
 * Slabs: the blocks of one size class, handed out lowest first through a window, and bins: where an
 * arena stands in one class. The algorithm is in doc/design.md ("Blocks"); the states (states.h)
 * are the truth.
 *
 * A slab is in one of three places: current (its bin allocates from it), listed (it has FREE or
 * PURGED blocks and waits on the bin's list), or neither (it has none; the first give-back lists
 * it). It is released when none of its blocks is live, unless it is current and of a class
 * whose blocks share slabs.
 *
 * slab.c has the life of a slab, slab_wide.c wide blocks, slab_purge.c the pages of free blocks.
 * All of it belongs to the arena's thread. No lock but the heap lock, which making, resizing and
 * releasing take.
 */
#ifndef ACRE_LIB_SLAB_H
#define ACRE_LIB_SLAB_H

#include "base/base.h"
#include "heap/heap.h"
#include "base/list.h"
#include "base/states.h"

enum {
    SLAB_SHARED_LIMIT = 32 << 10, /* bytes; a larger block is a slab of its own */
    MAGAZINE_MOST = 32,           /* blocks in a magazine of a TINY class */
    MAGAZINE_MOST_SMALL = 16,     /* of a SMALL class */
    MAGAZINE_BYTES = 64 << 10,    /* in a magazine of a class whose blocks share slabs, */
    MAGAZINE_LARGEST = 256 << 10, /* and of a larger class */
    /*
     * All magazines of an arena, class by class: the 20 TINY ones and the 8 SMALL ones up to 4 KiB
     * are bounded by number; the next twelve, four each up to 8, 16 and 32 KiB, by MAGAZINE_BYTES;
     * twelve more up to 64, 128 and 256 KiB by MAGAZINE_LARGEST.
     */
    MAGAZINE_ENTRIES = 20 * MAGAZINE_MOST + 8 * MAGAZINE_MOST_SMALL + (12 + 10 + 9 + 8) +
                       (6 + 5 + 4 + 4) + (3 + 2 + 2 + 2) + (6 + 5 + 4 + 4) + (3 + 2 + 2 + 2) + 4,
};

struct magazine_entry {
    void *block;
    uint8_t *state; /* the block's state: CACHED */
};

/* One size class of one arena. [owner] The first line is what malloc and free touch. */
struct bin {
    CACHE_ALIGNED struct magazine_entry *top; /* one past the entry freed last */
    struct magazine_entry *bottom;            /* the magazine's memory; top == bottom: empty */
    struct magazine_entry *limit;             /* its end; top == limit: full */
    uint64_t window;        /* bit i: block i of the window may be taken: it is FREE */
    uint8_t *window_states; /* states of the window's 64 blocks */
    char *window_base;      /* address of its block 0 */
    size_t block_size;      /* bytes; 0 until the class is first used */
    struct slab *slab;      /* the current slab, which the window is of; NULL if none */

    struct list partial; /* listed slabs; the first one becomes current next */
    uint32_t units;      /* in its slabs: the next one is a share of them */
    uint8_t class;
    uint8_t few;      /* blocks made of places of smaller ones, until this class is first used */
    bool window_zero; /* no block of the window was ever handed out and its memory is zero */

    /* Where the next wide block is looked for, see slab_wide.c. */
    uint8_t wide_class;     /* among the slabs of this class; 0: nowhere */
    uint8_t wide_group;     /* from this group of states on */
    uint32_t wide_look;     /* the look that it is part of */
    struct slab *wide_slab; /* in this slab, if it is on the list still */

    /* [owner, any reads] counts since the arena was made */
    uint64_t windows; /* opened */
    uint64_t slabs_made, slabs_released;
};

/* How many blocks of a class a magazine holds: 1 .. MAGAZINE_MOST, 0 above MAGAZINE_LARGEST. */
size_t magazine_capacity(unsigned class);

/* Prepares a zeroed bin for its class; `entries` is room for magazine_capacity(class) entries. */
void bin_init(struct bin *bin, unsigned class, struct magazine_entry *entries);

/*
 * True if a block starts at byte `offset` of a slab, below 2^25; *number is the block's then.
 *
 * offset x ceil(2^64 / size): the upper half is offset / size, and the lower half is below the
 * reciprocal exactly when nothing is left over (Lemire, Kaser, Kurz: "Faster remainder by direct
 * computation", 2019; exact since offset x size is below 2^64).
 */
static ALWAYS_INLINE bool slab_starts_block(size_t offset, uint64_t reciprocal, size_t *number)
{
    unsigned __int128 product = (unsigned __int128)offset * reciprocal;
    *number = (size_t)(product >> 64);
    return (uint64_t)product < reciprocal;
}

/* ---- what the program holds: LIVE, WIDE and SAMPLED blocks; any thread ---- */

/* How many places the block at `number`, below `count`, has: 1, or more if REST follows it. */
static inline size_t slab_wide_places(const uint8_t *states, size_t count, size_t number)
{
    size_t end = number + 1;
    while (end < count && state_get(&states[end]) == BLOCK_REST)
        end++;
    return end - number;
}

struct slab_live {
    size_t blocks, places;
};

/* Counts blocks that the program holds in states[0..count-1], and the places that they have. */
struct slab_live slab_count_live(const uint8_t *states, size_t count);

/* Their number in a slab, and that of QUARANTINED ones: it stays as long as it has one. For the
 * owner. */
size_t slab_live_blocks(const struct slab *slab);

/* ---- current slab and window ---- */

static inline bool slab_is_current(const struct slab *slab)
{
    return slab->bin->slab == slab;
}

static inline bool slab_is_listed(const struct slab *slab)
{
    return list_contains(&slab->node);
}

/* Opens the next window of the current slab. False if it has no FREE block left. */
bool bin_open_window(struct bin *bin);

/* Takes a FREE block of the current slab at random, and makes it SAMPLED; *state is the place of
 * its state. Where few are free, it is one of a group chosen at random, and at random among those
 * of the group. NULL if the slab has none but PURGED ones. */
void *bin_take_random(struct bin *bin, uint64_t random, uint8_t **state);

/* Makes the oldest partly free slab current, in place of an exhausted one. False if none is. */
bool bin_next_slab(struct bin *bin);

/* Bytes of the slab that bin_make_slab would make. */
size_t bin_next_slab_bytes(const struct bin *bin);

/* Makes a new slab current, in place of an exhausted one. False if there is no memory. */
bool bin_make_slab(struct bin *bin, struct heap_set *set);

/* Gives the window up: its blocks are FREE ones of the current slab. */
void bin_close_window(struct bin *bin);

/* Gives the window and the current slab up: it is listed, or released if it is empty. */
void bin_leave_slab(struct bin *bin);

/* ---- giving back ---- */

/*
 * Looks at a slab after give-backs: lists it, or releases it if none of its blocks is live, and
 * sets until_check anew. Called when until_check is 0, when a bin leaves the slab, and after
 * slab_rebuild. A current slab of a class that shares is left as it is.
 */
void slab_check(struct slab *slab);

/* Releases a slab, whatever its blocks are; its bin has no window. By the owner. */
void slab_release(struct slab *slab);

/* Makes a LIVE block of the owner's SAMPLED. Returns the place of its state. */
uint8_t *slab_mark_sampled(void *block);

/* Turns a block that the owner holds (CACHED), or frees (WIDE), FREE. */
void slab_give_back(struct slab *slab, size_t number);

/* Turns all REMOTE blocks of a slab FREE. Those that another thread purged are found from now on.
 * Between remote_begin and remote_end only. */
void slab_collect(struct slab *slab);

/* Gives all blocks of the magazine back. */
void bin_flush(struct bin *bin);

/*
 * Moves a slab that is one live block to the bin `to`, both of classes above SLAB_SHARED_LIMIT: the
 * block stays where it is and gets the size of that class; the slab takes the units after it, or
 * gives its last ones back. False, with nothing changed, if those are taken or the system refuses
 * to open them.
 */
bool slab_resize(struct slab *slab, struct bin *to);

/*
 * For an arena whose thread is gone: makes a bin (initialised, its lists empty) know a slab of its
 * class by its states alone. LIVE, SAMPLED and QUARANTINED stay, and WIDE with its REST; all else
 * becomes FREE. Releases nothing.
 */
void slab_rebuild(struct slab *slab, struct bin *bin);

/* ---- wide blocks: slab_wide.c ---- */

/*
 * A wide block for the bin's class, from the partly free slabs of smaller classes, `bins` being all
 * of the arena in the order of their classes. NULL if there is none, or none was found yet: a call
 * looks at a bounded number of states, the next one goes on there, and when all was looked at
 * nothing is until `look`, a number, is another one.
 */
void *bin_take_wide(struct bin *bin, struct bin *bins, uint32_t look);

/* A wide block of at least `size` bytes, at most 64 times the bin's, in the lowest places of its
 * current slab that are enough; NULL if there are none. */
void *bin_take_places(struct bin *bin, size_t size);

/* Bytes that wide blocks of other classes could take from a bin's slabs. */
size_t bin_sparse_bytes(const struct bin *bin);

/* ---- purging: slab_purge.c ---- */

/*
 * Purges pages that FREE blocks fill alone, in all slabs of a bin but the current one; these blocks
 * become PURGED. Slabs without a FREE block left go to the list's end, so that allocation comes to
 * them last. Returns bytes.
 */
size_t bin_purge(struct bin *bin);

/*
 * Purges pages that REMOTE blocks fill alone, in a slab of another thread with this geometry:
 * doc/remote.md says when that may be. Needs the heap lock. Returns bytes.
 */
size_t slab_purge_for_owner(struct slab *slab, struct slab_geometry geometry);

/* ---- validity; the owner must be quiet ---- */

/* Checks descriptor, states and place of a slab against each other. */
bool slab_is_valid(const struct slab *slab);

/* Checks a bin: magazine entries are CACHED, window blocks FREE, listed slabs valid and its own. */
bool bin_is_valid(const struct bin *bin);

#endif
