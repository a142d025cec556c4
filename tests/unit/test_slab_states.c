/* Slabs and the states of their blocks: what is purged and comes back, and what is rebuilt. */
#include "test.h"
#include "base/os.h"
#include "random.h"
#include "slab_bins.h"

#include <inttypes.h>
#include <string.h>

SUITE(slab_states, .begin = begin);

/* ---- Pages of partly used slabs ---- */

/* True if no page that the block shares holds a block other than a FREE or PURGED one. */
static bool has_pages_alone(const char *block)
{
    const struct slab *slab = slab_of(block);
    size_t page = os_page_size(), size = slab->block_size, number = number_of(block);
    size_t from = align_down(number * size, page);
    size_t to = min_size(align_up((number + 1) * size, page), slab->count * size);

    for (size_t i = from / size; i * size < to; i++) {
        uint8_t state = state_get(&slab->states[i]);
        if (state != BLOCK_FREE && state != BLOCK_PURGED)
            return false;
    }
    return true;
}

static bool is_filled(const char *block, size_t size)
{
    return block[0] == 'x' && memcmp(block, block + 1, size - 1) == 0;
}

TEST_LOOP(pages_without_a_live_block_are_given_back, 0, 20)
{
    enum { MOST_BLOCKS = 512 };
    static char *blocks[MOST_BLOCKS];
    struct random random = random_begin_for((uint64_t)_i);
    size_t size = _i % 2 == 0 ? 512 : 6 * 1024, count = 0, given = 0, purged = 0;

    begin_bin(size);
    for (int slabs = 0; slabs < 3; slabs++) {
        ck_assert(bin_make_slab(bin, &set));
        for (size_t last = count + bin->slab->count; count < last; count++)
            memset(blocks[count] = take(), 'x', size);
    }
    for (size_t i = 0; i < count; i++) {
        /* no slab becomes empty */
        if (slab_of(blocks[i]) != bin->slab && number_of(blocks[i]) != 0 &&
            random_below(&random, 16) != 0) {
            give(blocks[i]);
            given++;
        }
    }
    size_t bytes = bin_purge(bin);
    ck_assert_uint_gt(bytes, 0);
    ck_assert_uint_eq(bin_purge(bin), 0); /* nothing is given back twice */
    ck_assert(all_valid());
    for (size_t i = 0; i < count; i++) {
        uint8_t state = *state_of(blocks[i]);
        bool right = true; /* others may be FREE or PURGED */
        if (state == BLOCK_LIVE)
            right = is_filled(blocks[i], size);
        else if (has_pages_alone(blocks[i]))
            right = state == BLOCK_PURGED && blocks[i][0] == 0;
        if (!right)
            ck_abort_msg("block %zu is in state %u; seed %" PRIu64, i, state, random.seed);
        purged += state == BLOCK_PURGED;
    }
    ck_assert_uint_gt(purged, 0);
    /* all of them come back before a new slab is needed, and those with their pages first */
    size_t in_slabs = bytes_in_slabs();
    for (size_t i = 0; i < given; i++)
        take();
    ck_assert_uint_eq(bytes_in_slabs(), in_slabs);
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
        bool kept = state_is_held(states[first]) && (first == i || states[first] == BLOCK_WIDE);
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
        live += state_is_held(before[i]);
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
            ck_abort_msg("block %zu was %u, is %u; seed %" PRIu64, i, before[i], slab->states[i],
                         random.seed);
    ck_assert(slab_is_valid(slab) && all_valid());
    ck_assert(slab->listed == (kept != count));
    ck_assert_uint_eq(slab->until_check, kept != count ? max_size(live, 1) : 1);
    for (size_t i = kept; i < count; i++) {
        char *block = take();
        if (slab_of(block) != slab || expected[number_of(block)] != BLOCK_FREE || bin->window_zero)
            ck_abort_msg("block %zu; seed %" PRIu64, number_of(block), random.seed);
    }
    ck_assert(!bin_open_window(bin) && all_valid());
}
