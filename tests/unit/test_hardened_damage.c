/*
 * Hardened blocks and patterns: what is found of writes to freed memory and above what was asked
 * for.
 */
#include "arena/idle.h"
#include "capture.h"
#include "hardened_modes.h"
#include "in_thread.h"

#include <stdio.h>

SUITE(hardened_damage, .begin = begin_without_decay);

/* ---- Writes after free ---- */

/* Where the bytes are written: the first, one inside, the last. */
static size_t place_of(int which, size_t size)
{
    return which == 0 ? 0 : which == 1 ? size / 2 + 3 : size - 1;
}

static void flush_own(void *unused)
{
    (void)unused;
    arena_flush(thread_own_arena());
}

static void allocate_all(void *block)
{
    size_t size = slab_of(block)->block_size;
    for (int i = 0; i < 4096 && *state_of(block) != BLOCK_SAMPLED; i++)
        (void)alloc_block(size);
}

static void expect_written(const struct capture *capture, const void *block, size_t offset)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "(%p): block %p of ", block, block);
    ck_assert_ptr_nonnull(strstr(capture->text, "written after free: "));
    ck_assert_ptr_nonnull(strstr(capture->text, wanted));
    snprintf(wanted, sizeof wanted, ", byte %zu has changed\n", offset);
    ck_assert_ptr_nonnull(strstr(capture->text, wanted));
    ck_assert_uint_eq(capture->writes, 1);
}

/* Found when the block leaves the quarantine, and when it is handed out again; and once. */
TEST_LOOP(a_write_after_free_is_found, 0, 9)
{
    static const size_t written[] = {16, 64, 100, 1000, 8192, 32768};
    struct capture capture;
    int mode = _i / 3;
    begin_mode(mode);
    ck_assert(option_parse("on_error:report", "test"));
    for (size_t i = 0; i < COUNT_OF(written); i++) {
        (void)alloc_block(written[i]); /* keeps the slab */
        char *block = alloc_block(written[i]);
        size_t size = slab_of(block)->block_size, offset = place_of(_i % 3, size);
        free_block(block);
        if (is_hardened(mode)) {
            block[offset] ^= 1;
            capture_stderr(&capture, flush_own, NULL);
            expect_written(&capture, block, offset);
            ck_assert_uint_eq(*state_of(block), BLOCK_FREE);
        }
        block[offset] ^= 1;
        capture_stderr(&capture, allocate_all, block);
        expect_written(&capture, block, offset);
    }
    ck_assert(own_arena_is_valid());
}

/* What another thread freed, once it was collected. */
TEST(a_write_after_a_remote_free_is_found)
{
    struct capture capture;
    begin_mode(0);
    ck_assert(option_parse("on_error:report", "test"));
    (void)alloc_block(64);
    char *block = alloc_block(64);
    run_thread(free_in_thread, block);
    block[7] = 1;
    flush_own(NULL);
    capture_stderr(&capture, allocate_all, block);
    expect_written(&capture, block, 7);
}

static void take_many(void *number)
{
    for (int i = 0; i < *(int *)number; i++)
        memset(alloc_block(3000), 'q', 3000);
}

/* Pages that went back to the system are zero, which is no write. */
TEST_LOOP(purged_pages_are_no_writes, 0, COUNT_OF(modes))
{
    enum { BLOCKS = 300 };
    static char *blocks[BLOCKS];
    struct capture capture;
    begin_mode(_i);
    ck_assert(option_parse("on_error:report", "test"));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BLOCKS; i++)
            memset(blocks[i] = alloc_block(3000), 'p', 3000);
        for (int i = 0; i < BLOCKS; i++)
            if (i % 60 != 0)
                free_block(blocks[i]);
        idle_trim();
        ck_assert_uint_gt(blocks_in_state(thread_own_arena(), BLOCK_PURGED), 0);
        capture_stderr(&capture, flush_own, NULL);
        ck_assert_uint_eq(capture.writes, 0);
        /* in a child: capture_stderr reads only at the end, and many reports do not fit */
        capture_child(&capture, take_many, &(int){2 * BLOCKS});
        ck_assert_uint_eq(capture.writes, 0);
    }
}

/* ---- Overflows ---- */

static void resize_to_60(void *block)
{
    (void)alloc_resize(block, 60, "realloc");
}

static void free_remotely(void *block)
{
    run_thread(free_in_thread, block);
}

static void (*const finders[])(void *) = {free_it, resize_to_60, free_remotely};

/* Each byte above what was asked for, at free, realloc and a free by another thread. */
TEST_LOOP(an_overflow_is_found, 0, COUNT_OF(finders))
{
    struct capture capture;
    char wanted[128];
    begin_mode(0);
    ck_assert(option_parse("on_error:report", "test"));
    for (size_t asked = 50; asked < 64; asked++)
        for (size_t offset = asked; offset < 64; offset++) {
            char *block = alloc_block(asked);
            block[offset] = 0; /* no byte of a canary is 0 */
            capture_stderr(&capture, finders[_i], block);
            snprintf(wanted, sizeof wanted,
                     "acre: overflow: %s(%p): block %p of 64 bytes, TINY, arena 1, %zu asked for, "
                     "byte %zu has changed\n",
                     _i == 1 ? "realloc" : "free", block, block, asked, offset);
            ck_assert_str_eq(capture.text, wanted);
        }
}

/* acre_check finds it in live blocks, once each arena; blocks that fill their place have no canary.
 */
TEST(acre_check_finds_an_overflow)
{
    const char *text;
    begin_mode(0);
    char *block = alloc_block(100), *next = alloc_block(100);
    memset(block, 1, 100);
    ck_assert_uint_eq(faults_found(&text), 0);
    next[100] ^= 1;
    ck_assert_uint_eq(faults_found(&text), 1);
    ck_assert_ptr_nonnull(strstr(text, "was written to above the size"));
    next[100] ^= 1;
    ck_assert_uint_eq(faults_found(&text), 0);
}

/* Two blocks, and two processes, have other canaries. */
TEST(canaries_differ)
{
    begin_mode(0);
    char *one = alloc_block(17), *other = alloc_block(17);
    ck_assert_mem_ne(one + 24, other + 24, 8);
    ck_assert_ptr_null(memchr(one + 17, 0, 15));
    ck_assert_mem_eq(one + 17, one + 25, 7);
}

/* A block that shrinks and grows where it is has its canary where its end is. */
TEST(a_block_that_stays_has_its_canary_at_its_end)
{
    struct capture capture;
    begin_mode(0);
    ck_assert(option_parse("on_error:report", "test"));
    char *block = alloc_block(50);
    ck_assert_ptr_eq(alloc_resize(block, 60, "realloc"), block);
    ck_assert(is_filled(block + 50, 10, 0)); /* and what is new shows nothing of it */
    memset(block, 'x', 60);
    ck_assert_ptr_eq(alloc_resize(block, 40, "realloc"), block);
    block[40] = 0;
    capture_stderr(&capture, free_it, block);
    ck_assert_ptr_nonnull(strstr(capture.text, ", 40 asked for, byte 40 has changed"));
}
