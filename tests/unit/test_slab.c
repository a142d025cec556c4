/*
 * Slabs and bins of one thread, without an arena: their sizes, windows, resizing, rebuilding. How
 * blocks are taken and freed: test_slab_trace.c.
 */
#include "test.h"
#include "common/random.h"
#include "slab_bins.h"

#include <string.h>

SUITE(slab, .begin = begin);

/* ---- Geometry ---- */

/* By the offsets around each block, over all offsets that slab_starts_block promises. */
TEST_LOOP(the_reciprocal_is_exact, 0, SIZE_CLASS_COUNT)
{
    static const int around[] = {-16, -1, 0, 1, 16};
    const size_t limit = (size_t)1 << 25;
    size_t size = size_class_sizes[_i], wrong = 0;

    begin_bin(size);
    ck_assert(bin_make_slab(bin, &set));
    uint64_t reciprocal = bin->slab->reciprocal;
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
        ck_assert_uint_eq(capacity != 0, size <= MAGAZINE_LARGEST);
        ck_assert_uint_le(capacity,
                          size > SIZE_CLASS_TINY_LIMIT ? MAGAZINE_MOST_SMALL : MAGAZINE_MOST);
        ck_assert_uint_le(capacity * size,
                          size > SLAB_SHARED_LIMIT ? MAGAZINE_LARGEST : MAGAZINE_BYTES);
        all += capacity;
    }
    ck_assert_uint_eq(all, MAGAZINE_ENTRIES);
}

/* ---- Windows ---- */

TEST_LOOP(windows_come_lowest_first, 0, SIZE_CLASS_COUNT)
{
    size_t wrong = 0;

    begin_bin(size_class_sizes[_i]);
    ck_assert(!bin_open_window(bin) && !bin_next_slab(bin));
    ck_assert(bin_make_slab(bin, &set));
    struct slab *slab = bin->slab;
    for (size_t i = 0; i < slab->count; i++) {
        char *block = take();
        wrong += slab_of(block) != slab || number_of(block) != i;
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert(!bin_open_window(bin) && all_valid());
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
    /* what is left of a huge page would serve first */
    ck_assert_int_eq(option_set_text("huge_pages", "never"), 0);
    do {
        size_t before = bytes_in_slabs();
        ck_assert_uint_eq(bin_next_slab_bytes(bin),
                          UNIT_SIZE * min_size(most, max_size(least, total / 8)));
        units = bin_next_slab_bytes(bin) / UNIT_SIZE;
        ck_assert(bin_make_slab(bin, &set));
        ck_assert_uint_eq(bytes_in_slabs() - before, units * UNIT_SIZE);
        total += units;
        while (bin_open_window(bin))
            bin->window = 0;
    } while (units < most || total == units); /* the first one has fewer blocks */
    ck_assert_uint_eq(bin->slab->count, most * UNIT_SIZE / size);
}

/* ---- Resizing ---- */

TEST(a_block_grows_and_shrinks_with_its_slab)
{
    enum { SIZE = 128 << 10, LARGER = 256 << 10, LARGEST = 384 << 10 };
    struct bin *larger = begin_bin(LARGER), *largest = begin_bin(LARGEST), *own = begin_bin(SIZE);
    char *block = take(), *after = take(), *current = take();
    struct slab *slab = slab_of(block);

    ck_assert_ptr_eq(after, block + SIZE);
    ck_assert(!slab_resize(slab, larger)); /* `after` is in the way */
    give(after);
    ck_assert(!slab_resize(slab, largest));
    ck_assert_uint_eq(slab->block_size, SIZE);
    ck_assert_uint_eq(bytes_in_slabs(), 2 * SIZE);
    ck_assert(all_valid());

    ck_assert(slab_resize(slab, larger));
    ck_assert_uint_eq(bytes_in_slabs(), LARGER + SIZE);
    ck_assert_uint_eq(larger->units, LARGER / UNIT_SIZE);
    ck_assert(slab_of(block) == slab && slab_of(after) == slab);
    ck_assert(slab_starts_block(0, slab->reciprocal, &(size_t){0}) && all_valid());

    ck_assert(slab_resize(slab_of(current), larger));
    ck_assert_ptr_null(own->slab);
    ck_assert(slab_resize(slab, own));
    ck_assert_ptr_eq(slab_of(after), &heap_nobody);
    ck_assert_ptr_eq(take(), after);
    give(current);
    ck_assert_uint_eq(bytes_in_slabs(), 2 * SIZE);
    ck_assert_uint_eq(larger->units, 0);
    ck_assert(all_valid());
}

/* ---- Rebuilding ---- */

/* Makes expected[0..count-1] what is rebuilt from such states: LIVE, and WIDE with its REST. */
static void rebuild(uint8_t *expected, const uint8_t *states, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t first = i;
        while (states[i] == BLOCK_REST && first != 0 && states[first] == BLOCK_REST)
            first--;
        bool kept = state_is_live(states[first]) && (first == i || states[first] == BLOCK_WIDE);
        expected[i] = kept ? states[i] : BLOCK_FREE;
    }
}

TEST_LOOP(a_slab_is_rebuilt_from_random_states, 0, 24)
{
    static uint8_t before[SLAB_MAX_BLOCKS], expected[SLAB_MAX_BLOCKS];
    struct random random = random_begin_for((uint64_t)_i);

    begin_bin((size_t)16 << random_below(&random, 12));
    ck_assert(bin_make_slab(bin, &set));
    struct slab *slab = bin->slab;
    size_t count = slab->count, live = 0, kept = 0;
    uint64_t kinds = 1 + random_below(&random, BLOCK_REST + 1);
    for (size_t i = 0; i < count; i++) {
        before[i] = (uint8_t)((BLOCK_LIVE + random_below(&random, kinds)) % (BLOCK_REST + 1));
        state_set(&slab->states[i], before[i]);
        live += state_is_live(before[i]);
    }
    rebuild(expected, before, count);
    for (size_t i = 0; i < count; i++)
        kept += expected[i] != BLOCK_FREE;
    slab->summary = random_next(&random);
    slab->until_check = (uint32_t)random_next(&random);
    memset(&slab->node, 0x5a, sizeof(slab->node));
    begin_bin(bin->block_size);

    slab_rebuild(slab, bin);
    for (size_t i = 0; i < count; i++)
        if (slab->states[i] != expected[i])
            ck_abort_msg("block %zu was %u, is %u", i, before[i], slab->states[i]);
    ck_assert(slab_is_valid(slab) && all_valid());
    ck_assert(slab_is_listed(slab) == (kept != count));
    ck_assert_uint_eq(slab->until_check, kept != count ? max_size(live, 1) : 1);
    for (size_t i = kept; i < count; i++) {
        char *block = take();
        if (slab_of(block) != slab || expected[number_of(block)] != BLOCK_FREE || bin->window_zero)
            ck_abort_msg("block %zu", number_of(block));
    }
    ck_assert(!bin_open_window(bin) && all_valid());
}
