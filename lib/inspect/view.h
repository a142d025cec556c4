/*
 * Walking over acre's structures in a memory: this process's own, another process's, or a core's.
 *
 * The owner of the memory may change it while it is read, and may be hostile. So:
 *
 *   1. a structure is read by copying fields, by the places that the root's table gives
 *   2. a value that cannot be is "damaged": the walk ends there, or leaves the slab out, and the
 *      view notes what and where
 *   3. each walk is bounded: arenas by their numbers and the heaps of a chain by theirs, which only
 *      fall; slabs by units; chunks of extents by the search for a cycle (R. P. Brent, 1980)
 *   4. a slab's states count only if its geometry word was the same before and after they were
 *      read, an extent only if it was read twice and was the same
 *
 * Owns nothing, allocates nothing, takes no lock. The library and the tools are built from it.
 */
#ifndef ACRE_LIB_VIEW_H
#define ACRE_LIB_VIEW_H

#include "base/base.h"

#include <acre/inspect.h>

struct view {
    /* Copies memory; false if it is not all there. */
    bool (*read)(struct view *view, uint64_t address, void *into, size_t size);
    /* The same, as it is now; `read` may give what it was at the last prefetch. */
    bool (*read_now)(struct view *view, uint64_t address, void *into, size_t size);
    /* Says what will be read next, which is copied in the order of addresses; NULL: no need to. */
    void (*prefetch)(struct view *view, uint64_t address, size_t size);
    /* The bytes of a range of pages that have memory; NULL: not known. */
    size_t (*resident)(struct view *view, uint64_t address, size_t size);
    void *context; /* of these functions */

    /* Filled in by view_open. */
    struct acre_root root;
    uint64_t map_base, map_covered, map_slabs; /* as struct unit_map */

    const char *damage; /* what the first value was that cannot be; NULL: none */
    uint64_t damage_at; /* its address */
    size_t changed;     /* slabs and extents left out, since they changed each time */
};

enum view_opened { VIEW_OPEN, VIEW_NO_ROOT, VIEW_OTHER_LAYOUT, VIEW_UNREADABLE };

/* Reads the root at `address` and checks it. `read` and the rest of the view's functions are set.
 */
enum view_opened view_open(struct view *view, uint64_t address);

/* An arena, as copied. */
struct view_arena {
    uint64_t address;
    uint64_t status; /* the word: enum arena_status in its low two bits */
    uint32_t number;
    int32_t
        thread; /* id in the process's namespace of the thread that adopted it last; 0: unknown */
    uint64_t adoptions, collected;
    uint64_t next;
};

/* The newest arena, and the one made before *arena. False at the end. */
bool view_first_arena(struct view *view, struct view_arena *arena);
bool view_next_arena(struct view *view, struct view_arena *arena);

/* What an arena's bin has counted since the arena was made. */
struct view_bin {
    uint64_t windows; /* opened */
    uint64_t slabs_made, slabs_released;
};

bool view_bin(struct view *view, const struct view_arena *arena, unsigned cls,
              struct view_bin *bin);

enum { VIEW_ENTRIES = 16 };

/* A heap, as copied. */
struct view_heap {
    uint64_t address, next, set, slab_of, states;
    uint64_t size; /* bytes of address space as it was made, a unit in front of it included */
    uint32_t index;
    uint16_t first_unit, unit_limit;
    uint64_t dirty[8];              /* bit i: unit i may have pages */
    uint64_t entries[VIEW_ENTRIES]; /* of the unit map, from unit entries_from on */
    unsigned entries_from;
};

/* The arena's heaps, one chain after another. False at the end. */
bool view_first_heap(struct view *view, const struct view_arena *arena, struct view_heap *heap);
bool view_next_heap(struct view *view, const struct view_arena *arena, struct view_heap *heap);

/* Reads the heap whose first byte is at `address`; false, with no damage noted, if none is. */
bool view_heap_at(struct view *view, uint64_t address, struct view_heap *heap);

/* A slab, as copied. */
struct view_slab {
    uint64_t base, states;  /* addresses of the first block and of its state */
    uint64_t word_at, word; /* its geometry word's address, and that word */
    uint32_t block_size, count;
    uint16_t first_unit, units;
    uint8_t cls;
};

/* The first slab of a heap that begins at unit *unit or after it; *unit is the one after the slab
 * then. False at the end. */
bool view_next_slab(struct view *view, struct view_heap *heap, unsigned *unit,
                    struct view_slab *slab);

/* Copies states[first .. first+count-1]. */
bool view_states(struct view *view, const struct view_slab *slab, size_t first, size_t count,
                 uint8_t *states);

/* True if the slab is what it was when it was copied: the states that were read since are of its
 * blocks. */
bool view_slab_stayed(struct view *view, const struct view_slab *slab);

/* A slot of guarded blocks, as copied. */
struct view_guarded {
    uint64_t slot;        /* its address */
    uint64_t order;       /* GUARD_LIVE, or when it was freed; 0: not used yet */
    uint64_t block, size; /* of the block: its address, bytes asked for */
};

/* Reads slot `number`; false if there is none, or it cannot be. One that changes is not used yet.
 */
bool view_guarded(struct view *view, size_t number, struct view_guarded *guarded);

/* A LARGE block, live guarded block, or free extent, as copied. */
struct view_extent {
    uint64_t base, size;
    uint8_t state; /* enum extent_state: LIVE or STOCK */
    bool zero;
};

/* Where a walk over the extents is; all zero at the start. */
struct view_extents {
    uint64_t chunk, marked;
    size_t entry, steps, limit;
    bool begun, in_slots; /* of guarded blocks, which come last */
};

/* The next LIVE or STOCK extent, in no order. False at the end. */
bool view_next_extent(struct view *view, struct view_extents *at, struct view_extent *extent);

/* The word at one of the root's addresses; 0 if it cannot be read. */
uint64_t view_word(struct view *view, enum acre_address which);

/* A field, of at most 8 bytes, of the structure at `address`; 0, with damage noted, if it cannot be
 * read. */
uint64_t view_field(struct view *view, uint64_t address, enum acre_field_id field);

#endif
