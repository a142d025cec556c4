/*
 * The LARGE list on real memory: blocks, stock, decay, resizing, what is known of addresses.
 * Limits, threads and forks are in test_large_system.c, the table under it in test_extents.c.
 */
#include "large_blocks.h"
#include "common/random.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#define STOCK (64 * MIB)

SUITE(large, .begin = begin, .timeout = 120);

/* ---- Blocks ---- */

TEST(blocks_are_page_rounded_and_zero)
{
    bool zero = false;
    unsigned char *block = large_alloc(MIB + 1, 16, &zero);

    ck_assert_ptr_nonnull(block);
    ck_assert(zero);
    ck_assert(is_filled(block, MIB + 1, 0));
    ck_assert_uint_eq((uintptr_t)block % os_page_size(), 0);
    ck_assert_uint_eq(large_usable_size(block), align_up(MIB + 1, os_page_size()));
    ck_assert_uint_eq(large_usable_size(block + 1), 0);
    ck_assert_uint_eq(totals().live_blocks, 1);
    ck_assert_int_eq(large_free(block), 0);
    ck_assert_uint_eq(totals().live_bytes, 0);
}

/* What an alignment leaves over stays in the stock, untouched; nothing does if the alignment is
 * large, or without a stock. */
TEST_LOOP(alignments_are_kept, 0, 2)
{
    if (_i == 1)
        set_options("0", FOREVER);
    for (size_t alignment = 1; alignment <= 64 * MIB; alignment *= 2) {
        size_t before = totals().stock_bytes;
        unsigned char *block = large_alloc(MIB, alignment, NULL);
        ck_assert_ptr_nonnull(block);
        ck_assert_uint_eq((uintptr_t)block % alignment, 0);
        memset(block, 1, MIB);
        size_t most = alignment <= 16 * MIB && _i == 0 ? before + alignment : before;
        ck_assert_uint_le(totals().stock_bytes, most);
        ck_assert_uint_eq(totals().stock_dirty, 0);
    }
    ck_assert(large_is_valid());
}

TEST(impossible_requests_fail)
{
    static const size_t sizes[] = {PTRDIFF_MAX, PTRDIFF_MAX - 4096, (size_t)1 << 60};
    void *block = alloc(MIB);

    errno = ERANGE;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t alignment = 1; alignment <= (size_t)1 << 62; alignment *= 2)
            ck_assert_ptr_null(large_alloc(sizes[i], alignment, NULL));
        ck_assert_ptr_null(large_resize(block, sizes[i]));
    }
    ck_assert_ptr_null(large_alloc(MIB, (size_t)1 << 62, NULL));
    ck_assert_ptr_null(large_alloc(MIB, (size_t)1 << 50, NULL));
    ck_assert_int_eq(errno, ERANGE);
    ck_assert_uint_eq(totals().live_bytes, MIB);
    ck_assert_uint_eq(large_usable_size(block), MIB);
    ck_assert(large_is_valid());
}

/* ---- The stock ---- */

/* What was written is still there: the same pages come back, without a system call. */
TEST(a_loop_is_served_from_the_stock)
{
    unsigned char *first = alloc(8 * MIB);

    memset(first, 0xa5, 8 * MIB);
    for (int i = 0; i < 1000; i++) {
        bool zero = true;
        ck_assert_int_eq(large_free(first), 0);
        ck_assert_uint_eq(totals().stock_bytes, 8 * MIB);
        ck_assert_ptr_eq(large_alloc(8 * MIB, 16, &zero), first);
        ck_assert(!zero);
    }
    ck_assert(is_filled(first, 8 * MIB, 0xa5));
}

/* The rest of an extent stays in the stock. Extents that touch serve one block. */
TEST(extents_are_split_and_used_across_borders)
{
    unsigned char *block = alloc(16 * MIB);

    large_free(block);
    for (size_t i = 0; i < 4; i++)
        ck_assert_ptr_eq(alloc(4 * MIB), block + i * 4 * MIB);
    ck_assert_uint_eq(totals().stock_bytes, 0);
    large_free(block + 4 * MIB);
    large_free(block + 12 * MIB);
    ck_assert_ptr_eq(alloc(3 * MIB), block + 4 * MIB);
    ck_assert_ptr_eq(alloc(MIB), block + 7 * MIB); /* tighter than the other 4 MiB */
    large_free(block);
    large_free(block + 4 * MIB);
    large_free(block + 7 * MIB);
    memset(block + 8 * MIB, 0x3c, 4 * MIB);
    large_free(block + 8 * MIB);
    ck_assert_uint_eq(totals().stock_bytes, 16 * MIB);
    ck_assert_ptr_eq(alloc(10 * MIB), block);
    ck_assert(is_filled(block + 8 * MIB, 2 * MIB, 0x3c));
    ck_assert_ptr_eq(alloc(6 * MIB), block + 10 * MIB);
    ck_assert(is_filled(block + 10 * MIB, 2 * MIB, 0x3c));
    ck_assert(large_is_valid());
}

/* The most dirty bytes that the stock may have with `live` bytes LIVE now, `peak` lately. */
static size_t bound(size_t limit, size_t live, size_t peak)
{
    size_t above_live = peak + peak / 4 - live;
    return limit + (2 * live < above_live ? 2 * live : above_live);
}

/* As if two decays had passed: frees a page of the stock then. */
static void forget_what_was(void)
{
    static uint64_t passed; /* ms */
    void *page = alloc(1);

    passed += 2 * option_value(OPTION_DECAY) + 1000;
    large_list_acquire(0);
    large_list_put(extents_at(&large_list.table, (uintptr_t)page), 0, os_now_ms() + passed);
    large_list_release();
}

TEST(stock_is_bounded)
{
    enum { BLOCKS = 100 };
    void *blocks[BLOCKS];

    large_free(alloc(2 * STOCK));
    ck_assert_uint_eq(totals().stock_dirty, STOCK);
    ck_assert_uint_eq(totals().stock_bytes, 2 * STOCK); /* the rest is only an address */
    forget_what_was();
    large_free(alloc(4 * STOCK));
    ck_assert_uint_eq(totals().stock_dirty, STOCK);
    ck_assert_uint_le(totals().stock_bytes, 2 * STOCK);
    forget_what_was();
    large_trim();

    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = alloc(3 * MIB);
    for (size_t i = 0; i < BLOCKS; i++) {
        ck_assert_int_eq(large_free(blocks[i]), 0);
        size_t live = (BLOCKS - 1 - i) * 3 * MIB;
        size_t most = bound(STOCK, live, BLOCKS * 3 * MIB);
        ck_assert_uint_le(totals().stock_dirty, most);
        ck_assert_uint_ge(totals().stock_dirty, min_size(most, (i + 1) * 3 * MIB));
    }
    ck_assert(large_is_valid());

    set_options("0", FOREVER);
    large_free(alloc(128 * MIB));
    size_t stock = totals().stock_bytes;
    ck_assert_uint_eq(large_trim(), stock);
    ck_assert_uint_eq(totals().stock_bytes, 0);
    large_free(alloc(MIB));
    ck_assert_uint_eq(totals().stock_bytes, 0);
}

/* The bound follows the bytes that are live, and their peak, exactly. */
TEST(stock_follows_what_is_live)
{
    unsigned char *blocks[4];
    unsigned lowest = 0;

    set_options("8M", FOREVER);
    for (unsigned i = 0; i < 4; i++) {
        blocks[i] = alloc(8 * MIB);
        lowest = blocks[i] < blocks[lowest] ? i : lowest;
    }
    for (unsigned i = 0; i < 4; i++)
        if (i != lowest)
            large_free(blocks[i]);
    ck_assert_uint_eq(totals().stock_dirty, bound(8 * MIB, 8 * MIB, 32 * MIB));
    void *other = alloc(40 * MIB); /* fits nowhere, and nothing free is at the edge */
    ck_assert_uint_eq(totals().stock_dirty, 24 * MIB);
    large_free(blocks[lowest]);
    ck_assert_uint_eq(totals().stock_dirty, bound(8 * MIB, 40 * MIB, 48 * MIB));
    large_free(other);
    ck_assert_uint_eq(totals().stock_dirty, 8 * MIB);
    ck_assert(large_is_valid());
}

/* The stock was cut to that bound, which is done between two huge pages. */
static bool was_cut_to(size_t most)
{
    size_t dirty = totals().stock_dirty;
    return dirty <= most && dirty > most - LARGE_HUGE_PAGE;
}

/* The rule `again` of large_list.h. */
TEST(what_is_asked_for_again_stays)
{
    set_options("8M", FOREVER);
    large_free(alloc(32 * MIB));
    ck_assert(was_cut_to(8 * MIB));
    large_free(alloc(4 * MIB)); /* lacks nothing */
    ck_assert(was_cut_to(8 * MIB));
    for (int i = 0; i < 3; i++) {
        large_free(alloc(28 * MIB));
        ck_assert_uint_eq(totals().stock_dirty, 28 * MIB);
    }
    large_free(alloc(96 * MIB)); /* some 24 MiB have gone: no more may come for it */
    ck_assert_uint_le(totals().stock_dirty, (8 + 24 + 2) * MIB);
    ck_assert_uint_ge(totals().stock_dirty, (8 + 20) * MIB);
    forget_what_was();
    large_free(alloc(MIB));
    ck_assert(was_cut_to(8 * MIB));
    ck_assert(large_is_valid());
}

/* Above the bound the oldest contents go, and no more than the surplus. */
TEST(oldest_contents_go_first)
{
    unsigned char *block = alloc(12 * MIB);
    bool zero = true;

    large_free(block);
    set_options("8M", FOREVER);
    ck_assert_ptr_eq(alloc(6 * MIB), block);
    ck_assert_ptr_eq(alloc(6 * MIB), block + 6 * MIB);
    memset(block, 1, 6 * MIB);
    memset(block + 6 * MIB, 2, 6 * MIB);
    large_free(block);
    uint64_t freed = os_now_ms();
    while (os_now_ms() == freed) /* of two of the same time, either may go */
        sched_yield();
    large_free(block + 6 * MIB);
    ck_assert_uint_eq(totals().stock_dirty, 8 * MIB);
    ck_assert_ptr_eq(large_alloc(12 * MIB, 16, &zero), block);
    ck_assert(!zero);
    ck_assert(is_filled(block, 2 * MIB, 1));
    ck_assert(is_filled(block + 2 * MIB, 4 * MIB, 0));
    ck_assert(is_filled(block + 6 * MIB, 6 * MIB, 2));
}

/* A block below which 4 MiB are unmapped. */
static unsigned char *alloc_above_room(size_t size)
{
    for (int tries = 0; tries < 16; tries++) {
        unsigned char *block = alloc(size);
        if (os_map_at(block - 4 * MIB, 4 * MIB)) {
            ck_assert(os_unmap(block - 4 * MIB, 4 * MIB));
            return block;
        }
    }
    ck_abort_msg("nothing is free below any block");
}

/* Where the stock at the edge is too small, only what is missing is mapped, below it. */
TEST(list_is_extended_at_its_edge)
{
    unsigned char *block = alloc_above_room(8 * MIB);

    memset(block, 0x42, 8 * MIB);
    large_free(block);
    ck_assert_ptr_eq(alloc(12 * MIB), block - 4 * MIB);
    ck_assert(is_filled(block - 4 * MIB, 4 * MIB, 0));
    ck_assert(is_filled(block, 8 * MIB, 0x42));
    ck_assert_uint_eq(totals().stock_bytes, 0);
    ck_assert(large_is_valid());
}

/* A foreign mapping below the list stays as it is; new blocks are elsewhere. */
TEST(list_is_not_extended_over_a_foreign_mapping)
{
    unsigned char *block = alloc_above_room(8 * MIB);
    size_t page = os_page_size();

    ck_assert(os_map_at(block - 2 * page, page));
    block[-2 * (ptrdiff_t)page] = 0x11;
    large_free(block);
    for (int i = 0; i < 2; i++) {
        unsigned char *other = alloc(12 * MIB);
        memset(other, 0x22, 12 * MIB);
        ck_assert_uint_eq(totals().stock_bytes, 8 * MIB);
    }
    ck_assert_int_eq(block[-2 * (ptrdiff_t)page], 0x11);
    ck_assert_ptr_eq(alloc(8 * MIB), block);
    ck_assert(large_is_valid());
}

/* Exactly after a decay, by the time that a tick is told. */
TEST(what_was_freed_goes_back_after_a_decay)
{
    enum { DECAY = 3600000, BLOCKS = 40 }; /* more than one batch */
    void *blocks[BLOCKS];

    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = alloc(MIB);
    uint64_t before = os_now_ms();
    for (int i = 0; i < BLOCKS; i += 2)
        large_free(blocks[i]);
    uint64_t after = os_now_ms();
    large_tick(before + DECAY - 1);
    ck_assert_uint_eq(totals().stock_bytes, BLOCKS / 2 * MIB);
    ck_assert(large_is_aging());
    large_tick(after + DECAY);
    ck_assert_uint_eq(totals().stock_bytes, 0);
    ck_assert(!large_is_aging());

    /* calls of malloc and free give back some at a time */
    for (int i = 1; i < BLOCKS; i += 2)
        large_free(blocks[i]);
    set_options("64M", "0");
    void *other = alloc(64 * MIB);
    ck_assert_uint_gt(totals().stock_bytes, 0);
    large_free(other);
    ck_assert_uint_eq(totals().stock_bytes, 0);
    ck_assert(large_is_valid());
}

/* A peak of more than two decays ago does not count. If this test is slow, more of the stock goes
 * back than it checks. */
TEST(an_old_peak_is_forgotten)
{
    enum { DECAY = 300, KEPT = 32 }; /* ms, MiB */
    /* MiB; each has room in no run of those before, and an aligned one does not extend the list */
    static const size_t sizes[] = {8, 17, 35};

    large_free(alloc(1000 * MIB));
    large_trim();
    void *kept = alloc(KEPT * MIB);
    set_options("1M", "300");
    usleep((DECAY * 2 + 50) * 1000);
    large_free(alloc(MIB)); /* notes what is live now */
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        large_free(large_alloc(sizes[i] * MIB, 2 * os_page_size(), NULL));
        ck_assert_uint_le(totals().stock_dirty, bound(MIB, KEPT * MIB, (KEPT + sizes[i]) * MIB));
    }
    large_free(kept);
}

/* A block said to be zero is, through reuse, splitting, joining and resizing. */
TEST(known_zero_is_zero)
{
    enum { BLOCKS = 16, ROUNDS = 1500 };
    struct random random = random_begin();
    unsigned char *blocks[BLOCKS] = {NULL};
    int known = 0;

    set_options("8M", FOREVER);
    for (int i = 0; i < ROUNDS; i++) {
        unsigned char **block = &blocks[random_below(&random, BLOCKS)];
        size_t size = (1 + random_below(&random, 300)) * 4096;
        if (*block == NULL) {
            bool zero;
            *block = large_alloc(size, (size_t)1 << random_below(&random, 20), &zero);
            ck_assert_ptr_nonnull(*block);
            ck_assert(!zero || is_filled(*block, size, 0));
            known += zero;
        } else if (random_below(&random, 2) != 0) {
            ck_assert_int_eq(large_free(*block), 0);
            *block = NULL;
            continue;
        } else {
            unsigned char *moved = large_resize(*block, size);
            *block = moved != NULL ? moved : *block;
        }
        memset(*block, 0xff, large_usable_size(*block));
        ck_assert(large_is_valid());
    }
    ck_assert_int_gt(known, 0);
}

/* ---- What is known of an address ---- */

TEST(places_are_told_apart)
{
    unsigned char *block = alloc(4 * MIB);
    int local;
    const void *const unknown[] = {&local, NULL, (void *)UINTPTR_MAX};

    ck_assert_ptr_eq(info_of(block).base, block);
    ck_assert_ptr_eq(info_of(block + 4 * MIB - 1).base, block);
    ck_assert_uint_eq(info_of(block + 4 * MIB - 1).size, 4 * MIB);
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        ck_assert(!info_of(unknown[i]).known);
    ck_assert_int_eq(large_free(block + 4096), EINVAL);
    ck_assert_int_eq(large_free(NULL), EINVAL);
    ck_assert_int_eq(large_free(&local), EINVAL);
    ck_assert_ptr_null(large_resize(block + 4096, MIB));

    ck_assert_int_eq(large_free(block), 0);
    ck_assert_int_eq(large_free(block), EINVAL);
    ck_assert(is_freed_start(block));
    ck_assert(is_in_stock(block + 4096));
    large_trim();
    ck_assert(is_freed_start(block));
    ck_assert_uint_eq(info_of(block).size, 4 * MIB);
    ck_assert(!info_of(block + 4096).known);
}

/* The starts of freed blocks stay known while other blocks use their extents, until they are in a
 * LIVE block. */
TEST(freed_blocks_stay_known)
{
    unsigned char *block = alloc(12 * MIB);

    large_free(block);
    for (size_t i = 0; i < 3; i++)
        ck_assert_ptr_eq(alloc(4 * MIB), block + i * 4 * MIB);
    for (size_t i = 0; i < 3; i++)
        large_free(block + i * 4 * MIB);
    ck_assert_uint_eq(totals().stock_bytes, 12 * MIB);
    for (size_t i = 0; i < 3; i++) {
        ck_assert(is_freed_start(block + i * 4 * MIB));
        ck_assert_int_eq(large_free(block + i * 4 * MIB), EINVAL);
    }
    for (int i = 0; i < 5000; i++) /* others come and go */
        large_free(alloc(2 * MIB));
    ck_assert(is_freed_start(block + 8 * MIB));
    ck_assert_ptr_eq(alloc(12 * MIB), block);
    ck_assert_uint_eq(large_usable_size(block), 12 * MIB);
    ck_assert_ptr_eq(info_of(block + 8 * MIB).base, block);
}

/* ---- Resizing ---- */

TEST(shrinking_gives_back_the_tail)
{
    unsigned char *block = alloc(8 * MIB);

    memset(block, 0x5a, 8 * MIB);
    ck_assert_ptr_eq(large_resize(block, 3 * MIB - 5), block);
    ck_assert_uint_eq(large_usable_size(block), 3 * MIB);
    ck_assert_uint_eq(totals().stock_bytes, 5 * MIB);
    ck_assert(is_in_stock(block + 3 * MIB));
    ck_assert_ptr_eq(large_resize(block, 6 * MIB), block); /* and takes it in again */
    ck_assert_uint_eq(totals().stock_bytes, 2 * MIB);
    ck_assert_ptr_eq(large_resize(block, 8 * MIB), block);
    ck_assert_uint_eq(totals().stock_bytes, 0);
    ck_assert(is_filled(block, 3 * MIB, 0x5a));

    set_options("0", FOREVER);
    ck_assert_ptr_eq(large_resize(block, MIB), block);
    ck_assert_uint_eq(totals().stock_bytes, 0);
    ck_assert(!info_of(block + MIB).known);
    ck_assert(is_filled(block, MIB, 0x5a));
    ck_assert(large_is_valid());
}

/* Contents stay, and few steps move the block. */
TEST(growth_in_small_steps_is_cheap)
{
    enum { STEP = 64 * 1024 };
    unsigned char *block = alloc(MIB);
    int moves = 0;

    block[0] = 1;
    for (size_t size = MIB + STEP; size <= 256 * MIB; size += STEP) {
        unsigned char *grown = large_resize(block, size);
        ck_assert_ptr_nonnull(grown);
        moves += grown != block;
        if (grown != block)
            ck_assert(is_freed_start(block));
        block = grown;
        ck_assert_uint_eq(large_usable_size(block), size);
        block[size - 1] = (unsigned char)(size / STEP);
    }
    ck_assert_int_le(moves, 40);
    ck_assert_int_eq(block[0], 1);
    for (size_t size = MIB + STEP; size <= 256 * MIB; size += STEP)
        ck_assert_int_eq(block[size - 1] == (unsigned char)(size / STEP), 1);
    ck_assert(large_is_valid());
    large_free(block);
    large_trim();
    ck_assert_uint_eq(totals().stock_bytes, 0);
}

/* mremap refuses a range of two mappings: the caller copies, and the block is as it was. */
TEST(refused_growth_changes_nothing)
{
    unsigned char *block = alloc(4 * MIB);

    memset(block, 3, 4 * MIB);
    ck_assert_int_eq(madvise(block + 2 * MIB, 2 * MIB, MADV_DONTFORK), 0);
    errno = ERANGE;
    ck_assert_ptr_null(large_resize(block, 512 * MIB));
    ck_assert_int_eq(errno, ERANGE);
    ck_assert_uint_eq(large_usable_size(block), 4 * MIB);
    ck_assert(is_filled(block, 4 * MIB, 3));
    ck_assert(large_is_valid());
    ck_assert_int_eq(large_free(block), 0);
}
