/*
 * Views: the figures of a memory are those of its blocks; a memory that is wrong, in any way, harms
 * nothing: each walk ends, and says what is wrong where that shows.
 */
#include "test.h"
#include "arena/arena.h"
#include "base/base.h"
#include "heap/heap.h"
#include "inspect/count.h"
#include "inspect/root.h"
#include "large/large_list.h"
#include "paths/alloc.h"
#include "paths/free.h"
#include "process/init.h"
#include "common/random.h"
#include "tools/find.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    BLOCKS = 3000,
    ROUNDS = 400,    /* of random damage */
    PATCHES = 4,     /* bytes that are damaged at once, at most */
    READS = 1000000, /* of one view, at most: a walk that needs more does not end */
};

/* A memory that is this process's, with some words changed. */
static struct {
    uint64_t addresses[PATCHES], words[PATCHES];
    size_t count;
    size_t reads;    /* since it was made */
    size_t left;     /* reads that the view that was opened last may still make */
    size_t until;    /* reads until one is damaged at random; 0: none */
    uint64_t random; /* what it is damaged with */
} patches;

/* Reads by the system, which does not fault where there is nothing. */
static bool read_patched(struct view *view, uint64_t address, void *into, size_t size)
{
    struct iovec local = {into, size}, remote = {(void *)(uintptr_t)address, size};
    (void)view;
    patches.reads++;
    ck_assert_uint_gt(patches.left--, 0);
    if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != (ssize_t)size)
        return false;
    for (size_t i = 0; i < patches.count; i++) {
        for (size_t byte = 0; byte < sizeof(uint64_t); byte++) {
            uint64_t offset = patches.addresses[i] + byte - address;
            if (offset < size)
                ((char *)into)[offset] = (char)(patches.words[i] >> 8 * byte);
        }
    }
    if (patches.until != 0 && --patches.until == 0)
        memcpy(into, &patches.random, min_size(size, sizeof(patches.random)));
    return true;
}

static enum view_opened open_patched(struct view *view)
{
    patches.left = READS;
    *view = (struct view){.read = read_patched, .read_now = read_patched};
    return view_open(view, (uintptr_t)&acre_root);
}

/* Replaces a field of a structure by a word. */
static void patch(const void *structure, size_t offset, uint64_t word)
{
    ck_assert_uint_lt(patches.count, PATCHES);
    patches.addresses[patches.count] = (uintptr_t)structure + offset;
    patches.words[patches.count++] = word;
}

#define PATCH(pointer, member, word)                                                               \
    patch(pointer, offsetof(__typeof__(*(pointer)), member), (uint64_t)(word))

static void *blocks[BLOCKS];

static void begin(void)
{
    init_start(NULL);
    memset(&patches, 0, sizeof(patches));
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = alloc_block(i * 7919 % 5000);
    for (size_t i = 0; i < BLOCKS; i += 3)
        free_block(blocks[i]);
    alloc_block(2 * MIB);
    free_block(alloc_block(3 * MIB));
}

SUITE(view, .begin = begin);

/* Counts over the patched memory; what is damaged, NULL if nothing is. */
static const char *count(struct figures *figures)
{
    static struct view view;
    ck_assert_int_eq(open_patched(&view), VIEW_OPEN);
    figures_count(&view, figures);
    return view.damage;
}

TEST(a_memory_that_is_right_is_counted)
{
    static struct figures figures;

    ck_assert_ptr_null(count(&figures));
    ck_assert_uint_eq(figures.arenas, 1);
    ck_assert_uint_eq(figures.small_blocks, BLOCKS - BLOCKS / 3);
    ck_assert_uint_eq(figures.large_blocks, 1);
    ck_assert_uint_eq(figures.large[1].blocks, 1);
    ck_assert_uint_eq(figures.large_live, 2 * MIB);
    ck_assert_uint_ge(figures.stock, 3 * MIB);
    ck_assert_uint_ge(figures.large_peak, 5 * MIB);
    ck_assert_uint_ge(figures.slabs_peak, figures.in_slabs);
}

/* What of the pages of a slab is pinned: of 64-byte blocks 64 fill a page, and up to 15 of them are
 * few. */
TEST(pages_with_few_live_blocks_are_pinned)
{
    enum { PAGES = 4, PER_PAGE = 64 };
    static const size_t left[PAGES] = {15, 16, 1,
                                       0}; /* blocks that stay on four pages: 16 are 1/4 */
    static struct figures before, after;
    static void *mine[(PAGES + 2) * PER_PAGE];

    for (size_t i = 0; i < (PAGES + 2) * PER_PAGE; i++)
        mine[i] = alloc_block(8000);
    ck_assert_ptr_null(count(&before));
    ck_assert_uint_eq(before.classes[size_class_of(8000)].pinned, 0);
    /* blocks of two pages: those that are left fill theirs */
    for (size_t i = 0; i < (PAGES + 2) * PER_PAGE; i += 2)
        free_block(mine[i]);
    ck_assert_ptr_null(count(&after));
    ck_assert_uint_eq(after.classes[size_class_of(8000)].pinned, 0);
    for (size_t i = 0; i < (PAGES + 2) * PER_PAGE; i++)
        mine[i] = alloc_block(64);
    uintptr_t page = align_up((uintptr_t)mine[PER_PAGE], 4096);
    for (size_t i = 0; i < (PAGES + 2) * PER_PAGE; i++) {
        uintptr_t block = (uintptr_t)mine[i], offset = block - page;
        if (offset < PAGES * 4096 && offset % 4096 / 64 >= left[offset / 4096])
            free_block(mine[i]);
    }
    ck_assert_ptr_null(count(&before));
    for (size_t i = 0; i < (PAGES + 2) * PER_PAGE; i++) {
        uintptr_t offset = (uintptr_t)mine[i] - page;
        if (offset < PAGES * 4096 && offset % 4096 / 64 < left[offset / 4096])
            free_block(mine[i]);
    }
    ck_assert_ptr_null(count(&after));
    unsigned cls = size_class_of(64);
    ck_assert_uint_eq(before.classes[cls].pinned, after.classes[cls].pinned + 2 * 4096);
}

TEST(each_address_is_found)
{
    static struct view view;
    static struct found found;
    char *large = alloc_block(4 * MIB);

    ck_assert_int_eq(open_patched(&view), VIEW_OPEN);
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = i * 7919 % 5000;
        find_address(&view, (uintptr_t)blocks[i] + size / 2, &found);
        ck_assert_int_eq(found.kind, FIND_BLOCK);
        if (i % 3 != 0) { /* the others were freed: their places may be those of smaller ones */
            ck_assert_uint_eq(found.block, (uintptr_t)blocks[i]);
            ck_assert_uint_ge(found.size, size);
            ck_assert(state_is_live((uint8_t)found.state));
        }
        ck_assert_uint_eq(found.arena.address, (uintptr_t)arena_newest);
    }
    find_address(&view, (uintptr_t)large + 4 * MIB - 1, &found);
    ck_assert_int_eq(found.kind, FIND_LARGE);
    ck_assert_uint_eq(found.block, (uintptr_t)large);
    ck_assert_uint_eq(found.size, 4 * MIB);
    find_address(&view, (uintptr_t)heap_containing(blocks[1]) + 100, &found);
    ck_assert_int_eq(found.kind, FIND_HEAP_HEADER);
    find_address(&view, (uintptr_t)&view, &found);
    ck_assert_int_eq(found.kind, FIND_NOT_ACRE);
    find_address(&view, UINT64_MAX, &found);
    ck_assert_int_eq(found.kind, FIND_NOT_ACRE);
    ck_assert_ptr_null(view.damage);
}

/* How a view opens whose memory has that word in the field. */
#define OPENED_WITH(pointer, member, word)                                                         \
    (patches.count = 0, PATCH(pointer, member, word), open_patched(&view))

TEST(a_root_that_is_wrong_is_refused)
{
    static struct view view;
    uint64_t other = (uint64_t)sizeof(acre_root) << 32 | (ACRE_LAYOUT + 1);
    uint64_t far = UINT64_C(8) << 32 | 100000;

    ck_assert_int_eq(OPENED_WITH(&acre_root, magic, 1), VIEW_NO_ROOT);
    ck_assert_int_eq(OPENED_WITH(&acre_root, layout, other), VIEW_OTHER_LAYOUT);
    ck_assert_int_eq(OPENED_WITH(&acre_root, fields[ACRE_FIELD_SLAB_SIZE], 0), VIEW_NO_ROOT);
    ck_assert_int_eq(OPENED_WITH(&acre_root, fields[ACRE_FIELD_EXTENT_BASE], far), VIEW_NO_ROOT);
    ck_assert_int_eq(OPENED_WITH(&acre_root, addresses[ACRE_AT_UNIT_MAP], 8), VIEW_UNREADABLE);
    ck_assert_int_eq(OPENED_WITH(&unit_map, covered, UINT64_C(1) << 40), VIEW_UNREADABLE);
    ck_assert(!view_heap_at(&view, 0, &(struct view_heap){0}));
}

static struct figures damaged; /* of a memory with one wrong word */

/* What is said of a memory that has that word in the field. */
#define DAMAGE_BY(pointer, member, word)                                                           \
    (patches.count = 0, PATCH(pointer, member, word), count(&damaged))

/* Lists that lead back to themselves, or anywhere. */
TEST(lists_that_do_not_end)
{
    struct arena *arena = arena_newest;
    struct heap *heap = heap_containing(blocks[1]);
    struct extent_chunk *chunk = large_list.table.chunks;

    ck_assert_str_eq(DAMAGE_BY(arena, next, (uintptr_t)arena), "arenas out of order");
    ck_assert_uint_eq(damaged.small_blocks, BLOCKS - BLOCKS / 3);
    ck_assert_str_eq(DAMAGE_BY(heap, next, (uintptr_t)heap), "a heap is in the wrong chain");
    ck_assert_uint_eq(damaged.heaps, 1);
    ck_assert_uint_lt(heap->index, HEAP_CHAINS - 1);
    ck_assert_str_eq(DAMAGE_BY(arena, heaps.chains[heap->index + 1], (uintptr_t)heap),
                     "a heap is in the wrong chain");
    ck_assert_str_eq(DAMAGE_BY(chunk, next, (uintptr_t)chunk),
                     "the chunks of extents go round in a circle");
    ck_assert_uint_ge(damaged.large_blocks, 1);
    ck_assert_ptr_nonnull(DAMAGE_BY(chunk, next, 1));
    ck_assert_str_eq(DAMAGE_BY(arena, next, 0x1000), "an arena cannot be read");
}

TEST(geometry_that_cannot_be)
{
    struct slab *slab = heap_slab_of(heap_containing(blocks[1]), blocks[1]);
    struct slab_geometry g = geometry_unpack(slab->geometry), wrong[] = {g, g, g, g};

    wrong[0].class = 63;
    wrong[1].first_line = 32767;
    wrong[2].count = SLAB_MAX_BLOCKS + 1;
    wrong[3].count = 0;
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        ck_assert_str_eq(DAMAGE_BY(slab, geometry, geometry_pack(wrong[i])),
                         "a slab's geometry is wrong");
}

TEST(extents_that_cannot_be)
{
    const struct extent *extent = extents_at(&large_list.table, (uintptr_t)alloc_block(4 * MIB));

    ck_assert_str_eq(DAMAGE_BY(extent, size, extent->size + 1), "an extent is wrong");
    ck_assert_str_eq(DAMAGE_BY(extent, base, UINT64_C(1) << 60), "an extent is wrong");
    ck_assert_str_eq(DAMAGE_BY(extent, size, 0), "an extent is wrong");
}

/* A process goes on while it is read: its heaps may be more than when the view was opened. */
TEST(a_heap_that_is_made_meanwhile_is_read)
{
    static struct view view;
    struct view_arena arena;
    struct view_heap heap;
    size_t before = 0, after = 0;

    ck_assert_int_eq(open_patched(&view), VIEW_OPEN);
    ck_assert(view_first_arena(&view, &arena));
    for (bool more = view_first_heap(&view, &arena, &heap); more;
         more = view_next_heap(&view, &arena, &heap))
        before++;
    for (size_t i = 0; i < 2 * HEAP_SIZE / MIB; i++)
        alloc_block(MIB);
    for (bool more = view_first_heap(&view, &arena, &heap); more;
         more = view_next_heap(&view, &arena, &heap))
        after++;
    ck_assert_ptr_null(view.damage);
    ck_assert_uint_gt(after, before);
}

/* A slab whose geometry differs each time that it is read is left out. */
static uint64_t changing_at;

static bool read_changing(struct view *view, uint64_t address, void *into, size_t size)
{
    static uint64_t changes;
    if (!read_patched(view, address, into, size))
        return false;
    if (address == changing_at && size == sizeof(uint64_t)) {
        struct slab_geometry g;
        memcpy(&changes, into, sizeof(changes));
        g = geometry_unpack(changes);
        g.count = 1 + (unsigned)(patches.reads % g.count);
        changes = geometry_pack(g);
        memcpy(into, &changes, sizeof(changes));
    }
    return true;
}

TEST(what_changes_each_time_is_left_out)
{
    static struct view view;
    static struct figures all, figures;
    struct slab *slab = heap_slab_of(heap_containing(blocks[1]), blocks[1]);

    ck_assert_ptr_null(count(&all));
    changing_at = (uintptr_t)&slab->geometry;
    view = (struct view){.read = read_changing, .read_now = read_changing};
    ck_assert_int_eq(view_open(&view, (uintptr_t)&acre_root), VIEW_OPEN);
    figures_count(&view, &figures);
    ck_assert_uint_eq(view.changed, 1);
    ck_assert_ptr_null(view.damage);
    ck_assert_uint_eq(figures.classes[slab->class].slabs, all.classes[slab->class].slabs - 1);
}

/* Any read gives anything: the walk ends, and no figure is above what contains it. */
TEST(damage_at_random)
{
    static struct view view;
    static struct figures figures;
    static struct found found;

    struct random random = random_begin();
    (void)count(&figures);
    size_t reads = patches.reads;
    for (int round = 0; round < ROUNDS; round++) {
        patches.until = 1 + random_below(&random, reads);
        static const unsigned shifts[] = {0, 16, 32, 48, 63};
        patches.random = random_next(&random) >> shifts[random_below(&random, 5)];
        if (open_patched(&view) != VIEW_OPEN)
            continue;
        figures_count(&view, &figures);
        ck_assert_uint_le(figures.small_live, figures.in_slabs);
        ck_assert_uint_le(figures.in_slabs, figures.heap_mapped);
        patches.until = 1 + random_below(&random, 100);
        find_address(&view, (uintptr_t)blocks[random_below(&random, BLOCKS)], &found);
    }
}
