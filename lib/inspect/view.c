/* Walking over a memory: see view.h. */
#include "inspect/view.h"

#include "base/size_class.h"
#include "base/states.h"
#include "heap/heap.h"
#include "large/extents.h"
#include "modes/guard.h"

#include <assert.h>
#include <string.h>

enum {
    TRIES = 4,             /* how often an extent that changes is read */
    MOST_SIZE = 1 << 20,   /* bytes of a structure, and of a field's offset, at most */
    ADDRESS_BITS = 57,     /* of user space, at most */
    MOST_HEAPS = 1 << 16,  /* places of the unit map; a process has mappings for no more */
    MOST_CHUNKS = 1 << 16, /* of extents: 16 TiB of LARGE blocks at least */
    MOST_ARENAS = 1 << 20,
    EXTENT_HEAD = 32, /* bytes of an extent that are read: all fields that count are in them */
    VERSION_TEXT = sizeof(((struct acre_root *)NULL)->version),
};

static_assert(HEAP_WORDS == 8, "as view.h says");

/* Notes the first value that cannot be. */
static bool damaged(struct view *view, const char *what, uint64_t address)
{
    if (view->damage == NULL) {
        view->damage = what;
        view->damage_at = address;
    }
    return false;
}

static size_t offset_of(const struct view *view, enum acre_field_id field)
{
    return view->root.fields[field].offset;
}

static size_t size_of(const struct view *view, enum acre_field_id field)
{
    return view->root.fields[field].size;
}

static bool read_field(struct view *view, uint64_t address, enum acre_field_id field,
                       uint64_t *value)
{
    union {
        uint8_t byte;
        uint16_t half;
        uint32_t word;
        uint64_t whole;
    } in = {.whole = 0};
    size_t size = size_of(view, field);
    if (size > sizeof(in) || (size & (size - 1)) != 0 ||
        !view->read(view, address + offset_of(view, field), &in, size))
        return false;
    *value = size == 1 ? in.byte : size == 2 ? in.half : size == 4 ? in.word : in.whole;
    return true;
}

struct wanted {
    enum acre_field_id field;
    uint64_t *value;
};

/* Reads fields of the structure at `address`. */
static bool read_fields(struct view *view, uint64_t address, const struct wanted *wanted,
                        size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!read_field(view, address, wanted[i].field, wanted[i].value))
            return false;
    return true;
}

uint64_t view_field(struct view *view, uint64_t address, enum acre_field_id field)
{
    uint64_t value = 0;
    if (!read_field(view, address, field, &value)) {
        damaged(view, "a structure cannot be read", address);
        return 0;
    }
    return value;
}

static uint64_t address_of(const struct view *view, enum acre_address which)
{
    return (uintptr_t)view->root.addresses[which];
}

uint64_t view_word(struct view *view, enum acre_address which)
{
    uint64_t word = 0;
    return view->read(view, address_of(view, which), &word, sizeof(word)) ? word : 0;
}

/* ---- opening ---- */

/* True if a field is a number of `size` bytes in an extent's head. */
static bool is_in_head(const struct view *view, enum acre_field_id field, size_t size)
{
    return size_of(view, field) == size && offset_of(view, field) + size <= EXTENT_HEAD;
}

/* The fields that are read as numbers have the sizes of numbers, and all lie near. */
static bool fields_are_right(const struct view *view)
{
    for (int i = 0; i < ACRE_FIELD_COUNT; i++)
        if (size_of(view, i) == 0 || size_of(view, i) > MOST_SIZE || offset_of(view, i) > MOST_SIZE)
            return false;
    return size_of(view, ACRE_FIELD_ARENA_CHAINS) == HEAP_CHAINS * sizeof(uint64_t) &&
           size_of(view, ACRE_FIELD_HEAP_DIRTY_UNITS) == HEAP_WORDS * sizeof(uint64_t) &&
           size_of(view, ACRE_FIELD_SLAB_GEOMETRY) == sizeof(uint64_t) &&
           size_of(view, ACRE_FIELD_HEAP_SLABS) % size_of(view, ACRE_FIELD_SLAB_SIZE) == 0 &&
           size_of(view, ACRE_FIELD_EXTENT_CHUNK_ENTRIES) >=
               size_of(view, ACRE_FIELD_EXTENT_SIZE) &&
           size_of(view, ACRE_FIELD_EXTENT_SIZE) >= EXTENT_HEAD &&
           is_in_head(view, ACRE_FIELD_EXTENT_BASE, sizeof(uint64_t)) &&
           is_in_head(view, ACRE_FIELD_EXTENT_BYTES, sizeof(uint64_t)) &&
           is_in_head(view, ACRE_FIELD_EXTENT_STATE, 1) &&
           is_in_head(view, ACRE_FIELD_EXTENT_ZERO, 1);
}

/* Reads the unit map as it is now. False, with the view as it was, if it is wrong. */
static bool read_map(struct view *view)
{
    uint64_t map = address_of(view, ACRE_AT_UNIT_MAP), covered, base, slabs;
    if (!read_field(view, map, ACRE_FIELD_UNIT_MAP_COVERED, &covered) ||
        !read_field(view, map, ACRE_FIELD_UNIT_MAP_BASE, &base) ||
        !read_field(view, map, ACRE_FIELD_UNIT_MAP_SLABS, &slabs))
        return false;
    if (covered != 0 && (base % HEAP_SIZE != 0 || base >> ADDRESS_BITS != 0 ||
                         covered > (uint64_t)MOST_HEAPS * HEAP_UNITS))
        return false;
    view->map_covered = covered;
    view->map_base = base;
    view->map_slabs = slabs;
    return true;
}

/* Ends the text, and replaces what no version has: it is printed, and a terminal or a reader of
 * JSON obeys some characters. */
static void end_version(char version[VERSION_TEXT])
{
    static const char right[] = "0123456789.abcdefghijklmnopqrstuvwxyz-+";
    version[VERSION_TEXT - 1] = '\0';
    for (; *version != '\0'; version++)
        if (strchr(right, *version) == NULL)
            *version = '?';
}

enum view_opened view_open(struct view *view, uint64_t address)
{
    /* the head first: a root of another layout may be shorter */
    const size_t head = offsetof(struct acre_root, version);
    view->damage = NULL;
    view->changed = 0;
    if (!view->read(view, address, &view->root, head))
        return VIEW_UNREADABLE;
    if (view->root.magic != ACRE_MAGIC)
        return VIEW_NO_ROOT;
    if (view->root.layout != ACRE_LAYOUT || view->root.size != sizeof(struct acre_root))
        return VIEW_OTHER_LAYOUT;
    if (!view->read(view, address, &view->root, sizeof(view->root)))
        return VIEW_UNREADABLE;
    end_version(view->root.version);
    if (view->root.pointer_size != sizeof(void *) || !fields_are_right(view))
        return VIEW_NO_ROOT;
    if (view->root.page_size < 4096 || view->root.page_size > UNIT_SIZE ||
        !is_power_of_two(view->root.page_size))
        view->root.page_size = 4096; /* the library has not started up */
    return read_map(view) ? VIEW_OPEN : VIEW_UNREADABLE;
}

/* ---- arenas ---- */

static bool read_arena(struct view *view, uint64_t address, struct view_arena *arena)
{
    uint64_t number, thread;
    const struct wanted wanted[] = {
        {ACRE_FIELD_ARENA_STATUS, &arena->status},
        {ACRE_FIELD_ARENA_NUMBER, &number},
        {ACRE_FIELD_ARENA_THREAD, &thread},
        {ACRE_FIELD_ARENA_ADOPTIONS, &arena->adoptions},
        {ACRE_FIELD_ARENA_COLLECTED, &arena->collected},
        {ACRE_FIELD_ARENA_NEXT, &arena->next},
    };
    if (view->prefetch != NULL)
        view->prefetch(view, address,
                       offset_of(view, ACRE_FIELD_ARENA_BINS) +
                           size_of(view, ACRE_FIELD_ARENA_BINS));
    if (!read_fields(view, address, wanted, sizeof(wanted) / sizeof(wanted[0])))
        return damaged(view, "an arena cannot be read", address);
    arena->address = address;
    arena->number = (uint32_t)number;
    arena->thread = (int32_t)thread;
    return true;
}

bool view_first_arena(struct view *view, struct view_arena *arena)
{
    uint64_t address = view_word(view, ACRE_AT_ARENAS);
    return address != 0 && read_arena(view, address, arena);
}

bool view_next_arena(struct view *view, struct view_arena *arena)
{
    uint32_t number = arena->number;
    if (arena->next == 0)
        return false;
    if (!read_arena(view, arena->next, arena))
        return false;
    return (arena->number < number && number <= MOST_ARENAS) ||
           damaged(view, "arenas out of order", arena->address);
}

bool view_bin(struct view *view, const struct view_arena *arena, unsigned cls, struct view_bin *bin)
{
    uint64_t address = arena->address + offset_of(view, ACRE_FIELD_ARENA_BINS) +
                       (uint64_t)cls * size_of(view, ACRE_FIELD_BIN_SIZE);
    return read_field(view, address, ACRE_FIELD_BIN_WINDOWS, &bin->windows) &&
           read_field(view, address, ACRE_FIELD_BIN_SLABS_MADE, &bin->slabs_made) &&
           read_field(view, address, ACRE_FIELD_BIN_SLABS_RELEASED, &bin->slabs_released);
}

/* ---- heaps ---- */

static bool map_covers(const struct view *view, uint64_t address)
{
    return address % HEAP_SIZE == 0 && address >= view->map_base &&
           (address - view->map_base) / UNIT_SIZE < view->map_covered;
}

/* True if the map covers the place of a heap at `address`: it does before the heap is in a chain,
 * but maybe not yet when the view read the map. */
static bool is_covered(struct view *view, uint64_t address)
{
    return map_covers(view, address) || (read_map(view) && map_covers(view, address));
}

/* Reads the heap at an address that is_covered. */
static bool read_heap(struct view *view, uint64_t address, struct view_heap *heap)
{
    size_t header = size_of(view, ACRE_FIELD_HEAP_HEADER_SIZE);
    if (view->prefetch != NULL)
        view->prefetch(view, address, header + HEAP_SIZE / HEAP_BYTES_OF_STATE + UNIT_SIZE);
    uint64_t index, first_unit, unit_limit;
    const struct wanted wanted[] = {
        {ACRE_FIELD_HEAP_NEXT, &heap->next},       {ACRE_FIELD_HEAP_SET, &heap->set},
        {ACRE_FIELD_HEAP_STATES, &heap->states},   {ACRE_FIELD_HEAP_SLAB_OF, &heap->slab_of},
        {ACRE_FIELD_HEAP_BYTES, &heap->size},      {ACRE_FIELD_HEAP_INDEX, &index},
        {ACRE_FIELD_HEAP_FIRST_UNIT, &first_unit}, {ACRE_FIELD_HEAP_UNIT_LIMIT, &unit_limit},
    };
    if (!read_fields(view, address, wanted, sizeof(wanted) / sizeof(wanted[0])) ||
        !view->read(view, address + offset_of(view, ACRE_FIELD_HEAP_DIRTY_UNITS), heap->dirty,
                    sizeof(heap->dirty)))
        return false;
    heap->address = address;
    heap->index = (uint32_t)index;
    heap->first_unit = (uint16_t)first_unit;
    heap->unit_limit = (uint16_t)unit_limit;
    heap->entries_from = HEAP_UNITS;
    return heap->size <= HEAP_SIZE && first_unit != 0 && first_unit <= unit_limit &&
           unit_limit <= HEAP_UNITS && heap->states >= address &&
           heap->states - address <= HEAP_SIZE &&
           heap->slab_of == view->map_slabs + (address - view->map_base) / UNIT_SIZE * 8;
}

bool view_heap_at(struct view *view, uint64_t address, struct view_heap *heap)
{
    return is_covered(view, address) && read_heap(view, address, heap);
}

/* The heap at `address`, 0: the first one of the chains from `chain` on; its index is to be below
 * `limit`. */
static bool heap_from(struct view *view, const struct view_arena *arena, unsigned chain,
                      uint64_t address, uint64_t limit, struct view_heap *heap)
{
    uint64_t chains = arena->address + offset_of(view, ACRE_FIELD_ARENA_CHAINS);
    uint64_t set = arena->address + offset_of(view, ACRE_FIELD_ARENA_HEAPS);
    for (; address == 0 && chain < HEAP_CHAINS; chain++, limit = UINT64_MAX)
        if (!view->read(view, chains + chain * sizeof(address), &address, sizeof(address)))
            return damaged(view, "an arena cannot be read", arena->address);
    if (address == 0)
        return false;
    if (!is_covered(view, address) || !read_heap(view, address, heap))
        return damaged(view, "a heap's header is wrong", address);
    /* a heap of an earlier chain would lead round in a circle */
    if (heap->index % HEAP_CHAINS != chain - 1 || heap->index >= limit || heap->set != set)
        return damaged(view, "a heap is in the wrong chain", address);
    return true;
}

bool view_first_heap(struct view *view, const struct view_arena *arena, struct view_heap *heap)
{
    return heap_from(view, arena, 0, 0, UINT64_MAX, heap);
}

bool view_next_heap(struct view *view, const struct view_arena *arena, struct view_heap *heap)
{
    unsigned chain = heap->index % HEAP_CHAINS;
    return heap_from(view, arena, chain + 1, heap->next, heap->index, heap);
}

/* ---- slabs ---- */

/* True if the geometry fits into the heap. */
static bool geometry_is_right(const struct view *view, const struct view_heap *heap,
                              struct slab_geometry g)
{
    uint64_t states = heap->states + (uint64_t)g.first_line * STATES_GROUP;
    return g.class < SIZE_CLASS_COUNT && g.count != 0 && g.count <= SLAB_MAX_BLOCKS &&
           g.units != 0 && g.units <= SLAB_MAX_UNITS && g.first_unit >= heap->first_unit &&
           g.first_unit + g.units <= HEAP_UNITS &&
           (size_t)g.count * size_class_sizes[g.class] <= (size_t)g.units * UNIT_SIZE &&
           states + g.count <= heap->address + (uint64_t)heap->first_unit * UNIT_SIZE &&
           states >= heap->address + size_of(view, ACRE_FIELD_HEAP_HEADER_SIZE);
}

/* The slab that unit `unit` of a heap leads to: the address of its geometry word, 0 if none. */
static uint64_t geometry_address(struct view *view, struct view_heap *heap, unsigned unit)
{
    uint64_t slabs = heap->address + offset_of(view, ACRE_FIELD_HEAP_SLABS);
    size_t size = size_of(view, ACRE_FIELD_SLAB_SIZE);
    unsigned from = unit / VIEW_ENTRIES * VIEW_ENTRIES;
    if (from != heap->entries_from) {
        if (!view->read(view, heap->slab_of + from * sizeof(uint64_t), heap->entries,
                        sizeof(heap->entries))) {
            damaged(view, "the unit map cannot be read", heap->slab_of);
            return 0;
        }
        heap->entries_from = from;
    }
    uint64_t slab = heap->entries[unit - from];
    if (slab < slabs || slab - slabs >= size_of(view, ACRE_FIELD_HEAP_SLABS) ||
        (slab - slabs) % size != 0)
        return 0; /* in no slab: it leads to a descriptor that nobody owns */
    return slab + offset_of(view, ACRE_FIELD_SLAB_GEOMETRY);
}

/* Reads the slab with its geometry at `word_at`, if it has unit `unit`. */
static bool read_slab(struct view *view, const struct view_heap *heap, uint64_t word_at,
                      unsigned unit, struct view_slab *slab)
{
    uint64_t word;
    if (!view->read(view, word_at, &word, sizeof(word)))
        return damaged(view, "a slab's descriptor cannot be read", word_at);
    struct slab_geometry g = geometry_unpack(word);
    /* a unit may lead to a slab that has given it back */
    if (word == 0 || unit < g.first_unit || unit - g.first_unit >= g.units)
        return false;
    if (!geometry_is_right(view, heap, g))
        return damaged(view, "a slab's geometry is wrong", word_at);
    *slab = (struct view_slab){
        .base = heap->address + (uint64_t)g.first_unit * UNIT_SIZE,
        .states = heap->states + (uint64_t)g.first_line * STATES_GROUP,
        .word_at = word_at,
        .word = word,
        .block_size = size_class_sizes[g.class],
        .count = g.count,
        .first_unit = (uint16_t)g.first_unit,
        .units = (uint16_t)g.units,
        .cls = (uint8_t)g.class,
    };
    return true;
}

bool view_states(struct view *view, const struct view_slab *slab, size_t first, size_t count,
                 uint8_t *states)
{
    /* acquire: states are read after the geometry word, and it again after them */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (!view->read(view, slab->states + first, states, count))
        return damaged(view, "a slab's states cannot be read", slab->word_at);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return true;
}

bool view_slab_stayed(struct view *view, const struct view_slab *slab)
{
    uint64_t word;
    return view->read_now(view, slab->word_at, &word, sizeof(word)) && word == slab->word;
}

bool view_next_slab(struct view *view, struct view_heap *heap, unsigned *unit,
                    struct view_slab *slab)
{
    for (; *unit < HEAP_UNITS; (*unit)++) {
        uint64_t word_at = geometry_address(view, heap, *unit);
        if (word_at != 0 && read_slab(view, heap, word_at, *unit, slab) &&
            slab->first_unit == *unit) {
            *unit += slab->units;
            return true;
        }
    }
    return false;
}

/* ---- extents ---- */

/* Reads an entry, which may be neither LIVE nor STOCK, as it is now or was at the last prefetch. */
static bool read_extent(struct view *view, uint64_t entry, bool now, struct view_extent *extent)
{
    uint8_t bytes[EXTENT_HEAD];
    bool (*read)(struct view *, uint64_t, void *, size_t) = now ? view->read_now : view->read;
    if (!read(view, entry, bytes, sizeof(bytes)))
        return damaged(view, "an extent cannot be read", entry);
    memcpy(&extent->base, bytes + offset_of(view, ACRE_FIELD_EXTENT_BASE), sizeof(extent->base));
    memcpy(&extent->size, bytes + offset_of(view, ACRE_FIELD_EXTENT_BYTES), sizeof(extent->size));
    extent->state = bytes[offset_of(view, ACRE_FIELD_EXTENT_STATE)];
    extent->zero = bytes[offset_of(view, ACRE_FIELD_EXTENT_ZERO)] != 0;
    return true;
}

/* Reads an entry until it is twice the same. False if it is not LIVE or STOCK, or cannot be. */
static bool settle_extent(struct view *view, uint64_t entry, struct view_extent *extent)
{
    struct view_extent again;
    if (!read_extent(view, entry, false, extent))
        return false;
    for (int i = 0; i < TRIES; i++) {
        if (extent->state != EXTENT_LIVE && extent->state != EXTENT_STOCK)
            return false;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!read_extent(view, entry, true, &again))
            return false;
        if (again.state == extent->state && again.base == extent->base &&
            again.size == extent->size)
            return (extent->size != 0 && (extent->base | extent->size) >> ADDRESS_BITS == 0 &&
                    (extent->base | extent->size) % view->root.page_size == 0) ||
                   damaged(view, "an extent is wrong", entry);
        *extent = again;
    }
    view->changed++;
    return false;
}

/* Goes on to the next chunk. False at the end, or where the chunks go round in a circle. */
static bool next_chunk(struct view *view, struct view_extents *at)
{
    uint64_t next;
    if (!at->begun)
        next = view_word(view, ACRE_AT_EXTENTS);
    else if (!read_field(view, at->chunk, ACRE_FIELD_EXTENT_CHUNK_NEXT, &next))
        return damaged(view, "a chunk of extents cannot be read", at->chunk);
    at->begun = true;
    at->chunk = next;
    at->entry = 0;
    if (next == 0)
        return false;
    if (view->prefetch != NULL)
        view->prefetch(view, next, size_of(view, ACRE_FIELD_EXTENT_CHUNK_SIZE));
    if (at->steps == MOST_CHUNKS)
        return damaged(view, "there are too many chunks of extents", next);
    if (next == at->marked)
        return damaged(view, "the chunks of extents go round in a circle", next);
    if (++at->steps >= at->limit) {
        at->marked = next;
        at->limit = 2 * at->steps;
    }
    return true;
}

bool view_guarded(struct view *view, size_t number, struct view_guarded *guarded)
{
    uint64_t table = address_of(view, ACRE_AT_GUARD), slots, again;
    uint64_t order = table + offset_of(view, ACRE_FIELD_GUARD_ORDER) + number * sizeof(uint64_t);
    if (number >= size_of(view, ACRE_FIELD_GUARD_ORDER) / sizeof(uint64_t) ||
        !read_field(view, table, ACRE_FIELD_GUARD_SLOTS, &slots) || slots == 0)
        return false;
    guarded->slot = slots + number * size_of(view, ACRE_FIELD_GUARD_SLOT_SIZE);
    if (!view->read_now(view, order, &guarded->order, sizeof(guarded->order)) ||
        !read_field(view, guarded->slot, ACRE_FIELD_GUARD_SLOT_BLOCK, &guarded->block) ||
        !read_field(view, guarded->slot, ACRE_FIELD_GUARD_SLOT_BYTES, &guarded->size) ||
        !view->read_now(view, order, &again, sizeof(again)))
        return damaged(view, "a guarded block cannot be read", guarded->slot);
    if (guarded->order != again) {
        view->changed++;
        guarded->order = 0;
    }
    return guarded->order == 0 || guarded->size <= view->root.page_size ||
           damaged(view, "a guarded block is wrong", guarded->slot);
}

static bool next_guarded(struct view *view, struct view_extents *at, struct view_extent *extent)
{
    struct view_guarded guarded;
    while (view_guarded(view, at->entry++, &guarded))
        if (guarded.order == GUARD_LIVE) {
            *extent = (struct view_extent){
                .base = guarded.block, .size = guard_usable(guarded.size), .state = EXTENT_LIVE};
            return true;
        }
    return false;
}

bool view_next_extent(struct view *view, struct view_extents *at, struct view_extent *extent)
{
    size_t size = size_of(view, ACRE_FIELD_EXTENT_SIZE);
    size_t entries = size_of(view, ACRE_FIELD_EXTENT_CHUNK_ENTRIES) / size;
    for (;;) {
        if (!at->in_slots && (!at->begun || at->entry == entries))
            at->in_slots = !next_chunk(view, at);
        if (at->in_slots)
            return next_guarded(view, at, extent);
        uint64_t entry =
            at->chunk + offset_of(view, ACRE_FIELD_EXTENT_CHUNK_ENTRIES) + at->entry++ * size;
        if (settle_extent(view, entry, extent))
            return true;
    }
}
