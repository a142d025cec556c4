/*
 * Blocks of several classes without an arena, taken and freed at random by their owner and as by
 * other threads: in the window, the magazine, as wide blocks in slabs of smaller classes, purged,
 * collected. Whatever the order, a block that the program holds is nobody else's, and what it has
 * freed is found again: a slab with none of its blocks goes.
 */
#include "test.h"
#include "memory.h"
#include "common/random.h"
#include "wide_blocks.h"

SUITE(slab_trace, .begin = begin);

enum { BLOCKS = 600, ROUNDS = 4, STEPS = 6000 };

/* Half of them come as wide blocks; the last ones are slabs of one block. */
static const size_t sizes[] = {16, 256, 384, 4096, 2048, 3072, 16384, 65536};

/* What the program holds, by its own account. */
static struct held {
    char *block; /* NULL: none */
    size_t bytes;
} blocks[BLOCKS];

static size_t held_blocks, held_bytes;
static struct random random_numbers;

static uint64_t below(uint64_t limit)
{
    return random_below(&random_numbers, limit);
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg(#condition "");                                                           \
    } while (0)

static struct bin *random_bin(void)
{
    return &bins[size_class_of(sizes[below(COUNT_OF(sizes))])];
}

/* Writes into each of the places that a block has whose it is; or checks that. */
static bool mark(struct held *held, bool check)
{
    for (size_t at = 0; at < held->bytes; at += 128) {
        struct held **owner = (struct held **)(void *)(held->block + at);
        if (!check)
            *owner = held;
        else if (*owner != held)
            return false;
    }
    return true;
}

/* ---- Taking ---- */

static char *take_wide_now_and_then(struct bin *from)
{
    return below(8) != 0 ? bin_take_wide(from, bins, look += below(4) == 0) : NULL;
}

static char *take_from_magazine(struct bin *from)
{
    if (from->top == from->bottom || below(2) != 0)
        return NULL;
    from->top--;
    state_set(from->top->state, BLOCK_LIVE);
    return from->top->block;
}

static void take_block(struct held *held)
{
    struct bin *from = random_bin();
    bool zero = false;

    held->block = take_wide_now_and_then(from);
    if (held->block == NULL)
        held->block = take_from_magazine(from);
    if (held->block == NULL) {
        bin = from;
        held->block = take();
        zero = from->window_zero;
    }
    held->bytes = slab_of(held->block)->block_size * places_of(held->block);
    CHECK(held->bytes >= from->block_size);
    CHECK(!zero || is_filled(held->block, held->bytes, 0));
    held_blocks++;
    held_bytes += held->bytes;
    mark(held, false);
}

/* ---- Freeing ---- */

static void free_block_of(struct held *held)
{
    uint8_t state = *state_of(held->block);
    bin = slab_of(held->block)->bin;

    CHECK(mark(held, true));
    CHECK(state == BLOCK_LIVE || state == BLOCK_WIDE);
    if (below(3) == 0) {
        CHECK(!free_remotely_as(held->block, BLOCK_LIVE + BLOCK_WIDE - state));
        CHECK(free_remotely_as(held->block, state));
        CHECK(!free_remotely_as(held->block, state));
    } else if (state == BLOCK_LIVE && bin->top != bin->limit && below(2) == 0) {
        cache(held->block);
    } else {
        give(held->block);
    }
    held_blocks--;
    held_bytes -= held->bytes;
    held->block = NULL;
}

/* ---- Slabs against what the program holds ---- */

struct found {
    size_t blocks, bytes;
    bool settled; /* nothing is in a magazine, or waits for its owner */
};

static void look_at_slab(void *context, struct slab *slab)
{
    struct slab_live held = slab_count_live(slab->states, slab->count);
    bool shared = slab->block_size <= SLAB_SHARED_LIMIT;
    struct found *found = context;

    CHECK(slab_is_valid(slab));
    CHECK(held.blocks == slab_live_blocks(slab));
    found->blocks += held.blocks;
    found->bytes += held.places * slab->block_size;
    if (found->settled) {
        CHECK(held.blocks != 0 || (shared && slab_is_current(slab)));
        CHECK(count_states(slab, BLOCK_REMOTE) == 0 && count_states(slab, BLOCK_CACHED) == 0);
        CHECK(count_states(slab, BLOCK_PURGED) == 0 || slab->purged);
    }
}

static void look_at_slabs(bool settled)
{
    struct found found = {.settled = settled};

    heap_set_for_each_slab(&set, look_at_slab, &found);
    CHECK(found.blocks == held_blocks && found.bytes == held_bytes);
    CHECK(all_valid());
}

static void settle(void)
{
    remote_collect(&remote);
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        bin_flush(&bins[size_class_of(sizes[i])]);
    look_at_slabs(true);
}

/* What an owner does beside, and a thread that purges for it; the bytes that were purged. */
static size_t tidy_up(void)
{
    size_t bytes = 0;

    switch (below(6)) {
    case 0:
        remote_collect(&remote);
        break;
    case 1:
        bytes = remote_purge(&remote);
        CHECK(remote_purge(&remote) == 0); /* nothing is given back twice */
        break;
    case 2:
        bin = random_bin();
        bytes = bin_purge(bin);
        CHECK(bin_purge(bin) == 0);
        break;
    case 3:
        bin_flush(random_bin());
        break;
    case 4:
        settle();
        break;
    default:
        bin_leave_slab(random_bin());
    }
    look_at_slabs(false);
    return bytes;
}

/* ---- The trace ---- */

/* Takes more than it frees, and then frees more than it takes. */
static void take_and_free(size_t *wides, size_t *purged)
{
    for (int step = 0; step < STEPS; step++) {
        bool grows = step < STEPS / 2;
        struct held *held = &blocks[below(BLOCKS)];
        if (held->block == NULL && (grows || below(8) == 0)) {
            take_block(held);
            *wides += *state_of(held->block) == BLOCK_WIDE;
        } else if (held->block != NULL && (!grows || below(8) == 0)) {
            free_block_of(held);
        }
        if (step % 16 == 0)
            *purged += tidy_up();
    }
}

TEST_LOOP(what_is_held_is_kept_and_what_is_freed_is_found, 0, 10)
{
    size_t wides = 0, purged = 0;

    random_numbers = random_begin_for((uint64_t)_i);
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        begin_bin(sizes[i])->units = 8;
    for (int round = 0; round < ROUNDS; round++) {
        take_and_free(&wides, &purged);
        for (int i = 0; i < BLOCKS; i++)
            if (blocks[i].block != NULL)
                free_block_of(&blocks[i]);
        settle();
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            bin_leave_slab(&bins[size_class_of(sizes[i])]);
        CHECK(bytes_in_slabs() == 0 && all_valid());
    }
    CHECK(wides > 100 && purged > 100 * UNIT_SIZE);
}
