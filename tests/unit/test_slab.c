/*
 * Slabs, bins and magazines of one thread, without an arena: windows, give-backs, collecting,
 * resizing and releasing. Purging and rebuilding: test_slab_states.c.
 */
#include "test.h"
#include "random.h"
#include "slab_bins.h"

#include <inttypes.h>
#include <string.h>

SUITE(slab, .begin = begin);

enum { MOST_BLOCKS = 3000 };

static char *blocks[MOST_BLOCKS];

/* Takes all blocks of the current slab into blocks[first ..]; their number. */
static size_t take_slab(size_t first)
{
    ck_assert(bin_make_slab(bin, &set));
    size_t count = bin->slab->count;
    for (size_t i = first; i < first + count; i++)
        blocks[i] = take();
    return count;
}

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
        ck_assert_uint_eq(capacity != 0, size <= SLAB_SHARED_LIMIT);
        ck_assert_uint_le(capacity,
                          size > SIZE_CLASS_TINY_LIMIT ? MAGAZINE_MOST_SMALL : MAGAZINE_MOST);
        ck_assert_uint_le(capacity * size, MAGAZINE_BYTES);
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

TEST(memory_is_known_to_be_zero_once)
{
    begin_bin(4096);
    size_t count = take_slab(0);
    ck_assert(bin->window_zero);
    give(blocks[0]);
    ck_assert_ptr_eq(take_place(bin), blocks[0]);
    ck_assert(!bin->window_zero && count > 1);
}

TEST(a_reopened_window_of_a_fresh_group_is_not_zero)
{
    begin_bin(16);
    char *first = take();
    ck_assert(bin->window_zero);
    give(first);
    bin_leave_slab(bin); /* releases the slab: nothing of it is LIVE */
    first = take();
    take();
    give(first);
    bin_leave_slab(bin);
    ck_assert_ptr_eq(take(), first);
    ck_assert(!bin->window_zero);
}

/* What a window that is given up has left is found again, in a slab of one group as in others. */
TEST_LOOP(the_rest_of_a_left_window_is_found, 0, 2)
{
    static const size_t sizes[] = {16, 4096};

    begin_bin(sizes[_i]);
    struct slab *slab = slab_of(take());
    bin_leave_slab(bin);
    ck_assert(slab_is_listed(slab) && all_valid());
    for (size_t i = 1; i < slab->count; i++)
        ck_assert_ptr_eq(slab_of(take()), slab);
    ck_assert_uint_eq(count_states(slab, BLOCK_LIVE), slab->count);
    ck_assert_ptr_ne(slab_of(take()), slab);
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

/* ---- Giving back ---- */

TEST_LOOP(random_blocks_are_handed_out_once, 0, 6)
{
    enum { STEPS = 8000 };
    static const size_t sizes[] = {16, 48, 1024, 16 * 1024, 100 * 1024, 1 << 20};
    struct random random = random_begin();
    size_t used = min_size(MOST_BLOCKS, ((size_t)48 << 20) / sizes[_i]);

    begin_bin(sizes[_i]);
    for (int step = 0; step < STEPS; step++) {
        char **block = &blocks[random_below(&random, used)];
        if (*block == NULL) {
            *block = take();
            if (*(char ***)(void *)*block != NULL)
                ck_abort_msg("step %d: a live block again; seed %" PRIu64, step, random.seed);
            *(char ***)(void *)*block = block;
        } else {
            *(char ***)(void *)*block = NULL;
            give(*block);
            *block = NULL;
        }
        if (step % 16 == 0 && !all_valid())
            ck_abort_msg("step %d: not valid; seed %" PRIu64, step, random.seed);
    }
    for (size_t i = 0; i < used; i++)
        if (blocks[i] != NULL)
            give(blocks[i]);
    bin_leave_slab(bin);
    ck_assert(all_valid());
    ck_assert_uint_eq(bytes_in_slabs(), 0);
}

TEST(an_empty_shared_slab_is_released_unless_current)
{
    begin_bin(16 * 1024);
    size_t first = take_slab(0), both = first + take_slab(first), before = bytes_in_slabs();

    for (size_t i = 0; i < first; i++) {
        ck_assert_uint_eq(bytes_in_slabs(), before);
        give(blocks[i]);
        ck_assert(all_valid());
    }
    size_t of_current = bytes_in_slabs();
    ck_assert_uint_lt(of_current, before);
    ck_assert(list_first(&bin->partial) == NULL);
    for (size_t i = first; i < both; i++)
        give(blocks[i]);
    ck_assert_uint_eq(bytes_in_slabs(), of_current);
    bin_leave_slab(bin);
    ck_assert_uint_eq(bytes_in_slabs(), 0);
}

/* Above SLAB_SHARED_LIMIT. */
TEST_LOOP(a_slab_of_one_block_is_released_with_it, 0, 4)
{
    static const size_t sizes[] = {40 << 10, 64 << 10, 320 << 10, 1 << 20};

    begin_bin(sizes[_i]);
    char *first = take(), *second = take(), *third = take();
    size_t of_one = bytes_in_slabs() / 3;
    ck_assert_ptr_eq(bin->slab, slab_of(third));
    give(third); /* current */
    ck_assert_ptr_null(bin->slab);
    ck_assert_uint_eq(bytes_in_slabs(), of_one * 2);
    ck_assert(all_valid());
    state_set(state_of(first), BLOCK_REMOTE);
    slab_collect(slab_of(first));
    ck_assert_uint_eq(bytes_in_slabs(), of_one);
    first = take();
    give(second);
    give(first);
    ck_assert_uint_eq(bytes_in_slabs(), 0);
    ck_assert(list_first(&bin->partial) == NULL && all_valid());
}

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

/* When its last LIVE block is given back others of its blocks are in the magazine. */
TEST(releasing_a_slab_takes_its_blocks_out_of_the_magazine)
{
    begin_bin(8 * 1024);
    size_t count = take_slab(0);
    char *other = blocks[count + take_slab(count) - 1];
    struct slab *slab = slab_of(blocks[0]);

    cache(blocks[0]);
    cache(other);
    cache(blocks[1]);
    for (size_t i = 2; i < count; i++) {
        ck_assert(is_live(slab));
        give(blocks[i]);
    }
    ck_assert(!is_live(slab));
    ck_assert_ptr_eq(bin->top, bin->bottom + 1);
    ck_assert_ptr_eq(bin->bottom[0].block, other);
    ck_assert_uint_eq(*state_of(other), BLOCK_CACHED);
    ck_assert(all_valid());
}

TEST(flushing_frees_the_magazine)
{
    begin_bin(64);
    size_t capacity = magazine_capacity(bin->class);
    char *kept = take();

    for (size_t i = 0; i < capacity; i++)
        blocks[i] = take();
    for (size_t i = 0; i < capacity; i++)
        cache(blocks[i]);
    ck_assert(bin->top == bin->limit && all_valid());
    bin_flush(bin);
    ck_assert_ptr_eq(bin->top, bin->bottom);
    for (size_t i = 0; i < capacity; i++)
        ck_assert_uint_eq(*state_of(blocks[i]), BLOCK_FREE);
    ck_assert_uint_eq(*state_of(kept), BLOCK_LIVE);
    ck_assert(all_valid());
}

TEST(collecting_frees_what_is_remote)
{
    begin_bin(16 * 1024);
    size_t count = take_slab(0);
    struct slab *slab = slab_of(blocks[0]);

    take_slab(count); /* current */
    slab_collect(slab);
    ck_assert(!slab_is_listed(slab));
    for (size_t i = 0; i < count - 1; i++)
        state_set(state_of(blocks[i]), BLOCK_REMOTE);
    slab_collect(slab);
    ck_assert_uint_eq(count_states(slab, BLOCK_FREE), count - 1);
    ck_assert(slab_is_listed(slab) && all_valid());
    state_set(state_of(blocks[count - 1]), BLOCK_REMOTE);
    slab_collect(slab);
    ck_assert(!is_live(slab) && all_valid());
}
