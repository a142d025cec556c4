/*
 * The root: where a reader outside the process finds all of acre's state, in a running process, in
 * a core, in a stripped or static program. Nothing is called there, and nothing stops.
 *
 * How a reader finds it:
 *
 *   1. an ELF note of name "acre" and type ACRE_NOTE_ROOT, in a loaded segment. Its descriptor is
 *      struct acre_note; the address of that plus `distance` is the address of acre_root
 *   2. or the exported symbol acre_root of libacre.so
 *
 * The root has the addresses of what leads to everything else, and the place and size of each field
 * that a reader needs, made by the compiler. A reader checks `magic`, `layout` and `size`, and
 * reads structures by `fields` alone. What is not in `fields` (how a geometry word is packed, the
 * numbers of states, the size classes) is part of the layout: it changes only with ACRE_LAYOUT.
 *
 * A process changes while it is read, and a core or a process may be hostile: bound every count.
 */
#ifndef ACRE_INSPECT_H
#define ACRE_INSPECT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Counts up with each change that a reader has to know of; tests/inspect/layout.txt. */
#define ACRE_LAYOUT 5

/* "acreroot", read as a number of this machine. */
#define ACRE_MAGIC UINT64_C(0x746f6f7265726361)

#define ACRE_NOTE_NAME "acre"
#define ACRE_NOTE_ROOT 1

/* The descriptor of the note. */
struct acre_note {
    uint32_t layout; /* ACRE_LAYOUT */
    uint32_t unused;
    int64_t distance; /* bytes, from this descriptor to acre_root */
};

/* What has an address in the root: ACRE_AT_ARENAS and so on. */
#define ACRE_ADDRESSES(X)                                                                          \
    X(ARENAS)     /* a pointer: the newest struct arena */                                         \
    X(UNIT_MAP)   /* struct unit_map */                                                            \
    X(EXTENTS)    /* a pointer: the first struct extent_chunk */                                   \
    X(OPTIONS)    /* array of struct option */                                                     \
    X(METADATA)   /* a word: bytes of the allocator's own metadata */                              \
    X(COUNTS)     /* struct os_counts */                                                           \
    X(UNITS_PEAK) /* a word: the most units that were in slabs */                                  \
    X(LARGE_PEAK) /* a word: the most bytes that were LARGE and live */                            \
    X(REQUESTS)   /* a word: what a writer outside asks for, ACRE_REQUEST_TRIM and the like */     \
    X(PROFILE)    /* struct profile */                                                             \
    X(GUARD)      /* struct guard */

/*
 * The fields that a reader needs: name, structure, member. ACRE_FIELD_name is the number of its
 * entry in `fields`. The names ending in _SIZE, of structures, stand in ACRE_SIZES.
 */
#define ACRE_FIELDS(X)                                                                             \
    X(ARENA_NEXT, arena, next)                                                                     \
    X(ARENA_NUMBER, arena, number)                                                                 \
    X(ARENA_STATUS, arena, status)                                                                 \
    X(ARENA_THREAD, arena, thread)                                                                 \
    X(ARENA_ADOPTIONS, arena, adoptions)                                                           \
    X(ARENA_COLLECTED, arena, heaps.collected_blocks)                                              \
    X(ARENA_CHAINS, arena, heaps.chains)                                                           \
    X(ARENA_HEAPS, arena, heaps)                                                                   \
    X(ARENA_BINS, arena, bins)                                                                     \
    X(BIN_WINDOWS, bin, windows)                                                                   \
    X(BIN_SLABS_MADE, bin, slabs_made)                                                             \
    X(BIN_SLABS_RELEASED, bin, slabs_released)                                                     \
    X(HEAP_SET, heap, set)                                                                         \
    X(HEAP_NEXT, heap, next)                                                                       \
    X(HEAP_STATES, heap, states)                                                                   \
    X(HEAP_SLAB_OF, heap, slab_of)                                                                 \
    X(HEAP_BYTES, heap, size)                                                                      \
    X(HEAP_INDEX, heap, index)                                                                     \
    X(HEAP_FIRST_UNIT, heap, first_unit)                                                           \
    X(HEAP_UNIT_LIMIT, heap, unit_limit)                                                           \
    X(HEAP_DIRTY_UNITS, heap, dirty_units)                                                         \
    X(HEAP_SLABS, heap, slabs)                                                                     \
    X(SLAB_GEOMETRY, slab, geometry)                                                               \
    X(UNIT_MAP_BASE, unit_map, base)                                                               \
    X(UNIT_MAP_COVERED, unit_map, covered)                                                         \
    X(UNIT_MAP_SLABS, unit_map, slabs)                                                             \
    X(EXTENT_CHUNK_NEXT, extent_chunk, next)                                                       \
    X(EXTENT_CHUNK_ENTRIES, extent_chunk, entries)                                                 \
    X(EXTENT_BASE, extent, base)                                                                   \
    X(EXTENT_BYTES, extent, size)                                                                  \
    X(EXTENT_STATE, extent, state)                                                                 \
    X(EXTENT_ZERO, extent, zero)                                                                   \
    X(OPTION_NAME, option, name)                                                                   \
    X(OPTION_ALLOWED, option, allowed)                                                             \
    X(OPTION_VALUE, option, value)                                                                 \
    X(COUNTS_MMAP, os_counts, mmap)                                                                \
    X(COUNTS_MUNMAP, os_counts, munmap)                                                            \
    X(COUNTS_MREMAP, os_counts, mremap)                                                            \
    X(COUNTS_MPROTECT, os_counts, mprotect)                                                        \
    X(COUNTS_MADVISE, os_counts, madvise)                                                          \
    X(COUNTS_PURGED, os_counts, purged)                                                            \
    X(PROFILE_INTERVAL, profile, interval)                                                         \
    X(PROFILE_FIRST_INTERVAL, profile, first_interval)                                             \
    X(PROFILE_SESSION, profile, session)                                                           \
    X(PROFILE_CHANGING, profile, changing)                                                         \
    X(PROFILE_STARTED_AT, profile, started_at)                                                     \
    X(PROFILE_STOPPED_AT, profile, stopped_at)                                                     \
    X(PROFILE_MARKED_AT, profile, marked_at)                                                       \
    X(PROFILE_PEAK_AT, profile, peak_at)                                                           \
    X(PROFILE_LIVE_BYTES, profile, live_bytes)                                                     \
    X(PROFILE_LIVE_BLOCKS, profile, live_blocks)                                                   \
    X(PROFILE_PEAK_BYTES, profile, peak_bytes)                                                     \
    X(PROFILE_TAKEN, profile, taken)                                                               \
    X(PROFILE_ENDED, profile, ended)                                                               \
    X(PROFILE_THINNED, profile, thinned)                                                           \
    X(PROFILE_LOST_STACKS, profile, lost_stacks)                                                   \
    X(PROFILE_SLOT_LIMIT, profile, slot_limit)                                                     \
    X(PROFILE_SITE_LIMIT, profile, site_limit)                                                     \
    X(PROFILE_STACK_LIMIT, profile, stack_limit)                                                   \
    X(PROFILE_FRAME_LIMIT, profile, frame_limit)                                                   \
    X(PROFILE_SLOTS_USED, profile, slots_used)                                                     \
    X(PROFILE_SITES_USED, profile, sites_used)                                                     \
    X(PROFILE_STACKS_USED, profile, stacks_used)                                                   \
    X(PROFILE_FRAMES_USED, profile, frames_used)                                                   \
    X(PROFILE_SLOTS, profile, slots)                                                               \
    X(PROFILE_SITES, profile, sites)                                                               \
    X(PROFILE_STACKS, profile, stacks)                                                             \
    X(PROFILE_FRAMES, profile, frames)                                                             \
    X(PROFILE_SLOT_ADDRESS, profile_slot, address)                                                 \
    X(PROFILE_SLOT_WEIGHT, profile_slot, weight)                                                   \
    X(PROFILE_SLOT_TIME, profile_slot, time)                                                       \
    X(PROFILE_SLOT_SITE, profile_slot, site)                                                       \
    X(PROFILE_SLOT_THREAD, profile_slot, thread)                                                   \
    X(PROFILE_SLOT_BYTES, profile_slot, size)                                                      \
    X(PROFILE_SITE_STACK, profile_site, stack)                                                     \
    X(PROFILE_SITE_BLOCKS, profile_site, blocks)                                                   \
    X(PROFILE_SITE_BYTES, profile_site, bytes)                                                     \
    X(PROFILE_SITE_PEAK_BLOCKS, profile_site, peak_blocks)                                         \
    X(PROFILE_SITE_PEAK_BYTES, profile_site, peak_bytes)                                           \
    X(PROFILE_SITE_BLOCK, profile_site, size)                                                      \
    X(PROFILE_STACK_FIRST, profile_stack, first)                                                   \
    X(PROFILE_STACK_DEPTH, profile_stack, depth)                                                   \
    X(GUARD_POOL, guard, pool)                                                                     \
    X(GUARD_BYTES, guard, bytes)                                                                   \
    X(GUARD_SLOTS, guard, slots)                                                                   \
    X(GUARD_ORDER, guard, order)                                                                   \
    X(GUARD_SLOT_BLOCK, guard_slot, block)                                                         \
    X(GUARD_SLOT_BYTES, guard_slot, size)                                                          \
    X(GUARD_SLOT_ALLOCATED, guard_slot, allocated)                                                 \
    X(GUARD_SLOT_FREED, guard_slot, freed)                                                         \
    X(TRACE_THREAD, trace_record, thread)                                                          \
    X(TRACE_DEPTH, trace_record, depth)                                                            \
    X(TRACE_FRAMES, trace_record, frames)

/* The structures whose size a reader needs; `offset` of such an entry is 0. */
#define ACRE_SIZES(X)                                                                              \
    X(BIN_SIZE, bin)                                                                               \
    X(SLAB_SIZE, slab)                                                                             \
    X(HEAP_HEADER_SIZE, heap)                                                                      \
    X(EXTENT_SIZE, extent)                                                                         \
    X(EXTENT_CHUNK_SIZE, extent_chunk)                                                             \
    X(OPTION_SIZE, option)                                                                         \
    X(PROFILE_SLOT_SIZE, profile_slot)                                                             \
    X(PROFILE_SITE_SIZE, profile_site)                                                             \
    X(PROFILE_STACK_SIZE, profile_stack)                                                           \
    X(GUARD_SLOT_SIZE, guard_slot)

enum acre_address {
#define ACRE_ENTRY(name) ACRE_AT_##name,
    ACRE_ADDRESSES(ACRE_ENTRY)
#undef ACRE_ENTRY
        ACRE_ADDRESS_COUNT
};

enum acre_field_id {
#define ACRE_ENTRY(name, structure, member) ACRE_FIELD_##name,
    ACRE_FIELDS(ACRE_ENTRY)
#undef ACRE_ENTRY
#define ACRE_ENTRY(name, structure) ACRE_FIELD_##name,
        ACRE_SIZES(ACRE_ENTRY)
#undef ACRE_ENTRY
            ACRE_FIELD_COUNT
};

/*
 * Bits of the word of requests. Whoever has the right to write to the process may set option number
 * i by its `value`, checked as the library would, and then bit i, so that the process says so on
 * standard error. The process takes the bits, and leaves 0, when malloc or free next takes a slow
 * path.
 */
#define ACRE_REQUEST_TRIM (UINT64_C(1) << 62)  /* give back what is idle, as malloc_trim does */
#define ACRE_REQUEST_QUIET (UINT64_C(1) << 63) /* say nothing of all this */

/* Where a field is in its structure. */
struct acre_field {
    uint32_t offset; /* bytes from the structure's address */
    uint32_t size;   /* bytes of the field, of all elements of an array */
};

/* All numbers are of the process's machine; addresses are the process's own. */
struct acre_root {
    uint64_t magic;  /* ACRE_MAGIC */
    uint32_t layout; /* ACRE_LAYOUT */
    uint32_t size;   /* bytes of this structure */
    char version[16];
    uint32_t pointer_size; /* bytes */
    uint32_t option_count;
    uint64_t page_size; /* bytes; 0 until the library has started up */
    uint64_t started;   /* ms of the monotonic clock, when it did */
    const void *addresses[ACRE_ADDRESS_COUNT];
    struct acre_field fields[ACRE_FIELD_COUNT];
};

extern struct acre_root acre_root;

#ifdef __cplusplus
}
#endif

#endif
