/*
 * An arena with room for wide blocks, and such blocks from it: what the tests of them share that
 * allocate as programs do. Without an arena: wide_blocks.h.
 */
#ifndef ACRE_TESTS_UNIT_WIDE_ARENA_H
#define ACRE_TESTS_UNIT_WIDE_ARENA_H

#include "block_places.h"
#include "memory.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "base/option.h"
#include "arena/thread.h"

enum {
    PLACE = 512, /* bytes: of the blocks that leave room */
    SIZE = 2048, /* of the wide ones that take it */
    KEPT = 16,   /* one block in 16 stays */
    ENOUGH = 12 << 20,
    TOO_FEW = 5 << 20,
    GROWTH = 1 << 20,   /* bytes; having grown by these, the arena has looked for room */
    MOST_WIDES = 10000, /* more than there is room for */
};

static inline bool is_wide(const char *block)
{
    return state_get(state_of(block)) == BLOCK_WIDE;
}

/* Allocates `bytes` of small blocks, and frees them but for one in `kept`. */
static inline void leave_room(size_t bytes, size_t kept)
{
    static char *blocks[ENOUGH / PLACE];

    skip_first_blocks();
    for (size_t i = 0; i < bytes / PLACE; i++) {
        blocks[i] = alloc_block(PLACE);
        memset(blocks[i], 'x', PLACE);
    }
    thread_state.arena->grown_to = SIZE_MAX; /* no pages go back: what is PURGED is no room */
    for (size_t i = 0; i < bytes / PLACE; i++)
        if (i % kept != 0)
            free_block(blocks[i]);
}

/* Allocates blocks until the arena has grown by `bytes`, or one is wide: that one, or NULL. */
static inline char *grow(size_t bytes)
{
    for (size_t taken = 0; taken < bytes; taken += SIZE) {
        char *block = alloc_block(SIZE);
        ck_assert_ptr_nonnull(block);
        if (is_wide(block))
            return block;
    }
    return NULL;
}

/* A wide block; the class has no other room from then on, so the next ones are wide as well. */
static inline char *begin_wide(void)
{
    leave_room(ENOUGH, KEPT);
    char *block = grow(2 * GROWTH);
    ck_assert_ptr_nonnull(block);
    ck_assert(thread_state.arena->wide);
    return block;
}

/* The states of the places that the block has or had are all `state`. */
static inline bool places_are(const char *block, size_t size, uint8_t state)
{
    for (size_t at = 0; at < size; at += PLACE)
        if (state_get(state_of(block + at)) != state)
            return false;
    return true;
}

#endif
