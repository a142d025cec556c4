/* Blocks on a list, taken until the limit refuses one; and setting the limit. */
#ifndef ACRE_TESTS_UNIT_LIMIT_BLOCKS_H
#define ACRE_TESTS_UNIT_LIMIT_BLOCKS_H

#include "test.h"
#include "base/limit.h"
#include "base/option.h"
#include "base/os.h"
#include "paths/alloc.h"
#include "paths/free.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LIMIT = 64 << 20 };

/* Sets the option as acre_option_set does. */
static inline void set_limit_text(const char *text)
{
    ck_assert_int_eq(option_set_text("limit", text), 0);
    limit_tick(os_now_ms());
}

static inline void set_limit_bytes(size_t bytes)
{
    char text[32];
    snprintf(text, sizeof text, "%zu", bytes);
    set_limit_text(text);
    ck_assert_uint_eq(limit.bytes, bytes);
}

static inline void be_quiet(void)
{
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDERR_FILENO); /* the line at the first refusal */
    close(null);
}

/* ---- blocks on a list, in their first bytes ---- */

struct blocks {
    char *last;
    size_t count, size; /* blocks; bytes of each */
};

/* Takes blocks and fills them, until one is refused or there are `most`. */
static inline void take(struct blocks *blocks, size_t size, size_t most)
{
    blocks->size = size;
    while (blocks->count < most) {
        errno = 0;
        char *block = alloc_block(size);
        if (block == NULL) {
            ck_assert_int_eq(errno, ENOMEM);
            return;
        }
        ck_assert_int_eq(errno, 0);
        memset(block, 7, size);
        memcpy(block, &blocks->last, sizeof blocks->last);
        blocks->last = block;
        blocks->count++;
    }
}

/* Frees all blocks but `kept`. */
static inline void give(struct blocks *blocks, size_t kept)
{
    while (blocks->count > kept) {
        char *block = blocks->last;
        ck_assert_int_eq(block[blocks->size - 1], 7);
        memcpy(&blocks->last, block, sizeof blocks->last);
        free_block(block);
        blocks->count--;
    }
}

/* Bytes of the blocks. */
static inline size_t bytes_of(const struct blocks *blocks)
{
    return blocks->count * alloc_good_size(blocks->size);
}

#endif
