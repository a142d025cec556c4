/*
 * What small blocks leave free serves larger ones (wide blocks): each worker fills a table with
 * small blocks, frees nine tenths of them at random, fills it again with blocks above a KiB,
 * replaces some of these, and frees nearly all. Every other time it is the neighbour's table that a
 * worker thins out and replaces in, so that blocks are freed and resized by others than took them.
 *
 * Fails, besides what all stress programs check, if no larger block has ever taken the place of
 * several small ones.
 */
#include "common.h"

#include <acre/acre.h>

enum {
    SLOTS = 60000,
    SMALL_LEAST = 128, /* bytes; of shorter ones too few lie free side by side */
    SMALL_LIMIT = 700,
    SMALL_MEMORY = 24 << 20, /* bytes of small blocks in a table, if a worker may have as much */
    MEDIUM_LEAST = 1100,     /* bytes */
    MEDIUM_LIMIT = 12000,
    KEPT_SHARE = 10,  /* one in that many small blocks stays */
    LEFT_SHARE = 50,  /* one in that many blocks is left when the table is filled anew */
    REPLACED = 3000,  /* of the larger ones, in one round */
    RESIZED_PART = 3, /* one in three of these by realloc */
};

enum phase { FILL, THIN_OUT, FILL_AGAIN, REPLACE, EMPTY, PHASES };

static bool was_wide; /* between rounds: blocks were seen that have the place of several */

static size_t choose_size(struct worker *worker, size_t least, size_t limit)
{
    return least + random_below(&worker->random, limit - least);
}

static void fill(struct worker *worker, struct table *table, size_t slot, size_t least,
                 size_t limit)
{
    table_put(table, slot, block_allocate(&worker->random, choose_size(worker, least, limit)));
}

/* Fills empty slots with blocks of least .. limit - 1 bytes, up to that many bytes. */
static void fill_up_to(struct worker *worker, struct table *table, size_t memory, size_t least,
                       size_t limit)
{
    for (size_t slot = 0; slot < SLOTS && table->live + 2 * limit < memory; slot++)
        if (table->block[slot].address == NULL)
            fill(worker, table, slot, least, limit);
}

/* Replaces a block by a larger one, or makes it larger. */
static void replace(struct worker *worker, struct table *table, size_t slot)
{
    if (table->block[slot].address == NULL || random_below(&worker->random, RESIZED_PART) != 0) {
        table_release(table, slot);
        fill(worker, table, slot, MEDIUM_LEAST, MEDIUM_LIMIT);
    } else {
        table_resize(table, slot, choose_size(worker, MEDIUM_LEAST, MEDIUM_LIMIT));
    }
}

/* Frees all blocks but one in that many. */
static void thin_out(struct worker *worker, struct table *table, size_t share)
{
    for (size_t slot = 0; slot < SLOTS; slot++)
        if (random_below(&worker->random, share) != 0)
            table_release(table, slot);
}

static void round_of(struct worker *worker, unsigned long round)
{
    enum phase phase = (enum phase)(round % PHASES);
    bool is_neighbours = round / PHASES % 2 == 1 && (phase == THIN_OUT || phase == REPLACE);
    struct table *table = stress_table((worker->number + is_neighbours) % stress_threads());
    size_t memory = worker->memory < SMALL_MEMORY ? worker->memory : SMALL_MEMORY;
    switch (phase) {
    case FILL:
        fill_up_to(worker, table, memory, SMALL_LEAST, SMALL_LIMIT);
        break;
    case THIN_OUT:
        thin_out(worker, table, KEPT_SHARE);
        break;
    case FILL_AGAIN:
        fill_up_to(worker, table, memory, MEDIUM_LEAST, MEDIUM_LIMIT);
        break;
    case REPLACE:
        for (int i = 0; i < REPLACED; i++)
            replace(worker, table, random_below(&worker->random, SLOTS / 8));
        break;
    default:
        thin_out(worker, table, LEFT_SHARE);
        break;
    }
}

static void between_rounds(unsigned long round)
{
    static struct acre_stats stats;
    size_t places = 0;
    (void)round;
    if (acre_stats(&stats, sizeof(stats)) != 0)
        stress_fail("acre_stats failed");
    for (size_t i = 0; i < stats.class_count; i++)
        places += stats.classes[i].live_blocks;
    if (places < stats.small_blocks)
        stress_fail("%zu blocks have %zu places", stats.small_blocks, places);
    was_wide = was_wide || places > stats.small_blocks;
    if (round == PHASES - 1 && !was_wide)
        stress_fail("no block has the place of several smaller ones");
}

int main(int argc, char **argv)
{
    static const struct program program = {
        .name = "sparse", .slots = SLOTS, .round = round_of, .between_rounds = between_rounds};
    return stress_main(&program, argc, argv);
}
