/* Slabs and the states of their blocks: what is purged and comes back, and what is rebuilt. */
#include "test.h"
#include "base/os.h"
#include "random.h"
#include "slab_blocks.h"
#include "slab/slab_purge.h"

#include <inttypes.h>
#include <string.h>

SUITE(slab_states, .begin = begin);

/* ---- Pages of partly used slabs ---- */

/* True if no page that the block shares holds a block other than a FREE or PURGED one. */
static bool has_pages_alone(struct block block)
{
    size_t page = os_page_size(), size = block.slab->block_size;
    size_t from = align_down(block.number * size, page);
    size_t to = min_size(align_up((block.number + 1) * size, page), block.slab->count * size);

    for (size_t i = from / size; i * size < to; i++) {
        uint8_t state = state_get(&block.slab->states[i]);
        if (state != BLOCK_FREE && state != BLOCK_PURGED)
            return false;
    }
    return true;
}

TEST_LOOP(pages_without_a_live_block_are_given_back, 0, 20)
{
    struct random random = random_begin();

    random.state += (uint64_t)_i;
    begin_bin(_i % 2 == 0 ? 512 : 6 * 1024);
    size_t count = fill_slabs(blocks, MOST_BLOCKS, _i % 2 == 0 ? 2 : 3), given = 0, purged = 0;
    for (size_t i = 0; i < count; i++) {
        memset(blocks[i].address, 'x', bin.block_size);
        /* no slab becomes empty */
        bool kept =
            blocks[i].slab == bin.slab || blocks[i].number == 0 || random_below(&random, 16) == 0;
        if (!kept) {
            give(blocks[i]);
            given++;
        }
        blocks[i].number = kept ? SIZE_MAX : blocks[i].number;
    }
    size_t bytes = bin_purge(&bin);
    ck_assert(bin_is_valid(&bin));
    ck_assert_uint_gt(bytes, 0);
    ck_assert_uint_eq(bin_purge(&bin), 0); /* nothing is given back twice */
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].number == SIZE_MAX) {
            for (size_t at = 0; at < bin.block_size; at++)
                if (blocks[i].address[at] != 'x')
                    ck_abort_msg("a live block was purged; seed %" PRIu64, random.seed);
        } else if (has_pages_alone(blocks[i])) {
            if (*state_of(blocks[i]) != BLOCK_PURGED || blocks[i].address[0] != 0)
                ck_abort_msg("block %zu was kept; seed %" PRIu64, i, random.seed);
        }
        purged += blocks[i].number != SIZE_MAX && *state_of(blocks[i]) == BLOCK_PURGED;
    }
    ck_assert_uint_gt(purged, 0);
    /* all of them come back before a new slab is needed, and those with their pages first */
    size_t slabs = bytes_in_slabs();
    for (size_t i = 0; i < given; i++)
        (void)take();
    ck_assert_uint_eq(bytes_in_slabs(), slabs);
    ck_assert(bin_is_valid(&bin));
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
    struct random random = random_begin();

    random.state += (uint64_t)_i; /* another slab in each round */
    begin_bin((size_t)16 << random_below(&random, 12));
    ck_assert(bin_make_slab(&bin, &set));
    struct slab *slab = bin.slab;
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
    begin_bin(bin.block_size);

    slab_rebuild(slab, &bin);
    for (size_t i = 0; i < count; i++)
        if (slab->states[i] != expected[i])
            ck_abort_msg("block %zu was %u, is %u; seed %" PRIu64, i, before[i], slab->states[i],
                         random.seed);
    ck_assert(slab_is_valid(slab));
    ck_assert(bin_is_valid(&bin));
    ck_assert(slab->listed == (kept != count));
    ck_assert_uint_eq(slab->until_check, kept != count ? max_size(live, 1) : 1);
    for (size_t i = kept; i < count; i++) {
        struct block block = take();
        if (block.slab != slab || expected[block.number] != BLOCK_FREE || bin.window_zero)
            ck_abort_msg("block %zu; seed %" PRIu64, block.number, random.seed);
    }
    ck_assert(!bin_open_window(&bin));
    ck_assert(bin_is_valid(&bin));
}
