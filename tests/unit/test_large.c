/*
 * The LARGE list on real memory: blocks, stock, decay, resizing, what is known of addresses.
 * Limits, threads and forks are in test_large_system.c, the table under it in test_extents.c.
 */
#include "large_blocks.h"
#include "common/random.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

#define STOCK (64 * MIB)

SUITE(large, .begin = begin, .timeout = 120);

/* ---- Blocks ---- */

/* What an alignment leaves over stays in the stock, untouched; nothing does if the alignment is
 * large, or without a stock. */
TEST_LOOP(alignments_are_kept, 0, 2)
{
    ck_assert_int_eq(option_set_text("huge_pages", "never"), 0); /* which are an alignment, too */
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

/* ---- At random, against a plain account ---- */

enum { BLOCKS = 16, ROUNDS = 1500, ENDS = 4096 /* bytes at each end of a block */ };

static struct account {
    unsigned char *block; /* NULL: none */
    size_t size;          /* that was asked for */
    unsigned char mark;   /* what its ends hold */
} accounts[BLOCKS];

static void check_contents(const struct account *account, size_t size)
{
    size_t end = min_size(size, ENDS);
    ck_assert(is_filled(account->block, end, account->mark));
    if (size == account->size)
        ck_assert(is_filled(account->block + size - end, end, account->mark));
}

/* Writes to all of it, so that it is not zero. */
static void mark_contents(struct account *account, unsigned char mark)
{
    size_t usable = large_usable_size(account->block);
    ck_assert_uint_eq(usable, align_up(account->size, os_page_size()));
    account->mark = mark;
    memset(account->block, mark, usable);
}

static void free_account(struct account *account)
{
    size_t page = os_page_size();
    check_contents(account, account->size);
    if (account->size > page)
        ck_assert_int_eq(large_free(account->block + page), EINVAL);
    ck_assert_int_eq(large_free(account->block), 0);
    ck_assert_int_eq(large_free(account->block), EINVAL);
    ck_assert(is_freed_start(account->block));
    account->block = NULL;
}

static void resize_account(struct account *account, size_t size)
{
    unsigned char *moved = large_resize(account->block, size), *before = account->block;
    if (moved == NULL) {
        check_contents(account, account->size);
        return;
    }
    account->block = moved;
    check_contents(account, min_size(size, account->size));
    account->size = size;
    if (moved != before)
        ck_assert(is_freed_start(before));
}

static void check_totals(void)
{
    size_t blocks = 0, bytes = 0;
    for (int i = 0; i < BLOCKS; i++) {
        blocks += accounts[i].block != NULL;
        bytes += accounts[i].block != NULL ? align_up(accounts[i].size, os_page_size()) : 0;
    }
    ck_assert_uint_eq(totals().live_blocks, blocks);
    ck_assert_uint_eq(totals().live_bytes, bytes);
    ck_assert(large_is_valid());
}

/* Contents stay, what is said to be zero is, and what was freed stays known, through reuse,
 * splitting, joining, resizing and purging. */
TEST_LOOP(blocks_agree_with_a_plain_account, 0, 3)
{
    struct random random = random_begin_for((uint64_t)_i);
    int known = 0;

    set_options("8M", FOREVER);
    for (int i = 0; i < ROUNDS; i++) {
        struct account *account = &accounts[random_below(&random, BLOCKS)];
        size_t size = 1 + random_below(&random, 300 * 4096);
        if (account->block == NULL) {
            size_t alignment = (size_t)1 << random_below(&random, 20);
            bool zero;
            account->block = large_alloc(size, alignment, &zero);
            account->size = size;
            ck_assert_uint_eq((uintptr_t)account->block % alignment, 0);
            ck_assert(!zero || is_filled(account->block, size, 0));
            known += zero;
        } else if (random_below(&random, 2) != 0) {
            free_account(account);
        } else {
            resize_account(account, size);
        }
        if (account->block != NULL)
            mark_contents(account, (unsigned char)(1 + i % 255));
        if (random_below(&random, 64) == 0)
            large_list_purge_due(os_now_ms() + option_value(OPTION_DECAY), SIZE_MAX);
        check_totals();
    }
    ck_assert_int_gt(known, 0);
}

/* ---- The stock ---- */

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
    ck_assert_uint_eq(totals().stock_bytes, 4 * STOCK);
    ck_assert_uint_eq(pieces(), 1); /* no hole */
    forget_what_was();
    large_list_purge_all();

    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = alloc(3 * MIB);
    for (size_t i = 0; i < BLOCKS; i++) {
        ck_assert_int_eq(large_free(blocks[i]), 0);
        size_t live = (BLOCKS - 1 - i) * 3 * MIB;
        size_t most = bound(STOCK, live, BLOCKS * 3 * MIB);
        ck_assert_uint_le(totals().stock_dirty, most);
        ck_assert_uint_gt(totals().stock_dirty + LARGE_HUGE_PAGE,
                          min_size(most, (i + 1) * 3 * MIB));
    }
    ck_assert(large_is_valid());

    set_options("0", FOREVER);
    large_free(alloc(128 * MIB));
    size_t stock = totals().stock_bytes;
    ck_assert_uint_eq(large_list_purge_all(), stock);
    ck_assert_uint_eq(totals().stock_bytes, 0);
    large_free(alloc(MIB));
    ck_assert_uint_eq(totals().stock_bytes, 0);
}

/* The stock was cut to that bound, which is done between two huge pages. */
static bool was_cut_to(size_t most)
{
    size_t dirty = totals().stock_dirty;
    return dirty <= most && dirty > most - LARGE_HUGE_PAGE;
}

/* The rule `again` of base/recent.h. */
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

/* Frees a block before the time of what is freed then: of two of the same time, either may go. */
static void free_before_others(void *block)
{
    large_free(block);
    uint64_t freed = os_now_ms();
    while (os_now_ms() == freed)
        sched_yield();
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
    free_before_others(block);
    large_free(block + 6 * MIB);
    ck_assert(was_cut_to(8 * MIB));
    ck_assert_ptr_eq(large_alloc(12 * MIB, 16, &zero), block);
    ck_assert(!zero);
    ck_assert(is_filled(block, 2 * MIB, 1));
    ck_assert(is_filled(block + 2 * MIB, 4 * MIB, 0));
    ck_assert(is_filled(block + 6 * MIB, 6 * MIB, 2));
}

/* Makes blocks of one at the edge of a huge page, which has their size: the first `count` - 1 are
 * taken off its end in turn. All are filled with their number. */
static void make_side_by_side(unsigned char **blocks, const size_t *sizes, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += sizes[i];
    blocks[0] = large_alloc(size, LARGE_HUGE_PAGE, NULL);
    ck_assert_ptr_nonnull(blocks[0]);
    large_list_purge_all(); /* what the alignment has left over */
    for (int i = count; i-- > 0; memset(blocks[i], i, sizes[i])) {
        size -= sizes[i];
        blocks[i] = blocks[0] + size;
        if (i == 0)
            continue;
        ck_assert_ptr_eq(large_resize(blocks[0], size), blocks[0]);
        ck_assert_ptr_eq(alloc(sizes[i]), blocks[i]);
    }
}

/* What is above the bound are whole huge pages, the last ones of the oldest extent that has any. */
TEST(huge_pages_lose_their_contents_as_a_whole)
{
    static const size_t sizes[] = {MIB, 6 * MIB, MIB};
    unsigned char *blocks[3];

    make_side_by_side(blocks, sizes, 3);
    set_options("1M", FOREVER);
    large_free(blocks[1]); /* 2 MiB are live, so 5 may stay */
    ck_assert_uint_eq(totals().stock_dirty, 4 * MIB);
    ck_assert_ptr_eq(alloc(6 * MIB), blocks[1]);
    ck_assert(is_filled(blocks[1], 3 * MIB, 1));
    ck_assert(is_filled(blocks[1] + 3 * MIB, 2 * MIB, 0));
    ck_assert(is_filled(blocks[1] + 5 * MIB, MIB, 1));
}

/* So it is with one that lies in several extents: none of these has one of its own. */
TEST(a_huge_page_of_two_extents_loses_its_contents)
{
    static const size_t sizes[] = {MIB, 5 * MIB / 2, 5 * MIB / 4, 5 * MIB / 4};
    unsigned char *blocks[4];

    make_side_by_side(blocks, sizes, 4);
    set_options("1M", FOREVER);
    free_before_others(blocks[1]);
    large_free(blocks[2]); /* 2.25 MiB are live, 3.75 free, and 5.25 may be */
    ck_assert_uint_eq(totals().stock_dirty, 15 * MIB / 4);
    large_free(blocks[3]); /* 1 MiB is live, 5 are free, and 3 may be */
    ck_assert_uint_eq(totals().stock_dirty, 3 * MIB);
    ck_assert_ptr_eq(alloc(5 * MIB), blocks[1]);
    ck_assert(is_filled(blocks[1], MIB, 1));
    ck_assert(is_filled(blocks[1] + MIB, 2 * MIB, 0));
    ck_assert(is_filled(blocks[2] + MIB / 2, 3 * MIB / 4, 2));
    ck_assert(is_filled(blocks[3], 5 * MIB / 4, 3));
}

/* A block below which 6 MiB are unmapped: 4, and what a huge page has. */
static unsigned char *alloc_above_room(size_t size)
{
    for (int tries = 0; tries < 16; tries++) {
        unsigned char *block = alloc(size);
        if (os_map_at(block - 6 * MIB, 6 * MIB)) {
            ck_assert(os_unmap(block - 6 * MIB, 6 * MIB));
            return block;
        }
    }
    ck_abort_msg("nothing is free below any block");
}

/* Where the stock at the edge is too small, only what is missing is mapped, below it, down to the
 * edge of a huge page. */
TEST(list_is_extended_at_its_edge)
{
    unsigned char *block = alloc_above_room(8 * MIB);

    memset(block, 0x42, 8 * MIB);
    large_free(block);
    ck_assert_ptr_eq(alloc(12 * MIB), block - 4 * MIB);
    ck_assert(is_filled(block - 4 * MIB, 4 * MIB, 0));
    ck_assert(is_filled(block, 8 * MIB, 0x42));
    ck_assert_uint_lt(totals().stock_bytes, LARGE_HUGE_PAGE);
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
        ck_assert_uint_ge(totals().stock_bytes, 8 * MIB);
        ck_assert_uint_lt(totals().stock_bytes, 8 * MIB + LARGE_HUGE_PAGE);
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
    large_list_purge_due(before + DECAY - 1, SIZE_MAX);
    ck_assert_uint_eq(totals().stock_bytes, BLOCKS / 2 * MIB);
    ck_assert(large_list_is_aging());
    large_list_purge_due(after + DECAY, SIZE_MAX);
    ck_assert_uint_eq(totals().stock_bytes, 0);
    ck_assert(!large_list_is_aging());

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
    large_list_purge_all();
    ck_assert(is_freed_start(block));
    ck_assert_uint_eq(info_of(block).size, 4 * MIB);
    ck_assert(!info_of(block + 4096).known);
}

/* ---- Resizing ---- */

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
    large_list_purge_all();
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
