/*
 * Slabs, bins and magazines of one thread, without an arena: windows, give-backs, collecting, and
 * releasing.
 */
#include "test.h"
#include "random.h"
#include "slab_blocks.h"

#include <inttypes.h>
#include <string.h>

SUITE(slab, .begin = begin);

/* ---- Geometry ---- */

TEST(a_geometry_word_holds_every_field)
{
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++) {
        for (unsigned units = 1; units <= SLAB_MAX_UNITS; units++) {
            size_t count =
                min_size((size_t)units * UNIT_SIZE / size_class_sizes[class], SLAB_MAX_BLOCKS);
            struct slab_geometry in = {.class = class,
                                       .count = (unsigned)max_size(count, 1),
                                       .first_unit = HEAP_UNITS - units,
                                       .units = units,
                                       .first_line = HEAP_LINES - class - 1};
            struct slab_geometry out = geometry_unpack(geometry_pack(in));
            if (memcmp(&in, &out, sizeof(in)) != 0 || geometry_pack(in) == 0)
                ck_abort_msg("class %u, %u units", class, units);
        }
    }
}

/* By the offsets around each block, over all offsets that slab_starts_block promises. */
TEST_LOOP(the_reciprocal_is_exact, 0, SIZE_CLASS_COUNT)
{
    static const int around[] = {-16, -1, 0, 1, 16};
    const size_t limit = (size_t)1 << 25;
    size_t size = size_class_sizes[_i], wrong = 0;
    struct slab_geometry geometry = {.class = (unsigned)_i, .count = 1, .units = 1};

    begin_bin(size);
    struct slab *slab = heap_set_take(&set, &geometry);
    ck_assert_ptr_nonnull(slab);
    slab_fill(slab, &bin, geometry);
    uint64_t reciprocal = slab->reciprocal;
    for (size_t start = 0; start < limit; start += size) {
        for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
            size_t number, offset = start + (size_t)around[i];
            if (offset >= limit)
                continue; /* below 0 as well */
            bool starts = slab_starts_block(offset, reciprocal, &number);
            wrong += number != offset / size || starts != (offset % size == 0);
        }
    }
    ck_assert_uint_eq(wrong, 0);
}

TEST(magazines_are_bounded)
{
    size_t all = 0;

    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++) {
        size_t capacity = magazine_capacity(class), size = size_class_sizes[class];
        ck_assert_uint_eq(capacity != 0, size <= SLAB_SHARED_LIMIT);
        ck_assert_uint_le(capacity, MAGAZINE_MOST);
        ck_assert_uint_le(capacity * size, MAGAZINE_BYTES);
        if (size > SIZE_CLASS_TINY_LIMIT)
            ck_assert_uint_le(capacity, MAGAZINE_MOST_SMALL);
        all += capacity;
    }
    ck_assert_uint_eq(all, MAGAZINE_ENTRIES);
}

/* ---- Windows ---- */

TEST_LOOP(windows_come_lowest_first, 0, SIZE_CLASS_COUNT)
{
    begin_bin(size_class_sizes[_i]);
    ck_assert(!bin_open_window(&bin));
    ck_assert(!bin_next_slab(&bin));
    ck_assert(bin_make_slab(&bin, &set));
    struct slab *slab = bin.slab;
    size_t wrong = 0;
    for (size_t i = 0; i < slab->count; i++) {
        struct block block = take();
        wrong += block.slab != slab || block.number != i;
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert(!bin_open_window(&bin));
    ck_assert_uint_eq(slab->summary, 0);
    ck_assert(bin_is_valid(&bin));
}

TEST(memory_is_known_to_be_zero_once)
{
    begin_bin(4096);
    struct block first = take();
    ck_assert(bin.window_zero);
    size_t count = first.slab->count;
    for (size_t i = 1; i < count; i++)
        take();
    give(first);
    ck_assert_ptr_eq(take().address, first.address);
    ck_assert(!bin.window_zero);
}

TEST(a_reopened_window_of_a_fresh_group_is_not_zero)
{
    begin_bin(16);
    struct block first = take();
    ck_assert(bin.window_zero);
    give(first);
    bin_leave_slab(&bin); /* releases the slab: nothing of it is LIVE */
    first = take();
    struct block second = take();
    give(first);
    bin_leave_slab(&bin);
    ck_assert_ptr_eq(take().address, first.address);
    ck_assert_ptr_eq(second.slab, bin.slab);
    ck_assert(!bin.window_zero);
}

/* What a window that is given up has left is found again, in a slab of one group as in others. */
TEST_LOOP(the_rest_of_a_left_window_is_found, 0, 2)
{
    static const size_t sizes[] = {16, 4096};

    begin_bin(sizes[_i]);
    struct block first = take();
    struct slab *slab = first.slab;
    bin_leave_slab(&bin);
    ck_assert(slab->listed && bin_is_valid(&bin));
    for (size_t i = 1; i < slab->count; i++) {
        struct block block = take();
        ck_assert_ptr_eq(block.slab, slab);
        ck_assert_uint_eq(block.number, i);
    }
    ck_assert_ptr_ne(take().slab, slab);
}

/* Each is an eighth of all before it, within the bounds. */
TEST_LOOP(slabs_grow, 0, 4)
{
    enum { FIRST = 8 }; /* blocks that a class's first slab has at least, if they fit into a slab */
    static const size_t sizes[] = {16, 1024, 16 << 10, 32 << 10};
    size_t size = sizes[_i], total = 0, units;
    size_t least = (FIRST * size + UNIT_SIZE - 1) / UNIT_SIZE;
    size_t most = min_size(SLAB_MAX_UNITS, SLAB_MAX_BLOCKS * size / UNIT_SIZE);

    begin_bin(size);
    do {
        ck_assert(bin_make_slab(&bin, &set));
        units = geometry_unpack(bin.slab->geometry).units;
        ck_assert_uint_eq(units, min_size(most, max_size(least, total / 8)));
        total += units;
        while (bin_open_window(&bin))
            bin.window = 0;
    } while (units < most || total == units); /* the first one has fewer blocks */
    ck_assert_uint_eq(bin.slab->count, most * UNIT_SIZE / size);
    ck_assert_uint_eq(bin.units, total);
}

/* ---- Giving back ---- */

TEST_LOOP(random_blocks_are_handed_out_once, 0, 6)
{
    enum { MOST_BLOCKS = 3000, STEPS = 8000 };
    static const size_t sizes[] = {16, 48, 1024, 16 * 1024, 100 * 1024, 1 << 20};
    static struct block held[MOST_BLOCKS];
    struct random random = random_begin();
    size_t used = min_size(MOST_BLOCKS, ((size_t)48 << 20) / sizes[_i]);

    begin_bin(sizes[_i]);
    for (int step = 0; step < STEPS; step++) {
        struct block *block = &held[random_below(&random, used)];
        if (block->address == NULL) {
            *block = take();
            if (*(struct block **)(void *)block->address != NULL)
                ck_abort_msg("step %d: a live block again; seed %" PRIu64, step, random.seed);
            *(struct block **)(void *)block->address = block;
        } else {
            *(struct block **)(void *)block->address = NULL;
            give(*block);
            *block = (struct block){.address = NULL};
        }
        if (step % 16 == 0 && !(bin_is_valid(&bin) && heap_set_is_valid(&set)))
            ck_abort_msg("step %d: not valid; seed %" PRIu64, step, random.seed);
    }
    for (size_t i = 0; i < used; i++)
        if (held[i].address != NULL)
            give(held[i]);
    ck_assert(bin_is_valid(&bin));
    bin_leave_slab(&bin);
    ck_assert(bin_is_valid(&bin));
    ck_assert_uint_eq(bytes_in_slabs(), 0);
}

TEST(an_empty_shared_slab_is_released_unless_current)
{
    begin_bin(16 * 1024);
    size_t count = fill_slabs(blocks, MOST_BLOCKS, 2);
    struct slab *first = blocks[0].slab, *current = bin.slab;
    size_t of_current = current->count, before = bytes_in_slabs();

    ck_assert_ptr_ne(first, current);
    for (size_t i = 0; i < count - of_current; i++) {
        ck_assert_uint_eq(bytes_in_slabs(), before);
        give(blocks[i]);
        ck_assert(bin_is_valid(&bin));
    }
    ck_assert_uint_lt(bytes_in_slabs(), before);
    ck_assert_uint_eq(first->geometry, 0);
    ck_assert(list_is_empty(&bin.partial));
    for (size_t i = count - of_current; i < count; i++)
        give(blocks[i]);
    ck_assert_ptr_eq(bin.slab, current);
    ck_assert_uint_gt(bytes_in_slabs(), 0);
    bin_leave_slab(&bin);
    ck_assert_uint_eq(bytes_in_slabs(), 0);
}

/* Above SLAB_SHARED_LIMIT. */
TEST_LOOP(a_slab_of_one_block_is_released_with_it, 0, 4)
{
    static const size_t sizes[] = {40 << 10, 64 << 10, 320 << 10, 1 << 20};

    begin_bin(sizes[_i]);
    struct block first = take(), second = take(), third = take();
    size_t of_three = bytes_in_slabs();
    ck_assert_uint_eq(bin.limit - bin.bottom, 0);
    ck_assert_ptr_eq(bin.slab, third.slab);
    give(third); /* current */
    ck_assert_ptr_null(bin.slab);
    ck_assert_uint_eq(bytes_in_slabs(), of_three / 3 * 2);
    ck_assert(bin_is_valid(&bin));
    state_set(state_of(first), BLOCK_REMOTE);
    ck_assert_uint_eq(slab_collect(first.slab), 1);
    ck_assert_uint_eq(bytes_in_slabs(), of_three / 3);
    struct block again = take();
    ck_assert_ptr_eq(again.address, first.address);
    give(second);
    give(again);
    ck_assert_uint_eq(bytes_in_slabs(), 0);
    ck_assert(list_is_empty(&bin.partial) && bin_is_valid(&bin));
}

static bool all_valid(const struct bin *other)
{
    return bin_is_valid(&bin) && bin_is_valid(other) && heap_set_is_valid(&set);
}

TEST(a_block_grows_and_shrinks_with_its_slab)
{
    enum { SIZE = 128 << 10, LARGER = 256 << 10, LARGEST = 384 << 10 };
    static struct bin larger, largest;

    begin_bin(SIZE);
    bin_init(&larger, size_class_of(LARGER), entries);
    bin_init(&largest, size_class_of(LARGEST), entries);
    struct block block = take(), behind = take(), current = take();
    ck_assert(!slab_resize(block.slab, &larger)); /* `behind` is in the way */
    give(behind);
    ck_assert(!slab_resize(block.slab, &largest));
    ck_assert_uint_eq(block.slab->block_size, SIZE);
    ck_assert_uint_eq(bytes_in_slabs(), 2 * SIZE);
    ck_assert(all_valid(&larger));

    ck_assert(slab_resize(block.slab, &larger));
    ck_assert_uint_eq(bytes_in_slabs(), LARGER + SIZE);
    ck_assert_ptr_eq(block_at(block.address).slab, block.slab);
    ck_assert_ptr_eq(heap_slab_of(heap_containing(behind.address), behind.address), block.slab);
    ck_assert(all_valid(&larger));
    ck_assert_uint_eq(larger.units, LARGER / UNIT_SIZE);

    ck_assert(slab_resize(current.slab, &larger));
    ck_assert_ptr_null(bin.slab);
    ck_assert(slab_resize(block.slab, &bin));
    ck_assert_ptr_eq(heap_slab_of(heap_containing(behind.address), behind.address), &heap_nobody);
    ck_assert(all_valid(&larger));
    ck_assert_ptr_eq(take().address, behind.address);
    give(current);
    ck_assert_uint_eq(bytes_in_slabs(), 2 * SIZE);
    ck_assert_uint_eq(larger.units, 0);
    ck_assert(all_valid(&larger));
}

/* When its last LIVE block is given back others of its blocks are in the magazine. */
TEST(releasing_a_slab_takes_its_blocks_out_of_the_magazine)
{
    begin_bin(8 * 1024);
    size_t count = fill_slabs(blocks, MOST_BLOCKS, 2), first_count = blocks[0].slab->count;
    struct block other = blocks[count - 1];

    cache(blocks[0]);
    cache(other);
    cache(blocks[1]);
    for (size_t i = 2; i < first_count; i++) {
        ck_assert_uint_ne(blocks[0].slab->geometry, 0);
        give(blocks[i]);
    }
    ck_assert_uint_eq(blocks[0].slab->geometry, 0);
    ck_assert_ptr_eq(bin.top, bin.bottom + 1);
    ck_assert_ptr_eq(bin.bottom[0].block, other.address);
    ck_assert_uint_eq(*state_of(other), BLOCK_CACHED);
    ck_assert(bin_is_valid(&bin));
}

TEST(flushing_frees_the_magazine)
{
    begin_bin(64);
    size_t capacity = magazine_capacity(bin.class);
    struct block kept = take();

    for (size_t i = 0; i < capacity; i++)
        blocks[i] = take();
    for (size_t i = 0; i < capacity; i++)
        cache(blocks[i]);
    ck_assert_ptr_eq(bin.top, bin.limit);
    ck_assert(bin_is_valid(&bin));
    bin_flush(&bin);
    ck_assert_ptr_eq(bin.top, bin.bottom);
    for (size_t i = 0; i < capacity; i++)
        ck_assert_uint_eq(*state_of(blocks[i]), BLOCK_FREE);
    ck_assert_uint_eq(*state_of(kept), BLOCK_LIVE);
    ck_assert(bin_is_valid(&bin));
}

TEST(collecting_frees_what_is_remote)
{
    begin_bin(16 * 1024);
    size_t count = fill_slabs(blocks, MOST_BLOCKS, 2);
    struct slab *slab = blocks[0].slab;
    size_t first_count = slab->count;

    ck_assert_uint_eq(slab_collect(slab), 0);
    ck_assert(!slab->listed);
    for (size_t i = 0; i < first_count - 1; i++)
        state_set(state_of(blocks[i]), BLOCK_REMOTE);
    ck_assert_uint_eq(slab_collect(slab), first_count - 1);
    ck_assert(slab->listed);
    ck_assert_uint_eq(states_count(slab->states, slab->count, BLOCK_FREE), first_count - 1);
    ck_assert(bin_is_valid(&bin));
    ck_assert_uint_eq(slab_collect(slab), 0);
    state_set(state_of(blocks[first_count - 1]), BLOCK_REMOTE);
    ck_assert_uint_eq(slab_collect(slab), 1);
    ck_assert_uint_eq(slab->geometry, 0); /* released */
    ck_assert_uint_eq(*state_of(blocks[count - 1]), BLOCK_LIVE);
    ck_assert(bin_is_valid(&bin));
}
