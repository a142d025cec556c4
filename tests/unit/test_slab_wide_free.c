/*
 * Wide blocks of bins without an arena that are freed, by the owner and by others: whose the places
 * are then, when a slab is released, and that no two blocks ever share a place.
 */
#include "test.h"
#include "base/os.h"
#include "random.h"
#include "wide_blocks.h"

#include <inttypes.h>

SUITE(slab_wide_free, .begin = begin);

/* ---- Freeing ---- */

/* A wide block that lies in two groups, or NULL; every other place of its slab is LIVE. */
static char *fill_around_wide(size_t place, size_t size)
{
    wide = begin_bin(size);
    host = begin_bin(place);
    host->units = LARGEST_SLABS;
    host_slab = make_used_slab(host);
    state_set(&host_slab->states[0], BLOCK_LIVE);
    memset(host_slab->states + 1, BLOCK_PURGED, host_slab->count - 1u);
    memset(host_slab->states + STATES_GROUP - 1, BLOCK_FREE, size / place);
    list_slab(host_slab);
    char *block = take_wide(wide);
    if (block == NULL || number_of(block) != STATES_GROUP - 1)
        return NULL;
    while (take_place(host) != NULL)
        continue;
    ck_assert_uint_eq(host_slab->summary, 0);
    ck_assert(!host_slab->purged && all_valid());
    ck_assert_uint_eq(count_states(host_slab, BLOCK_LIVE), host_slab->count - size / place);
    return block;
}

/* Leaves the slab when it is full, so that it is neither listed nor current. */
static void leave_full_slab(void)
{
    bin_leave_slab(host);
    ck_assert(!slab_is_listed(host_slab) && slab_is_valid(host_slab));
}

/* The places of a block are FREE, its groups are marked, and the class finds each of them. */
static void check_freed(const char *block, size_t place, size_t places)
{
    size_t first = number_of(block);

    ck_assert(all_are(host_slab, first, places, BLOCK_FREE));
    ck_assert_uint_eq(host_slab->summary & 3, 3);
    ck_assert(all_valid());
    ck_assert_uint_eq(slab_live_blocks(host_slab), host_slab->count - places);
    for (size_t i = 0; i < places; i++)
        ck_assert_ptr_eq(take_place(host), block + i * place);
    ck_assert_ptr_null(take_place(host));
    ck_assert(all_valid());
}

TEST_LOOP(places_of_a_freed_block_are_its_class_s_again, 0, 2)
{
    char *block = fill_around_wide(PLACE, SIZE);

    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq(places_of(block), PLACES);
    ck_assert_uint_eq(slab_live_blocks(host_slab), host_slab->count - PLACES + 1u);
    if (_i == 0)
        leave_full_slab();
    give(block);
    ck_assert(slab_is_listed(host_slab) || _i != 0);
    check_freed(block, PLACE, PLACES);
}

TEST_LOOP(what_another_thread_freed_is_collected_with_its_places, 0, 2)
{
    char *block = fill_around_wide(PLACE, SIZE);

    ck_assert_ptr_nonnull(block);
    if (_i == 0)
        leave_full_slab();
    ck_assert(!free_remotely_as(block, BLOCK_LIVE));
    ck_assert(!free_remotely_as(block + PLACE, BLOCK_WIDE));
    ck_assert(!free_remotely_as(block + PLACE, BLOCK_LIVE));
    ck_assert_uint_eq(places_of(block), PLACES);
    ck_assert(free_remotely_as(block, BLOCK_WIDE));
    ck_assert(!free_remotely_as(block, BLOCK_WIDE));
    ck_assert_uint_eq(places_of(block), PLACES); /* for who reports a misuse of it */
    ck_assert(all_valid());
    ck_assert_ptr_null(take_place(host));
    remote_collect(&remote);
    check_freed(block, PLACE, PLACES);
}

/* All of its pages went back before the owner came, also those that begin or end in a place. */
TEST_LOOP(what_was_purged_for_the_owner_is_taken_back_with_its_places, 0, 6)
{
    static const struct {
        size_t place, size;
    } kinds[] = {{4096, 16384}, {512, 12288}, {1280, 20480}};
    size_t place = kinds[_i / 2].place, size = kinds[_i / 2].size, page = os_page_size();
    char *block = fill_around_wide(place, size);

    ck_assert_ptr_nonnull(block);
    memset(block, 'x', size);
    if (_i % 2 == 0)
        leave_full_slab();
    uintptr_t start = (uintptr_t)block;
    size_t whole = align_down(start + size, page) - align_up(start, page);
    ck_assert(free_remotely_as(block, BLOCK_WIDE));
    ck_assert_uint_gt(whole, 0);
    ck_assert_uint_eq(remote_purge(&remote), whole);
    ck_assert_uint_eq(remote_purge(&remote), 0);
    ck_assert(!free_remotely_as(block, BLOCK_WIDE));
    ck_assert_uint_eq(*state_of(block), BLOCK_PURGED); /* also where none of its first place did */
    remote_collect(&remote);
    ck_assert(all_valid());
    bool taken[64] = {false};
    for (size_t i = 0; i < size / place; i++) {
        char *again = take_place(host);
        ck_assert(again >= block && again < block + size);
        ck_assert(!taken[(size_t)(again - block) / place]);
        taken[(size_t)(again - block) / place] = true;
    }
    ck_assert_ptr_null(take_place(host));
    ck_assert(all_valid());
}

TEST_LOOP(a_slab_is_held_by_a_wide_block_alone, 0, 3)
{
    char *block = hold_one_wide(4096, 8192);
    size_t before = bytes_in_slabs();

    ck_assert_uint_gt(before, 0);
    slab_give_back(host_slab, 0);
    ck_assert_uint_eq(bytes_in_slabs(), before);
    slab_collect(host_slab);
    ck_assert_uint_eq(host_slab->live_hint, 1);
    ck_assert(all_valid());
    ck_assert_uint_eq(*state_of(block), BLOCK_WIDE);
    switch (_i) {
    case 0:
        give(block);
        break;
    case 1:
        ck_assert(free_remotely_as(block, BLOCK_WIDE));
        remote_collect(&remote);
        break;
    default:
        ck_assert(free_remotely_as(block, BLOCK_WIDE));
        ck_assert_uint_eq(remote_purge(&remote), 8192);
        remote_collect(&remote);
    }
    ck_assert_uint_eq(bytes_in_slabs(), 0);
    ck_assert_uint_eq(host_slab->geometry, 0);
    ck_assert(all_valid());
    /* nothing of it is left in the states that the next slab has */
    struct slab *slab = make_used_slab(host);
    ck_assert(all_are(slab, 0, slab->count, BLOCK_FREE) && !slab->wide);
}

/* The number of give-backs after which a slab is looked at knows nothing of wide blocks made since.
 */
TEST_LOOP(the_last_free_releases_a_slab_in_any_order, 0, 50)
{
    enum { BLOCKS = 12 };
    struct random random = random_begin();
    char *held[BLOCKS] = {hold_one_wide(PLACE, SIZE)};

    random.state += (uint64_t)_i;
    for (int i = 1; i < BLOCKS; i++)
        if (random_below(&random, 2) == 0 || (held[i] = take_wide(wide)) == NULL)
            held[i] = take_place(host);
    if (host->slab != NULL)
        bin_leave_slab(host);
    slab_give_back(host_slab, 0);
    for (int left = BLOCKS; left > 0; left--) {
        ck_assert_msg(host_slab->geometry != 0 && all_valid(), "seed %" PRIu64, random.seed);
        char **block = &held[random_below(&random, (uint64_t)left)];
        if (random_below(&random, 2) != 0)
            ck_assert(free_remotely_as(*block, *state_of(*block)));
        else
            give(*block);
        *block = held[left - 1];
        if (random_below(&random, 4) == 0)
            remote_collect(&remote);
    }
    remote_collect(&remote);
    ck_assert_msg(bytes_in_slabs() == 0 && all_valid(), "seed %" PRIu64, random.seed);
}

static void check_held(size_t blocks, size_t places)
{
    struct slab_live held = slab_count_live(host_slab->states, host_slab->count);

    ck_assert_uint_eq(held.blocks, blocks);
    ck_assert_uint_eq(held.places, places);
    ck_assert_uint_eq(slab_live_blocks(host_slab), blocks);
}

/* Also of a block that another thread freed, whose places stay REST until the owner collects it. */
TEST_LOOP(what_is_held_is_counted_once, 0, 2)
{
    char *block = hold_one_wide(PLACE, SIZE);

    ck_assert_ptr_nonnull(take_wide(wide));
    check_held(3, 1 + 2 * PLACES);
    if (_i == 0)
        give(block);
    else
        ck_assert(free_remotely_as(block, BLOCK_WIDE));
    check_held(2, 1 + PLACES);
}

/* ---- Random traces ---- */

enum { TRACE_BLOCKS = 600, TRACE_STEPS = 20000 };

static const size_t trace_sizes[] = {256, 384, 4096, 2048, 3072, 16384}; /* half of them wide */

static struct traced {
    char *block; /* NULL: none */
    size_t bytes;
} traced[TRACE_BLOCKS];

/* Writes to all places of a block whose it is, or checks that it is still. */
static bool mark_places(struct traced *held, bool check)
{
    for (size_t at = 0; at < held->bytes; at += 128) {
        struct traced **mark = (struct traced **)(void *)(held->block + at);
        if (check && *mark != held)
            return false;
        *mark = check ? NULL : held;
    }
    return true;
}

/* A block of the class, or a wide one for it where there is one. */
static char *take_traced(struct bin *bin, struct random *random)
{
    char *block = NULL;

    if (bin->block_size > SIZE_CLASS_TINY_LIMIT && random_below(random, 8) != 0)
        block = bin_take_wide(bin, bins, look += random_below(random, 4) == 0);
    while (block == NULL && (block = take_place(bin)) == NULL)
        ck_assert(bin_make_slab(bin, &set));
    return block;
}

static void free_traced(const char *block, struct random *random)
{
    if (random_below(random, 3) == 0)
        ck_assert(free_remotely_as(block, *state_of(block)));
    else
        give(block);
}

/* Now and then: what an owner and others do beside. */
static void tidy_up(struct random *random)
{
    struct bin *bin = &bins[size_class_of(trace_sizes[random_below(random, 6)])];

    switch (random_below(random, 4)) {
    case 0:
        remote_collect(&remote);
        break;
    case 1:
        remote_purge(&remote);
        break;
    case 2:
        bin_purge(bin);
        break;
    default:
        bin_leave_slab(bin);
    }
}

TEST_LOOP(no_two_blocks_have_a_place_in_common, 0, 10)
{
    struct random random = random_begin();
    size_t wides = 0;

    random.state += (uint64_t)_i;
    for (int i = 0; i < 6; i++)
        begin_bin(trace_sizes[i])->units = 8;
    for (int step = 0; step < TRACE_STEPS; step++) {
        bool grows = step / 2000 % 2 == 0;
        struct traced *held = &traced[random_below(&random, TRACE_BLOCKS)];
        if (held->block == NULL && (grows || random_below(&random, 8) == 0)) {
            struct bin *bin = &bins[size_class_of(trace_sizes[random_below(&random, 6)])];
            held->block = take_traced(bin, &random);
            held->bytes = places_of(held->block) * slab_of(held->block)->block_size;
            wides += *state_of(held->block) == BLOCK_WIDE;
            ck_assert_uint_ge(held->bytes, bin->block_size);
            mark_places(held, false);
        } else if (held->block != NULL && (!grows || random_below(&random, 8) == 0)) {
            if (!mark_places(held, true))
                ck_abort_msg("step %d: somebody else's; seed %" PRIu64, step, random.seed);
            free_traced(held->block, &random);
            held->block = NULL;
        }
        if (step % 16 == 0)
            tidy_up(&random);
        if (step % 16 == 0 && !all_valid())
            ck_abort_msg("step %d: not valid; seed %" PRIu64, step, random.seed);
    }
    ck_assert_msg(wides > 100, "%zu wide blocks; seed %" PRIu64, wides, random.seed);
    for (int i = 0; i < TRACE_BLOCKS; i++)
        if (traced[i].block != NULL && mark_places(&traced[i], true))
            free_traced(traced[i].block, &random);
    remote_collect(&remote);
    for (int i = 0; i < 6; i++)
        bin_leave_slab(&bins[size_class_of(trace_sizes[i])]);
    ck_assert_msg(bytes_in_slabs() == 0, "%zu bytes lost; seed %" PRIu64, bytes_in_slabs(),
                  random.seed);
}
