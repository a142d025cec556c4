/*
 * The LARGE list and the system under it: the limit on mappings, huge pages, children of fork.
 */
#include "large_blocks.h"
#include "child.h"
#include "sanitized.h"
#include "memory.h"

#include "base/fork.h"

#include <pthread.h>
#include <unistd.h>

SUITE(large_system, .begin = begin, .timeout = 120);

/* ---- The system's limits ---- */

/* Uses up the mappings that this process may have. */
static void exhaust_mappings(void)
{
    size_t page = os_page_size();
    unsigned char *area = os_reserve(page << 18);

    ck_assert_ptr_nonnull(area);
    for (size_t i = 0; i < (size_t)1 << 18; i += 2)
        if (!os_open(area + i * page, page))
            return;
    ck_abort_msg("vm.max_map_count is larger than this test expects");
}

/* What cannot be unmapped is purged and stays usable, and goes when its neighbours go. */
TEST_UNLESS(NO_LIMITS, refused_unmapping_keeps_the_extent_without_contents)
{
    unsigned char *block = alloc(32 * MIB);

    set_options("0", FOREVER);
    memset(block, 9, 32 * MIB);
    for (size_t i = 1; i < 4; i++) { /* four blocks side by side, in one mapping */
        set_options("64M", FOREVER);
        ck_assert_ptr_eq(large_resize(block, (4 - i) * 8 * MIB), block);
        ck_assert_ptr_eq(alloc(8 * MIB), block + (4 - i) * 8 * MIB);
    }
    set_options("0", FOREVER);
    exhaust_mappings();
    ck_assert_int_eq(large_free(block + 16 * MIB), 0);
    ck_assert_uint_eq(totals().stock_bytes, 8 * MIB);
    ck_assert(is_freed_start(block + 16 * MIB));

    bool zero = false;
    ck_assert_ptr_eq(large_alloc(8 * MIB, 16, &zero), block + 16 * MIB);
    ck_assert(zero);
    ck_assert(is_filled(block + 16 * MIB, 8 * MIB, 0));
    ck_assert(is_filled(block + 24 * MIB, 8 * MIB, 9));
    ck_assert_int_eq(large_free(block + 16 * MIB), 0);
    large_list_purge_due(os_now_ms(), SIZE_MAX);
    ck_assert_int_eq(large_free(block + 8 * MIB), 0);
    ck_assert_uint_eq(totals().stock_bytes, 16 * MIB);
    for (size_t i = 0; i < 4; i += 3)
        ck_assert_int_eq(large_free(block + i * 8 * MIB), 0);
    ck_assert(large_is_valid());
    ck_assert_uint_le(totals().stock_bytes, 32 * MIB);
}

enum { ASKED, DECLINED, NEITHER };

/* For each value of the option: what a block of 2 MiB asks for, one of 4 MiB, and one that is
 * larger than LARGE_HUGE_ZEROED and to be zero. */
static const struct {
    const char *value;
    int small, large, zeroed;
} huge_pages[] = {
    {"never", DECLINED, DECLINED, DECLINED},
    {"large", DECLINED, ASKED, DECLINED},
    {"system", NEITHER, NEITHER, NEITHER},
    {"always", ASKED, ASKED, ASKED},
};

enum { HUGE_PAGES_VALUES = sizeof(huge_pages) / sizeof(huge_pages[0]) };

static void check_asked(const void *p, int asked)
{
    bool supported = huge_pages_are_supported();
    ck_assert_int_eq(has_vm_flag(p, " hg"), supported && asked == ASKED);
    ck_assert_int_eq(has_vm_flag(p, " nh"), supported && asked == DECLINED);
}

TEST_LOOP_UNLESS(NO_LIMITS, large_blocks_ask_for_huge_pages, 0, HUGE_PAGES_VALUES)
{
    ck_assert_int_eq(option_set_text("huge_pages", huge_pages[_i].value), 0);
    unsigned char *small = alloc(2 * MIB), *large = alloc(4 * MIB), *more = alloc(9 * MIB);
    check_asked(small, huge_pages[_i].small);
    check_asked(large, huge_pages[_i].large);
    check_asked(more, huge_pages[_i].large);
    /* mapped as one that is too small, and grown */
    unsigned char *grown = large_resize(small, 6 * MIB);
    ck_assert_ptr_nonnull(grown);
    check_asked(grown, huge_pages[_i].large);
    check_asked(grown + 6 * MIB - 1, huge_pages[_i].large);
    /* purged and taken again */
    large_free(large);
    set_options("64M", "0");
    large_list_purge_due(os_now_ms(), SIZE_MAX);
    large = alloc(4 * MIB);
    check_asked(large, huge_pages[_i].large);

    bool zero = false;
    check_asked(large_alloc(LARGE_HUGE_ZEROED, 1, &zero), huge_pages[_i].large);
    unsigned char *zeroed = large_alloc(LARGE_HUGE_ZEROED + 1, 1, &zero);
    check_asked(zeroed, huge_pages[_i].zeroed);
    large_free(zeroed);
    large_list_purge_due(os_now_ms(), SIZE_MAX);
    check_asked(alloc(LARGE_HUGE_ZEROED + 1), huge_pages[_i].large);
    ck_assert(large_is_valid());
}

/* Small ones do where most of the last 8 MiB has memory, so that most of what is mapped will. */
TEST_LOOP_UNLESS(NO_LIMITS, blocks_ask_for_huge_pages_where_all_are_used, 0, 3)
{
    enum { BLOCKS = 12 };
    static const size_t touched[] = {0, MIB, 2 * MIB}; /* of each block */
    static const int asked[] = {DECLINED, DECLINED, ASKED};
    unsigned char *block = NULL;

    for (int i = 0; i < BLOCKS; i++) {
        block = alloc(2 * MIB);
        memset(block, 1, touched[_i]);
    }
    check_asked(block, asked[_i]);
    bool zero = false;
    check_asked(large_alloc(LARGE_HUGE_ZEROED + 1, 1, &zero), DECLINED);
    ck_assert(large_is_valid());
}

/* Blocks with huge pages touch, and the list's edge is that of a huge page, so that none of their
 * pages has to be small. */
TEST_UNLESS(NO_LIMITS, blocks_with_huge_pages_are_packed)
{
    enum { BLOCKS = 8, SIZE = (4 << 20) + (300 << 10) };
    unsigned char *last = NULL;
    int apart = 0, uneven = 0;

    for (int i = 0; i < BLOCKS; i++) {
        unsigned char *block = alloc(SIZE);
        apart += block + SIZE != last;
        uneven += extents_sum(&large_list.table)->base % LARGE_HUGE_PAGE != 0;
        last = block;
    }
    /* the system chooses the place of the first one, and of one more if something lies below it */
    ck_assert_int_le(apart, 2);
    ck_assert_int_le(uneven, 2);
    ck_assert_uint_le(totals().stock_bytes, 2 * LARGE_HUGE_PAGE);

    /* what is left over serves the next block */
    size_t left = totals().stock_bytes;
    if (left != 0)
        alloc(min_size(left, MIB));
    ck_assert_uint_eq(totals().stock_bytes, left - min_size(left, MIB));
    ck_assert(large_is_valid());
}

/* ---- What an alignment leaves over ---- */

enum { SLOT = 128 << 10 }; /* bytes: the alignment below */

/* Blocks of a page, each at a multiple of SLOT. */
static void alloc_aligned_pages(unsigned char **blocks, int count)
{
    bool done = true;

    for (int i = 0; i < count; i++) {
        bool zero = false;
        blocks[i] = large_alloc(1, SLOT, &zero);
        done = done && blocks[i] != NULL && (uintptr_t)blocks[i] % SLOT == 0 && zero;
    }
    ck_assert(done);
    ck_assert(large_is_valid());
}

/* What an alignment leaves over is between the blocks, so that they are few pieces, and serves
 * other requests. */
TEST_UNLESS(NO_LIMITS, what_an_alignment_leaves_over_serves_again)
{
    enum { BLOCKS = 2000, SMALL = 48 << 10 };
    static unsigned char *blocks[BLOCKS];

    alloc_aligned_pages(blocks, BLOCKS);
    size_t stock = totals().stock_bytes;
    ck_assert_uint_le(stock, (size_t)BLOCKS * SLOT);
    ck_assert_uint_eq(totals().stock_dirty, 0);
    /* metadata may be mapped at the edge of the list */
    ck_assert_uint_le(pieces(), 8);
    for (int i = 0; i < BLOCKS; i++) {
        bool zero = false;
        unsigned char *other = large_alloc(SMALL, 1, &zero);
        ck_assert(other != NULL && zero);
        other[0] = other[SMALL - 1] = 1;
    }
    ck_assert_uint_eq(totals().stock_bytes, stock - (size_t)BLOCKS * SMALL);
    ck_assert(large_is_valid());
}

/* It decays like all else, but leaves no more holes than the list may have. */
TEST_LOOP_UNLESS(NO_LIMITS, what_an_alignment_leaves_over_decays, 0, 2)
{
    enum { BLOCKS = 3000 };
    static unsigned char *blocks[BLOCKS];
    int count = _i == 0 ? 500 : BLOCKS;

    alloc_aligned_pages(blocks, count);
    large_list_purge_due(os_now_ms() + 3600000, SIZE_MAX);
    ck_assert(large_is_valid());
    ck_assert(!large_list_is_aging());
    if (_i == 0) {
        ck_assert_uint_eq(totals().stock_bytes, 0);
        ck_assert_uint_eq(pieces(), count);
    } else {
        ck_assert_uint_ge(pieces(), LARGE_PIECES_MOST);
        ck_assert_uint_le(pieces(), LARGE_PIECES_MOST + 8);
        ck_assert_uint_gt(totals().stock_bytes, 0);
    }
    /* what was kept goes with the blocks around it */
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(large_free(blocks[i]), 0);
    large_list_purge_all();
    ck_assert_uint_eq(totals().stock_bytes, 0);
    ck_assert_uint_eq(pieces(), 0);
}

/* ---- Forks ---- */

/* True if the first and last bytes of a block are the mark it was given. */
static bool is_marked(const unsigned char *block, size_t size, unsigned char mark)
{
    return block[0] == mark && block[size - 1] == mark;
}

/* In a child: 0 if the list is valid and hands out no block that was live. */
static int use_list_in_child(const unsigned char *kept)
{
    enum { BLOCKS = 20 };
    unsigned char *blocks[BLOCKS];

    if (!large_is_valid() || large_usable_size(kept) != MIB)
        return 1;
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = large_alloc(MIB, 16, NULL);
        if (blocks[i] == NULL)
            return 2;
        blocks[i][0] = blocks[i][MIB - 1] = (unsigned char)i; /* and it is mapped */
    }
    for (int i = 0; i < BLOCKS; i++)
        if (!is_marked(blocks[i], MIB, (unsigned char)i) || large_free(blocks[i]) != 0)
            return 3;
    if (!is_filled(kept, MIB, 0x77))
        return 4;
    return large_is_valid() ? 0 : 5;
}

static pthread_barrier_t barrier;

/* Holds the list's lock while another thread forks, with the index lost. */
static void *hold_list(void *unused)
{
    large_list_acquire(0);
    struct extent *root = large_list.table.root;
    large_list.table.root = NULL;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    large_list.table.root = root;
    large_list_release();
    return unused;
}

/* tests/fork tries every instruction. */
TEST(a_child_rebuilds_the_list_that_a_lost_thread_held)
{
    unsigned char *kept = alloc(MIB);
    pthread_t holder;

    memset(kept, 0x77, MIB);
    large_free(alloc(4 * MIB));
    ck_assert_int_eq(pthread_barrier_init(&barrier, NULL, 2), 0);
    ck_assert_int_eq(pthread_create(&holder, NULL, hold_list, NULL), 0);
    pthread_barrier_wait(&barrier);
    pid_t child = fork_limited();
    if (child == 0) {
        fork_child();
        _exit(use_list_in_child(kept));
    }
    pthread_barrier_wait(&barrier);
    ck_assert_int_eq(result_of(child), 0);
    pthread_join(holder, NULL);
    ck_assert(large_is_valid());
}
