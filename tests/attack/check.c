/* What must hold: see check.h. */
#include "check.h"

#include "attempt.h"
#include "ground.h"
#include "libc_blocks.h"
#include "reports.h"
#include "threads.h"

#include <acre/acre.h>
#include <malloc.h>
#include <unistd.h>

enum {
    BLOCKS_BETWEEN_STEPS = 64, /* more live ones are looked at in turn */
    FIGURES_EVERY = 4,         /* steps */
    STRUCTURES_EVERY = 8,
    GONE_LOOKED_AT = 64, /* of the blocks made last */
};

/* The library's check of all its structures, in debug builds. Other threads must be quiet. */
int acre_debug_validate(void) __attribute__((weak));

void check_block(const struct block *block)
{
    size_t usable = malloc_usable_size(block->start);
    if (usable != block->usable)
        attempt_found(FOUND_SIZE, "block %p of %zu usable bytes has %zu", (void *)block->start,
                      block->usable, usable);
    if (!model_is_intact(block, block->start, block->usable))
        attempt_found(FOUND_CONTENTS, "block %p of %zu bytes has changed", (void *)block->start,
                      block->usable);
}

static struct acre_stats stats_now(void)
{
    struct acre_stats stats;
    acre_stats(&stats, sizeof(stats));
    return stats;
}

static void check_figures(void)
{
    struct model_totals held = model_totals(), libc = libc_blocks_totals();
    struct acre_stats stats = stats_now();
    size_t in_classes = 0;
    size_t blocks = held.blocks + libc.blocks, bytes = held.bytes + libc.bytes;
    for (size_t i = 0; i < stats.class_count; i++)
        in_classes += stats.classes[i].live_blocks * stats.classes[i].block_size;
    if (stats.small_blocks + stats.large_blocks != blocks || stats.live != bytes)
        attempt_found(FOUND_FIGURES, "%zu + %zu blocks of %zu bytes, the program has %zu of %zu",
                      stats.small_blocks, stats.large_blocks, stats.live, blocks, bytes);
    if (in_classes != stats.small_live || stats.live != stats.small_live + stats.large_live)
        attempt_found(FOUND_FIGURES, "%zu bytes live, %zu TINY and SMALL, %zu in classes",
                      stats.live, stats.small_live, in_classes);
}

static bool has_background_thread(void)
{
    char value[8];
    return acre_option_get("background_thread", value, sizeof(value)) == 0 && value[0] == '1';
}

/* The background thread is never quiet for sure. */
static void check_structures(void)
{
    if (acre_debug_validate != NULL && !has_background_thread() && !acre_debug_validate())
        attempt_found(FOUND_INVALID, "acre_debug_validate");
}

/* Notes which of the blocks made last have lost their memory, or part of it. */
static void note_gone(void)
{
    size_t count = model_block_count();
    for (size_t i = count > GONE_LOOKED_AT ? count - GONE_LOOKED_AT : 0; i < count; i++) {
        struct block *block = model_block(i);
        if (!block->live && !block->gone)
            block->gone = !ground_is_mapped(block->start, block->usable);
    }
}

/* Some blocks, in turn. */
static void check_some(void *unused)
{
    static size_t next;
    (void)unused;
    size_t count = model_live_count();
    size_t looked_at = count < BLOCKS_BETWEEN_STEPS ? count : BLOCKS_BETWEEN_STEPS;
    for (size_t i = 0; i < looked_at; i++)
        check_block(model_live(next++ % count));
}

static void check_every(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < model_live_count(); i++)
        check_block(model_live(i));
}

void check_between_steps(void)
{
    /* by each thread, since a thread finds its own blocks by another way than those of others */
    threads_call(attempt->playing % attempt->threads, check_some, NULL);
    if (attempt->playing % FIGURES_EVERY == 0)
        check_figures();
    if (attempt->playing % STRUCTURES_EVERY == 0)
        check_structures();
    note_gone();
    reports_expect(0);
}

void check_all(void)
{
    for (unsigned i = 0; i < attempt->threads; i++)
        threads_call(i, check_every, NULL);
    check_figures();
    check_structures();
    reports_expect(0);
}

static void flush(void *unused)
{
    (void)unused;
    acre_thread_flush();
}

/*
 * A class keeps no more than its current slab in each arena that has a thread, and slabs with
 * blocks of the C library's. Returns the first class that has more; class_count: none.
 */
static size_t class_with_more(const struct acre_stats *stats)
{
    size_t kept = stats->arenas - stats->arenas_pooled + libc_blocks_totals().blocks;
    size_t class = 0;
    while (class < stats->class_count && stats->classes[class].slabs <= kept)
        class ++;
    return class;
}

/* Has all threads, and the library, give back what they can. */
static struct acre_stats give_back(void)
{
    for (unsigned i = 0; i < attempt->threads; i++)
        threads_call(i, flush, NULL);
    malloc_trim(0);
    return stats_now();
}

/* What the background thread is purging at that moment is given back a little later. */
void check_nothing_lost(void)
{
    enum { TRIES = 100, PAUSE_US = 10000 };
    struct acre_stats stats = give_back();
    check_all();
    for (unsigned i = 0; i < TRIES && class_with_more(&stats) < stats.class_count; i++) {
        usleep(PAUSE_US);
        stats = give_back();
    }
    size_t class = class_with_more(&stats);
    if (class < stats.class_count)
        attempt_found(FOUND_LOST, "%zu slabs of %zu bytes in %zu arenas, %zu of them pooled",
                      stats.classes[class].slabs, stats.classes[class].block_size, stats.arenas,
                      stats.arenas_pooled);
    if (stats.large_stock != 0 || stats.heap_free_dirty != 0)
        attempt_found(FOUND_LOST, "%zu bytes in the stock, %zu of units after malloc_trim",
                      stats.large_stock, stats.heap_free_dirty);
}
