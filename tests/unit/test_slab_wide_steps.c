/*
 * A wide block is taken, freed and collected, and at each instruction the child of a fork finds
 * either all of it or none, and the blocks beside it as they are.
 */
#include "test.h"
#include "step.h"
#include "wide_blocks.h"

SUITE(slab_wide_steps, .begin = begin);

enum { PLACE = 512, SIZE = 2048, PLACES = SIZE / PLACE };

static struct bin *wide;       /* of SIZE */
static struct slab *host_slab; /* of PLACE; its first block is LIVE */

/* The block in hand is the second of three in a row. */
static char *in_a_row[3];
static size_t row_first; /* the number of its place */
static int rows_whole, rows_free;

static void take_in_row(void)
{
    in_a_row[1] = take_wide(wide);
}

static void free_in_row(void)
{
    give(in_a_row[1]);
}

static void collect_in_row(void)
{
    slab_collect(host_slab);
}

static void (*const row_operations[])(void) = {take_in_row, free_in_row, collect_in_row};

enum { ROW_OPERATIONS = sizeof(row_operations) / sizeof(row_operations[0]) };

/* True if a wide block of PLACES places is there, and nothing more of it. */
static bool is_wide_at(size_t number)
{
    return state_get(&host_slab->states[number]) == BLOCK_WIDE &&
           slab_wide_places(host_slab->states, host_slab->count, number) == PLACES;
}

/* Of the slab in hand: the blocks beside it are there, and it is a whole block or none at all. */
static bool is_whole_row(void)
{
    bool whole = is_wide_at(row_first);
    bool gone = all_are(host_slab, row_first, PLACES, BLOCK_FREE);

    rows_whole += whole;
    rows_free += gone;
    return is_wide_at(row_first - PLACES) && is_wide_at(row_first + PLACES) && whole != gone;
}

/* What the child of a fork that adopts the arena makes of the slab; all is put back then. */
static void look_at_row(void)
{
    static uint8_t states[SLAB_MAX_BLOCKS];
    static struct magazine_entry magazine[MAGAZINE_MOST];
    struct bin adopted = {.units = 0};
    struct slab saved = *host_slab;

    for (size_t i = 0; i < host_slab->count; i++)
        states[i] = state_get(&host_slab->states[i]);
    bool others = is_wide_at(row_first - PLACES) && is_wide_at(row_first + PLACES);
    bin_init(&adopted, host_slab->class, magazine);
    slab_rebuild(host_slab, &adopted);
    bool right = is_whole_row() && slab_is_valid(host_slab) &&
                 slab_live_blocks(host_slab) == 3u + is_wide_at(row_first) &&
                 state_get(&host_slab->states[0]) == BLOCK_LIVE;
    *host_slab = saved;
    for (size_t i = 0; i < host_slab->count; i++)
        state_set(&host_slab->states[i], states[i]);
    if (!right || !others) {
        step_end();
        ck_abort_msg("instruction %d", (int)steps);
    }
}

TEST_LOOP_UNLESS(NO_STEPS, a_child_finds_a_whole_block_or_none, 0, ROW_OPERATIONS)
{
    wide = begin_bin(SIZE);
    host_slab = list_used_slab(begin_bin(PLACE));
    in_a_row[0] = take_wide(wide);
    in_a_row[1] = take_wide(wide);
    in_a_row[2] = take_wide(wide);
    row_first = number_of(in_a_row[1]);
    ck_assert_ptr_eq(in_a_row[2], in_a_row[1] + SIZE);
    if (_i == 0) {
        give(in_a_row[1]);
        memset(host_slab->states + row_first + (size_t)2 * PLACES, BLOCK_PURGED,
               host_slab->count - row_first - (size_t)2 * PLACES);
        list_slab(host_slab);
    } else if (_i == 2) {
        ck_assert(free_remotely_as(in_a_row[1], BLOCK_WIDE));
    }
    step_through(row_operations[_i], look_at_row);
    ck_assert_uint_eq(number_of(in_a_row[1]), row_first);
    ck_assert(all_valid());
    ck_assert_uint_eq(*state_of(in_a_row[1]), _i == 0 ? BLOCK_WIDE : BLOCK_FREE);
    ck_assert_int_gt(rows_free, PLACES);
    ck_assert_int_eq(rows_whole != 0, _i != 2); /* what is collected was freed before */
}
